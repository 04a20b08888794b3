//! An event, and its octets in a segment file.
//!
//! A frame is the payload's length (u32, little endian), the first four octets of its BLAKE3, and the payload: format
//! octet 1, kind, flags (1: a machine), link + 1 or 0 (u32), message (i64), time (i64), then client and agent, each with
//! its length before it (u16). Fixed widths, because a person may have to read the file with a hex dump.

use crate::limits::{AGENT_CHARS_MAX, CLIENT_LEN_MAX, EVENT_SIZE_MAX};

const FORMAT: u8 = 1;
const MACHINE: u8 = 1;
/// Octets before each payload.
pub(crate) const FRAME_HEAD: usize = 8;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// The open pixel was fetched.
    Open = 1,
    /// A tracked link was followed.
    Click = 2,
    /// The mirror page was seen.
    Mirror = 3,
    /// With a link: an opt-out link was followed. Without: the person unsubscribed by our page or the one-click POST.
    Unsubscribe = 4,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 4] =
        [EventKind::Open, EventKind::Click, EventKind::Mirror, EventKind::Unsubscribe];

    /// The word of pages and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Open => "open",
            EventKind::Click => "click",
            EventKind::Mirror => "mirror",
            EventKind::Unsubscribe => "unsubscribe",
        }
    }

    /// The kind of a number in files and rows.
    #[must_use]
    pub fn from_number(number: i64) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| *kind as i64 == number)
    }
}

/// Who asked, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// User agent, at most [`AGENT_CHARS_MAX`] characters, without control characters.
    pub agent: String,
    /// Keyed hash of the address, or the address where a setting says so. May be empty.
    pub address: String,
    /// A scanner or a prefetch rather than a person.
    pub machine: bool,
}

impl Client {
    /// What is kept of a client. `address` is the text that [`crate::Tracking::client_address`] gave.
    #[must_use]
    pub fn new(agent: &str, address: String, machine: bool) -> Client {
        let agent = agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect();
        Client { agent, address, machine }
    }
}

/// One thing that a recipient, or a machine in between, did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The message; its delivery is `message >> 28`.
    pub message: i64,
    /// What.
    pub kind: EventKind,
    /// Which link of the snapshot's table; none for opens and mirror pages.
    pub link: Option<u16>,
    /// When (UTC microseconds).
    pub at: i64,
    /// Who.
    pub client: Client,
}

impl Event {
    /// Appends the frame.
    pub(crate) fn write_frame(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEAD]);
        out.extend_from_slice(&[FORMAT, self.kind as u8, if self.client.machine { MACHINE } else { 0 }]);
        out.extend_from_slice(&self.link.map_or(0, |link| u32::from(link) + 1).to_le_bytes());
        out.extend_from_slice(&self.message.to_le_bytes());
        out.extend_from_slice(&self.at.to_le_bytes());
        put_text(out, &self.client.address, CLIENT_LEN_MAX);
        // What is left for the agent, whatever somebody put into the struct.
        let rest = EVENT_SIZE_MAX.saturating_sub(out.len() - start + 2);
        put_text(out, &self.client.agent, rest);
        let payload = out.len() - start - FRAME_HEAD;
        let check = check_of(&out[start + FRAME_HEAD..]);
        out[start..start + 4].copy_from_slice(&u32::try_from(payload).unwrap_or(u32::MAX).to_le_bytes());
        out[start + 4..start + FRAME_HEAD].copy_from_slice(&check);
    }

    fn read_payload(mut bytes: &[u8]) -> Option<Event> {
        let bytes = &mut bytes;
        let [format, kind, flags] = take::<3>(bytes)?;
        if format != FORMAT {
            return None;
        }
        let kind = EventKind::from_number(i64::from(kind))?;
        let link = u32::from_le_bytes(take(bytes)?);
        let link = match link.checked_sub(1) {
            None => None,
            Some(link) => Some(u16::try_from(link).ok()?),
        };
        let message = i64::from_le_bytes(take(bytes)?);
        let at = i64::from_le_bytes(take(bytes)?);
        let address = take_text(bytes)?;
        let agent = take_text(bytes)?;
        let client = Client { agent, address, machine: flags & MACHINE != 0 };
        bytes.is_empty().then_some(Event { message, kind, link, at, client })
    }
}

