//! Delivery templates: rows of their own kind, which carry every property of a delivery and are never sent. What an
//! author says of a delivery stands over what its template says.

use serde_json::Value;
use store::{Tx, binds};

use crate::definition::Definition;
use crate::folder::{self, Refusal};
use crate::life::{LIST_LIMIT, escape_like, forget_occasion};
use crate::types::{Delivery, DeliveryId, Error, ListFilter, Result, Sources, Summary};
use crate::{Deliveries, New, records};

/// Longest name of a template, in characters.
pub const NAME_CHARS_MAX: usize = 120;

impl Deliveries {
    /// The templates, newest first.
    pub async fn templates(&self, filter: ListFilter) -> Result<Vec<Summary>> {
        self.have_starters().await?;
        self.list(ListFilter { templates: true, ..filter }).await
    }

    /// The template of that name.
    pub async fn template(&self, name: &str) -> Result<Option<Delivery>> {
        self.have_starters().await?;
        self.stored_template(name).await
    }

    pub(crate) async fn stored_template(&self, name: &str) -> Result<Option<Delivery>> {
        let name = name.trim().to_owned();
        self.store
            .read(move |tx| {
                let id = id_of(tx, &name)?;
                id.map(|id| records::get(tx, id)).transpose()
            })
            .await
    }

    /// A new draft with everything that the template says, under a label of its own.
    pub async fn create_from_template(&self, name: &str, label: &str, by: &str) -> Result<Delivery> {
        let own = serde_json::json!({ "label": label, "template": name });
        self.create_over(own, Sources::default(), by).await
    }

    /// A new draft of what `own` (the JSON of a [`Definition`], as far as it goes) says. Where it names a template, that
    /// gives what `own` and `given` leave out.
    pub async fn create_over(&self, own: Value, given: Sources, by: &str) -> Result<Delivery> {
        let name = own.get("template").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let refused = |error: serde_json::Error| Refusal::new("definition", error.to_string());
        let mut new = New { by: by.to_owned(), ..New::default() };
        if name.is_empty() {
            new.definition = serde_json::from_value::<Definition>(own).map_err(refused)?;
            new.sources = given;
        } else {
            let template = self.needed_template(&name).await?;
            new.definition = folder::over_template(&started_from(&template), own)?;
            new.sources = sources_over(&template, given);
            new.files_of = Some(template.id);
        }
        self.create_new(new).await
    }

    /// Keeps a delivery as a template of that name: content, files, parameters and target.
    pub async fn save_as_template(&self, id: DeliveryId, name: &str, by: &str) -> Result<Delivery> {
        self.have_starters().await?;
        let source = self.get(id).await?;
        let mut definition = source.definition.clone();
        definition.label = name.trim().to_owned();
        definition.template = String::new();
        forget_occasion(&mut definition);
        self.create_new(New {
            definition,
            sources: source.sources(),
            is_template: true,
            files_of: Some(id),
            by: by.to_owned(),
            ..New::default()
        })
        .await
    }

    /// Drafts and templates whose content seems to include the block of that name, newest first: those that a change of
    /// the block changes. At most 50.
    pub async fn with_block(&self, name: &str) -> Result<Vec<Summary>> {
        let quoted = [format!("%\"{}\"%", escape_like(name)), format!("%'{}'%", escape_like(name))];
        let columns = ["html", "body_text", "mjml", "amp"];
        let named: Vec<_> = columns
            .iter()
            .map(|column| format!("{column} LIKE $1 ESCAPE '!' OR {column} LIKE $2 ESCAPE '!'"))
            .collect();
        let tail = format!(
            "WHERE parent IS NULL AND state IN ('draft', 'ready', 'failed', 'targeting_pending') AND ({}) \
             ORDER BY id DESC LIMIT {LIST_LIMIT}",
            named.join(" OR ")
        );
        let [double, single] = quoted;
        self.store.read(move |tx| records::summaries(tx, &tail, &binds![double, single])).await
    }

    pub(crate) async fn needed_template(&self, name: &str) -> Result<Delivery> {
        let found = self.template(name).await?;
        Ok(found.ok_or_else(|| {
            Refusal::new("template", format!("there is no delivery template named {name:?}"))
        })?)
    }
}

/// What a delivery takes over: all but what was for the template itself.
pub(crate) fn started_from(template: &Delivery) -> Definition {
    let mut definition = template.definition.clone();
    forget_occasion(&mut definition);
    definition
}

/// An author who gives a body replaces the template's; the text of another body would say something else.
pub(crate) fn sources_over(template: &Delivery, given: Sources) -> Sources {
    if given.html.is_some() || given.mjml.is_some() {
        return given;
    }
    let base = template.sources();
    Sources { html: base.html, mjml: base.mjml, text: given.text.or(base.text), amp: given.amp.or(base.amp) }
}

fn id_of(tx: &mut Tx<'_>, name: &str) -> Result<Option<DeliveryId>> {
    tx.query_opt(
        "SELECT id FROM delivery WHERE is_template = 1 AND label = $1 AND state <> 'deleted' ORDER BY id LIMIT 1",
        &binds![name],
        |row| row.int(0).map_err(Error::from),
    )
}

/// Refuses a name that another template has: `template = "…"` must say which.
pub(crate) fn check_name(tx: &mut Tx<'_>, name: &str, own: Option<DeliveryId>) -> Result<()> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        let text = format!("a template's name has 1 to {NAME_CHARS_MAX} characters");
        return Err(Refusal::new("label", text).into());
    }
    match id_of(tx, name)? {
        Some(id) if Some(id) != own => {
            Err(Refusal::new("label", format!("there is a delivery template named {name:?} already")).into())
        }
        _ => Ok(()),
    }
}
