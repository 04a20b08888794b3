//! Sending domains: their DNS records, and whether they are published.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use routes::{DnsRecord, DomainCheck, DomainKey, KeyStage, Purpose, RecordState, SendingDomain, Turn};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::{problem::Problem, state::AppState};

/// How long a check may take; DNS that does not answer must not hold the page.
const CHECK_TIME_MAX: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    page: Page,
    rows: Vec<SendingDomain>,
    problem: String,
}

/// `GET /domains`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let rows = state.routes.domains().await?;
    show(&DomainsPage { page: desk.page(Place::Domains), rows, problem: String::new() })
}

/// `POST /domains`.
pub async fn add(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let fault = match state.routes.add_domain(form.get("domain"), state.clock.now_us()).await {
        Ok(added) => return Ok(done(&format!("/domains/{}", added.domain), "domain")),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let rows = state.routes.domains().await?;
    let page = desk.page(Place::Domains);
    show_as(fault.0.status, &DomainsPage { page, rows, problem: fault.text().to_owned() })
}

/// A record as the page shows it.
pub struct RecordRow {
    pub(super) purpose: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) found: Vec<String>,
    pub(super) advice: String,
    /// `pending` or `retiring`: a key that does not sign yet, or no more; empty otherwise.
    pub(super) stage: &'static str,
}

/// The records of a domain, with the verdict of a check.
pub struct Records {
    /// All of them.
    pub rows: Vec<RecordRow>,
    pub(super) verdict: String,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    /// The records name this server by an address of the machine, because no name is set yet.
    pub(super) nameless: bool,
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::DkimRsa => "dkim_rsa",
        Purpose::DkimEd25519 => "dkim_ed25519",
        Purpose::Spf => "spf",
        Purpose::BounceMx => "bounce_mx",
        Purpose::BounceSpf => "bounce_spf",
        Purpose::Dmarc => "dmarc",
    }
}

impl RecordRow {
    fn of(record: DnsRecord) -> RecordRow {
        RecordRow {
            purpose: purpose(record.purpose),
            kind: record.kind,
            name: record.name,
            value: record.value,
            state: "",
            tone: "",
            found: Vec::new(),
            advice: String::new(),
            stage: match record.stage {
                stage @ (KeyStage::Pending | KeyStage::Retiring) => stage.as_str(),
                KeyStage::Active | KeyStage::Retired => "",
            },
        }
    }
}

