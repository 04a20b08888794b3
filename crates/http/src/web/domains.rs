//! Sending domains: their DNS records, and whether they are published.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use routes::{
    DnsRecord, DomainCheck, DomainKey, KeyStage, Purpose, RecordState, SendingDomain, Surrounding, Topic,
    Turn,
};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::{acts::Told, problem::Problem, state::AppState};

/// How long a check may take; DNS that does not answer must not hold the page.
const CHECK_TIME_MAX: Duration = Duration::from_secs(20);

/// A domain's line.
struct Row {
    domain: SendingDomain,
    /// Where its keys are when they are not just signing: `pending` before `retiring`; empty otherwise.
    stage: &'static str,
    tone: &'static str,
}

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    page: Page,
    rows: Vec<Row>,
    typed: String,
    problem: String,
}

async fn list(desk: &Desk, state: &AppState, typed: &str, problem: String) -> Result<DomainsPage, Fault> {
    let rotations = state.routes.rotations().await?;
    let is_at = |domain: &str, stage| rotations.iter().any(|(name, at)| name == domain && *at == stage);
    let row = |domain: SendingDomain| {
        let stages = [KeyStage::Pending, KeyStage::Retiring];
        let stage = stages.into_iter().find(|stage| is_at(&domain.domain, *stage));
        Row { domain, stage: stage.map_or("", KeyStage::as_str), tone: stage.map_or("", tone) }
    };
    Ok(DomainsPage {
        page: desk.page(Place::Domains),
        rows: state.routes.domains().await?.into_iter().map(row).collect(),
        typed: typed.to_owned(),
        problem,
    })
}

/// `GET /domains`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&list(&desk, &state, "", String::new()).await?)
}

/// `POST /domains`.
pub async fn add(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let fault = match state.routes.add_domain(form.get("domain"), state.clock.now_us()).await {
        Ok(added) => {
            let next = done(&at(&added.domain), "domain");
            return Ok(Told::about(added.domain).on(next));
        }
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    show_as(fault.0.status, &list(&desk, &state, form.get("domain"), fault.text()).await?)
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
    /// What was looked at beside them; empty: nothing was looked up.
    pub(super) around: Vec<AroundRow>,
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
        Ok(Records { rows, verdict: String::new(), tone: "", icon: "", around: Vec::new(), nameless })
    }

    /// The records compared with what DNS answers.
    pub async fn checked(state: &AppState, domain: &str) -> Result<Records, Fault> {
        let facts = state.domain_facts();
        let look = state.routes.check(domain, &facts, state.dns.as_ref(), state.policies.as_ref());
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
            let (state, tone) = shown(checked.state);
            // What was found is shown where it differs; that a record is as it should be needs no proof.
            let found = if checked.state == RecordState::Present { Vec::new() } else { checked.found };
            RecordRow { state, tone, found, advice: checked.advice, ..RecordRow::of(checked.record) }
        });
        Records {
            rows: rows.collect(),
            verdict: texts::pick("domain-verdict", verdict),
            tone,
            icon,
            around: check.surroundings.into_iter().map(AroundRow::of).collect(),
            nameless,
        }
    }
}

/// Something else that receivers look at.
pub struct AroundRow {
    /// A word of `around`.
    pub(super) topic: &'static str,
    pub(super) about: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) found: String,
    pub(super) advice: String,
}

impl AroundRow {
    fn of(one: Surrounding) -> AroundRow {
        let (state, tone) = shown(one.state);
        AroundRow {
            topic: match one.topic {
                Topic::Alignment => "alignment",
                Topic::Helo => "helo",
                Topic::Ptr => "ptr",
                Topic::Replies => "replies",
                Topic::MtaSts => "mta-sts",
                Topic::TlsRpt => "tls-rpt",
            },
            about: one.about,
            state,
            // What only helps is no fault when it is missing.
            tone: if one.needed || one.state == RecordState::Present { tone } else { "idle" },
            found: one.found.join(", "),
            advice: one.advice,
        }
    }
}

/// A state's word and colour.
fn shown(state: RecordState) -> (&'static str, &'static str) {
    match state {
        RecordState::Present => ("present", "ok"),
        RecordState::Missing => ("missing", "bad"),
        RecordState::Different => ("different", "warn"),
        RecordState::Unknown => ("unknown", "idle"),
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

/// The colour of a key's stage.
fn tone(stage: KeyStage) -> &'static str {
    match stage {
        KeyStage::Pending => "info",
        KeyStage::Active => "ok",
        KeyStage::Retiring => "warn",
        KeyStage::Retired => "idle",
    }
}

impl KeyRow {
    fn of(key: DomainKey) -> KeyRow {
        let since = match key.stage {
            KeyStage::Pending => None,
            KeyStage::Active => key.activated_at,
            KeyStage::Retiring | KeyStage::Retired => key.replaced_at,
        };
        KeyRow {
            selector: key.selector,
            algorithm: key.algorithm,
            stage: key.stage.as_str(),
            tone: tone(key.stage),
            since: since.unwrap_or(key.created_at),
        }
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
    /// The domain whose keys sign beside its own; empty: none.
    also: String,
    /// The other sending domains.
    others: Vec<String>,
    problem: String,
}

/// `?check` looks the records up; `?turn` says what a look for new keys found.
#[derive(Default, Deserialize)]
pub struct Asked {
    check: Option<String>,
    #[serde(default)]
    turn: String,
}

async fn build(
    desk: &Desk,
    state: &AppState,
    domain: String,
    asked: &Asked,
    problem: String,
) -> Result<DomainPage, Fault> {
    let records = match asked.check {
        Some(_) => Records::checked(state, &domain).await?,
        None => Records::of(state, &domain).await?,
    };
    let mut keys: Vec<KeyRow> = state.routes.keys(&domain).await?.into_iter().map(KeyRow::of).collect();
    let mut retired = 0;
    keys.retain(|key| {
        retired += usize::from(key.stage == KeyStage::Retired.as_str());
        retired <= RETIRED_KEYS_MAX || key.stage != KeyStage::Retired.as_str()
    });
    let own = state.routes.domain(&domain).await?.ok_or_else(|| Fault::not_found("domain"))?;
    let others = state.routes.domains().await?.into_iter().map(|one| one.domain);
    Ok(DomainPage {
        page: desk.page(Place::Domains),
        records,
        rotating: keys.iter().any(|key| key.stage == KeyStage::Pending.as_str()),
        keys,
        turn: TURNS.into_iter().find(|word| *word == asked.turn).unwrap_or_default(),
        others: others.filter(|other| *other != own.domain).collect(),
        also: own.also.unwrap_or_default(),
        domain,
        problem,
    })
}

/// `GET /domains/{domain}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    show(&build(&desk, &state, domain, &asked, String::new()).await?)
}

/// `POST /domains/{domain}/also`: another domain signs too, or (empty) its own keys alone.
pub async fn sign_also(
    desk: Desk,
    State(state): State<AppState>,
    Path(domain): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let also = Some(form.get("also")).filter(|also| !also.is_empty());
    let fault = match state.routes.sign_also(&domain, also).await {
        Ok(()) => return Ok(done(&at(&domain), "saved")),
        Err(error) => Fault::from(error),
    };
    // A domain that was deleted meanwhile is said beside the form too; one that never was has no page.
    if fault.0.status.is_server_error() {
        return Err(fault);
    }
    let page = build(&desk, &state, domain, &Asked::default(), fault.text()).await?;
    show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
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
