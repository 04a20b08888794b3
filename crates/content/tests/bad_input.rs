//! Input that no author means: no crash, no hang, and a finding that names the place.

#![allow(clippy::unwrap_used)] // a test may panic

use std::time::{Duration, Instant};

use content::{CompileOptions, Compiled, Draft, Fields, PreviewFor, PreviewParts, Problem, compile, preview};
use message::TokenKeys;

/// What a compile may take here, where nothing is optimised and other tests run beside.
const TIME_MAX: Duration = Duration::from_secs(20);

fn draft(html: &str) -> Draft {
    Draft {
        from_address: "news@shop.example".into(),
        subject: "News".into(),
        html: Some(html.to_owned()),
        track_clicks: true,
        track_opens: true,
        inline_css: true,
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 4,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        ..CompileOptions::default()
    }
}

fn compiled(html: &str) -> Result<Compiled, Vec<Problem>> {
    let start = Instant::now();
    let result = compile(&draft(html), &options());
    assert!(start.elapsed() < TIME_MAX, "{:?}", start.elapsed());
    result
}

fn shown(html: &str, value: &str) -> Result<PreviewParts, Vec<Problem>> {
    let whom = PreviewFor { address: "ann@example.org", email_format: "", time_us: 0 };
    let fields = Fields::from_pairs([("name", value)]);
    preview(&draft(html), &options(), &fields, whom, &TokenKeys::derive(&[1; 32]), &|_| None)
}

/// The warning that says this, and its place.
fn told(html: &str, words: &str) -> (u32, u32) {
    let compiled = compiled(html).unwrap_or_else(|problems| panic!("{}", problems[0]));
    let found = compiled.warnings.iter().find(|warning| warning.message.contains(words));
    let found = found.unwrap_or_else(|| panic!("{words}: {:?}", compiled.warnings));
    (found.line, found.column)
}

#[test]
fn what_stands_open_is_named_where_it_begins() {
    assert_eq!(told("<p>\n<div><b>x</div>", "<b> is not closed"), (2, 6));
    assert_eq!(told("<p>x\n</p></span>", "</span> closes nothing"), (2, 5));
    assert_eq!(told("<p>x</p>\n<a href=\"https://x.example/>y", "has no end"), (2, 1));
    assert_eq!(told("<p>x</p><!-- y", "comment has no end"), (1, 9));
    let problem = compiled("<p>\n{% if x %}</p>").unwrap_err().remove(0);
    assert_eq!((problem.line, problem.column), (2, 1));
}

#[test]
fn scripts_stay_and_are_told() {
    let html =
        "<p>\n<script>alert('{{ name }}')</script><a href=\"https://x.example\" onclick=\"x()\">a</a></p>";
    assert_eq!(told(html, "2 scripts stay"), (2, 1));
    let parts = shown(html, "Ann").unwrap();
    assert!(parts.html.unwrap().contains("<script>alert('Ann')</script>"));
    assert!(!parts.text.unwrap().contains("alert"));
}

#[test]
fn a_nul_is_refused_in_sources_and_values() {
    let problem = compiled("<p>a</p>\n<p>\0</p>").unwrap_err().remove(0);
    assert_eq!((problem.part.as_str(), problem.line, problem.column), ("html", 2, 4), "{problem}");
    let problem = shown("<p>\n{{ name }}</p>", "a\0b").unwrap_err().remove(0);
    assert!(problem.message.contains("NUL") && problem.line == 2, "{problem}");
    let text = Draft { html: None, text: Some("a\0".into()), ..draft("") };
    assert!(compile(&text, &options()).unwrap_err()[0].message.contains("NUL"));
}

#[test]
fn five_megabytes_are_refused_and_four_are_not_a_hang() {
    let row = "<p>Some text &amp; a <b>word</b> <a href=\"https://shop.example/\">here</a></p>\n";
    let problem = compiled(&row.repeat(5 * 1024 * 1024 / row.len())).unwrap_err().remove(0);
    assert!(problem.message.contains("larger than 4 MB") && problem.line > 1_000, "{problem}");
    assert!(compiled(&row.repeat(1024 * 1024 / row.len())).is_ok());
}

#[test]
fn depth_and_number_are_no_hang() {
    for html in [
        "<table><tr><td>".repeat(3_000),
        "<div>".repeat(50_000),
        "</div>".repeat(50_000),
        "<a href='https://x.example/'>".repeat(5_000),
        "<!--[if mso]>".repeat(10_000),
        "<style>a{b:c}</style>".repeat(500),
        "{{ name }}".repeat(20_000),
        "{% if name %}".repeat(300) + &"{% endif %}".repeat(300),
        "<p style='".repeat(5_000),
        "<".repeat(100_000),
        "&#".repeat(50_000),
        "https://".repeat(20_000),
        "<select><a href=\"https://x.example\">".repeat(500),
    ] {
        let start = Instant::now();
        let _ = compiled(&html);
        let text = Draft { html: None, text: Some(html.clone()), ..draft("") };
        let _ = compile(&text, &options());
        assert!(start.elapsed() < TIME_MAX, "{} took {:?}", &html[..20], start.elapsed());
    }
}

