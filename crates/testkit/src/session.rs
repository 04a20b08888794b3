//! One SMTP dialogue from the receiver's side, without a socket: octets in, steps out.
//!
//! All input stands in one buffer and is taken command by command, so that pipelined input (commands after
//! commands, a next MAIL in the same read as the dot) is handled the same as one command per read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use tokio::time::Instant;

use crate::behaviour::{Behaviour, Stage, stable_hash};
use crate::limits::{COMMAND_LEN_MAX, MESSAGE_LEN_MAX, RECIPIENTS_MAX};
use crate::provider::Provider;
use crate::reputation::Treatment;

/// What the connection has to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Flush what was said and read more.
    NeedInput,
    /// Say this; lines end in CRLF.
    Reply(Reply),
    /// Say this and close.
    Close(Reply),
    /// Say this, then shake hands.
    StartTls(Reply),
    /// Say nothing any more.
    Hang,
    /// Close without a word.
    Cut,
}

/// Something to say.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) text: String,
    /// Wait this long before saying it.
    pub(crate) delay: Duration,
    /// The stage that it answers.
    pub(crate) stage: Stage,
    /// The message that it accepts.
    pub(crate) accepts: Option<Taken>,
}

/// A message whose final dot was read and that is about to be accepted.
#[derive(Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    /// The body without dot-stuffing.
    pub(crate) octets: Vec<u8>,
    pub(crate) tls: bool,
}

/// Octets read and not yet used.
#[derive(Default)]
pub(crate) struct Input {
    pub(crate) octets: Vec<u8>,
    at: usize,
    /// Up to here the end of the body was looked for already.
    searched: usize,
}

impl Input {
    /// Room is made before each read, so that the buffer holds one message at most.
    pub(crate) fn compact(&mut self) {
        if self.at > 0 {
            self.octets.drain(..self.at);
            self.searched = self.searched.saturating_sub(self.at);
            self.at = 0;
        }
    }

    fn rest(&self) -> &[u8] {
        &self.octets[self.at..]
    }

    /// Forgets all: what was sent before a TLS handshake must not count (RFC 3207 section 4.2).
    pub(crate) fn clear(&mut self) {
        self.octets.clear();
        (self.at, self.searched) = (0, 0);
    }

    fn line(&mut self) -> Option<String> {
        let end = memchr::memchr(b'\n', self.rest())?;
        let line = String::from_utf8_lossy(&self.rest()[..end]).into_owned();
        self.at += end + 1;
        self.searched = self.at;
        Some(line)
    }

    /// The body up to the dot, still stuffed, once the dot is there.
    fn body(&mut self) -> Option<Vec<u8>> {
        if self.rest().starts_with(b".\r\n") {
            self.at += 3;
            self.searched = self.at;
            return Some(Vec::new());
        }
        let from = self.searched.saturating_sub(4).max(self.at);
        match memmem::find(&self.octets[from..], b"\r\n.\r\n") {
            Some(found) => {
                let end = from + found + 2;
                let body = self.octets[self.at..end].to_vec();
                self.at = end + 3;
                self.searched = self.at;
                Some(body)
            }
            None => {
                self.searched = self.octets.len();
                None
            }
        }
    }
}

/// The dialogue so far.
pub(crate) struct Session {
    provider: Arc<Provider>,
    behaviour: Arc<Behaviour>,
    peer: IpAddr,
    connections: u32,
    greeted: bool,
    said_ehlo: bool,
    tls: bool,
    logged_in: bool,
    /// Waiting for the answer to a 334.
    login: Option<LoginStep>,
    sender: Option<String>,
    recipients: Vec<String>,
    in_body: bool,
    messages: u32,
}

/// Where an AUTH dialogue stands.
enum LoginStep {
    Plain,
    User,
    Password(String),
}

impl Session {
    pub(crate) fn new(provider: Arc<Provider>, peer: IpAddr, connections: u32) -> Session {
        let behaviour = provider.behaviour();
        Session {
            tls: behaviour.implicit_tls,
            provider,
            behaviour,
            peer,
            connections,
            greeted: false,
            said_ehlo: false,
            logged_in: false,
            login: None,
            sender: None,
            recipients: Vec::new(),
            in_body: false,
            messages: 0,
        }
    }

