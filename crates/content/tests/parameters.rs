//! Formats, encodings, headers, attachments, AMP and blocks: what a delivery sets, and what a recipient gets of it.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use content::{
    AttachmentDraft, Block, CompileOptions, Draft, FieldValue, Fields, FormatChoice, FormatRule, PreviewFor,
    PreviewParts, Problem, compile, preview,
};
use mail_parser::{MessageParser, MimeHeaders};
use message::{Charset, FLAGS_LONG_LINES, MirrorMode, PartName, TokenKeys};

fn draft() -> Draft {
    Draft {
        from_name: "Shop".into(),
        from_address: "news@shop.example".into(),
        subject: "News for {{ first_name }}".into(),
        html: Some("<html><body><p>Dear {{ first_name }}</p></body></html>".into()),
        text: Some("Dear {{ first_name }}\n".into()),
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 4,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        now_us: 1_795_687_980_000_000,
        ..CompileOptions::default()
    }
}

fn person(first_name: &str) -> Fields {
    Fields::from_pairs([("first_name", first_name), ("country", "DE"), ("language", "de")])
}

fn shown(
    draft: &Draft,
    options: &CompileOptions,
    fields: &Fields,
    format: &str,
) -> Result<PreviewParts, Vec<Problem>> {
    let whom =
        PreviewFor { address: "ann@example.org", email_format: format, time_us: 1_795_687_980_000_000 };
    let bytes: Arc<[u8]> = Arc::from(&b"%PDF-1.7 nothing"[..]);
    preview(draft, options, fields, whom, &TokenKeys::derive(&[1; 32]), &|_| Some(Arc::clone(&bytes)))
}

fn first_problem(draft: &Draft) -> String {
    compile(draft, &options()).map(|_| ()).unwrap_err()[0].to_string()
}

fn structure(parts: &PreviewParts) -> Vec<String> {
    let message = MessageParser::default().parse(&parts.source).unwrap();
    let of = |part: &mail_parser::MessagePart<'_>| {
        part.content_type()
            .map_or("none".to_owned(), |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("")))
    };
    message.parts.iter().map(of).collect()
}

#[test]
fn a_recipient_gets_the_format_that_the_profile_asks_for() {
    let options = options();
    let of = |draft: &Draft, format: &str| {
        let parts = shown(draft, &options, &person("Ann"), format).unwrap();
        (structure(&parts), parts.format)
    };
    assert_eq!(of(&draft(), "text"), (vec!["text/plain".into()], "text".into()));
    assert_eq!(of(&draft(), "html"), (vec!["text/html".into()], "html".into()));
    let both: Vec<String> = vec!["multipart/alternative".into(), "text/plain".into(), "text/html".into()];
    assert_eq!(of(&draft(), ""), (both.clone(), "alternative".into()));
    let always = Draft { format: FormatChoice::Alternative, ..draft() };
    assert_eq!(of(&always, "text").0, both);
    let never = Draft { format: FormatChoice::Text, ..draft() };
    assert_eq!(of(&never, "html"), (vec!["text/plain".into()], "text".into()));
    // The HTML is there for the mirror page.
    assert!(compile(&never, &options).unwrap().snapshot.part(PartName::Html).is_some());
}

#[test]
fn a_character_that_the_encoding_lacks_is_named_and_goes_out_in_utf_8() {
    let draft = Draft { encoding: Charset::parse("iso-8859-1").unwrap(), ..draft() };
    let fine = shown(&draft, &options(), &person("Zoë"), "text").unwrap();
    assert_eq!((fine.warnings.len(), fine.charset.as_str()), (0, "ISO-8859-1"));
    let source = String::from_utf8(fine.source.clone()).unwrap();
    assert!(
        source.contains("charset=ISO-8859-1")
            || source.contains("charset=iso-8859-1")
            || source.contains("charset=\"ISO-8859-1\""),
        "{source}"
    );
    let odd = shown(&draft, &options(), &person("Ω😀"), "text").unwrap();
    let messages: Vec<&str> = odd.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "“Ω” (U+03A9) is not in ISO-8859-1: these messages go out in UTF-8",
            "“😀” (U+1F600) is not in ISO-8859-1: these messages go out in UTF-8"
        ]
    );
    let source = String::from_utf8(odd.source.clone()).unwrap();
    assert!(!source.contains("&#"), "{source}");
    let message = MessageParser::default().parse(&odd.source).unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), "Dear Ω😀");
    assert_eq!(message.subject(), Some("News for Ω😀"));
}

