//! Life of a delivery outside analysis and sending: create, edit, duplicate, list, archive, delete, push.

use store::{Lane, Value, binds};
use typology::Level;

use crate::definition::Definition;
use crate::folder::{self, Files, Refusal};
use crate::records::{self, NewDelivery};
use crate::types::{Delivery, DeliveryId, Edit, Error, ListFilter, Result, State, Summary};
use crate::{Deliveries, journal};

/// Largest HTML or text source, in bytes.
pub const SOURCE_LEN_MAX: usize = 2 << 20;
/// Lines of a list, unless the caller asks for fewer.
pub const LIST_LIMIT: usize = 50;
/// Most lines of a list in one answer.
pub const LIST_LIMIT_MAX: usize = 500;

impl Deliveries {
    /// Creates a draft.
    pub async fn create(
        &self,
        definition: Definition,
        html: Option<String>,
        text: Option<String>,
    ) -> Result<Delivery> {
        self.create_from(definition, html, text, None).await
    }

    async fn create_from(
        &self,
        definition: Definition,
        html: Option<String>,
        text: Option<String>,
        origin: Option<String>,
    ) -> Result<Delivery> {
        definition.check()?;
        check_sources(html.as_deref(), text.as_deref())?;
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                let new = NewDelivery {
                    definition: &definition,
                    html: html.as_deref(),
                    text: text.as_deref(),
                    parent: None,
                    proof_no: 0,
                    label: &definition.label,
                    origin: origin.as_deref(),
                    now_us,
                };
                let id = records::insert(tx, &new)?;
                journal::note(tx, id, now_us, Level::Info, "Created")?;
                records::get(tx, id)
            })
            .await
    }

    /// One delivery. [`Error::NotFound`] also for a deleted one.
    pub async fn get(&self, id: DeliveryId) -> Result<Delivery> {
        let mut delivery = self.store.read(move |tx| records::get(tx, id)).await?;
        delivery.state = self.live_state(id, delivery.state).await?;
        Ok(delivery)
    }

    /// Deliveries, newest first.
    pub async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>> {
        let mut found = self
            .store
            .read(move |tx| {
                let (tail, binds) = list_tail(&filter);
                records::summaries(tx, &tail, &binds)
            })
            .await?;
        for summary in &mut found {
            summary.state = self.live_state(summary.id, summary.state).await?;
        }
        Ok(found)
    }

    /// Saves an edit. Whatever was analysed before is out of date from now on.
    pub async fn edit(&self, id: DeliveryId, edit: Edit) -> Result<Delivery> {
        if let Some(definition) = &edit.definition {
            definition.check()?;
        }
        check_sources(
            edit.html.as_ref().and_then(|h| h.as_deref()),
            edit.text.as_ref().and_then(|t| t.as_deref()),
        )?;
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                let mut delivery = records::get(tx, id)?;
                editable(&delivery)?;
                if edit.based_on.is_some_and(|revision| revision != delivery.revision) {
                    return Err(Error::Conflict { id, current: delivery.revision });
                }
                if let Some(definition) = edit.definition {
                    delivery.definition = definition;
                }
                if let Some(html) = edit.html {
                    delivery.html = html;
                }
                if let Some(text) = edit.text {
                    delivery.text = text;
                }
                records::update_content(tx, &delivery, now_us)?;
                records::get(tx, id)
            })
            .await
    }

    /// A new draft with the same content, target and parameters. `part_size` goes back to its default, because
    /// it was chosen for one audience.
    pub async fn duplicate(&self, id: DeliveryId) -> Result<Delivery> {
        let source = self.get(id).await?;
        let mut definition = source.definition;
        definition.label = format!("{} (copy)", definition.label);
        definition.parameters.part_size = 0;
        if !definition.parameters.valid_until.is_empty() {
            definition.parameters.valid_until = String::new();
        }
        self.create(definition, source.html, source.text).await
    }

    /// Takes a delivery out of the list, or back in.
    pub async fn archive(&self, id: DeliveryId, archived: bool) -> Result<()> {
        let now_us = self.now_us();
        self.get(id).await?;
        self.store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "UPDATE delivery SET archived = $2, updated_at = $3 WHERE id = $1 OR parent = $1",
                    &binds![id, archived, now_us],
                )?;
                Ok(())
            })
            .await
    }

    /// Deletes a delivery. One that is being sent must be stopped first; the log of one that was sent stays
    /// until its rows are purged by age.
    pub async fn delete(&self, id: DeliveryId) -> Result<()> {
        let delivery = self.get(id).await?;
        if delivery.state.is_active() || delivery.state == State::Analysing {
            let reason = match delivery.state {
                State::Analysing => "stop its analysis before you delete it",
                _ => "stop it before you delete it",
            };
            return Err(Error::State { id, state: delivery.state, reason: reason.into() });
        }
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "UPDATE delivery SET state = 'deleted', updated_at = $2 WHERE id = $1 OR \
                     (parent = $1 AND state IN ('draft', 'ready', 'failed', 'finished', 'stopped', 'cancelled'))",
                    &binds![id, now_us],
                )?;
                Ok(())
            })
            .await
    }

    /// Creates a draft from a folder, or updates the one that was pushed from `origin` before and is not
    /// confirmed yet.
    pub async fn push(&self, origin: &str, files: Files) -> Result<Delivery> {
        let definition = folder::parse(&files.toml)?;
        if files.html.is_none() && files.text.is_none() {
            return Err(Refusal::new(
                "content",
                format!("the folder has neither {} nor {}", definition.content.html, definition.content.text),
            )
            .into());
        }
        let key = origin.to_owned();
        let existing = self.store.read(move |tx| records::by_origin(tx, &key)).await?;
        match existing {
            None => self.create_from(definition, files.html, files.text, Some(origin.to_owned())).await,
            Some(delivery) if unchanged(&delivery, &definition, &files) => self.get(delivery.id).await,
            Some(delivery) => {
                let edit = Edit {
                    definition: Some(definition),
                    html: Some(files.html),
                    text: Some(files.text),
                    based_on: None,
                };
                self.edit(delivery.id, edit).await
            }
        }
    }

    /// Marks analyses that a crash interrupted, so that they can be started again. Call once at start.
    pub async fn recover(&self) -> Result<()> {
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                let interrupted: Vec<DeliveryId> =
                    tx.query("SELECT id FROM delivery WHERE state = 'analysing'", &[], |row| {
                        row.int(0).map_err(Error::from)
                    })?;
                for id in interrupted {
                    records::set_state(tx, id, State::Draft, now_us)?;
                    let text = "The server stopped during the analysis. Nothing was sent; analyse it again.";
                    journal::note(tx, id, now_us, Level::Warning, text)?;
                }
                Ok(())
            })
            .await
    }
}

