//! Every structure, encoding and file that a variant can name, read back by a parser of other origin.

#![allow(clippy::unwrap_used)] // a test may panic

mod fixture;
mod verify;

use std::sync::Arc;

use fixture::{ID, STAMP, constant, keys, parsed, part, snapshot};
use mail_parser::{Message, MimeHeaders, PartType};
use message::{
    Asset, BodyEncoding, CODES_MAX, Carrier, Charset, CharsetPlace, ComposeError, Composed, DkimKey,
    Envelope, FLAGS_LONG_LINES, HeaderError, ImageMode, KeyKind, Link, LinkKind, LinkMode, Part, PartName,
    Piece, Prepared, Purpose, Signer, Slots, Snapshot, SnapshotError, Structure, Token, TransferChoice,
    Variant, code_data, compose,
};
use proptest::prelude::*;

fn literal(text: &str) -> Piece {
    Piece::Literal(text.to_owned())
}

const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\nnot really a picture, but bytes all the same \x00\xff";
const TERMS: &[u8] = b"%PDF-1.7 terms";

fn asset(bytes: &[u8], content_type: &str, name: &str, inline: bool) -> Asset {
    Asset {
        hash: blake3::hash(bytes).to_hex().to_string(),
        content_type: content_type.into(),
        name: name.into(),
        size: bytes.len() as u64,
        inline,
    }
}

fn prepared(snapshot: Snapshot) -> Prepared {
    let stored = [PICTURE, TERMS].map(|bytes| (blake3::hash(bytes).to_hex().to_string(), bytes));
    let find = |hash: &str| {
        stored.iter().find(|(known, _)| known == hash).map(|(_, bytes)| Arc::<[u8]>::from(*bytes))
    };
    Prepared::new(snapshot, find).unwrap()
}

fn send(prepared: &Prepared, slots: &Slots, flags: i64, signers: &[Signer]) -> Composed {
    let envelope = Envelope { id: ID, address: "ann@example.org", flags };
    let composed = compose(prepared, slots, &envelope, &STAMP, signers, &keys()).unwrap();
    check_wire(&composed.bytes);
    composed
}

/// What every message on the wire must be. Bodies in 7bit and 8bit may begin lines with dots: the client doubles them.
fn check_wire(bytes: &[u8]) {
    assert!(bytes.ends_with(b"\r\n") && !bytes.contains(&0));
    for line in bytes.strip_suffix(b"\r\n").unwrap().split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r') && line.len() <= 998, "{}", String::from_utf8_lossy(line));
    }
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert!(bytes[..head].is_ascii());
}

fn signer() -> [Signer; 1] {
    [Signer::new("shop.example", "ed1", DkimKey::generate(KeyKind::Ed25519).unwrap()).unwrap()]
}

fn verified(composed: &Composed, signers: &[Signer]) {
    let txt = |_: &str| signers[0].txt_value().unwrap();
    // The verifier reads text; a body in 8bit is text of one octet a letter to it.
    assert_eq!(verify::signatures(&composed.bytes, txt), Ok(1));
}

/// The parts as a tree: `mixed(related(alternative(text/plain,text/html),image/png),application/pdf)`.
fn tree(message: &Message<'_>, number: usize) -> String {
    let part = &message.parts[number];
    let kind = part.content_type().unwrap();
    match &part.body {
        PartType::Multipart(children) => {
            let children: Vec<String> = children.iter().map(|child| tree(message, *child as usize)).collect();
            format!("{}({})", kind.subtype().unwrap(), children.join(","))
        }
        _ => format!("{}/{}", kind.ctype(), kind.subtype().unwrap()),
    }
}

fn tree_of(snapshot: &Snapshot, variant: Variant, slots: &Slots) -> String {
    let mut snapshot = snapshot.clone();
    snapshot.variants.push(variant);
    let number = snapshot.variants.len() as i64 - 1;
    let signers = signer();
    let composed = send(&prepared(snapshot), slots, number, &signers);
    verified(&composed, &signers);
    tree(&parsed(&composed.bytes), 0)
}

