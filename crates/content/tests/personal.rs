//! What recipients get: defaults, attributes, conditions, links, and the parts that are the same for everybody.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use content::{Columns, CompileOptions, Draft, FieldValue, Fields, PreviewFor, compile, preview};
use message::{LinkKind, PartName, Piece, Purpose, TokenKeys};

fn draft() -> Draft {
    Draft {
        from_name: "{{ shop | default('Example Shop') }}".into(),
        from_address: "news@shop.example".into(),
        reply_to: "Help, please <help@shop.example>".into(),
        subject: "{{ first_name | default('Hello') }}, news from us".into(),
        preheader: "What is new & good".into(),
        html: Some(
            "<html><body>\r\n<p>Dear {{ first_name | default('friend') }},</p>\r\n{% if points > 100 %}<p>Gold: {{ points }}</p>{% endif %}\
             <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></body></html>\r\n"
                .into(),
        ),
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 5,
        subject_prefix: "Proof #2: ".into(),
        public_url: "https://t.shop.example/".into(),
        bounce_domain: "bounce.shop.example".into(),
        list_unsubscribe: true,
        now_us: 1_795_687_980_000_000,
        ..CompileOptions::default()
    }
}

fn columns() -> Arc<Columns> {
    Columns::new(vec!["email".into(), "first_name".into()], vec!["shop".into(), "points".into()])
}

fn ann(first_name: &str, attributes: &str) -> Fields {
    Fields::new(&columns(), vec!["ann@example.org".into(), FieldValue::from(first_name)], attributes)
}

fn whom() -> PreviewFor<'static> {
    PreviewFor { address: "ann@example.org", email_format: "", time_us: 1_795_687_980_000_000 }
}

#[test]
fn a_preview_shows_what_this_recipient_gets() {
    let keys = TokenKeys::derive(&[1; 32]);
    let ann = ann("Ann", r#"{"points": 120, "shop": "Bücher & mehr"}"#);
    let shown = preview(&draft(), &options(), &ann, whom(), &keys, &|_| None).unwrap();
    assert_eq!(shown.subject, "Proof #2: Ann, news from us");
    assert_eq!(shown.from, "Bücher & mehr <news@shop.example>");
    assert_eq!(shown.reply_to, "\"Help, please\" <help@shop.example>");
    let html = shown.html.unwrap();
    assert!(html.contains("<body><div style=\"display:none"), "{html}");
    assert!(html.contains(">What is new &amp; good</div>") && html.contains("<p>Gold: 120</p>"), "{html}");
    let text = shown.text.unwrap();
    assert!(text.starts_with("Dear Ann,\n\nGold: 120\n\nUnsubscribe <https://t.shop.example/u/"), "{text}");
    assert!(!text.contains("What is new"));
    let token = text.trim().trim_end_matches('>').rsplit('/').next().unwrap();
    assert!(keys.verify_link(Purpose::Unsubscribe, token).unwrap().inert);
    let message = mail_parser::MessageParser::default().parse(&shown.source).unwrap();
    assert_eq!(message.body_html(0).unwrap().replace("\r\n", "\n"), html);
    assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n"), text);
    assert_eq!(message.subject(), Some(shown.subject.as_str()));
}

#[test]
fn an_empty_field_takes_the_default_and_an_attribute_that_others_have_is_empty() {
    let keys = TokenKeys::derive(&[1; 32]);
    let options = options();
    let template = Draft {
        html: Some("<p>{{ first_name | default('friend') }}|{{ points }}|{{ shop }}</p>".into()),
        ..draft()
    };
    let shown = preview(&template, &options, &ann("", ""), whom(), &keys, &|_| None).unwrap();
    assert_eq!(shown.subject, "Proof #2: Hello, news from us");
    assert_eq!(shown.from, "Example Shop <news@shop.example>");
    assert!(shown.html.unwrap().contains("<p>friend||</p>"));
    let unknown = Draft { subject: "{{ nickname }}".into(), ..template };
    let problems = preview(&unknown, &options, &ann("Ann", "{}"), whom(), &keys, &|_| None).unwrap_err();
    assert_eq!((problems[0].part.as_str(), problems[0].column), ("subject", 4));
    let compiled = compile(&unknown, &options).unwrap();
    assert_eq!(compiled.unknown_names(&columns()), [(PartName::Subject, "nickname".to_owned())]);
}

#[test]
fn what_is_the_same_for_everybody_is_in_no_slots() {
    let mut plain = draft();
    plain.from_name = "Example Shop".into();
    plain.subject = "News {# a comment #}for {{ '' }}all".into();
    plain.html =
        Some("<p>News</p>{# note #}<a href='{{ unsubscribe_url }}'>x</a>{% raw %}{{ x }}{% endraw %}".into());
    let compiled = compile(&plain, &options()).unwrap();
    let slots = compiled.evaluate(&ann("Ann", "{}"), 0).unwrap().slots;
    let named: Vec<PartName> = slots.parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, [PartName::Subject], "only the subject has an expression");
    let html = compiled.snapshot.part(PartName::Html).unwrap();
    assert!(html.usual.contains(&Piece::Link(LinkKind::Unsubscribe)));
    assert!(
        compiled.facts.html.as_ref().unwrap().unsubscribe_link
            && compiled.facts.text.as_ref().unwrap().unsubscribe_link
    );
    assert!(compiled.facts.text_generated);
    assert_eq!(compiled.snapshot.message_id_domain, "shop.example");
}

#[test]
fn time_is_the_time_of_the_analysis() {
    let keys = TokenKeys::derive(&[1; 32]);
    let dated = Draft {
        text: Some("{{ now() }} {{ now() | date('%d.%m.%Y %H:%M', tz='Asia/Tokyo') }} {{ '2026-02-03' | date('%B') }}".into()),
        html: None,
        ..draft()
    };
    let shown = preview(&dated, &options(), &ann("Ann", "{}"), whom(), &keys, &|_| None).unwrap();
    assert_eq!(shown.text.unwrap(), "2026-11-26T10:13:00Z 26.11.2026 19:13 February");
}

#[test]
fn large_slots_are_compact_rows() {
    let compiled = compile(&draft(), &options()).unwrap();
    let slots = compiled.evaluate(&ann("Ann", r#"{"points": 1}"#), 0).unwrap().slots;
    let bytes = slots.to_bytes();
    assert!(bytes.len() < 80, "{} bytes", bytes.len());
    assert_eq!(message::Slots::from_bytes(&bytes).unwrap(), slots);
}

#[test]
fn compiled_content_is_shared_between_threads_and_tells_its_fields() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&compile(&draft(), &options()).unwrap());
    shared(&ann("Ann", "{}"));
    let names: Vec<String> = compile(&draft(), &options()).unwrap().variables().into_iter().collect();
    assert_eq!(names, ["first_name", "points", "shop"]);
}
