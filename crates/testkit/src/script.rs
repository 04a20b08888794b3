//! Scripted dialogues: a receiver that says exactly what a test wants, however wrong.
//!
//! ```text
//! S: 220 mx.test ESMTP        says the line (CRLF added)
//! C: EHLO *                   reads a line and compares it; `*` stands for any rest, case does not matter
//! S: 250-mx.test
//! S: 250 PIPELINING
//! C: MAIL FROM:*
//! C: RCPT TO:*
//! C: DATA
//! S: 250 ok
//! S: 451 4.7.1 later
//! S: 554 no valid recipients
//! B:                          reads a body up to its dot
//! B: 100                      reads 100 octets of a body
//! R: 250 no line end          says octets as written, with \r \n \0 \xFF escapes and no CRLF added
//! W: 500                      waits so many milliseconds
//! L: 100000                   says a line of that many octets of `x`
//! E:                          reads until the other side closes
//! X:                          closes here (also the end of the script)
//! ```
//! Lines that begin with `#` and empty lines are comments.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::limits::{MESSAGE_LEN_MAX, READ_LEN};

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Say(Vec<u8>),
    Expect(String),
    Body(Option<usize>),
    Wait(Duration),
    UntilClosed,
    Close,
}

/// A scripted dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(Vec<Action>);

/// What one connection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Played {
    /// Lines and bodies that the other side sent, in order.
    pub heard: Vec<String>,
    /// The first line that was not as expected, or what else went wrong; none: the script was played to its end.
    pub failure: Option<String>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The number of the line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Script, String> {
        let mut actions = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why: &str| format!("line {}: {why}: {line}", number + 1);
            let (kind, rest) = line.split_once(':').ok_or_else(|| bad("no colon"))?;
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            let count = || rest.trim().parse::<usize>().map_err(|_| bad("not a number"));
            actions.push(match kind {
                "S" => Action::Say(format!("{rest}\r\n").into_bytes()),
                "R" => Action::Say(unescaped(rest).ok_or_else(|| bad("bad escape"))?),
                "L" => {
                    let mut long = vec![b'x'; count()?.min(MESSAGE_LEN_MAX)];
                    long.extend_from_slice(b"\r\n");
                    Action::Say(long)
                }
                "C" => Action::Expect(rest.to_owned()),
                "B" if rest.trim().is_empty() => Action::Body(None),
                "B" => Action::Body(Some(count()?)),
                "W" => Action::Wait(Duration::from_millis(count()? as u64)),
                "E" => Action::UntilClosed,
                "X" => Action::Close,
                _ => return Err(bad("no such action")),
            });
        }
        Ok(Script(actions))
    }
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        out.push(match octets.next()? {
            b'r' => b'\r',
            b'n' => b'\n',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = [octets.next()?, octets.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

/// A receiver that plays scripts: the first connection the first, and so on; the last one for all further ones.
pub struct ScriptServer {
    address: SocketAddr,
    played: Arc<Mutex<Vec<Played>>>,
    _tasks: JoinSet<()>,
}

impl ScriptServer {
    /// Starts on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, scripts: Vec<Script>) -> io::Result<ScriptServer> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let played = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, scripts, Arc::clone(&played)));
        Ok(ScriptServer { address, played, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection did, in the order in which they came; one that still runs shows what it heard so far.
    #[must_use]
    pub fn played(&self) -> Vec<Played> {
        self.played.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, scripts: Vec<Script>, played: Arc<Mutex<Vec<Played>>>) {
    let mut open = JoinSet::new();
    let mut count = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let script = scripts.get(count).or(scripts.last()).cloned().unwrap_or(Script(Vec::new()));
        played.lock().unwrap_or_else(PoisonError::into_inner).push(Played::default());
        let mut player = Player { stream, buffer: Vec::new(), played: Arc::clone(&played), number: count };
        count += 1;
        open.spawn(async move {
            if let Err(failure) = player.play(&script).await {
                player.note(|played| played.failure = Some(failure));
            }
        });
        while open.try_join_next().is_some() {}
    }
}

struct Player {
    stream: TcpStream,
    buffer: Vec<u8>,
    played: Arc<Mutex<Vec<Played>>>,
    number: usize,
}

impl Player {
    fn note(&self, change: impl FnOnce(&mut Played)) {
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = played.get_mut(self.number) {
            change(mine);
        }
    }

    async fn play(&mut self, script: &Script) -> Result<(), String> {
        for action in &script.0 {
            match action {
                Action::Say(octets) => {
                    self.stream.write_all(octets).await.map_err(|error| format!("while saying: {error}"))?;
                }
                Action::Expect(pattern) => {
                    let line = self.line().await?;
                    let heard = line.clone();
                    self.note(|played| played.heard.push(heard));
                    if !matches(pattern, &line) {
                        return Err(format!("expected `{pattern}`, heard `{line}`"));
                    }
                }
                Action::Body(limit) => {
                    let body = self.body(*limit).await?;
                    self.note(|played| played.heard.push(body));
                }
                Action::Wait(time) => tokio::time::sleep(*time).await,
                Action::UntilClosed => while self.fill().await.is_ok() {},
                Action::Close => return Ok(()),
            }
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), String> {
        if self.buffer.len() > MESSAGE_LEN_MAX {
            return Err("too much was sent".to_owned());
        }
        self.buffer.reserve(READ_LEN);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the other side closed".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("while reading: {error}")),
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            self.fill().await?;
        }
    }

    async fn body(&mut self, limit: Option<usize>) -> Result<String, String> {
        loop {
            let end = match limit {
                Some(limit) => (self.buffer.len() >= limit).then_some(limit),
                None if self.buffer.starts_with(b".\r\n") => Some(3),
                None => memchr::memmem::find(&self.buffer, b"\r\n.\r\n").map(|found| found + 5),
            };
            if let Some(end) = end {
                let body: Vec<u8> = self.buffer.drain(..end).collect();
                return Ok(String::from_utf8_lossy(&body).into_owned());
            }
            self.fill().await?;
        }
    }
}

/// `MAIL FROM:*` matches any rest; case does not matter.
fn matches(pattern: &str, line: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(head) => line.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head)),
        None => line.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_script_names_its_line() {
        assert!(Script::parse("S: 220\n\n# x\nQ: no").expect_err("refuses").starts_with("line 4"));
        assert!(Script::parse("W: soon").is_err() && Script::parse("R: \\q").is_err());
        assert_eq!(unescaped("a\\x00\\r\\n"), Some(b"a\0\r\n".to_vec()));
    }

    #[tokio::test]
    async fn plays_and_tells_what_it_heard() {
        let script =
            Script::parse("S: 220 hi\nC: EHLO *\nR: 250 \\xFFok\\r\\nC: DATA\nB:\nS: 250 ok\nC: QUIT");
        assert!(script.is_ok());
        let script = Script::parse("S: 220 hi\nC: ehlo *\nS: 250 ok\nC: DATA\nB:\nC: QUIT").expect("parses");
        let server = ScriptServer::start(([127, 0, 0, 1], 0).into(), vec![script]).await.expect("starts");
        let mut stream = TcpStream::connect(server.address()).await.expect("connects");
        stream.write_all(b"EHLO me\r\nDATA\r\nx\r\n.\r\nNOOP\r\n").await.expect("writes");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("reads");
        assert_eq!(said, "220 hi\r\n250 ok\r\n");
        let played = server.played();
        assert_eq!(played[0].heard, ["EHLO me", "DATA", "x\r\n.\r\n", "NOOP"]);
        assert_eq!(played[0].failure.as_deref(), Some("expected `QUIT`, heard `NOOP`"));
    }
}
