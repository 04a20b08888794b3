//! Links: what the author wrote leads where it led, through the redirect or not; and nothing else of a message changes.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeMap;

use content::{CompileOptions, Compiled, Draft, Fields, LinkChoice, TRACKED_LINKS_MAX, compile};
use message::{Link, LinkMode, PartName, Prepared, TokenKeys};
use proptest::prelude::*;

const PUBLIC: &str = "https://t.shop.example";

fn tracked(html: &str) -> Draft {
    Draft {
        from_address: "news@shop.example".into(),
        subject: "News".into(),
        html: Some(html.to_owned()),
        text: Some("t".into()),
        track_clicks: true,
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 9,
        public_url: PUBLIC.into(),
        bounce_domain: "bounce.shop.example".into(),
        ..CompileOptions::default()
    }
}

fn compiled(draft: &Draft) -> Compiled {
    compile(draft, &options()).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

fn refused(draft: &Draft) -> String {
    compile(draft, &options()).map(|_| ()).unwrap_err()[0].to_string()
}

fn fields() -> Fields {
    Fields::from_pairs([("id", "a b&c"), ("name", "Ann"), ("country", "DE")])
}

/// A part as the recipient gets it, and the snapshot's links.
fn shown(compiled: Compiled, name: PartName) -> (String, Vec<Link>) {
    let slots = compiled.evaluate(&fields(), 0).unwrap().slots;
    let links = compiled.snapshot.links.clone();
    let prepared = Prepared::new(compiled.snapshot, |_| None).unwrap();
    (prepared.part_text(name, &slots, 9 << 28, &TokenKeys::derive(&[2; 32])).unwrap(), links)
}

/// The same with each redirect followed: what a click leads to.
fn followed(text: &str, links: &[Link], and: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&format!("{PUBLIC}/l/")) {
        out.push_str(&rest[..at]);
        rest = &rest[at + PUBLIC.len() + 3..];
        let end = rest.find(['"', '\'', ' ', '>', '\n', '<', ')']).unwrap_or(rest.len());
        // A full stop behind the address is the sentence's.
        let end = rest[..end].trim_end_matches('.').len();
        let (address, after) = rest.split_at(end);
        let address = address.replace(and, "&");
        let (path, query) = address.split_once('?').unwrap_or((&address, ""));
        let number: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        let mut url = links[number].url.clone();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            url = url.replace(&format!("{{{name}}}"), &decoded(value));
        }
        out.push_str(&url.replace('&', and));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn decoded(value: &str) -> String {
    let mut octets = Vec::new();
    let mut bytes = value.bytes();
    while let Some(octet) = bytes.next() {
        if octet == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            octets.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).unwrap()
}

#[test]
fn every_web_link_is_tracked_once_with_its_label() {
    let html = "<p><a href=\"https://shop.example/a?x=1&amp;y=2\">Our <b>offers</b></a>\n\
        <a href='https://shop.example/a?x=1&#38;y=2'><img src=x alt='Offers'></a> <a href=https://shop.example/b title=Bee></a>\
        <a href=\"mailto:a@b.example\">m</a><a href=\"#top\">t</a><a href=\"tel:+1\">c</a><a href='{{ unsubscribe_url }}'>u</a></p>";
    let compiled = compiled(&tracked(html));
    let found: Vec<_> = compiled
        .links
        .iter()
        .map(|link| (link.url.as_str(), link.label.as_str(), link.count, link.mode))
        .collect();
    assert_eq!(
        found,
        [
            ("https://shop.example/a?x=1&y=2", "Our offers", 2, LinkMode::Tracked),
            ("https://shop.example/b", "Bee", 1, LinkMode::Tracked)
        ]
    );
    let (html_shown, links) = shown(compiled, PartName::Html);
    assert_eq!(links.len(), 2);
    assert_eq!(links[0].url, "https://shop.example/a?x=1&y=2");
    assert_eq!(html_shown.matches(&format!("{PUBLIC}/l/")).count(), 3);
    assert!(
        html_shown.contains("mailto:a@b.example") && html_shown.contains("href=\"#top\""),
        "{html_shown}"
    );
    assert!(html_shown.contains(&format!("href='{PUBLIC}/u/")), "{html_shown}");
}

#[test]
fn personal_values_keep_tracking_and_lead_to_the_same_place() {
    let html = "<a href=\"https://shop.example/{{ name }}?id={{ id | urlencode }}&amp;c={{ country }}#x\">Go</a>\
        {% for i in [1, 2] %}<a href=\"https://shop.example/p/{{ i }}\">P</a>{% endfor %}\
        <a href=\"{% if country == 'DE' %}https://de.shop.example/{% else %}https://shop.example/{% endif %}\">Here</a>";
    let draft = tracked(html);
    let (shown_html, links) = shown(compiled(&draft), PartName::Html);
    let urls: Vec<&str> = links.iter().map(|link| link.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://shop.example/{p1}?id={p2}&c={p3}#x",
            "https://shop.example/p/{p1}",
            "https://de.shop.example/",
            "https://shop.example/"
        ]
    );
    assert!(shown_html.contains("/0?p1=Ann&amp;p2=a%2520b%2526c&amp;p3=DE\""), "{shown_html}");
    let plain = shown(compiled(&Draft { track_clicks: false, ..draft }), PartName::Html).0;
    assert_eq!(followed(&shown_html, &links, "&amp;"), plain);
}

