//! Life of a delivery outside analysis and sending: create, edit, duplicate, list, archive, delete.

use store::{Lane, Tx, Value, binds};
use typology::Level;

use crate::definition::Definition;
use crate::folder::Refusal;
use crate::records::{self, NewDelivery};
use crate::states::{self, By, Event};
use crate::types::{Delivery, DeliveryId, Edit, Error, ListFilter, Purpose, Result, Sources, State, Summary};
use crate::{Deliveries, approval, files, journal, schedule, templates};

/// Largest source of a body, in bytes.
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
        let sources = Sources { html, text, ..Sources::default() };
        self.create_new(New { definition, sources, ..New::default() }).await
    }

    /// Creates a draft, or a template, with everything that an author can give.
    pub async fn create_new(&self, new: New) -> Result<Delivery> {
        new.definition.check()?;
        check_sources(&new.sources)?;
        self.check_accounts(&new.definition.validation, None).await?;
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                if new.is_template {
                    templates::check_name(tx, &new.definition.label, None)?;
                }
                let row = NewDelivery {
                    definition: &new.definition,
                    sources: &new.sources,
                    is_template: new.is_template,
                    by: &new.by,
                    parent: None,
                    proof_no: 0,
                    label: &new.definition.label,
                    origin: new.origin.as_deref(),
                    purpose: Purpose::Delivery,
                    now_us,
                };
                let id = records::insert(tx, &row)?;
                if let Some(other) = new.files_of {
                    files::copy(tx, other, id)?;
                }
                journal::note(tx, id, now_us, Level::Info, "Created")?;
                if !new.is_template && schedule::is_provisional(&new.definition) {
                    states::change(tx, id, Event::Postponed, &By::named(&new.by), "", now_us)?;
                }
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
            let seen = self.get(id).await?.definition.validation;
            self.check_accounts(&definition.validation, Some(&seen)).await?;
        }
        check_sources(&Sources {
            html: edit.html.clone().flatten(),
            text: edit.text.clone().flatten(),
            mjml: edit.mjml.clone().flatten(),
            amp: edit.amp.clone().flatten(),
        })?;
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let mut delivery = records::get(tx, id)?;
                editable(&delivery)?;
                if edit.based_on.is_some_and(|revision| revision != delivery.revision) {
                    return Err(Error::Conflict {
                        id,
                        current: delivery.revision,
                        by: delivery.edited_by,
                        at: delivery.updated_at,
                    });
                }
                let before = (delivery.definition.clone(), delivery.sources());
                apply(&mut delivery, edit);
                // An autosave that changes nothing leaves the analysis and the revision as they are.
                if (&before.0, &before.1) == (&delivery.definition, &delivery.sources()) {
                    return records::get(tx, id);
                }
                if delivery.is_template {
                    templates::check_name(tx, &delivery.definition.label, Some(id))?;
                }
                edited(tx, &delivery, now_us)?;
                records::get(tx, id)
            })
            .await
    }

    /// A new draft with the same content, files, target and parameters. `part_size` goes back to its default, because
    /// it was chosen for one audience. The copy of a template is a template.
    pub async fn duplicate(&self, id: DeliveryId, by: &By) -> Result<Delivery> {
        let source = self.get(id).await?;
        let mut definition = source.definition.clone();
        definition.label = format!("{} (copy)", definition.label);
        forget_occasion(&mut definition);
        self.create_new(New {
            definition,
            sources: source.sources(),
            is_template: source.is_template,
            files_of: Some(id),
            by: by.name.clone(),
            ..New::default()
        })
        .await
    }

    /// Takes a delivery out of the list, or back in.
    pub async fn archive(&self, id: DeliveryId, archived: bool, _by: &By) -> Result<()> {
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
    pub async fn delete(&self, id: DeliveryId, by: &By) -> Result<()> {
        // The run may be over although nobody has noted it yet.
        let live = self.get(id).await?.state;
        let (by, now_us) = (by.clone(), self.now_us());
        let unsent = self
            .store
            .write(Lane::Urgent, move |tx| {
                if !states::lock(tx, id)?.is_final() && live.is_final() {
                    states::follow(tx, id, live, None, now_us)?;
                }
                // The files of what was sent are looked at until their time is over.
                let unsent: Vec<DeliveryId> = tx.query(
                    "SELECT id FROM delivery WHERE (id = $1 OR parent = $1) AND confirmed_at IS NULL",
                    &binds![id],
                    |row| row.int(0).map_err(Error::from),
                )?;
                states::change(tx, id, Event::Deleted, &by, "", now_us)?;
                crate::facts::kept::forget(tx, id)?;
                crate::history::forget(tx, id)?;
                for unsent in &unsent {
                    content::release_assets(tx, content::Owner::Delivery(*unsent))?;
                }
                for proof in proofs_to_delete(tx, id)? {
                    states::change(tx, proof, Event::Deleted, &by, "", now_us)?;
                }
                Ok::<_, Error>(unsent)
            })
            .await?;
        for unsent in unsent {
            self.rooms.audience.delete_guests(unsent, None).await?;
        }
        Ok(())
    }

    /// Gives up a delivery that was not confirmed. It stays in the list, and can be duplicated.
    pub async fn cancel(&self, id: DeliveryId, why: &str, by: &By) -> Result<Delivery> {
        let (by, why, now_us) = (by.clone(), why.trim().to_owned(), self.now_us());
        self.store
            .write(Lane::Urgent, move |tx| {
                sendable(&records::get(tx, id)?)?;
                states::change(tx, id, Event::Cancelled, &by, &why, now_us)?;
                approval::withdraw(tx, id, "it was cancelled", now_us)?;
                let because = if why.is_empty() { String::new() } else { format!(": {why}") };
                journal::note(tx, id, now_us, Level::Info, &format!("Cancelled{}{because}", by.suffix()))
            })
            .await?;
        self.get(id).await
    }

    /// Gives a delivery to another account. For its owner and administrators.
    pub async fn give_to(&self, id: DeliveryId, owner: &str, by: &By) -> Result<Delivery> {
        let (by, owner, now_us) = (by.clone(), owner.trim().to_owned(), self.now_us());
        self.store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let delivery = records::get(tx, id)?;
                if !by.administer && delivery.owner != by.name {
                    return Err(Error::Forbidden(format!(
                        "only {} and administrators may give this delivery to somebody else",
                        owner_words(&delivery)
                    )));
                }
                tx.execute(
                    "UPDATE delivery SET owner = $2, updated_at = $3 WHERE id = $1",
                    &binds![id, owner.as_str(), now_us],
                )?;
                let text = format!("Given to {owner}{}", by.suffix());
                journal::note(tx, id, now_us, Level::Info, &text)
            })
            .await?;
        self.get(id).await
    }
}

