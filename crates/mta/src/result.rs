//! settle: from an answer (or none) to what becomes of the message and of the path.

use std::sync::Arc;

use queue::{FinalState, Message, RetryPlan, RunSpec, Settlement, Verdict};
use smtp::{Answer, Outcome, PathAction, RecipientOutcome, Stage, classify};

use crate::config::{NOT_NOW_WAIT, us};
use crate::exchange::Exchange;
use crate::world::ComposeError;

/// How long after its due time a retry still prefers the source that the receiver knows.
const STICKY_US: i64 = 15 * 60 * 1_000_000;

/// What becomes of a message after a transaction.
#[derive(Debug)]
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

    /// A message that could not be composed.
    pub(crate) fn not_composed(&self, error: &ComposeError) -> Settlement {
        match error {
            ComposeError::Message(words) => self.decided(FinalState::Failed, "not_composed", Some(words)),
            ComposeError::NotNow(words) => {
                self.parked(self.now_us + us(NOT_NOW_WAIT), "not_composed", Some(words))
            }
        }
    }

    /// What a transaction came to. Also moves the path's state.
    pub(crate) fn judge(&self, outcome: &Outcome, digest: [u8; 16], exchange: &Exchange) -> Next {
        match &outcome.answer {
            Answer::Reply(reply) => self.judge_reply(reply, outcome.stage, digest, exchange),
            Answer::None(why) if outcome.is_unknown() => {
                exchange.broke(&why.to_string(), self.now_us);
                let mut settlement = self.next_try(true, true);
                settlement.reason = Some("unknown".to_owned());
                settlement.reply = Some(format!("no answer to the message: {why}"));
                Next::Settle(settlement)
            }
            Answer::None(smtp::Cut::Abandoned) => Next::PutBack,
            // The receiver had answered MAIL, so this was a try; without that the path is to blame, not the message.
            Answer::None(why) if outcome.stage.is_of_a_message() && outcome.stage != Stage::Mail => {
                exchange.broke(&why.to_string(), self.now_us);
                let mut settlement = self.next_try(true, self.message.past.unknown);
                settlement.reason = Some("unreachable".to_owned());
                settlement.reply = Some(format!("at {}: {why}", outcome.stage));
                Next::Settle(settlement)
            }
            Answer::None(why) => {
                exchange.broke(&why.to_string(), self.now_us);
                Next::PutBack
            }
        }
    }

    fn judge_reply(&self, reply: &smtp::Reply, stage: Stage, digest: [u8; 16], exchange: &Exchange) -> Next {
        if self.run.test_smtp && stage == Stage::Rcpt && reply.is_positive() {
            exchange.worked();
            return Next::Settle(self.would_take(reply));
        }
        let verdict = classify(reply, stage);
        match verdict.path {
            PathAction::Suspend { after_s } | PathAction::Slow { after_s, .. } => {
                exchange.suspended(&reply.to_string(), after_s, self.now_us);
            }
            PathAction::FewerConnections | PathAction::FewerMessages | PathAction::SecureOnly => {
                exchange.suspended(&reply.to_string(), None, self.now_us);
            }
            PathAction::None => exchange.worked(),
        }
        let mut settlement = match verdict.recipient {
            RecipientOutcome::Sent => {
                self.tried(Verdict::Final { state: FinalState::Sent, digest: Some(digest) }, true)
            }
            RecipientOutcome::Failed => {
                self.tried(Verdict::Final { state: FinalState::Failed, digest: None }, true)
            }
            RecipientOutcome::Retry { after_s: Some(seconds) } => self.named_try(seconds),
            // Held without a rest of the path (the sending domain is to blame): put back it would be next at once.
            RecipientOutcome::Retry { after_s: None } if verdict.held => {
                self.next_try(false, self.message.past.unknown)
            }
            RecipientOutcome::Retry { after_s: None } if !verdict.counts => return Next::PutBack,
            RecipientOutcome::Retry { after_s: None } => self.next_try(true, self.message.past.unknown),
        };
        if verdict.recipient != RecipientOutcome::Sent {
            settlement.reason = Some(verdict.reason.name().to_owned());
        }
        settlement.reply = Some(reply.to_string());
        settlement.nonexistent = verdict.quarantine.then(|| self.message.address_key());
        Next::Settle(settlement)
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
        let due =
            RetryPlan::named(seconds, self.now_us, self.run.valid_until).unwrap_or(self.run.valid_until);
        let verdict = Verdict::Deferred {
            due,
            sticky_until: Some(due + STICKY_US),
            unknown: self.message.past.unknown,
        };
        self.tried(verdict, false)
    }
}