#[test]
fn a_personal_host_is_refused_at_its_place() {
    for url in [
        "{{ url }}",
        "https://{{ name }}.example/x",
        "https://shop.example{{ name }}",
        "https://shop.example:{{ id }}/",
    ] {
        let problem = refused(&tracked(&format!("<p>\n <a href=\"{url}\">x</a>")));
        assert!(problem.starts_with("html, line 2, column 2: the host of the link"), "{problem}");
    }
    let text = Draft { text: Some("a\nhttps://{{ name }}.example/".into()), html: None, ..tracked("") };
    assert!(refused(&text).starts_with("text, line 2, column 1: the host"));
    // Untracked by choice, or where nothing is tracked, it is the author's own affair.
    compiled(&tracked("<a data-mailwright-track=\"off\" href=\"{{ name }}\">x</a>"));
    let choice = LinkChoice { url: "{{ name }}".into(), mode: LinkMode::Untracked, ..LinkChoice::default() };
    compiled(&Draft { link_choices: vec![choice], ..tracked("<a href=\"{{ name }}\">x</a>") });
    compiled(&Draft { track_clicks: false, ..tracked("<a href=\"{{ name }}\">x</a>") });
}

#[test]
fn the_author_chooses_by_attribute_and_by_list() {
    let html = "<a href=\"https://a.example/\" data-mailwright-track=\"off\">A</a><a data-label='Bee {{ name }}' data-category=menu href=\"https://b.example/\">b</a>\
        <a href=\"https://c.example/\">C</a><a href=\"https://d.example/?a=1&amp;b=2\">D</a><a href=\"https://e.example/\" data-mailwright-track=\"maybe\">E</a>";
    let choice = |url: &str, mode| LinkChoice {
        url: url.into(),
        label: "Chosen".into(),
        category: "legal".into(),
        mode,
    };
    let draft = Draft {
        link_choices: vec![
            choice("https://c.example/", LinkMode::OptOut),
            choice("https://d.example/?a=1&b=2", LinkMode::Untracked),
        ],
        text: Some("See https://a.example/ and https://b.example/ and https://c.example/".into()),
        ..tracked(html)
    };
    let compiled = compiled(&draft);
    assert!(compiled.warnings[0].message.contains("maybe"), "{:?}", compiled.warnings);
    let links: Vec<_> = compiled
        .snapshot
        .links
        .iter()
        .map(|link| (link.url.as_str(), link.label.as_str(), link.category.as_str(), link.kind))
        .collect();
    assert_eq!(
        links,
        [
            ("https://b.example/", "Bee {{ name }}", "menu", LinkMode::Tracked),
            ("https://c.example/", "Chosen", "legal", LinkMode::OptOut),
            ("https://e.example/", "E", "", LinkMode::Tracked)
        ]
    );
    let (html, _) = shown(compile(&draft, &options()).unwrap(), PartName::Html);
    assert!(html.starts_with("<a href=\"https://a.example/\">A</a><a href=\"https://t."), "{html}");
    assert!(!html.contains("data-") && html.contains("href=\"https://d.example/?a=1&amp;b=2\""), "{html}");
    let (text, _) = shown(compile(&draft, &options()).unwrap(), PartName::Text);
    assert!(text.starts_with("See https://a.example/ and https://t.shop.example/l/"), "{text}");
    assert_eq!(text.matches("/l/").count(), 2, "{text}");
}

