//! The bare program: signs ready-made messages and writes them over a number of connections, a thread each, and does
//! nothing else. What ours is measured against.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use message::{DkimKey, KeyKind};

use super::cpu::of_this_thread;
use super::instance::failed;
use crate::output::{Done, Failure};

/// What it does.
#[derive(Debug, Clone, Copy)]
pub struct Bare {
    pub sink: SocketAddr,
    pub connections: u32,
    pub messages: usize,
    /// Octets of a message.
    pub length: usize,
    /// With RSA-2048, each message anew.
    pub signed: bool,
    pub pipelining: Pipelining,
}

/// How much goes out before an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipelining {
    /// MAIL, RCPT and DATA together, then the body.
    Group,
    /// A body together with the next MAIL, RCPT and DATA: one round trip a message.
    Full,
}

/// What it took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub time: Duration,
    /// CPU seconds of its threads.
    pub cpu: f64,
}

const ENVELOPE: &[u8] = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";

impl Bare {
    pub fn run(&self) -> Result<Took, Failure> {
        let key = fresh_key()?;
        let body = ready_made(self.length);
        let left = AtomicUsize::new(self.messages);
        let begun = Instant::now();
        let cpu = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.connections).map(|_| scope.spawn(|| self.connection(&key, &body, &left))).collect();
            let spent = |worker: std::thread::ScopedJoinHandle<'_, Result<f64, Failure>>| {
                worker.join().map_err(|_| failed("a thread panicked"))?
            };
            workers.into_iter().map(spent).sum::<Result<f64, Failure>>()
        })?;
        Ok(Took { time: begun.elapsed(), cpu })
    }

    fn connection(&self, key: &KeyPair, body: &[u8], left: &AtomicUsize) -> Result<f64, Failure> {
        let mut stream = TcpStream::connect(self.sink)?;
        stream.set_nodelay(true)?;
        let mut replies = BufReader::new(stream.try_clone()?);
        read_reply(&mut replies)?;
        stream.write_all(b"EHLO bare.example\r\n")?;
        read_reply(&mut replies)?;
        let mut message = Vec::with_capacity(body.len() + 1_024);
        let mut signature = vec![0; key.public_modulus_len()];
        let wants = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        let mut more = wants();
        if more {
            stream.write_all(ENVELOPE)?;
        }
        while more {
            // Made while the answers to the envelope are on their way.
            self.make(key, body, &mut signature, &mut message)?;
            (0..3).try_for_each(|_| read_reply(&mut replies))?;
            more = wants();
            match (self.pipelining, more) {
                (Pipelining::Full, true) => {
                    message.extend_from_slice(ENVELOPE);
                    stream.write_all(&message)?;
                    read_reply(&mut replies)?;
                }
                (Pipelining::Full, false) => {
                    stream.write_all(&message)?;
                    read_reply(&mut replies)?;
                }
                (Pipelining::Group, again) => {
                    stream.write_all(&message)?;
                    read_reply(&mut replies)?;
                    if again {
                        stream.write_all(ENVELOPE)?;
                    }
                }
            }
        }
        Ok(of_this_thread())
    }

    fn make(&self, key: &KeyPair, body: &[u8], signature: &mut [u8], message: &mut Vec<u8>) -> Done {
        message.clear();
        if self.signed {
            let hash = digest(&SHA256, body);
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), hash.as_ref(), signature).map_err(failed)?;
            message.extend_from_slice(b"DKIM-Signature: v=1; b=");
            for octet in signature.iter() {
                write!(message, "{octet:02x}")?;
            }
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(body);
        message.extend_from_slice(b".\r\n");
        Ok(())
    }
}

fn fresh_key() -> Result<KeyPair, Failure> {
    let key = DkimKey::generate(KeyKind::Rsa).and_then(|key| key.to_pkcs8()).map_err(failed)?;
    KeyPair::from_pkcs8(&key).map_err(failed)
}

/// The name of the probe's thread: its CPU time is nobody's.
pub const PROBE: &str = "probe";

/// Measures what an RSA-2048 signature costs while something else runs: at the same time and at the rank of the compose
/// threads, because on a busy machine the same signature takes a fifth more or less a moment later.
pub struct SignatureProbe {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<f64, Failure>>,
}

/// Between two looks: the probe takes half a per cent of a core.
const PROBE_REST: Duration = Duration::from_millis(100);
/// Signatures of one look. The first one finds other things in the caches, as it does behind a message's composing.
const PROBE_TIMES: u32 = 4;

impl SignatureProbe {
    pub fn start() -> Result<SignatureProbe, Failure> {
        let key = fresh_key()?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::Builder::new().name(PROBE.to_owned()).spawn(move || probe(&key, &ends))?;
        Ok(SignatureProbe { over, thread })
    }

    /// CPU seconds of a signature.
    pub fn end(self) -> Result<f64, Failure> {
        self.over.store(true, Ordering::Release);
        self.thread.join().map_err(|_| failed("a thread panicked"))?
    }
}

fn probe(key: &KeyPair, over: &AtomicBool) -> Result<f64, Failure> {
    mta::lower_rank();
    let mut signature = vec![0; key.public_modulus_len()];
    let mut times = 0;
    let before = of_this_thread();
    // The kernel brings a thread's time up to date when it rests: so one rest lies between the last signature and the look.
    while times == 0 || !over.load(Ordering::Acquire) {
        for _ in 0..PROBE_TIMES {
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &[b'x'; 400], &mut signature)
                .map_err(failed)?;
        }
        times += PROBE_TIMES;
        std::thread::sleep(PROBE_REST);
    }
    Ok((of_this_thread() - before) / f64::from(times))
}

fn ready_made(length: usize) -> Vec<u8> {
    let line = b"Ready-made text in lines of a usual length, so that nothing is left to do.\r\n";
    let mut body = b"Subject: ready-made\r\n\r\n".to_vec();
    while body.len() < length {
        body.extend_from_slice(line);
    }
    body
}

fn read_reply(replies: &mut BufReader<TcpStream>) -> Result<(), Failure> {
    let mut line = String::new();
    loop {
        line.clear();
        if replies.read_line(&mut line)? == 0 {
            return Err(Failure::refused("the receiver closed the connection"));
        }
        match line.as_bytes() {
            [_, _, _, b'-', ..] => {}
            [b'2' | b'3', ..] => return Ok(()),
            _ => return Err(Failure::refused(format!("the receiver said {line}"))),
        }
    }
}
