//! QR and bar codes: which messages they go along with, how many, and what is said where one cannot.

#![allow(clippy::unwrap_used)] // a test may panic

use content::{
    CodeKey, CompileOptions, Compiled, Draft, Fields, FormatRule, ImageChoice, PreviewFor, Problem, compile,
    preview,
};
use message::{CODES_MAX, PartName, TokenKeys};

fn draft(html: &str) -> Draft {
    Draft {
        from_address: "news@shop.example".into(),
        subject: "News".into(),
        html: Some(html.to_owned()),
        text: Some("{{ name }}\n".into()),
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    let rule = |mask: &str, carrier: &str| FormatRule {
        mask: mask.into(),
        carrier: carrier.into(),
        structure: "alternative".into(),
        inline_images: true,
        ..FormatRule::default()
    };
    CompileOptions {
        delivery: 4,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        code_key: Some(CodeKey::new([7; 32])),
        format_rules: vec![rule("docomo.ne.jp", "docomo"), rule("along.example", "")],
        ..CompileOptions::default()
    }
}

fn compiled(draft: &Draft) -> Compiled {
    compile(draft, &options()).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// The kinds of the codes that go along, `png` or `gif`, and the HTML as a page shows it.
fn sent(compiled: &Compiled, format: &str, domain: &str) -> (Vec<String>, String) {
    let variant = compiled.flags_for(format, domain);
    let slots = compiled.evaluate(&Fields::from_pairs([("name", "Ann")]), variant).unwrap().slots;
    let kinds = slots.codes().map(|(_, data)| data[11..14].to_owned()).collect();
    let token = message::Token { message: 4 << 28, inert: true };
    let page = compiled.snapshot.part_text(PartName::Html, &slots, token, &TokenKeys::derive(&[1; 32]));
    (kinds, page.unwrap())
}

fn refused(html: &str) -> Problem {
    compiled(&draft(html)).evaluate(&Fields::from_pairs([("name", "Ann")]), 0).unwrap_err()
}

#[test]
fn a_code_goes_along_where_it_is_asked_for_and_where_all_images_do() {
    let by_choice = |choice, image_mode| {
        let html = format!("<p>{{{{ qr(name{choice}) }}}}</p>");
        let compiled = compiled(&Draft { image_mode, ..draft(&html) });
        ["x.example", "along.example", "docomo.ne.jp"].map(|domain| sent(&compiled, "", domain).0.join(" "))
    };
    assert_eq!(by_choice("", ImageChoice::Link), ["", "png", "gif"]);
    assert_eq!(by_choice(", inline=true", ImageChoice::Link), ["png", "png", "gif"]);
    assert_eq!(by_choice("", ImageChoice::Inline), ["png", "png", "gif"]);
    // A handset shows no image that is elsewhere, whatever the author wants.
    assert_eq!(by_choice(", inline=false", ImageChoice::Inline), ["", "png", "gif"]);
}

#[test]
fn a_page_shows_every_code_and_a_text_carries_none() {
    let compiled =
        compiled(&draft("<p>{{ qr(name, inline=true) }}{{ barcode('code128', name, inline=true) }}</p>"));
    let (kinds, page) = sent(&compiled, "html", "x.example");
    assert_eq!(kinds, ["png", "png"]);
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 2, "{page}");
    let (kinds, page) = sent(&compiled, "text", "x.example");
    assert!(kinds.is_empty(), "the message has no HTML");
    assert_eq!(page.matches("<img src=\"https://t.shop.example/c/").count(), 2, "{page}");
    // Without a key nothing has an address.
    let keyless = compile(&draft("{{ qr(name) }}"), &CompileOptions { code_key: None, ..options() }).unwrap();
    assert_eq!(sent(&keyless, "", "x.example").0, ["png"]);
}

#[test]
fn a_code_is_drawn_once_and_takes_little_room() {
    let compiled =
        compiled(&draft("{{ qr('https://shop.example/t/' ~ name, inline=true) }}".repeat(300).as_str()));
    let slots = compiled.evaluate(&Fields::from_pairs([("name", "0123456789")]), 0).unwrap().slots;
    assert_eq!(slots.codes().count(), 1);
    assert!(slots.code(0).unwrap().len() < 1_600, "{}", slots.code(0).unwrap().len());
}

#[test]
fn too_many_codes_are_named_at_the_first_too_many() {
    let of = |count: u8| {
        format!("<p>\n{{% for n in range({count}) %}}\n{{{{ qr(n, inline=true) }}}}{{% endfor %}}</p>")
    };
    assert!(compiled(&draft(&of(CODES_MAX))).evaluate(&Fields::from_pairs([("name", "Ann")]), 0).is_ok());
    let problem = refused(&of(CODES_MAX + 1));
    assert_eq!((problem.part.as_str(), problem.line, problem.column), ("html", 3, 4), "{problem}");
    assert!(problem.message.starts_with("more than 10 codes"), "{problem}");
    assert!(
        compiled(&draft(&of(99).replace("=true", "=false")))
            .evaluate(&Fields::from_pairs([("name", "Ann")]), 0)
            .is_ok()
    );
}

#[test]
fn a_filter_that_changes_a_code_is_an_error_at_its_place() {
    for filtered in ["qr(name, inline=true) | upper", "qr(name)[:20]", "qr(name) | replace('A', 'B')"] {
        let problem = refused(&format!("<p>\n<b>{{{{ {filtered} }}}}</b></p>"));
        assert_eq!((problem.line, problem.column), (2, 7), "{filtered}: {problem}");
        assert!(problem.message.contains("changes a code"), "{filtered}: {problem}");
    }
    assert!(refused("{{ qr(name) | urlencode }}").message.contains("a filter changes"));
    // Nobody's value can be taken for a code.
    let own = compiled(&draft("<p>{{ name }}{{ qr(name) }}</p>"));
    let spoof = own.evaluate(&Fields::from_pairs([("name", "\u{FDD6}iAAAA\u{FDD7}")]), 0).unwrap();
    assert_eq!(spoof.slots.codes().count(), 0);
    let wrong = refused("<p>\n{{ qr('') }}");
    assert!(wrong.line == 2 && wrong.message.contains("the value is empty"), "{wrong}");
}

#[test]
fn a_handset_gets_a_gif_and_its_data_is_no_part_of_the_html() {
    // The HTML is just short enough without the picture.
    let html = format!("<html><body><div>{}{{{{ qr(name) }}}}</div></body></html>", "x".repeat(9_600));
    let shown = |email_format| {
        let whom = PreviewFor { address: "taro@x.example", email_format, time_us: 0 };
        let fields = Fields::from_pairs([("name", "a value that makes a picture of more than 300 octets")]);
        preview(&draft(&html), &options(), &fields, whom, &TokenKeys::derive(&[1; 32]), &|_| None).unwrap()
    };
    let handset = shown("docomo");
    assert!(handset.warnings.is_empty(), "{:?}", handset.warnings);
    assert!(handset.html.unwrap().contains("<img src=\"data:image/gif;base64,"));
    let source = String::from_utf8_lossy(&handset.source).into_owned();
    assert!(
        source.contains("Content-Type: image/gif;")
            && source.contains("Content-ID: <code0.40000000@shop.example>")
    );
    assert!(shown("").html.unwrap().contains("<img src=\"https://t.shop.example/c/"));
}
