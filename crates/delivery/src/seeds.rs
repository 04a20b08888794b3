//! Seeds of the real delivery: addresses of the house that get it like everybody else, to see what arrives and when.
//!
//! Their messages are numbered behind all others, in parts of their own, so that no figure of recipients has them; they
//! stand in no index by recipient, so neither pressure nor *recipients of* see them. Gaps of a seed's profile are filled
//! as by random recipients of the target.

use typology::{Finding, Level};

use crate::analyse::Work;
use crate::folder::Refusal;
use crate::numbering::Parts;
use crate::personalise::{Contents, Evaluated};
use crate::types::Result;
use crate::words;

/// Most seed groups that a delivery or a proof names.
pub const GROUPS_MAX: usize = 20;

impl Work<'_> {
    /// Evaluates the seeds, once everybody else has their number.
    pub async fn seeds(&mut self, contents: &Contents, parts: &mut Parts) -> Result<Evaluated> {
        let definition = &self.delivery.definition;
        let rows = self.this.seed_rows(definition, &definition.target.seeds).await?;
        if rows.is_empty() {
            return Ok(Evaluated::default());
        }
        let count = words::counted(rows.len() as i64, "seed gets", "seeds get");
        let text = format!("{count} it too, outside every figure");
        self.findings.push(Finding::new("", Level::Info, text));
        self.this.evaluate_seeds(self.delivery, contents, rows, parts).await
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
