//! The set of rules in force: those of an operator first, then the providers', then the general ones.

use std::sync::{Arc, LazyLock, RwLock};

use serde::Deserialize;
use thiserror::Error;

use super::phrases::{Phrases, folded};
use super::rule::{Case, Rule, RuleEntry};
use crate::limits::{RULES_LEN_MAX, RULES_MAX};
use crate::reply::Reply;
use crate::stage::Stage;

/// Constant data, read once. It holds no state: what operators add makes another set.
static SHIPPED: LazyLock<Rules> =
    LazyLock::new(|| Rules::build(Vec::new(), shipped_entries()).expect("the tests read the embedded rules"));

const GENERAL: &str = include_str!("../../rules/general.toml");
const PROVIDERS: &str = include_str!("../../rules/providers.toml");

/// What is wrong with a file of rules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// It is no TOML, or a field is unknown, missing or of another type.
    #[error("the rules cannot be read: {0}")]
    Syntax(String),
    /// One of its rules.
    #[error("rule {rule:?}: {problem}")]
    Rule {
        /// Its name.
        rule: String,
        /// In words.
        problem: String,
    },
    /// Above [`RULES_LEN_MAX`] octets or [`RULES_MAX`] rules.
    #[error("there are too many rules")]
    TooMany,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<RuleEntry>,
    /// Shipped rules that are not to apply.
    #[serde(default)]
    without: Vec<String>,
}

/// A set of rules. Built once, then only read; see [`Rulebook`] for one that is exchanged while others use it.
#[derive(Debug)]
pub struct Rules {
    /// In the order in which they are asked.
    list: Vec<Rule>,
    phrases: Phrases,
}

impl Rules {
    /// The rules inside the binary.
    pub fn shipped() -> &'static Rules {
        &SHIPPED
    }

    /// The shipped rules with an operator's before them, from a TOML text of the same form (`[[rule]]`; a rule with
    /// the name of a shipped one replaces it, `without = ["name", …]` leaves shipped ones out). Each rule's `example`,
    /// where it has one, must be decided by that rule.
    ///
    /// # Errors
    /// The first thing that is wrong, by the rule's name; then nothing is changed anywhere.
    pub fn with_overlay(text: &str) -> Result<Rules, RuleError> {
        if text.len() > RULES_LEN_MAX {
            return Err(RuleError::TooMany);
        }
        let file: RuleFile =
            toml::from_str(text).map_err(|error| RuleError::Syntax(error.message().to_owned()))?;
        if file.rule.len() > RULES_MAX {
            return Err(RuleError::TooMany);
        }
        let mut shipped = shipped_entries();
        if let Some(name) = file.without.iter().find(|name| shipped.iter().all(|rule| rule.name != **name)) {
            let problem = "there is no such rule to leave out".to_owned();
            return Err(RuleError::Rule { rule: name.clone(), problem });
        }
        shipped.retain(|rule| {
            !file.without.contains(&rule.name) && file.rule.iter().all(|own| own.name != rule.name)
        });
        let own = file.rule.clone();
        let rules = Rules::build(file.rule, shipped)?;
        own.iter().try_for_each(|entry| rules.try_example(entry))?;
        Ok(rules)
    }

    fn build(own: Vec<RuleEntry>, shipped: Vec<RuleEntry>) -> Result<Rules, RuleError> {
        let (mut phrases, mut list) = (Phrases::default(), Vec::<Rule>::new());
        let (provider, general) =
            shipped.into_iter().partition::<Vec<_>, _>(|rule| !rule.provider.is_empty());
        for entry in own.into_iter().chain(provider).chain(general) {
            let name = entry.name.clone();
            let broken = |problem| RuleError::Rule { rule: name.clone(), problem };
            if list.iter().any(|rule| *rule.name == *name) {
                return Err(broken("there are two of that name".to_owned()));
            }
            list.push(Rule::build(entry, |phrase| phrases.number(phrase)).map_err(broken)?);
        }
        Ok(Rules { list, phrases })
    }

    fn try_example(&self, entry: &RuleEntry) -> Result<(), RuleError> {
        let Some(example) = &entry.example else { return Ok(()) };
        let broken =
            |problem: &str| RuleError::Rule { rule: entry.name.clone(), problem: problem.to_owned() };
        let reply = Reply::from_text(example).ok_or_else(|| broken("its example is no reply"))?;
        let provider = entry.provider.first().map_or("", String::as_str);
        match self.find(provider, &reply, entry.example_stage) {
            Some(rule) if *rule.name == *entry.name => Ok(()),
            Some(rule) => Err(broken(&format!("its example is decided by {:?}", rule.name))),
            None => Err(broken("it does not match its example")),
        }
    }

    /// The first rule that knows the case.
    pub(super) fn find(&self, provider: &str, reply: &Reply, stage: Stage) -> Option<&Rule> {
        let found = self.phrases.find(&folded(&reply.text()));
        let case = Case { provider, reply, stage, found: &found };
        self.list.iter().find(|rule| rule.matches(&case))
    }

    /// Name and sites (empty: all) of each rule, in the order in which they are asked.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.list.iter().map(|rule| (&*rule.name, rule.provider.as_slice()))
    }
}