    /// After the handshake: the client must say EHLO again.
    pub(crate) fn secured(&mut self) {
        self.tls = true;
        self.said_ehlo = false;
        self.reset();
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
        self.in_body = false;
    }

    /// The next thing to do with what was read.
    pub(crate) fn step(&mut self, input: &mut Input, now: Instant) -> Step {
        if !self.greeted {
            self.greeted = true;
            return self.greet();
        }
        if self.in_body {
            return self.body(input);
        }
        if let Some(line) = input.line() {
            let Some(line) = line.strip_suffix('\r') else {
                return self.say(Stage::Quit, "500 5.5.2 Lines end in CR LF");
            };
            return self.command(line, now);
        }
        if input.rest().len() > COMMAND_LEN_MAX {
            return Step::Close(self.reply(Stage::Quit, "500 5.5.2 Line too long"));
        }
        Step::NeedInput
    }

    fn greet(&mut self) -> Step {
        if let Some(limit) = self.behaviour.throttle.connections
            && self.connections > limit
        {
            return Step::Close(self.reply(Stage::Connect, &self.behaviour.throttle.connections_reply));
        }
        let greeting = format!("220 {} ESMTP ready", self.behaviour.host);
        self.say(Stage::Connect, &greeting)
    }

    fn command(&mut self, line: &str, now: Instant) -> Step {
        if let Some(step) = self.login.take() {
            return self.login_line(step, line);
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if self.behaviour.ehlo => self.ehlo(),
            "HELO" => {
                self.said_ehlo = true;
                self.reset();
                let text = format!("250 {}", self.behaviour.host);
                self.say(Stage::Ehlo, &text)
            }
            "STARTTLS" if self.behaviour.starttls && !self.tls => {
                match self.say(Stage::StartTls, "220 2.0.0 Go ahead") {
                    Step::Reply(reply) if reply.text.starts_with("220") => Step::StartTls(reply),
                    other => other,
                }
            }
            "AUTH" if self.behaviour.login.is_some() => self.auth(rest),
            "MAIL" => self.mail(rest, now),
            "RCPT" => self.rcpt(rest, now),
            "DATA" => self.data(),
            "RSET" => {
                self.reset();
                self.say(Stage::Rset, "250 2.0.0 Ok")
            }
            "NOOP" => self.say(Stage::Rset, "250 2.0.0 Ok"),
            "QUIT" => match self.say(Stage::Quit, "221 2.0.0 Bye") {
                Step::Reply(reply) => Step::Close(reply),
                other => other,
            },
            _ => self.say(Stage::Quit, "502 5.5.2 Command not recognized"),
        }
    }

    fn ehlo(&mut self) -> Step {
        self.said_ehlo = true;
        self.reset();
        let mut lines = vec![self.behaviour.host.clone()];
        if self.behaviour.pipelining {
            lines.push("PIPELINING".to_owned());
        }
        if let Some(size) = self.behaviour.size_max {
            lines.push(format!("SIZE {size}"));
        }
        if self.behaviour.starttls && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        if self.behaviour.login.is_some() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        if self.behaviour.eight_bit {
            lines.push("8BITMIME".to_owned());
        }
        if self.behaviour.smtputf8 {
            lines.push("SMTPUTF8".to_owned());
        }
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        let last = lines.len() - 1;
        let text: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' }))
            .collect();
        self.say(Stage::Ehlo, &text.join("\n"))
    }

    fn auth(&mut self, rest: &str) -> Step {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        match (mechanism.to_ascii_uppercase().as_str(), initial) {
            ("PLAIN", "") => {
                self.login = Some(LoginStep::Plain);
                self.say(Stage::Auth, "334 ")
            }
            ("PLAIN", initial) => self.login_line(LoginStep::Plain, initial),
            ("LOGIN", "") => {
                self.login = Some(LoginStep::User);
                self.say(Stage::Auth, "334 VXNlcm5hbWU6")
            }
            ("LOGIN", initial) => self.login_line(LoginStep::User, initial),
            _ => self.say(Stage::Auth, "504 5.5.4 Mechanism not known"),
        }
    }

