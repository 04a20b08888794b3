//! Fresh databases for contract tests: a SQLite file, and a PostgreSQL database on a server that this process starts
//! from the Debian package (or that `MAILWRIGHT_TEST_POSTGRES` names).
//!
//! The server lives in a temporary folder and belongs to a watching shell that holds the other end of a pipe: when
//! this process ends, however it ends, the pipe closes, and the shell stops the server and removes the folder.

use crate::{Options, Store};
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Environment variable with the URL of a PostgreSQL server on which databases may be made.
pub const SERVER_VARIABLE: &str = "MAILWRIGHT_TEST_POSTGRES";
/// How long a server may take to start.
const START_WAIT: Duration = Duration::from_secs(60);

/// Runs `test` on a fresh SQLite database and then on a fresh PostgreSQL database.
pub async fn each<F, R>(test: F)
where
    F: Fn(Store) -> R,
    R: Future<Output = ()>,
{
    sqlite(&test).await;
    postgres(&test).await;
}

/// Runs `test` on a fresh SQLite database in a temporary folder.
pub async fn sqlite<F, R>(test: F)
where
    F: Fn(Store) -> R,
    R: Future<Output = ()>,
{
    let dir = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", dir.path().join("test.sqlite").display());
    let store = Store::open(&url, Options::default()).await.expect("a SQLite database");
    test(store.clone()).await;
    store.close().await;
}

/// Runs `test` on a fresh PostgreSQL database.
pub async fn postgres<F, R>(test: F)
where
    F: Fn(Store) -> R,
    R: Future<Output = ()>,
{
    let url = postgres_url().await;
    let store = Store::open(&url, Options::default()).await.expect("a PostgreSQL database");
    test(store.clone()).await;
    store.close().await;
}

/// The URL of a new, empty PostgreSQL database, for tests that start whole programs.
pub async fn postgres_url() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let base = match std::env::var(SERVER_VARIABLE) {
        Ok(url) if !url.is_empty() => url,
        _ => tokio::task::spawn_blocking(|| SERVER.get_or_init(Server::start).url())
            .await
            .expect("the PostgreSQL server starts"),
    };
    create_database(&base, None).await
}

/// Makes a database on the server at `base`, its tables in this folder when one is named, and returns its URL.
async fn create_database(base: &str, tables: Option<&Path>) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("mw_{}_{}_{number}", std::process::id(), crate::wall_clock_us());
    let (client, connection) =
        tokio_postgres::connect(base, tokio_postgres::NoTls).await.expect("the test server answers");
    let driver = tokio::spawn(connection);
    let mut place = String::new();
    if let Some(folder) = tables {
        let sql = format!("CREATE TABLESPACE {name} LOCATION '{}'", folder.display());
        client.batch_execute(&sql).await.expect("a tablespace can be made");
        place = format!(" TABLESPACE {name}");
    }
    client.batch_execute(&format!("CREATE DATABASE {name}{place}")).await.expect("a database can be made");
    drop(client);
    let _ = driver.await;
    with_database(base, &name)
}

/// `postgres://user@host/old?x=y` with another database.
fn with_database(base: &str, name: &str) -> String {
    let (address, query) = base.split_once('?').map_or((base, None), |(a, q)| (a, Some(q)));
    let scheme_end = address.find("://").map_or(0, |at| at + 3);
    let path_at = address[scheme_end..].find('/').map_or(address.len(), |at| scheme_end + at);
    let query = query.map(|q| format!("?{q}")).unwrap_or_default();
    format!("{}/{name}{query}", &address[..path_at])
}

/// A PostgreSQL server of the tests' own.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
    user: Option<String>,
    watcher: Child,
}

impl Server {
    /// Makes a cluster in a temporary folder and starts it. Panics with the reason when that cannot be done.
    pub fn start() -> Server {
        let bin = binaries();
        let user = server_user();
        let folder =
            tempfile::Builder::new().prefix("mw-pg-").tempdir_in("/tmp").expect("a temporary folder").keep();
        give(&folder, user.as_deref());
        let watcher = watcher(&bin, &folder, user.as_deref());
        let server = Server { folder, bin, user, watcher };
        let made = server
            .command("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(server.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.up();
        server
    }

    /// The URL of its maintenance database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.display())
    }

