//! Tokens, slots and snapshots from outside: nothing that we did not make is taken for ours, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{Purpose, Slots, Snapshot, TokenKeys};

fuzz_target!(|octets: &[u8]| {
    let keys = TokenKeys::derive(&[1; 32]);
    if let Ok(text) = std::str::from_utf8(octets) {
        for purpose in [Purpose::Unsubscribe, Purpose::Mirror, Purpose::Click, Purpose::Open] {
            assert_eq!(keys.verify_link(purpose, text), None);
        }
        assert_eq!(keys.verify_return_path(text), None);
        assert_eq!(keys.verify_message_id(text), None);
    }
    if let Ok(slots) = Slots::from_bytes(octets) {
        assert_eq!(Slots::from_bytes(&slots.to_bytes()).expect("what we write"), slots);
    }
    if let Ok(snapshot) = Snapshot::from_bytes(octets) {
        assert_eq!(Snapshot::from_bytes(&snapshot.to_bytes()).expect("what we write"), snapshot);
    }
});
