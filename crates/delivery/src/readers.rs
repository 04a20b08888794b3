//! Who reads a proof: substitution addresses, recipients, seeds, and in which formats each of them gets it.

use std::collections::HashSet;

use audience::{Recipient, RecipientRow};
use message::{VARIANT_ALTERNATIVE, VARIANT_HTML, VARIANT_TEXT};

use crate::Deliveries;
use crate::definition::{Definition, Substitution};
use crate::folder::Refusal;
use crate::personalise::Reader;
use crate::types::{ProofTarget, Result};

/// Readers that one request may name; more than 100 are then refused by the rule `proof_size`, in the journal.
const READERS_MAX: usize = 1_000;
/// Random recipients that fill the gaps of seeds' profiles.
pub(crate) const FILLS: u64 = 10;

impl Deliveries {
    /// The messages of a proof, before they are evaluated.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] for a name that is not known, and when nobody is left.
    pub(crate) async fn readers(&self, definition: &Definition, target: ProofTarget) -> Result<Vec<Reader>> {
        let target = match target {
            ProofTarget::AsDefined => as_defined(definition),
            given => given,
        };
        let readers = match target {
            ProofTarget::Substitution(list) => self.substituted(definition, list).await?,
            ProofTarget::Recipients(list) => self.specific(list).await?,
            ProofTarget::Seeds(groups) => self.seed_readers(definition, groups).await?,
            ProofTarget::RecipientsAndSeeds { recipients, seeds } => {
                let mut both = self.specific(recipients).await?;
                both.extend(self.seed_readers(definition, seeds).await?);
                both
            }
            ProofTarget::AsDefined => Vec::new(),
        };
        let readers = self.kept(definition, readers).await?;
        if readers.is_empty() {
            return Err(Refusal::new("proof", "goes to nobody: name at least one address").into());
        }
        Ok(in_contents(in_formats(readers, definition.proof.variants), crate::ab::contents(definition)))
    }

    async fn substituted(&self, definition: &Definition, list: Vec<Substitution>) -> Result<Vec<Reader>> {
        check_count(list.len())?;
        let members = self.target_set(&definition.target).await?.members();
        let seed = self.now_us().unsigned_abs();
        let mut readers = Vec::with_capacity(list.len());
        for (n, substitution) in list.into_iter().enumerate() {
            let profile = if substitution.profile.eq_ignore_ascii_case("random") {
                let found =
                    self.rooms.audience.random_recipient(&members, seed.wrapping_add(n as u64)).await?;
                found.ok_or_else(|| {
                    Refusal::new(
                        "target",
                        "is empty: a proof shows the content as somebody of the target sees it",
                    )
                })?
            } else {
                self.recipient("proof.as", &substitution.profile).await?
            };
            readers.push(reader(&profile, Some(&substitution.to))?);
        }
        Ok(readers)
    }

    async fn specific(&self, list: Vec<String>) -> Result<Vec<Reader>> {
        check_count(list.len())?;
        let mut readers = Vec::with_capacity(list.len());
        for address in list {
            readers.push(reader(&self.recipient("proof.recipients", &address).await?, None)?);
        }
        Ok(readers)
    }

    async fn seed_readers(&self, definition: &Definition, groups: Vec<String>) -> Result<Vec<Reader>> {
        let members = self.target_set(&definition.target).await?.members();
        let seed = definition.target.seed.unwrap_or_else(|| self.now_us().unsigned_abs());
        let mut fill = Vec::new();
        for n in 0..FILLS {
            fill.extend(self.rooms.audience.random_recipient(&members, seed.wrapping_add(n)).await?);
        }
        let rows = self.seed_rows(&groups, &fill).await?;
        check_count(rows.len())?;
        Ok(rows.into_iter().map(of_row).collect())
    }

    /// The seeds of these groups, their gaps filled as by these recipients.
    pub(crate) async fn seed_rows(&self, groups: &[String], fill: &[Recipient]) -> Result<Vec<RecipientRow>> {
        match self.rooms.audience.seeds_in(groups, fill, self.now_us()).await {
            Err(audience::Error::Invalid { reason, .. }) => Err(Refusal::new("seeds", reason).into()),
            other => Ok(other?),
        }
    }

    async fn recipient(&self, field: &str, address: &str) -> Result<Recipient> {
        let found = self.rooms.audience.recipient_by_address(address).await?;
        found.ok_or_else(|| Refusal::new(field, format!("{address} is nobody of the audience")).into())
    }