/// Whether a host is no name that the world could look up.
fn is_nameless(host: &str) -> bool {
    host.is_empty()
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

impl Records {
    /// The records as they should be published.
    pub async fn of(state: &AppState, domain: &str) -> Result<Records, Fault> {
        let facts = state.domain_facts();
        let nameless = is_nameless(&facts.host);
        let records = state.routes.records(domain, &facts).await?;
        let rows = records.records.into_iter().map(RecordRow::of).collect();
        Ok(Records { rows, verdict: String::new(), tone: "", icon: "", nameless })
    }

    /// The records compared with what DNS answers.
    pub async fn checked(state: &AppState, domain: &str) -> Result<Records, Fault> {
        let facts = state.domain_facts();
        let look = state.routes.check(domain, &facts, state.dns.as_ref());
        let found = tokio::time::timeout(CHECK_TIME_MAX, look).await;
        let check = found.map_err(|_| Fault(Problem::unavailable(texts::text("domain-slow"))))??;
        Ok(Records::compared(check, is_nameless(&facts.host)))
    }

    fn compared(check: DomainCheck, nameless: bool) -> Records {
        let (verdict, tone, icon) = if check.is_complete() {
            ("complete", "ok", "ok")
        } else if check.is_ready() {
            ("ready", "ok", "ok")
        } else {
            ("open", "warn", "warning")
        };
        let rows = check.records.into_iter().map(|checked| {
            let (state, tone) = match checked.state {
                RecordState::Present => ("present", "ok"),
                RecordState::Missing => ("missing", "bad"),
                RecordState::Different => ("different", "warn"),
                RecordState::Unknown => ("unknown", "idle"),
            };
            // What was found is shown where it differs; that a record is as it should be needs no proof.
            let found = if checked.state == RecordState::Present { Vec::new() } else { checked.found };
            RecordRow { state, tone, found, advice: checked.advice, ..RecordRow::of(checked.record) }
        });
        Records {
            rows: rows.collect(),
            verdict: texts::pick("domain-verdict", verdict),
            tone,
            icon,
            nameless,
        }
    }
}

/// A signing key as the page shows it.
struct KeyRow {
    selector: String,
    algorithm: String,
    stage: &'static str,
    tone: &'static str,
    since: i64,
}

impl KeyRow {
    fn of(key: DomainKey) -> KeyRow {
        let (tone, since) = match key.stage {
            KeyStage::Pending => ("info", key.created_at),
            KeyStage::Active => ("ok", key.activated_at.unwrap_or(key.created_at)),
            KeyStage::Retiring => ("warn", key.replaced_at.unwrap_or(key.created_at)),
            KeyStage::Retired => ("idle", key.replaced_at.unwrap_or(key.created_at)),
        };
        KeyRow { selector: key.selector, algorithm: key.algorithm, stage: key.stage.as_str(), tone, since }
    }
}

/// Keys that sign no more and need no record are listed up to here, the newest first.
const RETIRED_KEYS_MAX: usize = 4;

#[derive(Template)]
#[template(path = "domain.html")]
struct DomainPage {
    page: Page,
    domain: String,
    records: Records,
    keys: Vec<KeyRow>,
    /// New keys wait for their records.
    rotating: bool,
    /// What the last look for new keys found.
    turn: &'static str,
}

/// `?check` looks the records up; `?turn` says what a look for new keys found.
#[derive(Deserialize)]
pub struct Asked {
    check: Option<String>,
    #[serde(default)]
    turn: String,
}

/// `GET /domains/{domain}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let records = match asked.check {
        Some(_) => Records::checked(&state, &domain).await?,
        None => Records::of(&state, &domain).await?,
    };
    let mut keys: Vec<KeyRow> = state.routes.keys(&domain).await?.into_iter().map(KeyRow::of).collect();
    let mut retired = 0;
    keys.retain(|key| {
        retired += usize::from(key.stage == KeyStage::Retired.as_str());
        retired <= RETIRED_KEYS_MAX || key.stage != KeyStage::Retired.as_str()
    });
    let rotating = keys.iter().any(|key| key.stage == KeyStage::Pending.as_str());
    let turn = TURNS.into_iter().find(|word| *word == asked.turn).unwrap_or_default();
    show(&DomainPage { page: desk.page(Place::Domains), domain, records, keys, rotating, turn })
}

/// What a look for new keys can find.
const TURNS: [&str; 3] = ["activated", "not-published", "unknown"];

fn at(domain: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(domain.as_bytes()).collect();
    format!("/domains/{name}")
}

/// `POST /domains/{domain}/rotation`: makes new keys, which sign once their records are seen in DNS.
pub async fn rotate(
    _desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
) -> Result<Response, Fault> {
    state.routes.start_rotation(&domain, state.clock.now_us()).await?;
    Ok(done(&at(&domain), "rotation"))
}

/// `POST /domains/{domain}/rotation/cancel`.
pub async fn cancel_rotation(
    _desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
) -> Result<Response, Fault> {
    state.routes.cancel_rotation(&domain).await?;
    Ok(done(&at(&domain), "rotation-cancelled"))
}

/// `POST /domains/{domain}/rotation/check`: looks for the new keys in DNS now.
pub async fn turn(
    _desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
) -> Result<Response, Fault> {
    let look = state.routes.turn_keys(&domain, state.dns.as_ref(), state.clock.now_us());
    let word = match tokio::time::timeout(CHECK_TIME_MAX, look).await {
        Ok(turned) => match turned? {
            Turn::Activated => "activated",
            Turn::NotPublished => "not-published",
            Turn::None => "",
            Turn::Unknown => "unknown",
        },
        Err(_) => "unknown",
    };
    Ok(Redirect::to(&format!("{}?turn={word}", at(&domain))).into_response())
}

/// `POST /domains/{domain}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
) -> Result<Response, Fault> {
    state.routes.remove_domain(&domain).await?;
    Ok(done("/domains", "deleted"))
}
