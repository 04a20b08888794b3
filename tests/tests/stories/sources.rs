//! From which address mail leaves: over IPv6, and from another machine by a proxy that speaks the PROXY protocol. What the
//! receivers saw decides.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use stories::campaign::addresses;
use stories::judge::judge;
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Node, Place, Receiver, Shared, What, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The addresses that accepted messages of a provider came from.
fn peers(internet: &Internet, provider: &str) -> BTreeSet<IpAddr> {
    let events = internet.log().events();
    let taken = events.iter().filter(|event| event.what == What::Accepted && event.provider == provider);
    taken.filter_map(|event| event.peer).collect()
}

/// A host that has an IPv6 address only, and one whose IPv6 address nobody answers at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_reached_over_ipv6() {
    let both = Behaviour::accepting("both", "mx.both.example");
    let place = Place::new(both, Ipv4Addr::new(127, 0, 85, 1)).domain("both.example", &["mx.both.example"]);
    let internet = Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap();
    let Ok(listener) = TcpListener::bind((SIX, internet.port())).await else {
        println!("\n*** SKIPPED: this machine has no IPv6, so nothing was shown about it\n");
        return;
    };
    let mailboxes = Some(Arc::clone(internet.mailboxes()));
    let shared = Shared::new(Arc::clone(internet.log()), mailboxes, None);
    let mut six = Behaviour::accepting("six", "mx.six.example");
    six.starttls = false;
    let _six = Receiver::on(listener, testkit::Provider::new(six), shared).unwrap();
    internet.change_zone(|zone| {
        zone.set("six.example", Node::mail(&["mx.six.example"]));
        zone.set("mx.six.example", Node::host(SIX));
        // On this one nobody listens; the other family does.
        zone.node("mx.both.example").addresses.insert(0, "::2".parse().unwrap());
    });
    let config = internet.settings().replace("\"127.0.0.0/8\"", "\"127.0.0.0/8\", \"::/126\"");
    let server = Server::start(Database::Sqlite, ServerOptions { config, ..ServerOptions::default() }).await;
    let targets = addresses(40, &["six.example", "both.example"]);
    let id = server.campaign("six", &targets, "").await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 40, "{status}");
    assert_eq!(peers(&internet, "six"), BTreeSet::from([SIX]));
    assert!(peers(&internet, "both").iter().all(IpAddr::is_ipv4));
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &[]);
    assert_eq!((verdict.duplicates, verdict.arrived), (0, 40));
    server.verify(&id).await;
}

/// A proxy for sending, as far as it takes: it dials whom the header names, from the address that the header names. Other
/// proxies were not written for it, so it holds to the specification: version 2, section 2.2.
async fn proxy(listener: TcpListener, dialled: Arc<AtomicUsize>) {
    while let Ok((near, _)) = listener.accept().await {
        let dialled = Arc::clone(&dialled);
        tokio::spawn(async move {
            let _ = lead(near, &dialled).await;
        });
    }
}

async fn lead(mut near: TcpStream, dialled: &AtomicUsize) -> std::io::Result<()> {
    let mut head = [0; 16];
    near.read_exact(&mut head).await?;
    assert_eq!(&head[..12], b"\r\n\r\n\0\r\nQUIT\n", "the signature");
    assert_eq!(head[12..16], [0x21, 0x11, 0, 12], "version 2, PROXY, TCP over IPv4, twelve octets");
    let mut ends = [0; 12];
    near.read_exact(&mut ends).await?;
    let address = |at: usize| IpAddr::V4(Ipv4Addr::new(ends[at], ends[at + 1], ends[at + 2], ends[at + 3]));
    let to = SocketAddr::new(address(4), u16::from_be_bytes([ends[10], ends[11]]));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(address(0), 0))?;
    let mut far = socket.connect(to).await?;
    dialled.fetch_add(1, Ordering::SeqCst);
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    far.shutdown().await
}

/// A source whose address another machine has: each connection goes by the proxy there, and comes from that address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_on_another_machine_sends_by_its_proxy() {
    const AWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 85, 101);
    let behaviour = Behaviour::accepting("far", "mx.far.example");
    let place =
        Place::new(behaviour, Ipv4Addr::new(127, 0, 85, 2)).domain("far.example", &["mx.far.example"]);
    let internet = Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 85, 100), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialled = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(proxy(listener, Arc::clone(&dialled)));
    let config = internet.settings();
    let server = Server::start(Database::Sqlite, ServerOptions { config, ..ServerOptions::default() }).await;
    let new = json!({"name": "away", "address": AWAY, "proxy": address.to_string()});
    let made = server.request(reqwest::Method::POST, "/sources").json(&new).send().await.unwrap();
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    let off = server.request(reqwest::Method::PATCH, "/sources/default").json(&json!({"enabled": false}));
    assert!(off.send().await.unwrap().status().is_success());
    // The engine follows within a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let targets = addresses(60, &["far.example"]);
    let id = server.campaign("away", &targets, "").await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 60, "{status}");
    assert_eq!(peers(&internet, "far"), BTreeSet::from([IpAddr::V4(AWAY)]));
    let count = |what: What| internet.log().events().iter().filter(|event| event.what == what).count();
    // One that was dialled a moment ago may not have been met yet.
    let end = Instant::now() + stories::WAIT;
    while count(What::Open) != dialled.load(Ordering::SeqCst) {
        assert!(Instant::now() < end, "no connection went past the proxy: {}", count(What::Open));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mails: Vec<_> = targets.iter().flat_map(|address| internet.mailboxes().of(address)).collect();
    assert!(mails.len() == 60 && mails.iter().all(|mail| mail.tls), "STARTTLS goes through it");

    // Without its proxy it cannot send: the mail waits, and does not go from another address.
    task.abort();
    let _ = task.await;
    let end = Instant::now() + stories::WAIT;
    while count(What::Close) < count(What::Open) {
        assert!(Instant::now() < end, "connections stay open that nobody uses");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let more = addresses(10, &["far.example"]).iter().map(|to| format!("later{to}")).collect::<Vec<_>>();
    let next = server.campaign("later", &more, "").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = server.status(&next).await;
    assert_eq!(status["messages"]["pending"], 10, "{status}");
    assert_eq!(peers(&internet, "far"), BTreeSet::from([IpAddr::V4(AWAY)]));
    server.verify(&id).await;
}
