//! One connection: the socket and the protocol's state machine, moved together. Reading goes on while writing.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use net::Secured;
use routes::SiteRules;
use smtp::{Client, Cut, Event, Stage};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::us;
use crate::trace::Tracer;
use crate::world::Stream;

/// Octets read at once.
const READ_SIZE: usize = 4_096;

/// How long a receiver is waited for, where the rules of its site say so; else as RFC 5321 section 4.5.3.2 has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub command: Duration,
    pub data: Duration,
    pub dot: Duration,
}

impl Patience {
    pub(crate) fn of(rules: &SiteRules) -> Self {
        let seconds = |count: u32| Duration::from_secs(u64::from(count.max(1)));
        Self {
            command: seconds(rules.command_timeout_s),
            data: seconds(rules.data_timeout_s),
            dot: seconds(rules.dot_timeout_s),
        }
    }

    fn at(self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth | Stage::Mail | Stage::Rcpt => {
                self.command
            }
            Stage::Data | Stage::Body => self.data,
            Stage::Dot => self.dot,
            Stage::Connect | Stage::Handshake | Stage::Idle | Stage::Rset | Stage::Quit => stage.timeout(),
        }
    }
}

/// A socket and the dialogue on it.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    pub client: Client,
    /// Whom it is with.
    pub host: Arc<str>,
    /// How the connection is secured; `None`: it is in clear.
    pub secured: Option<Arc<Secured>>,
    /// Shows what passes to somebody who asked.
    pub trace: Option<Tracer>,
    /// `None`: as the protocol has it.
    pub patience: Option<Patience>,
    buffer: Box<[u8; READ_SIZE]>,
    /// Something was written that may sit in a TLS buffer.
    unflushed: bool,
    wait_serial: Option<u64>,
    deadline_us: i64,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>, client: Client, host: &str) -> Self {
        Self {
            stream,
            client,
            host: host.into(),
            secured: None,
            trace: None,
            patience: None,
            buffer: Box::new([0; READ_SIZE]),
            unflushed: false,
            wait_serial: None,
            deadline_us: i64::MAX,
        }
    }

    /// Gives the socket away for a handshake, and what comes back takes its place.
    pub(crate) fn into_parts(self) -> (Box<dyn Stream>, Client) {
        (self.stream, self.client)
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.client.next_event()
    }

    /// Writes and reads what the socket allows; completes when something moved or the connection ended.
    pub(crate) async fn step(&mut self) {
        poll_fn(|cx| self.poll_step(cx)).await;
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut moved = self.poll_write(cx);
        if self.client.is_closed() {
            return Poll::Ready(());
        }
        let mut buffer = ReadBuf::new(&mut self.buffer[..]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.client.cut(Cut::Eof);
                moved = true;
            }
            Poll::Ready(Ok(())) => {
                let filled = buffer.filled();
                if let Some(trace) = &mut self.trace {
                    trace.read(filled);
                }
                self.client.input(filled);
                moved = true;
            }
            Poll::Ready(Err(error)) => {
                self.client.cut(Cut::Broken(error.to_string()));
                moved = true;
            }
            Poll::Pending => {}
        }
        if moved { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.client.output().is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.client.output()) {
                Poll::Ready(Ok(0)) => {
                    self.client.cut(Cut::Eof);
                    return true;
                }
                Poll::Ready(Ok(count)) => {
                    if let Some(trace) = &mut self.trace {
                        trace.wrote(&self.client.output()[..count]);
                    }
                    self.client.wrote(count);
                    self.unflushed = true;
                    moved = true;
                }
                Poll::Ready(Err(error)) => {
                    // What the server said before it closed explains more than a broken pipe.
                    self.read_last_words(cx);
                    self.client.cut(Cut::Broken(error.to_string()));
                    return true;
                }
                Poll::Pending => return moved,
            }
        }
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(cx).is_ready() {
            self.unflushed = false;
        }
        moved
    }

    fn read_last_words(&mut self, cx: &mut Context<'_>) {
        let mut buffer = ReadBuf::new(&mut self.buffer[..]);
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            let filled = buffer.filled();
            self.client.input(filled);
        }
    }

    /// Ends the connection when the wait in force ran out. By the monotonic clock: a time of day that jumps over the end of
    /// a wait would end all of them at once, and what is past its final dot would go twice.
    pub(crate) fn watch(&mut self, mono_us: i64) {
        match self.client.wait() {
            None => (self.wait_serial, self.deadline_us) = (None, i64::MAX),
            Some(wait) if self.wait_serial != Some(wait.serial) => {
                self.wait_serial = Some(wait.serial);
                let timeout = self.patience.map_or(wait.timeout, |patience| patience.at(wait.stage));
                self.deadline_us = mono_us.saturating_add(us(timeout));
            }
            Some(_) if mono_us >= self.deadline_us => self.client.cut(Cut::Timeout),
            Some(_) => {}
        }
    }
}
