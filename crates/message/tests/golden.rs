//! Golden files: a snapshot, slots and keys as an earlier version wrote them, and the message that they must give
//! for as long as that snapshot format is known. One folder per case in `tests/golden`.
//!
//! `MAILWRIGHT_GOLDEN=write cargo test -p message --test golden` writes the files of a case that has none, and never
//! touches a file that exists: a difference is a broken promise, or a new format with a new case.

#![allow(clippy::unwrap_used)] // a test may panic

mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use message::{
    Asset, BodyEncoding, Carrier, Charset, CharsetPlace, DkimKey, Envelope, ImageMode, KeyKind, Link,
    LinkKind, LinkMode, Part, PartName, Piece, Prepared, Signer, Slots, Snapshot, Stamp, Structure,
    TokenKeys, Transfer, TransferChoice, VARIANT_ALTERNATIVE, VARIANT_HTML, Variant, code_data, compose,
};

struct Case {
    name: &'static str,
    variant: u8,
    make: fn() -> (Snapshot, Slots),
}

const CASES: [Case; 5] = [
    Case { name: "1-alternative", variant: VARIANT_ALTERNATIVE, make: alternative },
    Case { name: "1-base64-proof", variant: VARIANT_HTML, make: base64_proof },
    Case { name: "2-mixed", variant: VARIANT_ALTERNATIVE, make: mixed },
    Case { name: "2-docomo", variant: 3, make: docomo },
    Case { name: "3-codes", variant: 3, make: codes },
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

const PICTURE: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const TERMS: &[u8] = b"Terms that are the same for all.\n";

fn asset(bytes: &[u8], content_type: &str, name: &str, inline: bool) -> Asset {
    let hash = blake3::hash(bytes).to_hex().to_string();
    Asset { hash, content_type: content_type.into(), name: name.into(), size: bytes.len() as u64, inline }
}

/// An image that goes along, an attachment with a personal name, tracked links, an open pixel, headers of one's own.
fn mixed() -> (Snapshot, Slots) {
    let (mut snapshot, mut slots) = alternative();
    let html = part(
        PartName::Html,
        &["<p>Zoë, <a href=\"", "?p1=", "\">shop</a> <img src=\"", "\"></p><img src=\"", "\">\n"],
        vec![],
    );
    snapshot.parts.retain(|part| part.name != PartName::Html);
    snapshot.parts.push(html);
    snapshot.parts.push(part(PartName::Attachment(0), &["Bücher & Preise ", ".txt"], vec![]));
    snapshot.parts.push(part(PartName::Header(0), &["season "], vec![]));
    snapshot.parts.push(part(PartName::Header(1), &[], vec![]));
    snapshot.header_names = vec!["X-Campaign".into(), "X-Empty".into()];
    snapshot.precedence = "bulk".into();
    let link = |url: &str| Link {
        url: url.into(),
        label: "Shop".into(),
        category: "shop".into(),
        kind: LinkMode::Tracked,
    };
    snapshot.links = vec![link("https://shop.example/"), link("https://shop.example/?who={p1}")];
    snapshot.images = vec![asset(PICTURE, "image/gif", "ロゴ.gif", true)];
    snapshot.attachments = vec![asset(TERMS, "text/plain", "terms.txt", false)];
    slots.parts[0].1 = vec![
        Piece::Static(0),
        Piece::Link(LinkKind::Tracked(1)),
        Piece::Static(1),
        Piece::Literal("Zo%C3%AB".into()),
        Piece::Static(2),
        Piece::Link(LinkKind::Image(0)),
        Piece::Static(3),
        Piece::Link(LinkKind::Open),
        Piece::Static(4),
    ];
    let named = vec![Piece::Static(0), Piece::Literal("für Zoë".into()), Piece::Static(1)];
    slots.parts.push((PartName::Attachment(0), named));
    slots.parts.push((PartName::Header(0), vec![Piece::Static(0), Piece::Literal("été".into())]));
    slots.parts.push((PartName::Header(1), vec![]));
    (snapshot, slots)
}

/// A carrier's format: Shift_JIS in 8bit, ISO-2022-JP in 7bit, images along, U+3013 for what is lacking.
fn docomo() -> (Snapshot, Slots) {
    let text = ["ｱｷのお知らせ〜 ", "様 "];
    let html = ["<p>秋のお知らせ〜 ", "様</p>\n<img src=\"", "\">\n.\n"];
    let pieces = |rest: &[Piece]| {
        [&[Piece::Static(0), Piece::Literal("山田é".into()), Piece::Static(1)], rest].concat()
    };
    let subject = part(
        PartName::Subject,
        &["秋のお知らせ〜、この件名は折り返されるほど長いものです"],
        vec![Piece::Static(0)],
    );
    let mut snapshot =
        snapshot(vec![subject, part(PartName::Html, &html, vec![]), part(PartName::Text, &text, vec![])]);
    snapshot.images = vec![asset(PICTURE, "image/gif", "logo.gif", false)];
    let body = |charset, transfer| BodyEncoding { charset, transfer };
    snapshot.variants.push(Variant {
        related: true,
        images: ImageMode::Inline,
        carrier: Some(Carrier::Docomo),
        html: body(Charset::SHIFT_JIS, TransferChoice::EightBit),
        text: body(Charset::ISO_2022_JP, TransferChoice::SevenBit),
        ..Variant::new(Structure::Alternative, Charset::SHIFT_JIS)
    });
    let html = pieces(&[Piece::Link(LinkKind::Image(0)), Piece::Static(2)]);
    (snapshot, Slots { parts: vec![(PartName::Html, html), (PartName::Text, pieces(&[]))] })
}

/// Two codes of the message's own, and HTML that names its encoding.
fn codes() -> (Snapshot, Slots) {
    let html = ["<meta charset=\"utf-8\">\n<p>秋 <img src=\"", "\"><img src=\"", "\"></p>\n"];
    let subject = part(PartName::Subject, &["秋"], vec![Piece::Static(0)]);
    let mut snapshot = snapshot(vec![subject, part(PartName::Html, &html, vec![])]);
    snapshot.variants.push(Variant::new(Structure::Html, Charset::ISO_2022_JP));
    snapshot.charset_places = vec![CharsetPlace { segment: 0, start: 15, end: 20 }];
    let pieces = vec![
        Piece::Static(0),
        Piece::Link(LinkKind::Code(0)),
        Piece::Static(1),
        Piece::Link(LinkKind::Code(1)),
        Piece::Static(2),
    ];
    let code = |image| vec![Piece::Literal(code_data(image).unwrap())];
    let png = b"\x89PNG\r\n\x1a\nbytes that stand for a picture, long enough for a second line of base64";
    let parts =
        vec![(PartName::Html, pieces), (PartName::Code(0), code(png)), (PartName::Code(1), code(PICTURE))];
    (snapshot, Slots { parts })
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

fn stored_asset(hash: &str) -> Option<Arc<[u8]>> {
    [PICTURE, TERMS].into_iter().find(|bytes| blake3::hash(bytes).to_hex().as_str() == hash).map(Arc::from)
}

#[test]
fn stored_snapshots_give_the_messages_they_gave() {
    let signers = [signer(KeyKind::Rsa), signer(KeyKind::Ed25519)];
    let keys = TokenKeys::derive(&[9; 32]);
    for case in &CASES {
        let (snapshot, slots) = (case.make)();
        let stored_snapshot = file(&format!("{}/snapshot", case.name), || snapshot.to_bytes());
        let stored_slots = file(&format!("{}/slots", case.name), || slots.to_bytes());
        let prepared = Prepared::new(Snapshot::from_bytes(&stored_snapshot).unwrap(), stored_asset).unwrap();
        let slots = Slots::from_bytes(&stored_slots).unwrap();
        let envelope =
            Envelope { id: 42 << 28 | 123_456, address: "ann@example.org", flags: i64::from(case.variant) };
        let stamp = Stamp { time_us: 1_795_687_980_123_456 };
        let composed = compose(&prepared, &slots, &envelope, &stamp, &signers, &keys).unwrap();
        let expected = file(&format!("{}/message.eml", case.name), || composed.bytes.clone());
        let readable = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(readable(&composed.bytes), readable(&expected), "{}", case.name);
        assert_eq!(composed.bytes, expected, "{}", case.name);
        let txt = |selector: &str| signers[usize::from(selector == "ed25519")].txt_value().unwrap();
        assert_eq!(verify::signatures(&expected, txt), Ok(2), "{}", case.name);
    }
}
