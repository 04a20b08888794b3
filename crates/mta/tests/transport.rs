//! What TLS must be with a host, as connections meet it: DANE before MTA-STS before what is offered (RFC 7672, RFC 8461,
//! RFC 3207), and what the report of a domain hears of it (RFC 8460).

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::{
    Boxed, Courier, CourierConfig, DaneAnswer, Dialled, Host, Internet, MailHosts, Source, Stream, Target,
    TlsSeen, World,
};
use net::{
    Demand, Guard, Proven, RecordKind, Secured, StaticResolver, StsMode, StsPolicy, SystemClock, Tls, Tlsa,
};
use routes::DomainPolicy;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use testkit::{Authority, Identity, KeyKind, Quality};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const DOMAIN: &str = "receiver.example";
const HOST: &str = "mx.receiver.example";

/// What a receiver does about TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Tls,
    Nothing,
    /// STARTTLS, and then no handshake.
    Broken,
}

/// A receiver that greets and says what it offers.
struct Receiver {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start(offer: Offer, identity: &Identity) -> Receiver {
        let chain = std::iter::once(&identity.certificate).chain(&identity.authority);
        let chain = chain.map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
                .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    stream.write_all(b"220 mx ready\r\n").await.ok()?;
                    if talk(&mut stream, offer != Offer::Nothing).await? && offer == Offer::Tls {
                        let mut secured = BufReader::new(acceptor.accept(stream.into_inner()).await.ok()?);
                        talk(&mut secured, false).await?;
                    }
                    Some(())
                });
            }
        });
        Receiver { port, connections }
    }
}

/// Until STARTTLS was said (true) or the dialogue ends.
async fn talk(
    stream: &mut (impl AsyncRead + AsyncWrite + AsyncBufReadExt + Unpin),
    offers: bool,
) -> Option<bool> {
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return Some(false);
        }
        let (answer, ends) = match line.get(..4)? {
            "EHLO" if offers => ("250-mx\r\n250 STARTTLS\r\n", false),
            "STAR" if offers => ("220 go\r\n", true),
            _ => ("250 mx\r\n", false),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
        if ends {
            return Some(true);
        }
    }
}

/// The internet with a policy of the domain laid over it, and what its report hears.
struct Policied {
    internet: Internet,
    policy: Option<Arc<DomainPolicy>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl World for Policied {
    fn now_us(&self) -> i64 {
        self.internet.now_us()
    }

    fn sleep_until(&self, at_us: i64) -> Boxed<'static, ()> {
        self.internet.sleep_until(at_us)
    }

    fn mail_hosts<'a>(&'a self, domain: &'a str) -> Boxed<'a, MailHosts> {
        Box::pin(async move {
            match self.internet.mail_hosts(domain).await {
                MailHosts::Hosts(hosts) => {
                    let lay = |host| Host { policy: self.policy.clone(), ..host };
                    MailHosts::Hosts(hosts.into_iter().map(lay).collect())
                }
                other => other,
            }
        })
    }

    fn dial<'a>(&'a self, target: Target<'a>) -> Boxed<'a, std::io::Result<Dialled>> {
        self.internet.dial(target)
    }

    fn dane<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, DaneAnswer> {
        self.internet.dane(host, port)
    }

    fn secure<'a>(
        &'a self,
        stream: Box<dyn Stream>,
        host: &'a str,
        demand: &'a Demand,
    ) -> Boxed<'a, std::io::Result<(Box<dyn Stream>, Secured)>> {
        self.internet.secure(stream, host, demand)
    }

    fn tls_seen(&self, seen: TlsSeen<'_>) {
        let fault = seen.fault.map_or("in order", |(fault, _)| fault.name());
        let kind = if seen.dane.is_some() { "tlsa" } else { "sts" };
        self.seen.lock().unwrap().push(format!("{} {kind} {fault}", seen.host));
    }
}

/// A receiver, its certificate and the DNS of its domain.
struct Scene {
    receiver: Receiver,
    identity: Identity,
    resolver: Arc<StaticResolver>,
    tls: Tls,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    /// The domain's zone is signed. `trusted`: we know the authority.
    async fn set(offer: Offer, quality: Quality, trusted: bool) -> Scene {
        let authority = Authority::new().unwrap();
        let identity = authority.issue(&[HOST.to_owned()], quality, KeyKind::Ecdsa).unwrap();
        let receiver = Receiver::start(offer, &identity).await;
        let resolver = Arc::new(StaticResolver::new());
        resolver.mx(DOMAIN, &[(10, HOST)]);
        resolver.a(HOST, &["127.0.0.1"]);
        resolver.secure(DOMAIN);
        resolver.secure(HOST);
        resolver.secure(&net::tlsa_name(HOST, receiver.port));
        let root = CertificateDer::from(authority.certificate().to_vec());
        let tls = Tls::new(if trusted { std::slice::from_ref(&root) } else { &[] }).unwrap();
        Scene { receiver, identity, resolver, tls, seen: Arc::default() }
    }

