//! Replies: RFC 5321 section 4.2, with the enhanced status codes of RFC 2034 and RFC 3463.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{REPLY_LINE_KEPT_MAX, REPLY_LINE_MAX, REPLY_LINES_KEPT_MAX, REPLY_LINES_MAX};

/// An enhanced status code, `class.subject.detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Enhanced {
    /// 2 success, 4 for now, 5 for good; the same as the reply code's first digit.
    pub class: u8,
    /// 0 to 999, RFC 3463 section 2.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl Enhanced {
    /// Reads a code that makes up the whole text.
    pub fn parse(text: &str) -> Option<Enhanced> {
        let mut fields = text.split('.');
        let class = match fields.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let (subject, detail) = (number(fields.next()?)?, number(fields.next()?)?);
        fields.next().is_none().then_some(Enhanced { class, subject, detail })
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = matches!(text.len(), 1..=3) && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One whole reply of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced status code, when the text begins with one of the same class as `code`. Where they differ, the
    /// reply code is what RFC 5321 defines, and the other stays part of the text.
    pub enhanced: Option<Enhanced>,
    /// The text of each line without codes; printable (controls became blanks), at most
    /// [`REPLY_LINES_KEPT_MAX`] lines of [`REPLY_LINE_KEPT_MAX`] octets.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply with one line of text, for what our own side has to say in a receiver's form (such as 556 5.1.10 for
    /// a null MX, RFC 7505 section 4.2) and for reports. The text may begin with an enhanced status code.
    pub fn new(code: u16, text: &str) -> Reply {
        let mut raw = RawReply::default();
        raw.push_line(text.as_bytes(), false);
        raw.finish(code)
    }

    /// Reads a reply quoted in a log or a bounce: `550 5.1.1 text`, with the `550-` or `550 ` of further lines
    /// standing anywhere in it. None when it does not begin with a reply code.
    pub fn from_text(text: &str) -> Option<Reply> {
        let text = text.trim();
        let code = text.get(..3).and_then(|digits| read_code(digits.as_bytes()))?;
        let rest = text.get(3..).unwrap_or_default();
        if !rest.is_empty() && !rest.starts_with([' ', '-']) {
            return None;
        }
        let mut raw = RawReply::default();
        let (dash, blank) = (format!(" {code}-"), format!(" {code} "));
        for line in rest.get(1..).unwrap_or_default().replace(&dash, "\n").replace(&blank, "\n").split('\n') {
            raw.push_line(line.trim().as_bytes(), false);
        }
        Some(raw.finish(code))
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3yz: the server waits for more.
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4yz.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The lines joined by blanks, without codes.
    pub fn text(&self) -> String {
        self.lines
            .iter()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl fmt::Display for Reply {
    /// On one line, each code once: `550 5.1.1 no such user here`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        match self.text() {
            text if text.is_empty() => Ok(()),
            text => write!(f, " {text}"),
        }
    }
}

/// Why what was read is no reply. After it the stream is out of step and the connection has to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ReplyError {
    /// A line does not begin with a code from 200 to 599 and a blank, a dash or its end.
    #[error("the server's answer is not an SMTP reply")]
    NotAReply,
    /// A line above [`REPLY_LINE_MAX`].
    #[error("a line of the server's reply is too long")]
    LineTooLong,
    /// More lines than [`REPLY_LINES_MAX`].
    #[error("the server's reply has too many lines")]
    TooManyLines,
}

/// Reads replies from a stream in pieces of any size, in bounded memory.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// The beginning of the line being read.
    line: Vec<u8>,
    /// Its length so far, also of what was not kept.
    line_len: usize,
    raw: RawReply,
    failed: Option<ReplyError>,
}

impl ReplyParser {
    /// Takes from the front of `input` up to the end of one reply, and gives it; `None` when `input` was used up
    /// before. After an error it only gives that error.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyError> {
        while !input.is_empty() {
            if let Some(error) = self.failed {
                return Err(error);
            }
            match self.read_line(input).inspect_err(|error| self.failed = Some(*error))? {
                Some(reply) => return Ok(Some(reply)),
                None => continue,
            }
        }
        self.failed.map_or(Ok(None), Err)
    }

    /// Whether a reply has begun and not ended.
    pub fn is_within_reply(&self) -> bool {
        self.line_len > 0 || self.raw.lines_seen > 0
    }

    fn read_line(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyError> {
        let end = input.iter().position(|octet| *octet == b'\n');
        let taken = end.map_or(input.len(), |at| at + 1);
        let (piece, rest) = input.split_at(taken);
        *input = rest;
        self.line_len += piece.len();
        if self.line_len > REPLY_LINE_MAX {
            return Err(ReplyError::LineTooLong);
        }
        let room = REPLY_LINE_KEPT_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        if end.is_none() {
            // Something that can no longer become a reply is refused before its line ends: a TLS or HTTP server may
            // never send one.
            let possible = self.line.iter().take(3).all(u8::is_ascii_digit);
            return if possible { Ok(None) } else { Err(ReplyError::NotAReply) };
        }
        self.end_of_line()
    }

    fn end_of_line(&mut self) -> Result<Option<Reply>, ReplyError> {
        let line = std::mem::take(&mut self.line);
        self.line_len = 0;
        let line = line.trim_ascii_end();
        let code = line.get(..3).and_then(read_code).ok_or(ReplyError::NotAReply)?;
        let more = match line.get(3) {
            Some(b'-') => true,
            None | Some(b' ' | b'\t') => false,
            Some(_) => return Err(ReplyError::NotAReply),
        };
        self.raw.push_line(line.get(4..).unwrap_or_default(), more);
        if self.raw.lines_seen > REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        // The codes of all lines should agree (RFC 5321 section 4.2.1). Where they do not, the last line decides:
        // some servers put a banner before a refusal ("220-name", then "421 service refused").
        Ok((!more).then(|| std::mem::take(&mut self.raw).finish(code)))
    }
}

