//! Transport security as recipients' domains ask for it: MTA-STS and DANE, downgrades and certificates of every kind.
//! What arrived decides: nothing in clear where TLS was promised, nothing over a connection that was to be refused.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use stories::campaign::Row;
use stories::{Server, ServerOptions};
use testkit::{
    Authority, Behaviour, Fault, Internet, InternetOptions, KeyKind, Place, PolicyServer, Quality, Tls, World,
};

/// What a domain publishes about its mail hosts.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Nothing,
    /// MTA-STS: the mode, and whether the policy names the host.
    Sts(&'static str, bool),
    /// TLSA `3 1 1` of the host's key, or of another one.
    Dane(bool),
    /// TLSA that nobody can answer.
    DaneBroken,
    /// TLSA of a usage that mail does not have (RFC 7672 section 3.1.3).
    DaneUnusable,
    /// Our own rule for this site.
    Rule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    OverTls,
    InClear,
    NotAtAll,
}

struct Case {
    name: &'static str,
    says: Says,
    /// None: STARTTLS is not offered, as after somebody on the way took it out.
    certificate: Option<Quality>,
    comes: Comes,
}

const fn case(name: &'static str, says: Says, certificate: Option<Quality>, comes: Comes) -> Case {
    Case { name, says, certificate, comes }
}

const CASES: [Case; 17] = [
    case("plain", Says::Nothing, None, Comes::InClear),
    case("anybody", Says::Nothing, Some(Quality::Expired), Comes::OverTls),
    case("rule", Says::Rule, Some(Quality::SelfSigned), Comes::OverTls),
    case("rule-strip", Says::Rule, None, Comes::NotAtAll),
    case("sts-good", Says::Sts("enforce", true), Some(Quality::Good), Comes::OverTls),
    case("sts-expired", Says::Sts("enforce", true), Some(Quality::Expired), Comes::NotAtAll),
    case("sts-name", Says::Sts("enforce", true), Some(Quality::WrongName), Comes::NotAtAll),
    case("sts-self", Says::Sts("enforce", true), Some(Quality::SelfSigned), Comes::NotAtAll),
    case("sts-strip", Says::Sts("enforce", true), None, Comes::NotAtAll),
    case("sts-host", Says::Sts("enforce", false), Some(Quality::Good), Comes::NotAtAll),
    case("sts-testing", Says::Sts("testing", true), Some(Quality::Expired), Comes::OverTls),
    case("sts-none", Says::Sts("none", true), None, Comes::InClear),
    case("dane-good", Says::Dane(true), Some(Quality::SelfSigned), Comes::OverTls),
    case("dane-other", Says::Dane(false), Some(Quality::Good), Comes::NotAtAll),
    case("dane-strip", Says::Dane(true), None, Comes::NotAtAll),
    case("dane-broken", Says::DaneBroken, Some(Quality::Good), Comes::NotAtAll),
    case("dane-unusable", Says::DaneUnusable, Some(Quality::SelfSigned), Comes::OverTls),
];

fn world() -> World {
    let places = CASES.iter().zip(1u8..).map(|(case, number)| {
        let (domain, host) = (format!("{}.example", case.name), format!("mx.{}.example", case.name));
        let mut behaviour = Behaviour::accepting(case.name, &host);
        behaviour.starttls = case.certificate.is_some();
        behaviour.certificate = case.certificate.unwrap_or_default();
        Place::new(behaviour, Ipv4Addr::new(127, 0, 83, number)).domain(&domain, &[&host])
    });
    World { places: places.collect() }
}