#[test]
fn marks_in_attributes_and_css_are_evaluated_in_their_place() {
    let html = "<style>.x { color: {{ name }}; }</style><p class=\"x {{ name }}\" style='color: {{ name }}; width: {% if name %}1{% else %}2{% endif %}px' title={{ name }}>y</p>";
    let parts = shown(html, "red").unwrap();
    let html = parts.html.unwrap();
    assert!(
        html.contains("class=\"x red\"") && html.contains("color: red") && html.contains("title=red"),
        "{html}"
    );
    assert!(html.contains("width: 1px"), "{html}");
}

#[test]
fn what_fails_in_an_attribute_or_in_css_is_named_there() {
    for (html, place) in [
        ("<p>\n<b title=\"x {{ nobody }}\">y</b></p>", (2, 16)),
        ("<style>\n.x { color: {{ nobody }}; }</style><p>y</p>", (2, 16)),
        ("<p>x</p>\n<p style='width: {{ nobody }}px'>y</p>", (2, 21)),
        ("<p>x</p>\n<a href=\"https://shop.example/?q={{ nobody }}\">y</a>", (2, 37)),
        ("<!--[if mso]>\n<v:fill src=\"{{ nobody }}\" /><![endif]-->", (2, 17)),
    ] {
        let problem = shown(html, "x").unwrap_err().remove(0);
        assert_eq!(
            (problem.part.as_str(), problem.line, problem.column),
            ("html", place.0, place.1),
            "{html}: {problem}"
        );
        assert!(problem.message.contains("`nobody` is not a field"), "{problem}");
    }
    assert_eq!(compiled("<p>\n<b title=\"{{ name\">y</b></p>").unwrap_err()[0].line, 2);
}

#[test]
fn tables_in_tables_stay_and_the_open_one_is_named() {
    let nested = |depth: usize| {
        format!("{}x{}", "<table><tr><td>\n".repeat(depth), "</td></tr></table>".repeat(depth))
    };
    let few = compiled(&nested(20)).unwrap();
    assert!(few.warnings.is_empty(), "{:?}", few.warnings);
    let html = shown(&nested(200), "x").unwrap().html.unwrap();
    assert_eq!((html.matches("<table").count(), html.matches("</table>").count()), (200, 200));
    let open = "<table><tr><td>\n<table><tr><td>x</td></tr>\n</td></tr></table>";
    assert_eq!(told(open, "<table> is not closed"), (1, 1));
    assert_eq!(told(&format!("{}</table>", nested(3)), "</table> closes nothing"), (4, 56));
}

#[test]
fn ten_thousand_links_are_no_hang_and_the_first_too_many_is_named() {
    let links = |address: fn(usize) -> String| -> String {
        (0..10_000).map(|n| format!("<a href=\"{}\">link {n}</a>\n", address(n))).collect()
    };
    let problem = compiled(&links(|n| format!("https://shop.example/{n}"))).unwrap_err().remove(0);
    assert!(problem.message.contains("more than 5000 different links"), "{problem}");
    assert_eq!((problem.line, problem.column), (5_001, 1), "{problem}");
    let same = compiled(&links(|n| format!("https://shop.example/{}", n % 10))).unwrap();
    assert_eq!(same.snapshot.links.len(), 10);
    let html = shown(&links(|_| "https://shop.example/".to_owned()), "x").unwrap().html.unwrap();
    assert_eq!(html.matches("https://t.shop.example/l/").count(), 10_000);
}

#[test]
fn right_to_left_text_and_odd_characters_come_back() {
    for value in
        ["שלום עולם", "مرحبا\u{200f}", "\u{202e}abc\u{202c}", "a\u{2028}b", "👩‍👩‍👧", "\u{feff}x", "e\u{301}"]
    {
        let parts = shown("<p dir=\"rtl\">{{ name }}</p>", value).unwrap();
        assert_eq!(parts.html.unwrap().split("<img").next().unwrap(), format!("<p dir=\"rtl\">{value}</p>"));
    }
}

#[test]
fn odd_addresses_of_links_are_kept_or_told_by_facts() {
    let html = "<a href=\"https://shop.example/a b\">1</a><a href=\" https://shop.example/c \">2</a><a href=\"javascript:alert(1)\">3</a>\
        <a href=\"data:text/html,x\">4</a><a href=\"\">5</a><a href>6</a><a href=\"//shop.example\">7</a><a href=\"https://\">8</a><a href=\"https:///x\">9</a>";
    let compiled = compiled(html).unwrap();
    let urls: Vec<&str> = compiled.snapshot.links.iter().map(|link| link.url.as_str()).collect();
    assert_eq!(urls, ["https://shop.example/a%20b", "https://shop.example/c"]);
    assert!(compiled.facts.links.len() >= 8);
    // The rule `urls` tells of these at the places that the facts have.
    let place = |url: &str| {
        let link = compiled.facts.links.iter().find(|link| link.url == url).unwrap();
        (link.line, link.column as usize)
    };
    for url in ["javascript:alert(1)", "https://shop.example/a b"] {
        let column = html.find(&format!("<a href=\"{url}")).unwrap() + 1;
        assert_eq!(place(url), (1, column), "{url}");
    }
    let parts = shown(html, "x").unwrap().html.unwrap();
    assert!(parts.contains("href=\"javascript:alert(1)\"") && parts.contains("<a href>6"), "{parts}");
}
