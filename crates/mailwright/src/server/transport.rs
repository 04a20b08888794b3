//! What is looked after for transport security while the server runs: counts are written down, and once a day is over the
//! reports of failed TLS go out (RFC 8460), signed, over the same engine as all mail.

use std::sync::Arc;
use std::time::Duration;

use access::Settings;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use net::{Clock, Pending};
use routes::{Report, ReportMail, Reporter, TLS_REPORT_TYPE, TransportPolicies};
use tokio::sync::watch;

use super::engine::EngineSeat;

/// How often counts are written down.
const FLUSH: Duration = Duration::from_secs(60);
const FLUSH_US: i64 = 60_000_000;
/// How often it is looked whether reports are due, in microseconds.
const REPORTS_EVERY_US: i64 = 600_000_000;
/// For tests of the program as a process: the port that MTA-STS policies are fetched from.
const TEST_STS_PORT: &str = "MAILWRIGHT_TEST_STS_PORT";
/// Characters on a line of base64 (RFC 2045 section 6.8).
const BASE64_LINE: usize = 76;

/// The policies of recipients' domains, kept in `store`.
pub fn policies(store: &store::Store, fetcher: &Arc<net::Fetcher>, settings: &Settings) -> TransportPolicies {
    let port = std::env::var(TEST_STS_PORT).ok().and_then(|port| port.parse().ok());
    let policies =
        TransportPolicies::on_port(store.clone(), Arc::clone(fetcher), port.unwrap_or(routes::STS_PORT));
    policies.set_reporting(settings.tls_reports().is_some());
    policies
}

/// Writes and sends for as long as the server runs.
pub async fn follow(
    policies: TransportPolicies,
    engine: Arc<EngineSeat>,
    clock: Arc<dyn Clock>,
    settings: watch::Receiver<Arc<Settings>>,
) {
    let mut look_at_us = clock.now_us() + REPORTS_EVERY_US;
    loop {
        let now_us = clock.now_us();
        // Whichever comes first: a clock that is set back must not make anybody wait.
        tokio::select! {
            () = clock.sleep_until(now_us + FLUSH_US) => {}
            () = tokio::time::sleep(FLUSH) => {}
        }
        let now_us = clock.now_us();
        look_at_us = look_at_us.min(now_us + REPORTS_EVERY_US);
        let contact = settings.borrow().tls_reports().and_then(|text| address::parse_named(text).ok());
        let done = match contact {
            Some(contact) if now_us >= look_at_us => {
                look_at_us = now_us + REPORTS_EVERY_US;
                let carrier = Carrier { engine: Arc::clone(&engine), clock: Arc::clone(&clock) };
                let mailbox = contact.mailbox;
                let reporter =
                    Reporter { organisation: mailbox.domain_ascii().to_owned(), contact: mailbox.smtp() };
                policies.send_reports(&reporter, &carrier, now_us).await.map(drop)
            }
            _ => policies.flush().await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "reports of TLS wait");
        }
    }
}

struct Carrier {
    engine: Arc<EngineSeat>,
    clock: Arc<dyn Clock>,
}

impl ReportMail for Carrier {
    fn mail<'a>(
        &'a self,
        to: &'a str,
        reporter: &'a Reporter,
        report: &'a Report,
    ) -> Pending<'a, Result<(), String>> {
        Box::pin(async move {
            let from = address::parse(&reporter.contact).map_err(|error| format!("our address: {error}"))?;
            let signing = match self.engine.routes().signing_for(from.domain_ascii()).await {
                Ok(signing) => signing,
                Err(error) => return Err(format!("it cannot be signed: {error}")),
            };
            let message = mail(reporter, report, to, &signing.signers, self.clock.now_us())?;
            self.engine.send_raw(&from.smtp(), to, &message).await.map(drop)
        })
    }
}

/// The message around a report (RFC 8460 section 5.3).
fn mail<S: std::borrow::Borrow<message::Signer>>(
    reporter: &Reporter,
    report: &Report,
    to: &str,
    signers: &[S],
    now_us: i64,
) -> Result<Vec<u8>, String> {
    let submitter = &reporter.organisation;
    let date = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_string(&date)
        .map_err(|error| error.to_string())?;
    let subject =
        format!("Report Domain: {} Submitter: {submitter} Report-ID: <{}>", report.domain, report.id);
    // The id holds only digits and host names.
    let boundary = format!("tlsrpt-{}", report.id.replace(['@', '.'], "-"));
    let boundary: String = boundary.chars().take(60).collect();
    let kind = format!("multipart/report; report-type=\"tlsrpt\"; boundary=\"{boundary}\"");
    // A report that is sent again is the same one, for whoever gets it and for those on the way.
    let message_id = format!("<{}>", report.id);
    let fields = [
        ("From", reporter.contact.as_str()),
        ("To", to),
        ("Date", &date),
        ("Subject", &subject),
        ("Message-ID", &message_id),
        ("TLS-Report-Domain", &report.domain),
        ("TLS-Report-Submitter", submitter),
        // RFC 8689 section 5: a report of broken TLS must not be stopped by it.
        ("TLS-Required", "No"),
        ("MIME-Version", "1.0"),
        ("Content-Type", &kind),
    ];
    let body = body(report, submitter, &boundary);
    message::signed(&fields, body.as_bytes(), signers, now_us).map_err(|error| error.to_string())
}

fn body(report: &Report, submitter: &str, boundary: &str) -> String {
    let encoded = BASE64_STANDARD.encode(&report.gzip);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(BASE64_LINE)
        // Base64 is ASCII, so each piece of it is text.
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         This is a report of connections over TLS from {submitter}\r\nto {}: {} without a failure, {} with one.\r\n\r\n\
         --{boundary}\r\nContent-Type: {TLS_REPORT_TYPE}\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment;\r\n filename=\"{}\"\r\n\r\n{}\r\n--{boundary}--\r\n",
        report.domain,
        report.successful,
        report.failed,
        report.file_name,
        lines.join("\r\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_message_that_names_its_domain() {
        let reporter =
            Reporter { organisation: "shop.example".to_owned(), contact: "tls@shop.example".to_owned() };
        let report = Report {
            domain: "receiver.example".to_owned(),
            id: "1700006400.receiver.example@shop.example".to_owned(),
            file_name: "shop.example!receiver.example!1700006400!1700092799.json.gz".to_owned(),
            json: serde_json::json!({}),
            gzip: vec![7; 200],
            successful: 5,
            failed: 1,
        };
        let none: &[message::Signer] = &[];
        let text = mail(&reporter, &report, "r@receiver.example", none, 1_700_100_000_000_000).unwrap();
        let text = String::from_utf8(text).unwrap();
        let parsed = mail_parser::MessageParser::new().parse(text.as_bytes()).unwrap();
        assert_eq!(
            parsed.subject().unwrap(),
            "Report Domain: receiver.example Submitter: shop.example Report-ID: <1700006400.receiver.example@shop.example>"
        );
        assert_eq!(parsed.attachment_count(), 1);
        let file = parsed.attachment(0).unwrap();
        assert_eq!(file.contents(), [7; 200]);
        assert!(text.lines().all(|line| line.len() <= 998), "{text}");
    }
}
