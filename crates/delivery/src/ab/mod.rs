//! A/B tests: two to four variants of subject, sender or content go to a sample, and the rest gets the winner.
//!
//! A test is a delivery with a wave for each variant's sample, all at the start, and one for the rest, which waits
//! ([`queue::variants::HELD_DUE_US`]). Who is in which follows from the scattered rank that waves use, so each sample has
//! exactly its size and is a fair picture of the whole. The analysis evaluates everybody of the rest for *every* variant:
//! whichever wins, nothing is sent that was not analysed, and its hash is among those that were approved.
//!
//! After the delay the variant with the highest share of opened (or clicked) messages wins; where nothing differs, the
//! delivery's own content, variant A. A test `by hand` tells the owner and waits. The choice is written first
//! ([`choice`]), then carried out in short steps that may be taken again after a crash ([`apply`]).

mod apply;
mod check;
mod choice;
mod content;
mod records;

use serde::Serialize;

use crate::definition::{AbTest, Definition};
use crate::folder::Refusal;
use crate::parameters::duration_us;
use crate::schedule::Plan;
use crate::types::{Error, Result, Sources};
use crate::waves::{Size, Wave};

pub(crate) use apply::Applying;
pub(crate) use check::check;
pub(crate) use content::{FrozenContent, Other, hash_of, of_variant, write_contents};
pub(crate) use records::{Planned, confirmed, forget, keep};

/// Variants beside the delivery's own content.
pub const VARIANTS_MAX: usize = 3;
/// Names of the variants; A is the delivery's own content.
pub const LETTERS: [char; VARIANTS_MAX + 1] = ['A', 'B', 'C', 'D'];

/// How far a test is. Names are those of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AbState {
    /// Analysed, not confirmed.
    Planned,
    /// The samples go out, and are opened.
    Sampling,
    /// Somebody must choose.
    Choosing,
    /// Chosen; the rest is made ready.
    Applying,
    /// The rest goes out.
    Released,
}

impl AbState {
    const ALL: [AbState; 5] =
        [AbState::Planned, AbState::Sampling, AbState::Choosing, AbState::Applying, AbState::Released];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            AbState::Planned => "planned",
            AbState::Sampling => "sampling",
            AbState::Choosing => "choosing",
            AbState::Applying => "applying",
            AbState::Released => "released",
        }
    }

    fn parse(name: &str) -> Result<AbState> {
        let found = AbState::ALL.into_iter().find(|state| state.as_str() == name);
        found.ok_or_else(|| Error::Internal(format!("stored state of a test {name:?}")))
    }
}

/// How a test stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AbStatus {
    /// How far it is.
    pub state: AbState,
    /// What decides: `opens`, `clicks` or `manual`.
    pub winner_by: String,
    /// When the winner is chosen (µs); absent before Confirm.
    pub due_at: Option<i64>,
    /// The variants in order. Figures are live until the choice, then those that it was made by.
    pub variants: Vec<VariantStatus>,
    /// Messages that get the winner.
    pub rest: i64,
    /// Letter of the variant that won.
    pub winner: Option<char>,
    /// Who chose; empty: the program.
    pub chosen_by: String,
    /// When (µs).
    pub chosen_at: Option<i64>,
    /// Why, with figures.
    pub why: String,
}

/// How one variant does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantStatus {
    /// `A` to `D`.
    pub variant: char,
    /// Hash of its snapshot.
    pub snapshot: String,
    /// Its subject, as written.
    pub subject: String,
    /// Messages of its sample.
    pub messages: i64,
    /// Taken by their receivers.
    pub sent: i64,
    /// Opened by a person, links followed included.
    pub opened: i64,
    /// A link was followed.
    pub clicked: i64,
    /// Share of the sent that decides (opened, for a test by hand): 0 to 1.
    pub rate: f64,
}

/// The letter of a variant, from 0.
pub(crate) fn letter(variant: usize) -> char {
    LETTERS.get(variant).copied().unwrap_or('?')
}

/// The variant of a letter, in either case.
pub(crate) fn variant_named(name: &str) -> Option<usize> {
    let mut chars = name.trim().chars();
    let letter = chars.next()?.to_ascii_uppercase();
    if chars.next().is_some() { None } else { LETTERS.iter().position(|known| *known == letter) }
}

/// Contents of a delivery: its own, and the variants of its test.
pub(crate) fn contents(definition: &Definition) -> usize {
    1 + definition.ab.as_ref().map_or(0, |test| test.variants.len())
}

/// What a delivery says in a variant (0: as it is written). A variant with HTML has no MJML and no AMP, and its text is made
/// from the HTML unless it has its own.
pub fn variant(definition: &Definition, sources: &Sources, variant: usize) -> (Definition, Sources) {
    let (mut definition, mut sources) = (definition.clone(), sources.clone());
    let index = variant.checked_sub(1);
    let changed = index.and_then(|index| definition.ab.as_ref()?.variants.get(index).cloned());
    let Some(changed) = changed else { return (definition, sources) };
    for (own, kept) in [
        (&changed.subject, &mut definition.subject),
        (&changed.sender_name, &mut definition.sender.name),
        (&changed.sender_address, &mut definition.sender.address),
    ] {
        if !own.trim().is_empty() {
            own.clone_into(kept);
        }
    }
    if !changed.html.trim().is_empty() {
        sources = Sources { html: Some(changed.html), ..Sources::default() };
    }
    if !changed.text.trim().is_empty() {
        sources.text = Some(changed.text);
    }
    (definition, sources)
}