    /// Applies the proof's keep options. By default a proof keeps duplicates, denylisted and quarantined.
    async fn kept(&self, definition: &Definition, readers: Vec<Reader>) -> Result<Vec<Reader>> {
        let options = &definition.proof;
        let mut seen = HashSet::new();
        let mut kept = Vec::with_capacity(readers.len());
        for reader in readers {
            let key = address::parse(&reader.address).map(|mailbox| mailbox.key()).unwrap_or_default();
            let drop = (!options.keep_duplicates && !seen.insert(key))
                || (!options.keep_denylisted && reader.row.denylisted)
                || (!options.keep_quarantined && self.rooms.audience.is_quarantined(&reader.address).await?);
            if !drop {
                kept.push(reader);
            }
        }
        Ok(kept)
    }
}

/// What `[proof]` says. Seed groups that it does not name are those of the target.
fn as_defined(definition: &Definition) -> ProofTarget {
    let proof = &definition.proof;
    let seeds = || if proof.seeds.is_empty() { definition.target.seeds.clone() } else { proof.seeds.clone() };
    match proof.mode.as_str() {
        "recipients" => ProofTarget::Recipients(proof.recipients.clone()),
        "seeds" => ProofTarget::Seeds(seeds()),
        "recipients_and_seeds" => {
            ProofTarget::RecipientsAndSeeds { recipients: proof.recipients.clone(), seeds: seeds() }
        }
        _ => ProofTarget::Substitution(proof.addresses.clone()),
    }
}

/// One message a reader as the profile asks, or two, or three in fixed formats.
fn in_formats(readers: Vec<Reader>, variants: u32) -> Vec<Reader> {
    let formats: &[u8] = match variants {
        2 => &[VARIANT_TEXT, VARIANT_ALTERNATIVE],
        3 => &[VARIANT_TEXT, VARIANT_HTML, VARIANT_ALTERNATIVE],
        _ => return readers,
    };
    let copies = |reader: Reader| {
        formats
            .iter()
            .map(move |format| Reader { variant: Some(*format), ..reader.clone() })
            .collect::<Vec<_>>()
    };
    readers.into_iter().flat_map(copies).collect()
}

/// Each message in every variant of an A/B test.
fn in_contents(readers: Vec<Reader>, contents: usize) -> Vec<Reader> {
    if contents == 1 {
        return readers;
    }
    let copies = |reader: Reader| (0..contents).map(move |content| Reader { content, ..reader.clone() });
    readers.into_iter().flat_map(copies).collect()
}

fn check_count(count: usize) -> Result<()> {
    if count > READERS_MAX {
        return Err(
            Refusal::new("proof", format!("names {count} readers; a proof goes to at most 100")).into()
        );
    }
    Ok(())
}

fn reader(profile: &Recipient, to: Option<&str>) -> Result<Reader> {
    let address = to.unwrap_or(&profile.email).trim().to_owned();
    let mailbox = address::parse(&address)
        .map_err(|error| Refusal::new("proof.to", format!("{address:?} is no address: {error}")))?;
    let domain = mailbox.domain_ascii().to_owned();
    Ok(Reader { row: RecipientRow::from(profile), address, domain, variant: None, content: 0 })
}

fn of_row(row: RecipientRow) -> Reader {
    Reader {
        address: row.email().to_owned(),
        domain: row.domain().to_owned(),
        row,
        variant: None,
        content: 0,
    }
}

/// Range of `[proof]`.
pub(crate) fn check(proof: &crate::definition::Proof) -> Result<(), Refusal> {
    if !matches!(proof.mode.as_str(), "substitution" | "recipients" | "seeds" | "recipients_and_seeds") {
        return Err(Refusal::new(
            "proof.mode",
            "is none of substitution, recipients, seeds, recipients_and_seeds",
        ));
    }
    if !(1..=3).contains(&proof.variants) {
        let text = "is none of 1, 2 (text and alternative), 3 (text, HTML and alternative)";
        return Err(Refusal::new("proof.variants", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_gets_each_format() {
        let reader = of_row(RecipientRow::default());
        assert_eq!(in_formats(vec![reader.clone()], 1)[0].variant, None);
        let two = in_formats(vec![reader.clone(), reader.clone()], 2);
        let formats: Vec<_> = two.iter().map(|reader| reader.variant).collect();
        assert_eq!(formats, [Some(1), Some(0), Some(1), Some(0)]);
        assert_eq!(in_formats(vec![reader], 3).len(), 3);
    }

    #[test]
    fn seeds_that_the_proof_does_not_name_are_those_of_the_target() {
        let mut definition = Definition::new("x");
        definition.proof.mode = "seeds".into();
        definition.target.seeds = vec!["ours".into()];
        assert_eq!(as_defined(&definition), ProofTarget::Seeds(vec!["ours".into()]));
        definition.proof.seeds = vec!["theirs".into()];
        assert_eq!(as_defined(&definition), ProofTarget::Seeds(vec!["theirs".into()]));
    }
}
