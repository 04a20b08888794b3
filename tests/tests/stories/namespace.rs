//! The cable is pulled as the kernel knows it: the receivers live in a network namespace of their own, and the interface
//! that leads there is taken down in the middle of a delivery. Beside the story of `network.rs`, where a program between
//! the two holds back what is written: here packets are lost, neighbours are not found, and TCP itself tries again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::network::waits;
use stories::campaign::addresses;
use stories::judge::{Kill, MARGIN_US, judge};
use stories::{Database, Server, ServerOptions, wall_us};
use testkit::{Behaviour, DnsDouble, Event, Internet, InternetOptions, Log, Place, What, World};

const DOMAIN: &str = "far.example";
const HOST: &str = "mx.far.example";
/// Addresses for measuring networks (RFC 2544): nobody's.
const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 83, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 83, 2);
/// Nobody else listens in there.
const PORT: u16 = 2_525;
/// Where the receivers write what they saw; set for the process that plays them.
const FAR_LOG: &str = "MAILWRIGHT_STORY_FAR_LOG";
/// Longer than the longest wait of RFC 5321 section 4.5.3.2, the ten minutes after the final dot.
const LONG_US: i64 = 11 * 60 * 1_000_000;
/// TCP tries again after ever longer waits: what it carried when the cable was pulled may arrive so long after it is
/// plugged in again.
const LATE_US: i64 = 15 * 1_000_000;

fn world() -> World {
    let mut far = Behaviour::accepting("far", HOST);
    far.dot_delay = Duration::from_millis(150);
    World { places: vec![Place::new(far, FAR).domain(DOMAIN, &[HOST])] }
}

/// A network namespace with one interface, the receivers in it. All of it goes when this is dropped.
struct Far {
    name: String,
    log: PathBuf,
    receivers: Option<Child>,
}

impl Far {
    fn start(folder: &Path) -> Result<Far, String> {
        let number = std::process::id();
        let far = Far { name: format!("mw{number}"), log: folder.join("far.ndjson"), receivers: None };
        let (name, near_end, far_end) = (far.name.clone(), format!("mwa{number}"), format!("mwb{number}"));
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &near_end, "type", "veth", "peer", "name", &far_end, "netns", &name])?;
        ip(&["address", "add", &format!("{NEAR}/30"), "dev", &near_end])?;
        ip(&["link", "set", &near_end, "up"])?;
        ip(&["-n", &name, "address", "add", &format!("{FAR}/30"), "dev", &far_end])?;
        ip(&["-n", &name, "link", "set", &far_end, "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        far.populate()
    }

    /// This program once more, as [`plays_the_receivers`] alone.
    fn populate(mut self) -> Result<Far, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command.args(["--exact", "namespace::plays_the_receivers"]).env(FAR_LOG, &self.log);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        self.receivers = Some(command.spawn().map_err(|error| error.to_string())?);
        let end = Instant::now() + stories::WAIT;
        let address = SocketAddr::from((FAR, PORT));
        while std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if Instant::now() > end {
                return Err("nobody answers in the namespace".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    /// Takes the far end of the cable down, or up again.
    fn set(&self, state: &str) {
        let end = self.name.replacen("mw", "mwb", 1);
        ip(&["-n", &self.name, "link", "set", &end, state]).unwrap();
    }

    fn events(&self) -> Vec<Event> {
        Log::read(&self.log).unwrap_or_default()
    }

    fn accepted(&self) -> usize {
        self.events().iter().filter(|event| event.what == What::Accepted).count()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if let Some(mut receivers) = self.receivers.take() {
            let _ = receivers.kill();
            let _ = receivers.wait();
        }
        // The interface pair goes with it.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("ip {arguments:?}: {}", told.trim()))
}

/// No story: the receivers of one, in a process that was started in their namespace. Ends with its standard input, and
/// thereby with whoever started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plays_the_receivers() {
    let Some(log) = std::env::var_os(FAR_LOG) else { return };
    let log = Log::with_file(Path::new(&log)).unwrap();
    let options =
        InternetOptions { port: PORT, log: Some(log), forget_mail: true, ..InternetOptions::default() };
    let _internet = Internet::start(&world(), options).await.unwrap();
    let ended = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let _ = tokio::task::spawn_blocking(ended).await.unwrap();
}

async fn pulled(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_path_buf();
    let far = match tokio::task::spawn_blocking(move || Far::start(&place)).await.unwrap() {
        Ok(far) => far,
        Err(why) => {
            println!(
                "\n*** SKIPPED: no network namespace here (it takes root), so no cable was pulled: {why}\n"
            );
            return;
        }
    };
    let dns = DnsDouble::start(world().zone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let config = format!(
        "[mta]\nnameservers = [\"{}\"]\nport = {PORT}\n\n[net]\nallow = [\"{}/32\"]\n",
        dns.address(),
        IpAddr::V4(FAR)
    );
    let server =
        Server::start(database, ServerOptions { config, turnable: true, ..ServerOptions::default() }).await;
    let targets = addresses(300, &[DOMAIN]);
    let id = server.campaign("namespace", &targets, "[parameters]\nretry_period = \"60s\"\n").await;
    let end = Instant::now() + stories::WAIT;
    while far.accepted() < 60 {
        assert!(Instant::now() < end, "{} were accepted\n{}", far.accepted(), server.stderr());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pulled_us = wall_us();
    far.set("down");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (silent, status) = (far.accepted(), server.status(&id).await);
    assert!(silent < targets.len(), "it was pulled too late to show anything");
    assert_eq!(status["state"], "in_progress", "nobody was told: {status}");
    server.turn_to(server.now_us() + LONG_US);
    // The waits run out; what was past its dot is unknown now and waits for its retry.
    tokio::time::sleep(Duration::from_secs(3)).await;
    far.set("up");
    let plugged_us = wall_us();
    let end = Instant::now() + stories::WAIT;
    loop {
        let status = server.status(&id).await;
        if status["state"] == "finished" {
            break;
        }
        assert!(Instant::now() < end, "{status}\n{}", server.stderr());
        let (minutes, rest_ms) = if waits(&status) { (10, 300) } else { (1, 1_000) };
        server.turn_to(server.now_us() + minutes * 60 * 1_000_000);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
    let pull = Kill { sent_us: pulled_us, gone_us: plugged_us + LATE_US, margin_us: MARGIN_US };
    let verdict = judge(&far.events(), &server.log(&id).await, &targets, &[pull]);
    println!("namespace: {silent} accepted when it was pulled, {} came twice", verdict.duplicates);
    assert_eq!(verdict.states.get("sent"), Some(&targets.len()), "{:?}", verdict.states);
    assert!(verdict.duplicates <= 20, "as many as were past their dot at most: {}", verdict.duplicates);
    server.verify(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interface_taken_down_loses_nothing() {
    pulled(Database::Sqlite).await;
}