/// From the start to the choice (µs).
fn after_us(test: &AbTest) -> Result<i64, Refusal> {
    duration_us(&test.after).filter(|us| *us > 0).ok_or_else(|| {
        Refusal::new(
            "ab.after",
            format!("{:?} is no duration: write a number and s, m, h or d, like 4h", test.after),
        )
    })
}

/// The samples of a test in the order of its variants, and the rest: `None` without a test.
///
/// # Errors
/// A sample that is too small for its variants, or leaves nobody for the winner.
pub(crate) fn waves(
    definition: &Definition,
    plan: &Plan,
    messages: i64,
) -> Result<Option<Vec<Wave>>, Refusal> {
    let Some(test) = &definition.ab else { return Ok(None) };
    let count = contents(definition) as i64;
    let sample = sample(test)?.of(messages);
    if messages > 0 && sample < count {
        let text = format!("is {sample} of {messages} messages: that is too few for {count} variants");
        return Err(Refusal::new("ab.sample", text));
    }
    if messages > 0 && sample >= messages {
        let text = format!("is all {messages} messages: nobody is left for the winner");
        return Err(Refusal::new("ab.sample", text));
    }
    let mut waves: Vec<Wave> = (0..count)
        .map(|k| Wave { start_us: plan.start_us, messages: sample * (k + 1) / count - sample * k / count })
        .collect();
    let rest_us = plan.start_us.saturating_add(after_us(test)?);
    waves.push(Wave { start_us: rest_us, messages: messages - sample });
    Ok(Some(waves))
}

fn sample(test: &AbTest) -> Result<Size, Refusal> {
    Size::parse(&test.sample).filter(|size| !size.is_zero()).ok_or_else(|| {
        Refusal::new(
            "ab.sample",
            format!("{:?} is no size: write a number like 5000, or a percentage below 100%", test.sample),
        )
    })
}

/// What is approved and confirmed of a test: a hash over the hashes of its variants, in order.
pub(crate) fn hash_of_all(hashes: &[&str]) -> String {
    let mut text = String::from("ab\n");
    hashes.iter().for_each(|hash| {
        text.push_str(hash);
        text.push('\n');
    });
    message::Snapshot::hash_of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::AbVariant;

    fn definition(sample: &str, variants: usize) -> Definition {
        let mut definition = Definition::new("x");
        definition.subject = "A's".into();
        let variant = AbVariant { subject: "other".into(), ..AbVariant::default() };
        definition.ab =
            Some(AbTest { sample: sample.into(), variants: vec![variant; variants], ..AbTest::default() });
        definition
    }

    #[test]
    fn samples_are_even_and_have_exactly_their_size() {
        let sizes = |sample: &str, variants, messages| {
            let waves = waves(&definition(sample, variants), &Plan::at_once(5), messages).unwrap().unwrap();
            waves.iter().map(|wave| wave.messages).collect::<Vec<_>>()
        };
        assert_eq!(sizes("20%", 1, 1_000), [100, 100, 800]);
        assert_eq!(sizes("10", 2, 1_000), [3, 3, 4, 990]);
        assert_eq!(sizes("50%", 3, 1_001), [125, 125, 125, 125, 501]);
        let waves = waves(&definition("20%", 1), &Plan::at_once(5), 1_000).unwrap().unwrap();
        let starts: Vec<_> = waves.iter().map(|wave| wave.start_us).collect();
        assert_eq!(starts, [5, 5, 5 + 4 * 3_600_000_000]);
    }

    #[test]
    fn a_sample_of_nobody_or_of_everybody_is_refused() {
        let refused = |sample: &str, messages| {
            waves(&definition(sample, 1), &Plan::at_once(0), messages).unwrap_err().text
        };
        assert!(refused("10%", 10).contains("too few for 2 variants"));
        assert!(refused("500", 400).contains("nobody is left"));
    }

    #[test]
    fn a_variant_says_what_it_says_and_else_what_the_delivery_says() {
        let mut definition = definition("20%", 1);
        let own = Sources { mjml: Some("<mjml>".into()), text: Some("t".into()), ..Sources::default() };
        assert_eq!(variant(&definition, &own, 0), (definition.clone(), own.clone()));
        let (changed, sources) = variant(&definition, &own, 1);
        assert_eq!((changed.subject.as_str(), &sources), ("other", &own));
        definition.ab.as_mut().unwrap().variants[0].html = "<p>".into();
        let (_, sources) = variant(&definition, &own, 1);
        assert_eq!(sources, Sources { html: Some("<p>".into()), ..Sources::default() });
    }

    #[test]
    fn letters_name_variants() {
        assert_eq!((variant_named("b"), variant_named(" D ")), (Some(1), Some(3)));
        assert_eq!((variant_named("E"), variant_named("AB"), variant_named("")), (None, None, None));
        assert_ne!(hash_of_all(&["a", "b"]), hash_of_all(&["b", "a"]));
    }
}
