//! Any text as a subject and as a sender's name: refused, or one header whose lines are short and which reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_parser::MessageParser;
use message::{
    Envelope, LINE_LEN_MAX, Prepared, Signer, SimpleMail, Slots, Stamp, TokenKeys, check_header_text, compose,
};

fuzz_target!(|text: &str| {
    let text = text.trim();
    let mail = SimpleMail {
        from_name: text.to_owned(),
        from_address: "news@shop.example".into(),
        subject: text.to_owned(),
        text: "x\n".into(),
        bounce_domain: "bounce.shop.example".into(),
    };
    let Ok(prepared) = Prepared::new(mail.snapshot(), |_| None) else { return };
    let envelope = Envelope { id: 1 << 28, address: "ann@example.org", flags: 0 };
    let keys = TokenKeys::derive(&[1; 32]);
    let composed =
        compose::<Signer>(&prepared, &Slots::default(), &envelope, &Stamp { time_us: 0 }, &[], &keys);
    let Ok(composed) = composed else {
        assert!(
            check_header_text(text).is_err() || text.is_empty(),
            "a text that can stand in a header is refused"
        );
        return;
    };
    assert!(composed.bytes.is_ascii());
    let head = composed.bytes.split(|octet| *octet == b'\n').take_while(|line| line.len() > 1);
    let mut fields = 0;
    for line in head {
        assert!(line.len() <= LINE_LEN_MAX + 1);
        fields += usize::from(!line.starts_with(b" ") && !line.starts_with(b"\t"));
    }
    assert!(fields < 20, "a text has made headers of its own");
    let message = MessageParser::default().parse(&composed.bytes).expect("a mail");
    assert_eq!(message.subject().unwrap_or_default(), text);
});
