//! Debian's Postfix, unpacked and not installed, relays unsigned messages of the same size to the same receiver with its
//! default settings; beside ours with signatures.
//!
//! Whoever relays takes a message in by SMTP and sends it on: first the one for all messages (they are held), then the
//! other. Both are printed, and the second alone, as it would be if the queue had come from nowhere. No log is written,
//! because there is no daemon for it here. It runs in namespaces of its own (mounts and process numbers), which takes
//! root; without it the measurement is skipped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::Dialect;
use testkit::Sink;

use super::Bench;
use super::bare::{Bare, Pipelining};
use super::cpu::of_family;
use super::measure::{RUNS, median, scaled};
use super::sender::{HTML_LEN_10K, Sender, Setup, runtime, sink, sink_runtime};
use super::sending::{Parts, cannot, rate};
use crate::output::{Done, Failure, Output};

pub const BENCH: Bench = Bench {
    name: "postfix",
    about: "10 KB, signed by us, beside Debian's Postfix relaying unsigned ones from its queue with default settings",
    run,
};

const MESSAGES: usize = 5_000;
/// Ours are so much faster that as many would end before they have begun.
const OURS: usize = 30_000;
/// As many connections as Postfix opens to one destination by default.
const CONNECTIONS: u32 = 20;
const LIBRARIES: [(&str, &str); 3] =
    [("libicuuc.so.72", "libicu72"), ("libdb-5.3.so", "libdb5.3"), ("libnsl.so.2", "libnsl2")];
const USER: &str = "postfix:x:64901:64901::/nonexistent:/usr/sbin/nologin\n";
const GROUPS: &str = "postfix:x:64901:\npostdrop:x:64906:\n";
const PATIENCE: Duration = Duration::from_secs(120);

/// What one run of Postfix came to.
struct Relayed {
    /// Messages a second between the first and the last at the receiver.
    out_rate: f64,
    /// CPU microseconds a message of all its processes meanwhile.
    out_cpu_us: f64,
    /// Messages a second when the time to take them in counts too.
    rate: f64,
    /// CPU microseconds a message with what taking it in cost.
    cpu_us: f64,
}

fn run(out: &mut Output) -> Done {
    let packages = match packages() {
        Ok(packages) => packages,
        Err(why) => return cannot(out, &why),
    };
    let sinks = sink_runtime()?;
    let sink = sink(&sinks)?;
    let setup = Setup {
        dialect: Dialect::Sqlite,
        recipients: scaled(OURS),
        domains: 10,
        html_len: HTML_LEN_10K,
        connections: CONNECTIONS,
        signed: true,
        in_memory: false,
    };
    let mut postfix = match Postfix::start(&packages, sink.address()) {
        Ok(postfix) => postfix,
        Err(why) => return cannot(out, &why),
    };
    let (mut ours, mut parts) = (Vec::new(), Parts::default());
    let mut relays = Vec::new();
    runtime()?.block_on(async {
        let sender = Sender::new(&setup, sink.address()).await?;
        for _ in 0..RUNS {
            let octets = sink.octets();
            let sent = sender.send().await?;
            let length = (sink.octets() - octets) as usize / sent.messages;
            ours.push(rate(&sent));
            parts.add(&sent);
            relays.push(postfix.relay(&sink, scaled(MESSAGES), length)?);
        }
        sender.close().await
    })?;
    let (ours, our_cost) = (median(&mut ours), parts.whole());
    let of = |get: fn(&Relayed) -> f64| median(&mut relays.iter().map(get).collect::<Vec<f64>>());
    out.line(format_args!(
        "  ours, signed: {ours:.0}/s, {our_cost:.0} us of CPU a message; medians of {RUNS}"
    ))?;
    let relaying = (of(|r| r.rate), of(|r| r.cpu_us), "Postfix taking in and sending on");
    let sending = (of(|r| r.out_rate), of(|r| r.out_cpu_us), "Postfix sending on from its queue");
    for (rate, cost, what) in [relaying, sending] {
        out.line(format_args!(
            "  {what}, unsigned: {rate:.0}/s, {cost:.0} us: ours has {:.1} times its rate, 1/{:.1} of its CPU",
            ours / rate,
            cost / our_cost
        ))?;
    }
    out.line(format_args!("  goal: at least 5 times its rate, at most 1/8 of its CPU"))?;
    parts.print(out)
}

/// The package and the libraries that the machine lacks, unpacked beside the build.
fn packages() -> Result<Vec<PathBuf>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = program.ancestors().nth(2).ok_or("there is no folder beside the program")?.join("packages");
    let known = ran(Command::new("ldconfig").arg("-p"))?;
    let missing = LIBRARIES.iter().filter(|(file, _)| !known.contains(file)).map(|(_, package)| *package);
    std::iter::once("postfix").chain(missing).map(|name| package(&target, name)).collect()
}

