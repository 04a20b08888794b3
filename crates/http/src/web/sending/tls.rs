//! Transport security: what receivers say about TLS (MTA-STS), and the reports that we send them (TLS-RPT).

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use net::{StsMode, StsPolicy};
use routes::{KeptPolicy, SentReport, TlsPolicy};
use serde::Deserialize;

use super::{
    super::{
        fault::Fault,
        filters,
        page::{Desk, Page, Place, show},
    },
    limits::label,
};
use crate::state::AppState;

/// Policies of one page.
const POLICIES: usize = 50;
/// Reports that are listed.
const REPORTS: usize = 50;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// A domain's policy.
struct PolicyRow {
    domain: String,
    /// `enforce`, `testing`, `none`, or `never` while none was had.
    mode: &'static str,
    tone: &'static str,
    hosts: String,
    id: String,
    fetched_at: Option<i64>,
    expires_at: Option<i64>,
    expired: bool,
    error: String,
}

impl PolicyRow {
    fn of(kept: KeptPolicy, now_us: i64) -> PolicyRow {
        let policy = StsPolicy::parse(&kept.text).ok();
        let (mode, tone) = match policy.as_ref().map(|policy| policy.mode) {
            Some(StsMode::Enforce) => ("enforce", "ok"),
            Some(StsMode::Testing) => ("testing", "info"),
            Some(StsMode::None) => ("none", "idle"),
            None => ("never", "warn"),
        };
        PolicyRow {
            mode,
            tone,
            hosts: policy.map(|policy| policy.mx.join(", ")).unwrap_or_default(),
            fetched_at: (kept.fetched_at > 0).then_some(kept.fetched_at),
            expires_at: (kept.fetched_at > 0).then_some(kept.expires_at),
            expired: kept.fetched_at > 0 && kept.expires_at <= now_us,
            domain: kept.domain,
            id: kept.id,
            error: kept.error,
        }
    }
}

/// A report.
struct ReportRow {
    day: i64,
    report: SentReport,
    tone: &'static str,
}

impl ReportRow {
    fn of(report: SentReport) -> ReportRow {
        let tone = match report.state.as_str() {
            "sent" => "ok",
            "failed" => "bad",
            "sending" => "info",
            _ => "idle",
        };
        ReportRow { day: report.day.saturating_mul(DAY_US), report, tone }
    }
}

/// A receiver whose rule is not the usual one.
struct RuleRow {
    name: String,
    label: String,
    word: &'static str,
    clear: bool,
}

fn word(policy: TlsPolicy) -> &'static str {
    match policy {
        TlsPolicy::None => "none",
        TlsPolicy::Opportunistic => "opportunistic",
        TlsPolicy::Required => "required",
    }
}

/// Receivers whose rule about TLS differs from that of all other domains.
fn rules(state: &AppState) -> (RuleRow, Vec<RuleRow>) {
    let providers = state.routes.providers();
    let row = |name: &str, rules: &routes::SiteRules| RuleRow {
        name: name.to_owned(),
        label: label(name, &providers),
        word: word(rules.tls),
        clear: rules.clear_after_broken_tls && rules.tls == TlsPolicy::Opportunistic,
    };
    let usual = providers.unknown_rules();
    let differs = |rules: &routes::SiteRules| rules.tls != usual.tls;
    let known = providers.list().iter().map(|provider| (provider.name.as_str(), &**provider.rules()));
    let others = providers.own_sites().chain(known).filter(|(_, rules)| differs(rules));
    (row("unknown", &usual), others.map(|(name, rules)| row(name, rules)).collect())
}

#[derive(Template)]
#[template(path = "sending_tls.html")]
struct TlsPage {
    page: Page,
    usual: RuleRow,
    rules: Vec<RuleRow>,
    policies: Vec<PolicyRow>,
    first: bool,
    next: Option<String>,
    reports: Vec<ReportRow>,
}

/// `?after` is the last domain of the page before.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    after: String,
}

/// `GET /sending/tls`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let now_us = state.clock.now_us();
    let mut kept = state.routes.sts_policies(&asked.after, POLICIES + 1).await?;
    let more = kept.len() > POLICIES;
    kept.truncate(POLICIES);
    let next = kept.last().filter(|_| more).map(|last| last.domain.clone());
    let (usual, rules) = rules(&state);
    show(&TlsPage {
        page: desk.page(Place::Tls),
        usual,
        rules,
        policies: kept.into_iter().map(|one| PolicyRow::of(one, now_us)).collect(),
        first: asked.after.is_empty(),
        next,
        reports: state.routes.tls_reports(REPORTS).await?.into_iter().map(ReportRow::of).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, fetched_at: i64, expires_at: i64) -> KeptPolicy {
        KeptPolicy {
            domain: "shop.example".into(),
            id: "1".into(),
            mode: String::new(),
            text: text.into(),
            fetched_at,
            expires_at,
            tried_at: 5,
            error: String::new(),
        }
    }

    #[test]
    fn a_policy_is_told_with_its_hosts_and_its_end() {
        let text =
            "version: STSv1\nmode: enforce\nmx: *.shop.example\nmx: mx.backup.example\nmax_age: 86400\n";
        let row = PolicyRow::of(kept(text, 10, 100), 50);
        assert_eq!((row.mode, row.hosts.as_str()), ("enforce", "*.shop.example, mx.backup.example"));
        assert!(!row.expired && row.expires_at == Some(100));
        assert!(PolicyRow::of(kept(text, 10, 100), 100).expired);
        let never = PolicyRow::of(kept("", 0, 0), 50);
        assert_eq!((never.mode, never.fetched_at, never.expired), ("never", None, false));
    }
}
