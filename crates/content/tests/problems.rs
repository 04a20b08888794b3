//! Every mistake an author can make is named at its place, and nothing that a template does can hang or leave its part.

#![allow(clippy::unwrap_used)] // a test may panic

use content::{CompileOptions, Draft, Fields, Problem, compile, render_text};
use message::{PartName, Piece};

fn draft() -> Draft {
    Draft {
        from_name: "Example Shop".into(),
        from_address: "news@shop.example".into(),
        subject: "Hello".into(),
        html: Some("<p>x</p>".into()),
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 1,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        now_us: 1_795_687_980_000_000,
        ..CompileOptions::default()
    }
}

fn fields() -> Fields {
    Fields::from_pairs([("first_name", "Ann"), ("city", ""), ("evil", "x\r\nBcc: y@example.org")])
}

/// The first problem of compiling, or else of evaluating.
fn problem(draft: &Draft) -> Problem {
    match compile(draft, &options()) {
        Err(problems) => problems.into_iter().next().unwrap(),
        Ok(compiled) => compiled.evaluate(&fields(), 0).expect_err("no problem at all"),
    }
}

fn in_html(html: &str) -> Problem {
    problem(&Draft { html: Some(html.into()), text: Some("t".into()), ..draft() })
}

#[track_caller]
fn at(problem: &Problem, part: &str, line: u32, column: u32) {
    assert_eq!((problem.part.as_str(), problem.line, problem.column), (part, line, column), "{problem}");
    assert!(!problem.message.is_empty());
}

#[test]
fn a_tag_that_does_not_parse_is_an_error_at_its_place() {
    at(&in_html("<p>\n  Hello {{ first_name }</p>\n<p>more</p>"), "html", 2, 9);
    at(&in_html("a\nb {% if %}x{% endif %}"), "html", 2, 9);
    at(&in_html("a\n\n  {% if first_name %} b\n"), "html", 3, 3);
    at(&in_html("{{ first_name | nosuch }}"), "html", 1, 17);
    at(&in_html("é {{ 1 + }}"), "html", 1, 10);
    at(&in_html("x\n{% bogus %}"), "html", 2, 4);
    at(&in_html("<style>@media x {#top { color: red } }</style>"), "html", 1, 17);
    assert!(in_html("<style>@media x {#top { color: red } }</style>").hint.contains("comment"));
}

#[test]
fn an_unknown_name_is_an_error_with_a_hint() {
    let problem = in_html("<p>\n Dear {{ frist_name }}");
    at(&problem, "html", 2, 10);
    assert!(problem.message.contains("`frist_name`"), "{problem}");
    assert!(problem.hint.contains("default"), "{problem}");
    for (source, column) in [
        ("{% if frist_name %}x{% endif %}", 7),
        ("{% if frist_name == 'a' %}x{% endif %}", 7),
        ("{{ frist_name | upper }}", 4),
        ("{{ first_name ~ ' frist_name ' ~ frist_name }}", 34),
        ("{{ frist_name.first_name }}", 4),
    ] {
        let problem = in_html(source);
        at(&problem, "html", 1, column);
        assert!(problem.message.contains("`frist_name` is not a field"), "{source}: {problem}");
    }
    assert!(in_html("{{ first_name.frist }}").message.contains("undefined"));
    at(&in_html("{% for x in nothing %}x{% endfor %}"), "html", 1, 13);
}