#[test]
fn a_link_that_shows_its_address_is_not_tracked() {
    let html = "<a href=\"https://shop.example/x\">https://shop.example/x</a> <a href=\"https://shop.example/\">www.shop.example</a>\
        <a href=\"https://shop.example/y\" data-mailwright-track=\"on\">shop.example/y</a>";
    let compiled = compiled(&tracked(html));
    assert_eq!(compiled.snapshot.links.len(), 1);
    assert_eq!(compiled.notes.len(), 1);
    assert!(compiled.notes[0].message.starts_with("2 links show"), "{:?}", compiled.notes);
    assert_eq!((compiled.notes[0].line, compiled.notes[0].column), (1, 1));
}

#[test]
fn a_made_text_part_keeps_its_links_tracked() {
    let html = "<p>See <a href=\"https://shop.example/{{ name }}?a=1&amp;b=2\">our shop</a> or <a data-mailwright-track=off href=\"https://terms.example\">the terms</a>.</p>";
    let draft = Draft { text: None, ..tracked(html) };
    let (text, links) = shown(compiled(&draft), PartName::Text);
    assert_eq!(links.len(), 1);
    assert_eq!(
        followed(&text, &links, "&"),
        "See our shop <https://shop.example/Ann?a=1&b=2> or the terms <https://terms.example>.\n"
    );
    assert!(text.contains("/l/") && text.contains("?p1=Ann>"), "{text}");
}

#[test]
fn utm_parameters_are_added_to_every_link() {
    let utm = BTreeMap::from([
        ("utm_source".to_owned(), "mail".to_owned()),
        ("utm_term".to_owned(), "x y {{ country }}".to_owned()),
    ]);
    let html = "<a href=\"https://a.example/?q=1#top\">A</a><a data-mailwright-track=off href=\"https://b.example\">B</a><a href='mailto:x@y.example'>m</a>";
    let draft = Draft { utm, ..tracked(html) };
    let (html, links) = shown(compiled(&draft), PartName::Html);
    assert_eq!(links[0].url, "https://a.example/?q=1&utm_source=mail&utm_term=x%20y%20{p1}#top");
    assert!(html.contains("?p1=DE\""), "{html}");
    assert!(html.contains("href=\"https://b.example?utm_source=mail&amp;utm_term=x%20y%20DE\""), "{html}");
    let bad = Draft { utm: BTreeMap::from([("a b".to_owned(), "x".to_owned())]), ..tracked("<p>x</p>") };
    assert!(refused(&bad).contains("utm"));
}

#[test]
fn too_many_links_are_named_at_the_first_too_many() {
    let line = |n: usize| format!("<a href=\"https://shop.example/{n}\">L{n}</a>\n");
    let html: String = (0..10_000).map(line).collect();
    let problem = refused(&tracked(&html));
    assert!(
        problem.starts_with(&format!("html, line {}, column 1: there are more than", TRACKED_LINKS_MAX + 1)),
        "{problem}"
    );
    // The same link ten thousand times is one.
    let html: String = (0..10_000).map(|_| line(7)).collect();
    let compiled = compiled(&tracked(&html));
    assert_eq!((compiled.snapshot.links.len(), compiled.links[0].count), (1, 10_000));
}

#[test]
fn the_pixel_stands_at_the_end_and_only_in_html() {
    let draft = Draft {
        track_opens: true,
        text: None,
        ..tracked("<html><body><p>Hello {{ name }}</p></body></html>")
    };
    let (html, _) = shown(compiled(&draft), PartName::Html);
    let at = html.find(&format!("<img src=\"{PUBLIC}/o/")).unwrap();
    assert!(
        html[at..].ends_with(".gif\" width=\"1\" height=\"1\" border=\"0\" alt=\"\"></body></html>"),
        "{html}"
    );
    let (text, _) = shown(compiled(&draft), PartName::Text);
    assert!(!text.contains("/o/"), "{text}");
}

#[test]
fn conditions_in_an_address_are_told() {
    let html = "<p>\n<a href=\"https://shop.example/{% if name %}x{% endif %}\">x</a><a href='javascript:alert(1)'>j</a>";
    let compiled = compiled(&tracked(html));
    assert!(compiled.snapshot.links.is_empty());
    let warning = &compiled.warnings[0];
    assert!(warning.message.contains("conditions") && warning.line == 2, "{warning}");
    // The rule `urls` names javascript: by this fact.
    let fact = &compiled.facts.links[1];
    assert_eq!((fact.url.as_str(), fact.line, fact.column), ("javascript:alert(1)", 2, 63));
}

