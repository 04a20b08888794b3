//! DANE and MTA-STS with a mail server that was not written here: Postfix from the distribution shows the certificate
//! that the DNS names, or that the domain's policy asks for, and mail comes with the proof in the log; it shows another,
//! and the mail waits until it shows the right one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use stories::{Server, ServerOptions};
use testkit::{
    Authority, Identity, Internet, InternetOptions, KeyKind, Node, PolicyServer, Quality, Tls, World,
};

use crate::real_servers::{Kind, POSTFIX, Receiver, Site, postfix};

const MINUTE_US: i64 = 60_000_000;
/// Messages of each delivery.
const COUNT: usize = 10;
const MORE: &str = "[parameters]\nretry_period = \"60s\"\n";

/// Each connection gets a process of its own, which reads the certificate that lies there just then.
fn forgetful(site: &Site) -> String {
    let script = postfix(site);
    let file = site.folder.join("conf/main.cf");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, config + "max_use = 1\n").unwrap();
    script
}

struct Scene {
    authority: Arc<Authority>,
    internet: Internet,
    policies: PolicyServer,
    receiver: Receiver,
    server: Server,
}

impl Scene {
    /// A Postfix for `NAME.example` with a certificate of this quality; none when it cannot be had.
    async fn start(name: &'static str, number: u8, quality: Quality) -> Option<Scene> {
        let authority = Arc::new(Authority::new().unwrap());
        let kind = Kind { name, address: Ipv4Addr::new(127, 0, 81, number), configure: forgetful, ..POSTFIX };
        let internet = Internet::start(&World::default(), InternetOptions::default()).await.unwrap();
        let port = internet.port();
        let identity = issue(&authority, name, quality);
        let started = tokio::task::spawn_blocking(move || Receiver::showing(kind, port, &identity));
        let receiver = match started.await.unwrap() {
            Ok(receiver) => receiver,
            Err(why) => {
                println!(
                    "\n*** SKIPPED: Postfix could not be had, so nothing was shown about {name} with it: {why}\n"
                );
                return None;
            }
        };
        let (domain, host) = (&receiver.site.domain, &receiver.site.host);
        internet.change_zone(|zone| {
            zone.set(domain, Node::mail(&[host]));
            zone.set(host, Node::host(IpAddr::V4(kind.address)));
        });
        let web = format!("mta-sts.{domain}");
        let tls = authority.issue(std::slice::from_ref(&web), Quality::Good, KeyKind::Ecdsa).unwrap();
        let local = SocketAddr::from((kind.address, 0));
        let policies = PolicyServer::start(local, Tls::of(tls).unwrap()).await.unwrap();
        internet.publish(&web, "A", &kind.address.to_string());
        let mut server = Server::prepare(None, ServerOptions::default());
        let roots = server.write("roots.pem", authority.pem());
        let config = internet.settings().replace("[net]", &format!("[net]\nroots = \"{}\"", roots.display()));
        server.reoption(ServerOptions {
            config,
            env: vec![("MAILWRIGHT_TEST_STS_PORT".to_owned(), policies.address().port().to_string())],
            turnable: true,
            ..ServerOptions::default()
        });
        server.run().await;
        Some(Scene { authority, internet, policies, receiver, server })
    }

    fn targets(&self, from: usize) -> Vec<String> {
        (from..from + COUNT).map(|n| format!("r{n}@{}", self.receiver.site.domain)).collect()
    }

    /// The names that a record of the DNS gives to the host's certificate (TLSA 3 1 1), in a zone that is signed.
    fn name_in_dns(&self, identity: &Identity) {
        let (domain, host) = (&self.receiver.site.domain, &self.receiver.site.host);
        let name = format!("_{}._tcp.{host}", self.internet.port());
        self.internet.change_zone(|zone| {
            zone.node(&name).tlsa = vec![(3, 1, 1, identity.tlsa_key())];
            zone.secure(&[domain, host, &name]);
        });
    }

    /// So much later: what the DNS said is asked again, and connections have ended.
    fn turn(&self, minutes: i64) {
        self.server.turn_to(self.server.now_us() + minutes * MINUTE_US);
    }

