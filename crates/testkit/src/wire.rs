//! DNS messages in octets (RFC 1035 section 4), as much as a stub resolver asks and an authority answers.
//!
//! Written by hand although a DNS library is in the tree: the resolver under test is that library, and a double
//! that shared its codec would share its mistakes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Record types that the double knows.
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Start of authority, for negative answers.
    pub const SOA: u16 = 6;
    /// Reverse name.
    pub const PTR: u16 = 12;
    /// Mail exchanger.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// EDNS pseudo record.
    pub const OPT: u16 = 41;
    /// Certificate association (RFC 6698).
    pub const TLSA: u16 = 52;
}

/// Response codes (RFC 1035 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// An answer, possibly an empty one.
    NoError = 0,
    /// The question could not be read.
    FormErr = 1,
    /// The server has trouble.
    ServFail = 2,
    /// There is no such name.
    NxDomain = 3,
    /// Not this kind of question.
    NotImplemented = 4,
    /// Not for you.
    Refused = 5,
}

/// A question as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Number that the answer repeats.
    pub id: u16,
    /// Lower case, no final dot.
    pub name: String,
    /// Record type asked for.
    pub kind: u16,
    /// The question's own octets (name as spelled, type, class), repeated in the answer.
    raw: Vec<u8>,
    recursion: bool,
    /// What the client takes over UDP, when it speaks EDNS.
    pub edns: Option<u16>,
}

/// The data of one answer record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Preference and host; an empty host is a null MX (RFC 7505).
    Mx(u16, String),
    /// One text, split into strings of 255 octets.
    Txt(String),
    /// Reverse name.
    Ptr(String),
    /// Usage, selector, matching type and data.
    Tlsa(u8, u8, u8, Vec<u8>),
}

/// Reads a question; none when the octets are not one that is worth answering.
#[must_use]
pub fn read_question(message: &[u8]) -> Option<Question> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let flags = word(2)?;
    // A response, another operation than QUERY, or not exactly one question.
    if flags & 0xF800 != 0 || word(4)? != 1 {
        return None;
    }
    let (name, end) = read_name(message, 12)?;
    let kind = word(end)?;
    let after = end + 4;
    message.get(..after)?;
    let edns = (word(10)? > 0).then(|| read_opt(message, after)).flatten();
    Some(Question {
        id: word(0)?,
        name,
        kind,
        raw: message[12..after].to_vec(),
        recursion: flags & 0x0100 != 0,
        edns,
    })
}

/// A question's name is never compressed: a pointer there is refused.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let len = usize::from(*message.get(at)?);
        at += 1;
        if len == 0 {
            return Some((name, at));
        }
        if len > 63 || name.len() + len > 254 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for octet in message.get(at..at + len)? {
            name.push(char::from(octet.to_ascii_lowercase()));
        }
        at += len;
    }
}

/// The first additional record, when it is OPT: root name, type, UDP size.
fn read_opt(message: &[u8], at: usize) -> Option<u16> {
    let head = message.get(at..at + 5)?;
    (head[0] == 0 && head[1..3] == kind::OPT.to_be_bytes()).then(|| u16::from_be_bytes([head[3], head[4]]))
}

/// Writes an answer. When it is longer than `len_max`, the records are left out and the truncation bit says so.
#[must_use]
pub fn write_answer(question: &Question, code: Code, answers: &[(Data, u32)], len_max: usize) -> Vec<u8> {
    write_answer_as(question, code, answers, false, len_max)
}

/// The same; `secure` sets the bit by which a validating resolver says that it checked the signatures (AD, RFC 4035
/// section 3.2.3).
#[must_use]
pub fn write_answer_as(
    question: &Question,
    code: Code,
    answers: &[(Data, u32)],
    secure: bool,
    len_max: usize,
) -> Vec<u8> {
    let ad = if secure { 0x0020 } else { 0 };
    let full = write_message(question, code, answers, ad);
    if full.len() <= len_max { full } else { write_message(question, code, &[], ad | TRUNCATED) }
}

const TRUNCATED: u16 = 0x0200;

