//! Composed messages, read back by a parser of other origin (mail-parser) and by a DKIM verifier of our own that
//! shares no code with the signer.

#![allow(clippy::unwrap_used)] // a test may panic

mod fixture;
mod verify;

use fixture::{ID, STAMP, constant, keys, parsed, part, snapshot};
use mail_parser::{Message, MimeHeaders};
use message::{
    ComposeError, Composed, DkimKey, Envelope, KeyKind, LinkKind, Part, PartName, Piece, Prepared, Purpose,
    Signer, SimpleMail, Slots, Snapshot, Token, Transfer, VARIANT_ALTERNATIVE, VARIANT_HTML, VARIANT_TEXT,
    compose,
};
use proptest::prelude::*;

fn envelope(variant: u8) -> Envelope<'static> {
    Envelope { id: ID, address: "Ann@example.org", flags: i64::from(variant) }
}

fn sent(snapshot: Snapshot, slots: &Slots, format: u8, signers: &[Signer]) -> Composed {
    let prepared = Prepared::new(snapshot, |_| None).unwrap();
    compose(&prepared, slots, &envelope(format), &STAMP, signers, &keys()).unwrap()
}

/// What every message on the wire must be.
fn check_wire(bytes: &[u8]) {
    assert!(bytes.is_ascii() && bytes.ends_with(b"\r\n") && !bytes.contains(&0));
    let text = std::str::from_utf8(bytes).unwrap();
    for line in text.strip_suffix("\r\n").unwrap().split("\r\n") {
        assert!(!line.contains(['\r', '\n']), "bare CR or LF: {line:?}");
        assert!(line.len() <= 998 && !line.starts_with('.'), "{line:?}");
    }
    let body = text.split_once("\r\n\r\n").unwrap().1;
    assert!(body.split("\r\n").all(|line| line.len() <= 76));
}

fn signers() -> Vec<Signer> {
    let signer =
        |kind, selector| Signer::new("shop.example", selector, DkimKey::generate(kind).unwrap()).unwrap();
    vec![signer(KeyKind::Rsa, "rsa1"), signer(KeyKind::Ed25519, "ed1")]
}

#[test]
fn a_message_says_what_was_put_in() {
    let html = part(PartName::Html, &["<p>Grüße, ", "</p>\n<a href=\"", "\">no more</a>\n"], vec![]);
    let text = part(PartName::Text, &["Hello ", "\n"], vec![]);
    let html_pieces = vec![
        Piece::Static(0),
        Piece::Literal("Ann &amp; Bob".into()),
        Piece::Static(1),
        Piece::Link(LinkKind::Unsubscribe),
        Piece::Static(2),
    ];
    let text_pieces = vec![Piece::Static(0), Piece::Literal("Ann & Bob".into()), Piece::Static(1)];
    let slots = Slots { parts: vec![(PartName::Html, html_pieces), (PartName::Text, text_pieces)] };
    let composed = sent(snapshot(vec![html, text]), &slots, VARIANT_ALTERNATIVE, &signers()[1..]);
    check_wire(&composed.bytes);
    let message = parsed(&composed.bytes);
    let unsubscribe = format!(
        "https://t.shop.example/u/{}",
        keys().link_token(Purpose::Unsubscribe, Token { message: ID, inert: false })
    );
    assert_eq!(message.body_text(0).unwrap(), "Hello Ann & Bob\r\n");
    assert_eq!(
        message.body_html(0).unwrap(),
        format!("<p>Grüße, Ann &amp; Bob</p>\r\n<a href=\"{unsubscribe}\">no more</a>\r\n")
    );
    assert_eq!(message.subject(), Some("Hello"));
    assert_eq!(message.from().unwrap().first().unwrap().name(), Some("Example Shop"));
    assert_eq!(message.reply_to().unwrap().first().unwrap().name(), Some("Help, please"));
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("Ann@example.org"));
    assert_eq!(message.message_id(), Some(composed.message_id.as_str()));
    assert_eq!(message.date().unwrap().to_timestamp(), 1_795_687_980);
    assert_eq!(message.header_raw("List-Unsubscribe-Post").unwrap().trim(), "List-Unsubscribe=One-Click");
    assert_eq!(message.header_raw("List-Unsubscribe").unwrap().trim(), format!("<{unsubscribe}>"));
    assert_eq!(message.header_raw("X-Year").unwrap().trim(), "2026");
    assert!(message.content_type().unwrap().attribute("boundary").unwrap().contains("=_"));
    let local = composed.return_path.strip_suffix("@bounce.shop.example").unwrap();
    assert_eq!(keys().verify_return_path(local), Some(Token { message: ID, inert: false }));
}

