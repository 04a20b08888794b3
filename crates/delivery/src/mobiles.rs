//! The Japanese handsets among the recipients: per format, the message that is hardest on them, for the rule `mobile`.

use std::collections::BTreeMap;

use content::{Compiled, mobile};
use message::{PartName, Piece, Prepared, Slots, Snapshot, TokenKeys};
use queue::message_id;
use typology::{MobileFact, MobileProblem};

use crate::files::Bytes;
use crate::types::{Error, Result};

/// What evaluation saw of each carrier's variant.
#[derive(Debug, Default)]
pub(crate) struct Mobiles(BTreeMap<u8, Hardest>);

#[derive(Debug)]
struct Hardest {
    recipients: u64,
    /// Octets of both bodies, without links.
    size: usize,
    slots: Slots,
}

impl Mobiles {
    /// Takes a message into account; does nothing for a variant that is no carrier's.
    pub fn add(&mut self, snapshot: &Snapshot, variant: u8, slots: &Slots) {
        if snapshot.variants.get(usize::from(variant)).is_some_and(|of| of.carrier.is_some()) {
            let size = size(snapshot, slots);
            self.keep(variant, 1, size, || slots.clone());
        }
    }

    /// Takes another batch's messages into account.
    pub fn merge(&mut self, other: Mobiles) {
        for (variant, hardest) in other.0 {
            self.keep(variant, hardest.recipients, hardest.size, || hardest.slots);
        }
    }

    fn keep(&mut self, variant: u8, recipients: u64, size: usize, slots: impl FnOnce() -> Slots) {
        match self.0.get_mut(&variant) {
            None => {
                self.0.insert(variant, Hardest { recipients, size, slots: slots() });
            }
            Some(known) => {
                known.recipients += recipients;
                if size > known.size {
                    known.size = size;
                    known.slots = slots();
                }
            }
        }
    }

    /// What the handsets would not show.
    pub fn facts(&self, compiled: &Compiled, files: &Bytes, keys: &TokenKeys) -> Result<Vec<MobileFact>> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let broken = |error: &dyn std::fmt::Display| Error::Internal(format!("composing: {error}"));
        let prepared = Prepared::new(compiled.snapshot.clone(), |hash| files.get(hash).cloned())
            .map_err(|error| broken(&error))?;
        let id = message_id(compiled.snapshot.delivery, 0);
        let mut facts = Vec::new();
        for (variant, hardest) in &self.0 {
            let body = |name| {
                let part = compiled.snapshot.part(name);
                part.map(|_| prepared.part_text(name, &hardest.slots, id, keys)).transpose()
            };
            let html = body(PartName::Html).map_err(|error| broken(&error))?;
            let text = body(PartName::Text).map_err(|error| broken(&error))?;
            let snapshot = &compiled.snapshot;
            let found = mobile::diagnose_message(
                &compiled.facts,
                snapshot,
                *variant,
                html.as_deref(),
                text.as_deref(),
                &hardest.slots,
            );
            let carrier = snapshot.variants.get(usize::from(*variant)).and_then(|of| of.carrier);
            facts.push(MobileFact {
                format: carrier.map_or("", mobile::format_title).to_owned(),
                recipients: hardest.recipients,
                problems: found.into_iter().map(placed).collect(),
            });
        }
        Ok(facts)
    }
}

fn placed(problem: content::Problem) -> MobileProblem {
    MobileProblem { part: problem.part, line: problem.line, column: problem.column, text: problem.message }
}

/// Conditions choose among static text, so that counts too.
fn size(snapshot: &Snapshot, slots: &Slots) -> usize {
    let bodies = snapshot.parts.iter().filter(|part| matches!(part.name, PartName::Html | PartName::Text));
    let pieces = bodies.flat_map(|part| {
        slots.part(part.name).unwrap_or(&part.usual).iter().map(|piece| match piece {
            Piece::Static(number) => part.segments.get(*number as usize).map_or(0, String::len),
            Piece::Literal(text) => text.len(),
            Piece::Link(_) => 0,
        })
    });
    pieces.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use content::{CompileOptions, Draft, Fields, FormatRule, compile};

    fn compiled() -> Compiled {
        let draft = Draft {
            from_address: "news@shop.example".into(),
            subject: "x".into(),
            html: Some(
                "<body>{% if name == 'b' %}\n<table><tr><td>x</table>{% else %}x{% endif %}</body>".into(),
            ),
            ..Draft::default()
        };
        let rule = FormatRule {
            mask: "docomo.ne.jp".into(),
            carrier: "docomo".into(),
            structure: "alternative".into(),
            ..FormatRule::default()
        };
        compile(&draft, &CompileOptions { format_rules: vec![rule], ..CompileOptions::default() }).unwrap()
    }

    fn seen(compiled: &Compiled, messages: &[(&str, &str)]) -> Vec<MobileFact> {
        let keys = TokenKeys::derive(&[7; 32]);
        let mut all = Mobiles::default();
        for (name, domain) in messages {
            let variant = compiled.flags_for("", domain);
            let own = compiled.evaluate(&Fields::from_pairs([("name", *name)]), variant).unwrap();
            // Batches meet as they do in an analysis.
            let mut batch = Mobiles::default();
            batch.add(&compiled.snapshot, variant, &own.slots);
            all.merge(batch);
        }
        all.facts(compiled, &Bytes::default(), &keys).unwrap()
    }

    #[test]
    fn only_mobiles_are_looked_at_and_the_hardest_message_counts() {
        let compiled = compiled();
        assert!(seen(&compiled, &[("b", "shop.example")]).is_empty());
        let fine = seen(&compiled, &[("a", "docomo.ne.jp"), ("b", "shop.example")]);
        assert_eq!((fine[0].recipients, fine[0].problems.len()), (1, 0));
        let found = seen(&compiled, &[("a", "docomo.ne.jp"), ("b", "docomo.ne.jp"), ("a", "docomo.ne.jp")]);
        assert_eq!((found.len(), found[0].recipients), (1, 3));
        assert_eq!(found[0].format, "Deco-mail (docomo)");
        let lines: Vec<u32> = found[0].problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [2, 2, 2], "{:?}", found[0].problems);
    }
}
