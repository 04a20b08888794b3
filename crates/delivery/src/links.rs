//! The links of a content as its author looks at them: each URL once, with its choice.

use content::{CompileOptions, Compiled, LinkFact};
use serde::Serialize;

use crate::Deliveries;
use crate::definition::{Definition, LinkChoice};
use crate::types::{DeliveryId, Error, Result, Sources};

/// One URL of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// As the author wrote it, template tags and all.
    pub url: String,
    /// Name in reports.
    pub label: String,
    /// Group in reports.
    pub category: String,
    /// `tracked`, `untracked`, `opt_out` or `mirror`.
    pub mode: String,
    /// The URL has template tags.
    pub personalised: bool,
    /// How often it stands in the content.
    pub count: usize,
    /// Where it stands first: the part …
    pub part: String,
    /// … the line, from 1 …
    pub line: u32,
    /// … and the column, from 1.
    pub column: u32,
}

impl Deliveries {
    /// The links of the saved content, in order of their first appearance. [`Error::Content`] when it does not compile.
    pub async fn links(&self, id: DeliveryId) -> Result<Vec<Link>> {
        let delivery = self.get(id).await?;
        self.links_of(&delivery.definition, &delivery.sources(), id).await
    }

    /// The same for an edit that is not saved; `id` names the delivery whose files it uses, 0: none.
    pub async fn links_of(&self, definition: &Definition, sources: &Sources, id: DeliveryId) -> Result<Vec<Link>> {
        let files = if id == 0 { Vec::new() } else { self.assets(id).await? };
        let draft = self.draft_of(definition, sources, &files).map_err(Error::Content)?;
        let options = CompileOptions { delivery: 0, ..self.compile_options(id, definition, 0, true).await? };
        let compiled = tokio::task::spawn_blocking(move || content::compile(&draft, &options))
            .await
            .map_err(|panic| Error::Internal(format!("compiling panicked: {panic}")))?
            .map_err(Error::Content)?;
        Ok(listed(&compiled, definition))
    }
}

fn listed(compiled: &Compiled, definition: &Definition) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for fact in &compiled.facts.links {
        if !is_web(&fact.url) {
            continue;
        }
        match links.iter_mut().find(|link| link.url == fact.url) {
            Some(known) => known.count += 1,
            None => links.push(new_link(fact, compiled, definition)),
        }
    }
    links
}

fn is_web(url: &str) -> bool {
    let start = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    start.starts_with("http://") || start.starts_with("https://")
}

fn new_link(fact: &LinkFact, compiled: &Compiled, definition: &Definition) -> Link {
    let tracking = &definition.tracking;
    let usual = LinkChoice {
        url: fact.url.clone(),
        label: String::new(),
        category: String::new(),
        mode: if tracking.clicks { "tracked" } else { "untracked" }.to_owned(),
    };
    let choice = tracking.links.iter().find(|choice| choice.url.trim() == fact.url).unwrap_or(&usual);
    let found = compiled.snapshot.links.iter().find(|link| link.url == fact.url);
    let label = match choice.label.trim() {
        "" => found.map(|link| link.label.clone()).unwrap_or_default(),
        label => label.to_owned(),
    };
    Link {
        url: fact.url.clone(),
        label,
        category: choice.category.clone(),
        mode: choice.mode.clone(),
        personalised: fact.personalised,
        count: 1,
        part: fact.part.clone(),
        line: fact.line,
        column: fact.column,
    }
}