#[test]
fn content_that_is_not_personalised_is_sent_literally() {
    let html = "<a href=\"https://shop.example/{{ x }}\">{{ name }} {% if %} {#</a>";
    let draft = Draft {
        personalise: false,
        subject: "{{ name }} {%".into(),
        text: Some("{{ x }} https://shop.example/{{x}} {".into()),
        headers: vec![("X-Mark".into(), "{{ y }}".into())],
        ..tracked(html)
    };
    let compiled = compiled(&draft);
    assert!(!compiled.is_personalised());
    assert_eq!(compiled.snapshot.headers, [("X-Mark".to_owned(), "{{ y }}".to_owned())]);
    assert_eq!(compiled.links[0].url, "https://shop.example/{{ x }}");
    let (html, links) = shown(compiled, PartName::Html);
    assert!(html.ends_with("\">{{ name }} {% if %} {#</a>"), "{html}");
    assert_eq!(links[0].url, "https://shop.example/%7B%7B%20x%20%7D%7D");
    let compiled = compile(&draft, &options()).unwrap();
    let (subject, _) = shown(compiled, PartName::Subject);
    assert_eq!(subject, "{{ name }} {%");
}

/// Bits of HTML with links, whole and broken, whose addresses need no encoding.
fn fragment() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("<a href=\"https://a.example/x\">"),
        Just("<a class=b href='https://b.example/?q=1&amp;r=2#f'>"),
        Just("<a href=https://c.example/y>"),
        Just("<a\nhref = \"https://a.example/{{ id }}\" >"),
        Just("<a href=\"https://d.example/?i={{ name | default('x') }}&amp;j={{ id }}\">"),
        Just("<area href=\"https://e.example\">"),
        Just("</a>"),
        Just("<!--[if mso]><a href=\"https://f.example/\">o</a><![endif]-->"),
        Just("<!-- <a href=\"https://g.example/\"> -->"),
        Just("<style>a { b: c }</style>"),
        Just("<script>'<a href=\"https://h.example/\">'</script>"),
        Just("<textarea><a href=\"https://i.example/\"></textarea>"),
        Just("<table><tr><td>"),
        Just("</td></tr></table>"),
        Just("{% if name %}"),
        Just("{% endif %}"),
        Just("{# <a href=\"https://j.example/\"> #}"),
        Just("{% raw %}{{ a }}{% endraw %}"),
        Just("<a href=\""),
        Just("<a href='mailto:a@b.example'>"),
        Just("{{ name }}"),
        Just("<b"),
        Just("words & é "),
        Just("\n"),
        Just("\">"),
        Just("<select>"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// With each redirect replaced by what it leads to, the message is the one without tracking.
    #[test]
    fn rewriting_changes_addresses_alone(fragments in proptest::collection::vec(fragment(), 0..14)) {
        let html = fragments.concat();
        let draft = Draft { text: Some("t".into()), ..tracked(&html) };
        let Ok(with) = compile(&draft, &options()) else { return Ok(()) };
        let without = compile(&Draft { track_clicks: false, ..draft }, &options());
        prop_assert!(without.is_ok());
        let (plain, _) = shown(without.unwrap(), PartName::Html);
        let (html, links) = shown(with, PartName::Html);
        prop_assert_eq!(followed(&html, &links, "&amp;"), plain);
    }

    #[test]
    fn rewriting_text_changes_addresses_alone(words in proptest::collection::vec("(https://a\\.example/[a-z]{0,4}(\\?q=\\{\\{ id \\}\\})?|[a-z(]{1,5}|\\{\\{ name \\}\\})[ .\n]", 0..12)) {
        let text = words.concat();
        let draft = Draft { text: Some(format!("x{text}")), html: None, ..tracked("") };
        let (plain, _) = shown(compile(&Draft { track_clicks: false, ..draft.clone() }, &options()).unwrap(), PartName::Text);
        let (shown, links) = shown(compile(&draft, &options()).unwrap(), PartName::Text);
        prop_assert_eq!(followed(&shown, &links, "&"), plain);
    }
}
