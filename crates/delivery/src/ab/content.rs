//! The other variants in an analysis: each is compiled, judged by the rules, and frozen like the delivery's own content.

use content::CompileOptions;
use queue::plan;
use store::Tx;
use typology::{Facts, Finding, Level, Phase};

use super::{Planned, contents, hash_of_all, letter, variant};
use crate::analyse::{Source, Work, of_problem};
use crate::facts;
use crate::personalise::Contents;
use crate::remote::Written;
use crate::slots::Slotted;
use crate::types::{Delivery, DeliveryId, Error, Result};
use crate::verdict::Frozen;

/// The rule that speaks of tests.
const RULE: &str = "ab";

/// A variant beside the delivery's own content.
pub(crate) struct Other {
    letter: char,
    /// What is its own; the rest is the delivery's.
    own: Facts,
}

impl Other {
    /// What rules may know of it.
    fn facts(&self, delivery: &Facts) -> Facts {
        let own = self.own.clone();
        Facts {
            subject: own.subject,
            sender: own.sender,
            links: own.links,
            parts: own.parts,
            images: own.images,
            mirror_page: own.mirror_page,
            attachments: own.attachments,
            mobiles: own.mobiles,
            ..delivery.clone()
        }
    }
}

/// Says that a finding is of a variant.
pub(crate) fn of_variant(letter: char, finding: Finding) -> Finding {
    Finding { text: format!("variant {letter}: {}", finding.text), ..finding }
}

impl Work<'_> {
    /// Compiles the other variants of a test; none without one. `None`: there are errors.
    pub async fn other_contents(&mut self, base: &Written) -> Result<Option<Vec<Written>>> {
        let definition = &self.delivery.definition;
        let mut found = Vec::new();
        for number in 1..contents(definition) {
            found.extend(self.other_content(number, base).await?);
        }
        if found.is_empty() && contents(definition) == 1 {
            return Ok(Some(found));
        }
        self.variant_findings(Phase::StartOfTargeting);
        Ok(if self.has_errors() { None } else { Some(found) })
    }

    async fn other_content(&mut self, number: usize, base: &Written) -> Result<Option<Written>> {
        let (letter, delivery) = (letter(number), self.delivery);
        let (definition, sources) = variant(&delivery.definition, &delivery.sources(), number);
        let files = self.this.assets(delivery.id).await?;
        let draft = match self.this.draft_of(&definition, &sources, &files) {
            Ok(draft) => draft,
            Err(problems) => {
                self.problems(letter, &problems);
                return Ok(None);
            }
        };
        if domain(&draft.from_address) != domain(&base.draft.from_address) {
            let text = "has a sender of another domain than the delivery: signatures, return paths and Message-IDs are \
                        those of one domain for the whole delivery";
            let finding = Finding::new(RULE, Level::Error, text).in_part("sender");
            self.findings.push(of_variant(letter, finding));
            return Ok(None);
        }
        let changed = Delivery {
            definition,
            html: sources.html,
            text: sources.text,
            mjml: sources.mjml,
            amp: sources.amp,
            ..delivery.clone()
        };
        let mut own = self.this.first_facts(&changed, &draft).await?;
        let options = CompileOptions {
            subject_prefix: prefix(&base.options.subject_prefix, letter),
            ..base.options.clone()
        };
        let compiling = move || (content::compile(&draft, &options), draft, options);
        let (compiled, draft, options) = tokio::task::spawn_blocking(compiling)
            .await
            .map_err(|panic| Error::Internal(format!("compiling panicked: {panic}")))?;
        match compiled {
            Err(problems) => {
                self.problems(letter, &problems);
                Ok(None)
            }
            Ok(compiled) => {
                facts::with_content(&mut own, &compiled.facts);
                own.attachments = compiled.snapshot.attachments.len();
                self.variants.push(Other { letter, own });
                Ok(Some(Written { draft, options, compiled }))
            }
        }
    }

    fn problems(&mut self, letter: char, problems: &[content::Problem]) {
        let found = problems.iter().map(|problem| of_variant(letter, of_problem(problem, Level::Error)));
        self.findings.extend(found);
    }

    /// What the rules of a phase say of the other variants and not of the delivery's own content.
    pub fn variant_findings(&mut self, phase: Phase) {
        if self.variants.is_empty() {
            return;
        }
        let now_us = self.this.now_us();
        let of_all = typology::run(phase, &self.facts, &self.selection, now_us);
        for other in &self.variants {
            let found = typology::run(phase, &other.facts(&self.facts), &self.selection, now_us);
            let own = found.into_iter().filter(|finding| !of_all.contains(finding));
            self.findings.extend(own.map(|finding| of_variant(other.letter, finding)));
        }
    }

    /// The links of all contents, for the look-ups; each once.
    pub fn all_links(&self) -> Vec<typology::LinkFact> {
        let mut links = self.facts.links.clone();
        for link in self.variants.iter().flat_map(|other| &other.own.links) {
            if !links.iter().any(|known| known.url == link.url) {
                links.push(link.clone());
            }
        }
        links
    }

    /// Keeps what handsets would not show of each variant.
    pub fn variant_mobiles(&mut self, content: usize, found: Vec<typology::MobileFact>) {
        match content.checked_sub(1) {
            None => self.facts.mobiles = found,
            Some(index) => {
                if let Some(other) = self.variants.get_mut(index) {
                    other.own.mobiles = found;
                }
            }
        }
    }

    /// What is kept of a test beside its contents; none without one, and none of a proof.
    pub fn planned(
        &mut self,
        source: &Source,
        contents: &Contents,
        slotted: &Slotted,
    ) -> Result<Option<Planned>> {
        let Some(test) = self.delivery.definition.ab.as_ref().filter(|_| matches!(source, Source::Target))
        else {
            return Ok(None);
        };
        let messages: Vec<i64> = slotted.slots.waves().iter().map(|wave| wave.messages).collect();
        let (rest, samples) = messages.split_last().map_or((0, &[][..]), |(rest, samples)| (*rest, samples));
        let sizes: Vec<String> = samples
            .iter()
            .enumerate()
            .map(|(at, n)| format!("{} {}", letter(at), crate::words::number(*n)))
            .collect();
        let rest = crate::words::counted(rest, "message waits", "messages wait");
        let how =
            if test.winner == "manual" { "chosen by hand".to_owned() } else { format!("by {}", test.winner) };
        let text = format!(
            "A/B test: samples of {}; {rest} for the winner ({how}, {} after the start)",
            sizes.join(", "),
            test.after
        );
        self.findings.push(Finding::new(RULE, Level::Info, text));
        Planned::of(&self.delivery.definition, test, &contents.hashes(), samples).map(Some)
    }
}

