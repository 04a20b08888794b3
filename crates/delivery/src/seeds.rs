//! Seeds of the real delivery: addresses of the house that get it like everybody else, to see what arrives and when.
//!
//! Their messages are numbered behind all others, in parts of their own, so that no figure of recipients has them; they
//! stand in no index by recipient, so neither pressure nor *recipients of* see them. Gaps of a seed's profile are filled
//! as by random recipients of the target.

use audience::Recipient;
use queue::plan;
use typology::{Finding, Level};

use crate::analyse::Work;
use crate::folder::Refusal;
use crate::numbering::Parts;
use crate::personalise::{Contents, Evaluated};
use crate::readers::FILLS;
use crate::slots::scattered;
use crate::types::{Error, Result};
use crate::words;

/// Most seed groups that a delivery or a proof names.
pub const GROUPS_MAX: usize = 20;

impl Work<'_> {
    /// Evaluates the seeds, once everybody else has their number.
    pub async fn seeds(&mut self, contents: &Contents, parts: &mut Parts) -> Result<Evaluated> {
        let definition = &self.delivery.definition;
        if definition.target.seeds.is_empty() {
            return Ok(Evaluated::default());
        }
        let fill = self.anybody(parts.seeds_from()).await?;
        let rows = self.this.seed_rows(&definition.target.seeds, &fill).await?;
        if rows.is_empty() {
            return Ok(Evaluated::default());
        }
        let count = words::counted(rows.len() as i64, "seed gets", "seeds get");
        let text = format!("{count} it too, outside every figure");
        self.findings.push(Finding::new("", Level::Info, text));
        self.this.evaluate_seeds(self.delivery, contents, rows, parts).await
    }

    /// Random recipients of the target, found by the numbers of their messages: asking who is in the target again took
    /// longer than all else that seeds cost.
    async fn anybody(&self, messages: i64) -> Result<Vec<Recipient>> {
        let (this, id) = (self.this, self.delivery.id);
        let seed = self.delivery.definition.target.seed.unwrap_or_else(|| this.now_us().unsigned_abs());
        let numbers: Vec<i64> = (0..FILLS)
            .map(|n| scattered(seed.wrapping_add(n)) % messages.max(1).unsigned_abs())
            .filter_map(|n| i64::try_from(n).ok())
            .collect();
        let found = this
            .store
            .read(move |tx| {
                let from = |n: i64| plan::recipient_from(tx, id, n).map_err(Error::from);
                numbers.into_iter().map(from).collect::<Result<Vec<_>>>()
            })
            .await?;
        let mut people = Vec::with_capacity(found.len());
        for recipient in found.into_iter().flatten() {
            people.extend(this.rooms.audience.person(recipient).await?);
        }
        Ok(people)
    }
}

/// Range of a list of seed groups.
pub(crate) fn check(field: &str, groups: &[String]) -> Result<(), Refusal> {
    if groups.len() > GROUPS_MAX {
        return Err(Refusal::new(field, format!("names more than {GROUPS_MAX} seed groups")));
    }
    if groups.iter().any(|group| group.trim().is_empty()) {
        return Err(Refusal::new(field, "has an element that is no name of a seed group"));
    }
    Ok(())
}