fn write_message(question: &Question, code: Code, answers: &[(Data, u32)], bits: u16) -> Vec<u8> {
    // QR and AA; RA, because a stub resolver wants a recursive server.
    let mut flags: u16 = 0x8400 | 0x0080 | code as u16 | bits;
    let truncated = bits & TRUNCATED != 0;
    if question.recursion {
        flags |= 0x0100;
    }
    let negative = answers.is_empty() && !truncated && matches!(code, Code::NoError | Code::NxDomain);
    let mut out = Vec::with_capacity(512);
    for word in
        [question.id, flags, 1, answers.len() as u16, u16::from(negative), u16::from(question.edns.is_some())]
    {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&question.raw);
    for (data, ttl) in answers {
        write_record(&mut out, data, *ttl);
    }
    if negative {
        write_soa(&mut out);
    }
    if question.edns.is_some() {
        out.push(0);
        out.extend_from_slice(&kind::OPT.to_be_bytes());
        out.extend_from_slice(&1_232u16.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    }
    out
}

fn write_record(out: &mut Vec<u8>, data: &Data, ttl: u32) {
    let (kind, body) = match data {
        Data::A(address) => (kind::A, address.octets().to_vec()),
        Data::Aaaa(address) => (kind::AAAA, address.octets().to_vec()),
        Data::Mx(preference, host) => {
            let mut body = preference.to_be_bytes().to_vec();
            write_name(&mut body, host);
            (kind::MX, body)
        }
        Data::Txt(text) => {
            let mut body = Vec::with_capacity(text.len() + 4);
            for chunk in text.as_bytes().chunks(255) {
                body.push(chunk.len() as u8);
                body.extend_from_slice(chunk);
            }
            if text.is_empty() {
                body.push(0);
            }
            (kind::TXT, body)
        }
        Data::Ptr(name) => {
            let mut body = Vec::new();
            write_name(&mut body, name);
            (kind::PTR, body)
        }
        Data::Tlsa(usage, selector, matching, data) => {
            let mut body = vec![*usage, *selector, *matching];
            body.extend_from_slice(data);
            (kind::TLSA, body)
        }
    };
    // The owner is the question's name, which always stands at octet 12.
    out.extend_from_slice(&[0xC0, 12]);
    write_rest(out, kind, ttl, &body);
}

fn write_rest(out: &mut Vec<u8>, kind: u16, ttl: u32, body: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
}

/// How long absence may be remembered stands in the SOA (RFC 2308): 1 s, because tests change zones.
fn write_soa(out: &mut Vec<u8>) {
    let mut body = Vec::new();
    write_name(&mut body, "ns.testkit.example");
    write_name(&mut body, "postmaster.testkit.example");
    for number in [1u32, 60, 60, 60, 1] {
        body.extend_from_slice(&number.to_be_bytes());
    }
    out.push(0);
    write_rest(out, kind::SOA, 1, &body);
}

/// Labels longer than 63 octets cannot be written and are cut: zones are written by tests.
fn write_name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut out = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        write_name(&mut out, name);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&1u16.to_be_bytes());
        out
    }

    #[test]
    fn reads_what_a_resolver_asks_and_keeps_its_spelling() {
        let read = read_question(&question("GmaiL.com", kind::MX)).expect("a question");
        assert_eq!(
            (read.id, read.name.as_str(), read.kind, read.edns),
            (0x1234, "gmail.com", kind::MX, None)
        );
        let answer = write_answer(&read, Code::NoError, &[(Data::Mx(5, "mx.example".into()), 60)], 512);
        assert!(answer.windows(5).any(|w| w == b"GmaiL"), "the spelling is repeated");
        assert_eq!(answer[2..4], [0x85, 0x80]);
        assert_eq!(answer[6..8], [0, 1]);
    }

    #[test]
    fn a_long_answer_is_truncated() {
        let read = read_question(&question("x.example", kind::TXT)).expect("a question");
        let long = [(Data::Txt("k".repeat(600)), 60)];
        let cut = write_answer(&read, Code::NoError, &long, 512);
        assert!(cut[2] & 0x02 != 0 && cut.len() < 512);
        let whole = write_answer(&read, Code::NoError, &long, 65_535);
        assert!(whole[2] & 0x02 == 0 && whole.len() > 600);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(question) = read_question(&octets) {
                let _ = write_answer(&question, Code::NxDomain, &[], 512);
            }
        }
    }
}
