//! A tree of zones signed by ldns, served by Unbound: what is proven, what is not, and what is wrong. Unbound proves for
//! us in one half of the test, and only hands out signatures in the other, where we prove ourselves.

#![allow(clippy::unwrap_used)]

mod oracle;

use std::fmt::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use net::{
    DnsError, DnsResolver, Dnssec, HostTlsa, MailHosts, Patience, RecordKind, Resolver, Tlsa, mail_host_tlsa,
    mail_hosts,
};
use oracle::{Running, free_port, program, said};

const LABELS: [&str; 6] = ["signed", "nsec3", "bogus", "stripped", "naked", "plain"];
const SOA: &str = "IN SOA ns.example. admin.example. 1 3600 600 864000 60";

fn ldns(name: &str, folder: &Path) -> std::process::Command {
    let mut command = program(name, "ldnsutils", &["libldns3"]);
    command.current_dir(folder);
    command
}

/// The records of a zone with a mail host.
fn zone(name: &str) -> String {
    format!(
        "{name}. 300 {SOA}\n{name}. 300 IN NS ns.{name}.\nns.{name}. 300 IN A 127.0.0.1\n\
         {name}. 300 IN MX 10 mx.{name}.\nmx.{name}. 300 IN A 192.0.2.1\n\
         _25._tcp.mx.{name}. 300 IN TLSA 3 1 1 {}\nalias.{name}. 300 IN CNAME mx.{name}.\n\
         away.{name}. 300 IN CNAME mx.plain.example.\n_25._tcp.away.{name}. 300 IN TLSA 3 1 1 {}\n\
         *.wild.{name}. 300 IN MX 10 mx.{name}.\n*.wild.{name}. 300 IN A 192.0.2.2\n\
         taken.wild.{name}. 300 IN TXT \"nothing else\"\n*._tcp.many.{name}. 300 IN TLSA 3 1 1 {}\n\
         many.{name}. 300 IN A 192.0.2.3\n*.lead.{name}. 300 IN CNAME mx.{name}.\n",
        "ab".repeat(32),
        "cd".repeat(32),
        "ef".repeat(32)
    )
}

/// Signs a zone file; gives the name of its key's files.
fn sign(folder: &Path, name: &str, with_nsec3: bool) -> String {
    let key = said(ldns("ldns-keygen", folder).args(["-k", "-a", "ECDSAP256SHA256", name]));
    let key = key.trim().to_owned();
    let mut signing = ldns("ldns-signzone", folder);
    if with_nsec3 {
        signing.arg("-n");
    }
    said(signing.args(["-o", name, &file(name), &key]));
    key
}

fn file(name: &str) -> String {
    if name == "." { "root.zone".to_owned() } else { format!("{name}.zone") }
}

/// `signed` and `nsec3` are in order; the signatures of `bogus` do not fit; `stripped` should be signed and is not; `naked`
/// proves of no name that it is not there; `plain` need not be signed.
fn write_zones(folder: &Path) {
    let put = |name: &str, text: &str| std::fs::write(folder.join(file(name)), text).unwrap();
    let mut parent =
        format!("example. 300 {SOA}\nexample. 300 IN NS ns.example.\nns.example. 300 IN A 127.0.0.1\n");
    for label in LABELS {
        let name = format!("{label}.example");
        put(&name, &zone(&name));
        write!(parent, "{name}. 300 IN NS ns.{name}.\nns.{name}. 300 IN A 127.0.0.1\n").unwrap();
        if label != "plain" {
            let key = sign(folder, &name, label == "nsec3");
            parent += &std::fs::read_to_string(folder.join(format!("{key}.ds"))).unwrap();
        }
    }
    let signed = folder.join("bogus.example.zone.signed");
    let wrong = std::fs::read_to_string(&signed).unwrap();
    assert!(wrong.contains("192.0.2.1\n"));
    std::fs::write(signed, wrong.replace("192.0.2.1\n", "192.0.2.66\n")).unwrap();
    let signed = folder.join("naked.example.zone.signed");
    let whole = std::fs::read_to_string(&signed).unwrap();
    let is_nsec = |line: &str| line.split_whitespace().any(|word| word == "NSEC");
    assert!(whole.lines().any(is_nsec));
    let naked: String = whole.lines().filter(|line| !is_nsec(line)).map(|line| format!("{line}\n")).collect();
    std::fs::write(signed, naked).unwrap();
    std::fs::copy(folder.join("stripped.example.zone"), folder.join("stripped.example.zone.signed")).unwrap();
    std::fs::copy(folder.join("plain.example.zone"), folder.join("plain.example.zone.signed")).unwrap();
    put("example", &parent);
    let key = sign(folder, "example", true);
    let ds = std::fs::read_to_string(folder.join(format!("{key}.ds"))).unwrap();
    put(
        ".",
        &format!(
            ". 300 {SOA}\n. 300 IN NS ns.root.\nns.root. 300 IN A 127.0.0.1\nexample. 300 IN NS ns.example.\n\
             ns.example. 300 IN A 127.0.0.1\n{ds}"
        ),
    );
    let key = sign(folder, ".", false);
    std::fs::copy(folder.join(format!("{key}.key")), folder.join("anchor")).unwrap();
}