fn unchanged(delivery: &Delivery, definition: &Definition, files: &Files) -> bool {
    delivery.definition == *definition && delivery.html == files.html && delivery.text == files.text
}

/// [`Error::State`] unless the author may change it now.
pub(crate) fn editable(delivery: &Delivery) -> Result<()> {
    let reason = match delivery.state {
        _ if delivery.parent.is_some() => "a proof cannot be edited: edit the delivery and send a new proof",
        state if state.is_editable() => return Ok(()),
        State::Analysing => "stop its analysis before you edit it",
        state if state.is_final() => "it is over: duplicate it to send again",
        _ => "its content is frozen since it was confirmed",
    };
    Err(Error::State { id: delivery.id, state: delivery.state, reason: reason.into() })
}

fn check_sources(html: Option<&str>, text: Option<&str>) -> Result<()> {
    for (field, source) in [("html", html), ("text", text)] {
        if source.is_some_and(|source| source.len() > SOURCE_LEN_MAX) {
            let limit = SOURCE_LEN_MAX >> 20;
            return Err(Refusal::new(field, format!("is larger than {limit} MB")).into());
        }
    }
    Ok(())
}

fn list_tail(filter: &ListFilter) -> (String, Vec<Value>) {
    let mut binds = Vec::new();
    let mut tail = String::from("WHERE state <> 'deleted'");
    let mut bind = |value: Value| {
        binds.push(value);
        format!("${}", binds.len())
    };
    match filter.proofs_of {
        Some(parent) => tail.push_str(&format!(" AND parent = {}", bind(parent.into()))),
        None => {
            tail.push_str(&format!(" AND parent IS NULL AND archived = {}", bind(filter.archived.into())))
        }
    }
    if !filter.search.trim().is_empty() {
        let pattern = format!("%{}%", escape_like(&filter.search.trim().to_lowercase()));
        let place = bind(pattern.into());
        tail.push_str(&format!(
            " AND (lower(label) LIKE {place} ESCAPE '!' OR lower(code) LIKE {place} ESCAPE '!')"
        ));
    }
    if !filter.states.is_empty() {
        let places: Vec<_> = filter.states.iter().map(|state| bind(state.as_str().into())).collect();
        tail.push_str(&format!(" AND state IN ({})", places.join(", ")));
    }
    if let Some(before) = filter.before {
        tail.push_str(&format!(" AND id < {}", bind(before.into())));
    }
    let limit = if filter.limit == 0 { LIST_LIMIT } else { filter.limit.min(LIST_LIMIT_MAX) };
    tail.push_str(&format!(" ORDER BY id DESC LIMIT {limit}"));
    (tail, binds)
}

fn escape_like(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '%' | '_' | '!').then_some('!').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_bound_and_its_wildcards_are_literal() {
        let filter = ListFilter { search: "50%_off!".into(), before: Some(7), ..ListFilter::default() };
        let (tail, binds) = list_tail(&filter);
        assert!(!tail.contains("off"));
        assert_eq!(binds[1], Value::Text("%50!%!_off!!%".into()));
        assert_eq!(binds[2], Value::Int(7));
    }
}
