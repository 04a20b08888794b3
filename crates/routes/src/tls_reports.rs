//! Reports of failed TLS (RFC 8460): connections to domains that want to hear of them are counted, and once a day is over
//! each of those domains gets one report, by mail or over the web.
//!
//! Counts are gathered in memory and written by [`TransportPolicies::flush`]; what a crash loses is a minute of them, and
//! the report says nothing that decides anything.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use net::{Pending, ReportTo, TlsFault, Tlsa};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Lane, Row, Tx, binds};

use crate::Routes;
use crate::error::Result;
use crate::limits::{TLS_COUNTS_MAX, TLS_REPORT_DAYS_KEPT, TLS_REPORT_DAYS_SHOWN};
use crate::sts::{DomainPolicy, TransportPolicies};

/// Microseconds of a day.
const DAY_US: i64 = 86_400 * 1_000_000;
/// Wait between two tries to deliver a report.
const RETRY_US: i64 = 3_600 * 1_000_000;
/// Reports handled in one go.
const REPORTS_AT_ONCE: i64 = 100;
/// Time for a report over the web.
const POST_TIME: Duration = Duration::from_secs(60);
/// Length of a failure's words in a report.
const REASON_LEN_MAX: usize = 200;
/// Media type of a report (RFC 8460 section 6.5).
pub const TLS_REPORT_TYPE: &str = "application/tlsrpt+gzip";

/// How a connection went.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// The mail host; empty when it did not come to that.
    pub host: &'a str,
    /// The address that it was dialled from.
    pub from: Option<IpAddr>,
    /// The address that was dialled; `None`: it did not come to that.
    pub to: Option<IpAddr>,
    /// The records that the certificate was compared with, when DANE decided.
    pub dane: Option<&'a [Tlsa]>,
    /// What was wrong; `None`: nothing.
    pub fault: Option<(TlsFault, &'a str)>,
}

/// What counts add up under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    day: i64,
    domain: String,
    kind: &'static str,
    host: String,
    source: String,
    receiver: String,
    result: &'static str,
}

#[derive(Debug, Clone, Default)]
struct Counted {
    sessions: i64,
    policy: String,
    reason: String,
}

/// Counts that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Counts(HashMap<Kind, Counted>);

/// Who sends the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporter {
    /// Our organisation, as reports name it.
    pub organisation: String,
    /// The address that they come from and that answers about them.
    pub contact: String,
}

/// A day's report to one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The recipients' domain.
    pub domain: String,
    /// Its id, unique.
    pub id: String,
    /// The name of the file (RFC 8460 section 5.1).
    pub file_name: String,
    /// The report (RFC 8460 section 4.4).
    pub json: Value,
    /// The same as a file of type [`TLS_REPORT_TYPE`].
    pub gzip: Vec<u8>,
    /// Sessions without a failure.
    pub successful: i64,
    /// Sessions with one.
    pub failed: i64,
}

/// Takes reports by mail: signed, to this address.
pub trait ReportMail: Send + Sync {
    /// Delivers it; in words why not.
    fn mail<'a>(
        &'a self,
        to: &'a str,
        reporter: &'a Reporter,
        report: &'a Report,
    ) -> Pending<'a, Result<(), String>>;
}

/// A report as pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentReport {
    /// Days since 1970, UTC.
    pub day: i64,
    /// The recipients' domain.
    pub domain: String,
    /// Where it went, a line each.
    pub address: String,
    /// `sending`, `sent`, `failed`, or `unwanted`: the domain does not say any more where reports go.
    pub state: String,
    /// Sessions without a failure.
    pub successful: i64,
    /// Sessions with one.
    pub failed: i64,
    /// Tries to deliver it.
    pub tries: i64,
    /// The last one, microseconds UTC.
    pub tried_at: i64,
    /// Why it failed; empty when it did not.
    pub error: String,
}

impl TransportPolicies {
    /// Counts a connection that was made, or was not because of its TLS. Does nothing for a domain that wants no reports.
    pub fn count(&self, policy: &DomainPolicy, session: &Session<'_>, now_us: i64) {
        if !policy.reports || !self.inner.reporting.load(Ordering::Acquire) {
            return;
        }
        let (kind, text) = told(policy, session);
        let key = Kind {
            day: now_us.div_euclid(DAY_US),
            domain: policy.domain.clone(),
            kind,
            host: session.host.to_owned(),
            source: session.from.map(|from| from.to_string()).unwrap_or_default(),
            receiver: session.to.map(|to| to.to_string()).unwrap_or_default(),
            result: session.fault.map_or("", |(fault, _)| fault.name()),
        };
        let mut counts = self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0.len() >= TLS_COUNTS_MAX && !counts.0.contains_key(&key) {
            return;
        }
        let counted = counts.0.entry(key).or_default();
        counted.sessions += 1;
        counted.policy = text;
        if let Some((_, words)) = session.fault {
            counted.reason = words.chars().take(REASON_LEN_MAX).collect();
        }
    }