    fn tlsa(&self, usage: u8, data: Vec<u8>) {
        self.resolver.tlsa(HOST, self.receiver.port, &[Tlsa { usage, selector: 1, matching: 1, data }]);
    }

    fn internet(&self) -> Internet {
        Internet {
            resolver: self.resolver.clone(),
            clock: Arc::new(SystemClock),
            tls: self.tls.clone(),
            guard: Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
            policies: None,
        }
    }

    fn courier(&self, policy: Option<StsPolicy>) -> Courier {
        let policy = policy
            .map(|sts| Arc::new(DomainPolicy { domain: DOMAIN.to_owned(), sts: Some(sts), reports: true }));
        let world = Policied { internet: self.internet(), policy, seen: Arc::clone(&self.seen) };
        let source = Source { name: "own".to_owned(), bind: None, ehlo: "mail.shop.example".to_owned() };
        let config = CourierConfig { source, relay: None, port: self.receiver.port };
        Courier::new(config, Arc::new(world))
    }

    /// How a connection came to be secured (`clear`: not at all), or why there is none.
    async fn connect(&self, policy: Option<StsPolicy>) -> Result<&'static str, String> {
        connect(&self.courier(policy)).await
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn connect(courier: &Courier) -> Result<&'static str, String> {
    match courier.line(DOMAIN).await {
        Ok(line) => Ok(line.secured().map_or("clear", |secured| secured.by.name())),
        Err(error) => Err(error.reason),
    }
}

fn sts(mode: StsMode, mx: &str) -> Option<StsPolicy> {
    Some(StsPolicy { mode, mx: vec![mx.to_owned()], max_age_s: 86_400 })
}

fn refused(result: Result<&'static str, String>, with: &str) {
    let words = result.expect_err("refused");
    assert!(words.starts_with(HOST) && words.contains(with), "{words}");
}

#[tokio::test]
async fn rfc_7672_a_certificate_that_the_dns_names_is_taken_and_no_other() {
    let scene = Scene::set(Offer::Tls, Quality::SelfSigned, false).await;
    scene.tlsa(3, scene.identity.tlsa_key());
    assert_eq!(scene.connect(None).await, Ok("dane"));
    scene.tlsa(3, vec![7; 32]);
    refused(scene.connect(None).await, "the certificate is not the one");
    // Records that nothing can be compared with: TLS, with any certificate (section 2.2).
    scene.tlsa(1, vec![7; 32]);
    assert_eq!(scene.connect(None).await, Ok("none"));
}

#[tokio::test]
async fn rfc_7672_a_lookup_that_fails_defers() {
    let scene = Scene::set(Offer::Tls, Quality::SelfSigned, false).await;
    scene.resolver.fails(&net::tlsa_name(HOST, scene.receiver.port), RecordKind::Tlsa);
    refused(scene.connect(None).await, "DANE records could not be had");
    assert_eq!(scene.receiver.connections.load(Ordering::SeqCst), 0, "nobody was dialled");
}

#[tokio::test]
async fn rfc_7672_a_stripped_starttls_is_no_way_around() {
    for (usage, offer) in [(3, Offer::Nothing), (1, Offer::Nothing), (3, Offer::Broken)] {
        let scene = Scene::set(offer, Quality::SelfSigned, false).await;
        scene.tlsa(usage, vec![7; 32]);
        refused(scene.connect(None).await, if offer == Offer::Broken { "handshake" } else { "TLS" });
        assert_eq!(scene.receiver.connections.load(Ordering::SeqCst), 1, "and no second try in clear");
    }
}

#[tokio::test]
async fn rfc_7672_records_count_only_where_everything_is_proven() {
    for unproven in [DOMAIN.to_owned(), HOST.to_owned(), "tlsa".to_owned()] {
        let scene = Scene::set(Offer::Tls, Quality::SelfSigned, false).await;
        scene.tlsa(3, vec![7; 32]);
        let name = if unproven == "tlsa" { net::tlsa_name(HOST, scene.receiver.port) } else { unproven };
        scene.resolver.unproven(&name);
        assert_eq!(scene.connect(None).await, Ok("none"), "{name}");
    }
}

