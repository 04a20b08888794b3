//! Golden files: a snapshot, slots and keys as an earlier version wrote them, and the message that they must give
//! for as long as that snapshot format is known. One folder per case in `tests/golden`.
//!
//! `MAILWRIGHT_GOLDEN=write cargo test -p message --test golden` writes the files of a case that has none, and never
//! touches a file that exists: a difference is a broken promise, or a new format with a new case.

#![allow(clippy::unwrap_used)] // a test may panic

mod verify;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use message::{
    DkimKey, Envelope, KeyKind, LinkKind, Part, PartName, Piece, Prepared, Signer, Slots, Snapshot, Stamp,
    TokenKeys, Transfer, VARIANT_ALTERNATIVE, VARIANT_HTML, compose,
};

struct Case {
    name: &'static str,
    variant: u8,
    make: fn() -> (Snapshot, Slots),
}

const CASES: [Case; 2] = [
    Case { name: "1-alternative", variant: VARIANT_ALTERNATIVE, make: alternative },
    Case { name: "1-base64-proof", variant: VARIANT_HTML, make: base64_proof },
];

fn part(name: PartName, segments: &[&str], usual: Vec<Piece>) -> Part {
    let segments: Vec<String> = segments.iter().map(|text| (*text).to_owned()).collect();
    Part { name, transfer: Transfer::for_text(&segments), segments, usual }
}

fn snapshot(parts: Vec<Part>) -> Snapshot {
    let mut all = vec![
        part(PartName::FromName, &["Bücher & mehr"], vec![Piece::Static(0)]),
        part(PartName::FromAddress, &["news@shop.example"], vec![Piece::Static(0)]),
        part(PartName::ReplyTo, &["\"Help, please\" <help@shop.example>"], vec![Piece::Static(0)]),
    ];
    all.extend(parts);
    Snapshot {
        delivery: 42,
        inert: false,
        subject_prefix: String::new(),
        parts: all,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        message_id_domain: "shop.example".into(),
        list_unsubscribe: true,
        feedback_id: "42:shop:campaign:mailwright".into(),
        headers: vec![("X-Season".into(), "autumn".into())],
        ..Snapshot::default()
    }
}

fn alternative() -> (Snapshot, Slots) {
    let html = part(
        PartName::Html,
        &[
            "<html><body>\n  <p>Dear ",
            ",</p>\n.dot\nFrom here  on: ",
            " <a href=\"",
            "\">unsubscribe</a> =\n</body></html>\n",
        ],
        vec![],
    );
    let text = part(
        PartName::Text,
        &["News for everybody.\nUnsubscribe: ", "\n"],
        vec![Piece::Static(0), Piece::Link(LinkKind::Unsubscribe), Piece::Static(1)],
    );
    let subject = part(
        PartName::Subject,
        &["", ", the autumn is here, and with it a subject that has to be folded somewhere"],
        vec![],
    );
    let slots = Slots {
        parts: vec![
            (
                PartName::Html,
                vec![
                    Piece::Static(0),
                    Piece::Literal("Zoë &amp; 太郎".into()),
                    Piece::Static(1),
                    Piece::Literal(
                        "a value that is long enough to need a soft break somewhere in its midst, surely "
                            .into(),
                    ),
                    Piece::Static(2),
                    Piece::Link(LinkKind::Unsubscribe),
                    Piece::Static(3),
                ],
            ),
            (PartName::Subject, vec![Piece::Literal("Zoë".into()), Piece::Static(1)]),
        ],
    };
    (snapshot(vec![subject, html, text]), slots)
}

fn base64_proof() -> (Snapshot, Slots) {
    let html = part(PartName::Html, &["<p>", "様、秋のお知らせです。ぜひご覧ください。</p>\n"], vec![]);
    let subject = part(PartName::Subject, &["秋のお知らせ"], vec![Piece::Static(0)]);
    let slots = Slots {
        parts: vec![(
            PartName::Html,
            vec![Piece::Static(0), Piece::Literal("山田".into()), Piece::Static(1)],
        )],
    };
    let mut proof = snapshot(vec![subject, html]);
    proof.inert = true;
    proof.subject_prefix = "Proof #2: ".into();
    (proof, slots)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The file's bytes; in writing mode, made when absent.
fn file(name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = golden().join(name);
    if !path.exists() && std::env::var("MAILWRIGHT_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, make()).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn signer(kind: KeyKind) -> Signer {
    let made = || STANDARD.encode(DkimKey::generate(kind).unwrap().to_pkcs8().unwrap()).into_bytes();
    let stored = file(&format!("test-key-{}.pkcs8.b64", kind.as_str()), made);
    let key = DkimKey::from_pkcs8(kind, &STANDARD.decode(stored.trim_ascii()).unwrap()).unwrap();
    Signer::new("shop.example", kind.as_str(), key).unwrap()
}

#[test]
fn stored_snapshots_give_the_messages_they_gave() {
    let signers = [signer(KeyKind::Rsa), signer(KeyKind::Ed25519)];
    let keys = TokenKeys::derive(&[9; 32]);
    for case in &CASES {
        let (snapshot, slots) = (case.make)();
        let stored_snapshot = file(&format!("{}/snapshot", case.name), || snapshot.to_bytes());
        let stored_slots = file(&format!("{}/slots", case.name), || slots.to_bytes());
        let prepared = Prepared::new(Snapshot::from_bytes(&stored_snapshot).unwrap(), |_| None).unwrap();
        let slots = Slots::from_bytes(&stored_slots).unwrap();
        let envelope =
            Envelope { id: 42 << 28 | 123_456, address: "ann@example.org", flags: i64::from(case.variant) };
        let stamp = Stamp { time_us: 1_795_687_980_123_456 };
        let composed = compose(&prepared, &slots, &envelope, &stamp, &signers, &keys).unwrap();
        let expected = file(&format!("{}/message.eml", case.name), || composed.bytes.clone());
        let (got, expected) =
            (String::from_utf8(composed.bytes).unwrap(), String::from_utf8(expected).unwrap());
        assert_eq!(got, expected, "{}", case.name);
        let txt = |selector: &str| signers[usize::from(selector == "ed25519")].txt_value().unwrap();
        assert_eq!(verify::signatures(got.as_bytes(), txt), Ok(2), "{}", case.name);
    }
}