fn variant(structure: Structure) -> Variant {
    Variant::new(structure, Charset::UTF_8)
}

#[test]
fn parts_nest_as_readers_expect() {
    let mut base = snapshot(vec![
        part(
            PartName::Html,
            &["<p>h</p><img src=\"", "\">"],
            vec![Piece::Static(0), Piece::Link(LinkKind::Image(0)), Piece::Static(1)],
        ),
        constant(PartName::Text, "t"),
        constant(PartName::Amp, "<html amp4email></html>"),
        part(PartName::Attachment(0), &[], vec![]),
    ]);
    base.images = vec![asset(PICTURE, "image/png", "logo.png", false)];
    base.attachments = vec![asset(TERMS, "application/pdf", "terms.pdf", false)];
    let with = |name: &str| Slots { parts: vec![(PartName::Attachment(0), vec![literal(name)])] };
    let plain = variant(Structure::Alternative);
    let amp = Variant { amp: true, ..plain.clone() };
    let related = Variant { related: true, ..plain.clone() };
    let inline = Variant { images: ImageMode::Inline, ..plain.clone() };
    let html = Variant { images: ImageMode::Inline, ..variant(Structure::Html) };
    let all = Variant { amp: true, ..inline.clone() };
    for (case, name, expected) in [
        (plain, "", "alternative(text/plain,text/html)"),
        (amp, "", "alternative(text/plain,text/x-amp-html,text/html)"),
        (related, "", "related(alternative(text/plain,text/html))"),
        (inline.clone(), "", "related(alternative(text/plain,text/html),image/png)"),
        (html, "", "related(text/html,image/png)"),
        (variant(Structure::Html), "", "text/html"),
        (variant(Structure::Text), "", "text/plain"),
        (variant(Structure::Text), "T.pdf", "mixed(text/plain,application/pdf)"),
        (inline, "T.pdf", "mixed(related(alternative(text/plain,text/html),image/png),application/pdf)"),
        (
            all,
            "T.pdf",
            "mixed(related(alternative(text/plain,text/x-amp-html,text/html),image/png),application/pdf)",
        ),
    ] {
        assert_eq!(tree_of(&base, case, &with(name)), expected);
    }
}

#[test]
fn an_image_goes_along_or_is_a_url() {
    let mut base = snapshot(vec![
        part(
            PartName::Html,
            &["<img src=\"", "\"><img src=\"", "\">"],
            vec![
                Piece::Static(0),
                Piece::Link(LinkKind::Image(0)),
                Piece::Static(1),
                Piece::Link(LinkKind::Image(1)),
                Piece::Static(2),
            ],
        ),
        constant(PartName::Text, "t"),
    ]);
    base.images = vec![
        asset(PICTURE, "image/png", "ロゴ.png", true),
        asset(b"never asked for", "image/jpeg", "large.jpg", false),
    ];
    let url = format!("https://t.shop.example/a/{}.jpg", base.images[1].hash);
    let ready = prepared(base.clone());
    let composed = send(&ready, &Slots::default(), 0, &[]);
    let message = parsed(&composed.bytes);
    let picture = message.attachment(0).unwrap();
    assert_eq!(picture.contents(), PICTURE);
    assert_eq!(picture.attachment_name(), Some("ロゴ.png"));
    let id = picture.content_id().unwrap();
    assert_eq!(message.body_html(0).unwrap(), format!("<img src=\"cid:{id}\"><img src=\"{url}\">"));
    let shown = ready.part_text(PartName::Html, &Slots::default(), ID, &keys()).unwrap();
    assert!(!shown.contains("cid:") && shown.contains(&base.images[0].hash), "pages show URLs: {shown}");
    let text = send(&ready, &Slots::default(), 1, &[]);
    assert_eq!(tree(&parsed(&text.bytes), 0), "text/plain", "no picture without HTML");
    let refused = Prepared::new(base.clone(), |_| None).unwrap_err();
    assert!(matches!(refused, SnapshotError::Asset(name) if name == "ロゴ.png"));
    let refused = Prepared::new(base, |_| Some(Arc::from(&b"other bytes"[..]))).unwrap_err();
    assert!(matches!(refused, SnapshotError::Asset(_)));
}

