//! Commands as they go on the wire (RFC 5321 section 4.1.1), each with its CRLF.

use crate::ehlo::Ehlo;

/// The parts of one transaction's envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The return path in its envelope form, without angle brackets; empty for the null return path.
    pub from: String,
    /// The recipient in its envelope form ([`address::Mailbox::smtp`]), without angle brackets.
    pub to: String,
    /// Size of the message in octets, for SIZE.
    pub size: u64,
    /// The message holds octets above 127.
    pub eight_bit: bool,
}

impl Envelope {
    /// Whether the receiver's SMTPUTF8 is needed.
    pub fn needs_smtputf8(&self) -> bool {
        !self.from.is_ascii() || !self.to.is_ascii()
    }

    /// Whether both paths can stand on a command line: no control character (above all no CR or LF), and an angle
    /// bracket or a blank only within quotes.
    pub(crate) fn is_sound(&self) -> bool {
        (self.from.is_empty() || is_sound_path(&self.from)) && is_sound_path(&self.to)
    }
}

fn is_sound_path(path: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for c in path.chars() {
        match c {
            c if c.is_control() => return false,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' | '>' | ' ' if !quoted => return false,
            _ => {}
        }
    }
    !quoted && path.contains('@') && path.len() <= address::ADDRESS_LEN_MAX
}

/// `MAIL FROM` with the parameters that the server offers and the message needs. A body with octets above 127 is sent
/// as it is also where 8BITMIME is not offered: no octet of a message depends on its receiver.
pub(crate) fn push_mail(out: &mut Vec<u8>, envelope: &Envelope, ehlo: &Ehlo) {
    push(out, &["MAIL FROM:<", &envelope.from, ">"]);
    out.truncate(out.len() - 2);
    if ehlo.size {
        out.extend_from_slice(format!(" SIZE={}", envelope.size).as_bytes());
    }
    if envelope.eight_bit && ehlo.eight_bit_mime {
        out.extend_from_slice(b" BODY=8BITMIME");
    }
    if envelope.needs_smtputf8() && ehlo.smtputf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    out.extend_from_slice(b"\r\n");
}

/// `RCPT TO`.
pub(crate) fn push_rcpt(out: &mut Vec<u8>, envelope: &Envelope) {
    push(out, &["RCPT TO:<", &envelope.to, ">"]);
}

/// The words joined without blanks, and CRLF.
pub(crate) fn push(out: &mut Vec<u8>, words: &[&str]) {
    for word in words {
        out.extend_from_slice(word.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(from: &str, to: &str, eight_bit: bool, ehlo: &Ehlo) -> String {
        let mut out = Vec::new();
        push_mail(
            &mut out,
            &Envelope { from: from.to_owned(), to: to.to_owned(), size: 1234, eight_bit },
            ehlo,
        );
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn parameters_are_sent_when_offered_and_needed() {
        let all = Ehlo { size: true, eight_bit_mime: true, smtputf8: true, ..Ehlo::default() };
        let none = Ehlo::default();
        assert_eq!(mail("a@b.example", "c@d.example", false, &all), "MAIL FROM:<a@b.example> SIZE=1234\r\n");
        assert_eq!(
            mail("a@b.example", "é@d.example", true, &all),
            "MAIL FROM:<a@b.example> SIZE=1234 BODY=8BITMIME SMTPUTF8\r\n"
        );
        assert_eq!(mail("", "é@d.example", true, &none), "MAIL FROM:<>\r\n");
    }

    #[test]
    fn only_sound_paths_pass() {
        let sound = |to: &str| {
            Envelope { from: String::new(), to: to.to_owned(), size: 0, eight_bit: false }.is_sound()
        };
        for to in ["a@b.example", "\"a b>\"@b.example", "\"a\\\" \"@b.example", "é@b.example"] {
            assert!(sound(to), "{to}");
        }
        for to in [
            "",
            "a",
            "a b@c.example",
            "a>@b.example",
            "a@b.example\r\nDATA",
            "\"a@b.example",
            "a\0@b.example",
        ] {
            assert!(!sound(to), "{to:?}");
        }
        assert!(!sound(&format!("{}@b.example", "a".repeat(address::ADDRESS_LEN_MAX))));
    }
}
