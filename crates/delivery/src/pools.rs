//! The pool of sources that a delivery goes from: its own choice, else its typology's, else `default`.
//!
//! `default` is what a delivery says that chooses nothing (it is the key's default), so it gives way to the typology.

use routes::{DEFAULT_POOL, Pool};
use typology::{PoolChoice, PoolFact};

use crate::Deliveries;
use crate::definition::Definition;
use crate::types::Result;
use crate::typologies::by_name;

/// Letters of a pool's name that may be typed; `routes` has the same bounds.
pub(crate) const NAME_RULE: &str = "must be 1 to 40 lower-case letters, digits, hyphens, underscores or dots";

/// A pool, and whose choice it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenPool {
    /// Its name.
    pub name: String,
    /// Who chose it.
    pub by: PoolChoice,
}

/// The choice between a delivery's own pool and its typology's (empty: it names none).
#[must_use]
pub fn chosen(own: &str, typology: &str) -> ChosenPool {
    let (name, by) = match (own, typology) {
        ("" | DEFAULT_POOL, "") => (DEFAULT_POOL, PoolChoice::Nobody),
        ("" | DEFAULT_POOL, named) => (named, PoolChoice::Typology),
        (own, _) => (own, PoolChoice::Delivery),
    };
    ChosenPool { name: name.to_owned(), by }
}

impl Deliveries {
    /// The pool that a delivery would go from if it were analysed now.
    ///
    /// # Errors
    /// `Refused` when there is no typology of the name; `Store`.
    pub async fn pool_of(&self, definition: &Definition) -> Result<ChosenPool> {
        let name = definition.validation.typology.trim().to_owned();
        let typology = self.store.read(move |tx| by_name(tx, &name)).await?;
        Ok(chosen(&definition.parameters.pool, &typology.pool))
    }

    /// The pool as rules see it; `None` with a relay.
    pub(crate) async fn pool_fact(&self, definition: &Definition) -> Result<Option<PoolFact>> {
        if self.config().relay {
            return Ok(None);
        }
        let chosen = self.pool_of(definition).await?;
        let pools = self.rooms.routes.rules().pools();
        let found = pools.iter().find(|pool| pool.name == chosen.name).cloned();
        let found = found.unwrap_or_else(|| Pool::empty(&chosen.name));
        Ok(Some(PoolFact {
            name: chosen.name,
            chosen_by: chosen.by,
            sources: found.sources,
            disabled: found.disabled,
            known: pools.into_iter().map(|pool| pool.name).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deliverys_own_choice_wins() {
        let name_of = |own: &str, typology: &str| chosen(own, typology).name;
        assert_eq!(name_of("default", ""), "default");
        assert_eq!(name_of("default", "transactional"), "transactional");
        assert_eq!(name_of("news", "transactional"), "news");
        assert_eq!(chosen("news", "news").by, PoolChoice::Delivery);
        assert_eq!(chosen("default", "default").by, PoolChoice::Typology);
    }
}