fn unbound(folder: &Path, modules: &str) -> (Running, String) {
    let port = free_port();
    let mut config = format!(
        "server:\n interface: 0.0.0.0@{port}\n port: {port}\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n use-syslog: no\n username: \"\"\n \
         chroot: \"\"\n directory: \"{0}\"\n pidfile: \"\"\n do-not-query-localhost: no\n module-config: \"{modules}\"\n \
         trust-anchor-file: \"{0}/anchor\"\nremote-control:\n control-enable: no\n",
        folder.display()
    );
    let names = LABELS.map(|label| format!("{label}.example"));
    for name in [".".to_owned(), "example".to_owned()].iter().chain(&names) {
        write!(
            config,
            "auth-zone:\n name: \"{name}\"\n zonefile: \"{}/{}.signed\"\n for-downstream: no\n for-upstream: yes\n",
            folder.display(),
            file(name)
        )
        .unwrap();
    }
    let path = folder.join(format!("{port}.conf"));
    std::fs::write(&path, config).unwrap();
    let libraries = ["libevent-2.1-7", "libhiredis0.14", "libnghttp2-14", "libprotobuf-c1", "libpython3.11"];
    let mut command = program("unbound", "unbound", &libraries);
    let child = command.arg("-d").arg("-c").arg(path).stderr(Stdio::null()).spawn().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60), "Unbound does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    (Running(child), address.to_string())
}

fn open(address: &str, dnssec: Dnssec) -> DnsResolver {
    DnsResolver::open(&[address.to_owned()], dnssec, Patience::default()).unwrap()
}

/// What must hold whoever proves.
async fn judge(resolver: &DnsResolver, ours: bool) {
    let proven =
        |name: &'static str, kind| async move { resolver.lookup(name, kind).await.map(|found| found.secure) };
    for label in ["signed.example", "nsec3.example"] {
        assert!(
            matches!(mail_hosts(resolver, label).await, MailHosts::Hosts { secure: true, .. }),
            "{label}"
        );
        let host = format!("mx.{label}");
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab; 32] };
        assert_eq!(resolver.tlsa(&host, 25).await, Ok((vec![record], true)), "{label}");
        let (addresses, secure) = resolver.proven_addresses(&host).await.unwrap();
        assert_eq!((addresses.len(), secure), (1, true), "{label}");
        // Proven not to be there.
        assert_eq!(resolver.tlsa(&format!("ns.{label}"), 25).await, Ok((vec![], false)), "{label}");
        assert!(matches!(resolver.mx(&host).await, Err(DnsError::NoRecord { .. })), "{label}");
        let gone = format!("gone.{label}");
        assert!(matches!(resolver.mx(&gone).await, Err(DnsError::NoSuchName { .. })), "{label}");
    }
    for label in ["signed.example", "nsec3.example"] {
        let as_served = !ours || label == "nsec3.example";
        wildcards(resolver, label, as_served).await;
        aliases(resolver, label, as_served).await;
    }
    // RFC 4035 section 5.3.4: a wildcard's answer says nothing without proof that there is no closer name.
    for kind in [RecordKind::Mx, RecordKind::A] {
        let found = resolver.lookup("any.wild.naked.example", kind).await;
        assert!(matches!(found, Err(DnsError::Defer(_))), "{found:?}");
    }
    assert_eq!(proven("alias.signed.example", RecordKind::A).await, Ok(true));
    // An alias out of a signed zone proves nothing about where it leads.
    assert_eq!(proven("away.signed.example", RecordKind::A).await, Ok(false));
    assert!(matches!(mail_hosts(resolver, "plain.example").await, MailHosts::Hosts { secure: false, .. }));
    assert!(
        matches!(resolver.tlsa("mx.plain.example", 25).await, Ok((records, false)) if records.len() == 1)
    );
    // What is wrong is no answer: RFC 7672 section 2.1.2.
    assert!(matches!(resolver.a("mx.bogus.example").await, Err(DnsError::Defer(_))));
    for kind in [RecordKind::Mx, RecordKind::A] {
        let name = if kind == RecordKind::Mx { "stripped.example" } else { "mx.stripped.example" };
        assert!(matches!(proven(name, kind).await, Err(DnsError::Defer(_))), "{name}");
    }
    assert!(matches!(resolver.tlsa("mx.stripped.example", 25).await, Err(DnsError::Defer(_))));
}

