//! MAIL, RCPT, DATA, the message and its final answer.

use super::{Answer, Client, Cut, Event, NotBegun, Outcome, Owed, Phase, TRANSACTIONS_MAX};
use crate::command::{Envelope, push_mail, push_rcpt};
use crate::reply::Reply;
use crate::stage::Stage;
use crate::stuffing::{end_of, needs_no_stuffing, push_stuffed};

/// One transaction under way.
#[derive(Debug)]
pub(super) struct Transaction {
    id: u64,
    envelope: Envelope,
    /// The commands went out as one group.
    grouped: bool,
    /// Ends with the answer to RCPT: the receiver is asked whether it would take a message, and gets none.
    probe: bool,
    mail_accepted: bool,
    /// [`Event::Finished`] was given; replies that are still owed only keep the stream in step.
    finished: bool,
    /// 354 came, and the message was not given yet.
    wants_body: bool,
    /// Where in the output its final dot ends.
    dot_end: Option<u64>,
}

impl Transaction {
    /// What is awaited from our side.
    pub(super) fn stage(&self) -> Stage {
        if self.wants_body { Stage::Body } else { Stage::Mail }
    }
}

impl Client {
    /// Whether a transaction can begin now: the session stands and nothing is under way, or (with PIPELINING) only a
    /// final answer is awaited.
    pub fn can_begin(&self) -> bool {
        if self.phase != Phase::Ready || self.transactions.len() >= TRANSACTIONS_MAX {
            return false;
        }
        match self.owed.back() {
            None => self.transactions.is_empty(),
            Some(Owed::Dot | Owed::LoneDot) => self.ehlo.pipelining,
            Some(_) => false,
        }
    }

    /// Begins a transaction. `id` comes back with its events.
    pub fn begin(&mut self, id: u64, envelope: Envelope) -> Result<(), NotBegun> {
        self.begin_as(id, envelope, false)
    }

    /// Begins a transaction without a message: MAIL and RCPT alone, no DATA in the group. The answer to RCPT is its result.
    pub fn probe(&mut self, id: u64, envelope: Envelope) -> Result<(), NotBegun> {
        self.begin_as(id, envelope, true)
    }

    fn begin_as(&mut self, id: u64, envelope: Envelope, probe: bool) -> Result<(), NotBegun> {
        if !self.can_begin() {
            return Err(NotBegun::Busy);
        }
        if !envelope.is_sound() {
            return Err(NotBegun::Envelope);
        }
        if envelope.needs_smtputf8() && !self.ehlo.smtputf8 {
            return Err(NotBegun::SmtpUtf8);
        }
        if let Some(limit) = self.ehlo.size_max.filter(|limit| envelope.size > *limit) {
            return Err(NotBegun::TooLarge(limit));
        }
        let grouped = self.ehlo.pipelining;
        if self.needs_rset {
            self.needs_rset = false;
            self.say(Owed::Rset, &["RSET"]);
        }
        if grouped {
            self.say_mail(&envelope);
            self.say_rcpt(&envelope);
            if !probe {
                self.say(Owed::Data, &["DATA"]);
            }
        } else if self.owed.is_empty() {
            self.say_mail(&envelope);
        }
        self.transactions.push_back(Transaction {
            id,
            envelope,
            grouped,
            probe,
            mail_accepted: false,
            finished: false,
            wants_body: false,
            dot_end: None,
        });
        Ok(())
    }

    /// The message of the transaction whose [`Event::BodyWanted`] came, with CRLF line ends. False, and nothing is
    /// done, when none is wanted by that transaction.
    pub fn body(&mut self, id: u64, message: &[u8]) -> bool {
        let wanted = self.wants_body(id);
        if wanted {
            push_stuffed(&mut self.output, message);
            self.body_is_in();
        }
        wanted
    }

