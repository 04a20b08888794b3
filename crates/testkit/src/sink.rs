//! A cheap receiver for benchmarks: it finds the ends of lines and bodies, counts, and looks at nothing else.
//!
//! It is a double of the receiving *work*, not of a receiver: everything is accepted, PIPELINING and SIZE are
//! offered, nothing is kept. One message costs it a scan for the dot and one write.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem::Finder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

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

/// What a distant receiver costs in time, played by this one: nobody's clock or network is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delays {
    /// From a command to its answer, over the distance.
    pub round_trip: Duration,
    /// What the receiver does with a message before it answers the dot. It does nothing else meanwhile.
    pub after_dot: Duration,
}

/// Read at once from a connection that brings so much.
const READ_LEN: usize = 256 * 1024;
/// Room for what a slow connection brings: thousands of them stand at once, and each keeps its room.
const READ_LEN_FIRST: usize = 16 * 1024;
/// Pieces of input, or answers, of one connection that are on their way.
const UNDER_WAY_MAX: usize = 1_024;

impl Sink {
    /// Starts on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Sink> {
        Self::start_distant(address, Delays::default()).await
    }

    /// The same at a distance.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_distant(address: SocketAddr, delays: Delays) -> io::Result<Sink> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&counts), delays));
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

async fn accept(listener: TcpListener, counts: Arc<Counts>, delays: Delays) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let counts = Arc::clone(&counts);
            open.spawn(async move {
                let _ = if delays == Delays::default() {
                    serve(stream, &counts).await
                } else {
                    serve_distant(stream, &counts, delays).await
                };
            });
        }
        while open.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(GREETING).await?;
    let mut sink = Dialogue::default();
    let mut room = READ_LEN_FIRST;
    loop {
        sink.buffer.reserve(room);
        let len = stream.read_buf(&mut sink.buffer).await?;
        if len == 0 {
            return Ok(());
        }
        room = (2 * len).clamp(READ_LEN_FIRST, READ_LEN);
        let octets = sink.take(counts);
        if octets.is_err() || sink.buffer.len() > MESSAGE_LEN_MAX {
            return Ok(());
        }
        if !sink.out.is_empty() {
            stream.write_all(&sink.out).await?;
            sink.out.clear();
            sink.dots.clear();
        }
        if sink.quit {
            return Ok(());
        }
    }
}

const GREETING: &[u8] = b"220 sink.example ESMTP\r\n";

/// Answers, and when they leave.
type Answer = (Instant, Vec<u8>);

/// The same dialogue; each answer leaves when it would have come over the distance. Reading never waits for answers, as
/// the network between would not.
async fn serve_distant(stream: TcpStream, counts: &Counts, delays: Delays) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let (heard, mut input) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    let (say, answers) = mpsc::channel::<Answer>(UNDER_WAY_MAX);
    let mut ends = JoinSet::new();
    ends.spawn(listen(reader, heard));
    ends.spawn(speak(writer, answers));
    let way = delays.round_trip / 2;
    let mut busy = Instant::now() + way;
    let _ = say.send((busy + way, GREETING.to_vec())).await;
    let mut sink = Dialogue::default();
    while let Some((at, piece)) = input.recv().await {
        sink.buffer.extend_from_slice(&piece);
        if sink.take(counts).is_err() || sink.buffer.len() > MESSAGE_LEN_MAX {
            break;
        }
        busy = busy.max(at + way);
        let mut from = 0;
        for dot in std::mem::take(&mut sink.dots) {
            if dot > from {
                let _ = say.send((busy + way, sink.out[from..dot].to_vec())).await;
            }
            (busy, from) = (busy + delays.after_dot, dot);
        }
        if sink.out.len() > from {
            let _ = say.send((busy + way, sink.out[from..].to_vec())).await;
        }
        sink.out.clear();
        if sink.quit {
            break;
        }
    }
    drop((say, input));
    // What was said still arrives; the reader ends because nobody listens to it.
    ends.join_next().await;
    ends.join_next().await;
    Ok(())
}

async fn listen(mut reader: OwnedReadHalf, heard: mpsc::Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; READ_LEN];
    while let Ok(len @ 1..) = reader.read(&mut buffer).await {
        if heard.send((Instant::now(), buffer[..len].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn speak(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<Answer>) {
    while let Some((due, words)) = answers.recv().await {
        sleep_until(due).await;
        if writer.write_all(&words).await.is_err() {
            return;
        }
    }
}

#[derive(Default)]
struct Dialogue {
    buffer: Vec<u8>,
    searched: usize,
    in_body: bool,
    out: Vec<u8>,
    /// Where in `out` the answers to dots begin.
    dots: Vec<usize>,
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
                self.dots.push(self.out.len());
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
        Dialogue::default()
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

    #[tokio::test]
    async fn a_distant_sink_answers_a_pipelined_message_after_one_round_trip_and_its_work() {
        let (round_trip, after_dot) = (Duration::from_millis(60), Duration::from_millis(100));
        // A machine that stands still for a moment is no fault of the sink: one of some messages takes what it should.
        let mut took = Vec::new();
        while took.last().is_none_or(|took| *took >= round_trip + after_dot * 2) {
            assert!(took.len() < 10, "{took:?}");
            took.push(pipelined_message(round_trip, after_dot).await);
        }
    }

    /// How long a message took whose commands went out with the one before.
    async fn pipelined_message(round_trip: Duration, after_dot: Duration) -> Duration {
        let delays = Delays { round_trip, after_dot };
        let sink = Sink::start_distant(SocketAddr::from(([127, 0, 0, 1], 0)), delays).await.unwrap();
        let mut stream = TcpStream::connect(sink.address()).await.unwrap();
        let mut buffer = [0; 1_024];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..read], GREETING);
        let begun = Instant::now();
        stream.write_all(b"DATA\r\na\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n").await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < b"354 Go on\r\n".len() {
            let read = stream.read(&mut buffer).await.unwrap();
            heard.extend_from_slice(&buffer[..read]);
        }
        assert!(begun.elapsed() >= round_trip);
        while !heard.ends_with(b"Ok\r\n354 Go on\r\n") {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&buffer[..read]);
        }
        let took = begun.elapsed();
        assert!(took >= round_trip + after_dot, "{took:?}");
        assert_eq!(sink.messages(), 1);
        took
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (mut sink, counts) = (dialogue(), Counts::default());
        sink.buffer = vec![b'x'; COMMAND_LEN_MAX + 1];
        assert!(sink.take(&counts).is_err());
    }
}
