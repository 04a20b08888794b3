//! What a message has to be, by the section of the RFC that says so.

#![allow(clippy::unwrap_used)] // a test may panic

mod fixture;

use fixture::{ID, STAMP, constant, keys, parsed, snapshot};
use message::{DkimKey, Envelope, KeyKind, PartName, Prepared, Signer, Slots, VARIANT_ALTERNATIVE, compose};

/// The fields of a message, names in lower case and values unfolded, and its body.
struct Wire {
    fields: Vec<(String, String)>,
    lines: Vec<String>,
}

impl Wire {
    fn of(bytes: &[u8]) -> Wire {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in head.split("\r\n") {
            match fields.last_mut() {
                Some((_, value)) if line.starts_with([' ', '\t']) => value.push_str(line),
                _ => {
                    let (name, value) = line.split_once(':').unwrap();
                    fields.push((name.to_ascii_lowercase(), value.to_owned()));
                }
            }
        }
        Wire { fields, lines: text.split("\r\n").map(str::to_owned).collect() }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.trim())
    }

    /// The tags of each signature.
    fn signatures(&self) -> Vec<Vec<(String, String)>> {
        let tags = |field: &str| {
            let pairs = field.split(';').filter_map(|pair| pair.split_once('='));
            pairs
                .map(|(name, value)| {
                    (name.trim().to_owned(), value.chars().filter(|c| !c.is_whitespace()).collect())
                })
                .collect()
        };
        self.all("dkim-signature").map(tags).collect()
    }
}

fn tag<'a>(signature: &'a [(String, String)], name: &str) -> Option<&'a str> {
    signature.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

fn covered(signature: &[(String, String)]) -> Vec<String> {
    tag(signature, "h").unwrap().to_ascii_lowercase().split(':').map(str::to_owned).collect()
}

fn signers() -> Vec<Signer> {
    let signer =
        |kind, selector| Signer::new("shop.example", selector, DkimKey::generate(kind).unwrap()).unwrap();
    vec![signer(KeyKind::Rsa, "rsa1"), signer(KeyKind::Ed25519, "ed1")]
}

fn message() -> Vec<u8> {
    let long = format!("<p>{} Grüße, 日本</p>\n.\n", "word ".repeat(2_000));
    let parts = vec![
        constant(
            PartName::Subject,
            "Grüße aus dem Süden, und noch einiges mehr, damit es lang wird: 日本語の件名",
        ),
        constant(PartName::Html, &long),
        constant(PartName::Text, &"x".repeat(5_000)),
    ];
    let envelope = Envelope { id: ID, address: "ann@example.org", flags: i64::from(VARIANT_ALTERNATIVE) };
    let prepared = Prepared::new(snapshot(parts), |_| None).unwrap();
    compose(&prepared, &Slots::default(), &envelope, &STAMP, &signers(), &keys()).unwrap().bytes
}

#[test]
fn rfc_5322_2_1_1_no_line_is_longer_than_998_and_none_has_a_bare_cr_or_lf() {
    let bytes = message();
    for line in Wire::of(&bytes).lines {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line}");
    }
}

#[test]
fn rfc_5322_3_6_each_field_stands_once_and_date_and_message_id_have_their_form() {
    let bytes = message();
    let wire = Wire::of(&bytes);
    for name in ["from", "to", "subject", "date", "message-id", "mime-version", "content-type", "reply-to"] {
        assert_eq!(wire.all(name).count(), 1, "{name}");
    }
    // Section 3.3, with the zone in digits.
    assert_eq!(wire.all("date").next(), Some("Thu, 26 Nov 2026 10:13:00 +0000"));
    let id = wire.all("message-id").next().unwrap();
    let (left, right) = id.strip_prefix('<').unwrap().strip_suffix('>').unwrap().split_once('@').unwrap();
    assert!(!left.is_empty() && right == "shop.example" && !id.contains(char::is_whitespace), "{id}");
}

