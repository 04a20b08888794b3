//! Newsletters: each compiles, is composed and reads back as the same HTML, with one warning for the merge tags of
//! another system. One newsletter is kept here; the folder that `MAILWRIGHT_CORPUS` names (or `../shared/corpus`
//! from the workspace) adds real ones where it is present.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::{Path, PathBuf};

use content::{CompileOptions, Draft, Fields, compile};
use message::{Envelope, PartName, Prepared, Signer, Slots, Stamp, TokenKeys, compose};

const OWN: &str = include_str!("newsletter.html");

fn corpus() -> Vec<(String, String)> {
    let root = std::env::var_os("MAILWRIGHT_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let mut newsletters = vec![("newsletter.html".to_owned(), OWN.to_owned())];
    if let Ok(folder) = std::fs::read_dir(root.join("newsletters/html")) {
        for entry in folder {
            let path = entry.unwrap().path();
            newsletters.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    newsletters
}

fn draft(html: String) -> Draft {
    Draft {
        from_name: "Shop".into(),
        from_address: "news@shop.example".into(),
        subject: "News".into(),
        preheader: "What is new".into(),
        html: Some(html),
        ..Draft::default()
    }
}

fn options() -> CompileOptions {
    CompileOptions {
        delivery: 3,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        list_unsubscribe: true,
        ..CompileOptions::default()
    }
}

fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

#[test]
fn every_newsletter_is_sent_as_it_is() {
    let fields = Fields::from_pairs([("first_name", "Ann")]);
    for (name, html) in corpus() {
        let mut plain = draft(html.clone());
        plain.preheader = String::new();
        let compiled =
            compile(&plain, &options()).unwrap_or_else(|problems| panic!("{name}: {}", problems[0]));
        let expected = usize::from(html.contains("*|"));
        assert_eq!(compiled.warnings.len(), expected, "{name}: {:?}", compiled.warnings);
        assert!(compiled.warnings.iter().all(|warning| warning.part == "html" && warning.line > 0), "{name}");
        let slots = compiled.evaluate(&fields, 0).unwrap().slots;
        let read = read_back(compiled.snapshot, &slots);
        assert_eq!(read.0, unix(&html), "{name}");
        assert!(read.1.len() > 100 && !read.1.contains("</"), "{name}: {}", read.1);
    }
}

/// With a tag in the midst of its text, a preheader and a personal subject.
#[test]
fn every_newsletter_can_be_personalised() {
    let fields = Fields::from_pairs([("first_name", "Ann & Bob")]);
    for (name, html) in corpus() {
        let at = html.find("<td").unwrap_or(0);
        let at = at + html[at..].find('>').unwrap() + 1;
        let personal = format!("{}{{{{ first_name }}}}{}", &html[..at], &html[at..]);
        let compiled = compile(&draft(personal), &options())
            .unwrap_or_else(|problems| panic!("{name}: {}", problems[0]));
        let slots = compiled.evaluate(&fields, 0).unwrap().slots;
        assert!(slots.to_bytes().len() < 60, "{name}: static text went into the slots");
        let (read, text) = read_back(compiled.snapshot, &slots);
        let block = read.find("<div style=\"display:none").unwrap();
        let end = block + read[block..].find("</div>").unwrap() + 6;
        let without = format!("{}{}", &read[..block], &read[end..]);
        assert_eq!(without.replacen("Ann &amp; Bob", "", 1), unix(&html), "{name}");
        assert!(text.contains("Ann & Bob"), "{name}");
    }
}

/// HTML and text as a mail program decodes them.
fn read_back(snapshot: message::Snapshot, slots: &Slots) -> (String, String) {
    let prepared = Prepared::new(snapshot, |_| None).unwrap();
    let envelope = Envelope { id: 3 << 28, address: "ann@example.org", flags: 0 };
    let keys = TokenKeys::derive(&[2; 32]);
    let stamp = Stamp { time_us: 1_795_687_980_000_000 };
    let composed = compose::<Signer>(&prepared, slots, &envelope, &stamp, &[], &keys).unwrap();
    assert!(prepared.snapshot().part(PartName::Text).is_some());
    let message = mail_parser::MessageParser::default().parse(&composed.bytes).unwrap();
    let part = |at: usize| unix(message.parts[at].text_contents().unwrap());
    (part(2), part(1))
}
