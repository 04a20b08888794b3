//! The program under test, as a process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Now, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::WAIT;
use crate::judge::Kill;

/// How long a start may take.
const START_WAIT: Duration = WAIT;
/// How long an end in order may take on a busy machine: messages under way get 30 s for their answers.
const END_WAIT: Duration = Duration::from_secs(120);
/// Limits of sites that nobody knows, for stories about something else.
const QUICK: &str = "[unknown]\nconnections = 10\nmessages_per_connection = 100\nmessage_rates = []\n";
/// What sets the clock forward, in the server's folder.
const CLOCK_FILE: &str = "clock";
/// How long one command may take.
const COMMAND_WAIT: Duration = Duration::from_secs(300);

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The corpus of real input, when it is there: `MAILWRIGHT_CORPUS`, or `../shared/corpus` beside the repository.
#[must_use]
pub fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("MAILWRIGHT_CORPUS").map(PathBuf::from);
    Some(folder.unwrap_or_else(|| root().join("../shared/corpus"))).filter(|folder| folder.is_dir())
}

/// The program that cargo built beside this test.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let program = folder.join("mailwright");
    assert!(program.exists(), "{} is missing: run `cargo build -p mailwright` first", program.display());
    program
}

/// Where a server keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// SQLite in the server's folder.
    Sqlite,
    /// A fresh PostgreSQL database.
    Postgres,
}

impl Database {
    /// The URL of a fresh PostgreSQL database; none for SQLite.
    pub async fn fresh(self) -> Option<String> {
        match self {
            Database::Sqlite => None,
            Database::Postgres => Some(store::testing::postgres_url().await),
        }
    }
}

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Text of the configuration file.
    pub config: String,
    /// Environment beside the test's own.
    pub env: Vec<(String, String)>,
    /// Its clock can be set forward: [`Server::turn_to`].
    pub turnable: bool,
    /// Text of `shaping.toml`; none: sites that are in no table are sent to without a rate, because most stories are about
    /// something else.
    pub shaping: Option<String>,
}

/// A server and its folder. Dropping it kills the process.
pub struct Server {
    dir: tempfile::TempDir,
    data: PathBuf,
    database: Option<String>,
    listen: String,
    options: ServerOptions,
    child: Option<Child>,
    /// The one-time password that the first start printed.
    pub password: Option<String>,
}

/// What a command answered.
#[derive(Debug)]
pub struct Cli {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Cli {
    /// The JSON document on standard output.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}\n{}", self.stdout, self.stderr))
    }

    /// The same, after checking that the command was done.
    #[allow(clippy::must_use_candidate)]
    pub fn done(&self) -> Value {
        assert_eq!(self.status, 0, "{}\n{}", self.stdout, self.stderr);
        self.json()
    }
}

impl Server {
    /// Starts a server on a fresh database and waits until it is ready.
    pub async fn start(database: Database, options: ServerOptions) -> Server {
        let mut server = Server::prepare(database.fresh().await, options);
        server.run().await;
        server
    }

    /// A server that has its folder and its port and does not run yet. `database`: a PostgreSQL URL; none: SQLite.
    #[must_use]
    pub fn prepare(database: Option<String>, options: ServerOptions) -> Server {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data");
        let listen = format!("127.0.0.1:{}", testkit::port_to_keep());
        Server { dir, data, database, listen, options, child: None, password: None }
    }

    /// Keeps its data in this folder instead of its own: for stories about disks. Before the first start.
    #[must_use]
    pub fn with_data(mut self, data: &Path) -> Server {
        self.data = data.to_path_buf();
        self
    }

    /// The PostgreSQL URL; none: SQLite in the folder.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Starts the process again, after [`Server::kill`] or [`Server::terminate`].
    pub async fn run(&mut self) {
        let config = self.dir.path().join("mailwright.toml");
        std::fs::write(&config, &self.options.config).expect("the configuration can be written");
        let shaping = self.data.join("shaping.toml");
        if !shaping.exists() {
            let text = self.options.shaping.as_deref().unwrap_or(QUICK);
            std::fs::create_dir_all(&self.data)
                .and_then(|()| std::fs::write(&shaping, text))
                .expect("rules can be written");
        }
        let errors = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("stderr"))
            .expect("standard error can be kept");
        let mut command = Command::new(program());
        command.arg("serve").arg("--data").arg(self.data()).arg("--listen").arg(&self.listen);
        command.arg("--config").arg(&config);
        if let Some(url) = &self.database {
            command.arg("--database").arg(url);
        }
        command.envs(self.options.env.iter().cloned());
        if self.options.turnable {
            command.env("MAILWRIGHT_TEST_CLOCK", self.path(CLOCK_FILE));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("standard output is piped");
        let ready = tokio::time::timeout(START_WAIT, self.wait_ready(BufReader::new(stdout))).await;
        self.child = Some(child);
        assert!(matches!(ready, Ok(true)), "the server was not ready: {}", self.stderr());
    }