#[test]
fn an_attachment_is_for_those_it_names() {
    let mut base = snapshot(vec![
        constant(PartName::Text, "t"),
        part(PartName::Attachment(0), &["Terms "], vec![]),
        constant(PartName::Attachment(1), "all.pdf"),
    ]);
    base.attachments = vec![asset(TERMS, "application/pdf", "terms.pdf", false); 2];
    let ready = prepared(base);
    let named = |pieces| Slots { parts: vec![(PartName::Attachment(0), pieces)] };
    let composed = send(&ready, &named(vec![Piece::Static(0), literal("Österreich/AT.pdf")]), 0, &[]);
    let message = parsed(&composed.bytes);
    let names: Vec<_> = message.attachments().map(|part| part.attachment_name().unwrap()).collect();
    assert_eq!(names, ["Terms Österreich_AT.pdf", "all.pdf"]);
    assert!(message.attachments().all(|part| part.contents() == TERMS));
    let composed = send(&ready, &named(vec![literal(" ")]), 0, &[]);
    assert_eq!(parsed(&composed.bytes).attachment_count(), 1);
    let envelope = Envelope { id: ID, address: "ann@example.org", flags: 0 };
    let hostile = named(vec![literal("a.pdf\"\r\nBcc: x@example.org")]);
    assert!(compose::<Signer>(&ready, &hostile, &envelope, &STAMP, &[], &keys()).is_err());
}

#[test]
fn links_lead_back_to_their_message() {
    let mut base = snapshot(vec![part(
        PartName::Text,
        &["<", "> <", "?p1=x> <", "> <", ">"],
        vec![
            Piece::Static(0),
            Piece::Link(LinkKind::Tracked(0)),
            Piece::Static(1),
            Piece::Link(LinkKind::Tracked(300)),
            Piece::Static(2),
            Piece::Link(LinkKind::Open),
            Piece::Static(3),
            Piece::Link(LinkKind::Mirror),
            Piece::Static(4),
        ],
    )]);
    base.links = vec![
        Link {
            url: "https://shop.example/".into(),
            label: "Shop".into(),
            category: String::new(),
            kind: LinkMode::Tracked
        };
        301
    ];
    let composed = send(&prepared(base), &Slots::default(), 1, &[]);
    let text = parsed(&composed.bytes).body_text(0).unwrap().into_owned();
    let token = |purpose| keys().link_token(purpose, Token { message: ID, inert: false });
    let (click, open, mirror) = (token(Purpose::Click), token(Purpose::Open), token(Purpose::Mirror));
    let at = "https://t.shop.example";
    let expected =
        format!("<{at}/l/{click}/0> <{at}/l/{click}/300?p1=x> <{at}/o/{open}.gif> <{at}/m/{mirror}>");
    assert_eq!(text.trim_end(), expected);
    assert!(keys().verify_link(Purpose::Open, &click).is_none());
}

