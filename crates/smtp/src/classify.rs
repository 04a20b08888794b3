//! What a reply means: for the recipient, for the path, and who is to blame for it. Three separate answers, because an
//! IP block that were read as a fault of its recipients would empty a list.

mod named;
mod normal;
mod phrases;
mod rule;
mod rules;
mod speaker;
mod verdict;

pub use named::blamed_name;
pub use normal::{NORMALISED_LEN_MAX, normalised};
pub use rules::{RuleError, Rulebook, Rules};
pub use speaker::speaker;
pub use verdict::{Blame, Category, PathAction, Reason, RecipientOutcome, RuleName, Verdict};

use crate::delay::{DELAY_MAX_S, DELAY_MIN_S, named_delay};
use crate::reply::Reply;
use crate::stage::Stage;
use rule::{Effect, Outcome, Rule};

/// Wait of a held message whose path goes on: two hours, so that what an operator mends in the morning goes out before
/// noon, at twelve tries a day.
pub const HELD_S: u32 = 7_200;

/// Wait after 4yz for something that an operator has to mend, or that passes with time: half an hour, the least that
/// RFC 5321 section 4.5.4.1 recommends.
pub const MENDING_S: u32 = 1_800;

/// Judges the reply to what was said at `stage` to a receiver that nothing is known about, by the shipped rules.
pub fn classify(reply: &Reply, stage: Stage) -> Verdict {
    classify_for("", reply, stage)
}

/// Judges by the shipped rules, those of `provider` first. `provider` is the name of a site: of a provider
/// (`google`), or the registrable name of its MX hosts (`laposte.net`); empty: unknown.
pub fn classify_for(provider: &str, reply: &Reply, stage: Stage) -> Verdict {
    Rules::shipped().classify_for(provider, reply, stage)
}

impl Rules {
    /// Judges the reply to what was said at `stage`, by the rules of `provider` first; see [`classify_for`].
    pub fn classify_for(&self, provider: &str, reply: &Reply, stage: Stage) -> Verdict {
        let verdict = Verdict {
            recipient: RecipientOutcome::Sent,
            reason: Reason::NotDefined,
            category: Category::Uncategorized,
            path: PathAction::None,
            blames: Blame::None,
            quarantine: false,
            held: false,
            counts: true,
            rule: RuleName::default(),
        };
        if reply.code < 400 {
            // Anything positive before the final dot is not an answer about the message.
            let sent = reply.is_positive() && stage == Stage::Dot;
            let recipient =
                if sent { RecipientOutcome::Sent } else { RecipientOutcome::Retry { after_s: None } };
            return Verdict { recipient, counts: sent, ..verdict };
        }
        let rule = self.find(provider, reply, stage);
        let verdict = match rule {
            Some(rule) => with_rule(verdict, rule),
            None => verdict,
        };
        let named_s = if reply.is_transient() { named_delay(&reply.text()) } else { None };
        let waits = Waits { named_s, rule };
        if reply.code == 421 || !stage.is_of_a_message() {
            return of_the_path(verdict, stage, waits);
        }
        of_the_message(verdict, reply, stage, waits)
    }
}

/// What a reply and the rule that knows it say about waiting.
#[derive(Clone, Copy)]
struct Waits<'a> {
    /// In the receiver's own words.
    named_s: Option<u32>,
    rule: Option<&'a Rule>,
}

impl Waits<'_> {
    /// For the path. `None` where the rule says nothing about it.
    fn path(self) -> Option<PathAction> {
        let rule = self.rule?;
        let after_s = self.named_s.or(rule.rest_s.map(bounded));
        Some(match rule.path? {
            Effect::None => PathAction::None,
            Effect::Suspend => PathAction::Suspend { after_s },
            Effect::Slow => PathAction::Slow {
                factor_percent: rule.factor_percent,
                after_s,
                one_connection: rule.one_connection,
            },
            Effect::FewerConnections => PathAction::FewerConnections,
            Effect::FewerMessages => PathAction::FewerMessages,
            Effect::SecureOnly => PathAction::SecureOnly,
        })
    }

    /// Words about the content that a rule takes for the whole delivery's: told once, however many messages it has, so that
    /// the next one is not offered to hear them again, be they "not now" or "not ever".
    fn holds_delivery(self) -> bool {
        self.rule.is_some_and(|rule| rule.outcome == Some(Outcome::Hold) && rule.blames == Blame::Content)
    }

    /// For the message.
    fn message_s(self) -> Option<u32> {
        self.named_s.or(self.rule.and_then(|rule| rule.retry_s).map(bounded))
    }
}

