//! The DNS double is asked by a resolver that was not written here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use testkit::{DnsDouble, Fault, Node, World, Zone};

async fn started(zone: Zone) -> DnsDouble {
    DnsDouble::start(zone, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("starts")
}

fn resolver(server: &DnsDouble) -> TokioResolver {
    let address = server.address();
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = address.port();
    tcp.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![udp, tcp]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    // Nobody answers `silent.example`; everybody else does, on a busy machine too.
    builder.options_mut().timeout = Duration::from_secs(5);
    builder.options_mut().attempts = 1;
    builder.options_mut().cache_size = 0;
    builder.build().expect("builds")
}

#[tokio::test]
async fn answers_what_mail_asks() {
    let server = started(World::demo().zone()).await;
    let resolver = resolver(&server);
    let mx = resolver.mx_lookup("gmail.com.").await.expect("MX");
    let answers = mx.answers();
    assert_eq!(answers.len(), 2);
    assert!(answers[0].to_string().contains("gmail-smtp-in.l.google.com."), "{}", answers[0]);
    let found = resolver.lookup_ip("alt1.gmail-smtp-in.l.google.com.").await.expect("A");
    let addresses: Vec<IpAddr> = found.iter().collect();
    assert_eq!(addresses, [IpAddr::V4(Ipv4Addr::new(127, 0, 10, 2))]);
    // Not a loopback address: this resolver answers for those itself (RFC 6761).
    server.change(|zone| zone.node("5.113.0.203.in-addr.arpa").ptr.push("mail.shop.example".to_owned()));
    let names = resolver.reverse_lookup(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5))).await.expect("PTR");
    assert!(names.answers()[0].to_string().contains("mail.shop.example"), "{}", names.answers()[0]);
    assert!(resolver.mx_lookup("tail1999.example.").await.is_ok());
}

#[tokio::test]
async fn a_long_text_comes_over_tcp() {
    let mut zone = Zone::new();
    let key = "k".repeat(2_000);
    zone.publish("mw1._domainkey.shop.example", "TXT", &key);
    let server = started(zone).await;
    let found = resolver(&server).txt_lookup("mw1._domainkey.shop.example.").await.expect("TXT");
    assert!(found.answers()[0].to_string().replace(['"', ' '], "").contains(&key));
}

#[tokio::test]
async fn null_mx_absence_trouble_and_silence_are_four_things() {
    let mut zone = Zone::new();
    zone.set("null.example", Node::null_mx());
    zone.set("nodata.example", Node::host(Ipv4Addr::LOCALHOST.into()));
    zone.set("broken.example", Node::broken(Fault::ServFail));
    zone.set("silent.example", Node::broken(Fault::Silent));
    let mut slow = Node::mail(&["mx.slow.example"]);
    slow.delay = Duration::from_millis(200);
    zone.set("slow.example", slow);
    let server = started(zone).await;
    let resolver = resolver(&server);

    let null = resolver.mx_lookup("null.example.").await.expect("null MX");
    assert!(null.answers()[0].to_string().ends_with("0 ."), "{}", null.answers()[0]);
    let no_data = resolver.mx_lookup("nodata.example.").await.expect_err("no data");
    assert!(no_data.is_no_records_found() && !no_data.is_nx_domain(), "{no_data}");
    let no_name = resolver.mx_lookup("no.example.").await.expect_err("no name");
    assert!(no_name.is_nx_domain(), "{no_name}");
    let broken = resolver.mx_lookup("broken.example.").await.expect_err("SERVFAIL");
    assert!(!broken.is_nx_domain(), "{broken}");
    assert!(resolver.mx_lookup("silent.example.").await.is_err());
    let begun = Instant::now();
    assert!(resolver.mx_lookup("slow.example.").await.is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(server.questions() >= 6);
}

#[tokio::test]
async fn tlsa_records_and_the_bit_of_a_validating_resolver() {
    let mut zone = Zone::new();
    zone.node("_25._tcp.mx.p.example").tlsa.push((3, 1, 1, vec![0xAB; 32]));
    zone.secure(&["_25._tcp.mx.p.example"]);
    zone.set("plain.example", Node::host(Ipv4Addr::LOCALHOST.into()));
    let server = started(zone).await;
    let found = resolver(&server).tlsa_lookup("_25._tcp.mx.p.example.").await.expect("TLSA");
    assert!(
        found.answers()[0].to_string().to_lowercase().ends_with(&format!("3 1 1 {}", "ab".repeat(32))),
        "{}",
        found.answers()[0]
    );
    // The bit itself, from the octets: word 1 of the answer.
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let mut bits = Vec::new();
    for name in [&b"\x03_25\x04_tcp\x02mx\x01p\x07example\0"[..], b"\x05plain\x07example\0"] {
        let mut question = vec![0, 1, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend_from_slice(name);
        question.extend_from_slice(&[0, 52, 0, 1]);
        socket.send_to(&question, server.address()).await.expect("sends");
        let mut answer = [0; 512];
        socket.recv(&mut answer).await.expect("answers");
        bits.push(answer[3] & 0x20 != 0);
    }
    assert_eq!(bits, [true, false]);
}
