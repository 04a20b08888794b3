//! Whatever an author writes: compile answers, and what compiles reads back as minijinja alone would have written it.

#![allow(clippy::unwrap_used)] // a test may panic

use content::{CompileOptions, Draft, Fields, compile};
use message::{Envelope, PartName, Prepared, Signer, Slots, Stamp, TokenKeys, compose};
use proptest::prelude::*;

/// Bits that templates are made of, whole and broken.
fn fragment() -> impl Strategy<Value = String> {
    let broken = prop_oneof![
        Just("{{"),
        Just("}}"),
        Just("{%"),
        Just("%}"),
        Just("{#"),
        Just("#}"),
        Just("{"),
        Just("-"),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("{{{"),
        Just("if x"),
        Just("{% raw %}"),
        Just("{% endif %}"),
        Just("*|A|*"),
    ];
    let whole = prop_oneof![
        Just("{{ name }}"),
        Just("{{- name -}}"),
        Just("{{ name | default('}}') }}"),
        Just("{# {{ x #}"),
        Just("{% if name %}yes {% endif %}"),
        Just("{%- if name -%} a {%- else -%} b {%- endif -%}"),
        Just("{% for i in range(3) %} {{ i }}, {% endfor %}"),
        Just("{% raw %} {{ y }} {% endraw %}"),
        Just("{%- raw -%} {% z %} {%- endraw -%}"),
        Just("{% set v = name %}"),
        Just("{% set b %} {{ name }}{% endset %}"),
        Just("{{ unsubscribe_url }}"),
        Just("{{ mirror_url }}"),
        Just("{{ 'const' }}"),
        Just("{{ 1 + 1 }}"),
        Just("{% macro m(a) %}<i>{{ a }}</i>{% endmacro %}"),
        Just("{% filter upper %} f {% endfilter %}"),
        Just("{{ '<b>' | safe }}"),
        Just("{% with q = 1 %}{{ q }}{% endwith %}"),
    ];
    let html = prop_oneof![
        Just("<body>"),
        Just("<p>"),
        Just("</p>"),
        Just("<table>"),
        Just("<tr><td>"),
        Just("</td></tr></table>"),
        Just("<a href=\""),
        Just("\">"),
        Just("</a>"),
        Just("<img src=x alt='"),
        Just("<!--"),
        Just("-->"),
        Just("<style>"),
        Just("</style>"),
        Just("\n"),
        Just("\r\n"),
        Just("  "),
        Just("é語"),
        Just("\u{FDD0}"),
        Just("\u{F0003}"),
        Just("."),
        Just("From "),
        Just("&amp;"),
        Just("="),
    ];
    prop_oneof![1 => broken.prop_map(str::to_owned), 5 => whole.prop_map(str::to_owned), 5 => html.prop_map(str::to_owned), 2 => "[a-z ]{0,30}"]
}

fn source(fragments: Vec<String>) -> String {
    fragments.concat()
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 9,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        ..CompileOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_compiles_reads_back(fragments in proptest::collection::vec(fragment(), 0..14)) {
        let html = source(fragments);
        let draft = Draft {
            from_address: "news@shop.example".into(),
            subject: "News".into(),
            html: Some(html.clone()),
            ..Draft::default()
        };
        let compiled = match compile(&draft, &options()) {
            Ok(compiled) => compiled,
            Err(problems) => {
                prop_assert!(problems.iter().all(|problem| problem.part == "message" || problem.line > 0), "{problems:?}");
                return Ok(());
            }
        };
        let Ok(own) = compiled.evaluate(&Fields::from_pairs([("name", "A & é")]), 0) else { return Ok(()) };
        let slots = own.slots;
        let prepared = Prepared::new(compiled.snapshot, |_| None).unwrap();
        let keys = TokenKeys::derive(&[2; 32]);
        let shown = prepared.part_text(PartName::Html, &slots, 9 << 28, &keys).unwrap();
        prop_assert_eq!(&shown, &plain(&html, &keys), "{}", html);
        let envelope = Envelope { id: 9 << 28, address: "ann@example.org", flags: i64::from(message::VARIANT_HTML) };
        let slots = Slots::from_bytes(&slots.to_bytes()).unwrap();
        let composed = compose::<Signer>(&prepared, &slots, &envelope, &Stamp { time_us: 0 }, &[], &keys).unwrap();
        let message = mail_parser::MessageParser::default().parse(&composed.bytes).unwrap();
        let read = message.parts[0].text_contents().unwrap().replace("\r\n", "\n");
        prop_assert_eq!(read.trim_end_matches('\n'), shown.trim_end_matches('\n'));
    }

    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,60}", subject in ".{0,40}") {
        let draft = Draft {
            from_address: subject.clone(),
            subject,
            preheader: text.clone(),
            html: Some(text.clone()),
            text: Some(text),
            ..Draft::default()
        };
        let _ = compile(&draft, &options());
    }
}

/// The same by minijinja alone, with links put in by hand.
fn plain(html: &str, keys: &TokenKeys) -> String {
    let mut environment = minijinja::Environment::new();
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build().unwrap());
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let token = message::Token { message: 9 << 28, inert: false };
    let safe = |text: String| minijinja::Value::from_safe_string(text);
    environment.add_global("unsubscribe_url", safe(keys.unsubscribe_url("https://t.shop.example", token)));
    environment.add_global("mirror_url", safe(keys.mirror_url("https://t.shop.example", token)));
    let source = html.replace("\r\n", "\n").replace('\u{FDD0}', "");
    environment.render_str(&source, minijinja::context!(name => "A & é")).unwrap()
}
