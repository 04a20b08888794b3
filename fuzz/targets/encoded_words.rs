//! Any text in a header, in each encoding: what comes back is the text with the replacements that the encoding knows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_parser::MessageParser;
use message::{Charset, Envelope, Prepared, Signer, SimpleMail, Slots, Stamp, TokenKeys, Variant, compose};

fuzz_target!(|input: (u8, &str)| {
    let (number, text) = input;
    let text = text.trim();
    let all: Vec<Charset> = Charset::all().collect();
    let charset = all[usize::from(number) % all.len()];
    let mail = SimpleMail {
        from_name: String::new(),
        from_address: "news@shop.example".into(),
        subject: text.to_owned(),
        text: text.to_owned(),
        bounce_domain: "bounce.shop.example".into(),
    };
    let mut snapshot = mail.snapshot();
    snapshot.variants = Variant::standard(charset);
    let Ok(prepared) = Prepared::new(snapshot, |_| None) else { return };
    let envelope = Envelope { id: 1 << 28, address: "ann@example.org", flags: 0 };
    let keys = TokenKeys::derive(&[1; 32]);
    let stamp = Stamp { time_us: 0 };
    let Ok(composed) = compose::<Signer>(&prepared, &Slots::default(), &envelope, &stamp, &[], &keys) else {
        return;
    };
    assert!(composed.bytes.is_ascii());
    for word in
        String::from_utf8_lossy(&composed.bytes).split_whitespace().filter(|word| word.starts_with("=?"))
    {
        assert!(word.len() <= 75 || !word.ends_with("?="), "{word}");
    }
    let message = MessageParser::default().parse(&composed.bytes).expect("a mail");
    // The reader's own encodings differ from ours in a few cells; whole texts of UTF-8 and of ASCII must be equal.
    if charset == Charset::UTF_8 || text.is_ascii() {
        assert_eq!(message.subject().unwrap_or_default(), text);
    }
});