#[test]
fn added_headers_are_one_recipients_own() {
    let mut base = snapshot(vec![
        constant(PartName::Text, "t"),
        part(PartName::Header(0), &["autumn "], vec![]),
        part(PartName::Header(1), &[], vec![]),
    ]);
    base.header_names = vec!["X-Season".into(), "X-Gold".into()];
    let ready = prepared(base.clone());
    let slots = |season: &str, gold: &str| Slots {
        parts: vec![
            (PartName::Header(0), vec![Piece::Static(0), literal(season)]),
            (PartName::Header(1), vec![literal(gold)]),
        ],
    };
    let composed = send(&ready, &slots("für alle", ""), 0, &[]);
    let message = parsed(&composed.bytes);
    let season = message.header_raw("X-Season").unwrap().trim();
    assert_eq!(season, "=?utf-8?Q?autumn_f=C3=BCr_alle?=");
    assert!(message.header("X-Gold").is_none());
    assert_eq!(message.header_raw("Precedence").unwrap().trim(), "bulk");
    assert_eq!(message.header_raw("Feedback-ID").unwrap().trim(), "42:shop:campaign:mailwright");
    let envelope = Envelope { id: ID, address: "ann@example.org", flags: 0 };
    let hostile = slots("x\r\nBcc: y@example.org", "");
    assert!(compose::<Signer>(&ready, &hostile, &envelope, &STAMP, &[], &keys()).is_err());
    base.header_names[1] = "Resent-To".into();
    let refused = Prepared::new(base, |_| None).unwrap_err();
    assert!(matches!(refused, SnapshotError::Header { error: HeaderError::Name, .. }));
}

/// A carrier's variant, as the format rules have it.
fn docomo() -> Variant {
    let html = BodyEncoding { charset: Charset::SHIFT_JIS, transfer: TransferChoice::EightBit };
    let text = BodyEncoding { charset: Charset::ISO_2022_JP, transfer: TransferChoice::SevenBit };
    Variant {
        related: true,
        images: ImageMode::Inline,
        carrier: Some(Carrier::Docomo),
        subject: Charset::SHIFT_JIS,
        html,
        text,
        ..variant(Structure::Alternative)
    }
}

#[test]
fn a_carrier_gets_its_encodings_and_geta_for_what_they_lack() {
    let mut base = snapshot(vec![
        part(PartName::Html, &["<p>ｱｷ 〜 ", "様</p>\n.dot\n"], vec![]),
        part(PartName::Text, &["ｱｷ 〜 ", "様\n"], vec![]),
        part(PartName::Subject, &["秋", ""], vec![]),
    ]);
    base.variants.push(docomo());
    let pieces = |text: &str| vec![Piece::Static(0), literal(text), Piece::Static(1)];
    let slots = Slots {
        parts: vec![
            (PartName::Html, pieces("山田é")),
            (PartName::Text, pieces("山田é")),
            (PartName::Subject, pieces("山田é")),
        ],
    };
    let ready = prepared(base);
    let composed = send(&ready, &slots, 3, &[]);
    let message = parsed(&composed.bytes);
    assert_eq!(tree(&message, 0), "related(alternative(text/plain,text/html))");
    assert_eq!(message.subject(), Some("秋山田〓"));
    assert_eq!(message.body_html(0).unwrap(), "<p>ｱｷ ～ 山田〓様</p>\r\n.dot\r\n");
    assert_eq!(message.body_text(0).unwrap(), "アキ ～ 山田〓様\r\n");
    let lossy = String::from_utf8_lossy(&composed.bytes);
    assert!(lossy.contains("charset=Shift_JIS\r\nContent-Transfer-Encoding: 8bit"));
    assert!(lossy.contains("charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit"));
    // Long lines: both bodies are base64 then.
    let long = send(&ready, &slots, 3 | FLAGS_LONG_LINES, &[]);
    assert!(long.bytes.is_ascii());
    assert_eq!(parsed(&long.bytes).body_text(0).unwrap(), "アキ ～ 山田〓様\r\n");
}

#[test]
fn what_an_encoding_lacks_goes_out_in_utf8() {
    let mut base = snapshot(vec![
        part(PartName::Html, &["<p>秋 ", "</p>"], vec![]),
        constant(PartName::Text, "秋"),
        part(PartName::Subject, &["秋 "], vec![]),
    ]);
    base.variants.push(Variant::new(Structure::Alternative, Charset::ISO_2022_JP));
    let slots = Slots {
        parts: vec![
            (PartName::Html, vec![Piece::Static(0), literal("😀"), Piece::Static(1)]),
            (PartName::Subject, vec![Piece::Static(0), literal("😀")]),
        ],
    };
    let signers = signer();
    let composed = send(&prepared(base), &slots, 3, &signers);
    verified(&composed, &signers);
    let message = parsed(&composed.bytes);
    assert_eq!(message.body_html(0).unwrap(), "<p>秋 😀</p>");
    assert_eq!(message.body_text(0).unwrap(), "秋");
    assert_eq!(message.subject(), Some("秋 😀"));
    let source = String::from_utf8(composed.bytes).unwrap();
    assert!(source.contains("text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit"));
    assert!(source.contains("text/html; charset=utf-8"));
    assert!(!source.contains("&#"));
}

