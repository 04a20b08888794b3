//! Reports of TLS from the first connection to the mailbox of whoever asked for them: the failures of a day are collected
//! over a kill, one report goes to each domain after midnight (UTC), by signed mail or over the web, and none goes twice.
//! Python's parsers and dkimpy read them as their receivers would.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stories::{Server, ServerOptions, root};
use testkit::{
    Authority, Behaviour, Internet, InternetOptions, KeyKind, Place, PolicyServer, Quality, Tls, What, World,
};

const HOUR_US: i64 = 3_600 * 1_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Longer than counts wait to be written down.
const FLUSH_US: i64 = 2 * 60 * 1_000_000;
/// Messages to each domain.
const COUNT: usize = 3;
const REPORTS_HOST: &str = "reports.collector.example";

/// Who hears what: a policy in testing whose host has an old certificate, one that is enforced and not kept, DANE, no policy
/// and no TLS, and one that did not ask.
const DOMAINS: [(&str, Option<Quality>); 6] = [
    ("testing", Some(Quality::Expired)),
    ("strict", Some(Quality::WrongName)),
    ("dane", Some(Quality::SelfSigned)),
    ("bare", None),
    ("silent", Some(Quality::Good)),
    ("collector", Some(Quality::Good)),
];
/// Where the reports go by mail, by the domain that they are about.
const BY_MAIL: [(&str, &str); 3] = [
    ("testing", "tls@testing.example"),
    ("strict", "tls@collector.example"),
    ("dane", "reports@dane.example"),
];

struct Scene {
    internet: Internet,
    web: PolicyServer,
    server: Server,
    /// TXT records of our domain, by name.
    dns: BTreeMap<String, String>,
    /// The day that is reported, in microseconds of its begin.
    day_us: i64,
}

fn world() -> World {
    let places = DOMAINS.iter().zip(1u8..).map(|((name, certificate), number)| {
        let host = format!("mx.{name}.example");
        let mut behaviour = Behaviour::accepting(name, &host);
        behaviour.starttls = certificate.is_some();
        behaviour.certificate = certificate.unwrap_or_default();
        Place::new(behaviour, Ipv4Addr::new(127, 0, 86, number)).domain(&format!("{name}.example"), &[&host])
    });
    World { places: places.collect() }
}

/// What the domains say of TLS, and who wants to hear of it.
fn publish(internet: &Internet, web: &PolicyServer) {
    for (domain, mode) in [("testing", "testing"), ("strict", "enforce")] {
        let text =
            format!("version: STSv1\r\nmode: {mode}\r\nmx: mx.{domain}.example\r\nmax_age: 864000\r\n");
        web.put(&format!("mta-sts.{domain}.example/.well-known/mta-sts.txt"), &text);
        internet.publish(&format!("_mta-sts.{domain}.example"), "TXT", "v=STSv1; id=1;");
        internet.publish(&format!("mta-sts.{domain}.example"), "A", &web.address().ip().to_string());
    }
    let key = internet.certificate("dane").unwrap().identity().tlsa_key();
    let tlsa = format!("_{}._tcp.mx.dane.example", internet.port());
    internet.change_zone(|zone| {
        zone.node(&tlsa).tlsa.push((3, 1, 1, key));
        zone.secure(&["dane.example", "mx.dane.example", &tlsa]);
    });
    web.put(&format!("{REPORTS_HOST}/tls"), "thanks");
    internet.publish(REPORTS_HOST, "A", &web.address().ip().to_string());
    let wants = |domain: &str, rua: &str| {
        internet.publish(&format!("_smtp._tls.{domain}.example"), "TXT", &format!("v=TLSRPTv1; rua={rua}"));
    };
    BY_MAIL.iter().for_each(|(domain, address)| wants(domain, &format!("mailto:{address}")));
    wants("bare", &format!("https://{REPORTS_HOST}:{}/tls", web.address().port()));
}

