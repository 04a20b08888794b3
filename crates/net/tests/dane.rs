//! Which TLSA records name a server's certificate: OpenSSL's client and ours decide about the same server, and must agree.

#![allow(clippy::unwrap_used)]

mod oracle;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use net::{Demand, Proven, Tls, TlsError, Tlsa, dane_usable};
use oracle::{Running, free_port, said};

const HOST: &str = "mx.dane.example";
const WAIT: Duration = Duration::from_secs(60);

/// A root, an intermediate authority and the server's certificate, which is out of date when `days` is negative.
fn certificates(folder: &Path, host: &str, dates: &[&str]) {
    let openssl = |arguments: &[&str]| said(Command::new("openssl").args(arguments).current_dir(folder));
    std::fs::write(
        folder.join("ca.ext"),
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
    )
    .unwrap();
    std::fs::write(folder.join("ee.ext"), format!("basicConstraints=CA:FALSE\nsubjectAltName=DNS:{host}\n"))
        .unwrap();
    for name in ["root", "middle", "server"] {
        openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            &format!("{name}.key"),
        ]);
        let subject = format!("/CN={name} of {host}");
        openssl(&[
            "req",
            "-new",
            "-key",
            &format!("{name}.key"),
            "-subj",
            &subject,
            "-out",
            &format!("{name}.csr"),
        ]);
    }
    openssl(&[
        "x509", "-req", "-in", "root.csr", "-signkey", "root.key", "-days", "30", "-extfile", "ca.ext",
        "-out", "root.pem",
    ]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        "middle.csr",
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
        "-days",
        "30",
        "-extfile",
        "ca.ext",
        "-out",
        "middle.pem",
    ]);
    let mut last = vec![
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "middle.pem",
        "-CAkey",
        "middle.key",
        "-extfile",
        "ee.ext",
        "-out",
        "server.pem",
    ];
    last.extend_from_slice(dates);
    openssl(&last);
    let chain =
        ["middle.pem", "root.pem"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).concat();
    std::fs::write(folder.join("chain.pem"), chain).unwrap();
}

fn serve(folder: &Path) -> (Running, SocketAddr) {
    let port = free_port();
    let child = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-accept",
            &port.to_string(),
            "-cert",
            "server.pem",
            "-key",
            "server.key",
        ])
        .args(["-cert_chain", "chain.pem"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let begin = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < WAIT, "openssl s_server does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    (Running(child), address)
}

/// A record of a certificate; its data computed by OpenSSL.
fn record(folder: &Path, of: &str, usage: u8, selector: u8, matching: u8) -> Tlsa {
    let der = folder.join("der");
    let pem = format!("{of}.pem");
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["x509", "-in", &pem]);
    if selector == 0 {
        said(command.args(["-outform", "DER", "-out", "der"]));
    } else {
        let key = said(command.args(["-noout", "-pubkey"]));
        std::fs::write(folder.join("pub"), key).unwrap();
        said(
            Command::new("openssl")
                .current_dir(folder)
                .args(["pkey", "-pubin", "-in", "pub", "-outform", "DER", "-out", "der"]),
        );
    }
    let data = match matching {
        0 => std::fs::read(der).unwrap(),
        _ => {
            let digest = if matching == 1 { "-sha256" } else { "-sha512" };
            said(
                Command::new("openssl")
                    .current_dir(folder)
                    .args(["dgst", digest, "-binary", "-out", "digest", "der"]),
            );
            std::fs::read(folder.join("digest")).unwrap()
        }
    };
    Tlsa { usage, selector, matching, data }
}

/// What OpenSSL's client decides.
fn openssl_takes(address: SocketAddr, records: &[Tlsa]) -> bool {
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-connect",
        &address.to_string(),
        "-brief",
        "-verify_return_error",
        "-dane_ee_no_namechecks",
    ]);
    command.args(["-dane_tlsa_domain", HOST, "-servername", HOST]);
    for record in records {
        command.args(["-dane_tlsa_rrdata", &record.to_string()]);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success() && words.contains("Verification: OK")
}

async fn we_take(address: SocketAddr, records: &[Tlsa]) -> bool {
    let tls = Tls::new(&[]).unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let records = dane_usable(records).into();
    let demand = Demand::Dane { base: HOST.to_owned(), records, names: Vec::new() };
    match tls.connect(&demand, HOST, stream, WAIT).await {
        Ok((_, secured)) => {
            assert_eq!(secured.by, Proven::Dane);
            true
        }
        Err(TlsError::Dane) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn agree(folder: &Path, address: SocketAddr, expected: impl Fn(&str, u8) -> bool) {
    for of in ["server", "middle", "root"] {
        for usage in [2, 3] {
            for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)] {
                let right = record(folder, of, usage, selector, matching);
                let mut wrong = right.clone();
                *wrong.data.last_mut().unwrap() ^= 1;
                let ours = we_take(address, std::slice::from_ref(&right)).await;
                assert_eq!(ours, openssl_takes(address, std::slice::from_ref(&right)), "{of}: {right}");
                assert_eq!(ours, expected(of, usage), "{of}: {usage} {selector} {matching}");
                assert_eq!(we_take(address, &[wrong, right]).await, ours, "one of two records is enough");
            }
        }
    }
    let other = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert!(!we_take(address, std::slice::from_ref(&other)).await && !openssl_takes(address, &[other]));
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_we_take_the_same_certificates() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), HOST, &["-days", "30"]);
    let (_server, address) = serve(folder.path());
    agree(folder.path(), address, |of, usage| matches!((of, usage), ("server", 3) | ("middle" | "root", 2)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_dates_count_below_an_anchor_only() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "other.example", &["-days", "30"]);
    let (_server, address) = serve(folder.path());
    agree(folder.path(), address, |of, usage| (of, usage) == ("server", 3)).await;
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), HOST, &["-days", "-1"]);
    let (_server, address) = serve(folder.path());
    agree(folder.path(), address, |of, usage| (of, usage) == ("server", 3)).await;
}
