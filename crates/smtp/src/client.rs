//! The client's side of SMTP as a state machine without sockets.
//!
//! Whoever owns the socket does four things, in any order and whenever the socket allows it: writes
//! [`Client::output`] and says how much went out ([`Client::wrote`]), hands over what was read ([`Client::input`], or
//! [`Client::cut`] when the connection ended or a wait ran out), acts on each [`Event`], and begins a transaction when
//! [`Client::can_begin`] says so. Reading goes on while writing, so a peer that answers early, or stops reading, blocks
//! nobody.
//!
//! Each transaction has one recipient. Where the EHLO in force offers PIPELINING, MAIL, RCPT and DATA go out as one
//! group that ends at DATA (RFC 2920 section 3.1), and the next transaction's group may follow a body before that
//! body's answer is in: one round trip per message. Elsewhere each command waits for its reply.

mod session;
mod transaction;
mod types;

use std::collections::VecDeque;

use crate::ehlo::Ehlo;
use crate::reply::{Reply, ReplyParser};
use crate::stage::Stage;
use transaction::Transaction;

pub use types::{Answer, Config, Cut, Event, Login, NotBegun, Outcome, TlsUse, Wait};

/// Capacity that the output buffer keeps for the next message after a larger one went out.
const OUTPUT_KEPT_MAX: usize = 128 * 1_024;

/// Transactions open at once: one waits for its final answer while the next one's group is out.
const TRANSACTIONS_MAX: usize = 2;

/// A reply that the server owes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    AuthPlain,
    AuthLogin,
    AuthLoginUser,
    AuthLoginPassword,
    Mail,
    Rcpt,
    Data,
    Dot,
    /// The dot that answers a 354 given although the recipient was refused.
    LoneDot,
    Rset,
    Quit,
}

impl Owed {
    fn stage(self) -> Stage {
        match self {
            Owed::Greeting => Stage::Greeting,
            Owed::Ehlo | Owed::Helo => Stage::Hello,
            Owed::StartTls => Stage::StartTls,
            Owed::AuthPlain | Owed::AuthLogin | Owed::AuthLoginUser | Owed::AuthLoginPassword => Stage::Auth,
            Owed::Mail => Stage::Mail,
            Owed::Rcpt => Stage::Rcpt,
            Owed::Data => Stage::Data,
            Owed::Dot | Owed::LoneDot => Stage::Dot,
            Owed::Rset => Stage::Rset,
            Owed::Quit => Stage::Quit,
        }
    }

    /// Whether it answers a command of a transaction.
    fn is_of_a_transaction(self) -> bool {
        matches!(self, Owed::Mail | Owed::Rcpt | Owed::Data | Owed::Dot | Owed::LoneDot)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Up to the login.
    Opening,
    /// STARTTLS was accepted; the handshake is the owner's.
    Handshake,
    Ready,
    Closed,
}

/// One connection's state.
#[derive(Debug)]
pub struct Client {
    config: Config,
    phase: Phase,
    secured: bool,
    ehlo: Ehlo,
    parser: ReplyParser,
    /// Replies in the order in which they will come; at most those of two groups.
    owed: VecDeque<Owed>,
    /// In the order of their beginning; each leaves when the last of its replies is in.
    transactions: VecDeque<Transaction>,
    /// The server holds a MAIL whose transaction will not be completed.
    needs_rset: bool,
    /// Each command waits for its reply, whatever is offered.
    lock_step: bool,
    /// A group went wrong in a way that lock-step would not have.
    doubts_pipelining: bool,
    events: VecDeque<Event>,
    output: Vec<u8>,
    /// How much of `output` is written.
    output_from: usize,
    /// Octets written before `output[0]`, since the connection began.
    output_base: u64,
    wait_serial: u64,
}

impl Client {
    /// A connection just opened (and secured, with [`TlsUse::Implicit`]); the greeting is awaited.
    pub fn new(config: Config) -> Client {
        Client {
            secured: config.tls == TlsUse::Implicit,
            config,
            phase: Phase::Opening,
            ehlo: Ehlo::default(),
            parser: ReplyParser::default(),
            owed: VecDeque::from([Owed::Greeting]),
            transactions: VecDeque::new(),
            needs_rset: false,
            lock_step: false,
            doubts_pipelining: false,
            events: VecDeque::new(),
            output: Vec::new(),
            output_from: 0,
            output_base: 0,
            wait_serial: 0,
        }
    }

    /// Has each command wait for its reply on this connection, also where PIPELINING is offered: for a server that
    /// offers it and cannot do it ([`Client::doubts_pipelining`]).
    pub fn without_pipelining(&mut self) {
        self.lock_step = true;
        self.ehlo.pipelining = false;
    }

    /// Whether the server offered PIPELINING and does not seem to follow RFC 2920: the first command of a group was
    /// answered and the others never were, or one of them was not understood. The next connection to it should do
    /// without. Asked after the connection is over.
    pub fn doubts_pipelining(&self) -> bool {
        self.doubts_pipelining
    }

    /// What is to be written now.
    pub fn output(&self) -> &[u8] {
        &self.output[self.output_from..]
    }

    /// The first `count` octets of [`Client::output`] were taken by the connection.
    pub fn wrote(&mut self, count: usize) {
        // The wait for a block of the message begins anew with each one taken; once the dot is out, the wait for the
        // final answer runs, and the next transaction's commands do not lengthen it.
        if self.owed.front() == Some(&Owed::Dot) && !self.front_dot_is_written() {
            self.wait_serial += 1;
        }
        self.output_from = (self.output_from + count).min(self.output.len());
        if self.output_from == self.output.len() {
            self.output_base += self.output.len() as u64;
            self.output.clear();
            self.output.shrink_to(OUTPUT_KEPT_MAX);
            self.output_from = 0;
        }
    }