impl Scene {
    async fn start() -> Scene {
        let authority = Arc::new(Authority::new().unwrap());
        let options = InternetOptions { authority: Some(authority.clone()), ..InternetOptions::default() };
        let internet = Internet::start(&world(), options).await.unwrap();
        let names = ["mta-sts.testing.example", "mta-sts.strict.example", REPORTS_HOST].map(str::to_owned);
        let tls = Tls::of(authority.issue(&names, Quality::Good, KeyKind::Ecdsa).unwrap()).unwrap();
        let local = SocketAddr::from((Ipv4Addr::new(127, 0, 86, 200), 0));
        let web = PolicyServer::start(local, tls).await.unwrap();
        publish(&internet, &web);
        let mut server = Server::prepare(None, ServerOptions::default());
        let roots = server.write("roots.pem", authority.pem());
        let config = internet
            .settings()
            .replace("[mta]", "[mta]\ntls_reports = \"tls@shop.example\"")
            .replace("[net]", &format!("[net]\nroots = \"{}\"", roots.display()));
        server.reoption(ServerOptions {
            config,
            env: vec![("MAILWRIGHT_TEST_STS_PORT".to_owned(), web.address().port().to_string())],
            turnable: true,
            ..ServerOptions::default()
        });
        server.run().await;
        // Days of reports are days of UTC.
        let day_us = (server.now_us().div_euclid(DAY_US) + 1) * DAY_US;
        server.turn_to(day_us + 8 * HOUR_US);
        let domain = server.cli(&["domain", "add", "shop.example"]).await.done();
        let records = domain["records"].as_array().unwrap().iter().filter(|record| record["type"] == "TXT");
        let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
        let dns = records.map(|record| (text(record, "name"), text(record, "value"))).collect();
        Scene { internet, web, server, dns, day_us }
    }