    /// Writes down what was counted. On an error the counts stay for the next time.
    ///
    /// # Errors
    /// `Store`.
    pub async fn flush(&self) -> Result<()> {
        let counted = {
            let mut counts = self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut counts.0)
        };
        if counted.is_empty() {
            return Ok(());
        }
        let rows: Vec<Vec<store::Value>> =
            counted.iter().map(|(key, counted)| row_of(key, counted)).collect();
        let written = self.inner.store.write(Lane::Bulk, move |tx| -> Result<()> {
            tx.execute_many(
                "INSERT INTO tls_session (day, domain, kind, host, source, receiver, result, policy, reason, sessions) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (day, domain, kind, host, source, receiver, result) DO UPDATE SET \
                 sessions = tls_session.sessions + excluded.sessions, policy = excluded.policy, \
                 reason = excluded.reason",
                rows,
            )?;
            Ok(())
        });
        if let Err(error) = written.await {
            let mut counts = self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, counted) in counted {
                let again = counts.0.entry(key).or_insert_with(|| Counted { sessions: 0, ..counted.clone() });
                again.sessions += counted.sessions;
            }
            return Err(error);
        }
        Ok(())
    }

    /// Sends the reports of the days that are over, and clears away old ones. Answers how many went. Several nodes may
    /// call it: each report is taken by one.
    ///
    /// # Errors
    /// `Store`. That a report did not go is noted in its row.
    pub async fn send_reports(
        &self,
        reporter: &Reporter,
        mail: &dyn ReportMail,
        now_us: i64,
    ) -> Result<usize> {
        self.flush().await?;
        let today = now_us.div_euclid(DAY_US);
        let due = self.inner.store.write(Lane::Urgent, move |tx| take_due(tx, today, now_us)).await?;
        let mut sent = 0;
        for (day, domain) in due {
            let (state, address, error) = self.send_report(reporter, mail, day, &domain).await?;
            sent += usize::from(state == "sent");
            self.inner
                .store
                .write(Lane::Urgent, move |tx| -> Result<()> {
                    let sql = "UPDATE tls_report SET state = $3, address = $4, error = $5 WHERE day = $1 AND domain = $2";
                    tx.execute(sql, &binds![day, domain, state, address, error])?;
                    Ok(())
                })
                .await?;
        }
        Ok(sent)
    }

    /// Tries each address of a domain: any that took it is enough. Gives state, addresses and error of its row.
    async fn send_report(
        &self,
        reporter: &Reporter,
        mail: &dyn ReportMail,
        day: i64,
        domain: &str,
    ) -> Result<(&'static str, String, String)> {
        let texts = self.inner.fetcher.resolver().txt(&net::tls_rpt_name(domain)).await;
        let addresses = match texts {
            Ok(texts) => net::report_addresses(&texts),
            Err(error) if error.is_negative() => Vec::new(),
            Err(error) => return Ok(("failed", String::new(), error.to_string())),
        };
        if addresses.is_empty() {
            return Ok(("unwanted", String::new(), String::new()));
        }
        let report = self.report(reporter, day, domain).await?;
        let (mut taken, mut errors) = (Vec::new(), Vec::new());
        for address in addresses {
            let (name, done) = match &address {
                ReportTo::Mail(to) => (to, mail.mail(to, reporter, &report).await),
                ReportTo::Web(url) => (url, self.post(url, &report).await),
            };
            match done {
                Ok(()) => taken.push(name.clone()),
                Err(words) => errors.push(format!("{name}: {words}")),
            }
        }
        let state = if taken.is_empty() { "failed" } else { "sent" };
        Ok((state, taken.join("\n"), errors.join("\n")))
    }

    async fn post(&self, url: &str, report: &Report) -> Result<(), String> {
        match self.inner.fetcher.post(url, TLS_REPORT_TYPE, &report.gzip, POST_TIME).await {
            Ok(200..=299) => Ok(()),
            Ok(status) => Err(format!("the server answers with status {status}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A day's report to a domain, as it stands now.
    ///
    /// # Errors
    /// `Store`.
    pub async fn report(&self, reporter: &Reporter, day: i64, domain: &str) -> Result<Report> {
        let name = domain.to_owned();
        let rows = self.inner.store.read(move |tx| day_of(tx, day, &name)).await?;
        Ok(report_of(reporter, day, domain, &rows))
    }
}

/// The kind of policy that was in force and its text, a line each (RFC 8460 section 4.4).
fn told(policy: &DomainPolicy, session: &Session<'_>) -> (&'static str, String) {
    if let Some(records) = session.dane {
        let lines: Vec<String> = records.iter().map(Tlsa::to_string).collect();
        return ("tlsa", lines.join("\n"));
    }
    match &policy.sts {
        Some(sts) => {
            let hosts: String = sts.mx.iter().map(|host| format!("\nmx: {host}")).collect();
            let head = format!("version: STSv1\nmode: {}", sts.mode.name());
            ("sts", format!("{head}{hosts}\nmax_age: {}", sts.max_age_s))
        }
        // There is one, and it could not be had or read.
        None if session.fault.is_some_and(|(fault, _)| fault.is_of_sts()) => ("sts", String::new()),
        None => ("no-policy-found", String::new()),
    }
}

fn row_of(key: &Kind, counted: &Counted) -> Vec<store::Value> {
    binds![
        key.day,
        key.domain.as_str(),
        key.kind,
        key.host.as_str(),
        key.source.as_str(),
        key.receiver.as_str(),
        key.result,
        counted.policy.as_str(),
        counted.reason.as_str(),
        counted.sessions
    ]
}

/// Takes reports that are due: new ones, and those whose last try is an hour ago. Old rows go.
fn take_due(tx: &mut Tx<'_>, today: i64, now_us: i64) -> Result<Vec<(i64, String)>> {
    tx.execute("DELETE FROM tls_session WHERE day < $1", &binds![today - TLS_REPORT_DAYS_KEPT])?;
    tx.execute("DELETE FROM tls_report WHERE day < $1", &binds![today - TLS_REPORT_DAYS_SHOWN])?;
    let due: Vec<(i64, String, i64, i64)> = tx.query::<_, crate::Error>(
        "SELECT s.day, s.domain, \
         SUM(CASE WHEN s.result = '' THEN s.sessions ELSE 0 END), \
         SUM(CASE WHEN s.result = '' THEN 0 ELSE s.sessions END) FROM tls_session s \
         LEFT JOIN tls_report r ON r.day = s.day AND r.domain = s.domain \
         WHERE s.day < $1 AND (r.day IS NULL OR (r.state IN ('sending', 'failed') AND r.tried_at <= $2)) \
         GROUP BY s.day, s.domain ORDER BY s.day, s.domain LIMIT $3",
        &binds![today, now_us - RETRY_US, REPORTS_AT_ONCE],
        |row| Ok((row.int(0)?, row.text(1)?, row.int(2)?, row.int(3)?)),
    )?;
    let mut taken = Vec::with_capacity(due.len());
    for (day, domain, successful, failed) in due {
        let changed = tx.execute(
            "INSERT INTO tls_report (day, domain, address, state, successful, failed, tries, tried_at, error) \
             VALUES ($1, $2, '', 'sending', $3, $4, 1, $5, '') ON CONFLICT (day, domain) DO UPDATE SET \
             state = 'sending', tries = tls_report.tries + 1, tried_at = excluded.tried_at \
             WHERE tls_report.tried_at <= $6",
            &binds![day, domain.as_str(), successful, failed, now_us, now_us - RETRY_US],
        )?;
        if changed > 0 {
            taken.push((day, domain));
        }
    }
    Ok(taken)
}

/// Counts of a day and domain.
struct DayRow {
    kind: String,
    host: String,
    source: String,
    receiver: String,
    result: String,
    policy: String,
    reason: String,
    sessions: i64,
}

fn day_of(tx: &mut Tx<'_>, day: i64, domain: &str) -> Result<Vec<DayRow>> {
    tx.query(
        "SELECT kind, host, source, receiver, result, policy, reason, sessions FROM tls_session \
         WHERE day = $1 AND domain = $2 ORDER BY kind, result, host, source, receiver",
        &binds![day, domain],
        |row: &Row<'_>| {
            Ok(DayRow {
                kind: row.text(0)?,
                host: row.text(1)?,
                source: row.text(2)?,
                receiver: row.text(3)?,
                result: row.text(4)?,
                policy: row.text(5)?,
                reason: row.text(6)?,
                sessions: row.int(7)?,
            })
        },
    )
}

fn report_of(reporter: &Reporter, day: i64, domain: &str, rows: &[DayRow]) -> Report {
    let begin = day * 86_400;
    let end = begin + 86_399;
    let submitter = reporter.contact.rsplit('@').next().unwrap_or_default();
    let id = format!("{begin}.{domain}@{submitter}");
    let policies: Vec<Value> =
        rows.chunk_by(|a, b| a.kind == b.kind).map(|same| policy_of(domain, same)).collect();
    let json = json!({
        "organization-name": reporter.organisation,
        "date-range": { "start-datetime": rfc3339(begin), "end-datetime": rfc3339(end) },
        "contact-info": reporter.contact,
        "report-id": id,
        "policies": policies,
    });
    let sum = |ok: bool| rows.iter().filter(|row| row.result.is_empty() == ok).map(|row| row.sessions).sum();
    Report {
        domain: domain.to_owned(),
        file_name: format!("{submitter}!{domain}!{begin}!{end}.json.gz"),
        gzip: gzip(json.to_string().as_bytes()),
        id,
        json,
        successful: sum(true),
        failed: sum(false),
    }
}

/// One kind of policy of a domain.
fn policy_of(domain: &str, rows: &[DayRow]) -> Value {
    let kind = rows.first().map_or("", |row| row.kind.as_str());
    let text = rows.iter().rev().map(|row| row.policy.as_str()).find(|text| !text.is_empty()).unwrap_or("");
    let mut policy = json!({ "policy-type": kind, "policy-domain": domain });
    if !text.is_empty() {
        policy["policy-string"] = text.lines().collect();
        let patterns: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("mx: ")).collect();
        if !patterns.is_empty() {
            policy["mx-host"] = patterns.into_iter().collect();
        }
    }
    let sum =
        |ok: bool| rows.iter().filter(|row| row.result.is_empty() == ok).map(|row| row.sessions).sum::<i64>();
    let failures: Vec<Value> = rows.iter().filter(|row| !row.result.is_empty()).map(failure_of).collect();
    let mut told = json!({
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(true),
            "total-failure-session-count": sum(false),
        },
    });
    if !failures.is_empty() {
        told["failure-details"] = failures.into();
    }
    told
}