#[test]
fn the_recipient_chooses_the_format() {
    let both = || snapshot(vec![constant(PartName::Html, "<p>h</p>"), constant(PartName::Text, "t")]);
    let kind = |format| {
        let composed = sent(both(), &Slots::default(), format, &[]);
        check_wire(&composed.bytes);
        let message = parsed(&composed.bytes);
        message.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap())).unwrap()
    };
    assert_eq!(kind(VARIANT_ALTERNATIVE), "multipart/alternative");
    assert_eq!(kind(VARIANT_TEXT), "text/plain");
    assert_eq!(kind(VARIANT_HTML), "text/html");
    let lone =
        sent(snapshot(vec![constant(PartName::Html, "<p>h</p>")]), &Slots::default(), VARIANT_TEXT, &[]);
    assert!(String::from_utf8_lossy(&lone.bytes).contains("Content-Type: text/html"));
}

#[test]
fn both_signatures_hold_for_every_shape_of_body() {
    let signers = signers();
    let text_with_blanks = "a  b \t c\n\n\n  d   \n\n\n";
    let slots = Slots {
        parts: vec![(
            PartName::Html,
            vec![Piece::Static(0), Piece::Literal(" x  y ".into()), Piece::Static(1)],
        )],
    };
    let personal = || part(PartName::Html, &["<b>  1\t ", "  2</b>\n\n"], vec![]);
    let shapes = [
        (vec![constant(PartName::Text, text_with_blanks)], Slots::default()),
        (vec![constant(PartName::Text, "\n\n\n")], Slots::default()),
        (
            vec![constant(PartName::Text, text_with_blanks), constant(PartName::Html, "<p>  é </p>")],
            Slots::default(),
        ),
        (vec![constant(PartName::Text, text_with_blanks), personal()], slots.clone()),
        (vec![personal()], slots.clone()),
        (vec![constant(PartName::Text, "お知らせです。\n"), personal()], slots.clone()),
        (vec![constant(PartName::Html, "<p>お知らせです。お知らせです。</p>\n")], Slots::default()),
    ];
    for (number, (parts, slots)) in shapes.into_iter().enumerate() {
        for format in [VARIANT_ALTERNATIVE, VARIANT_TEXT, VARIANT_HTML] {
            let composed = sent(snapshot(parts.clone()), &slots, format, &signers);
            check_wire(&composed.bytes);
            let txt = |selector: &str| {
                // The records are made from stored keys, as the DNS would have them.
                let at = usize::from(selector == "ed1");
                txt_of(&signers[at])
            };
            assert_eq!(verify::signatures(&composed.bytes, txt), Ok(2), "shape {number}, {format:?}");
            let mut changed = composed.bytes.clone();
            let at = changed.len() - 4;
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let unchanged_meaning = composed.bytes[at].is_ascii_whitespace();
            assert!(
                unchanged_meaning || verify::signatures(&changed, txt).is_err(),
                "shape {number}, {format:?}"
            );
        }
    }
}

fn txt_of(signer: &Signer) -> String {
    signer.txt_value().unwrap()
}

