//! `/shaping`: the rules under which each site is sent to, who set them, and changes of them.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use routes::{Explained, Kind, Origin, Provider, Rules, SiteRules};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    body::{Body, Params},
    page::{PageParams, page},
    shape::{id, time},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/shaping", get(standing))
        .route("/shaping/sites", get(list))
        .route("/shaping/sites/{name}", get(view).patch(change).delete(restore))
        .route("/shaping/changes", get(changes))
}

/// Rules as the table writes them: rates as texts, 0 for "no limit".
pub fn rules_json(rules: &SiteRules) -> Value {
    let mut json = json!(rules);
    json["connections_all"] = json!(rules.connections_all.unwrap_or(0));
    json
}

fn origin_json(origin: &Origin) -> Value {
    match origin {
        Origin::Shipped => json!({"from": "shipped"}),
        Origin::Setting => json!({"from": "setting"}),
        Origin::File => json!({"from": "file"}),
        Origin::Override { who, at_us } => json!({"from": "override", "by": who, "at": time(*at_us)}),
    }
}

fn origins_json(explained: &[Explained]) -> Value {
    explained.iter().map(|one| (one.field.clone(), origin_json(&one.origin))).collect::<Map<_, _>>().into()
}

fn provider_json(provider: &Provider) -> Value {
    json!({
        "name": provider.name,
        "label": provider.label,
        "provider": true,
        "mx": provider.mx(),
        "domains": provider.domains(),
        "rules": rules_json(provider.rules()),
    })
}

fn site_json(name: &str, rules: &SiteRules) -> Value {
    json!({"name": name, "label": name, "provider": false, "mx": [], "domains": [], "rules": rules_json(rules)})
}

/// Every site that somebody wrote rules for: providers in the order in which they are looked through, then others.
fn sites(rules: &Rules) -> Vec<Value> {
    let providers = rules.providers.list().iter().map(provider_json);
    providers.chain(rules.providers.own_sites().map(|(name, own)| site_json(name, own))).collect()
}

async fn standing(State(state): State<AppState>) -> Json<Value> {
    let rules = state.routes.rules();
    Json(json!({
        "generation": rules.generation,
        "file_error": rules.file_error,
        "default": rules_json(rules.providers.default_rules()),
        "unknown": rules_json(&rules.providers.unknown_rules()),
        "providers": rules.providers.list().len(),
        "sources": rules.sources.len(),
    }))
}

/// A few dozen, so they come in one answer.
async fn list(State(state): State<AppState>) -> Json<Value> {
    Json(page("sites", sites(&state.routes.rules()), None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    /// The rules as they hold from this source.
    source: Option<String>,
}

async fn view(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Params(from): Params<From>,
) -> Answer<Json<Value>> {
    let rules = state.routes.rules();
    let providers = &rules.providers;
    let mut document = match providers.by_name(&name) {
        Some(provider) => provider_json(provider),
        None => site_json(&name, &providers.rules_of(&name)),
    };
    if let Some(source) = &from.source {
        document["rules"] = rules_json(&providers.rules_from(&name, source));
    }
    document["set_by"] = origins_json(&providers.explained(&name, from.source.as_deref()));
    let stored = state.routes.overrides().await?;
    let own = stored.iter().find(|stored| stored.name == name);
    document["override"] =
        own.map_or(Value::Null, |own| json!({"rules": own.rules, "by": own.who, "at": time(own.at_us)}));
    Ok(Json(document))
}

/// A field sets it, null takes the change back. With `mx` or `domains` a new name becomes a provider.
async fn change(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(patch): Body<Map<String, Value>>,
) -> Answer<Json<Value>> {
    state.routes.patch_override(&name, patch, &caller.name, state.clock.now_us()).await?;
    view(State(state), Path(name), Params(From { source: None })).await
}

async fn restore(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    state.routes.remove_override(&name, &caller.name, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Text as it was stored, for reading: what cannot be parsed is shown as it is.
fn stored(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}

async fn changes(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let (before, rows) = (params.after_id("rule changes")?, params.rows()?);
    let mut found = state.routes.rule_changes(rows + 1, before).await?;
    let next = (found.len() > rows).then(|| {
        found.truncate(rows);
        found.last().map(|last| last.id.to_string())
    });
    let items = found.iter().map(|change| {
        json!({
            "id": id(change.id),
            "at": time(change.at_us),
            "by": change.who,
            "kind": Kind::as_str(change.kind),
            "name": change.name,
            "before": stored(change.before.as_deref()),
            "after": stored(change.after.as_deref()),
        })
    });
    Ok(Json(page("rule changes", items.collect(), next.flatten())))
}

/// What routes refuse, as problems.
pub(super) fn refusal(error: &routes::Error) -> Option<Problem> {
    match error {
        routes::Error::Rule { field, .. } => Some(Problem::invalid(*field, error.to_string())),
        routes::Error::Absent { kind, .. } => Some(Problem::not_found(kind)),
        _ => None,
    }
}
