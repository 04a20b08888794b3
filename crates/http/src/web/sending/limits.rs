//! Limits: what holds at each receiver, who said so, and the form that changes it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use routes::{Explained, Origin, Providers, SiteRules, StoredOverride};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, done, show},
        texts,
    },
    changes::{ChangeRow, of_name},
    fields::{FIELDS, Field, Shape, shown, typed},
    refused::{Refused, answer},
};
use crate::{acts::Told, state::AppState};

/// Where the pages are.
const HOME: &str = "/sending/limits";
/// Names under which rules stand that are no receiver's.
pub(super) const GENERAL: [&str; 2] = ["default", "unknown"];

/// A line of the table.
struct Row {
    name: String,
    label: String,
    connections: i64,
    per_connection: i64,
    rates: String,
    tls: String,
    adaptive: bool,
    changed: Option<StoredOverride>,
    in_file: bool,
}

impl Row {
    fn of(name: &str, providers: &Providers, overrides: &[StoredOverride]) -> Row {
        let (rules, explained) = holding(name, providers);
        Row {
            label: label(name, providers),
            connections: i64::from(rules.connections),
            per_connection: i64::from(rules.messages_per_connection),
            rates: words(&rules),
            tls: shown(&rules, "tls"),
            adaptive: rules.adaptive,
            changed: overrides.iter().find(|stored| stored.name == name).cloned(),
            in_file: explained.iter().any(|one| one.origin == Origin::File),
            name: name.to_owned(),
        }
    }
}

/// What holds under a name, and who said so.
fn holding(name: &str, providers: &Providers) -> (Arc<SiteRules>, Vec<Explained>) {
    match name.split_once('@') {
        Some((site, source)) => (providers.rules_from(site, source), providers.explained(site, Some(source))),
        // What the table says of known providers is nobody's site: who changed it is seen by its own override alone.
        None if name == GENERAL[0] => (Arc::new(providers.default_rules().clone()), Vec::new()),
        None => (providers.rules_of(name), providers.explained(name, None)),
    }
}

/// A receiver's name for people.
pub(super) fn label(name: &str, providers: &Providers) -> String {
    if GENERAL.contains(&name) {
        return texts::pick("limits-for", name);
    }
    if texts::exists(&format!("provider-{}", name.replace('_', "-"))) {
        return texts::pick("provider", name);
    }
    providers.label_of(name).to_owned()
}

/// The message rates, as one reads them.
fn words(rules: &SiteRules) -> String {
    let rates: Vec<String> = rules.message_rates.iter().map(ToString::to_string).collect();
    if rates.is_empty() { texts::text("limits-no-rate") } else { rates.join(", ") }
}

#[derive(Template)]
#[template(path = "sending_limits.html")]
struct LimitsPage {
    page: Page,
    general: Vec<Row>,
    rows: Vec<Row>,
    by_source: Vec<StoredOverride>,
    file_error: String,
    search: String,
    refused: Refused,
}

/// `?q` is part of a name.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    name: String,
}

async fn build(desk: &Desk, state: &AppState, search: &str, refused: Refused) -> Result<LimitsPage, Fault> {
    let rules = state.routes.rules();
    let overrides = state.routes.overrides().await?;
    let providers = &rules.providers;
    let row = |name: &str| Row::of(name, providers, &overrides);
    let known = providers.list().iter().map(|provider| row(&provider.name));
    let own = providers.own_sites().map(|(name, _)| row(name));
    let wanted = search.trim().to_lowercase();
    let fits = |row: &Row| row.name.contains(&wanted) || row.label.to_lowercase().contains(&wanted);
    Ok(LimitsPage {
        page: desk.page(Place::Limits),
        general: GENERAL.iter().map(|name| row(name)).collect(),
        rows: own.chain(known).filter(fits).collect(),
        by_source: overrides.iter().filter(|stored| stored.name.contains('@')).cloned().collect(),
        file_error: rules.file_error.clone().unwrap_or_default(),
        search: search.trim().to_owned(),
        refused,
    })
}

/// `GET /sending/limits`; with `?name` it goes to the form of that receiver.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let name = asked.name.trim().to_lowercase();
    if name.is_empty() {
        return show(&build(&desk, &state, &asked.q, Refused::default()).await?);
    }
    if is_name(&name) {
        return Ok(Redirect::to(&at(&name)).into_response());
    }
    let refused = Refused::new("name", texts::text("limits-name-refused"));
    let page = async |refused| build(&desk, &state, "", refused).await;
    answer(Err(refused), (HOME, ""), page).await
}

/// Whether rules can stand under a name: a receiver's, or `SITE@SOURCE` with masks. The room below looks closer.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*?@".contains(&byte);
    (1..=253).contains(&name.len()) && name.bytes().all(fits)
}

fn at(name: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("{HOME}/{name}")
}

/// A field of the form.
struct Input {
    field: &'static Field,
    /// What the override says; empty: it says nothing.
    value: String,
    /// What holds.
    holds: String,
    /// Who said so.
    from: String,
    problem: bool,
}

