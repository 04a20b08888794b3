//! The facts that a rule may name, and the manual's chapter about rules and facts, which is made from this and from the
//! rules' own words. A test compares the chapter in `docs/rules.md` with what this writes.

use std::fmt::Write;

use crate::rules::{Phase, all};
use crate::{Level, example};

/// A documented fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactDoc {
    /// Its name, dotted; `[]` stands for each element of a list.
    pub name: &'static str,
    /// `text`, `number`, `yes or no`, `list`, `list of texts`, `group`, or `check`: a group of `state` (pass, fail,
    /// missing, unknown) and `found` (text).
    pub kind: &'static str,
    /// From which phase on it is known.
    pub known_from: Phase,
    /// What it is.
    pub text: &'static str,
}

const fn fact(name: &'static str, kind: &'static str, known_from: Phase, text: &'static str) -> FactDoc {
    FactDoc { name, kind, known_from, text }
}

const START: Phase = Phase::StartOfTargeting;
const TARGETED: Phase = Phase::AfterTargeting;
const END: Phase = Phase::EndOfAnalysis;

/// Every fact.
pub const FACTS: &[FactDoc] = &[
    fact("delivery", "group", START, "What the author chose."),
    fact("delivery.label", "text", START, "Name shown to operators."),
    fact("delivery.code", "text", START, "Delivery code."),
    fact(
        "delivery.template",
        "text",
        START,
        "Name of the delivery template that it started from; empty: none.",
    ),
    fact("delivery.priority", "text", START, "very_low, low, normal, high or very_high."),
    fact("delivery.format", "text", START, "recipient, alternative or text."),
    fact("delivery.encoding", "text", START, "Charset of the messages."),
    fact("delivery.precedence", "text", START, "Header Precedence: bulk, list, or empty."),
    fact("delivery.tracks_opens", "yes or no", START, "Opens are counted."),
    fact("delivery.tracks_clicks", "yes or no", START, "Clicks are counted."),
    fact("delivery.bcc", "yes or no", START, "Copies are archived."),
    fact("delivery.proof", "yes or no", START, "It is a proof."),
    fact("delivery.waves", "yes or no", START, "It is sent in waves."),
    fact("delivery.ab", "yes or no", START, "It is an A/B test."),
    fact("delivery.typology", "text", START, "Name of its typology."),
    fact("subject", "text", START, "Subject, as written."),
    fact("sender", "group", START, "Who sends."),
    fact("sender.name", "text", START, "Display name, as written."),
    fact("sender.address", "text", START, "Address, as written."),
    fact("sender.reply_to", "text", START, "Reply-To, as written."),
    fact("sender.error_address", "text", START, "Error address; empty: a signed return path per message."),
    fact("sender.from_masks", "list of texts", START, "Allowed forms of a sender address; empty: any."),
    fact("sender.error_masks", "list of texts", START, "Allowed forms of an error address; empty: any."),
    fact(
        "sender.domain_known",
        "yes or no",
        START,
        "This instance signs for the sender's domain; not known when the address is a template.",
    ),
    fact("headers", "list", START, "Header fields that the author added."),
    fact("headers[].name", "text", START, "Its name."),
    fact("headers[].value", "text", START, "Its value, as written."),
    fact("feedback_id", "text", TARGETED, "Value of the header Feedback-ID."),
    fact("public_url", "text", START, "Base of the links in messages."),
    fact("tls", "yes or no", START, "TLS is offered to receivers, or to the relay."),
    fact("pool", "group", START, "The pool of sources that it goes from; not known with a relay."),
    fact("pool.name", "text", START, "Name of the pool."),
    fact("pool.chosen_by", "text", START, "delivery, typology or nobody."),
    fact("pool.sources", "number", START, "Sources in it that are used."),
    fact("pool.disabled", "number", START, "Sources in it that are switched off."),
    fact("pool.known", "list of texts", START, "All pools that have a source."),
    fact(
        "archive_problem",
        "text",
        START,
        "Why copies that are wanted can go nowhere; not known: nothing is wrong.",
    ),
    fact(
        "proof_outdated",
        "yes or no",
        START,
        "The content changed since the last proof; not known when there is none.",
    ),
    fact("links", "list", TARGETED, "Links of all parts, in order."),
    fact("links[].part", "text", TARGETED, "html or text."),
    fact("links[].url", "text", TARGETED, "Address, as written."),
    fact("links[].has_text", "yes or no", TARGETED, "It shows words, or an image with an alternative text."),
    fact("links[].line", "number", TARGETED, "Line in the part."),
    fact("links[].column", "number", TARGETED, "Column."),
    fact("images", "list", TARGETED, "Images of the HTML, in order."),
    fact("images[].src", "text", TARGETED, "Address or file, as written."),
    fact("images[].has_alt", "yes or no", TARGETED, "It has an alternative text, even an empty one."),
    fact("images[].line", "number", TARGETED, "Line in the HTML."),
    fact("images[].column", "number", TARGETED, "Column."),
    fact("parts", "list", TARGETED, "The parts that are sent."),
    fact("parts[].part", "text", TARGETED, "html or text."),
    fact("parts[].generated", "yes or no", TARGETED, "Made from the HTML, not written."),
    fact("parts[].unsubscribe", "yes or no", TARGETED, "It has the unsubscription link."),
    fact("parts[].mirror", "yes or no", TARGETED, "It links the mirror page."),
    fact("parts[].bytes", "number", TARGETED, "Bytes of its source."),
    fact("parts[].characters", "number", TARGETED, "Characters that a reader sees, without blanks."),
    fact("parts[].suspicious", "list of texts", TARGETED, "Phrases in it that are typical of spam."),
    fact("attachments", "number", TARGETED, "Files that are attached, to whomever."),
    fact("mirror_page", "yes or no", TARGETED, "The mirror page is open to who has its link."),
    fact("messages", "number", TARGETED, "Messages to send."),
    fact("proof", "group", TARGETED, "The readers of a proof; not known for a delivery."),
    fact("proof.recipients", "number", TARGETED, "How many."),
    fact("providers", "list", TARGETED, "Messages by receiving provider, largest first."),
    fact("providers[].provider", "text", TARGETED, "google, outlook, yahoo …, or other."),
    fact("providers[].messages", "number", TARGETED, "Messages."),
    fact("excluded", "list", TARGETED, "Recipients left out, by cause."),
    fact("excluded[].reason", "text", TARGETED, "denylisted, quarantined, duplicate …"),
    fact("excluded[].recipients", "number", TARGETED, "Recipients."),
    fact(
        "lookups",
        "group",
        TARGETED,
        "What DNS and the web say. A group is not known when nobody was asked: of a proof, of a template as the sender, through a relay.",
    ),
    fact("lookups.authentication", "group", TARGETED, "How receivers will judge the sender."),
    fact("lookups.authentication.domain", "text", TARGETED, "Domain of the From address."),
    fact(
        "lookups.authentication.spf",
        "check",
        TARGETED,
        "SPF of the return path's domain, for the addresses that mail leaves from.",
    ),
    fact("lookups.authentication.spf_domain", "text", TARGETED, "Domain of the return path."),
    fact(
        "lookups.authentication.spf_aligned",
        "yes or no",
        TARGETED,
        "That domain belongs to the From domain.",
    ),
    fact("lookups.authentication.dkim", "check", TARGETED, "The published key is the one that signs."),
    fact(
        "lookups.authentication.dkim_domain",
        "text",
        TARGETED,
        "Signing domain; empty: messages are not signed.",
    ),
    fact(
        "lookups.authentication.dkim_aligned",
        "yes or no",
        TARGETED,
        "That domain belongs to the From domain.",
    ),
    fact("lookups.authentication.dmarc", "check", TARGETED, "A DMARC policy is published."),
    fact("lookups.authentication.mail", "check", TARGETED, "The From domain takes mail."),
    fact("lookups.sources", "list", TARGETED, "Addresses that mail leaves from."),
    fact("lookups.sources[].address", "text", TARGETED, "The address."),
    fact("lookups.sources[].reverse", "check", TARGETED, "It has a name, and the name has the address."),
    fact("lookups.helo", "group", TARGETED, "The name said in EHLO."),
    fact("lookups.helo.name", "text", TARGETED, "The name."),
    fact(
        "lookups.helo.check",
        "check",
        TARGETED,
        "It is a full name that leads to an address that mail leaves from.",
    ),
    fact("lookups.targets", "list", TARGETED, "What is behind the links."),
    fact("lookups.targets[].url", "text", TARGETED, "The link's address."),
    fact("lookups.targets[].check", "check", TARGETED, "Something is there."),
    fact("lookups.targets[].status", "number", TARGETED, "The server's status code; 0: none."),
    fact("size", "group", END, "Sizes of the largest message."),
    fact("size.largest", "number", END, "Bytes of the message."),
    fact("size.html", "number", END, "Bytes of its HTML."),
    fact("prediction", "group", END, "When the messages should be out."),
    fact("prediction.start_us", "number", END, "Start of sending, microseconds UTC."),
    fact("prediction.valid_until_us", "number", END, "End of the validity period."),
    fact("prediction.end_us", "number", END, "All should be out then."),
    fact("prediction.slowest", "text", END, "The provider that takes longest."),
    fact("schedule", "group", START, "Dates of the schedule, microseconds UTC."),
    fact("schedule.contact_us", "number", START, "Start of sending."),
    fact("schedule.past", "yes or no", START, "The contact date is in the past."),
    fact(
        "schedule.notes",
        "list of texts",
        START,
        "What was made of an hour that the time zone does not have, or has twice.",
    ),
    fact("schedule.last_due_us", "number", END, "When the last message becomes due."),
    fact("schedule.waves", "number", END, "Waves; 0: none."),
    fact("schedule.last_wave_us", "number", END, "Start of the last wave."),
    fact("schedule.last_wave_end_us", "number", END, "Predicted end of the last wave."),
    fact("mobiles", "list", END, "Formats of Japanese handsets in the target."),
    fact("mobiles[].format", "text", END, "Its name."),
    fact("mobiles[].recipients", "number", END, "Recipients."),
    fact("mobiles[].problems", "list", END, "What the handsets would not show."),
    fact("mobiles[].problems[].part", "text", END, "html, mjml, text or message."),
    fact("mobiles[].problems[].line", "number", END, "Line; 0: the part as a whole."),
    fact("mobiles[].problems[].column", "number", END, "Column."),
    fact("mobiles[].problems[].text", "text", END, "What it is."),
];

