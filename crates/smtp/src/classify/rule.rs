//! One rule: what it looks at and what follows. The head of `rules/general.toml` explains the fields to those who
//! write rules.

use std::sync::Arc;

use serde::Deserialize;

use super::phrases::Found;
use super::verdict::{Blame, Category, Reason};
use crate::reply::{Enhanced, Reply};
use crate::stage::Stage;

/// As it is written in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    pub(super) name: String,
    /// Sites; empty: all.
    #[serde(default)]
    pub(super) provider: Vec<String>,
    #[serde(default = "permanent")]
    pub(super) class: Vec<u8>,
    #[serde(default)]
    pub(super) codes: Vec<u16>,
    #[serde(default)]
    pub(super) enhanced: Vec<String>,
    #[serde(default)]
    pub(super) stages: Vec<Stage>,
    #[serde(default)]
    pub(super) text: Vec<String>,
    #[serde(default)]
    pub(super) not: Vec<String>,
    pub(super) category: Category,
    pub(super) reason: Reason,
    pub(super) blames: Blame,
    #[serde(default)]
    pub(super) quarantine: bool,
    #[serde(default)]
    pub(super) outcome: Option<Outcome>,
    #[serde(default)]
    pub(super) retry_s: Option<u32>,
    #[serde(default)]
    pub(super) path: Option<Effect>,
    #[serde(default)]
    pub(super) rest_s: Option<u32>,
    #[serde(default = "half")]
    pub(super) factor_percent: u8,
    #[serde(default)]
    pub(super) one_connection: bool,
    /// A reply that this rule decides; what an operator adds is tried on it before it comes into force.
    #[serde(default)]
    pub(super) example: Option<String>,
    #[serde(default = "at_rcpt")]
    pub(super) example_stage: Stage,
}

/// What becomes of the message where the reply code alone would say something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Fail,
    Retry,
    Hold,
}

/// [`super::PathAction`] without its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    None,
    Suspend,
    Slow,
    FewerConnections,
    FewerMessages,
    SecureOnly,
}

fn permanent() -> Vec<u8> {
    vec![5]
}

fn half() -> u8 {
    50
}

fn at_rcpt() -> Stage {
    Stage::Rcpt
}

/// Ready to be compared.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) provider: Vec<String>,
    class: Vec<u8>,
    codes: Vec<u16>,
    enhanced: Vec<Status>,
    stages: Vec<Stage>,
    /// Numbers of phrases in the set of all rules.
    text: Vec<usize>,
    not: Vec<usize>,
    pub(super) category: Category,
    pub(super) reason: Reason,
    pub(super) blames: Blame,
    pub(super) quarantine: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) retry_s: Option<u32>,
    pub(super) path: Option<Effect>,
    pub(super) rest_s: Option<u32>,
    pub(super) factor_percent: u8,
    pub(super) one_connection: bool,
}

/// An enhanced status code or, without a detail, a group of them.
#[derive(Debug, Clone, Copy)]
struct Status {
    class: u8,
    subject: u16,
    detail: Option<u16>,
}

impl Status {
    fn parse(pattern: &str) -> Option<Status> {
        let whole = Enhanced::parse(&pattern.replace(".*", ".0"))?;
        let detail = (!pattern.ends_with(".*")).then_some(whole.detail);
        Some(Status { class: whole.class, subject: whole.subject, detail })
    }

    fn takes(self, code: Enhanced) -> bool {
        code.class == self.class
            && code.subject == self.subject
            && self.detail.is_none_or(|detail| detail == code.detail)
    }
}

/// What a rule is compared with.
pub(super) struct Case<'a> {
    pub(super) provider: &'a str,
    pub(super) reply: &'a Reply,
    pub(super) stage: Stage,
    pub(super) found: &'a Found,
}

