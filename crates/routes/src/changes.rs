//! The history of rules: who changed what, when, and what was there before.

use serde::Serialize;
use store::{Tx, binds};

use crate::domains::Routes;
use crate::error::{Error, Result};
use crate::limits::CHANGES_PAGE_MAX;

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rules of a site.
    Override,
    /// A source.
    Source,
    /// A warm-up plan.
    WarmUp,
    /// A verdict, set or lifted by a person.
    Verdict,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    /// Growing.
    pub id: i64,
    /// Microseconds UTC.
    pub at_us: i64,
    /// Who.
    pub who: String,
    /// What kind of thing.
    pub kind: Kind,
    /// Which one; of a verdict `IDENTITY PROVIDER`, of a warm-up `SOURCE PROVIDER`.
    pub name: String,
    /// JSON of what was there; `None`: it is new.
    pub before: Option<String>,
    /// JSON of what is there now; `None`: it was removed.
    pub after: Option<String>,
}

impl Kind {
    /// The word in the database and over REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Override => "override",
            Kind::Source => "source",
            Kind::WarmUp => "warm_up",
            Kind::Verdict => "verdict",
        }
    }

    fn of(word: &str) -> Option<Kind> {
        [Kind::Override, Kind::Source, Kind::WarmUp, Kind::Verdict].into_iter().find(|k| k.as_str() == word)
    }
}

/// The head of a new line.
pub(crate) struct Change<'a> {
    pub(crate) at_us: i64,
    pub(crate) who: &'a str,
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
}

/// Writes a line, which also tells other nodes to read again.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    change: &Change<'_>,
    was: Option<String>,
    becomes: Option<String>,
) -> Result<()> {
    tx.execute(
        "INSERT INTO rule_change (at, who, kind, name, was, becomes) VALUES ($1, $2, $3, $4, $5, $6)",
        &binds![change.at_us, change.who, change.kind.as_str(), change.name, was, becomes],
    )?;
    Ok(())
}

/// Plain structs and lists, which always have a JSON form.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The newest line's id: what a node compares to see whether it has to read again.
pub(crate) fn newest(tx: &mut Tx<'_>) -> Result<i64> {
    tx.query_one("SELECT coalesce(max(id), 0) FROM rule_change", &[], |row| Ok(row.int(0)?))
}

impl Routes {
    /// The newest lines of the history, at most `limit`; `before`: older than this id.
    ///
    /// # Errors
    /// `Store`.
    pub async fn rule_changes(&self, limit: usize, before: Option<i64>) -> Result<Vec<RuleChange>> {
        let limit = limit.min(CHANGES_PAGE_MAX);
        self.store
            .read(move |tx| {
                let sql = "SELECT id, at, who, kind, name, was, becomes FROM rule_change
                           WHERE id < $1 ORDER BY id DESC LIMIT $2";
                tx.query(sql, &binds![before.unwrap_or(i64::MAX), limit], |row| {
                    let kind = Kind::of(row.str(3)?);
                    Ok(RuleChange {
                        id: row.int(0)?,
                        at_us: row.int(1)?,
                        who: row.text(2)?,
                        kind: kind.ok_or_else(|| {
                            Error::rule("rule_change", "kind", "is damaged in the database")
                        })?,
                        name: row.text(4)?,
                        before: row.text_opt(5)?,
                        after: row.text_opt(6)?,
                    })
                })
            })
            .await
    }
}