/// The fact that an expression names; `lookups.helo.check.state` is one, as a part of a check. What follows the name of
/// a list is not looked at: it is an element's business.
pub(crate) fn fact_of(name: &str) -> Option<&'static FactDoc> {
    let checked = name.strip_suffix(".state").or_else(|| name.strip_suffix(".found"));
    FACTS
        .iter()
        .find(|fact| fact.name == name)
        .or_else(|| FACTS.iter().find(|fact| fact.kind == "check" && Some(fact.name) == checked))
}

/// The manual's chapter: rules, then facts.
pub fn chapter() -> String {
    let mut text = String::from(
        "# Rules and facts\n\n\
         This page lists every control rule that comes with Mailwright, and every fact that a rule of your own may \
         name.\n[Typologies](typologies.md) explains how rules are chosen, changed and written.\n\n\
         ## Control rules\n\n\
         The level is that of a rule's most serious finding in the typology `default`. \"Refused by\" names the \
         receivers\nfor whose sake the typology `bulk` makes an error of it.\n",
    );
    for phase in Phase::ALL {
        let _ = write!(text, "\n### {}\n", phase.title());
        for rule in all().into_iter().filter(|rule| rule.phase == phase) {
            rule_entry(&mut text, rule);
        }
    }
    text.push_str(
        "\n## Facts\n\n\
         A fact that is not known yet, or that nobody could find out, is `none`. `links[].url` is the `url` of each \
         element of\n`links`. A *check* has a `state` (`pass`, `fail`, `missing` or `unknown`) and `found`, a text: \
         `lookups.authentication.spf.state == 'pass'`.\n\n\
         | Fact | Kind | Known from | Meaning |\n|---|---|---|---|\n",
    );
    for fact in FACTS {
        let from = fact.known_from.title().to_lowercase();
        let _ = writeln!(text, "| `{}` | {} | {from} | {} |", fact.name, fact.kind, fact.text);
    }
    text
}

