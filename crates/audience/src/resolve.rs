//! From a filter that names segments to one that stands alone: each name's filter is put in its place.
//!
//! Names are looked up when a segment is saved and again when it is used, because lists and segments come and go in between. What
//! is not there, and a ring, is said by name; nobody is ever taken for "everybody" or "nobody" by a missing name.

use store::{Tx, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::filter::{Filter, Named, Value};
use crate::limits::{FILTER_EXPANDED_MAX, FILTER_EXPANDED_VALUES_MAX};

impl Audience {
    /// The same filter with the filter of each named segment in its place.
    ///
    /// # Errors
    /// A list or segment that does not exist, by its name and the name of the segment that names it; segments that name each
    /// other, by the ring; more than [`FILTER_EXPANDED_MAX`] conditions in all.
    pub async fn resolve(&self, filter: &Filter) -> Result<Filter> {
        let filter = filter.clone();
        self.store.read(move |tx| resolve(tx, &filter, None)).await
    }
}

/// See [`Audience::resolve`]. `name` is that of the segment whose filter it is, where it is one.
pub(crate) fn resolve(tx: &mut Tx<'_>, filter: &Filter, name: Option<&str>) -> Result<Filter> {
    let mut resolver =
        Resolver { tx, path: name.map(str::to_owned).into_iter().collect(), nodes: 0, values: 0 };
    resolver.filter(filter)
}

struct Resolver<'a, 'c> {
    tx: &'a mut Tx<'c>,
    /// The segments whose filters the one at hand stands in, the outermost first.
    path: Vec<String>,
    nodes: usize,
    values: usize,
}

impl Resolver<'_, '_> {
    fn filter(&mut self, filter: &Filter) -> Result<Filter> {
        self.nodes += 1;
        if let Filter::Condition(condition) = filter
            && let Value::Many(all) = &condition.value
        {
            self.values += all.len();
        }
        if self.nodes > FILTER_EXPANDED_MAX || self.values > FILTER_EXPANDED_VALUES_MAX {
            return Err(Error::invalid(
                "filter",
                format!(
                    "with the segments it names it has more than {FILTER_EXPANDED_MAX} conditions or \
                     {FILTER_EXPANDED_VALUES_MAX} values; name fewer segments"
                ),
            ));
        }
        match filter {
            Filter::And(parts) => self.all(parts).map(Filter::And),
            Filter::Or(parts) => self.all(parts).map(Filter::Or),
            Filter::Not(part) => Ok(Filter::Not(Box::new(self.filter(part)?))),
            Filter::InSegment(name) => self.segment(name),
            Filter::InList(name) => {
                let known = crate::lists::id_of(self.tx, name)?;
                known.map(|_| filter.clone()).ok_or_else(|| self.missing(Named::List(name)))
            }
            Filter::Condition(_) => Ok(filter.clone()),
        }
    }

    fn all(&mut self, parts: &[Filter]) -> Result<Vec<Filter>> {
        parts.iter().map(|part| self.filter(part)).collect()
    }

    fn segment(&mut self, name: &str) -> Result<Filter> {
        if let Some(at) = self.path.iter().position(|outer| outer == name) {
            let ring: Vec<String> = self.path[at..].iter().map(|name| format!("{name:?}")).collect();
            return Err(Error::invalid(
                "filter",
                format!(
                    "segments name each other in a ring: {} -> {name:?}; take one of these names out of its filter",
                    ring.join(" -> ")
                ),
            ));
        }
        let sql = "SELECT filter FROM segment WHERE name = $1";
        let text = self.tx.query_opt(sql, &binds![name], |row| Ok::<_, Error>(row.text(0)?))?;
        let text = text.ok_or_else(|| self.missing(Named::Segment(name)))?;
        self.path.push(name.to_owned());
        let inner = self.filter(&Filter::parse_text(&text)?)?;
        self.path.pop();
        Ok(inner)
    }

    fn missing(&self, named: Named<'_>) -> Error {
        let by = match self.path.last() {
            Some(name) => format!(" (the segment {name:?} names it)"),
            None => String::new(),
        };
        Error::invalid(
            "filter",
            format!(
                "{} does not exist{by}; create it again or take the name out of the filter",
                named.words()
            ),
        )
    }
}
