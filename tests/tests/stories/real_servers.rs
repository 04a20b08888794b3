//! Mail servers that were not written here, as the distribution packages them, take a delivery: Postfix, Exim and
//! OpenSMTPD on addresses of their own, over TLS where `openssl s_client` can, each with its own words for an address
//! that does not exist. What lies in their mail folders afterwards decides.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stories::campaign::{HTML, Row, toml};
use stories::packages::{Jail, MAIL_UID, MAIL_USER, packages};
use stories::{Database, Server, ServerOptions, root, soak};
use testkit::{Authority, Identity, Internet, InternetOptions, KeyKind, Node, Quality, World};

/// Addresses that do not exist, per receiver.
const NOBODY: usize = 4;

/// One mail server.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Its domain is `NAME.example`, its host `mx.NAME.example`.
    pub name: &'static str,
    pub package: &'static str,
    /// Libraries that it needs, by file and package.
    pub libraries: &'static [(&'static str, &'static str)],
    /// Where it listens.
    pub address: Ipv4Addr,
    /// Writes its configuration and answers the script that starts it.
    pub configure: fn(&Site) -> String,
    /// What stands in a Received field of mail that came over TLS.
    pub over_tls: &'static str,
}

/// Where one of them lives.
pub(crate) struct Site {
    /// Everything of it lies in here.
    pub folder: PathBuf,
    /// Its name.
    pub host: String,
    /// Whose mail it takes.
    pub domain: String,
    listen: SocketAddr,
}

impl Site {
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Lays a certificate and its key where the configuration looks for them.
    pub fn show(&self, identity: &Identity) -> std::io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, chown};
        self.write("chain.pem", &identity.chain_pem());
        let key = self.folder.join("key.pem");
        std::fs::write(&key, identity.key_pem())?;
        chown(&key, Some(0), Some(0))?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))
    }
}

pub(crate) const POSTFIX: Kind = Kind {
    name: "postfix",
    package: "postfix",
    libraries: &[("libicuuc.so.72", "libicu72"), ("libdb-5.3.so", "libdb5.3"), ("libnsl.so.2", "libnsl2")],
    address: Ipv4Addr::new(127, 0, 81, 1),
    configure: postfix,
    over_tls: "using TLSv1",
};
const EXIM: Kind = Kind {
    name: "exim",
    package: "exim4-daemon-light",
    libraries: &[
        ("libidn.so.12", "libidn12"),
        ("libdb-5.3.so", "libdb5.3"),
        ("libpcre2-8.so.0", "libpcre2-8-0"),
        ("libgnutls-dane.so.0", "libgnutls-dane0"),
        ("libunbound.so.8", "libunbound8"),
    ],
    address: Ipv4Addr::new(127, 0, 81, 2),
    configure: exim,
    over_tls: "with esmtps",
};
const OPENSMTPD: Kind = Kind {
    name: "opensmtpd",
    package: "opensmtpd",
    libraries: &[("libevent-2.1.so.7", "libevent-2.1-7"), ("libdb-5.3.so", "libdb5.3")],
    address: Ipv4Addr::new(127, 0, 81, 3),
    configure: opensmtpd,
    over_tls: "TLS=",
};

