//! settle: from an answer (or none) to what becomes of the message and of the path.

use std::sync::Arc;
use std::time::Duration;

use queue::{FinalState, Message, RetryPlan, RunSpec, Settlement, Verdict};
use smtp::{Answer, Blame, Category, Outcome, Reason, RecipientOutcome, Stage};

use crate::blame::{self, About, Said};
use crate::category::LOST_ANSWER;
use crate::config::{HELD_WAIT, NOT_NOW_WAIT, PATH_REST, us};
use crate::engine::Shared;
use crate::exchange::Exchange;
use crate::shape::Answered;
use crate::world::ComposeError;

/// How long after its due time a retry still prefers the source that the receiver knows.
const STICKY_US: i64 = 15 * 60 * 1_000_000;

/// Added to a wait that a receiver names: it may count from its own clock, and a second too early begins it anew.
const NAMED_MORE_S: u32 = 10;

/// What becomes of a message after a transaction.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once and never kept: a box would be an allocation for each message"
)]
pub(crate) enum Next {
    /// To the settler.
    Settle(Settlement),
    /// Back to the front of its line: nothing was decided about it.
    PutBack,
}

/// Everything a settlement says beside the verdict.
pub(crate) struct Attempt<'a> {
    pub message: &'a Message,
    pub run: &'a RunSpec,
    pub source: Option<&'a Arc<str>>,
    pub site: &'a Arc<str>,
    pub now_us: i64,
}

/// Where an answer was heard.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub shared: &'a Shared,
    pub exchange: &'a Exchange,
    /// Messages begun on the connection.
    pub seen: u32,
    /// It is encrypted.
    pub secured: bool,
    /// Octets of the message.
    pub octets: u32,
    /// The sender's domain.
    pub domain: &'a str,
}

/// How an answer counts in the path's shares.
fn kind(verdict: &smtp::Verdict) -> Answered {
    match verdict.recipient {
        RecipientOutcome::Sent => Answered::Accepted,
        // A message, a link or an address that is not wanted is no fault of the path; who sends, and from where, is.
        RecipientOutcome::Failed => {
            Answered::Refused(!matches!(verdict.blames, Blame::Recipient | Blame::Content | Blame::Url))
        }
        // A wait that is named (greylisting) and a full mailbox say nothing about the path.
        RecipientOutcome::Retry { after_s } => {
            Answered::Deferred(after_s.is_none() && verdict.blames != Blame::Recipient)
        }
    }
}

