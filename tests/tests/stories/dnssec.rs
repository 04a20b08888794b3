//! DANE behind a resolver and signatures that were not made here: unbound validates zones that ldns signed, and says so.
//! A signed record is believed, a forged one keeps the mail back, an unsigned one is nobody's promise. Mail hosts that are
//! aliases, and domains that a wildcard stands for, are believed as the others are.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use stories::packages::{Jail, packages};
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 82, 200);
/// Each is a zone: what it is, whether its TLSA is the certificate's, whether the mail comes.
const ZONES: [(&str, bool, bool); 8] = [
    ("signed.example", true, true),
    // Somebody changed the record after it was signed.
    ("forged.example", true, false),
    // Signed, and not what the host shows.
    ("other.example", false, false),
    // Nobody signed it, so its wrong record says nothing.
    ("unsigned.example", false, true),
    // The mail host is an alias, and the record stands where it leads.
    ("alias.example", true, true),
    // The same, and what stands under the alias itself does not count then (RFC 7672 section 2.2.2).
    ("stale.example", false, false),
    // The domain is one that a wildcard stands for.
    ("wild.example", true, true),
    ("wilder.example", false, false),
];

/// Where mail for a zone goes to.
fn address_in(domain: &str) -> String {
    if domain.starts_with("wild") { format!("someone@any.{domain}") } else { format!("someone@{domain}") }
}

/// `key` is the certificate's; `tlsa` what is published of it.
fn zone(domain: &str, number: u8, port: u16, tlsa: &[u8], key: &[u8]) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    let (published, own) = (hex(tlsa), hex(key));
    let begin = format!(
        "$ORIGIN {domain}.\n$TTL 60\n@ IN SOA ns.{domain}. hostmaster.{domain}. 1 3600 600 86400 60\n@ IN NS ns.{domain}.\n\
         ns IN A 127.0.0.1\n"
    );
    let owner = if domain.starts_with("wild") { "*" } else { "@" };
    let begin = format!("{begin}{owner} IN MX 10 mx.{domain}.\n");
    let host = if matches!(domain, "alias.example" | "stale.example") { "real" } else { "mx" };
    let mut zone =
        format!("{begin}{host} IN A 127.0.82.{number}\n_{port}._tcp.{host} IN TLSA 3 1 1 {published}\n");
    if host == "real" {
        zone.push_str("mx IN CNAME real\n");
    }
    if domain == "stale.example" {
        zone.push_str(&format!("_{port}._tcp.mx IN TLSA 3 1 1 {own}\n"));
    }
    zone
}

/// Signs the zones and starts unbound on them.
fn resolver(folder: &Path, port: u16, zones: &[(String, String)]) -> Result<Jail, String> {
    let mut script = String::new();
    let mut config = format!(
        "server:\n directory: \"\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n\
         \x20interface: {RESOLVER}@{port}\n access-control: 127.0.0.0/8 allow\n do-not-query-localhost: no\n\
         \x20module-config: \"validator iterator\"\n"
    );
    let mut served = String::new();
    for (domain, text) in zones {
        std::fs::write(folder.join(format!("{domain}.zone")), text).map_err(|error| error.to_string())?;
        let mut file = format!("{domain}.zone");
        if !domain.starts_with("unsigned") {
            script.push_str(&format!(
                "key=$(ldns-keygen -a ECDSAP256SHA256 -k {domain})\nldns-signzone {file} $key\nmv $key.key {domain}.anchor\n"
            ));
            config.push_str(&format!(" trust-anchor-file: \"{}/{domain}.anchor\"\n", folder.display()));
            file.push_str(".signed");
        }
        if domain.starts_with("forged") {
            script.push_str(&format!("sed -i -E 's/(TLSA\\s+3 1 1 )(..)/\\100/' {file}\n"));
        }
        served.push_str(&format!(
            "auth-zone:\n name: \"{domain}\"\n zonefile: \"{}/{file}\"\n for-downstream: no\n for-upstream: yes\n fallback-enabled: no\n",
            folder.display()
        ));
    }
    std::fs::write(folder.join("unbound.conf"), config + &served).map_err(|error| error.to_string())?;
    let libraries = [
        ("libprotobuf-c.so.1", "libprotobuf-c1"),
        ("libevent-2.1.so.7", "libevent-2.1-7"),
        ("libldns.so.3", "libldns3"),
    ];
    let mut needed = packages("unbound", &libraries)?;
    needed.extend(packages("ldnsutils", &[])?);
    script.push_str("exec unbound -d -c unbound.conf\n");
    Jail::start(&needed, folder, &script)
}

/// Asks until somebody answers.
fn wait_ready(jail: &mut Jail, port: u16) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x06signed\x07example\0\0\x0f\0\x01";
    let end = Instant::now() + stories::WAIT;
    loop {
        let _ = socket.send_to(question, (RESOLVER, port));
        if socket.recv(&mut [0; 512]).is_ok() {
            return;
        }
        assert!(jail.runs() && Instant::now() < end, "{}", jail.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dane_by_a_foreign_resolver() {
    let places = ZONES.iter().zip(1u8..).map(|((domain, ..), number)| {
        let behaviour = Behaviour::accepting(domain, &format!("mx.{domain}"));
        Place::new(behaviour, Ipv4Addr::new(127, 0, 82, number)).domain(domain, &[&format!("mx.{domain}")])
    });
    let internet =
        Internet::start(&World { places: places.collect() }, InternetOptions::default()).await.unwrap();
    let zones: Vec<(String, String)> = ZONES
        .iter()
        .zip(1u8..)
        .map(|((domain, right, _), number)| {
            let key = internet.certificate(domain).unwrap().identity().tlsa_key();
            let tlsa = if *right { key.clone() } else { vec![0x5A; 32] };
            ((*domain).to_owned(), zone(domain, number, internet.port(), &tlsa, &key))
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let port = testkit::port_to_keep();
    let mut jail = match resolver(folder.path(), port, &zones) {
        Ok(jail) => jail,
        Err(why) => {
            println!(
                "\n*** SKIPPED: unbound and ldns could not be had, so nothing was shown with them: {why}\n"
            );
            return;
        }
    };
    wait_ready(&mut jail, port);
    let nameserver = SocketAddr::from((RESOLVER, port)).to_string();
    let config = internet.settings().replace(&internet.nameserver().to_string(), &nameserver);
    let server = Server::start(Database::Sqlite, ServerOptions { config, ..ServerOptions::default() }).await;
    let targets: Vec<String> = ZONES.iter().map(|(domain, ..)| address_in(domain)).collect();
    let id = server.campaign("dnssec", &targets, "").await;
    let expected = ZONES.iter().filter(|(.., comes)| *comes).count() as u64;
    let end = Instant::now() + stories::WAIT;
    while internet.mailboxes().arrived() < expected && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.wait_until(&id, |status| status["messages"]["sent"].as_u64() >= Some(expected)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rows = server.log(&id).await;
    for ((domain, _, comes), target) in ZONES.iter().zip(&targets) {
        let mails = internet.mailboxes().of(target);
        assert_eq!(
            mails.len(),
            usize::from(*comes),
            "{domain}: {:?}\n{}\n{}",
            rows[target],
            jail.output(),
            server.stderr()
        );
        assert!(mails.iter().all(|mail| mail.tls), "{domain} came in clear");
        assert_eq!(rows[target].state, if *comes { "sent" } else { "pending" }, "{:?}", rows[target]);
    }
}