    fn login_line(&mut self, step: LoginStep, line: &str) -> Step {
        let decoded = STANDARD.decode(line).ok().and_then(|octets| String::from_utf8(octets).ok());
        let Some(decoded) = decoded else {
            return self.say(Stage::Auth, "501 5.5.2 Not base64");
        };
        let given = match step {
            LoginStep::User => {
                self.login = Some(LoginStep::Password(decoded));
                return self.say(Stage::Auth, "334 UGFzc3dvcmQ6");
            }
            LoginStep::Password(user) => (user, decoded),
            LoginStep::Plain => {
                let mut parts = decoded.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
        };
        self.logged_in = self.behaviour.login.as_ref() == Some(&given);
        let text = if self.logged_in { "235 2.7.0 Welcome" } else { "535 5.7.8 Bad credentials" };
        self.say(Stage::Auth, text)
    }

    fn mail(&mut self, rest: &str, now: Instant) -> Step {
        if !self.said_ehlo {
            return self.say(Stage::Mail, "503 5.5.1 EHLO first");
        }
        if self.behaviour.login.is_some() && !self.logged_in {
            return self.say(Stage::Mail, "530 5.7.0 Authentication required");
        }
        let Some(sender) = path(rest, "FROM:") else {
            return self.say(Stage::Mail, "501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        if self.sender.is_some() {
            return self.say(Stage::Mail, "503 5.5.1 Sender already given");
        }
        if let Some(refused) = self.refuse_sender(now) {
            return refused;
        }
        let declared = rest.split(' ').find_map(|word| word.strip_prefix("SIZE=")?.parse::<usize>().ok());
        if declared.unwrap_or(0) > self.behaviour.size_max.unwrap_or(usize::MAX) {
            return self.say(Stage::Mail, "552 5.3.4 Message size exceeds fixed limit");
        }
        self.take_mail(sender)
    }

    fn take_mail(&mut self, sender: String) -> Step {
        let step = self.say(Stage::Mail, "250 2.1.0 Ok");
        if accepted(&step) {
            self.sender = Some(sender);
            self.messages += 1;
        }
        step
    }

    /// Who it comes from, in which way, and how much of it.
    fn refuse_sender(&self, now: Instant) -> Option<Step> {
        let throttle = &self.behaviour.throttle;
        if let Some((_, reply)) = self.behaviour.blocks.iter().find(|(peer, _)| *peer == self.peer) {
            return Some(self.say(Stage::Mail, reply));
        }
        if let Some(reply) = self.behaviour.needs_tls.as_ref().filter(|_| !self.tls) {
            return Some(self.say(Stage::Mail, reply));
        }
        if throttle.per_connection.is_some_and(|limit| self.messages >= limit) {
            return Some(self.say(Stage::Mail, &throttle.per_connection_reply));
        }
        if throttle.per_second.is_some_and(|limit| !self.provider.within_rate(limit, now)) {
            return Some(self.say(Stage::Mail, &throttle.per_second_reply));
        }
        match self.provider.treats(self.peer, now) {
            Treatment::Welcome => None,
            Treatment::Later => Some(self.say(Stage::Mail, &self.behaviour.words.later)),
            Treatment::Blocked => Some(self.say(Stage::Mail, &self.behaviour.words.blocked)),
        }
    }

    fn rcpt(&mut self, rest: &str, now: Instant) -> Step {
        let Some(sender) = self.sender.clone() else {
            return self.say(Stage::Rcpt, "503 5.5.1 MAIL first");
        };
        let Some(recipient) = path(rest, "TO:").filter(|path| path.contains('@')) else {
            return self.say(Stage::Rcpt, "501 5.1.3 Bad recipient address syntax");
        };
        if self.recipients.len() >= RECIPIENTS_MAX {
            return self.say(Stage::Rcpt, "452 4.5.3 Too many recipients");
        }
        if self.bounces(&recipient) {
            return self.say(Stage::Rcpt, &self.behaviour.bounce.reply);
        }
        if let Some(wait) = self.behaviour.greylist
            && let Some(left) = self.provider.greylisted(self.peer, &sender, &recipient, wait, now)
        {
            let seconds = left.as_secs_f64().ceil();
            return self
                .say(Stage::Rcpt, &format!("451 4.7.1 Greylisted, please try again in {seconds} seconds"));
        }
        let step = self.say(Stage::Rcpt, "250 2.1.5 Ok");
        if accepted(&step) {
            self.recipients.push(recipient);
        }
        step
    }

    fn bounces(&self, recipient: &str) -> bool {
        let local = recipient.rsplit_once('@').map_or(recipient, |(local, _)| local).to_ascii_lowercase();
        let bounce = &self.behaviour.bounce;
        bounce.local_contains.iter().any(|part| local.contains(part.as_str()))
            || stable_hash(recipient) % 1000 < u64::from(bounce.permille)
    }

    fn data(&mut self) -> Step {
        if self.sender.is_none() {
            return self.say(Stage::Data, "503 5.5.1 MAIL first");
        }
        if self.recipients.is_empty() {
            return self.say(Stage::Data, "554 5.5.1 No valid recipients");
        }
        let step = self.say(Stage::Data, "354 End data with <CR><LF>.<CR><LF>");
        self.in_body = matches!(&step, Step::Reply(reply) if reply.text.starts_with("354"));
        step
    }

    fn body(&mut self, input: &mut Input) -> Step {
        let len_max = self.behaviour.size_max.unwrap_or(MESSAGE_LEN_MAX).min(MESSAGE_LEN_MAX);
        let first = self.recipients.first().cloned().unwrap_or_default();
        if !input.rest().is_empty() && self.provider.cuts(&first, self.behaviour.cut_permille) {
            return Step::Cut;
        }
        let Some(stuffed) = input.body() else {
            if input.rest().len() > MESSAGE_LEN_MAX {
                return Step::Cut;
            }
            return Step::NeedInput;
        };
        let sender = self.sender.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        self.reset();
        if stuffed.len() > len_max {
            return self.say(Stage::Dot, "552 5.3.4 Message size exceeds fixed limit");
        }
        let text = format!("250 2.0.0 Ok: queued as {:08X}", stable_hash(&first) as u32 ^ self.messages);
        match self.say(Stage::Dot, &text) {
            Step::Reply(mut reply) => {
                reply.delay += self.behaviour.dot_delay;
                if reply.text.starts_with('2') {
                    reply.accepts =
                        Some(Taken { sender, recipients, octets: unstuffed(stuffed), tls: self.tls });
                }
                Step::Reply(reply)
            }
            other => other,
        }
    }

    /// What is said at a stage: the fixed answer or fault set for it, else `usual`.
    fn say(&self, stage: Stage, usual: &str) -> Step {
        if self.behaviour.hang_at == Some(stage) {
            return Step::Hang;
        }
        if self.behaviour.close_at == Some(stage) {
            return Step::Cut;
        }
        let text = self.behaviour.answer_at(stage).unwrap_or(usual);
        let reply = self.reply(stage, text);
        if text.starts_with("421") || text.starts_with("221") {
            Step::Close(reply)
        } else {
            Step::Reply(reply)
        }
    }

    fn reply(&self, stage: Stage, text: &str) -> Reply {
        let mut text = text.replace('\n', "\r\n");
        text.push_str("\r\n");
        Reply { text, delay: self.behaviour.reply_delay, stage, accepts: None }
    }
}

fn accepted(step: &Step) -> bool {
    matches!(step, Step::Reply(reply) if reply.text.starts_with('2'))
}

/// `FROM:<a@b> SIZE=1` -> `a@b`; the null path is an empty text.
fn path(rest: &str, word: &str) -> Option<String> {
    let head = rest.get(..word.len())?;
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    let inner = rest[word.len()..].trim_start().strip_prefix('<')?;
    // A quoted local part may hold '>': the end is the last one before the parameters.
    let end = match inner.strip_prefix('"') {
        Some(quoted) => 1 + quoted.find("\"@")? + inner[1 + quoted.find("\"@")?..].find('>')?,
        None => inner.find('>')?,
    };
    Some(inner[..end].to_owned())
}

/// Takes the doubled dots out (RFC 5321 section 4.5.2).
fn unstuffed(body: Vec<u8>) -> Vec<u8> {
    if !body.starts_with(b".") && memmem::find(&body, b"\r\n.").is_none() {
        return body;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.strip_prefix(b".").unwrap_or(&body);
    while let Some(at) = memmem::find(rest, b"\r\n.") {
        out.extend_from_slice(&rest[..at + 2]);
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
    out
}