/// What is to be created.
#[derive(Debug, Clone)]
pub struct New {
    /// All parameters.
    pub definition: Definition,
    /// The content's texts.
    pub sources: Sources,
    /// A delivery template instead of a delivery.
    pub is_template: bool,
    /// Folder that it is pushed from.
    pub origin: Option<String>,
    /// Who makes it.
    pub by: String,
    /// Use the files of this delivery too.
    pub files_of: Option<DeliveryId>,
}

impl Default for New {
    fn default() -> Self {
        New {
            definition: Definition::new(""),
            sources: Sources::default(),
            is_template: false,
            origin: None,
            by: String::new(),
            files_of: None,
        }
    }
}

/// Drops what was chosen for one audience, or one day.
pub(crate) fn forget_occasion(definition: &mut Definition) {
    definition.parameters.part_size = 0;
    definition.parameters.valid_until = String::new();
}

fn apply(delivery: &mut Delivery, edit: Edit) {
    if let Some(definition) = edit.definition {
        delivery.definition = definition;
    }
    for (given, kept) in [
        (edit.html, &mut delivery.html),
        (edit.text, &mut delivery.text),
        (edit.mjml, &mut delivery.mjml),
        (edit.amp, &mut delivery.amp),
    ] {
        if let Some(source) = given {
            *kept = source;
        }
    }
    delivery.edited_by = edit.by;
}

