//! A cheap receiver for benchmarks: it finds the ends of lines and bodies, counts, and looks at nothing else.
//!
//! It is a double of the receiving *work*, not of a receiver: everything is accepted, PIPELINING and SIZE are
//! offered, nothing is kept. One message costs it a scan for the dot and one write.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem::Finder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::limits::{COMMAND_LEN_MAX, MESSAGE_LEN_MAX};

/// A running sink. Dropping it closes all its connections.
pub struct Sink {
    address: SocketAddr,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    octets: AtomicU64,
}

const READ_LEN: usize = 256 * 1024;

impl Sink {
    /// Starts on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Sink> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&counts)));
        Ok(Sink { address, counts, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Messages accepted.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.counts.messages.load(Ordering::Relaxed)
    }

    /// Octets of their bodies, dot-stuffing included.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.counts.octets.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, counts: Arc<Counts>) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let counts = Arc::clone(&counts);
            open.spawn(async move {
                let _ = serve(stream, &counts).await;
            });
        }
        while open.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    let mut sink = Dialogue { buffer: Vec::new(), searched: 0, in_body: false, out: Vec::new(), quit: false };
    loop {
        sink.buffer.reserve(READ_LEN);
        if stream.read_buf(&mut sink.buffer).await? == 0 {
            return Ok(());
        }
        let octets = sink.take(counts);
        if octets.is_err() || sink.buffer.len() > MESSAGE_LEN_MAX {
            return Ok(());
        }
        if !sink.out.is_empty() {
            stream.write_all(&sink.out).await?;
            sink.out.clear();
        }
        if sink.quit {
            return Ok(());
        }
    }
}

struct Dialogue {
    buffer: Vec<u8>,
    searched: usize,
    in_body: bool,
    out: Vec<u8>,
    quit: bool,
}

/// A command line that does not end.
struct Endless;

impl Dialogue {
    /// Takes all whole commands and bodies out of the buffer.
    fn take(&mut self, counts: &Counts) -> Result<(), Endless> {
        let finder = Finder::new(b"\r\n.\r\n");
        let mut at = 0;
        loop {
            if self.in_body {
                let from = self.searched.max(at);
                let Some(end) = body_end(&self.buffer, at, from, &finder) else {
                    self.searched = self.buffer.len().saturating_sub(4).max(at);
                    break;
                };
                counts.messages.fetch_add(1, Ordering::Relaxed);
                counts.octets.fetch_add((end - at) as u64, Ordering::Relaxed);
                self.in_body = false;
                self.out.extend_from_slice(b"250 2.0.0 Ok\r\n");
                at = end;
            } else {
                let Some(len) = memchr::memchr(b'\n', &self.buffer[at..]) else {
                    if self.buffer.len() - at > COMMAND_LEN_MAX {
                        return Err(Endless);
                    }
                    break;
                };
                command(&self.buffer[at..at + len], &mut self.out, &mut self.in_body, &mut self.quit);
                at += len + 1;
                self.searched = at;
            }
        }
        self.buffer.drain(..at);
        self.searched = self.searched.saturating_sub(at);
        Ok(())
    }
}

/// Where the octets after the dot's line begin.
fn body_end(buffer: &[u8], start: usize, from: usize, finder: &Finder<'_>) -> Option<usize> {
    if buffer[start..].starts_with(b".\r\n") {
        return Some(start + 3);
    }
    finder.find(&buffer[from..]).map(|found| from + found + 5)
}

fn command(line: &[u8], out: &mut Vec<u8>, in_body: &mut bool, quit: &mut bool) {
    let reply: &[u8] = match line.first().map(u8::to_ascii_uppercase) {
        Some(b'E') => {
            b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 67108864\r\n"
        }
        Some(b'D') => {
            *in_body = true;
            b"354 Go on\r\n"
        }
        Some(b'Q') => {
            *quit = true;
            b"221 2.0.0 Bye\r\n"
        }
        _ => b"250 2.0.0 Ok\r\n",
    };
    out.extend_from_slice(reply);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue() -> Dialogue {
        Dialogue { buffer: Vec::new(), searched: 0, in_body: false, out: Vec::new(), quit: false }
    }

    #[test]
    fn pipelined_input_in_pieces_of_any_size_counts_the_same() {
        let text = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nA: b\r\n\r\n..x\r\n.y\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\nQUIT\r\n";
        let mut expected = None;
        for size in 1..=text.len() {
            let (mut sink, counts) = (dialogue(), Counts::default());
            for chunk in text.chunks(size) {
                sink.buffer.extend_from_slice(chunk);
                assert!(sink.take(&counts).is_ok());
            }
            assert_eq!(counts.messages.load(Ordering::Relaxed), 2, "pieces of {size}");
            assert!(sink.quit && sink.buffer.is_empty());
            assert_eq!(expected.get_or_insert_with(|| sink.out.clone()), &sink.out);
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (mut sink, counts) = (dialogue(), Counts::default());
        sink.buffer = vec![b'x'; COMMAND_LEN_MAX + 1];
        assert!(sink.take(&counts).is_err());
    }
}
