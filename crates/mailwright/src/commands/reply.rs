//! `reply explain`: what a receiver's words mean, by the same function that the engine asks. No server needed.

use mta::shape::rest::FIRST_WAIT_S;
use serde_json::{Value, json};
use smtp::{Blame, PathAction, RecipientOutcome, Reply, Stage, Verdict, classify_for};

use crate::output::{Done, Failure, Output};

/// Runs `reply explain`. Without `--provider` the words are taken for those of the receiver that says such things, if
/// only one does.
pub fn explain(text: &str, provider: Option<&str>, out: &mut Output) -> Done {
    let reply = Reply::from_text(text).ok_or_else(|| {
        Failure::refused(
            "this is no SMTP reply: it must begin with its code, for example \"550 5.1.1 no such user\"",
        )
    })?;
    let site = match provider {
        Some(name) => known(name)?,
        None => smtp::speaker(&reply).unwrap_or_default().to_owned(),
    };
    let verdict = judge(&site, &reply);
    let document = explained(&verdict, &site);
    out.document(&document)?;
    let word = |name: &str| document[name].as_str().unwrap_or("").to_owned();
    out.line(format_args!(
        "Message: {}   Reason: {}   Bounce: {}",
        message(&verdict),
        word("reason"),
        word("type")
    ))?;
    out.line(format_args!("Path: {}   To blame: {}", path(verdict.path, &reply), verdict.blames.name()))?;
    if provider.is_none() && !site.is_empty() {
        out.line(format_args!("Taken for words of {site}; --provider names another."))?;
    }
    out.line(match word("rule") {
        rule if rule.is_empty() => "No rule knows these words; the code alone decides.".to_owned(),
        rule => format!("Rule: {rule}"),
    })
}

/// A provider of the table, or a name with a dot: what the MX hosts of any other receiver share.
fn known(name: &str) -> Result<String, Failure> {
    let name = name.to_ascii_lowercase();
    let listed = routes::Providers::built_in().list().iter().any(|provider| provider.name == name);
    if listed || name.contains('.') {
        return Ok(name);
    }
    let names: Vec<&str> =
        routes::Providers::built_in().list().iter().map(|provider| provider.name.as_str()).collect();
    Err(Failure::refused(format!(
        "there is no provider {name:?}; there are {}, and any receiver by the domain that its MX hosts share",
        names.join(", ")
    )))
}

/// A reply's words are most telling after RCPT; what only makes sense about a whole message is asked next.
fn judge(site: &str, reply: &Reply) -> Verdict {
    let at_rcpt = classify_for(site, reply, Stage::Rcpt);
    if reply.code >= 400 && !at_rcpt.rule.is_empty() {
        at_rcpt
    } else {
        classify_for(site, reply, Stage::Dot)
    }
}

fn message(verdict: &Verdict) -> String {
    match verdict.recipient {
        RecipientOutcome::Sent => "sent".to_owned(),
        RecipientOutcome::Failed if verdict.quarantine => {
            "failed, and the address goes into quarantine".to_owned()
        }
        RecipientOutcome::Failed => "failed".to_owned(),
        RecipientOutcome::Retry { .. } if verdict.held => "held until what is to blame is mended".to_owned(),
        RecipientOutcome::Retry { after_s: Some(seconds) } => format!("tried again in {seconds} seconds"),
        RecipientOutcome::Retry { after_s: None } => "tried again".to_owned(),
    }
}

/// What the engine does: where the receiver itself names no wait, it comes to the rule's by and by.
fn path(action: PathAction, reply: &Reply) -> String {
    let by_rule = reply.is_transient() && smtp::named_delay(&reply.text()).is_none();
    let time = |seconds: u32| match seconds {
        longest if by_rule && longest > FIRST_WAIT_S => {
            format!("for {FIRST_WAIT_S} seconds at first, {longest} at most")
        }
        seconds => format!("for {seconds} seconds"),
    };
    match action {
        PathAction::Suspend { after_s: Some(seconds) } => format!("rests {}", time(seconds)),
        PathAction::Suspend { after_s: None } => "rests".to_owned(),
        PathAction::Slow { factor_percent, after_s, one_connection } => {
            let over = if one_connection { " over one connection" } else { "" };
            let while_ = after_s.map(|seconds| format!(", {}", time(seconds))).unwrap_or_default();
            format!("goes on with {factor_percent} % of its rate{over}{while_}")
        }
        PathAction::FewerConnections => "fewer connections".to_owned(),
        PathAction::FewerMessages => "fewer messages over a connection".to_owned(),
        PathAction::SecureOnly => "over TLS only".to_owned(),
        PathAction::None => "goes on".to_owned(),
    }
}

fn explained(verdict: &Verdict, site: &str) -> Value {
    let (recipient, kind) = match verdict.recipient {
        RecipientOutcome::Sent => ("sent", "none"),
        RecipientOutcome::Retry { .. } => ("retry", "soft"),
        RecipientOutcome::Failed => ("failed", "hard"),
    };
    // A link is part of the content; the document's words are a fixed list.
    let blames = if verdict.blames == Blame::Url { Blame::Content } else { verdict.blames };
    json!({
        "recipient": recipient,
        "reason": verdict.reason.name(),
        "type": kind,
        "path": verdict.path.name(),
        "blames": blames.name(),
        "rule": verdict.rule,
        "category": verdict.category.name(),
        "held": verdict.held,
        "provider": site,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(site: &str, text: &str) -> Value {
        explained(&judge(site, &Reply::from_text(text).unwrap()), site)
    }

    #[test]
    fn the_three_outcomes() {
        assert_eq!(of("", "250 2.0.0 Ok")["recipient"], "sent");
        assert_eq!(of("", "451 4.7.1 Greylisted, try again")["type"], "soft");
        let gone = of("", "550 5.1.1 <x@y.example>: user unknown");
        assert_eq!((&gone["recipient"], &gone["reason"]), (&json!("failed"), &json!("user_unknown")));
        assert_eq!(of("", "421 4.3.2 shutting down")["path"], "suspend");
    }

    #[test]
    fn a_wait_is_the_one_that_comes_first_and_the_longest() {
        let told = |site: &str, text: &str| {
            let reply = Reply::from_text(text).unwrap();
            path(judge(site, &reply).path, &reply)
        };
        assert_eq!(
            told("yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"),
            "rests for 600 seconds at first, 7200 at most"
        );
        assert_eq!(told("", "421 4.7.0 try again in 20 minutes"), "rests for 1200 seconds");
        assert!(told("outlook", "550 5.7.1 on our block list (S3150)").starts_with("rests for 7200 seconds"));
        assert_eq!(
            told("google", "421 4.7.28 unusual rate of email originating from your IP address 192.0.2.1"),
            "goes on with 50 % of its rate over one connection, for 600 seconds at first, 1800 at most"
        );
    }

    #[test]
    fn a_providers_own_words() {
        let deferred = of("yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred");
        assert_eq!((&deferred["path"], &deferred["blames"]), (&json!("suspend"), &json!("source")));
        let blocked = of("outlook", "550 5.7.1 part of their network is on our block list (S3150)");
        assert_eq!((&blocked["recipient"], &blocked["held"]), (&json!("retry"), &json!(true)));
        assert_eq!(
            of("google", "421 4.7.28 unusual rate of mail with your URL domains")["blames"],
            "content"
        );
        assert!(known("Google").is_ok() && known("laposte.net").is_ok());
        assert!(matches!(known("gmail"), Err(Failure::Refused { .. })));
    }
}