pub(crate) fn postfix(site: &Site) -> String {
    let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
        tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
        defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
        flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nvirtual unix - n n - - virtual\n\
        error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n\
        anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
    site.write("conf/master.cf", &format!("{} inet n - n - - smtpd\n{services}", site.listen));
    site.write("conf/people", &format!("/^r[0-9]+@{}$/ all/\n", site.domain.replace('.', "\\.")));
    let (folder, host, domain) = (site.folder.display(), &site.host, &site.domain);
    site.write(
        "conf/main.cf",
        &format!(
            "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/state\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nshlib_directory = /usr/lib/postfix\n\
             meta_directory = /usr/share/postfix\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = {host}\n\
             mydestination =\ninet_interfaces = all\ninet_protocols = ipv4\nvirtual_mailbox_domains = {domain}\n\
             virtual_mailbox_base = {folder}/mail\nvirtual_mailbox_maps = regexp:{folder}/conf/people\n\
             virtual_uid_maps = static:{MAIL_UID}\nvirtual_gid_maps = static:{MAIL_UID}\nvirtual_mailbox_limit = 0\n\
             smtpd_tls_chain_files = {folder}/key.pem, {folder}/chain.pem\nsmtpd_tls_security_level = may\n\
             smtpd_tls_received_header = yes\nsmtpd_recipient_restrictions = reject_unauth_destination\n\
             smtputf8_enable = no\nalias_maps =\nalias_database =\nmaillog_file = {folder}/log\nmaillog_file_prefixes = /\n"
        ),
    );
    format!(
        "mkdir -p state queue mail && chown postfix state && chown {MAIL_USER} mail && cd queue\n\
         private='active bounce corrupt defer deferred flush hold incoming private saved trace'\n\
         mkdir -p $private maildrop pid public && chown postfix $private && chmod 700 $private\n\
         chown postfix:postdrop maildrop public && chmod 730 maildrop && chmod 710 public\n\
         exec /usr/lib/postfix/sbin/master -d -c {folder}/conf\n"
    )
}

fn exim(site: &Site) -> String {
    let (folder, host, domain) = (site.folder.display(), &site.host, &site.domain);
    let (address, port) = (site.listen.ip(), site.listen.port());
    // The file has to stand where the package looks for it: with another one it gives up its rights.
    site.write(
        "etc/exim4/exim4.conf",
        &format!(
            "primary_hostname = {host}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log/%slog\n\
             local_interfaces = {address}\ndaemon_smtp_ports = {port}\ntls_advertise_hosts = *\n\
             tls_certificate = {folder}/chain.pem\ntls_privatekey = {folder}/key.pem\ndomainlist ours = {domain}\n\
             acl_smtp_rcpt = rcpt\nhost_lookup =\nrfc1413_query_timeout = 0s\nsmtp_accept_max = 50\nkeep_environment =\n\
             begin acl\nrcpt:\n  deny domains = !+ours\n  require verify = recipient\n  accept\n\
             begin routers\npeople:\n  driver = accept\n  domains = +ours\n  local_parts = \\N^r[0-9]+$\\N\n  transport = keep\n\
             begin transports\nkeep:\n  driver = appendfile\n  directory = {folder}/mail/all\n  maildir_format\n  user = {MAIL_USER}\n\
             \x20 group = {MAIL_USER}\n  envelope_to_add\n\
             begin retry\n* * F,1h,1m\n"
        ),
    );
    format!(
        "mkdir -p spool log mail && chown Debian-exim spool log key.pem && chown {MAIL_USER} mail\n\
         exec /usr/sbin/exim4 -bdf -q10s -oP {folder}/pid\n"
    )
}

fn opensmtpd(site: &Site) -> String {
    let (folder, host, domain) = (site.folder.display(), &site.host, &site.domain);
    let (address, port) = (site.listen.ip(), site.listen.port());
    site.write("people", &format!("@: {MAIL_USER}\n"));
    site.write(
        "smtpd.conf",
        &format!(
            "pki {host} cert \"{folder}/chain.pem\"\npki {host} key \"{folder}/key.pem\"\ntable people file:{folder}/people\n\
             listen on {address} port {port} tls pki {host} hostname {host}\n\
             action keep maildir \"{folder}/mail/all\" virtual <people>\n\
             match from any for rcpt-to regex \"^r[0-9]+@{domain}$\" action keep\n"
        ),
    );
    format!(
        "mkdir -p mail/all /var/lib/opensmtpd/empty /var/spool/smtpd && chmod 711 /var/spool/smtpd && chown -R {MAIL_USER} mail\n\
         exec /usr/sbin/smtpd -d -f {folder}/smtpd.conf\n"
    )
}

/// A mail server that runs.
pub(crate) struct Receiver {
    kind: Kind,
    pub site: Site,
    jail: Jail,
    _folder: tempfile::TempDir,
}