/// RFC 4592: what a wildcard stands for is proven as what stands there itself (RFC 4035 section 5.3.4, RFC 5155 section 8.8),
/// and that it stands for nothing of the kind too (sections 8.7 and 8.8 there).
///
/// Unbound serves a zone with NSEC with the proof's own name replaced by the one that was asked about, which a validator has to
/// refuse (RFC 4035 section 5.3.2); what is right there is tested beside `wildcards.rs`.
async fn wildcards(resolver: &DnsResolver, label: &str, as_served: bool) {
    let names: &[&str] = if as_served { &["any", "a.b", "_25._tcp.x"] } else { &[] };
    for below in names {
        let domain = format!("{below}.wild.{label}");
        let hosts = mail_hosts(resolver, &domain).await;
        assert!(matches!(hosts, MailHosts::Hosts { secure: true, .. }), "{domain}: {hosts:?}");
        let (addresses, secure) = resolver.proven_addresses(&domain).await.unwrap();
        assert_eq!((addresses.len(), secure), (1, true), "{domain}");
    }
    if as_served {
        assert_eq!(resolver.tlsa(&format!("any.wild.{label}"), 25).await, Ok((vec![], false)), "{label}");
        let none = resolver.aaaa(&format!("any.wild.{label}")).await;
        assert!(matches!(none, Err(DnsError::NoRecord { .. })), "{label}: {none:?}");
        let every_port = resolver.tlsa(&format!("many.{label}"), 25).await;
        assert!(
            matches!(&every_port, Ok((records, true)) if records[0].data == [0xef; 32]),
            "{every_port:?}"
        );
    }
    // A name that is there is not the wildcard's, nor is what lies below it.
    let taken = resolver.mx(&format!("taken.wild.{label}")).await;
    assert!(matches!(taken, Err(DnsError::NoRecord { .. })), "{label}: {taken:?}");
    let below = resolver.mx(&format!("below.taken.wild.{label}")).await;
    assert!(matches!(below, Err(DnsError::NoSuchName { .. })), "{label}: {below:?}");
}

/// RFC 7672 section 2.2.2: where the certificate of a host that is an alias is looked for.
async fn aliases(resolver: &DnsResolver, label: &str, as_served: bool) {
    let record = |octet| Tlsa { usage: 3, selector: 1, matching: 1, data: vec![octet; 32] };
    let looked = |host: String| async move { mail_host_tlsa(resolver, &host, 25).await };
    let own = HostTlsa { base: format!("mx.{label}"), records: vec![record(0xab)] };
    assert_eq!(looked(format!("mx.{label}")).await, Ok(Some(own.clone())));
    assert_eq!(looked(format!("alias.{label}")).await, Ok(Some(own.clone())));
    if as_served {
        assert_eq!(looked(format!("any.lead.{label}")).await, Ok(Some(own)), "{label}: a wildcard's alias");
    }
    // It leads out of what is signed, so its own name counts alone.
    let away = HostTlsa { base: format!("away.{label}"), records: vec![record(0xcd)] };
    assert_eq!(looked(format!("away.{label}")).await, Ok(Some(away)));
    assert_eq!(looked("alias.plain.example".to_owned()).await, Ok(None));
    assert_eq!(looked(format!("ns.{label}")).await, Ok(None));
}

/// An address of this machine that is not loopback; none on a machine without a network.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: only asks which way it would go.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_proven_as_unbound_proves_them() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path());
    let (_proving, address) = unbound(folder.path(), "validator iterator");
    // A name server on this machine is believed.
    judge(&open(&address, Dnssec::Auto), false).await;
    let off = open(&address, Dnssec::Off);
    assert!(matches!(mail_hosts(&off, "signed.example").await, MailHosts::Hosts { secure: false, .. }));

    let (_serving, address) = unbound(folder.path(), "iterator");
    judge(
        &DnsResolver::open_anchored(std::slice::from_ref(&address), &folder.path().join("anchor")).unwrap(),
        true,
    )
    .await;
    // From another root's keys nothing of this tree is right.
    let strangers = open(&address, Dnssec::Validate);
    assert!(matches!(strangers.mx("signed.example").await, Err(DnsError::Defer(_))));
    // A server elsewhere that hands out the root's signatures is not believed: its answers are proven, here from another
    // root's keys, so none holds. Texts are not proven, so they are had.
    if let Some(ip) = own_address() {
        let elsewhere = address.replace("127.0.0.1", &ip.to_string());
        let auto = open(&elsewhere, Dnssec::Auto);
        assert!(matches!(auto.mx("signed.example").await, Err(DnsError::Defer(_))));
        assert!(matches!(auto.txt("signed.example").await, Err(DnsError::NoRecord { .. })));
    }
}