/// What each domain says, in DNS and on the web.
fn publish(internet: &Internet, policies: &PolicyServer) {
    for case in &CASES {
        let (domain, host) = (format!("{}.example", case.name), format!("mx.{}.example", case.name));
        let tlsa = format!("_{}._tcp.{host}", internet.port());
        let identity = internet.certificate(case.name).unwrap().identity();
        match case.says {
            Says::Nothing | Says::Rule => {}
            Says::Sts(mode, names_it) => {
                let mx = if names_it { host.as_str() } else { "other.example" };
                let text = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n");
                policies.put(&format!("mta-sts.{domain}/.well-known/mta-sts.txt"), &text);
                internet.publish(&format!("_mta-sts.{domain}"), "TXT", "v=STSv1; id=20261126;");
                internet.publish(&format!("mta-sts.{domain}"), "A", &policies.address().ip().to_string());
            }
            Says::Dane(right) => internet.change_zone(|zone| {
                let data = if right { identity.tlsa_key() } else { vec![7; 32] };
                zone.node(&tlsa).tlsa.push((3, 1, 1, data));
            }),
            Says::DaneUnusable => {
                internet
                    .change_zone(|zone| zone.node(&tlsa).tlsa.push((0, 0, 1, identity.tlsa_certificate())));
            }
            Says::DaneBroken => internet.change_zone(|zone| zone.node(&tlsa).fault = Some(Fault::ServFail)),
        }
        if matches!(case.says, Says::Dane(_) | Says::DaneUnusable | Says::DaneBroken) {
            internet.change_zone(|zone| zone.secure(&[&domain, &host, &tlsa]));
        }
    }
}

async fn start() -> (Internet, PolicyServer, Server) {
    let authority = std::sync::Arc::new(Authority::new().unwrap());
    let options = InternetOptions { authority: Some(authority.clone()), ..InternetOptions::default() };
    let internet = Internet::start(&world(), options).await.unwrap();
    let hosts: Vec<String> = CASES.iter().map(|case| format!("mta-sts.{}.example", case.name)).collect();
    let tls = Tls::of(authority.issue(&hosts, Quality::Good, KeyKind::Ecdsa).unwrap()).unwrap();
    let local = SocketAddr::from((Ipv4Addr::new(127, 0, 83, 200), 0));
    let policies = PolicyServer::start(local, tls).await.unwrap();
    publish(&internet, &policies);
    let mut server = Server::prepare(None, ServerOptions::default());
    let roots = server.write("roots.pem", authority.pem());
    let config = internet.settings().replace("[net]", &format!("[net]\nroots = \"{}\"", roots.display()));
    let shaping = "[unknown]\nconnections = 2\nmessage_rates = []\n\n[site.\"rule.example\"]\ntls = \"required\"\n\n\
        [site.\"rule-strip.example\"]\ntls = \"required\"\n";
    server.reoption(ServerOptions {
        config,
        env: vec![("MAILWRIGHT_TEST_STS_PORT".to_owned(), policies.address().port().to_string())],
        shaping: Some(shaping.to_owned()),
        ..ServerOptions::default()
    });
    server.run().await;
    (internet, policies, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_what_the_recipients_domain_asks_for() {
    let (internet, _policies, server) = start().await;
    let targets: Vec<String> = CASES.iter().map(|case| format!("someone@{}.example", case.name)).collect();
    let id = server.campaign("transport", &targets, "").await;
    let expected = CASES.iter().filter(|case| case.comes != Comes::NotAtAll).count() as u64;
    let end = Instant::now() + stories::WAIT;
    while internet.mailboxes().arrived() < expected && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while !wrong(&internet, &server, &id, &targets).await.is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Long enough for a second try in clear, if one were made.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let wrong = wrong(&internet, &server, &id, &targets).await;
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", server.stderr());
    server.verify(&id).await;
}

/// Where it came otherwise than it should: how it should, how it did, and the line of the log.
async fn wrong(
    internet: &Internet,
    server: &Server,
    id: &str,
    targets: &[String],
) -> BTreeMap<&'static str, (Comes, Comes, Row)> {
    let rows = server.log(id).await;
    let mut wrong = BTreeMap::new();
    for (case, target) in CASES.iter().zip(targets) {
        let mails = internet.mailboxes().of(target);
        let came = match mails.first() {
            None => Comes::NotAtAll,
            Some(mail) if mail.tls => Comes::OverTls,
            Some(_) => Comes::InClear,
        };
        let state = if case.comes == Comes::NotAtAll { "pending" } else { "sent" };
        if came != case.comes || rows[target].state != state {
            wrong.insert(case.name, (case.comes, came, rows[target].clone()));
        }
    }
    wrong
}