    /// The URL of a new, empty database on it.
    pub async fn database(&self) -> String {
        create_database(&self.url(), None).await
    }

    /// The same, with its tables in a folder (made here) of another disk: for tests of a disk that is full. The log of
    /// what was committed stays where the server is, which would end without it.
    pub async fn database_on(&self, folder: &Path) -> String {
        std::fs::create_dir(folder).expect("a folder can be made");
        give(folder, self.user.as_deref());
        create_database(&self.url(), Some(folder)).await
    }

    /// Starts the server after [`Server::down`].
    pub fn up(&self) {
        let options = format!(
            "-k {} -c listen_addresses= -c fsync=off -c full_page_writes=off \
             -c max_connections=300 -c shared_buffers=128MB -c logging_collector=off",
            self.folder.display()
        );
        let started = self
            .command("pg_ctl")
            .args(["start", "-w", "-t", &START_WAIT.as_secs().to_string(), "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.folder.join("log"))
            .args(["-o", &options])
            .stdout(Stdio::null())
            .status()
            .expect("pg_ctl runs");
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(started.success(), "PostgreSQL did not start: {log}");
    }

    /// Stops the server at once, as a crash would; its data stays.
    pub fn down(&self) {
        let done = self
            .command("pg_ctl")
            .args(["stop", "-m", "immediate", "-w", "-D"])
            .arg(self.data())
            .stdout(Stdio::null())
            .status();
        assert!(done.is_ok_and(|s| s.success()), "PostgreSQL did not stop");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        as_user(self.user.as_deref(), &self.bin.join(program))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// A shell that stops the server and removes the folder when its input ends.
fn watcher(bin: &Path, folder: &Path, user: Option<&str>) -> Child {
    let script = "read -r line; \"$0\" -D \"$1/data\" -m immediate -w stop >/dev/null 2>&1; rm -rf \"$1\"/* 2>/dev/null; rmdir \"$1\" 2>/dev/null";
    let mut command = as_user(user, Path::new("sh"));
    command.arg("-c").arg(script).arg(bin.join("pg_ctl")).arg(folder);
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Of its own process group: an interrupt at the terminal must not end it before its work is done.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().expect("sh runs")
}

/// PostgreSQL refuses to run as root: its own user, or `nobody`, runs it then.
fn server_user() -> Option<String> {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return None;
    }
    let passwd = std::fs::File::open("/etc/passwd").expect("a user list");
    let names: Vec<String> = BufReader::new(passwd)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split(':').next().map(str::to_string))
        .collect();
    let found = ["postgres", "nobody"].into_iter().find(|user| names.iter().any(|name| name == user));
    Some(found.expect("a user postgres or nobody").to_string())
}

/// Makes the folder the server's.
fn give(folder: &Path, user: Option<&str>) {
    let Some(user) = user else { return };
    let done = Command::new("chown").arg(user).arg(folder).status();
    assert!(done.is_ok_and(|s| s.success()), "the folder cannot be given to {user}");
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let mut command = match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", group(user), "--clear-groups", "--"]).arg(program);
            command
        }
    };
    command.current_dir("/").env_remove("PGDATA");
    command
}

fn group(user: &str) -> &str {
    if user == "nobody" { "nogroup" } else { user }
}

/// The newest of Debian's versions, or whatever the PATH has.
fn binaries() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return bin;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|dir| dir.join("initdb").exists())
        .expect("PostgreSQL's server programs are installed (apt-get install postgresql)")
}

/// Waits until `condition` holds, for tests of things that recover by themselves.
pub async fn eventually<F, R>(limit: Duration, condition: F)
where
    F: Fn() -> R,
    R: Future<Output = bool>,
{
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "it did not come true within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