fn rule_entry(text: &mut String, rule: &crate::Rule) {
    let mut facts = example();
    (rule.breaks)(&mut facts);
    let found = (rule.check)(&facts);
    let level = match rule.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let refused = found.iter().find_map(|finding| match finding.nature {
        crate::Nature::RefusedBy(receivers) => Some(receivers),
        _ => None,
    });
    let refused = match refused {
        Some(receivers) => {
            let names: Vec<&str> = receivers.iter().map(|receiver| receiver.label()).collect();
            format!(", refused by {}", names.join(", "))
        }
        None => String::new(),
    };
    let _ = write!(
        text,
        "\n#### `{}`\n\n*{level}, order {}{refused}.* Checks that {}\n\n{}\n",
        rule.name, rule.order, rule.summary, rule.why
    );
    if let Some(finding) = found.first() {
        let _ = write!(text, "\nIt says, for example: *{}*\n", shown(&finding.text));
    }
    let _ = write!(text, "\nTo mend it: {}\n", rule.hint);
}

/// A journal's text in Markdown.
fn shown(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::MobileProblem;

    /// Every name in the JSON of facts in which everything is filled in.
    fn names(value: &serde_json::Value, at: &str, found: &mut BTreeSet<String>) {
        let checked = value.get("state").is_some() && value.get("found").is_some();
        match value {
            serde_json::Value::Object(fields) if !checked => {
                for (name, value) in fields {
                    let name = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    found.insert(name.clone());
                    names(value, &name, found);
                }
            }
            serde_json::Value::Array(elements) => {
                elements.iter().for_each(|element| names(element, &format!("{at}[]"), found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_fact_is_documented_and_nothing_else_is() {
        let mut facts = example();
        facts.mobiles[0].problems = vec![MobileProblem::default()];
        let mut found = BTreeSet::new();
        names(&serde_json::to_value(facts).unwrap(), "", &mut found);
        let documented: BTreeSet<String> = FACTS.iter().map(|fact| fact.name.to_owned()).collect();
        let missing: Vec<_> = found.difference(&documented).collect();
        let gone: Vec<_> = documented.difference(&found).collect();
        assert!(missing.is_empty() && gone.is_empty(), "not documented: {missing:?}; not there: {gone:?}");
        assert_eq!(documented.len(), FACTS.len(), "a fact is documented twice");
    }

    /// `MAILWRIGHT_WRITE_DOCS=1 cargo test -p typology` writes the chapter.
    #[test]
    fn the_manual_has_these_rules_and_facts() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
        if std::env::var_os("MAILWRIGHT_WRITE_DOCS").is_some() {
            std::fs::write(&path, chapter()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(
            written == chapter(),
            "docs/rules.md is not what the rules say: write it with MAILWRIGHT_WRITE_DOCS=1"
        );
    }

    #[test]
    fn facts_are_found_by_name() {
        assert!(fact_of("sender.address").is_some());
        assert!(fact_of("lookups.helo.check.state").is_some());
        assert!(fact_of("sender.address.state").is_none());
        assert!(fact_of("sendr").is_none());
    }
}