#[test]
fn loops_and_self_includes_are_stopped() {
    let endless =
        in_html("{% for a in range(9000) %}{% for b in range(9000) %}{{ a * b }}{% endfor %}{% endfor %}");
    assert!(endless.message.contains("too long"), "{endless}");
    assert_eq!(endless.line, 1);
    let problem = in_html("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    assert_eq!(problem.line, 1, "{problem}");
    assert!(!problem.hint.is_empty(), "{problem}");
    assert!(in_html("x{% include 'html' %}").message.contains("no block `html`"));
    let other = in_html("x\n{% include 'secrets' %}");
    at(&other, "html", 2, 1);
    let big = in_html("{{ 'x' * 100000 }}");
    assert!(big.message.contains("larger than 64 KB"), "{big}");
    let huge = in_html("{{ 'x' * 100000000 }}");
    assert!(huge.message.contains("too long"), "{huge}");
}

#[test]
fn a_value_cannot_leave_its_header() {
    for (part, change) in [
        ("subject", (|d: &mut Draft| d.subject = "Hi {{ evil }}".into()) as fn(&mut Draft)),
        ("from_name", |d| d.from_name = "{{ evil }}".into()),
        ("from_address", |d| d.from_address = "{{ evil }}@shop.example".into()),
        ("reply_to", |d| d.reply_to = "{{ evil }} <a@shop.example>".into()),
        ("error_address", |d| d.error_address = "{{ evil }}@shop.example".into()),
        ("subject", |d| d.subject = "{{ 'a\\nb' }}".into()),
        ("subject", |d| d.subject = "a\r\nBcc: x@example.org".into()),
        ("headers", |d| d.headers = vec![("X-A".into(), "a\r\nBcc: x@example.org".into())]),
        ("headers", |d| d.headers = vec![("Bcc".into(), "x@example.org".into())]),
        ("from_address", |d| d.from_address = "{{ first_name }}".into()),
        ("from_address", |d| d.from_address = "nobody".into()),
        ("reply_to", |d| d.reply_to = "a@b.example, c@d.example".into()),
        ("subject", |d| d.subject = "{{ city }}".into()),
        ("subject", |d| d.subject = "  ".into()),
    ] {
        let mut changed = draft();
        change(&mut changed);
        let problem = problem(&changed);
        assert_eq!(problem.part, part, "{problem}");
    }
    assert!(render_text("label", "{{ evil }}", &fields(), 0).is_err());
    assert_eq!(render_text("label", "{{ first_name }} {{ now()[:4] }}", &fields(), 0).unwrap(), "Ann 1970");
}

#[test]
fn values_are_escaped_by_part() {
    let source = "{{ name }}|{{ name | safe }}|{{ '12/24' }}";
    let compiled = compile(
        &Draft {
            subject: "{{ name }}".into(),
            html: Some(source.into()),
            text: Some(source.into()),
            ..draft()
        },
        &options(),
    )
    .unwrap();
    let slots = compiled.evaluate(&Fields::from_pairs([("name", "<b>&\"'")]), 0).unwrap().slots;
    let text = |part| {
        let pieces = slots.part(part).unwrap();
        let segments = &compiled.snapshot.part(part).unwrap().segments;
        let text = |piece: &Piece| match piece {
            Piece::Static(n) => segments[*n as usize].clone(),
            Piece::Literal(text) => text.clone(),
            Piece::Link(_) => String::new(),
        };
        pieces.iter().map(text).collect::<String>()
    };
    assert_eq!(text(PartName::Html), "&lt;b&gt;&amp;&quot;&#39;|<b>&\"'|12/24");
    assert_eq!(text(PartName::Text), "<b>&\"'|<b>&\"'|12/24");
    assert_eq!(text(PartName::Subject), "<b>&\"'");
}

#[test]
fn a_link_mark_in_a_field_is_no_link() {
    let html = Some("{{ name }}".into());
    let compiled = compile(&Draft { html, text: Some("t".into()), ..draft() }, &options()).unwrap();
    let slots = compiled.evaluate(&Fields::from_pairs([("name", "a\u{FDD0}b")]), 0).unwrap().slots;
    assert_eq!(slots.part(PartName::Html).unwrap(), [Piece::Literal("ab".into())]);
    let filtered = in_html("{{ unsubscribe_url | urlencode }}");
    assert!(filtered.message.contains("filter"), "{filtered}");
}

#[test]
fn an_error_after_the_preheader_keeps_its_place() {
    let mut changed = draft();
    changed.preheader = "News for {{ first_name }}".into();
    changed.html = Some("<body>\n<p>{{ nothing }}</p></body>".into());
    at(&problem(&changed), "html", 2, 7);
    changed.html = Some("<body><p>{{ nothing }}</p></body>".into());
    at(&problem(&changed), "html", 1, 13);
    changed.html = Some("<body><p>x</p></body>".into());
    changed.preheader = "{{ oops".into();
    at(&problem(&changed), "preheader", 1, 1);
    changed.preheader = "{{ oops }}".into();
    at(&problem(&changed), "preheader", 1, 1);
}

#[test]
fn all_problems_come_at_once() {
    let wrong =
        Draft { subject: "{{".into(), from_address: String::new(), text: Some("{% x".into()), ..draft() };
    let parts: Vec<String> =
        compile(&wrong, &options()).unwrap_err().into_iter().map(|problem| problem.part).collect();
    assert_eq!(parts, ["from_address", "subject", "text"]);
    let empty = Draft { html: None, ..draft() };
    assert_eq!(compile(&empty, &options()).unwrap_err()[0].part, "message");
}
