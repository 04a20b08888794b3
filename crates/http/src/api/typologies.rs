//! `/typologies` and `/typology-rules`: which rules deliveries must pass. `/deliveries/{id}/exclusions`: whom they left out.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use delivery::{
    CapacityUse, NewRule, NewTypology, RuleDefinition, RuleFilter, RuleKind, Typology, TypologyRule,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    page::page,
    shape::{id, read_id, time, time_opt},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/typologies", get(all).post(create))
        .route("/typologies/{id}", get(view).put(update).delete(remove))
        .route("/typology-rules", get(rules).post(create_rule))
        .route("/typology-rules/{id}", get(rule).put(update_rule).delete(remove_rule))
        .route("/typology-rules/try", post(try_rule))
        .route("/typology-rules/{id}/capacity", get(capacity))
        .route("/control-rules", get(shipped))
        .route("/control-rules/facts", get(facts))
        .route("/deliveries/{id}/exclusions", get(exclusions))
}

fn typology_json(typology: &Typology) -> Value {
    json!({
        "id": id(typology.id),
        "name": typology.name,
        "description": typology.description,
        "base": typology.base,
        "weight": typology.weight,
        "pool": typology.pool,
        "shipped": typology.shipped,
        "rules": typology.rules,
        "created_at": time(typology.created_at),
        "updated_at": time(typology.updated_at),
    })
}

fn rule_json(found: &TypologyRule) -> Value {
    let rule = &found.rule;
    json!({
        "id": id(found.id),
        "name": rule.name,
        "description": rule.description,
        "kind": rule.definition.kind().as_str(),
        "typologies": rule.typologies,
        "order": rule.order,
        "active": rule.active,
        "scope": rule.scope,
        "from": time_opt(rule.from_us),
        "until": time_opt(rule.until_us),
        "definition": rule.definition,
        "created_at": time(found.created_at),
        "updated_at": time(found.updated_at),
    })
}

/// A rule as callers write it: times are RFC 3339.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    typologies: Vec<String>,
    order: Option<i64>,
    active: Option<bool>,
    #[serde(default)]
    scope: String,
    from: Option<String>,
    until: Option<String>,
    definition: RuleDefinition,
}

impl Written {
    fn rule(self) -> Answer<NewRule> {
        Ok(NewRule {
            name: self.name,
            description: self.description,
            typologies: self.typologies,
            order: self.order.unwrap_or(delivery::typologies::ORDER_DEFAULT),
            active: self.active.unwrap_or(true),
            scope: self.scope,
            from_us: moment("from", self.from)?,
            until_us: moment("until", self.until)?,
            definition: self.definition,
        })
    }
}

fn moment(field: &'static str, text: Option<String>) -> Answer<Option<i64>> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let time = text.trim().parse::<jiff::Timestamp>();
    let time = time.map_err(|_| Problem::invalid(field, "is no time like 2026-12-01T08:00:00Z"))?;
    Ok(Some(time.as_microsecond()))
}

async fn all(State(state): State<AppState>) -> Answer<Json<Value>> {
    let typologies = state.deliveries.typologies().await?;
    Ok(Json(page("typologies", typologies.iter().map(typology_json).collect(), None)))
}

async fn create(State(state): State<AppState>, Body(new): Body<NewTypology>) -> Answer<Response> {
    Ok(created(&typology_json(&state.deliveries.create_typology(new).await?)))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let found = state.deliveries.typology(read_id(&text, "typology")?).await?;
    let found = found.ok_or_else(|| Problem::not_found("typology"))?;
    let rules = RuleFilter { typology: Some(found.id), kind: None };
    let rules = state.deliveries.typology_rules(rules).await?;
    let mut document = typology_json(&found);
    document["rules"] = rules.iter().map(rule_json).collect();
    Ok(Json(document))
}

async fn update(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(new): Body<NewTypology>,
) -> Answer<Json<Value>> {
    let id = read_id(&text, "typology")?;
    Ok(Json(typology_json(&state.deliveries.update_typology(id, new).await?)))
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    match state.deliveries.delete_typology(read_id(&text, "typology")?).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("typology")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    typology: Option<String>,
    kind: Option<RuleKind>,
}

async fn rules(State(state): State<AppState>, Params(wanted): Params<Wanted>) -> Answer<Json<Value>> {
    let typology = wanted.typology.map(|text| read_id(&text, "typology")).transpose()?;
    let found = state.deliveries.typology_rules(RuleFilter { typology, kind: wanted.kind }).await?;
    Ok(Json(page("typology-rules", found.iter().map(rule_json).collect(), None)))
}

async fn create_rule(State(state): State<AppState>, Body(new): Body<Written>) -> Answer<Response> {
    Ok(created(&rule_json(&state.deliveries.create_rule(new.rule()?).await?)))
}

async fn rule(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let found = state.deliveries.typology_rule(read_id(&text, "rule")?).await?;
    Ok(Json(rule_json(&found.ok_or_else(|| Problem::not_found("rule"))?)))
}

async fn update_rule(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(new): Body<Written>,
) -> Answer<Json<Value>> {
    let id = read_id(&text, "rule")?;
    Ok(Json(rule_json(&state.deliveries.update_rule(id, new.rule()?).await?)))
}

async fn remove_rule(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    match state.deliveries.delete_rule(read_id(&text, "rule")?).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("rule")),
    }
}

/// Past deliveries that a rule is tried on unless the caller says otherwise.
const TRIED_DEFAULT: u32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    rule: Written,
    limit: Option<u32>,
}

async fn try_rule(State(state): State<AppState>, Body(trial): Body<Trial>) -> Answer<Json<Value>> {
    let condition = trial.rule.rule()?.condition();
    let condition =
        condition.ok_or_else(|| Problem::invalid("definition", "is no control rule with a condition"))?;
    let tried = state.deliveries.try_rule(&condition, trial.limit.unwrap_or(TRIED_DEFAULT)).await?;
    let one = |tried: &delivery::TriedOn| {
        let mut document = json!(tried.tried);
        document["delivery"] = id(tried.delivery);
        document["label"] = json!(tried.label);
        document["at"] = time(tried.at);
        document
    };
    Ok(Json(page("tried", tried.iter().map(one).collect(), None)))
}

async fn capacity(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let lines = state.deliveries.capacity_lines(read_id(&text, "rule")?).await?;
    let lines = lines.ok_or_else(|| Problem::not_found("capacity rule"))?;
    let line = |line: &CapacityUse| {
        json!({
            "from": time(line.from_us),
            "until": time(line.until_us),
            "quantity": line.quantity,
            "consumed": line.consumed,
            "remaining": line.remaining,
        })
    };
    Ok(Json(page("capacity", lines.iter().map(line).collect(), None)))
}

async fn shipped() -> Json<Value> {
    let rule = |rule: &&typology::Rule| {
        json!({
            "name": rule.name,
            "phase": rule.phase,
            "order": rule.order,
            "level": rule.level,
            "summary": rule.summary,
            "why": rule.why,
            "hint": rule.hint,
        })
    };
    Json(page("control-rules", typology::all().iter().map(rule).collect(), None))
}

/// What a condition may name, with the phase from which on it is known.
async fn facts() -> Json<Value> {
    let fact = |fact: &typology::FactDoc| json!({"name": fact.name, "kind": fact.kind, "known_from": fact.known_from, "text": fact.text});
    Json(page("facts", typology::FACTS.iter().map(fact).collect(), None))
}

async fn exclusions(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let report = state.deliveries.exclusion_report(read_id(&text, "delivery")?).await?;
    Ok(Json(page("exclusions", report.iter().map(|count| json!(count)).collect(), None)))
}
