//! `/domains`: sending domains, the DNS records they need, and whether they are published.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use routes::{DnsRecord, DomainCheck, DomainRecords, Purpose, SendingDomain};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body::Body, created, page::page, shape::time};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/domains", get(list).post(add))
        .route("/domains/{domain}", get(view).delete(remove))
        .route("/domains/{domain}/records", get(view))
        .route("/domains/{domain}/check", post(check))
}

fn domain_json(domain: &SendingDomain) -> Value {
    json!({
        "domain": domain.domain,
        "selector": domain.selector,
        "created_at": time(domain.created_at),
        "also": domain.also,
    })
}

fn record_json(record: &DnsRecord) -> Value {
    let mut json =
        json!({"name": record.name, "type": record.kind, "value": record.value, "purpose": record.purpose});
    if matches!(record.purpose, Purpose::DkimRsa | Purpose::DkimEd25519) {
        json["stage"] = json!(record.stage);
    }
    json
}

fn records_json(records: &DomainRecords) -> Value {
    json!({
        "domain": records.domain,
        "selector": records.selector,
        "records": records.records.iter().map(record_json).collect::<Vec<_>>(),
    })
}

fn check_json(check: &DomainCheck) -> Value {
    let records: Vec<Value> = check
        .records
        .iter()
        .map(|checked| {
            let mut record = record_json(&checked.record);
            record["state"] = json!(checked.state);
            record["found"] = json!(checked.found);
            record["advice"] = json!(checked.advice);
            record
        })
        .collect();
    json!({
        "domain": check.domain,
        "ready": check.is_ready(),
        "complete": check.is_complete(),
        "records": records,
        "surroundings": check.surroundings,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    domain: String,
}

async fn list(State(state): State<AppState>) -> Answer<Json<Value>> {
    let domains = state.routes.domains().await?;
    Ok(Json(page("domains", domains.iter().map(domain_json).collect(), None)))
}

/// Adding a domain that is there already is no error: it answers its records.
async fn add(State(state): State<AppState>, Body(new): Body<New>) -> Answer<Response> {
    let domain = state.routes.add_domain(&new.domain, state.clock.now_us()).await?;
    let records = state.routes.records(&domain.domain, &state.domain_facts()).await?;
    Ok(created(&records_json(&records)))
}

async fn view(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(records_json(&state.routes.records(&domain, &state.domain_facts()).await?)))
}

async fn remove(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Response> {
    if state.routes.remove_domain(&domain).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found("sending domain"))
    }
}

async fn check(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Json<Value>> {
    let (facts, web) = (state.domain_facts(), state.policies.as_ref());
    let check = state.routes.check(&domain, &facts, state.dns.as_ref(), web).await?;
    Ok(Json(check_json(&check)))
}