#[test]
fn a_body_that_looks_like_a_boundary_is_not_plain() {
    let mut base = snapshot(vec![constant(PartName::Html, "h"), part(PartName::Text, &[], vec![])]);
    let plain = BodyEncoding { charset: Charset::UTF_8, transfer: TransferChoice::SevenBit };
    base.variants.push(Variant { text: plain, ..variant(Structure::Alternative) });
    let ready = prepared(base);
    for (text, transfer) in [
        ("plain\n", "7bit"),
        ("a\n--=_2a_alternative--\n", "base64"),
        ("ü\n", "base64"),
        ("a\0b", "base64"),
        (&"x".repeat(991), "base64"),
    ] {
        let slots = Slots { parts: vec![(PartName::Text, vec![literal(text)])] };
        let composed = send(&ready, &slots, 3, &[]);
        let message = parsed(&composed.bytes);
        assert_eq!(message.body_text(0).unwrap(), text.replace('\n', "\r\n"));
        let part = &message.parts[message.text_body[0] as usize];
        assert_eq!(part.content_transfer_encoding(), Some(transfer), "{text:?}");
    }
}

/// A code's part of the slots.
fn code(number: u8, image: &[u8]) -> (PartName, Vec<Piece>) {
    (PartName::Code(number), vec![literal(&code_data(image).unwrap())])
}

#[test]
fn a_code_goes_along_with_its_message() {
    let gif = b"GIF89a, or so it seems";
    let base = snapshot(vec![
        part(PartName::Html, &["<img src=\"", "\"><img src=\"", "\">"], vec![]),
        constant(PartName::Text, "t"),
        part(PartName::Attachment(0), &[], vec![]),
    ]);
    let ready =
        prepared(Snapshot { attachments: vec![asset(TERMS, "application/pdf", "terms.pdf", false)], ..base });
    let mut slots = Slots {
        parts: vec![
            (
                PartName::Html,
                vec![
                    Piece::Static(0),
                    Piece::Link(LinkKind::Code(1)),
                    Piece::Static(1),
                    Piece::Link(LinkKind::Code(0)),
                    Piece::Static(2),
                ],
            ),
            (PartName::Attachment(0), vec![]),
            code(0, PICTURE),
            code(1, gif),
        ],
    };
    slots = Slots::from_bytes(&slots.to_bytes()).unwrap();
    let signers = signer();
    let composed = send(&ready, &slots, 0, &signers);
    verified(&composed, &signers);
    let message = parsed(&composed.bytes);
    assert_eq!(tree(&message, 0), "related(alternative(text/plain,text/html),image/png,image/gif)");
    let ids: Vec<&str> = message.attachments().map(|part| part.content_id().unwrap()).collect();
    assert_eq!(
        message.body_html(0).unwrap(),
        format!("<img src=\"cid:{}\"><img src=\"cid:{}\">", ids[1], ids[0])
    );
    assert!(message.attachments().map(|part| part.contents()).eq([PICTURE, &gif[..]]));
    // Another message has other names, and the same message the same.
    let other = Envelope { id: ID + 1, address: "bob@example.org", flags: 0 };
    let other = compose::<Signer>(&ready, &slots, &other, &STAMP, &[], &keys()).unwrap();
    assert!(!String::from_utf8(other.bytes).unwrap().contains(ids[0]));
    assert_eq!(composed, send(&ready, &slots, 0, &signers));
    // A page shows them as data; a text has none; an attachment stands outside.
    let shown = ready.part_text(PartName::Html, &slots, ID, &keys()).unwrap();
    assert_eq!(shown.matches("<img src=\"data:image/").count(), 2, "{shown}");
    assert_eq!(tree(&parsed(&send(&ready, &slots, 1, &[]).bytes), 0), "text/plain");
    assert_eq!(
        tree(&parsed(&send(&ready, &slots, 2, &[]).bytes), 0),
        "related(text/html,image/png,image/gif)"
    );
    slots.parts[1].1 = vec![literal("T.pdf")];
    let mixed = send(&ready, &slots, 2, &signers);
    verified(&mixed, &signers);
    assert_eq!(
        tree(&parsed(&mixed.bytes), 0),
        "mixed(related(text/html,image/png,image/gif),application/pdf)"
    );
    // Without codes, the same delivery's message is what it was.
    slots.parts.truncate(2);
    slots.parts[0].1 = vec![Piece::Static(0)];
    assert_eq!(tree(&parsed(&send(&ready, &slots, 2, &[]).bytes), 0), "mixed(text/html,application/pdf)");
}