#[tokio::test]
async fn rfc_8461_an_enforced_policy_wants_a_valid_certificate_of_a_named_host() {
    let enforce = || sts(StsMode::Enforce, "*.receiver.example");
    let scene = Scene::set(Offer::Tls, Quality::Good, true).await;
    assert_eq!(scene.connect(enforce()).await, Ok("sts"));
    assert_eq!(scene.heard(), ["mx.receiver.example sts in order"]);
    refused(scene.connect(sts(StsMode::Enforce, "other.example")).await, "does not name this mail host");
    assert_eq!(scene.heard(), ["mx.receiver.example sts validation-failure"]);
    for (quality, trusted, fault) in [
        (Quality::Good, false, "certificate-not-trusted"),
        (Quality::SelfSigned, true, "certificate-not-trusted"),
        (Quality::Expired, true, "certificate-expired"),
        (Quality::WrongName, true, "certificate-host-mismatch"),
    ] {
        let scene = Scene::set(Offer::Tls, quality, trusted).await;
        refused(scene.connect(enforce()).await, "handshake");
        assert_eq!(scene.heard(), [format!("mx.receiver.example sts {fault}")]);
    }
    let scene = Scene::set(Offer::Nothing, Quality::Good, true).await;
    refused(scene.connect(enforce()).await, "TLS");
    assert_eq!(scene.heard(), ["mx.receiver.example sts starttls-not-supported"]);
}

#[tokio::test]
async fn rfc_8461_a_policy_in_testing_stops_nothing_and_is_reported() {
    let testing = || sts(StsMode::Testing, HOST);
    let scene = Scene::set(Offer::Tls, Quality::Good, true).await;
    assert_eq!(scene.connect(testing()).await, Ok("sts"));
    assert_eq!(scene.heard(), ["mx.receiver.example sts in order"]);
    let scene = Scene::set(Offer::Tls, Quality::Expired, true).await;
    assert_eq!(scene.connect(testing()).await, Ok("none"));
    assert_eq!(scene.heard(), ["mx.receiver.example sts certificate-expired"]);
    let scene = Scene::set(Offer::Nothing, Quality::Good, true).await;
    assert_eq!(scene.connect(testing()).await, Ok("clear"));
    assert_eq!(scene.heard(), ["mx.receiver.example sts starttls-not-supported"]);
    let scene = Scene::set(Offer::Tls, Quality::Good, true).await;
    assert_eq!(scene.connect(sts(StsMode::Testing, "other.example")).await, Ok("none"));
    assert_eq!(scene.heard(), ["mx.receiver.example sts validation-failure"]);
}

#[tokio::test]
async fn rfc_8461_section_2_dane_goes_before_a_policy() {
    let scene = Scene::set(Offer::Tls, Quality::SelfSigned, false).await;
    scene.tlsa(3, scene.identity.tlsa_key());
    assert_eq!(scene.connect(sts(StsMode::Enforce, "other.example")).await, Ok("dane"));
    assert_eq!(scene.heard(), ["mx.receiver.example tlsa in order"]);
    let scene = Scene::set(Offer::Tls, Quality::Good, true).await;
    scene.tlsa(3, vec![7; 32]);
    refused(scene.connect(sts(StsMode::Enforce, HOST)).await, "the certificate is not the one");
    assert_eq!(scene.heard(), ["mx.receiver.example tlsa tlsa-invalid"]);
}

#[tokio::test]
async fn rfc_3207_a_broken_handshake_is_followed_by_clear_text_and_remembered() {
    let scene = Scene::set(Offer::Broken, Quality::SelfSigned, false).await;
    let courier = scene.courier(None);
    assert_eq!(connect(&courier).await, Ok("clear"));
    assert_eq!(scene.receiver.connections.load(Ordering::SeqCst), 2);
    assert_eq!(connect(&courier).await, Ok("clear"));
    assert_eq!(scene.receiver.connections.load(Ordering::SeqCst), 3, "in clear at once");
    let scene = Scene::set(Offer::Tls, Quality::Expired, false).await;
    assert_eq!(scene.connect(None).await, Ok("none"), "any certificate is better than none");
}

#[tokio::test]
async fn a_source_behind_a_proxy_tells_it_where_to_go() {
    let scene = Scene::set(Offer::Tls, Quality::Good, false).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = proxy.local_addr().unwrap();
    let target = Target {
        host: HOST,
        port: 25,
        bind: Some("192.0.2.7".parse().unwrap()),
        proxy: Some(address),
        configured: false,
        timeout: Duration::from_secs(60),
    };
    let internet = scene.internet();
    let _stream = internet.dial(target).await.unwrap();
    let mut header = [0; 28];
    let (mut heard, _) = proxy.accept().await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), heard.read_exact(&mut header)).await.unwrap().unwrap();
    assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(header[16..], [192, 0, 2, 7, 127, 0, 0, 1, 0, 0, 0, 25]);
    // Whom the proxy would dial is looked at as if we dialled.
    scene.resolver.a(HOST, &["10.0.0.1"]);
    assert!(internet.dial(target).await.is_err());
}

#[test]
fn what_secured_a_connection_has_a_name() {
    let names = [Proven::None, Proven::Name, Proven::Sts, Proven::Dane].map(Proven::name);
    assert_eq!(names, ["none", "name", "sts", "dane"]);
}