    /// The same of a message that is given away: where nothing else waits to be written, and no dot has to be doubled,
    /// its buffer becomes the connection's without a copy. Answers as [`Client::body`], with a buffer that is free again.
    pub fn body_in(&mut self, id: u64, mut message: Vec<u8>) -> (bool, Vec<u8>) {
        if !self.wants_body(id) {
            return (false, message);
        }
        if self.output.is_empty() && needs_no_stuffing(&message) {
            message.extend_from_slice(end_of(&message));
            std::mem::swap(&mut self.output, &mut message);
        } else {
            push_stuffed(&mut self.output, &message);
        }
        self.body_is_in();
        (true, message)
    }

    fn wants_body(&self, id: u64) -> bool {
        self.phase == Phase::Ready
            && self.transactions.front().is_some_and(|front| front.id == id && front.wants_body)
    }

    /// The front's message and its dot stand in the output.
    fn body_is_in(&mut self) {
        self.owe(Owed::Dot);
        let dot_end = self.output_end();
        if let Some(front) = self.transactions.front_mut() {
            front.wants_body = false;
            front.dot_end = Some(dot_end);
        }
    }

    /// Whether the final dot of this transaction was handed to the connection in whole: from here on only the
    /// receiver knows whether it has the message.
    pub fn dot_is_written(&self, id: u64) -> bool {
        self.transactions
            .iter()
            .find(|transaction| transaction.id == id)
            .is_some_and(|found| self.is_past_dot(found))
    }

    pub(super) fn front_dot_is_written(&self) -> bool {
        self.transactions.front().is_some_and(|front| self.is_past_dot(front))
    }

    fn is_past_dot(&self, transaction: &Transaction) -> bool {
        transaction.dot_end.is_some_and(|end| self.written() >= end)
    }

    fn say_mail(&mut self, envelope: &Envelope) {
        push_mail(&mut self.output, envelope, &self.ehlo);
        self.owe(Owed::Mail);
    }

    fn say_rcpt(&mut self, envelope: &Envelope) {
        push_rcpt(&mut self.output, envelope);
        self.owe(Owed::Rcpt);
    }

    pub(super) fn on_transaction_reply(&mut self, owed: Owed, reply: Reply) {
        if owed == Owed::Dot && !self.front_dot_is_written() {
            return self.on_early_answer(reply);
        }
        self.owed.pop_front();
        match owed {
            Owed::Rset => self.on_rset(reply),
            Owed::Mail => self.on_mail(reply),
            Owed::Rcpt => self.on_rcpt(reply),
            Owed::Data => self.on_data(reply),
            Owed::Dot => self.on_dot(reply),
            // The recipient was refused before, so whatever the server says to the lone dot changes nothing.
            _ => self.leave(),
        }
    }

    /// An answer in the middle of the message: the server will not take it. The rest cannot be left unsaid, so the
    /// connection ends here. A positive one is nonsense: nobody can have the message yet.
    fn on_early_answer(&mut self, reply: Reply) {
        if reply.code >= 400 {
            self.finish_front(Answer::Reply(reply.clone()), Stage::Body);
            self.close(Cut::Refused(reply));
        } else {
            self.close(Cut::OutOfStep(reply));
        }
    }

    fn on_rset(&mut self, reply: Reply) {
        if !reply.is_positive() {
            // The old transaction may still be open: going on could mix two messages.
            self.owed.push_front(Owed::Rset);
            return self.close(Cut::OutOfStep(reply));
        }
        if let Some(front) = self.transactions.front().filter(|front| !front.grouped) {
            let envelope = front.envelope.clone();
            self.say_mail(&envelope);
        }
    }

    fn on_mail(&mut self, reply: Reply) {
        if !self.is_verdict(Owed::Mail, &reply) {
            return;
        }
        let grouped = self.transactions.front().is_some_and(|front| front.grouped);
        if reply.is_positive() {
            if let Some(front) = self.transactions.front_mut() {
                front.mail_accepted = true;
            }
            if !grouped && let Some(envelope) = self.transactions.front().map(|front| front.envelope.clone())
            {
                self.say_rcpt(&envelope);
            }
            return;
        }
        self.finish_front(Answer::Reply(reply), Stage::Mail);
        if !grouped {
            self.leave();
        }
    }