fn bounded(seconds: u32) -> u32 {
    seconds.clamp(DELAY_MIN_S, DELAY_MAX_S)
}

fn with_rule(verdict: Verdict, rule: &Rule) -> Verdict {
    Verdict {
        reason: rule.reason,
        category: rule.category,
        blames: rule.blames,
        quarantine: rule.quarantine,
        rule: RuleName::of(&rule.name),
        ..verdict
    }
}

/// An answer about one message.
fn of_the_message(verdict: Verdict, reply: &Reply, stage: Stage, waits: Waits<'_>) -> Verdict {
    let path = waits.path().unwrap_or(PathAction::None);
    let verdict = Verdict { path, ..verdict };
    let outcome = match waits.rule.and_then(|rule| rule.outcome) {
        Some(Outcome::Hold) if waits.holds_delivery() => Outcome::Hold,
        // A reply of the 4yz kind is never the end, whatever a rule says.
        Some(Outcome::Fail | Outcome::Hold) if reply.is_transient() => Outcome::Retry,
        Some(Outcome::Fail) => Outcome::Fail,
        // RFC 5321 section 4.5.3.1.10: 552 to RCPT is read as 452, unless its words are clear.
        _ if reply.code == 552 && stage == Stage::Rcpt && !verdict.quarantine => Outcome::Retry,
        Some(outcome) => outcome,
        None if reply.is_transient() => Outcome::Retry,
        None => Outcome::Fail,
    };
    // A try that the path stopped says nothing about the message, and must not use up its tries.
    let of_path = path != PathAction::None;
    let mended_s = if of_path { None } else { mending_s(verdict.blames) };
    let after_s = match outcome {
        Outcome::Hold if !of_path => waits.message_s().or(Some(HELD_S)),
        _ => waits.message_s().or(mended_s),
    };
    let recipient = RecipientOutcome::Retry { after_s };
    match outcome {
        Outcome::Fail => Verdict { recipient: RecipientOutcome::Failed, ..verdict },
        Outcome::Retry => {
            Verdict { recipient, quarantine: false, counts: after_s.is_none() && !of_path, ..verdict }
        }
        Outcome::Hold => Verdict { recipient, quarantine: false, held: true, counts: false, ..verdict },
    }
}

/// The wait for what is at fault and is neither the message's nor the path's to be mended.
fn mending_s(blames: Blame) -> Option<u32> {
    matches!(blames, Blame::Domain | Blame::Url | Blame::Configuration).then_some(MENDING_S)
}

/// The connection was refused or ended, whatever it was about to carry.
fn of_the_path(verdict: Verdict, stage: Stage, waits: Waits<'_>) -> Verdict {
    let known = waits.rule.is_some();
    let path = match waits.path() {
        Some(PathAction::None) | None if stage.is_of_a_message() && is_of_one(verdict.blames) => {
            // The connection is gone, but its next message may be another sender's, or say something else.
            let after_s = waits.message_s().or(Some(MENDING_S));
            let recipient = RecipientOutcome::Retry { after_s };
            let held = waits.holds_delivery();
            return Verdict { recipient, quarantine: false, held, counts: false, ..verdict };
        }
        Some(PathAction::None) | None => PathAction::Suspend { after_s: waits.named_s },
        Some(action) => action,
    };
    let (reason, blames) = match stage {
        Stage::Auth => (Reason::Refused, Blame::Configuration),
        _ if known => (verdict.reason, verdict.blames),
        _ => (Reason::Unreachable, Blame::None),
    };
    Verdict {
        recipient: RecipientOutcome::Retry { after_s: None },
        path,
        reason,
        category: if known { verdict.category } else { Category::BadConnection },
        blames,
        quarantine: false,
        held: false,
        counts: false,
        rule: verdict.rule,
    }
}