/// Three digits, 200 to 599.
fn read_code(digits: &[u8]) -> Option<u16> {
    match digits {
        [first @ b'2'..=b'5', second, third] if second.is_ascii_digit() && third.is_ascii_digit() => {
            Some(u16::from(first - b'0') * 100 + u16::from(second - b'0') * 10 + u16::from(third - b'0'))
        }
        _ => None,
    }
}

/// The lines of a reply whose last one is not read yet.
#[derive(Debug, Default)]
struct RawReply {
    lines: Vec<String>,
    lines_seen: usize,
}

impl RawReply {
    fn push_line(&mut self, text: &[u8], more: bool) {
        self.lines_seen += 1;
        // The last line is kept whatever came before: it decides.
        if self.lines.len() < REPLY_LINES_KEPT_MAX || !more {
            self.lines.truncate(REPLY_LINES_KEPT_MAX - 1);
            self.lines.push(printable(text));
        }
    }

    /// Takes the enhanced code off the lines. It stands on each line or on the first or last only.
    fn finish(mut self, code: u16) -> Reply {
        let enhanced = self.lines.iter().find_map(|line| leading(line, code)).map(|(enhanced, _)| enhanced);
        for line in &mut self.lines {
            if let Some((found, rest)) = leading(line, code)
                && Some(found) == enhanced
            {
                *line = rest.to_owned();
            }
        }
        Reply { code, enhanced, lines: self.lines }
    }
}

/// The enhanced code that a line begins with, when its class is the reply's, and the rest of the line.
fn leading(line: &str, code: u16) -> Option<(Enhanced, &str)> {
    let line = line.trim_start();
    let end = line.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(line.len());
    // "5.1.1:", "#5.1.1" and "5.1.1<user>" are seen; only what follows a code with a letter or dash is none.
    let rest = &line[end..];
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == '-') {
        return None;
    }
    let enhanced = Enhanced::parse(&line[..end])?;
    (u16::from(enhanced.class) == code / 100).then(|| (enhanced, rest.trim_start_matches([' ', ':', '\t'])))
}