fn failure_of(row: &DayRow) -> Value {
    let mut failure = json!({ "result-type": row.result, "failed-session-count": row.sessions });
    for (key, value) in [
        ("sending-mta-ip", &row.source),
        ("receiving-mx-hostname", &row.host),
        ("receiving-ip", &row.receiver),
        ("failure-reason-code", &row.reason),
    ] {
        if !value.is_empty() {
            failure[key] = Value::from(value.as_str());
        }
    }
    failure
}

/// RFC 3339, as section 4.4 has its times.
fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

impl Routes {
    /// Reports of failed TLS, the newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn tls_reports(&self, limit: usize) -> Result<Vec<SentReport>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT day, domain, address, state, successful, failed, tries, tried_at, error \
                   FROM tls_report ORDER BY day DESC, domain LIMIT $1";
        self.store
            .read(move |tx| {
                tx.query(sql, &binds![limit], |row: &Row<'_>| {
                    Ok(SentReport {
                        day: row.int(0)?,
                        domain: row.text(1)?,
                        address: row.text(2)?,
                        state: row.text(3)?,
                        successful: row.int(4)?,
                        failed: row.int(5)?,
                        tries: row.int(6)?,
                        tried_at: row.int(7)?,
                        error: row.text(8)?,
                    })
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sts::tests::{T0, Web, ok, room};
    use net::{StsMode, StsPolicy};
    use std::io::Read;
    use std::sync::{Arc, Mutex};
    use testkit::Quality;

    const DAY: i64 = 19_675;

    fn policy() -> DomainPolicy {
        let sts = StsPolicy {
            mode: StsMode::Testing,
            mx: vec!["mx.receiver.example".to_owned(), "*.receiver.example".to_owned()],
            max_age_s: 86_400,
        };
        DomainPolicy { domain: "receiver.example".to_owned(), sts: Some(sts), reports: true }
    }

    fn reporter() -> Reporter {
        Reporter { organisation: "shop.example".to_owned(), contact: "tls@shop.example".to_owned() }
    }

    /// Keeps what it is given, or refuses.
    #[derive(Default)]
    struct Kept {
        mails: Arc<Mutex<Vec<(String, Report)>>>,
        refuses: bool,
    }

    impl ReportMail for Kept {
        fn mail<'a>(
            &'a self,
            to: &'a str,
            _: &'a Reporter,
            report: &'a Report,
        ) -> Pending<'a, Result<(), String>> {
            Box::pin(async move {
                if self.refuses {
                    return Err("550 no".to_owned());
                }
                self.mails.lock().unwrap().push((to.to_owned(), report.clone()));
                Ok(())
            })
        }
    }

    fn count(policies: &TransportPolicies, fault: Option<(TlsFault, &str)>, times: usize) {
        let from = Some("192.0.2.7".parse().unwrap());
        let to = Some("192.0.2.25".parse().unwrap());
        let session = Session { host: "mx.receiver.example", from, to, dane: None, fault };
        for _ in 0..times {
            policies.count(&policy(), &session, T0);
        }
    }

    #[tokio::test]
    async fn rfc_8460_4_4_a_day_becomes_one_report_in_the_form_of_the_standard() {
        store::testing::each(|store| async move {
            let (_dir, routes) = room(&store).await;
            let web = Web::start(Quality::Good).await;
            let policies = web.policies(&store);
            count(&policies, None, 1);
            policies.set_reporting(true);
            count(&policies, None, 3);
            policies.flush().await.unwrap();
            count(&policies, None, 2);
            count(&policies, Some((TlsFault::CertificateExpired, "since yesterday")), 4);
            let record = "v=TLSRPTv1; rua=mailto:tls@receiver.example";
            web.resolver.txt("_smtp._tls.receiver.example", &[record]);
            let kept = Kept::default();
            assert_eq!(
                policies.send_reports(&reporter(), &kept, T0).await.unwrap(),
                0,
                "the day is not over"
            );
            let next = (DAY + 1) * DAY_US;
            assert_eq!(policies.send_reports(&reporter(), &kept, next).await.unwrap(), 1);
            assert_eq!(policies.send_reports(&reporter(), &kept, next + DAY_US).await.unwrap(), 0, "once");
            let mails = kept.mails.lock().unwrap().clone();
            let (to, report) = &mails[0];
            assert_eq!((mails.len(), to.as_str()), (1, "tls@receiver.example"));
            assert_eq!(
                report.json,
                json!({
                    "organization-name": "shop.example",
                    "date-range": {
                        "start-datetime": "2023-11-14T00:00:00Z",
                        "end-datetime": "2023-11-14T23:59:59Z",
                    },
                    "contact-info": "tls@shop.example",
                    "report-id": "1699920000.receiver.example@shop.example",
                    "policies": [{
                        "policy": {
                            "policy-type": "sts",
                            "policy-domain": "receiver.example",
                            "policy-string": [
                                "version: STSv1", "mode: testing", "mx: mx.receiver.example",
                                "mx: *.receiver.example", "max_age: 86400",
                            ],
                            "mx-host": ["mx.receiver.example", "*.receiver.example"],
                        },
                        "summary": {
                            "total-successful-session-count": 5,
                            "total-failure-session-count": 4,
                        },
                        "failure-details": [{
                            "result-type": "certificate-expired",
                            "sending-mta-ip": "192.0.2.7",
                            "receiving-mx-hostname": "mx.receiver.example",
                            "receiving-ip": "192.0.2.25",
                            "failed-session-count": 4,
                            "failure-reason-code": "since yesterday",
                        }],
                    }],
                })
            );
            assert_eq!(report.file_name, "shop.example!receiver.example!1699920000!1700006399.json.gz");
            let mut text = String::new();
            flate2::read::GzDecoder::new(&*report.gzip).read_to_string(&mut text).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), report.json);
            let shown = routes.tls_reports(10).await.unwrap();
            assert_eq!((shown.len(), shown[0].state.as_str()), (1, "sent"));
            assert_eq!((shown[0].successful, shown[0].failed), (5, 4));
        })
        .await;
    }

    #[tokio::test]
    async fn rfc_8460_5_a_report_that_does_not_go_is_tried_again_and_the_web_takes_it_too() {
        store::testing::each(|store| async move {
            let (_dir, routes) = room(&store).await;
            let web = Web::start(Quality::Good).await;
            let policies = web.policies(&store);
            policies.set_reporting(true);
            count(&policies, None, 1);
            let record = |to: &str| {
                web.resolver.txt("_smtp._tls.receiver.example", &[&format!("v=TLSRPTv1; rua={to}")]);
            };
            let next = (DAY + 1) * DAY_US;
            record("mailto:tls@receiver.example");
            let refuses = Kept { refuses: true, ..Kept::default() };
            assert_eq!(policies.send_reports(&reporter(), &refuses, next).await.unwrap(), 0);
            let shown = routes.tls_reports(10).await.unwrap();
            assert_eq!((shown[0].state.as_str(), shown[0].tries), ("failed", 1));
            assert_eq!(shown[0].error, "tls@receiver.example: 550 no");
            let url = format!("https://reports.receiver.example:{}/tls", web.port);
            record(&url);
            web.says(&ok("text/plain"), "thanks");
            let kept = Kept::default();
            assert_eq!(
                policies.send_reports(&reporter(), &kept, next + 60_000_000).await.unwrap(),
                0,
                "too soon"
            );
            assert_eq!(policies.send_reports(&reporter(), &kept, next + RETRY_US).await.unwrap(), 1);
            let report = policies.report(&reporter(), DAY, "receiver.example").await.unwrap();
            assert_eq!(*web.posted.lock().unwrap(), [report.gzip]);
            assert_eq!(routes.tls_reports(10).await.unwrap()[0].address, url);
            // A domain that takes its record back is not written to.
            count(&policies, None, 1);
            policies.count(
                &DomainPolicy { domain: "other.example".to_owned(), ..policy() },
                &Session { host: "x", from: None, to: None, dane: None, fault: None },
                T0,
            );
            policies.send_reports(&reporter(), &kept, next + RETRY_US).await.unwrap();
            let states = routes.tls_reports(10).await.unwrap();
            let state = states.iter().find(|report| report.domain == "other.example").unwrap();
            assert_eq!(state.state, "unwanted");
        })
        .await;
    }

    #[tokio::test]
    async fn rfc_8460_4_2_a_domain_without_a_policy_hears_that_there_was_none() {
        store::testing::each(|store| async move {
            let (_dir, _routes) = room(&store).await;
            let web = Web::start(Quality::Good).await;
            let policies = web.policies(&store);
            web.resolver.txt("_smtp._tls.receiver.example", &["v=TLSRPTv1; rua=mailto:tls@receiver.example"]);
            assert_eq!(policies.of("receiver.example", T0).await, None, "nobody counts who sends no reports");
            policies.set_reporting(true);
            assert_eq!(policies.of("other.example", T0).await, None, "who wants none is not counted");
            let policy = policies.of("receiver.example", T0).await.unwrap();
            assert_eq!((&policy.sts, policy.reports), (&None, true));
            let clear = Some((TlsFault::StarttlsNotSupported, "in clear"));
            for (to, fault) in [("192.0.2.25", None), ("192.0.2.25", clear), ("2001:db8::25", clear)] {
                let to = Some(to.parse().unwrap());
                let session = Session { host: "mx.receiver.example", from: None, to, dane: None, fault };
                policies.count(&policy, &session, T0);
            }
            // A policy that is announced and cannot be fetched is one of MTA-STS (section 4.3.2.2).
            let fault = Some((TlsFault::StsPolicyFetchError, "status 404"));
            policies.count(&policy, &Session { host: "", from: None, to: None, dane: None, fault }, T0);
            policies.flush().await.unwrap();
            let report = policies.report(&reporter(), DAY, "receiver.example").await.unwrap();
            let failed = |ip: &str| {
                json!({
                    "result-type": "starttls-not-supported",
                    "receiving-mx-hostname": "mx.receiver.example",
                    "receiving-ip": ip,
                    "failed-session-count": 1,
                    "failure-reason-code": "in clear",
                })
            };
            assert_eq!(
                report.json["policies"],
                json!([
                    {
                        "policy": { "policy-type": "no-policy-found", "policy-domain": "receiver.example" },
                        "summary": { "total-successful-session-count": 1, "total-failure-session-count": 2 },
                        "failure-details": [failed("192.0.2.25"), failed("2001:db8::25")],
                    },
                    {
                        "policy": { "policy-type": "sts", "policy-domain": "receiver.example" },
                        "summary": { "total-successful-session-count": 0, "total-failure-session-count": 1 },
                        "failure-details": [{
                            "result-type": "sts-policy-fetch-error",
                            "failed-session-count": 1,
                            "failure-reason-code": "status 404",
                        }],
                    },
                ])
            );
        })
        .await;
    }
}