#[test]
fn a_carriers_format_has_the_geta_mark_and_says_so() {
    let draft =
        Draft { subject: "お知らせ".into(), text: Some("{{ first_name }}様\n".into()), ..draft() };
    let parts = shown(&draft, &options(), &person("山田😀"), "docomo").unwrap();
    assert_eq!(parts.format, "docomo");
    let warned = parts.warnings.iter().any(|warning| warning.message.ends_with("it is sent as 〓"));
    assert!(warned, "{:?}", parts.warnings);
    let message = MessageParser::default().parse(&parts.source).unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), "山田〓様");
    let rule = FormatRule {
        mask: "example.org".into(),
        carrier: "au".into(),
        text_charset: "iso-2022-jp".into(),
        ..FormatRule::default()
    };
    let ruled = CompileOptions { format_rules: vec![rule], ..options() };
    assert_eq!(shown(&draft, &ruled, &person("山田"), "html").unwrap().format, "au");
}

#[test]
fn long_lines_in_a_seven_bit_encoding_set_the_flag() {
    let draft = Draft { encoding: Charset::ISO_2022_JP, ..draft() };
    let compiled = compile(&draft, &options()).unwrap();
    let flags = |name: &str| compiled.evaluate(&person(name), 0).unwrap().flags;
    assert_eq!(flags("山田"), 0);
    assert_eq!(flags(&"山".repeat(600)), FLAGS_LONG_LINES);
    let utf_8 = compile(&Draft { encoding: Charset::UTF_8, ..draft }, &options()).unwrap();
    assert_eq!(utf_8.evaluate(&person(&"山".repeat(600)), 0).unwrap().flags, 0);
}

#[test]
fn headers_are_templates_and_reserved_names_are_refused() {
    let headers = [
        ("X-Season", "autumn"),
        ("X-Name", "{{ first_name }}"),
        ("X-Only", "{% if country == 'FR' %}yes{% endif %}"),
    ];
    let draft = Draft {
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        precedence: "bulk".into(),
        ..draft()
    };
    let compiled = compile(&draft, &options()).unwrap();
    assert_eq!(compiled.snapshot.headers, [("X-Season".to_owned(), "autumn".to_owned())]);
    assert_eq!(compiled.snapshot.header_names, ["X-Name", "X-Only"]);
    let source = String::from_utf8(shown(&draft, &options(), &person("Ann"), "").unwrap().source).unwrap();
    assert!(
        source.contains("\r\nX-Season: autumn\r\n") && source.contains("\r\nX-Name: Ann\r\n"),
        "{source}"
    );
    assert!(!source.contains("X-Only") && source.contains("\r\nPrecedence: bulk\r\n"), "{source}");
    for name in ["From", "bcc", "DKIM-Signature", "X Y", "", "X:", "Content-Type"] {
        let draft = Draft { headers: vec![(name.into(), "x".into())], ..draft.clone() };
        assert!(first_problem(&draft).starts_with("headers: the header name"), "{name}");
    }
    let injected =
        compile(&draft, &options()).unwrap().evaluate(&person("x\r\nBcc: y@example.org"), 0).unwrap_err();
    assert!(injected.message.contains("line break"), "{injected}");
    let unknown = Draft { headers: vec![("X-Name".into(), "{{ nothing }}".into())], ..draft };
    let problem = compile(&unknown, &options()).unwrap().evaluate(&person("Ann"), 0).unwrap_err();
    assert!(problem.message.starts_with("X-Name: `nothing` is not a field"), "{problem}");
}