/// Servers send Latin-1, control characters and worse; replies are shown in pages and logs.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<Reply>, ReplyError> {
        let mut parser = ReplyParser::default();
        let mut input = bytes;
        let mut replies = Vec::new();
        while let Some(reply) = parser.read(&mut input)? {
            replies.push(reply);
        }
        Ok(replies)
    }

    fn shown(bytes: &str) -> Vec<String> {
        read_all(bytes.as_bytes()).expect("replies").iter().map(Reply::to_string).collect()
    }

    #[test]
    fn replies_of_one_and_many_lines() {
        assert_eq!(shown("220 mx.example ESMTP\r\n"), ["220 mx.example ESMTP"]);
        assert_eq!(shown("250\r\n354 \r\n"), ["250", "354"]);
        assert_eq!(
            shown(
                "550-5.7.26 The MAIL FROM domain\r\n550-5.7.26 has failed\r\n550 5.7.26 see here\r\n250 2.1.0 Ok\r\n"
            ),
            ["550 5.7.26 The MAIL FROM domain has failed see here", "250 2.1.0 Ok"]
        );
        assert_eq!(shown("250-a\n250 b\n"), ["250 a b"], "a bare LF ends a line too");
        assert_eq!(
            shown("220-laposte\r\n421 4.2.1 Service refused\r\n"),
            ["421 4.2.1 laposte Service refused"]
        );
    }

    #[test]
    fn enhanced_codes_are_taken_when_they_agree() {
        for (text, enhanced, rest) in [
            ("550 5.1.1 <a@b>: unknown", Some((5, 1, 1)), "<a@b>: unknown"),
            ("550 5.1.1: unknown", Some((5, 1, 1)), "unknown"),
            ("550 5.0.911 x", Some((5, 0, 911)), "x"),
            ("550 4.7.1 x", None, "4.7.1 x"),
            ("550 5.1.1.1 x", None, "5.1.1.1 x"),
            ("550 5.1.x", None, "5.1.x"),
            ("550 5.1.1-x", None, "5.1.1-x"),
            ("550 5.1234.1 x", None, "5.1234.1 x"),
            ("550 5.7.1", Some((5, 7, 1)), ""),
        ] {
            let reply = Reply::from_text(text).expect(text);
            assert_eq!(
                reply.enhanced.map(|code| (code.class, code.subject, code.detail)),
                enhanced,
                "{text}"
            );
            assert_eq!(reply.text(), rest);
            assert_eq!(reply.to_string(), text.replace("5.1.1:", "5.1.1"));
        }
    }

    #[test]
    fn a_reply_quoted_on_one_line_is_read() {
        let reply = Reply::from_text("550-5.7.26 The domain 550-5.7.26 has failed 550 5.7.26 see here")
            .expect("a reply");
        assert_eq!(reply.to_string(), "550 5.7.26 The domain has failed see here");
        assert_eq!(Reply::from_text("X-Unix; gone"), None);
        assert_eq!(Reply::from_text("5501 x"), None);
        assert_eq!(Reply::from_text(""), None);
        assert_eq!(Reply::new(556, "5.1.10 no mail here").to_string(), "556 5.1.10 no mail here");
    }

    #[test]
    fn what_is_no_reply_is_an_error_as_soon_as_it_is_seen() {
        use ReplyError::*;
        for bytes in [
            "HTTP/1.1 400",
            "\u{15}\u{3}\u{3}",
            "hello\r\n",
            "\r\n",
            "12",
            "25x",
            "199 x\r\n",
            "600 x\r\n",
            "250x\r\n",
            "25\r\n",
        ] {
            let expected = if bytes == "12" { Ok(vec![]) } else { Err(NotAReply) };
            assert_eq!(read_all(bytes.as_bytes()), expected, "{bytes:?}");
        }
        let mut parser = ReplyParser::default();
        assert_eq!(parser.read(&mut &b"nonsense\r\n"[..]), Err(NotAReply));
        assert_eq!(parser.read(&mut &b"250 ok\r\n"[..]), Err(NotAReply), "an error stays");
    }

    #[test]
    fn bounds_hold_at_the_limit_and_one_past_it() {
        let line = |octets: usize| format!("250 {}\r\n", "x".repeat(octets - 6));
        let kept = read_all(line(REPLY_LINE_MAX).as_bytes()).expect("at the limit");
        assert_eq!(kept[0].lines[0].len(), REPLY_LINE_KEPT_MAX - 4);
        assert_eq!(read_all(line(REPLY_LINE_MAX + 1).as_bytes()), Err(ReplyError::LineTooLong));
        let lines = |count: usize| format!("{}250 the end\r\n", "250-x\r\n".repeat(count - 1));
        let kept = read_all(lines(REPLY_LINES_MAX).as_bytes()).expect("at the limit");
        assert_eq!(
            (kept[0].lines.len(), kept[0].lines.last().map(String::as_str)),
            (REPLY_LINES_KEPT_MAX, Some("the end"))
        );
        assert_eq!(read_all(lines(REPLY_LINES_MAX + 1).as_bytes()), Err(ReplyError::TooManyLines));
    }

    #[test]
    fn texts_are_made_printable() {
        assert_eq!(shown("550 a\tb\u{7}c\r\n"), ["550 a b c"]);
        assert_eq!(read_all(b"550 caf\xe9\r\n").expect("a reply")[0].text(), "caf\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_bytes_stay_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            if let Ok(replies) = read_all(&bytes) {
                for reply in replies {
                    prop_assert!((200..600).contains(&reply.code) && reply.lines.len() <= REPLY_LINES_KEPT_MAX);
                    prop_assert!(!reply.to_string().contains(|c: char| c.is_control()));
                }
            }
        }

        #[test]
        fn pieces_do_not_matter(
            text in "([2-5][0-5][0-9][ -][a-z0-9. ]{0,20}\r?\n){0,12}.{0,4}",
            cuts in proptest::collection::vec(1..9_usize, 1..50),
        ) {
            let whole = read_all(text.as_bytes());
            let mut parser = ReplyParser::default();
            let mut replies = Vec::new();
            let mut rest = text.as_bytes();
            let mut cuts = cuts.iter().cycle();
            let mut failure = None;
            while !rest.is_empty() && failure.is_none() {
                let (mut piece, after) = rest.split_at((*cuts.next().expect("a cycle")).min(rest.len()));
                rest = after;
                loop {
                    match parser.read(&mut piece) {
                        Ok(Some(reply)) => replies.push(reply),
                        Ok(None) => break,
                        Err(error) => { failure = Some(error); break }
                    }
                }
            }
            prop_assert_eq!(failure.map_or(Ok(replies), Err), whole);
        }
    }
}