fn package(target: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = target.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let work = target.join(format!("{name}.{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    ran(Command::new("apt-get").args(["-qq", "download", name]).current_dir(&work))?;
    let found = std::fs::read_dir(&work).map_err(|error| error.to_string())?.flatten().next();
    let file = found.ok_or_else(|| format!("apt-get download {name} left nothing"))?.path();
    let unpacked = work.join("unpacked");
    ran(Command::new("dpkg").arg("-x").arg(file).arg(&unpacked))?;
    std::fs::rename(unpacked, &folder).map_err(|error| error.to_string())?;
    let _ = std::fs::remove_dir_all(&work);
    Ok(folder)
}

fn ran(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A running Postfix whose queue holds everything until it is told to go.
struct Postfix {
    child: Child,
    dir: tempfile::TempDir,
    listen: SocketAddr,
    runs: u32,
}

impl Postfix {
    fn start(packages: &[PathBuf], sink: SocketAddr) -> Result<Postfix, String> {
        let words = |error: std::io::Error| error.to_string();
        let dir = tempfile::tempdir().map_err(words)?;
        let listen = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).map_err(words)?;
        write_configuration(dir.path(), listen, sink).map_err(words)?;
        let over: Vec<String> = packages.iter().map(|path| path.join("usr").display().to_string()).collect();
        std::fs::write(dir.path().join("start.sh"), script(dir.path(), &over.join(":"))).map_err(words)?;
        let log = std::fs::File::create(dir.path().join("output")).map_err(words)?;
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg("sh")
            .arg(dir.path().join("start.sh"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(words)?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut postfix = Postfix { child, dir, listen, runs: 0 };
        postfix.wait()?;
        Ok(postfix)
    }

    fn wait(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(self.listen).is_ok() {
                return Ok(());
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = std::fs::read_to_string(self.dir.path().join("output")).unwrap_or_default();
        Err(format!("Postfix did not start (it takes root and namespaces): {}", said.trim()))
    }

    /// Fills the queue, lets it go, and watches the receiver.
    fn relay(&mut self, sink: &Sink, messages: usize, length: usize) -> Result<Relayed, Failure> {
        let fill = Bare {
            sink: self.listen,
            connections: CONNECTIONS,
            messages,
            length,
            signed: false,
            pipelining: Pipelining::Group,
        };
        let before_filling = of_family(self.child.id());
        let filling = fill.run()?.time.as_secs_f64();
        let filled = (of_family(self.child.id()) - before_filling) * 1e6 / messages as f64;
        let before = sink.messages();
        self.runs += 1;
        std::fs::write(self.dir.path().join(format!("go{}", self.runs)), b"")?;
        let begun = Instant::now();
        let mut first: Option<(Instant, u64, f64)> = None;
        loop {
            let arrived = sink.messages() - before;
            if arrived > 0 && first.is_none() {
                first = Some((Instant::now(), arrived, of_family(self.child.id())));
            }
            if arrived >= messages as u64 {
                break;
            }
            if begun.elapsed() > PATIENCE {
                return Err(Failure::refused(format!("Postfix relayed {arrived} of {messages} messages")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (at, seen, cpu) = first.ok_or_else(|| Failure::refused("nothing arrived"))?;
        let counted = (messages as u64 - seen).max(1) as f64;
        let took = at.elapsed().as_secs_f64();
        let out_cpu_us = (of_family(self.child.id()) - cpu) * 1e6 / counted;
        Ok(Relayed {
            out_rate: counted / took,
            out_cpu_us,
            rate: messages as f64 / (filling + messages as f64 * took / counted),
            cpu_us: filled + out_cpu_us,
        })
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // The first process of the namespace ends with it, and with that all others.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_configuration(folder: &Path, listen: SocketAddr, sink: SocketAddr) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for name in ["etc", "conf"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    std::fs::write(folder.join("etc/passwd"), std::fs::read_to_string("/etc/passwd")? + USER)?;
    std::fs::write(folder.join("etc/group"), std::fs::read_to_string("/etc/group")? + GROUPS)?;
    let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
        tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
        defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
        flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\n\
        relay unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
        discard unix - - n - - discard\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
        postlog unix-dgram n - n - 1 postlogd\n";
    std::fs::write(folder.join("conf/master.cf"), format!("{listen} inet n - n - - smtpd\n{services}"))?;
    let place = folder.display();
    std::fs::write(
        folder.join("conf/main.cf"),
        format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/state\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nshlib_directory = /usr/lib/postfix\n\
             meta_directory = /usr/share/postfix\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = bench.example\n\
             mydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
             alias_maps =\nalias_database =\nsmtputf8_enable = no\n\
             smtpd_client_restrictions = check_client_access static:HOLD\nrelayhost = [{}]:{}\n",
            sink.ip(),
            sink.port()
        ),
    )
}

fn script(folder: &Path, over: &str) -> String {
    let place = folder.display();
    format!(
        "set -e\nmount -t overlay overlay -o lowerdir={over}:/usr /usr\nmount -t overlay overlay -o lowerdir={place}/etc:/etc /etc\n\
         for place in /run /var/spool /var/lib; do mount -t tmpfs -o mode=755 tmpfs $place; done\ncd {place}\n\
         mkdir -p state queue && chown postfix state && cd queue\n\
         private='active bounce corrupt defer deferred flush hold incoming private saved trace'\n\
         mkdir -p $private maildrop pid public && chown postfix $private && chmod 700 $private\n\
         chown postfix:postdrop maildrop public && chmod 730 maildrop && chmod 710 public\n\
         /usr/lib/postfix/sbin/master -d -c {place}/conf &\nrun=1\nset +e\n\
         while :; do\n  while [ ! -e {place}/go$run ]; do sleep 0.05; done\n\
         /usr/sbin/postsuper -c {place}/conf -H ALL\n  /usr/sbin/postqueue -c {place}/conf -f\n  run=$((run + 1))\ndone\n"
    )
}