impl Receiver {
    fn start(kind: Kind, port: u16, authority: &Authority) -> Result<Receiver, String> {
        // RSA, because every one of them can.
        let host = format!("mx.{}.example", kind.name);
        let identity = authority.issue(&[host], Quality::Good, KeyKind::Rsa);
        Receiver::showing(kind, port, &identity.map_err(|error| error.to_string())?)
    }

    /// Starts one with this certificate.
    pub fn showing(kind: Kind, port: u16, identity: &Identity) -> Result<Receiver, String> {
        let needed = packages(kind.package, kind.libraries)?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let site = Site {
            folder: folder.path().to_path_buf(),
            host: format!("mx.{}.example", kind.name),
            domain: format!("{}.example", kind.name),
            listen: SocketAddr::from((kind.address, port)),
        };
        site.show(identity).map_err(|error| error.to_string())?;
        let script = (kind.configure)(&site);
        let jail = Jail::start(&needed, &site.folder, &script)?;
        let mut receiver = Receiver { kind, site, jail, _folder: folder };
        receiver.wait_ready();
        Ok(receiver)
    }

    fn wait_ready(&mut self) {
        let end = Instant::now() + stories::WAIT;
        while TcpStream::connect(self.site.listen).is_err() {
            let runs = self.jail.runs();
            assert!(runs && Instant::now() < end, "{}: {}", self.kind.name, self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it wrote to its log and its output.
    pub fn told(&self) -> String {
        let logs =
            ["log", "log/mainlog", "log/paniclog"].map(|name| std::fs::read_to_string(self.site.path(name)));
        logs.into_iter().flatten().fold(self.jail.output(), |all, log| all + &log)
    }

    /// Whether a program that was not written here can shake hands with it. OpenSMTPD 6.8 offers STARTTLS and cannot
    /// where it was built with OpenSSL 3 (Debian 12).
    fn shakes_hands(&self) -> bool {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-starttls", "smtp", "-brief", "-connect", &self.site.listen.to_string()]);
        let output = command.stdin(Stdio::null()).output().expect("openssl runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let version =
            told.lines().find(|line| line.starts_with("Protocol version")).unwrap_or("no handshake");
        println!("{}: openssl says {version}", self.kind.name);
        output.status.success() && !told.contains("alert")
    }

    /// Mail in its folder, once `count` of them lie there.
    pub fn mail(&self, count: usize, limit: Duration) -> Vec<PathBuf> {
        let folder = self.site.folder.join("mail/all/new");
        let end = Instant::now() + limit;
        loop {
            let entries = std::fs::read_dir(&folder).map(|entries| entries.flatten().count()).unwrap_or(0);
            if entries >= count {
                break;
            }
            assert!(
                Instant::now() < end,
                "{}: {entries} of {count} lie in its folder\n{}",
                self.kind.name,
                self.told()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// Copies mail with the line ends that it had on its way, and lets Python's parsers and dkimpy judge it.
fn judged(mails: &[PathBuf], folder: &Path, dns: &BTreeMap<String, String>) {
    for (number, mail) in mails.iter().enumerate() {
        let text = std::fs::read(mail).unwrap();
        let mut octets = Vec::with_capacity(text.len() + 1_000);
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            let bare = line.strip_suffix(b"\n").unwrap_or(line);
            octets.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
            octets.extend_from_slice(b"\r\n");
        }
        std::fs::write(folder.join(format!("{number}.eml")), octets).unwrap();
    }
    let table = folder.join("dns.json");
    std::fs::write(&table, serde_json::to_vec(dns).unwrap()).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(root().join("tests/python/check_mail.py")).arg(folder).arg("--dns").arg(table).arg("--bulk");
    let output = command.args(["--count", &mails.len().to_string()]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The records that a domain of ours publishes, by name.
fn published(domain: &serde_json::Value) -> BTreeMap<String, String> {
    let text = |record: &serde_json::Value, key: &str| {
        record[key].as_str().unwrap().trim_end_matches('.').to_owned()
    };
    let records = domain["records"].as_array().unwrap().iter().filter(|record| record["type"] == "TXT");
    records.map(|record| (text(record, "name"), text(record, "value"))).collect()
}

async fn story(kind: Kind) {
    let authority = Authority::new().unwrap();
    let internet = Internet::start(&World::default(), InternetOptions::default()).await.unwrap();
    let port = internet.port();
    let started = tokio::task::spawn_blocking(move || Receiver::start(kind, port, &authority)).await.unwrap();
    let receiver = match started {
        Ok(receiver) => receiver,
        Err(why) => {
            println!("\n*** SKIPPED: {} could not be had, so nothing was shown about it: {why}\n", kind.name);
            return;
        }
    };
    internet.change_zone(|zone| {
        zone.set(&receiver.site.domain, Node::mail(&[&receiver.site.host]));
        zone.set(&receiver.site.host, Node::host(IpAddr::V4(kind.address)));
    });
    let count = if soak() { 10_000 } else { 200 };
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let server = Server::start(Database::Sqlite, options).await;
    let dns = published(&server.cli(&["domain", "add", "shop.example"]).await.done());
    let mut targets: Vec<String> = (0..count).map(|n| format!("r{n}@{}", receiver.site.domain)).collect();
    targets.extend((0..NOBODY).map(|n| format!("nobody{n}@{}", receiver.site.domain)));
    server.import("real", &targets).await;
    // Lines that begin with dots, one line too long for SMTP, and letters of three alphabets.
    let body = format!("<p>Grüße, 日本</p>\n.\n..two\n.x\n<p>{}</p></body>", "é".repeat(2_000));
    let id = server.push("real", &toml("real", "real", ""), &HTML.replace("</body>", &body)).await;
    server.analyze(&id).await;
    let begun = Instant::now();
    server.confirm(&id).await;
    let limit = Duration::from_secs(if soak() { 600 } else { 180 });
    let status = server.wait_for(&id, &["finished", "retrying"], limit).await;
    println!("{}: {} in {:.1} s", kind.name, status["messages"], begun.elapsed().as_secs_f64());
    let rows = server.log(&id).await;
    let words: Vec<&Row> = rows.values().filter(|row| row.state != "sent").collect();
    assert_eq!(status["messages"]["sent"].as_u64(), Some(count as u64), "{words:?}\n{}", receiver.told());
    assert_eq!(words.len(), NOBODY);
    for row in words {
        assert!(row.state == "failed" && row.reason == "user_unknown", "{row:?}");
    }
    server.verify(&id).await;
    arrived(&receiver, count, &rows, &dns);
}

/// What lies in the folder: each message once, over TLS where that can be had, without a defect.
fn arrived(receiver: &Receiver, count: usize, rows: &BTreeMap<String, Row>, dns: &BTreeMap<String, String>) {
    let mails = receiver.mail(count, Duration::from_secs(if soak() { 300 } else { 180 }));
    let secure = receiver.shakes_hands();
    let mut ids = std::collections::BTreeSet::new();
    for mail in &mails {
        let text = String::from_utf8_lossy(&std::fs::read(mail).unwrap()).into_owned();
        let head = text.split("\n\n").next().unwrap();
        assert_eq!(head.contains(receiver.kind.over_tls), secure, "{head}");
        let id =
            head.lines().find_map(|line| line.strip_prefix("Message-ID: <")).unwrap().trim_end_matches('>');
        assert!(ids.insert(id.to_owned()), "{id} came twice");
    }
    let sent: std::collections::BTreeSet<String> =
        rows.values().filter(|row| row.state == "sent").map(|row| row.message_id.clone()).collect();
    assert!(ids == sent, "{}: what arrived is not what the log calls sent", receiver.kind.name);
    let folder = tempfile::tempdir().unwrap();
    judged(&mails[..mails.len().min(200)], folder.path(), dns);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postfix_takes_it_over_tls() {
    story(POSTFIX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exim_takes_it_over_tls() {
    story(EXIM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opensmtpd_takes_it() {
    story(OPENSMTPD).await;
}