    /// The memory of the output, when nothing is left to be written: what waits for its turn needs none, and a body's buffer
    /// on each of thousands of slow connections adds up.
    pub fn idle_output(&mut self) -> Vec<u8> {
        if self.output.is_empty() { std::mem::take(&mut self.output) } else { Vec::new() }
    }

    /// Octets were read.
    pub fn input(&mut self, mut bytes: &[u8]) {
        // What comes while the handshake is awaited came in clear, and may be injected (RFC 3207 section 6): dropped.
        while !bytes.is_empty() && matches!(self.phase, Phase::Opening | Phase::Ready) {
            match self.parser.read(&mut bytes) {
                Ok(Some(reply)) => self.on_reply(reply),
                Ok(None) => return,
                Err(error) => return self.close(Cut::Garbled(error)),
            }
        }
    }

    /// The connection ended, or is to end: the server closed it ([`Cut::Eof`]), a wait ran out ([`Cut::Timeout`]), the
    /// handshake failed, or our side gives up ([`Cut::Abandoned`]).
    pub fn cut(&mut self, why: Cut) {
        self.close(why);
    }

    /// The handshake after [`Event::Handshake`] is done. All that the server said before it is forgotten.
    pub fn secured(&mut self) {
        if self.phase == Phase::Handshake {
            self.secured = true;
            self.phase = Phase::Opening;
            self.parser = ReplyParser::default();
            self.say_ehlo();
        }
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is awaited from the peer; None while it is our turn, between transactions, and after the end.
    pub fn wait(&self) -> Option<Wait> {
        let stage = match self.phase {
            Phase::Closed => return None,
            Phase::Handshake => Stage::Handshake,
            Phase::Opening | Phase::Ready => match self.owed.front()? {
                Owed::Dot if !self.front_dot_is_written() => Stage::Body,
                owed => owed.stage(),
            },
        };
        Some(Wait { stage, timeout: stage.timeout(), serial: self.wait_serial })
    }

    /// The extensions that the server offers; empty before [`Event::Ready`].
    pub fn ehlo(&self) -> &Ehlo {
        &self.ehlo
    }

    /// Whether the connection is encrypted.
    pub fn is_secured(&self) -> bool {
        self.secured
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether nothing is under way: neither a transaction nor an answer owed.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.owed.is_empty() && self.transactions.is_empty()
    }

    /// Says QUIT once nothing is under way; [`Event::Closed`] follows. Answers false, and does nothing, before that.
    pub fn quit(&mut self) -> bool {
        let idle = self.is_idle();
        if idle {
            self.say(Owed::Quit, &["QUIT"]);
        }
        idle
    }

    fn say(&mut self, owed: Owed, words: &[&str]) {
        crate::command::push(&mut self.output, words);
        self.owe(owed);
    }

    fn owe(&mut self, owed: Owed) {
        if self.owed.is_empty() {
            self.wait_serial += 1;
        }
        self.owed.push_back(owed);
    }

    fn on_reply(&mut self, reply: Reply) {
        self.wait_serial += 1;
        let Some(owed) = self.owed.front().copied() else {
            // While it is our turn only a farewell is plausible. A transaction that waits for its message gets it as
            // its answer, so that it counts as what it is: a matter of the path.
            if reply.code != 421 {
                return self.close(Cut::OutOfStep(reply));
            }
            self.finish_front(Answer::Reply(reply.clone()), self.stage_of_our_turn());
            return self.close(Cut::Refused(reply));
        };
        if owed == Owed::Quit {
            return self.close(Cut::Quit);
        }
        if reply.code == 421 {
            // RFC 5321 section 3.8: it may answer anything, and the connection is over.
            return self.close_with_reply(owed, reply);
        }
        if owed.is_of_a_transaction() || owed == Owed::Rset {
            self.on_transaction_reply(owed, reply);
        } else {
            self.owed.pop_front();
            self.on_session_reply(owed, reply);
        }
    }

    /// The answer to `owed` ends the connection, and is the result of the transaction that it answers.
    fn close_with_reply(&mut self, owed: Owed, reply: Reply) {
        if owed.is_of_a_transaction() {
            let stage =
                if owed == Owed::Dot && !self.front_dot_is_written() { Stage::Body } else { owed.stage() };
            self.finish_front(Answer::Reply(reply.clone()), stage);
        }
        self.close(Cut::Refused(reply));
    }

    fn close(&mut self, why: Cut) {
        if self.phase == Phase::Closed {
            return;
        }
        let why = match (why, self.owed.front()) {
            // Some servers close at QUIT without a word.
            (Cut::Eof, Some(Owed::Quit)) => Cut::Quit,
            (why, _) => why,
        };
        let stage = self.wait().map_or(self.stage_of_our_turn(), |wait| wait.stage);
        // Commands that came along with one that was answered were thrown away, or read as something else.
        let lost = matches!(why, Cut::Timeout | Cut::OutOfStep(_));
        self.doubts_pipelining |= lost && self.is_within_group();
        self.finish_all(&why);
        self.phase = Phase::Closed;
        self.owed.clear();
        self.output = Vec::new();
        self.output_from = 0;
        self.events.push_back(Event::Closed { stage, why });
    }

    /// Where the session stands while nothing is awaited.
    fn stage_of_our_turn(&self) -> Stage {
        match self.transactions.front() {
            Some(transaction) => transaction.stage(),
            None => Stage::Idle,
        }
    }

    /// Octets of output since the connection began, up to the end of what is in the buffer.
    fn output_end(&self) -> u64 {
        self.output_base + self.output.len() as u64
    }

    fn written(&self) -> u64 {
        self.output_base + self.output_from as u64
    }
}
