//! Any text as an address, and as a name with an address: what is accepted reads back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(mailbox) = address::parse(text) {
        let wire = mailbox.smtp();
        assert!(!wire.contains(['\r', '\n', '\0']), "{wire:?}");
        let again = address::parse(&wire).expect("what we write is an address");
        assert_eq!(again.key(), mailbox.key());
        assert_eq!(again.smtp(), wire);
    }
    let _ = address::parse_named(text);
    let (name, address) = message::split_named(text);
    assert!(name.len() + address.len() <= text.len());
});