    async fn wait_ready(&mut self, stdout: BufReader<tokio::process::ChildStdout>) -> bool {
        let mut lines = stdout.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, password)) = line.split_once("password") {
                self.password = password.split_whitespace().last().map(str::to_owned);
            }
            if line.starts_with("ready http://") {
                // Somebody must go on reading, or the server's next line would block or fail.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return true;
            }
        }
        false
    }

    /// Other options for the next start.
    pub fn reoption(&mut self, options: ServerOptions) {
        self.options = options;
    }

    /// Changes the configuration for the next start.
    pub fn configure(&mut self, config: impl Into<String>) {
        self.options.config = config.into();
    }

    /// Kills the process at once (SIGKILL) and waits for its end.
    pub async fn kill(&mut self) -> Kill {
        let mut child = self.child.take().expect("a server runs");
        let sent_us = wall_us();
        child.start_kill().expect("the process can be killed");
        child.wait().await.expect("the process ends");
        Kill::new(sent_us, wall_us())
    }

    /// Asks the process to end (SIGTERM) and returns its exit status.
    pub async fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("a server runs");
        let id = child.id().expect("the process has a number");
        assert!(
            Now::new("kill").arg("-TERM").arg(id.to_string()).status().is_ok_and(|status| status.success())
        );
        let ended = tokio::time::timeout(END_WAIT, child.wait()).await;
        ended.expect("the process ends in time").expect("its status can be read").code()
    }

    /// True while the process has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// The most memory that the process held so far, in octets (VmHWM of `/proc`).
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        let Some(pid) = self.pid() else { return 0 };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1_024
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// A path in the server's temporary folder, beside its data.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file there.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder can be made");
        }
        std::fs::File::create(&path)
            .and_then(|mut f| f.write_all(content.as_ref()))
            .expect("a file can be written");
        path
    }

    /// What its clock shows (µs UTC).
    #[must_use]
    pub fn now_us(&self) -> i64 {
        let (shift, jump) = self.moved();
        wall_us() + shift + jump
    }

    /// By how much time passed beside the machine's, and by how much the clock jumped (µs).
    fn moved(&self) -> (i64, i64) {
        let text = std::fs::read_to_string(self.path(CLOCK_FILE)).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// Lets time pass until a moment (µs UTC). It need not run.
    pub fn turn_to(&self, to_us: i64) {
        assert!(
            self.options.turnable && to_us >= self.now_us(),
            "clocks go forward, where they can be turned"
        );
        let (shift, jump) = self.moved();
        self.show(shift + to_us - self.now_us(), jump);
    }

    /// Its time of day jumps by so much (µs), back too, while no time passes: a wrong clock is put right, or a right one wrong.
    pub fn jump(&self, by_us: i64) {
        assert!(self.options.turnable, "a clock that can be turned");
        let (shift, jump) = self.moved();
        self.show(shift, jump + by_us);
    }

    /// In one step, so that nobody reads half a number.
    fn show(&self, shift_us: i64, jump_us: i64) {
        let new = self.write("clock.new", format!("{shift_us} {jump_us}"));
        std::fs::rename(new, self.path(CLOCK_FILE)).expect("a file can be renamed");
    }

    /// Base of its URLs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// A request to the REST API with the local token; `path` begins after `/api/v1`.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let token = std::fs::read_to_string(self.data.join("local-token")).unwrap_or_default();
        let url = format!("{}/api/v1{path}", self.url());
        reqwest::Client::new().request(method, url).bearer_auth(token.trim()).timeout(COMMAND_WAIT)
    }

    /// Starts the program once more on the same folder, on another port, and answers how that ended.
    pub async fn second_start(&self) -> Cli {
        let mut command = Command::new(program());
        command.arg("serve").arg("--data").arg(self.data()).arg("--listen").arg("127.0.0.1:0");
        if let Some(url) = &self.database {
            command.arg("--database").arg(url);
        }
        ended(command).await
    }

    /// Runs a command with `--json`.
    pub async fn cli<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Cli {
        let mut command = Command::new(program());
        command.arg("--json").args(arguments);
        self.finish(command).await
    }

    /// Runs a command as a person would, without `--json`.
    pub async fn cli_plain<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Cli {
        let mut command = Command::new(program());
        command.args(arguments);
        self.finish(command).await
    }

    async fn finish(&self, mut command: Command) -> Cli {
        command.arg("--url").arg(self.url()).arg("--data").arg(self.data());
        ended(command).await
    }

    /// `status` of a delivery, with its invariant checked.
    pub async fn status(&self, id: &str) -> Value {
        let status = self.cli(&["delivery", "status", id]).await.done();
        let sum = |field: &str| -> i64 {
            status[field].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_i64()).sum()
        };
        assert_eq!(status["target"].as_i64(), Some(sum("excluded") + sum("messages")), "{status}");
        status
    }

    /// Waits until a delivery's status is as wanted.
    pub async fn wait_until(&self, id: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let end = tokio::time::Instant::now() + WAIT;
        loop {
            let status = self.status(id).await;
            if enough(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < end, "still {status}\n{}", self.stderr());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a delivery is in one of these states.
    pub async fn wait_for(&self, id: &str, states: &[&str], limit: Duration) -> Value {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let status = self.status(id).await;
            if states.iter().any(|state| status["state"] == *state) {
                return status;
            }
            assert!(tokio::time::Instant::now() < end, "still {status}\n{}", self.stderr());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// `MAILWRIGHT_STORY_STDERR=FOLDER` keeps what each server wrote to standard error, to look at after a story.
impl Drop for Server {
    fn drop(&mut self) {
        if let Some(folder) = std::env::var_os("MAILWRIGHT_STORY_STDERR") {
            let name = format!("{}.log", self.listen.replace(':', "-"));
            // Nothing hangs on it.
            let _ = std::fs::copy(self.dir.path().join("stderr"), Path::new(&folder).join(name));
        }
    }
}

async fn ended(mut command: Command) -> Cli {
    command.stdin(Stdio::null()).kill_on_drop(true).env_remove("MAILWRIGHT_TOKEN");
    let output = tokio::time::timeout(COMMAND_WAIT, command.output()).await;
    let output = output.expect("the command ends in time").expect("the command starts");
    Cli {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Wall clock, microseconds UTC: the clock of the receivers' log.
#[must_use]
pub fn wall_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