#[test]
fn attachments_have_names_and_conditions() {
    let file = |name: &str, when: &str| AttachmentDraft {
        hash: blake3::hash(b"%PDF-1.7 nothing").to_hex().to_string(),
        content_type: "application/pdf".into(),
        size: 16,
        name: name.into(),
        when: when.into(),
    };
    let draft = Draft {
        attachments: vec![
            file("Terms {{ country }}/x.pdf", ""),
            file("fr.pdf", "country == 'FR'"),
            file("a.pdf", "country in ['DE', 'AT']"),
        ],
        ..draft()
    };
    let parts = shown(&draft, &options(), &person("Ann"), "").unwrap();
    assert_eq!(parts.attachments, [("Terms DE-x.pdf".to_owned(), 16), ("a.pdf".to_owned(), 16)]);
    let message = MessageParser::default().parse(&parts.source).unwrap();
    let names: Vec<_> = message.attachments().filter_map(|part| part.attachment_name()).collect();
    assert_eq!(names, ["Terms DE-x.pdf", "a.pdf"]);
    for (name, when, expected) in [
        ("", "", "attachment 1: the file has no name"),
        ("a.pdf", "x %}{% if", "attachment 1: the condition is no expression"),
        ("a.pdf", "country ==", "attachment 1: "),
        ("{{ x", "", "attachment 1: "),
    ] {
        let draft = Draft { attachments: vec![file(name, when)], ..draft.clone() };
        let problem = first_problem(&draft);
        assert!(problem.starts_with("attachments") && problem.contains(expected), "{problem}");
    }
}

#[test]
fn an_amp_part_needs_another_and_is_small() {
    let amp = "<!doctype html><html ⚡4email><body>Hello {{ first_name }} <a href=\"https://shop.example/\">x</a></body></html>";
    let draft = Draft { amp: Some(amp.into()), track_clicks: true, ..draft() };
    let unsent = compile(&draft, &options()).unwrap();
    assert!(
        unsent.warnings[0].message.starts_with("no format rule sends the AMP part"),
        "{:?}",
        unsent.warnings
    );
    let rule = FormatRule { mask: "example.org".into(), amp: true, ..FormatRule::default() };
    let options = CompileOptions { format_rules: vec![rule], ..options() };
    let parts = shown(&draft, &options, &person("Ann"), "").unwrap();
    assert_eq!(parts.warnings, []);
    assert_eq!(structure(&parts), ["multipart/alternative", "text/plain", "text/x-amp-html", "text/html"]);
    assert!(parts.amp.unwrap().contains("Hello Ann <a href=\"https://t.shop.example/l/"));
    let alone = Draft { html: None, text: None, ..draft.clone() };
    assert!(first_problem(&alone).starts_with("amp: an AMP part cannot stand alone"));
    let large = Draft { amp: Some(format!("{amp}{}", "x".repeat(102_400 - amp.len()))), ..draft };
    let problem = compile(&large, &options).unwrap().evaluate(&person(&"y".repeat(200)), 0).unwrap_err();
    assert!(problem.to_string().starts_with("amp: the AMP part is not below 100 KB"), "{problem}");
}

#[test]
fn blocks_come_in_the_form_of_their_part_and_their_links_are_tracked() {
    let mut options = options();
    let footer = Block {
        html: "<p><a href=\"https://shop.example/imprint\">Imprint</a> {{ first_name }}</p>\n".into(),
        text: "-- \nImprint: https://shop.example/imprint".into(),
    };
    options.blocks.insert("footer".into(), footer);
    options.blocks.insert("broken".into(), Block { html: "<p>{{ nothing }}</p>".into(), ..Block::default() });
    let html = "<html><body><p>Hello</p>\n{% include \"footer\" %}{% include 'greeting' %}</body></html>";
    let draft = Draft { html: Some(html.into()), text: None, track_clicks: true, ..draft() };
    let parts = shown(&draft, &options, &person("ann"), "").unwrap();
    let html = parts.html.unwrap();
    assert!(
        html.contains("<a href=\"https://t.shop.example/l/") && html.contains("Guten Tag Ann,"),
        "{html}"
    );
    let text = parts.text.unwrap();
    assert!(
        text.starts_with("Hello\n") && text.contains("-- \nImprint: https://t.shop.example/l/"),
        "{text}"
    );
    assert_eq!((parts.links.len(), parts.links[0].count, parts.links[0].label.as_str()), (1, 2, "Imprint"));
    let broken = Draft { html: Some("<p>\n {{ block('broken') }}</p>".into()), ..draft };
    let problem = shown(&broken, &options, &person("Ann"), "").unwrap_err().remove(0);
    assert_eq!((problem.line, problem.column), (2, 2));
    assert!(problem.message.starts_with("in the block `broken`: `nothing` is not a field"), "{problem}");
}