#[test]
fn an_added_header_breaks_the_signature() {
    let signers = signers();
    let composed =
        sent(snapshot(vec![constant(PartName::Text, "t")]), &Slots::default(), VARIANT_TEXT, &signers);
    let txt = |selector: &str| txt_of(&signers[usize::from(selector == "ed1")]);
    for header in [
        "From: evil@example.org",
        "Sender: evil@example.org",
        "Reply-To: evil@example.org",
        "Subject: other",
        "Date: Thu, 1 Jan 1970 00:00:00 +0000",
        "To: x@example.org",
        "Cc: x@example.org",
        "Message-ID: <x@example.org>",
        "In-Reply-To: <x@example.org>",
        "References: <x@example.org>",
        "MIME-Version: 1.0",
        "Content-Type: text/html",
        "List-Unsubscribe: <https://e.example>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ] {
        let forged = [header.as_bytes(), b"\r\n", &composed.bytes].concat();
        assert!(verify::signatures(&forged, txt).is_err(), "{header}");
    }
}

#[test]
fn the_same_call_gives_the_same_bytes() {
    let signers = signers();
    let make =
        || sent(snapshot(vec![constant(PartName::Text, "t")]), &Slots::default(), VARIANT_TEXT, &signers);
    assert_eq!(make(), make());
    let digest = make().digest;
    assert_eq!(digest, blake3::hash(&make().bytes).as_bytes()[..16]);
}

#[test]
fn a_slot_cannot_leave_its_header() {
    for (name, text) in [
        (PartName::Subject, "Hi\r\nBcc: x@example.org"),
        (PartName::Subject, "Hi\0"),
        (PartName::FromName, "Shop\nBcc: x@example.org"),
        (PartName::FromAddress, "a@b.example>\r\nBcc: x@example.org"),
        (PartName::FromAddress, "a@b.example, c@d.example"),
        (PartName::ReplyTo, "x <a@b.example\r\nBcc: y@z.example>"),
        (PartName::ErrorAddress, "a@b.example> SIZE=1"),
    ] {
        let base = snapshot(vec![constant(PartName::Text, "t"), part(name, &[], vec![])]);
        let slots = Slots { parts: vec![(name, vec![Piece::Literal(text.into())])] };
        let prepared = Prepared::new(base, |_| None).unwrap();
        let result = compose::<Signer>(&prepared, &slots, &envelope(VARIANT_TEXT), &STAMP, &[], &keys());
        assert!(matches!(result, Err(ComposeError::Header { .. })), "{name:?} {text:?}");
    }
    let prepared = Prepared::new(snapshot(vec![constant(PartName::Text, "t")]), |_| None).unwrap();
    for address in ["a@b.example\r\nBcc: x@example.org", "a b@example.org", "<a@b.example>", "nobody"] {
        let envelope = Envelope { id: 1, address, flags: i64::from(VARIANT_TEXT) };
        let result = compose::<Signer>(&prepared, &Slots::default(), &envelope, &STAMP, &[], &keys());
        assert!(matches!(result, Err(ComposeError::Header { part: "to", .. })), "{address:?}");
    }
}

#[test]
fn slots_of_another_snapshot_are_an_error() {
    let prepared = Prepared::new(snapshot(vec![part(PartName::Text, &["a"], vec![])]), |_| None).unwrap();
    let make = |slots: &Slots| {
        compose::<Signer>(&prepared, slots, &envelope(VARIANT_TEXT), &STAMP, &[], &keys()).unwrap_err()
    };
    assert_eq!(make(&Slots::default()), ComposeError::NoPieces(PartName::Text));
    let other = Slots { parts: vec![(PartName::Text, vec![Piece::Static(1)])] };
    assert_eq!(make(&other), ComposeError::Segment { part: PartName::Text, number: 1 });
}

#[test]
fn proofs_are_named_and_inert() {
    let mut proof = snapshot(vec![constant(PartName::Text, "t")]);
    proof.inert = true;
    proof.subject_prefix = "Proof #3: ".into();
    let composed = sent(proof, &Slots::default(), VARIANT_TEXT, &[]);
    let message = parsed(&composed.bytes);
    assert_eq!(message.subject(), Some("Proof #3: Hello"));
    let link = message.header_raw("List-Unsubscribe").unwrap().trim().to_owned();
    let token = link.trim_end_matches('>').rsplit('/').next().unwrap();
    assert_eq!(keys().verify_link(Purpose::Unsubscribe, token), Some(Token { message: ID, inert: true }));
}