impl Rule {
    /// Numbers the entry's phrases by `number`. The error says what is wrong with it.
    pub(super) fn build(entry: RuleEntry, mut number: impl FnMut(&str) -> usize) -> Result<Rule, String> {
        entry.check()?;
        let mut numbers = |phrases: &[String]| phrases.iter().map(|phrase| number(phrase)).collect();
        let (text, not) = (numbers(&entry.text), numbers(&entry.not));
        let enhanced = entry.enhanced.iter().filter_map(|pattern| Status::parse(pattern)).collect();
        Ok(Rule {
            name: Arc::from(entry.name),
            provider: entry.provider,
            class: entry.class,
            codes: entry.codes,
            enhanced,
            stages: entry.stages,
            text,
            not,
            category: entry.category,
            reason: entry.reason,
            blames: entry.blames,
            quarantine: entry.quarantine,
            outcome: entry.outcome,
            retry_s: entry.retry_s,
            path: entry.path,
            rest_s: entry.rest_s,
            factor_percent: entry.factor_percent,
            one_connection: entry.one_connection,
        })
    }

    /// Whether the case is one that this rule knows.
    pub(super) fn matches(&self, case: &Case<'_>) -> bool {
        let reply = case.reply;
        let any = |phrases: &[usize]| phrases.iter().any(|phrase| case.found.has(*phrase));
        (self.provider.is_empty() || self.provider.iter().any(|name| name == case.provider))
            && self.class.iter().any(|class| u16::from(*class) == reply.code / 100)
            && !(self.quarantine && case.stage == Stage::Mail)
            && (self.codes.is_empty() || self.codes.contains(&reply.code))
            && (self.stages.is_empty() || self.stages.contains(&case.stage))
            && (self.enhanced.is_empty()
                || reply.enhanced.is_some_and(|code| self.enhanced.iter().any(|status| status.takes(code))))
            && (self.text.is_empty() || any(&self.text))
            && !any(&self.not)
    }
}

impl RuleEntry {
    /// What would make the rule match too much, contradict itself or harm recipients.
    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("it has no name".to_owned());
        }
        if self.text.is_empty() && self.enhanced.is_empty() && self.codes.is_empty() {
            return Err("it has neither text, enhanced nor codes, so it would match everything".to_owned());
        }
        if self.class.is_empty() || !self.class.iter().all(|class| matches!(class, 4 | 5)) {
            return Err("class is 4, 5 or both".to_owned());
        }
        if let Some(code) =
            self.codes.iter().find(|code| !self.class.iter().any(|c| u16::from(*c) == **code / 100))
        {
            return Err(format!("code {code} is not of its class"));
        }
        for pattern in &self.enhanced {
            let status =
                Status::parse(pattern).ok_or_else(|| format!("{pattern} is no enhanced status code"))?;
            if !self.class.contains(&status.class) {
                return Err(format!("{pattern} is not of its class"));
            }
        }
        for phrase in self.text.iter().chain(&self.not) {
            check_phrase(phrase)?;
        }
        self.check_effects()
    }

    fn check_effects(&self) -> Result<(), String> {
        let gone = matches!(self.reason, Reason::UserUnknown | Reason::AccountDisabled);
        if self.quarantine
            && (self.class != [5] || !gone || !matches!(self.outcome, None | Some(Outcome::Fail)))
        {
            return Err("only a 5yz reply about a mailbox that is gone may quarantine".to_owned());
        }
        if self.outcome == Some(Outcome::Hold) && self.blames == Blame::Recipient {
            return Err("what is the recipient's fault is not held".to_owned());
        }
        if self.rest_s.is_some() && !matches!(self.path, Some(Effect::Suspend | Effect::Slow)) {
            return Err("rest_s needs path = \"suspend\" or \"slow\"".to_owned());
        }
        if self.one_connection && self.path != Some(Effect::Slow) {
            return Err("one_connection needs path = \"slow\"".to_owned());
        }
        if !(1..=99).contains(&self.factor_percent) {
            return Err("factor_percent is 1 to 99".to_owned());
        }
        Ok(())
    }
}

fn check_phrase(phrase: &str) -> Result<(), String> {
    if *phrase != phrase.to_lowercase() {
        return Err(format!("{phrase:?} is not in lower case"));
    }
    let first = phrase.split('*').next().unwrap_or_default();
    // The index of phrases needs three octets, and a shorter phrase matches too much anyway.
    if first.trim().len() < super::phrases::PREFIX_LEN {
        return Err(format!("{phrase:?} matches too much: it needs three octets before its first *"));
    }
    Ok(())
}