/// Whether only some of the messages of a path are concerned.
fn is_of_one(blames: Blame) -> bool {
    matches!(blames, Blame::Recipient | Blame::Domain | Blame::Url | Blame::Content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, stage: Stage) -> Verdict {
        classify(&Reply::from_text(text).expect(text), stage)
    }

    #[test]
    fn accepted_only_after_the_dot() {
        assert_eq!(judge("250 2.0.0 Ok: queued", Stage::Dot).recipient, RecipientOutcome::Sent);
        assert!(judge("250 Ok", Stage::Dot).counts);
        assert_eq!(judge("250 Ok", Stage::Rcpt).recipient, RecipientOutcome::Retry { after_s: None });
        assert_eq!(judge("354 go", Stage::Dot).recipient, RecipientOutcome::Retry { after_s: None });
    }

    #[test]
    fn an_address_that_does_not_exist_is_quarantined_but_never_by_an_answer_to_mail() {
        let text = "550 5.1.1 <user@example.com>: user unknown";
        for stage in [Stage::Rcpt, Stage::Data, Stage::Body, Stage::Dot] {
            let verdict = judge(text, stage);
            assert!(verdict.quarantine && verdict.counts, "{stage}");
            assert_eq!((verdict.recipient, verdict.reason), (RecipientOutcome::Failed, Reason::UserUnknown));
        }
        let verdict = judge(text, Stage::Mail);
        assert!(!verdict.quarantine);
        assert_ne!(verdict.reason, Reason::UserUnknown);
        assert_eq!(verdict.recipient, RecipientOutcome::Failed);
    }

    #[test]
    fn another_5yz_fails_the_message_only() {
        for text in ["550 no", "550 5.2.2 mailbox full", "501 what"] {
            let verdict = judge(text, Stage::Rcpt);
            assert_eq!(verdict.recipient, RecipientOutcome::Failed, "{text}");
            assert!(!verdict.quarantine && verdict.counts && verdict.path == PathAction::None, "{text}");
        }
    }

    #[test]
    fn rfc_5321_4_5_3_1_10_a_552_to_rcpt_is_read_as_452() {
        for text in ["552 too many recipients", "552 5.2.2 mailbox full", "552"] {
            let verdict = judge(text, Stage::Rcpt);
            assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: None }, "{text}");
            assert!(!verdict.held, "{text}");
        }
        for text in ["552 5.2.2 mailbox full", "552"] {
            assert!(judge(text, Stage::Rcpt).counts, "{text}");
            assert_eq!(judge(text, Stage::Dot).recipient, RecipientOutcome::Failed, "{text}");
        }
        assert!(judge("552 5.1.1 user unknown", Stage::Rcpt).quarantine, "unless the words are clear");
    }

    #[test]
    fn a_4yz_is_tried_again_and_never_quarantines() {
        let verdict = judge("450 5.1.1 user unknown", Stage::Rcpt);
        assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: None });
        assert!(!verdict.quarantine && verdict.counts);
        let verdict = judge("450 4.7.1 Greylisted, try again in 300 seconds", Stage::Rcpt);
        assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: Some(300) });
        assert!(!verdict.counts, "a wait that the receiver names is not counted");
        let verdict = judge("550 5.2.0 try again in 300 seconds", Stage::Rcpt);
        assert_eq!(verdict.recipient, RecipientOutcome::Failed);
    }

    #[test]
    fn a_421_and_a_refused_session_are_about_the_path() {
        for (text, stage) in [
            ("421 4.7.0 try again in 10 minutes", Stage::Rcpt),
            ("421 4.7.0 try again in 10 minutes", Stage::Dot),
            ("450 4.7.0 try again in 10 minutes", Stage::Greeting),
        ] {
            let verdict = judge(text, stage);
            assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: None });
            assert_eq!(verdict.path, PathAction::Suspend { after_s: Some(600) });
            assert!(!verdict.counts && !verdict.quarantine);
        }
        let verdict = judge("554 5.1.1 user unknown", Stage::Greeting);
        assert!(
            matches!(verdict.path, PathAction::Suspend { after_s: None })
                && !verdict.quarantine
                && !verdict.counts
        );
        assert_eq!(judge("535 5.7.8 bad password", Stage::Auth).blames, Blame::Configuration);
    }

    #[test]
    fn reasons_have_one_number_and_one_name_each() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            let json: Result<Reason, _> = toml::Value::String(reason.name().to_owned()).try_into();
            assert_eq!(json, Ok(*reason));
        }
        assert_eq!(Reason::from_code(99), None);
    }
}
