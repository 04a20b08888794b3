//! What a server offers in its EHLO reply (RFC 5321 section 4.1.1.1).

use crate::reply::Reply;

/// The extensions in force on a connection. An EHLO after STARTTLS replaces it as a whole (RFC 3207 section 4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ehlo {
    /// The name that the server gives itself.
    pub name: String,
    /// RFC 2920: commands may be sent in groups.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
    /// RFC 1870: `MAIL` may carry SIZE.
    pub size: bool,
    /// The largest message that the server takes, in octets; None when it names no limit (or 0, which means that).
    pub size_max: Option<u64>,
    /// `AUTH PLAIN`, RFC 4616.
    pub auth_plain: bool,
    /// `AUTH LOGIN`, which has no standard and is what some relays offer alone.
    pub auth_login: bool,
}

impl Ehlo {
    /// Reads a positive EHLO reply. Lines that are not understood are passed over.
    pub fn parse(reply: &Reply) -> Ehlo {
        let mut lines = reply.lines.iter();
        let name =
            lines.next().and_then(|line| line.split_ascii_whitespace().next()).unwrap_or_default().to_owned();
        let mut ehlo = Ehlo { name, ..Ehlo::default() };
        for line in lines {
            ehlo.read_line(line);
        }
        ehlo
    }

    /// What is in force after HELO: nothing.
    pub fn none(reply: &Reply) -> Ehlo {
        let name =
            reply.lines.first().and_then(|line| line.split_ascii_whitespace().next()).unwrap_or_default();
        Ehlo { name: name.to_owned(), ..Ehlo::default() }
    }

    fn read_line(&mut self, line: &str) {
        // "AUTH=LOGIN PLAIN" was the form before RFC 2554, and is still sent.
        let mut words =
            line.split(|c: char| c.is_ascii_whitespace() || c == '=').filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else { return };
        match keyword.to_ascii_uppercase().as_str() {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "STARTTLS" => self.starttls = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "SIZE" => {
                self.size = true;
                self.size_max =
                    words.next().and_then(|number| number.parse().ok()).filter(|limit| *limit > 0);
            }
            "AUTH" => {
                for mechanism in words {
                    self.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                    self.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(lines: &[&str]) -> Ehlo {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Ehlo::parse(&Reply { code: 250, enhanced: None, lines })
    }

    #[test]
    fn extensions_are_read_in_any_case_and_order() {
        let ehlo = read(&[
            "mx.example at your service, [192.0.2.1]",
            "SIZE 157286400",
            "8bitmime",
            "STARTTLS",
            "Enhancedstatuscodes",
            "PIPELINING",
            "CHUNKING",
            "SMTPUTF8",
            "AUTH PLAIN XOAUTH2",
            "AUTH=LOGIN",
            "",
        ]);
        assert_eq!(
            ehlo,
            Ehlo {
                name: "mx.example".to_owned(),
                pipelining: true,
                eight_bit_mime: true,
                smtputf8: true,
                starttls: true,
                enhanced_status_codes: true,
                size: true,
                size_max: Some(157_286_400),
                auth_plain: true,
                auth_login: true,
            }
        );
    }

    #[test]
    fn a_size_without_limit_and_a_bare_reply() {
        assert_eq!((read(&["x", "SIZE"]).size, read(&["x", "SIZE"]).size_max), (true, None));
        assert_eq!((read(&["x", "SIZE 0"]).size, read(&["x", "SIZE 0"]).size_max), (true, None));
        assert_eq!(read(&["x", "SIZE lots"]).size_max, None);
        assert_eq!(read(&[]), Ehlo::default());
        assert!(!read(&["PIPELINING"]).pipelining, "the first line is the server's name");
    }

    proptest! {
        #[test]
        fn any_lines_are_read(lines in proptest::collection::vec(any::<String>(), 0..20)) {
            let _ = Ehlo::parse(&Reply { code: 250, enhanced: None, lines });
        }
    }
}
