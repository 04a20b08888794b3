//! A receiver on loopback that does what a story says, line by line, and remembers what it saw.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the receiver does at a moment.
#[derive(Debug, Clone)]
pub enum Act {
    /// Says this (lines parted by `\n`; CRLF is added).
    Say(String),
    /// Never answers.
    Hang,
    /// Says it once that is true.
    SayOnce(Arc<AtomicBool>, &'static str),
    /// Says it after so long.
    SayLate(Duration, &'static str),
    /// Closes the connection.
    Close,
}

pub fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

/// A moment of the dialogue.
#[derive(Debug, Clone)]
pub struct Moment {
    /// `greeting ehlo mail rcpt data body dot rset quit`; `body` comes after 354, before the body is read.
    pub verb: &'static str,
    /// The command line, or the body at `dot`.
    pub text: String,
    /// The sender's address.
    pub from: std::net::IpAddr,
}

type Script = Arc<dyn Fn(&Moment) -> Option<Act> + Send + Sync>;

/// The receiver.
#[derive(Clone)]
pub struct Receiver {
    pub seen: Arc<Mutex<Vec<(Instant, Moment)>>>,
    script: Script,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    pub most_open: Arc<AtomicUsize>,
    pub pipelining: bool,
    /// More connections at once are turned away.
    pub connections_max: usize,
    /// Messages that came.
    dots: Arc<AtomicUsize>,
    dots_max: Arc<AtomicUsize>,
}

impl Receiver {
    /// `script` may answer any moment; `None` means: as a good receiver does.
    pub fn new(script: impl Fn(&Moment) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self {
            seen: Arc::default(),
            script: Arc::new(script),
            connections: Arc::default(),
            open: Arc::default(),
            most_open: Arc::default(),
            pipelining: true,
            connections_max: usize::MAX,
            dots: Arc::default(),
            dots_max: Arc::new(AtomicUsize::new(usize::MAX)),
        }
    }

    /// Answers so many messages, and the others once it is told a higher number. For what must not be over before somebody
    /// has looked, on a machine that stands still for a while.
    pub fn answers(&self, messages: usize) {
        self.dots_max.store(messages, Ordering::SeqCst);
    }

    pub async fn listen(&self, address: &str) -> u16 {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let me = me.clone();
                me.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let open = me.open.fetch_add(1, Ordering::SeqCst) + 1;
                    me.most_open.fetch_max(open, Ordering::SeqCst);
                    let counted = Leaves(Arc::clone(&me.open));
                    me.talk(stream, counted).await;
                });
            }
        });
        port
    }

    pub fn count(&self, verb: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(_, moment)| moment.verb == verb).count()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn at(&self, verb: &'static str, text: &str, from: std::net::IpAddr) -> Act {
        let moment = Moment { verb, text: text.to_owned(), from };
        let act = (self.script)(&moment).unwrap_or_else(|| {
            let ehlo = if self.pipelining { "250-mx\n250-PIPELINING\n250 8BITMIME" } else { "250 mx" };
            say(match verb {
                "greeting" => "220 mx ready",
                "ehlo" => ehlo,
                "data" => "354 go",
                "quit" => "221 bye",
                _ => "250 2.0.0 ok",
            })
        });
        self.seen.lock().unwrap().push((Instant::now(), moment));
        act
    }

    async fn talk(&self, stream: TcpStream, counted: Leaves) {
        let mut counted = Some(counted);
        // Nagle's algorithm and the sender's delayed acknowledgement would cost 40 ms a message.
        stream.set_nodelay(true).unwrap();
        let from = stream.peer_addr().unwrap().ip();
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        if self.open.load(Ordering::SeqCst) > self.connections_max {
            let _ =
                self.does(&mut write, say("421 Too many connections from your host, try again later")).await;
            return;
        }
        if self.does(&mut write, self.at("greeting", "", from)).await.is_none() {
            return;
        }
        let mut line = String::new();
        loop {
            line.clear();
            if read.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let verb = match line.get(..4).unwrap_or("").to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => "ehlo",
                "MAIL" => "mail",
                "RCPT" => "rcpt",
                "DATA" => "data",
                "RSET" => "rset",
                "QUIT" => "quit",
                _ => "other",
            };
            if verb == "quit" {
                // As at a real receiver the connection is over for its limits before the farewell is heard.
                counted = None;
            }
            let act = self.at(verb, line.trim_end(), from);
            let Some(said) = self.does(&mut write, act).await else { return };
            if counted.is_none() {
                return;
            }
            if verb == "data" && said.starts_with("354") {
                // `body` may close or hang before a byte of it is read.
                match self.at("body", "", from) {
                    Act::Close => return,
                    Act::Hang => std::future::pending().await,
                    Act::Say(_) | Act::SayOnce(..) | Act::SayLate(..) => {}
                }
                let mut body = String::new();
                loop {
                    line.clear();
                    if read.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    body.push_str(&line);
                }
                let act = self.at("dot", &body, from);
                let number = self.dots.fetch_add(1, Ordering::SeqCst);
                while number >= self.dots_max.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if self.does(&mut write, act).await.is_none() {
                    return;
                }
            }
        }
    }

    /// What was said; `None` when the connection is over.
    async fn does(&self, write: &mut (impl AsyncWriteExt + Unpin), act: Act) -> Option<String> {
        match act {
            Act::Close => None,
            Act::Hang => std::future::pending().await,
            Act::SayOnce(when, text) => {
                while !when.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                write.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
                Some(text.to_owned())
            }
            Act::SayLate(after, text) => {
                tokio::time::sleep(after).await;
                write.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
                Some(text.to_owned())
            }
            Act::Say(text) => {
                let wire = format!("{}\r\n", text.replace('\n', "\r\n"));
                write.write_all(wire.as_bytes()).await.ok()?;
                Some(text)
            }
        }
    }
}

/// Takes a connection off the count, whatever way it ends.
struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