#[test]
fn what_is_no_picture_is_no_code() {
    let ready = prepared(snapshot(vec![constant(PartName::Html, "h")]));
    let envelope = Envelope { id: ID, address: "ann@example.org", flags: 0 };
    for hostile in ["", "data:image/png;base64,AAAA", "data:image/png;base64,\r\n\r\nx", "<script>"] {
        let slots = Slots { parts: vec![(PartName::Code(CODES_MAX - 1), vec![literal(hostile)])] };
        let composed = compose::<Signer>(&ready, &slots, &envelope, &STAMP, &[], &keys());
        assert_eq!(composed.unwrap_err(), ComposeError::Code(CODES_MAX - 1));
    }
}

#[test]
fn html_names_the_encoding_that_it_is_written_in() {
    let html = "<meta charset=\"UTF8\"><meta content='text/html; charset=x-sjis'>";
    let name = |text: &str| {
        let start = html.find(text).unwrap() as u32;
        CharsetPlace { segment: 0, start, end: start + text.len() as u32 }
    };
    let mut base = snapshot(vec![part(PartName::Html, &[html, "</p>"], vec![])]);
    base.charset_places = vec![name("UTF8"), name("x-sjis")];
    base.variants.push(Variant::new(Structure::Html, Charset::ISO_2022_JP));
    let bytes = base.to_bytes();
    assert!(bytes.starts_with(b"mailwright snapshot 3\n"));
    let ready = prepared(Snapshot::from_bytes(&bytes).unwrap());
    let of = |text: &str| Slots {
        parts: vec![(PartName::Html, vec![Piece::Static(0), literal(text), Piece::Static(1)])],
    };
    let sent = |text: &str, variant| {
        let composed = send(&ready, &of(text), variant, &[]);
        parsed(&composed.bytes).body_html(0).unwrap().trim_end().to_owned()
    };
    let named = |name: &str, text: &str| html.replace("UTF8", name).replace("x-sjis", name) + text + "</p>";
    assert_eq!(sent("秋", 3), named("ISO-2022-JP", "秋"));
    // One that cannot be written so goes out in UTF-8, and says so; the author's own word for it stays.
    let utf_8 = html.replace("x-sjis", "utf-8") + "😀</p>";
    assert_eq!(sent("😀", 3), utf_8);
    assert_eq!(sent("😀", 2), utf_8);
    assert_eq!(ready.part_text(PartName::Html, &of("😀"), ID, &keys()).unwrap(), utf_8);
    let refused = |change: fn(&mut CharsetPlace)| {
        let mut base = base.clone();
        change(&mut base.charset_places[1]);
        base.check().is_err()
    };
    assert!(refused(|place| place.segment = 2) && refused(|place| place.end = 999));
    assert!(refused(|place| place.start = 1) && refused(|place| place.end = place.start));
}