/// Writes what an author changed: nothing that was analysed or approved before counts any more. The row is locked.
pub(crate) fn edited(tx: &mut Tx<'_>, delivery: &Delivery, now_us: i64) -> Result<()> {
    let (id, by) = (delivery.id, By::named(&delivery.edited_by));
    let provisional = !delivery.is_template && schedule::is_provisional(&delivery.definition);
    states::change(tx, id, if provisional { Event::Postponed } else { Event::Edited }, &by, "", now_us)?;
    let why = if by.is_system() { "it was edited".to_owned() } else { format!("{} edited it", by.name) };
    approval::withdraw(tx, id, &why, now_us)?;
    records::update_content(tx, delivery, now_us)
}

/// Its owner's name, or words for nobody.
pub(crate) fn owner_words(delivery: &Delivery) -> String {
    if delivery.owner.is_empty() { "its owner".to_owned() } else { format!("its owner {}", delivery.owner) }
}

fn proofs_to_delete(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<DeliveryId>> {
    let proofs: Vec<(DeliveryId, String)> = tx.query(
        "SELECT id, state FROM delivery WHERE parent = $1 AND state <> 'deleted'",
        &binds![id],
        |row| Ok::<_, Error>((row.int(0)?, row.text(1)?)),
    )?;
    let can =
        |state: &str| State::parse(state).and_then(|state| states::next(state, Event::Deleted)).is_some();
    Ok(proofs.into_iter().filter(|(_, state)| can(state)).map(|(proof, _)| proof).collect())
}

/// [`Error::State`] unless the author may change it now.
pub(crate) fn editable(delivery: &Delivery) -> Result<()> {
    let reason = match delivery.state {
        _ if delivery.parent.is_some() => "a proof cannot be edited: edit the delivery and send a new proof",
        state if states::next(state, Event::Edited).is_some() => return Ok(()),
        state => return Err(states::refused(delivery.id, state, Event::Edited)),
    };
    Err(Error::State { id: delivery.id, state: delivery.state, reason: reason.into() })
}

/// [`Error::State`] for a template.
pub(crate) fn sendable(delivery: &Delivery) -> Result<()> {
    if !delivery.is_template {
        return Ok(());
    }
    let reason = "it is a template: make a delivery from it".into();
    Err(Error::State { id: delivery.id, state: delivery.state, reason })
}

fn check_sources(sources: &Sources) -> Result<()> {
    let named =
        [("html", &sources.html), ("text", &sources.text), ("mjml", &sources.mjml), ("amp", &sources.amp)];
    for (field, source) in named {
        if source.as_ref().is_some_and(|source| source.len() > SOURCE_LEN_MAX) {
            let limit = SOURCE_LEN_MAX >> 20;
            return Err(Refusal::new(field, format!("is larger than {limit} MB")).into());
        }
        // PostgreSQL keeps no such text, and no mail can carry it.
        if let Some((before, _)) = source.as_deref().and_then(|source| source.split_once('\0')) {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            return Err(Refusal {
                line: u32::try_from(line).ok(),
                column: u32::try_from(column).ok(),
                ..Refusal::new(field, "has a NUL character (U+0000): the file may not be text, or not UTF-8")
            }
            .into());
        }
    }
    Ok(())
}

fn list_tail(filter: &ListFilter) -> (String, Vec<Value>) {
    let mut binds = Vec::new();
    let mut tail = String::from("WHERE state <> 'deleted' AND purpose = ''");
    let mut bind = |value: Value| {
        binds.push(value);
        format!("${}", binds.len())
    };
    match filter.proofs_of {
        Some(parent) => tail.push_str(&format!(" AND parent = {}", bind(parent.into()))),
        None => {
            tail.push_str(&format!(
                " AND parent IS NULL AND archived = {} AND is_template = {}",
                bind(filter.archived.into()),
                bind(filter.templates.into())
            ));
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

/// A text in which LIKE finds no wildcard, with `!` as the escape.
pub(crate) fn escape_like(text: &str) -> String {
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
        assert_eq!(binds[2], Value::Text("%50!%!_off!!%".into()));
        assert_eq!(binds[3], Value::Int(7));
    }
}