    /// The host was spoken to, its certificate was not believed, and no mail went over that connection.
    async fn refused(&self, id: &str, lies_there: usize) {
        let end = Instant::now() + stories::WAIT;
        while !self.receiver.told().contains("SSL_accept error") {
            assert!(Instant::now() < end, "{}\n{}", self.receiver.told(), self.server.stderr());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Long enough for a second try in clear, if one were made.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let status = self.server.status(id).await;
        assert_eq!(status["messages"]["pending"].as_u64(), Some(COUNT as u64), "{status}");
        let folder = self.receiver.site.folder.join("mail/all/new");
        let found = std::fs::read_dir(folder).map_or(0, |entries| entries.count());
        assert_eq!(found, lies_there, "mail came over a connection that was not to be trusted");
    }

    /// Waits for the end and answers the delivery's log. Where nothing happens for a while, minutes pass at once: in the middle
    /// of a dialogue they would be a silence after which the message is tried again.
    async fn over(&self, id: &str) -> Vec<Value> {
        let end = Instant::now() + stories::WAIT;
        let (mut before, mut still) = (Value::Null, 0);
        loop {
            let status = self.server.status(id).await;
            if status["state"] == "finished" {
                break;
            }
            let told = self.receiver.told();
            assert!(Instant::now() < end, "{status}\n{told}\n{}", self.server.stderr());
            tokio::time::sleep(Duration::from_millis(500)).await;
            still = if status["messages"] == before { still + 1 } else { 0 };
            before = status["messages"].clone();
            if still >= 4 {
                self.turn(20);
                still = 0;
            }
        }
        self.server.verify(id).await;
        self.server.cli(&["delivery", "log", id]).await.done().as_array().unwrap().clone()
    }

    /// All of it arrived over TLS, and the log says which certificate it was and what proved it.
    fn proven(&self, rows: &[Value], identity: &Identity, proof: &str, lies_there: usize) {
        let certificate: String =
            identity.tlsa_certificate().iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(rows.len(), COUNT);
        for row in rows {
            assert_eq!(row["state"], "sent", "{row}");
            assert_eq!(row["tls"]["proof"], proof, "{row}");
            assert_eq!(row["tls"]["certificate"], certificate.as_str(), "{row}");
        }
        for mail in self.receiver.mail(lies_there, stories::WAIT) {
            let text = String::from_utf8_lossy(&std::fs::read(mail).unwrap()).into_owned();
            assert!(text.split("\n\n").next().unwrap().contains(POSTFIX.over_tls), "{text}");
        }
    }
}

fn issue(authority: &Authority, name: &str, quality: Quality) -> Identity {
    authority.issue(&[format!("mx.{name}.example")], quality, KeyKind::Rsa).unwrap()
}

/// RFC 7672: the right key is proof enough, whoever signed it; a wrong one keeps the mail back until it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dane_with_postfix() {
    let Some(scene) = Scene::start("dane", 11, Quality::SelfSigned).await else { return };
    let first = issue(&scene.authority, "dane", Quality::SelfSigned);
    scene.receiver.site.show(&first).unwrap();
    scene.name_in_dns(&first);
    let right = scene.server.campaign("right", &scene.targets(0), MORE).await;
    scene.proven(&scene.over(&right).await, &first, "dane", COUNT);
    assert!(!scene.receiver.told().contains("SSL_accept error"), "{}", scene.receiver.told());
    // The DNS names the next key already, and somebody forgot the host.
    let next = issue(&scene.authority, "dane", Quality::SelfSigned);
    scene.name_in_dns(&next);
    scene.turn(20);
    let wrong = scene.server.campaign("wrong", &scene.targets(COUNT), MORE).await;
    scene.refused(&wrong, COUNT).await;
    scene.receiver.site.show(&next).unwrap();
    scene.proven(&scene.over(&wrong).await, &next, "dane", 2 * COUNT);
}

/// RFC 8461: where the policy enforces, a certificate for another name keeps the mail back until it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mta_sts_with_postfix() {
    let Some(scene) = Scene::start("sts", 12, Quality::WrongName).await else { return };
    let (domain, host) = (&scene.receiver.site.domain, &scene.receiver.site.host);
    let policy = format!("version: STSv1\r\nmode: enforce\r\nmx: {host}\r\nmax_age: 86400\r\n");
    scene.policies.put(&format!("mta-sts.{domain}/.well-known/mta-sts.txt"), &policy);
    scene.internet.publish(&format!("_mta-sts.{domain}"), "TXT", "v=STSv1; id=20261126;");
    let id = scene.server.campaign("sts", &scene.targets(0), MORE).await;
    scene.refused(&id, 0).await;
    let good = issue(&scene.authority, "sts", Quality::Good);
    scene.receiver.site.show(&good).unwrap();
    scene.proven(&scene.over(&id).await, &good, "sts", COUNT);
}