    /// One delivery to everybody; only who enforces what his host does not keep gets nothing.
    async fn deliver(&self, name: &str) {
        let before = self.internet.mailboxes().arrived();
        let targets: Vec<String> = DOMAINS[..5]
            .iter()
            .flat_map(|(domain, _)| (0..COUNT).map(move |n| format!("{domain}{n}@{domain}.example")))
            .collect();
        self.server.campaign(name, &targets, "").await;
        let end = Instant::now() + stories::WAIT;
        while self.internet.mailboxes().arrived() < before + 4 * COUNT as u64 || self.opened("strict") == 0 {
            assert!(Instant::now() < end, "{}", self.server.stderr());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Counts are written down some times, so that what came during the first is among them, on a busy machine too.
        for _ in 0..4 {
            self.server.turn_to(self.server.now_us() + FLUSH_US);
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
    }

    /// How it stands with the reports, as the server shows it.
    async fn states(&self) -> Vec<Value> {
        let shown = self.server.request(reqwest::Method::GET, "/tls/reports").send().await.unwrap();
        let shown: Value = shown.json().await.unwrap();
        shown["items"].as_array().unwrap().iter().map(|report| report["state"].clone()).collect()
    }

    /// Connections to a receiver so far.
    fn opened(&self, provider: &str) -> u64 {
        let events = self.internet.log().events();
        events.iter().filter(|event| event.provider == provider && event.what == What::Open).count() as u64
    }

    /// Reports by mail that lie in the mailboxes, and those over the web.
    fn arrived(&self) -> (Vec<usize>, usize) {
        let mails = BY_MAIL.iter().map(|(_, address)| self.internet.mailboxes().of(address).len());
        (mails.collect(), self.web.posts().len())
    }

    /// Lays the reports into a folder and lets Python read them. Answers each by the domain that it is about.
    fn read(&self, folder: &Path) -> BTreeMap<String, Value> {
        for (domain, address) in BY_MAIL {
            let mail = self.internet.mailboxes().of(address).remove(0);
            std::fs::write(folder.join(format!("{domain}.eml")), &*mail.octets).unwrap();
        }
        let post = self.web.posts().remove(0);
        assert_eq!(
            (post.to, post.content_type),
            (format!("{REPORTS_HOST}/tls"), "application/tlsrpt+gzip".into())
        );
        std::fs::write(folder.join("bare.json.gz"), post.octets).unwrap();
        std::fs::write(folder.join("dns.json"), serde_json::to_vec(&self.dns).unwrap()).unwrap();
        let day = jiff::Timestamp::from_microsecond(self.day_us).unwrap().to_string();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(root().join("tests/python/check_tls_report.py")).arg(folder);
        command.arg("--dns").arg(folder.join("dns.json")).args(["--submitter", "shop.example"]);
        let output = command.args(["--day", &day[..10]]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_str(&told).unwrap();
        let reports = told["reports"].as_object().unwrap();
        reports
            .iter()
            .map(|(file, report)| (file.split('.').next().unwrap().to_owned(), report.clone()))
            .collect()
    }
}

/// Policy type, sessions in order, failed sessions, and how they failed.
fn told(report: &Value) -> (String, u64, u64, Vec<Value>) {
    let policies = report["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 1, "{report}");
    let (policy, summary) = (&policies[0]["policy"], &policies[0]["summary"]);
    let number = |how: &str| summary[format!("total-{how}-session-count")].as_u64().unwrap();
    let failures = policies[0]["failure-details"].as_array().cloned().unwrap_or_default();
    (policy["policy-type"].as_str().unwrap().to_owned(), number("successful"), number("failure"), failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_a_day_are_reported_once() {
    let mut scene = Scene::start().await;
    scene.deliver("morning").await;
    scene.server.kill().await;
    scene.server.run().await;
    scene.deliver("evening").await;
    let sessions = ["testing", "dane", "bare"].map(|name| scene.opened(name));
    assert_eq!(scene.arrived(), (vec![0; 3], 0), "the day is not over");

    scene.server.turn_to(scene.day_us + DAY_US + HOUR_US / 4);
    let end = Instant::now() + stories::WAIT;
    while scene.arrived() != (vec![1; 3], 1) {
        assert!(Instant::now() < end, "{:?}\n{}", scene.arrived(), scene.server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // That they went is written down a moment later.
    while scene.states().await != [json!("sent"), json!("sent"), json!("sent"), json!("sent")] {
        assert!(Instant::now() < end, "{:?}\n{}", scene.states().await, scene.server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.server.kill().await;
    scene.server.run().await;
    for _ in 0..2 {
        scene.server.turn_to(scene.server.now_us() + 2 * HOUR_US);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    assert_eq!(scene.arrived(), (vec![1; 3], 1), "once, and not again after a kill");

    let folder = tempfile::tempdir().unwrap();
    let reports = scene.read(folder.path());
    assert_eq!(reports.len(), 4);
    let (kind, good, bad, failures) = told(&reports["testing"]);
    assert_eq!((kind.as_str(), good, bad), ("sts", 0, sessions[0]));
    assert_eq!(failures.len(), 1, "{failures:?}");
    let failure = |key: &str| failures[0][key].clone();
    assert_eq!(failure("result-type"), "certificate-expired");
    assert_eq!(failure("receiving-mx-hostname"), "mx.testing.example");
    assert_eq!(failure("receiving-ip"), "127.0.86.1");
    let (kind, good, bad, _) = told(&reports["dane"]);
    assert_eq!((kind.as_str(), good, bad), ("tlsa", sessions[1], 0));
    let (kind, good, bad, failures) = told(&reports["bare"]);
    assert_eq!((kind.as_str(), good, bad), ("no-policy-found", 0, sessions[2]));
    assert_eq!(failures[0]["result-type"], "starttls-not-supported");
    let (kind, good, bad, failures) = told(&reports["strict"]);
    assert!(
        kind == "sts" && good == 0 && (1..=scene.opened("strict")).contains(&bad),
        "{}",
        reports["strict"]
    );
    assert!(failures.iter().all(|one| one["result-type"] == "certificate-host-mismatch"), "{failures:?}");

    assert_eq!(scene.states().await.len(), 4);
}
