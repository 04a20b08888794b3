//! `reply explain`: what a receiver's words mean, by the same function that the engine asks. No server needed.

use serde_json::{Value, json};
use smtp::{RecipientOutcome, Reply, Stage, Verdict, classify};

use crate::output::{Done, Failure, Output};

/// Runs `reply explain`. Providers have no rules of their own in this version, so `--provider` is refused rather than
/// ignored.
pub fn explain(text: &str, provider: Option<&str>, out: &mut Output) -> Done {
    if provider.is_some() {
        return Err(Failure::not_supported("--provider"));
    }
    let reply = Reply::from_text(text).ok_or_else(|| {
        Failure::refused(
            "this is no SMTP reply: it must begin with its code, for example \"550 5.1.1 no such user\"",
        )
    })?;
    let verdict = judge(&reply);
    let document = explained(&verdict);
    out.document(&document)?;
    let word = |name: &str| document[name].as_str().unwrap_or("").to_owned();
    out.line(format_args!(
        "Message: {}   Reason: {}   Bounce: {}",
        word("recipient"),
        word("reason"),
        word("type")
    ))?;
    out.line(format_args!("Path: {}   To blame: {}", word("path"), word("blames")))?;
    out.line(match word("rule") {
        rule if rule.is_empty() => "No rule knows these words; the code alone decides.".to_owned(),
        rule => format!("Rule: {rule}"),
    })
}

/// A reply's words are most telling after RCPT; what only makes sense about a whole message is asked next.
fn judge(reply: &Reply) -> Verdict {
    let at_rcpt = classify(reply, Stage::Rcpt);
    if reply.code >= 400 && !at_rcpt.rule.is_empty() { at_rcpt } else { classify(reply, Stage::Dot) }
}

fn explained(verdict: &Verdict) -> Value {
    let (recipient, kind) = match verdict.recipient {
        RecipientOutcome::Sent => ("sent", "none"),
        RecipientOutcome::Retry { .. } => ("retry", "soft"),
        RecipientOutcome::Failed => ("failed", "hard"),
    };
    json!({
        "recipient": recipient,
        "reason": verdict.reason.name(),
        "type": kind,
        "path": verdict.path.name(),
        "blames": verdict.blames,
        "rule": verdict.rule,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Value {
        explained(&judge(&Reply::from_text(text).unwrap()))
    }

    #[test]
    fn the_three_outcomes() {
        assert_eq!(of("250 2.0.0 Ok")["recipient"], "sent");
        assert_eq!(of("451 4.7.1 Greylisted, try again")["type"], "soft");
        let gone = of("550 5.1.1 <x@y.example>: user unknown");
        assert_eq!((&gone["recipient"], &gone["reason"]), (&json!("failed"), &json!("user_unknown")));
        assert_eq!(of("421 4.3.2 shutting down")["path"], "suspend");
    }
}