    fn on_rcpt(&mut self, reply: Reply) {
        if !self.is_verdict(Owed::Rcpt, &reply) {
            return;
        }
        let grouped = self.transactions.front().is_some_and(|front| front.grouped);
        // "Unrecognized" or "bad sequence" right after an accepted MAIL: RCPT did not arrive as it was sent.
        let mangled = matches!(reply.code, 500 | 502 | 503);
        self.doubts_pipelining |= mangled && self.is_within_group();
        if let Some(front) = self.transactions.front().filter(|front| front.probe) {
            // Refused at MAIL it has its result already. An open transaction is left by RSET, should another follow.
            self.needs_rset = front.mail_accepted;
            self.finish_front(Answer::Reply(reply), Stage::Rcpt);
            return self.leave();
        }
        if reply.is_positive() {
            if !grouped {
                self.say(Owed::Data, &["DATA"]);
            }
            return;
        }
        self.finish_front(Answer::Reply(reply), Stage::Rcpt);
        if !grouped {
            self.needs_rset = true;
            self.leave();
        }
    }

    fn on_data(&mut self, reply: Reply) {
        let Some((id, finished, mail_accepted)) =
            self.transactions.front().map(|front| (front.id, front.finished, front.mail_accepted))
        else {
            return;
        };
        if reply.code == 354 && finished {
            // RFC 2920 section 3.1: the server took DATA although the recipient was refused, and waits.
            self.output.extend_from_slice(b".\r\n");
            return self.owe(Owed::LoneDot);
        }
        if reply.code == 354 {
            if let Some(front) = self.transactions.front_mut() {
                front.wants_body = true;
            }
            return self.events.push_back(Event::BodyWanted { id });
        }
        if reply.code < 400 {
            self.owed.push_front(Owed::Data);
            return self.close(Cut::OutOfStep(reply));
        }
        self.finish_front(Answer::Reply(reply), Stage::Data);
        self.needs_rset = mail_accepted;
        self.leave();
    }

    fn on_dot(&mut self, reply: Reply) {
        if !self.is_verdict(Owed::Dot, &reply) {
            return;
        }
        self.finish_front(Answer::Reply(reply), Stage::Dot);
        self.leave();
    }

    /// Whether MAIL of a group was accepted, and an answer to its next commands is awaited.
    pub(super) fn is_within_group(&self) -> bool {
        self.transactions
            .front()
            .is_some_and(|front| front.grouped && front.mail_accepted && front.dot_end.is_none())
    }

    /// Whether a reply is 2yz, 4yz or 5yz; anything else is out of step and ends the connection.
    fn is_verdict(&mut self, owed: Owed, reply: &Reply) -> bool {
        let verdict = !reply.is_intermediate();
        if !verdict {
            self.owed.push_front(owed);
            self.close(Cut::OutOfStep(reply.clone()));
        }
        verdict
    }

    /// The oldest transaction has all its replies.
    fn leave(&mut self) {
        self.transactions.pop_front();
    }

    /// Gives the oldest transaction's result, unless it has one.
    pub(super) fn finish_front(&mut self, answer: Answer, stage: Stage) {
        let dot_written = self.front_dot_is_written();
        if let Some(front) = self.transactions.front_mut().filter(|front| !front.finished) {
            front.finished = true;
            let outcome = Outcome { answer, stage, dot_written };
            self.events.push_back(Event::Finished { id: front.id, outcome });
        }
    }

    /// The connection ended: every transaction without a result gets one.
    pub(super) fn finish_all(&mut self, why: &Cut) {
        let mut stage = self.wait().map(|wait| wait.stage).filter(|stage| stage.is_of_a_message());
        while let Some(front) = self.transactions.front() {
            let reached = stage.take().unwrap_or(front.stage());
            self.finish_front(Answer::None(why.clone()), reached);
            self.leave();
        }
    }
}