fn check_of(payload: &[u8]) -> [u8; 4] {
    let mut check = [0; 4];
    check.copy_from_slice(&blake3::hash(payload).as_bytes()[..4]);
    check
}

fn put_text(out: &mut Vec<u8>, text: &str, max: usize) {
    let end = text.floor_char_boundary(max);
    out.extend_from_slice(&u16::try_from(end).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(take(bytes)?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

/// What stands at the start of `bytes`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// An event and the octets of its frame.
    Event(Event, usize),
    /// The frame is whole but of a kind that this version does not know: skipped.
    Unknown(usize),
    /// The start of a frame: more may follow.
    Partial,
    /// No frame: nothing that follows in this file can be trusted.
    Torn,
}

/// Reads the frame at the start of `bytes`.
pub(crate) fn read_frame(bytes: &[u8]) -> Frame {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else { return Frame::Partial };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length == 0 || length > EVENT_SIZE_MAX {
        return Frame::Torn;
    }
    let Some(payload) = rest.get(..length) else { return Frame::Partial };
    if check_of(payload) != head[4..] {
        return Frame::Torn;
    }
    match Event::read_payload(payload) {
        Some(event) => Frame::Event(event, FRAME_HEAD + length),
        None => Frame::Unknown(FRAME_HEAD + length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn click(message: i64, at: i64) -> Event {
        let client = Client::new("Mozilla/5.0 (X11)", "0123456789abcdef".to_owned(), false);
        Event { message, kind: EventKind::Click, link: Some(3), at, client }
    }

    proptest! {
        #[test]
        fn any_event_reads_back(
            message in any::<i64>(), at in any::<i64>(), link in proptest::option::of(any::<u16>()),
            kind in 0usize..4, agent in ".{0,300}", machine in any::<bool>(),
        ) {
            let client = Client::new(&agent, "192.0.2.1".to_owned(), machine);
            let event = Event { message, kind: EventKind::ALL[kind], link, at, client };
            let mut bytes = Vec::new();
            event.write_frame(&mut bytes);
            prop_assert!(bytes.len() <= FRAME_HEAD + EVENT_SIZE_MAX);
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(read_frame(&bytes[..cut]), Frame::Partial);
            }
            bytes.extend_from_slice(b"what follows");
            prop_assert_eq!(read_frame(&bytes), Frame::Event(event, length));
        }

        #[test]
        fn any_octets_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!matches!(read_frame(&bytes), Frame::Event(..)));
        }
    }

    #[test]
    fn a_changed_octet_is_noticed() {
        let mut bytes = Vec::new();
        click(7, 9).write_frame(&mut bytes);
        for at in 4..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert_eq!(read_frame(&changed), Frame::Torn, "octet {at}");
        }
        assert_eq!(read_frame(&[0; 64]), Frame::Torn, "a tail of zeros");
    }

    #[test]
    fn an_agent_is_cut_by_characters_and_cleaned() {
        let client = Client::new(&format!("a\r\nb\0{}", "é".repeat(500)), String::new(), false);
        assert_eq!(client.agent.chars().count(), AGENT_CHARS_MAX);
        assert!(client.agent.starts_with("abé"));
    }

    #[test]
    fn kinds_keep_their_numbers() {
        assert_eq!(EventKind::ALL.map(|kind| kind as i64), [1, 2, 3, 4]);
        assert_eq!(EventKind::from_number(2), Some(EventKind::Click));
        assert_eq!(EventKind::from_number(9), None);
    }
}