impl Attempt<'_> {
    fn settlement(&self, verdict: Verdict, counts: bool) -> Settlement {
        let past = &self.message.past;
        Settlement {
            id: self.message.id,
            recipient: self.message.recipient,
            part: Arc::clone(&self.message.part),
            verdict,
            attempts: past.attempts + i64::from(counts),
            first_try: past.first_try,
            last_try: past.last_try,
            site: Arc::clone(self.site),
            source: self.source.cloned(),
            reason: None,
            reply: None,
            nonexistent: None,
            octets: 0,
            tls: None,
        }
    }

    fn tried(&self, verdict: Verdict, counts: bool) -> Settlement {
        let mut settlement = self.settlement(verdict, counts);
        settlement.first_try = settlement.first_try.or(Some(self.now_us));
        settlement.last_try = Some(self.now_us);
        settlement
    }

    /// A decision of ours that needed no receiver.
    pub(crate) fn decided(&self, state: FinalState, reason: &str, words: Option<&str>) -> Settlement {
        let mut settlement = self.settlement(Verdict::Final { state, digest: None }, false);
        settlement.reason = Some(reason.to_owned());
        settlement.reply = words.map(str::to_owned);
        settlement.last_try = settlement.last_try.or(Some(self.now_us));
        settlement
    }

    /// Parked: out of memory, no attempt counted. What an earlier try said stays.
    pub(crate) fn parked(&self, due_us: i64, reason: &str, words: Option<&str>) -> Settlement {
        let past = &self.message.past;
        let verdict = Verdict::Deferred { due: due_us, sticky_until: None, unknown: past.unknown };
        let mut settlement = self.settlement(verdict, false);
        settlement.reason = past.reason.clone().or_else(|| Some(reason.to_owned()));
        settlement.reply = past.reply.clone().or_else(|| words.map(str::to_owned));
        settlement
    }

    /// A message that could not be composed. Among the reasons of the log a fault of our own stands with the receivers that
    /// were not reached; the words tell them apart.
    pub(crate) fn not_composed(&self, error: &ComposeError) -> Settlement {
        let reason = Reason::Unreachable.name();
        let said = |words: &str| Some(format!("the message could not be composed: {words}"));
        match error {
            ComposeError::Message(words) => self.decided(FinalState::Failed, reason, said(words).as_deref()),
            ComposeError::NotNow(words) => {
                self.parked(self.now_us + us(NOT_NOW_WAIT), reason, said(words).as_deref())
            }
        }
    }

    /// Past its dot when the engine had to end. Whether it was taken is not known yet; it goes again when its receiver has had
    /// its time for the answer, unless that comes.
    pub(crate) fn left_behind(&self, patience: Duration) -> Settlement {
        let mut settlement = self.next_try(true, true);
        if let Verdict::Deferred { due, .. } = &mut settlement.verdict {
            *due = (*due).max(self.now_us + us(patience));
        }
        settlement.reason = Some(Reason::Unreachable.name().to_owned());
        settlement.reply = Some("no answer to the message before the engine ended".to_owned());
        settlement
    }

    /// What a transaction came to. Also moves the path's state.
    pub(crate) fn judge(&self, outcome: &Outcome, digest: [u8; 16], heard: Heard<'_>) -> Next {
        let exchange = heard.exchange;
        match &outcome.answer {
            Answer::Reply(reply) => self.judge_reply(reply, outcome.stage, digest, heard),
            Answer::None(smtp::Cut::Abandoned) => {
                exchange.path.shaper.not_accepted();
                Next::PutBack
            }
            Answer::None(why) => {
                // Without an answer to its final dot a message counts as accepted: it may have been.
                match outcome.is_unknown() {
                    true => exchange.path.shaper.accepted(),
                    false => exchange.path.shaper.not_accepted(),
                }
                exchange.broke(&why.to_string(), self.now_us);
                exchange.path.shaper.answered(Answered::Deferred(true), 0);
                heard.shared.heard(exchange, &why.to_string(), (0, Category::BadConnection), self.now_us);
                if outcome.is_unknown() {
                    let mut settlement = self.next_try(true, true);
                    settlement.reason = Some(Reason::Unreachable.name().to_owned());
                    settlement.reply = Some(format!("{LOST_ANSWER}{why}"));
                    return Next::Settle(settlement);
                }
                // Where the receiver had answered MAIL, this was a try; without that the path is to blame alone.
                if !outcome.stage.is_of_a_message() || outcome.stage == Stage::Mail {
                    return Next::PutBack;
                }
                let mut settlement = self.next_try(true, self.message.past.unknown);
                settlement.reason = Some(Reason::Unreachable.name().to_owned());
                settlement.reply = Some(format!("at {}: {why}", outcome.stage));
                Next::Settle(settlement)
            }
        }
    }

    fn judge_reply(&self, reply: &smtp::Reply, stage: Stage, digest: [u8; 16], heard: Heard<'_>) -> Next {
        let exchange = heard.exchange;
        let shaper = &exchange.path.shaper;
        let taken = stage == Stage::Dot && reply.is_positive();
        match taken {
            true => shaper.accepted(),
            false => shaper.not_accepted(),
        }
        if self.run.test_smtp && stage == Stage::Rcpt && reply.is_positive() {
            exchange.worked(self.now_us);
            return Next::Settle(self.would_take(reply));
        }
        // Nothing else is a yes about the message, and a yes needs no rules.
        if taken {
            exchange.worked(self.now_us);
            shaper.answered(Answered::Accepted, u64::from(heard.octets));
            let sent = Verdict::Final { state: FinalState::Sent, digest: Some(digest) };
            let mut settlement = self.tried(sent, true);
            settlement.reply = Some(reply.to_string());
            return Next::Settle(settlement);
        }
        let verdict = heard.shared.judge(exchange.site(), reply, stage);
        shaper.answered(kind(&verdict), 0);
        let words = smtp::normalised(&reply.to_string());
        heard.shared.heard(exchange, &words, (reply.code, verdict.category), self.now_us);
        let said =
            Said { verdict: &verdict, reply, seen: heard.seen, secured: heard.secured, now_us: self.now_us };
        let about = About { delivery: self.run.delivery, domain: heard.domain };
        let blocked = blame::obey(heard.shared, exchange, said, Some(about));
        let mut settlement = match verdict.recipient {
            RecipientOutcome::Failed => {
                self.tried(Verdict::Final { state: FinalState::Failed, digest: None }, true)
            }
            RecipientOutcome::Retry { after_s } if verdict.held => self.held(blocked, after_s, heard),
            RecipientOutcome::Retry { after_s: Some(seconds) } => self.named_try(seconds),
            RecipientOutcome::Retry { after_s: None } if !verdict.counts => return Next::PutBack,
            _ => self.next_try(true, self.message.past.unknown),
        };
        settlement.reason = Some(verdict.reason.name().to_owned());
        settlement.reply = Some(reply.to_string());
        settlement.nonexistent = verdict.quarantine.then(|| self.message.address_key());
        Next::Settle(settlement)
    }

    /// Refused for good by code, and not for its own sake: it waits for what is to blame, and expires at worst.
    fn held(&self, blocked: Option<i64>, after_s: Option<u32>, heard: Heard<'_>) -> Settlement {
        let exchange = heard.exchange;
        let others = heard.shared.standing().serving(&self.run.pool, &self.message.domain).nth(1).is_some();
        let due = match (blocked, exchange.resting_until(self.now_us)) {
            (Some(until), _) => until,
            // Another source of the pool is not blocked, as far as is known.
            (None, Some(_)) if others => self.now_us + us(PATH_REST),
            (None, Some(until)) => until,
            (None, None) => {
                self.now_us + after_s.map_or(us(HELD_WAIT), |seconds| i64::from(seconds) * 1_000_000)
            }
        };
        let due = due.min(self.run.valid_until);
        self.tried(Verdict::Deferred { due, sticky_until: None, unknown: self.message.past.unknown }, false)
    }

    /// The receiver would take a message, and was given none: no digest, because there are no bytes.
    fn would_take(&self, reply: &smtp::Reply) -> Settlement {
        let mut settlement = self.tried(Verdict::Final { state: FinalState::Sent, digest: None }, true);
        settlement.reason = Some(queue::TEST_REASON.to_owned());
        settlement.reply = Some(reply.to_string());
        settlement
    }

    /// The next regular try. When none lies before the end of validity the message waits for that end.
    fn next_try(&self, counts: bool, unknown: bool) -> Settlement {
        let attempts = self.message.past.attempts + i64::from(counts);
        let due =
            self.run.retry.next(attempts, self.now_us, self.run.valid_until).unwrap_or(self.run.valid_until);
        self.tried(Verdict::Deferred { due, sticky_until: None, unknown }, counts)
    }

    /// The receiver named the wait: from the same source, not counted.
    fn named_try(&self, seconds: u32) -> Settlement {
        let due = RetryPlan::named(seconds.saturating_add(NAMED_MORE_S), self.now_us, self.run.valid_until)
            .unwrap_or(self.run.valid_until);
        let verdict = Verdict::Deferred {
            due,
            sticky_until: Some(due + STICKY_US),
            unknown: self.message.past.unknown,
        };
        self.tried(verdict, false)
    }
}