#[test]
fn an_address_that_is_not_ascii_is_said() {
    let prepared = Prepared::new(snapshot(vec![constant(PartName::Text, "t")]), |_| None).unwrap();
    let send = |address| {
        let envelope = Envelope { id: 1, address, flags: i64::from(VARIANT_TEXT) };
        compose::<Signer>(&prepared, &Slots::default(), &envelope, &STAMP, &[], &keys()).unwrap()
    };
    assert!(send("müller@example.org").smtputf8);
    let quoted = send("\"a..b\"@docomo.ne.jp");
    assert!(!quoted.smtputf8);
    assert!(String::from_utf8(quoted.bytes).unwrap().contains("\r\nTo: \"a..b\"@docomo.ne.jp\r\n"));
}

#[test]
fn a_simple_mail_needs_no_slots() {
    let mail = SimpleMail {
        from_name: "Mailwright".into(),
        from_address: "test@shop.example".into(),
        subject: "It works".into(),
        text: "This is a test.\n".into(),
        bounce_domain: "bounce.shop.example".into(),
    };
    let composed = sent(mail.snapshot(), &Slots::default(), VARIANT_ALTERNATIVE, &[]);
    check_wire(&composed.bytes);
    assert_eq!(parsed(&composed.bytes).body_text(0).unwrap(), "This is a test.\r\n");
}

fn texts() -> impl Strategy<Value = Vec<(String, bool)>> {
    proptest::collection::vec(("([a-zé語=.F \t\n]|From |\\.|--=_){0,160}", any::<bool>()), 1..10)
}

proptest! {
    /// Segments and the one-literal fallback decode to the same text, whatever the encoding, and the signature over
    /// the cached hash holds.
    #[test]
    fn segments_and_one_literal_are_the_same_text(html in texts(), text in texts(), base64 in any::<bool>()) {
        let transfer = if base64 { Transfer::Base64 } else { Transfer::QuotedPrintable };
        let signer = [Signer::new("shop.example", "ed1", DkimKey::generate(KeyKind::Ed25519).unwrap()).unwrap()];
        let mut cut = Vec::new();
        let mut whole = Vec::new();
        let mut slots = Slots::default();
        let mut whole_slots = Slots::default();
        for (name, pieces) in [(PartName::Html, &html), (PartName::Text, &text)] {
            let mut segments = Vec::new();
            let mut list = Vec::new();
            for (text, is_static) in pieces {
                if *is_static {
                    list.push(Piece::Static(segments.len() as u32));
                    segments.push(text.clone());
                } else {
                    list.push(Piece::Literal(text.clone()));
                }
            }
            let all: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
            slots.parts.push((name, list));
            whole_slots.parts.push((name, vec![Piece::Literal(all)]));
            cut.push(Part { name, segments, usual: vec![], transfer });
            whole.push(Part { name, segments: vec![], usual: vec![], transfer });
        }
        let one = sent(snapshot(cut), &slots, VARIANT_ALTERNATIVE, &signer);
        let other = sent(snapshot(whole), &whole_slots, VARIANT_ALTERNATIVE, &signer);
        check_wire(&one.bytes);
        check_wire(&other.bytes);
        for composed in [&one, &other] {
            prop_assert_eq!(verify::signatures(&composed.bytes, |_| txt_of(&signer[0])), Ok(1));
        }
        let (one, other) = (parsed(&one.bytes), parsed(&other.bytes));
        let all = |pieces: &[(String, bool)]| {
            pieces.iter().map(|(text, _)| text.as_str()).collect::<String>().replace('\n', "\r\n")
        };
        for message in [&one, &other] {
            prop_assert_eq!(raw_text(message, 2), all(&html));
            prop_assert_eq!(raw_text(message, 1), all(&text));
        }
    }
}

fn raw_text(message: &Message<'_>, part: usize) -> String {
    message.parts[part].text_contents().unwrap_or_default().to_owned()
}
