//! What kind of answer the words of a log row are. Derived when somebody looks, and kept in no column: an accepted message pays
//! nothing for it, rows of before are told too, and a rule that an operator mends holds for what was said already.
//!
//! The stage at which words were said is not in the row; the reason that was found there is, and tells which it was where that
//! matters. Without it, or once the rules have changed, words are judged as an answer to RCPT, and where no rule knows them
//! there, as one to the final dot: the same as `mailwright reply explain`.

use smtp::{Category, Reply, Rulebook, Stage, Verdict};

use crate::connect::{HANDSHAKE_FAILED, NO_DANE, NOT_NAMED};
use crate::standing::RELAY_SITE;

/// How the words of a lost answer begin.
pub(crate) const LOST_ANSWER: &str = "no answer to the message: ";

/// The category (a word of [`Category::name`]) of what a row of the log says about its message, by the rules in force. `site`
/// and `reason`: the row's. `None`: it says yes, or the words are no receiver's: a decision of ours, or an operator's.
#[must_use]
pub fn category_of(rules: &Rulebook, site: &str, reason: Option<&str>, words: &str) -> Option<&'static str> {
    let site = if site == RELAY_SITE { "" } else { site };
    match Reply::from_text(words) {
        Some(reply) => of_reply(rules, site, reason, &reply),
        None => of_connection(rules, site, words),
    }
    .map(Category::name)
}

fn of_reply(rules: &Rulebook, site: &str, reason: Option<&str>, reply: &Reply) -> Option<Category> {
    if reply.code < 400 {
        return None;
    }
    let judged = [Stage::Rcpt, Stage::Dot, Stage::Mail].map(|stage| rules.classify_for(site, reply, stage));
    let meant = |verdict: &&Verdict| Some(verdict.reason.name()) == reason;
    let known = |verdict: &&Verdict| !verdict.rule.is_empty();
    let verdict = judged.iter().filter(known).find(meant);
    let verdict = verdict.or_else(|| judged.iter().find(meant));
    let verdict = verdict.or_else(|| judged[..2].iter().find(known));
    Some(verdict.unwrap_or(&judged[1]).category)
}

/// Words of ours: `at RCPT TO: …`, `mx.example at greeting: …`, `mx.example: …`.
fn of_connection(rules: &Rulebook, site: &str, words: &str) -> Option<Category> {
    if words.starts_with(LOST_ANSWER) {
        return Some(Category::BadConnection);
    }
    let (head, why) = words.split_once(": ")?;
    let (host, at) = match head.strip_prefix("at ") {
        Some(stage) => (None, Some(stage)),
        None => match head.split_once(" at ") {
            Some((host, stage)) => (Some(host), Some(stage)),
            None => (Some(head), None),
        },
    };
    if host.is_some_and(|host| !is_host(host)) {
        return None;
    }
    let Some(at) = at else {
        let reached = [HANDSHAKE_FAILED, NO_DANE, NOT_NAMED].iter().any(|words| why.starts_with(words));
        return Some(if reached { Category::BadConnection } else { Category::NoAnswerFromHost });
    };
    let stage = STAGES.into_iter().find(|stage| stage.name() == at)?;
    match (Reply::from_text(why), stage) {
        (Some(reply), _) => Some(rules.classify_for(site, &reply, stage).category),
        (None, Stage::Greeting) => Some(Category::NoAnswerFromHost),
        (None, _) => Some(Category::BadConnection),
    }
}

/// Stages at which a connection ends.
const STAGES: [Stage; 14] = [
    Stage::Connect,
    Stage::Greeting,
    Stage::Hello,
    Stage::StartTls,
    Stage::Handshake,
    Stage::Auth,
    Stage::Idle,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::Body,
    Stage::Dot,
    Stage::Rset,
    Stage::Quit,
];

/// A name or an address of a mail host, not a word at the beginning of a sentence.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(site: &str, words: &str) -> Option<&'static str> {
        category_of(&Rulebook::default(), site, None, words)
    }

    #[test]
    fn replies_are_judged_by_the_rules_of_their_site() {
        assert_eq!(of("", "250 2.0.0 queued as 17"), None);
        assert_eq!(of("", "550 5.1.1 no such user"), Some("invalid_recipient"));
        assert_eq!(of("", "499 4.0.0 zzz"), Some("uncategorized"));
        let rate = "421 4.7.28 unusual rate of email originating from your IP address 192.0.2.1";
        assert_eq!(of("google", rate), Some("rate_limited"));
        assert_eq!(of(RELAY_SITE, rate), of("", rate), "a relay's words are no provider's");
        assert_eq!(of("outlook", "550 5.7.1 on our block list (S3150)"), Some("spam_block"));
        // Only a whole message can be spam.
        let by_dot = Rulebook::default().classify_for(
            "",
            &Reply::from_text("554 5.7.1 Message rejected as spam").unwrap(),
            Stage::Dot,
        );
        assert_eq!(of("", "554 5.7.1 Message rejected as spam"), Some(by_dot.category.name()));
    }

    /// What the engine found at the stage at which it was said, and what is found later in the row's words.
    #[test]
    fn the_corpus_means_in_a_row_what_it_meant_when_it_was_said() {
        let corpus = include_str!("../../smtp/corpus/replies.tsv");
        let (mut lines, mut others) = (0, Vec::new());
        for line in corpus.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let columns: Vec<&str> = line.split('\t').collect();
            let (receiver, stage, text) = (columns[0], columns[1], columns[8]);
            let (category, reason) = (columns[3], Some(columns[4]));
            let site = if receiver.starts_with('(') { "" } else { receiver };
            let kept = Reply::from_text(text).unwrap().to_string();
            // A greeting that refuses stands in a row with its host and its stage.
            let kept = if stage == "greeting" { format!("mx.example at greeting: {kept}") } else { kept };
            lines += 1;
            let found = category_of(&Rulebook::default(), site, reason, &kept);
            if found.unwrap_or("uncategorized") != category {
                others.push((stage, text, category, found));
            }
        }
        assert!(lines > 400 && others.is_empty(), "{lines}: {others:#?}");
    }

    #[test]
    fn a_connections_end_is_told_by_where_it_ended() {
        for (words, category) in [
            ("no answer to the message: the connection was closed", Some("bad_connection")),
            ("at RCPT TO: the connection was closed", Some("bad_connection")),
            ("mx1.example at greeting: the receiver took too long", Some("no_answer_from_host")),
            ("mx1.example at STARTTLS: the connection was closed", Some("bad_connection")),
            ("mx1.example: Connection refused (os error 111)", Some("no_answer_from_host")),
            ("mx1.example: the TLS handshake failed: not ours", Some("bad_connection")),
            ("mx1.example at greeting: 554 5.7.1 your address is on a block list", Some("spam_block")),
            ("the receiver is slow", None),
            ("maintenance: back at noon", None),
            ("the message could not be composed: no key", None),
            ("mx1.example at lunch: the cook", None),
        ] {
            assert_eq!(of("", words), category, "{words}");
        }
    }

    #[test]
    fn an_operators_rule_holds_for_what_was_said_before() {
        let rules = Rulebook::default();
        let words = "550 5.9.9 the moon is full";
        assert_eq!(category_of(&rules, "", Some("not_defined"), words), Some("uncategorized"));
        let own = "[[rule]]\nname = \"moon\"\ncategory = \"policy_related\"\nreason = \"refused\"\nblames = \"none\"\n\
                   text = [\"the moon is full\"]\n";
        rules.replace(smtp::Rules::with_overlay(own).unwrap());
        assert_eq!(category_of(&rules, "", Some("not_defined"), words), Some("policy_related"));
    }
}