#[test]
fn rfc_2047_2_encoded_words_are_short_and_give_the_text_back() {
    let bytes = message();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let at = text.find("\r\nSubject:").unwrap() + 2;
    let end = at + text[at..].find("\r\n").unwrap();
    let whole: Vec<&str> = text[at..]
        .split("\r\n")
        .enumerate()
        .take_while(|(n, line)| *n == 0 || line.starts_with([' ', '\t']))
        .map(|(_, line)| line)
        .collect();
    assert!(end > at && whole.iter().all(|line| line.len() <= 76), "{whole:?}");
    for word in whole.iter().flat_map(|line| line.split_whitespace()).filter(|word| word.starts_with("=?")) {
        assert!(word.len() <= 75 && word.ends_with("?="), "{word}");
    }
    let subject = "Grüße aus dem Süden, und noch einiges mehr, damit es lang wird: 日本語の件名";
    assert_eq!(parsed(&bytes).subject(), Some(subject));
}

#[test]
fn rfc_2369_3_2_and_rfc_8058_3_to_4_both_fields_stand_there_and_each_signature_covers_them() {
    let bytes = message();
    let wire = Wire::of(&bytes);
    let target = wire.all("list-unsubscribe").next().unwrap();
    assert!(target.starts_with("<https://") && target.ends_with('>'), "{target}");
    assert_eq!(wire.all("list-unsubscribe-post").collect::<Vec<_>>(), ["List-Unsubscribe=One-Click"]);
    for signature in wire.signatures() {
        for name in ["list-unsubscribe", "list-unsubscribe-post"] {
            assert!(covered(&signature).iter().any(|own| own == name), "{name}");
        }
    }
}

#[test]
fn rfc_6376_3_5_relaxed_over_the_whole_body_and_every_field_that_counts_once_more_than_it_stands_there() {
    let bytes = message();
    let wire = Wire::of(&bytes);
    assert_eq!(wire.signatures().len(), 2);
    for signature in wire.signatures() {
        assert_eq!((tag(&signature, "v"), tag(&signature, "c")), (Some("1"), Some("relaxed/relaxed")));
        assert_eq!(
            (tag(&signature, "d"), tag(&signature, "l")),
            (Some("shop.example"), None),
            "no part of it"
        );
        let names = covered(&signature);
        // Section 5.4.2: one more than there are, so that none can be put in front.
        for name in
            ["from", "to", "subject", "date", "message-id", "mime-version", "content-type", "reply-to"]
        {
            let times = names.iter().filter(|own| *own == name).count();
            assert_eq!(times, wire.all(name).count() + 1, "{name}");
        }
    }
}

#[test]
fn rfc_8301_3_sha256_and_keys_of_2048_bits() {
    let key = DkimKey::generate(KeyKind::Rsa).unwrap().txt_value().unwrap();
    let encoded = key.split("p=").nth(1).unwrap();
    // SubjectPublicKeyInfo of 2,048 bits is 294 octets: 392 letters of base64. Of 1,024 bits it were 216.
    assert!(encoded.trim().len() >= 392, "{key}");
    let algorithms: Vec<String> =
        Wire::of(&message()).signatures().iter().map(|one| tag(one, "a").unwrap().to_owned()).collect();
    assert!(algorithms.iter().all(|algorithm| algorithm.ends_with("-sha256")), "{algorithms:?}");
}

#[test]
fn rfc_8463_3_ed25519_signs_beside_rsa_and_not_instead() {
    let wire = Wire::of(&message());
    let algorithms: Vec<String> =
        wire.signatures().iter().map(|one| tag(one, "a").unwrap().to_owned()).collect();
    assert_eq!(algorithms, ["rsa-sha256", "ed25519-sha256"]);
    let record = DkimKey::generate(KeyKind::Ed25519).unwrap().txt_value().unwrap();
    // Section 4.2: the bare key, 32 octets.
    let encoded = record.split("p=").nth(1).unwrap().trim();
    assert!(record.contains("k=ed25519") && encoded.len() == 44, "{record}");
}