/// A content as it is frozen.
pub(crate) struct FrozenContent {
    pub hash: String,
    pub bytes: Vec<u8>,
    /// The same, readable.
    pub content: message::Snapshot,
}

impl FrozenContent {
    pub fn of(content: &message::Snapshot) -> FrozenContent {
        let bytes = content.to_bytes();
        FrozenContent { hash: message::Snapshot::hash_of(&bytes), bytes, content: content.clone() }
    }
}

/// The hash that stands for these contents together: the only one's own, else one over all.
pub(crate) fn hash_of(contents: &[FrozenContent]) -> String {
    match contents {
        [only] => only.hash.clone(),
        all => hash_of_all(&all.iter().map(|content| content.hash.as_str()).collect::<Vec<_>>()),
    }
}

/// Writes the snapshots of a frozen delivery and keeps the files that they need until then.
pub(crate) fn write_contents(tx: &mut Tx<'_>, id: DeliveryId, frozen: &Frozen, until_us: i64) -> Result<()> {
    for content in &frozen.contents {
        plan::write_snapshot(tx, &content.hash, &content.bytes)?;
    }
    crate::files::hold(tx, id, frozen.contents.iter().map(|content| &content.content), until_us)
}

/// `Proof #1: ` of variant B is `Proof #1 B: `; a delivery has none.
fn prefix(of_all: &str, letter: char) -> String {
    match of_all.strip_suffix(": ") {
        Some(before) => format!("{before} {letter}: "),
        None => of_all.to_owned(),
    }
}

/// The domain of an address as written, in one spelling; none where a template makes it.
fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    Some(domain.trim().trim_end_matches('>').to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_says_which_variant_it_is() {
        assert_eq!(prefix("Proof #1: ", 'B'), "Proof #1 B: ");
        assert_eq!(prefix("", 'B'), "");
    }

    #[test]
    fn domains_are_compared_in_one_spelling() {
        assert_eq!(domain("news@Shop.example "), domain("offers@shop.example"));
        assert_ne!(domain("news@shop.example"), domain("news@other.example"));
    }
}
