//! What a reply means: for the recipient, for the path, and who is to blame for it. Three separate answers, because an
//! IP block that were read as a fault of its recipients would empty a list.

mod rules;

use serde::{Deserialize, Serialize};

use crate::delay::named_delay;
use crate::reply::Reply;
use crate::stage::Stage;
use rules::Rule;

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientOutcome {
    /// The receiver has it.
    Sent,
    /// To be tried again.
    Retry {
        /// The wait that the receiver asked for, from [`crate::DELAY_MIN_S`] to [`crate::DELAY_MAX_S`] seconds. It
        /// replaces the next regular wait, holds for the same source address, and such a try is not counted.
        after_s: Option<u32>,
    },
    /// Not to be tried again.
    Failed,
}

/// Why, in the words of the delivery log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing is known about this text.
    NotDefined,
    /// The mailbox does not exist.
    UserUnknown,
    /// The domain does not exist, or takes no mail.
    InvalidDomain,
    /// The receiver's systems or the way to them.
    Unreachable,
    /// The mailbox exists and is closed, for now or for good.
    AccountDisabled,
    /// The mailbox is full.
    MailboxFull,
    /// A policy, a block, spam or malware.
    Refused,
}

impl Reason {
    /// The number it is stored and exported under.
    pub fn code(self) -> u8 {
        match self {
            Reason::NotDefined => 0,
            Reason::UserUnknown => 1,
            Reason::InvalidDomain => 2,
            Reason::Unreachable => 3,
            Reason::AccountDisabled => 4,
            Reason::MailboxFull => 5,
            Reason::Refused => 20,
        }
    }

    /// The reason of a stored number.
    pub fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The word it is exported under.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotDefined => "not_defined",
            Reason::UserUnknown => "user_unknown",
            Reason::InvalidDomain => "invalid_domain",
            Reason::Unreachable => "unreachable",
            Reason::AccountDisabled => "account_disabled",
            Reason::MailboxFull => "mailbox_full",
            Reason::Refused => "refused",
        }
    }

    /// Every reason.
    pub const ALL: &'static [Reason] = &[
        Reason::NotDefined,
        Reason::UserUnknown,
        Reason::InvalidDomain,
        Reason::Unreachable,
        Reason::AccountDisabled,
        Reason::MailboxFull,
        Reason::Refused,
    ];
}

/// What to do with the path (source address and receiving site).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathAction {
    /// Go on.
    None,
    /// Let it rest; the message keeps its count.
    Suspend {
        /// The wait that the receiver asked for, bounded as in [`RecipientOutcome::Retry`].
        after_s: Option<u32>,
    },
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// This recipient's mailbox.
    Recipient,
    /// The source address.
    Source,
    /// The sending domain.
    Domain,
    /// The message.
    Content,
    /// Our configuration.
    Configuration,
    /// Nobody in particular, or the receiver.
    None,
}

/// All that a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Verdict {
    /// For the message.
    pub recipient: RecipientOutcome,
    /// Why.
    pub reason: Reason,
    /// For the path.
    pub path: PathAction,
    /// Whose fault.
    pub blames: Blame,
    /// The address does not exist: it goes into quarantine, and its pending messages are cancelled everywhere.
    pub quarantine: bool,
    /// The try counts among the message's tries: the receiver answered about this message, and named no wait.
    pub counts: bool,
    /// The name of the rule that decided, for explanations; empty where the reply code alone did.
    pub rule: &'static str,
}

/// Judges the reply to what was said at `stage`.
pub fn classify(reply: &Reply, stage: Stage) -> Verdict {
    let verdict = Verdict {
        recipient: RecipientOutcome::Sent,
        reason: Reason::NotDefined,
        path: PathAction::None,
        blames: Blame::None,
        quarantine: false,
        counts: true,
        rule: "",
    };
    if reply.code < 400 {
        // Anything positive before the final dot is not an answer about the message.
        let sent = reply.is_positive() && stage == Stage::Dot;
        let recipient = if sent { RecipientOutcome::Sent } else { RecipientOutcome::Retry { after_s: None } };
        return Verdict { recipient, counts: sent, ..verdict };
    }
    let verdict = match rules::find(reply, stage) {
        Some(rule) => with_rule(verdict, rule),
        None => verdict,
    };
    let after_s = if reply.is_transient() { named_delay(&reply.text()) } else { None };
    if reply.code == 421 || !stage.is_of_a_message() {
        return of_the_path(verdict, stage, after_s);
    }
    if reply.is_transient() {
        let recipient = RecipientOutcome::Retry { after_s };
        return Verdict { recipient, quarantine: false, counts: after_s.is_none(), ..verdict };
    }
    Verdict { recipient: RecipientOutcome::Failed, ..verdict }
}

fn with_rule(verdict: Verdict, rule: &'static Rule) -> Verdict {
    Verdict {
        reason: rule.reason,
        blames: rule.blames,
        quarantine: rule.quarantine,
        rule: &rule.name,
        ..verdict
    }
}

/// The connection was refused or ended, whatever it was about to carry.
fn of_the_path(verdict: Verdict, stage: Stage, after_s: Option<u32>) -> Verdict {
    let (reason, blames) = match (verdict.rule, stage) {
        (_, Stage::Auth) => (Reason::Refused, Blame::Configuration),
        ("", _) => (Reason::Unreachable, Blame::None),
        _ => (verdict.reason, verdict.blames),
    };
    Verdict {
        recipient: RecipientOutcome::Retry { after_s: None },
        path: PathAction::Suspend { after_s },
        reason,
        blames,
        quarantine: false,
        counts: false,
        rule: verdict.rule,
    }
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
        for text in
            ["550 no", "554 5.7.1 blocked using zen.spamhaus.org", "552 5.2.2 mailbox full", "501 what"]
        {
            let verdict = judge(text, Stage::Rcpt);
            assert_eq!(verdict.recipient, RecipientOutcome::Failed, "{text}");
            assert!(!verdict.quarantine && verdict.counts && verdict.path == PathAction::None, "{text}");
        }
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