#[test]
fn the_mirror_page_is_linked_where_it_is_open() {
    let draft = Draft { html: Some("<a href=\"{{ mirror_url }}\">x</a>".into()), ..draft() };
    for (mode, open) in [
        (MirrorMode::WhenLinked, true),
        (MirrorMode::Always, true),
        (MirrorMode::Never, false),
        (MirrorMode::ByMessage, false),
    ] {
        let compiled = compile(&Draft { mirror: mode, ..draft.clone() }, &options()).unwrap();
        assert_eq!((compiled.facts.mirror_page, compiled.snapshot.mirror), (open, mode));
    }
    let text_only = compile(&Draft { html: None, ..draft }, &options()).unwrap();
    assert!(!text_only.facts.mirror_page);
}

#[test]
fn an_evaluation_that_takes_too_long_is_stopped() {
    let slow = "{% for a in range(300) %}{% for b in range(100) %}{% endfor %}{% endfor %}";
    let draft = Draft { html: Some(slow.repeat(2)), text: Some("{{ first_name }}".into()), ..draft() };
    let with = |personalization_time_ms| {
        let options = CompileOptions { personalization_time_ms, ..options() };
        compile(&draft, &options).unwrap().evaluate(&person("Ann"), 0)
    };
    assert!(with(0).is_ok());
    assert!(with(60_000).is_ok());
    assert!(with(1).unwrap_err().message.contains("takes longer than 1 ms"));
}

#[test]
fn both_html_and_mjml_are_too_much_and_mjml_alone_is_html() {
    let mjml = "<mjml><mj-body><mj-section><mj-column><mj-text>Dear {{ first_name }}</mj-text>\n<mj-button href=\"https://shop.example/{{ country }}\">Go</mj-button></mj-column></mj-section></mj-body></mjml>";
    let draft = Draft { html: None, mjml: Some(mjml.into()), text: None, track_clicks: true, ..draft() };
    let parts = shown(&draft, &options(), &person("Ann"), "").unwrap();
    let html = parts.html.unwrap();
    assert!(html.contains("Dear Ann") && html.contains("?p1=DE\""), "{html}");
    assert!(parts.text.unwrap().contains("Go <https://t.shop.example/l/"));
    let unknown = Draft { mjml: Some(mjml.replace("country", "nothing")), ..draft.clone() };
    let problem = shown(&unknown, &options(), &person("Ann"), "").unwrap_err().remove(0);
    assert_eq!((problem.part.as_str(), problem.line), ("mjml", 2), "{problem}");
    assert!(first_problem(&Draft { html: Some("<p>x</p>".into()), ..draft }).contains("HTML and MJML"));
}

#[test]
fn numbers_of_attributes_are_written_in_the_language_of_the_recipient() {
    let columns = content::Columns::new(vec!["language".into()], vec!["total".into()]);
    let fields = Fields::new(&columns, vec![FieldValue::from("de")], r#"{"total": 1234.5}"#);
    let draft = Draft {
        subject: "{{ total | money('EUR') }}".into(),
        html: Some("<p>x</p>".into()),
        text: Some("t".into()),
        ..draft()
    };
    assert_eq!(shown(&draft, &options(), &fields, "").unwrap().subject, "1.234,50\u{a0}€");
}