fn encodings() -> impl Strategy<Value = BodyEncoding> {
    let transfer = prop_oneof![
        Just(TransferChoice::Auto),
        Just(TransferChoice::SevenBit),
        Just(TransferChoice::EightBit),
        Just(TransferChoice::QuotedPrintable),
        Just(TransferChoice::Base64),
    ];
    let charset = prop_oneof![
        2 => Just(Charset::UTF_8),
        2 => Just(Charset::ISO_2022_JP),
        2 => Just(Charset::SHIFT_JIS),
        6 => (0usize..26).prop_map(|number| Charset::all().nth(number).unwrap()),
    ];
    (charset, transfer).prop_map(|(charset, transfer)| BodyEncoding { charset, transfer })
}

fn variants() -> impl Strategy<Value = Variant> {
    (encodings(), encodings(), 0usize..3, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(html, text, structure, related, inline, geta)| Variant {
            structure: [Structure::Alternative, Structure::Text, Structure::Html][structure],
            related,
            images: if inline { ImageMode::Inline } else { ImageMode::AsChosen },
            carrier: geta.then_some(Carrier::Au),
            amp: true,
            subject: html.charset,
            html,
            text,
        },
    )
}

fn texts() -> impl Strategy<Value = Vec<(String, bool)>> {
    let text = "([a-z=.F \t\n]|[é語あアｱﾞ〜€—]|From |\\.|--=_|[ぁ-ん]{1,9}){0,80}";
    proptest::collection::vec((text, any::<bool>()), 1..8)
}

/// What a reader shall see of a body.
fn expected(pieces: &[(String, bool)], encoding: BodyEncoding, geta: bool) -> String {
    let charset = encoding.charset;
    let lacks = |text: &str| charset.unmappable(text).is_some();
    let all = pieces.iter().map(|(text, _)| text.as_str());
    let text: String = if all.clone().any(lacks) && !geta {
        all.collect()
    } else {
        all.map(|text| charset.with_geta(text)).collect()
    };
    text.replace('\n', "\r\n")
}

/// Segments and literals of a text, and the same as one literal.
fn pieces_of(name: PartName, pieces: &[(String, bool)]) -> (Part, Vec<Piece>) {
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
    (Part::new(name, segments, vec![]), list)
}