#[derive(Template)]
#[template(path = "sending_limit.html")]
struct LimitPage {
    page: Page,
    name: String,
    label: String,
    action: String,
    site: Option<String>,
    groups: Vec<(&'static str, Vec<Input>)>,
    changed: Option<StoredOverride>,
    changes: Vec<ChangeRow>,
    refused: Refused,
}

/// Where a value comes from, in words.
fn from(explained: &[Explained], field: &str) -> String {
    let origin = explained.iter().find(|one| one.field == field).map(|one| &one.origin);
    match origin {
        None | Some(Origin::Shipped) => texts::text("limits-from-shipped"),
        Some(Origin::Setting) => texts::text("limits-from-setting"),
        Some(Origin::File) => texts::text("limits-from-file"),
        Some(Origin::Override { who, .. }) => texts::text_s("limits-from-person", who),
    }
}

/// What an override says about a field; empty: nothing.
fn kept_field(own: Option<&Value>, field: &Field) -> String {
    own.map(|own| typed(&own[field.name])).unwrap_or_default()
}

async fn form_page(
    desk: &Desk,
    state: &AppState,
    name: &str,
    sent: Option<&Form>,
    refused: Refused,
) -> Result<LimitPage, Fault> {
    let rules = state.routes.rules();
    let providers = &rules.providers;
    let overrides = state.routes.overrides().await?;
    let changed = overrides.into_iter().find(|stored| stored.name == name);
    let own = changed.as_ref().and_then(|stored| serde_json::to_value(&stored.rules).ok());
    let (site, source) = match name.split_once('@') {
        Some((site, source)) => (site, Some(source)),
        None => (name, None),
    };
    let (holding, explained) = holding(name, providers);
    let is_listed = providers.by_name(site).is_some();
    let input = |field: &'static Field| {
        let kept = kept_field(own.as_ref(), field);
        let holds = match (field.shape, providers.by_name(site)) {
            (Shape::Masks, Some(provider)) if field.name == "mx" => provider.mx().join(" "),
            (Shape::Masks, Some(provider)) => provider.domains().join(" "),
            (Shape::Masks | Shape::Text, _) => String::new(),
            _ => shown(&holding, field.name),
        };
        Input {
            value: sent.map_or(kept, |form| form.get(field.name).to_owned()),
            holds,
            from: match changed.as_ref().filter(|_| !kept_field(own.as_ref(), field).is_empty()) {
                Some(stored) => texts::text_s("limits-from-person", &stored.who),
                None => from(&explained, field.name),
            },
            problem: refused.at == field.name,
            field,
        }
    };
    // Which domains belong to a receiver is said where it is named, not for one source.
    let wanted = |field: &&Field| field.group != "who" || (source.is_none() && !GENERAL.contains(&name));
    let mut groups: Vec<(&'static str, Vec<Input>)> = Vec::new();
    for field in FIELDS.iter().filter(wanted) {
        match groups.iter_mut().find(|(group, _)| *group == field.group) {
            Some((_, inputs)) => inputs.push(input(field)),
            None => groups.push((field.group, vec![input(field)])),
        }
    }
    Ok(LimitPage {
        page: desk.page(Place::Limits),
        label: label(name, providers),
        action: at(name),
        site: (source.is_none() && (is_listed || name.contains('.'))).then(|| name.to_owned()),
        groups,
        changed,
        changes: of_name(state, routes::Kind::Override, name).await?,
        refused,
        name: name.to_owned(),
    })
}

/// `GET /sending/limits/{name}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let name = name.to_lowercase();
    if !is_name(&name) {
        return Err(Fault::not_found("receiver"));
    }
    show(&form_page(&desk, &state, &name, None, Refused::default()).await?)
}

/// What the form says, as the change of an override: an empty field takes the change back.
fn patch(form: &Form) -> Result<Map<String, Value>, Refused> {
    let mut patch = Map::new();
    for field in FIELDS {
        // A field that the form does not have stays as it is.
        if form.pairs().iter().any(|(name, _)| name == field.name) {
            patch.insert(field.name.to_owned(), field.read(form.get(field.name))?);
        }
    }
    Ok(patch)
}

/// `POST /sending/limits/{name}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let name = name.to_lowercase();
    let kept = match patch(&form) {
        Ok(patch) => {
            let (who, now_us) = (&desk.viewer.name, state.clock.now_us());
            let put = state.routes.patch_override(&name, patch, who, now_us).await;
            Refused::unless(put, |field| texts::pick("limit-field", field))?.map(|_| Told::about(&name))
        }
        Err(refused) => Err(refused),
    };
    let page = async |refused| form_page(&desk, &state, &name, Some(&form), refused).await;
    let form_of = at(&name);
    answer(kept, (form_of.as_str(), "saved"), page).await
}

/// `POST /sending/limits/{name}/reset`: what people changed is taken back.
pub async fn reset(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    state.routes.remove_override(&name, &desk.viewer.name, state.clock.now_us()).await?;
    let providers = state.routes.providers();
    let stays = GENERAL.contains(&name.as_str()) || providers.by_name(&name).is_some();
    Ok(done(&if stays { at(&name) } else { HOME.to_owned() }, "reset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_field_takes_a_change_back_and_one_that_is_not_there_stays() {
        let form = Form::of(&[("connections", "7"), ("message_rates", ""), ("tls", "required")]);
        let patch = patch(&form).unwrap();
        assert_eq!(
            Value::Object(patch),
            serde_json::json!({"connections": 7, "message_rates": null, "tls": "required"})
        );
    }

    #[test]
    fn what_is_no_number_is_refused_at_its_field() {
        let refused = patch(&Form::of(&[("connections", "many")])).unwrap_err();
        assert_eq!(refused.at, "connections");
        assert!(refused.why.contains(&texts::pick("limit-field", "connections")), "{}", refused.why);
    }

    #[test]
    fn names_are_of_receivers_and_sources() {
        for name in ["google", "shop.example", "google@mta-*", "unknown"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a/b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