fn shipped_entries() -> Vec<RuleEntry> {
    let read = |text: &str| -> Vec<RuleEntry> {
        toml::from_str::<RuleFile>(text).expect("the tests read the embedded rules").rule
    };
    read(PROVIDERS).into_iter().chain(read(GENERAL)).collect()
}

/// The rules in force, shared by all who judge and exchanged as a whole when an operator changes them. A judgement
/// under way keeps the set it began with.
#[derive(Debug, Clone, Default)]
pub struct Rulebook {
    /// None: the shipped rules.
    own: Arc<RwLock<Option<Arc<Rules>>>>,
}

impl Rulebook {
    /// Judges by the rules in force; see [`super::classify_for`].
    pub fn classify_for(&self, provider: &str, reply: &Reply, stage: Stage) -> super::Verdict {
        let own = self.own.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        own.as_deref().unwrap_or_else(|| Rules::shipped()).classify_for(provider, reply, stage)
    }

    /// From now on these.
    pub fn replace(&self, rules: Rules) {
        *self.own.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(rules));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_reached_by_its_own_example() {
        let mut wrong = Vec::new();
        for entry in shipped_entries() {
            assert!(entry.example.is_some(), "{} has no example", entry.name);
            wrong.extend(Rules::shipped().try_example(&entry).err().map(|error| error.to_string()));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    const OWN: &str = r#"
        without = ["account suspended"]
        [[rule]]
        name = "our partner's word for it"
        provider = ["partner.example"]
        class = [4, 5]
        text = ["zonked"]
        category = "rate_limited"
        reason = "refused"
        blames = "source"
        path = "slow"
        rest_s = 600
        factor_percent = 25
        outcome = "hold"
        example = "550 5.0.0 zonked"
        [[rule]]
        name = "greylisted"
        class = [4]
        text = ["greylist"]
        category = "greylisted"
        reason = "not_defined"
        blames = "none"
        retry_s = 900
        example = "450 4.2.0 Greylisted"
    "#;

    #[test]
    fn an_operators_rules_come_first_and_replace() {
        use crate::classify::{PathAction, RecipientOutcome};
        let book = Rulebook::default();
        let judge = |provider: &str, text: &str| {
            book.classify_for(provider, &Reply::from_text(text).expect(text), Stage::Rcpt)
        };
        assert_eq!(judge("partner.example", "550 5.0.0 zonked").recipient, RecipientOutcome::Failed);
        book.replace(Rules::with_overlay(OWN).expect("sound"));
        let verdict = judge("partner.example", "550 5.0.0 zonked");
        assert_eq!(
            verdict.path,
            PathAction::Slow { factor_percent: 25, after_s: Some(600), one_connection: false }
        );
        assert!(verdict.held && &*verdict.rule == "our partner's word for it");
        assert!(!judge("other.example", "550 5.0.0 zonked").held, "a provider's rule is for that provider");
        let after_s = Some(900);
        assert_eq!(judge("", "450 4.2.0 Greylisted").recipient, RecipientOutcome::Retry { after_s });
        assert_ne!(&*judge("", "550 Mailbox is frozen").rule, "account suspended", "left out");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |text: &str| Rules::with_overlay(text).expect_err(text).to_string();
        let rule = |fields: &str| {
            format!(
                "[[rule]]\nname = \"x\"\ncategory = \"spam_block\"\nreason = \"refused\"\nblames = \"source\"\n{fields}"
            )
        };
        assert!(problem("nonsense").starts_with("the rules cannot be read"));
        for (fields, expected) in [
            ("", "would match everything"),
            ("text = [\"Block\"]", "not in lower case"),
            ("text = [\"ab\"]", "matches too much"),
            ("text = [\"*spam\"]", "matches too much"),
            ("text = [\"abc\"]\nclass = [3]", "class is 4, 5 or both"),
            ("codes = [450]", "code 450 is not of its class"),
            ("enhanced = [\"4.7.1\"]", "4.7.1 is not of its class"),
            ("enhanced = [\"5.7\"]", "no enhanced status code"),
            ("text = [\"abc\"]\nquarantine = true", "may quarantine"),
            ("text = [\"abc\"]\nrest_s = 60", "rest_s needs"),
            ("text = [\"abc\"]\none_connection = true", "one_connection needs"),
            ("text = [\"abc\"]\nfactor_percent = 100", "factor_percent is 1 to 99"),
            ("text = [\"abc\"]\nexample = \"550 xyz\"", "does not match its example"),
            ("text = [\"abc\"]\nexample = \"nonsense\"", "no reply"),
            ("text = [\"abc\"]\ncolour = \"red\"", "cannot be read"),
        ] {
            let found = problem(&rule(fields));
            assert!(found.contains(expected), "{fields}: {found}");
        }
        let twice = format!("{}{}", rule("text = [\"abc\"]\n"), rule("text = [\"abc\"]"));
        assert!(problem(&twice).contains("two of that name"));
        assert!(problem("without = [\"x\"]").contains("no such rule"));
        assert_eq!(Rules::with_overlay(&" ".repeat(RULES_LEN_MAX + 1)).err(), Some(RuleError::TooMany));
        assert!(Rules::with_overlay(&" ".repeat(RULES_LEN_MAX)).is_ok());
    }
}