fn body_of(message: &Message<'_>, subtype: &str) -> Option<String> {
    let is = |part: &&mail_parser::MessagePart<'_>| {
        part.content_type().and_then(|kind| kind.subtype()) == Some(subtype)
    };
    message.parts.iter().find(is).map(|part| part.text_contents().unwrap_or_default().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the variant: segments and one literal decode to the same, which is the text that was put in (with the
    /// equals of its encoding), and the signature holds.
    #[test]
    fn every_variant_gives_the_text_back(variant in variants(), html in texts(), text in texts(), subject in "[^\\p{Cc}]{1,60}", codes in proptest::collection::vec(any::<Vec<u8>>(), 0..3)) {
        let signers = signer();
        let geta = variant.carrier.is_some();
        let (mut cut, mut whole) = (Vec::new(), Vec::new());
        let (mut slots, mut whole_slots) = (Slots::default(), Slots::default());
        for (name, pieces) in [(PartName::Html, &html), (PartName::Text, &text)] {
            let (part, list) = pieces_of(name, pieces);
            slots.parts.push((name, list));
            // The fallback: what the pieces are together, each with its own equals.
            let one = pieces.iter().map(|(text, _)| text.as_str()).collect::<String>();
            whole_slots.parts.push((name, vec![Piece::Literal(one)]));
            whole.push(Part { segments: vec![], ..part.clone() });
            cut.push(part);
        }
        // Codes go along beside the bodies, which they do not change.
        let codes: Vec<Vec<u8>> = codes.iter().map(|octets| [PICTURE, octets].concat()).collect();
        for slots in [&mut slots, &mut whole_slots] {
            slots.parts.extend(codes.iter().enumerate().map(|(number, image)| code(number as u8, image)));
        }
        let subject_of = |parts: Vec<Part>| {
            let mut base = snapshot(parts.into_iter().chain([constant(PartName::Subject, &subject)]).collect());
            base.images = vec![asset(PICTURE, "image/png", "a.png", false)];
            base.variants.push(variant.clone());
            prepared(base)
        };
        let one = send(&subject_of(cut), &slots, 3, &signers);
        let other = send(&subject_of(whole), &whole_slots, 3, &signers);
        for composed in [&one, &other] {
            verified(composed, &signers);
        }
        let joined = |pieces: &[(String, bool)]| {
            vec![(pieces.iter().map(|(text, _)| text.as_str()).collect::<String>(), false)]
        };
        for (composed, html, text) in
            [(&one, html.clone(), text.clone()), (&other, joined(&html), joined(&text))]
        {
            let message = parsed(&composed.bytes);
            let trimmed = |text: Option<String>| text.map(|text| text.trim_end_matches("\r\n").to_owned());
            let along: Vec<&[u8]> = message
                .parts
                .iter()
                .filter(|part| part.content_id().is_some_and(|id| id.starts_with("code")))
                .map(|part| part.contents())
                .collect();
            prop_assert_eq!(along, if variant.structure == Structure::Text { vec![] } else { codes.iter().map(Vec::as_slice).collect() });
            if variant.structure != Structure::Text {
                let seen = trimmed(body_of(&message, "html"));
                prop_assert_eq!(seen, trimmed(Some(expected(&html, variant.html, geta))));
            }
            if variant.structure != Structure::Html {
                let seen = trimmed(body_of(&message, "plain"));
                prop_assert_eq!(seen, trimmed(Some(expected(&text, variant.text, geta))));
            }
        }
    }

    /// Bytes that are no snapshot, or nearly one, are refused; nothing panics.
    #[test]
    fn hostile_snapshots_never_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut base = snapshot(vec![constant(PartName::Text, "t"), constant(PartName::Header(0), "x")]);
        base.header_names = vec!["X-Season".into()];
        base.images = vec![asset(PICTURE, "image/png", "a.png", true)];
        base.variants.push(docomo());
        let mut bytes = base.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if with % 3 == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(snapshot) = Snapshot::from_bytes(&bytes) {
            let _ = Prepared::new(snapshot, |_| Some(Arc::from(PICTURE))).map(|prepared| {
                let envelope = Envelope { id: ID, address: "ann@example.org", flags: 3 };
                let _ = compose::<Signer>(&prepared, &Slots::default(), &envelope, &STAMP, &[], &keys());
            });
        }
    }

    /// Slots of any bytes, composed with a snapshot that is not theirs.
    #[test]
    fn hostile_slots_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), flags in any::<i64>()) {
        let mut known = vec![3];
        known.extend(bytes);
        if let Ok(slots) = Slots::from_bytes(&known) {
            let mut base = snapshot(vec![constant(PartName::Text, "t"), constant(PartName::Html, "h")]);
            base.attachments = vec![asset(TERMS, "application/pdf", "terms.pdf", false)];
            base.variants.push(docomo());
            let envelope = Envelope { id: ID, address: "ann@example.org", flags };
            let _ = compose::<Signer>(&prepared(base), &slots, &envelope, &STAMP, &[], &keys());
        }
    }
}

#[test]
fn no_byte_depends_on_the_receiver() {
    // Two recipients of two domains: but for the address and the tokens the messages are the same.
    let ready = prepared(snapshot(vec![constant(PartName::Html, "<p>h</p>"), constant(PartName::Text, "t")]));
    let to = |address| {
        let envelope = Envelope { id: ID, address, flags: 0 };
        let bytes =
            compose::<Signer>(&ready, &Slots::default(), &envelope, &STAMP, &[], &keys()).unwrap().bytes;
        String::from_utf8(bytes).unwrap().replace(address, "X")
    };
    assert_eq!(to("a@docomo.ne.jp"), to("b@example.org"));
}
