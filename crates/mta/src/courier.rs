//! A courier carries messages that are in no delivery, over connections of its own: the archive's copies. It shares with
//! the engine how a receiver is found, reached and spoken to, and nothing else: no line, no site, no permit, so that
//! neither waits for the other.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use smtp::{Answer, Event, Outcome, RecipientOutcome, Stage, classify};

use crate::config::{Relay, Source, WATCH, us};
use crate::connect::{FalseOffers, Means, Terms, Unreached, connect};
use crate::exchange::Way;
use crate::wire::Wire;
use crate::world::{MailHosts, World};

/// How a courier reaches receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierConfig {
    /// Address to send from, and the name said in EHLO.
    pub source: Source,
    /// Everything goes here; `None`: to the MX of the address's domain.
    pub relay: Option<Relay>,
    /// Port of MX hosts.
    pub port: u16,
}

/// Opens connections outside the engine. See the head of this file.
pub struct Courier {
    world: Arc<dyn World>,
    config: CourierConfig,
    false_offers: FalseOffers,
    closing: AtomicBool,
}

/// No connection stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoLine {
    /// In the receiver's words where it said something.
    pub reason: String,
    /// The wait that it named, in seconds.
    pub after_s: Option<u32>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// The receiver has it.
    Taken {
        /// The receiver's words.
        words: String,
    },
    /// The receiver does not want it.
    Refused {
        /// Where, and in the receiver's words.
        words: String,
        /// It saw the message, so the refusal may be about this one; otherwise it is about sender, address or us.
        of_message: bool,
        /// It will not change its mind.
        permanent: bool,
        /// The wait that it named, in seconds.
        after_s: Option<u32>,
    },
    /// The connection ended first.
    Lost {
        /// Where, and why.
        words: String,
        /// The final dot was out: the receiver may have it.
        unknown: bool,
    },
}

impl Courier {
    /// A courier in `world`. Opens nothing yet.
    #[must_use]
    pub fn new(config: CourierConfig, world: Arc<dyn World>) -> Self {
        Self { world, config, false_offers: FalseOffers::default(), closing: AtomicBool::new(false) }
    }

    /// Opens a connection to whoever takes the mail of `domain` (ASCII, lower case).
    ///
    /// # Errors
    /// [`NoLine`]: nobody was reached.
    pub async fn line(&self, domain: &str) -> Result<Line, NoLine> {
        let relay = self.config.relay.as_ref();
        let way = way_to(&*self.world, relay, domain).await;
        let way = way.map_err(|reason| NoLine { reason, after_s: None })?;
        let means = Means {
            world: &*self.world,
            relay,
            port: self.config.port,
            false_offers: &self.false_offers,
            closing: &self.closing,
            trace: Mutex::new(None),
        };
        match connect(&means, &way, &self.config.source, &Terms::default()).await {
            Ok(wire) => Ok(Line::new(Arc::clone(&self.world), wire)),
            Err(Unreached { reason, after_s, .. }) => Err(NoLine { reason, after_s }),
        }
    }
}

/// Where the mail of a domain goes; `Err` says in words why nowhere.
pub(crate) async fn way_to(world: &dyn World, relay: Option<&Relay>, domain: &str) -> Result<Way, String> {
    if relay.is_some() {
        return Ok(Way::Relay);
    }
    match world.mail_hosts(domain).await {
        MailHosts::Hosts(hosts) => Ok(Way::Hosts(hosts.into())),
        MailHosts::NullMx => Err(format!("{domain} takes no mail (null MX)")),
        MailHosts::NoDomain => Err(format!("{domain} does not exist, or has neither MX nor address")),
        MailHosts::Unanswered(why) => Err(format!("the DNS did not answer for {domain}: {why}")),
    }
}

/// An open connection. One message at a time.
pub struct Line {
    world: Arc<dyn World>,
    wire: Wire,
    begun: u64,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Line {
    pub(crate) fn new(world: Arc<dyn World>, wire: Wire) -> Self {
        Self { world, wire, begun: 0 }
    }

    /// Messages begun on it.
    #[must_use]
    pub const fn begun(&self) -> u64 {
        self.begun
    }

    /// How it is secured; `None`: it is in clear.
    #[must_use]
    pub fn secured(&self) -> Option<&net::Secured> {
        self.wire.secured.as_deref()
    }

    /// False once nothing can be sent over it any more.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.wire.client.is_closed()
    }

    /// Sends one message. `from` and `to` are addresses without brackets, `from` empty for the null return path;
    /// `message` has CRLF line ends. Dropping the future leaves the connection in the middle: drop it too.
    pub async fn send(&mut self, from: &str, to: &str, message: &[u8]) -> Handed {
        // After a refused MAIL or RCPT of a group the next message has to wait for the rest of its replies.
        while !self.wire.client.can_begin() {
            if let Some(why) = self.drain() {
                return Handed::Lost { words: why, unknown: false };
            }
            self.step().await;
        }
        let envelope = smtp::Envelope {
            from: from.to_owned(),
            to: to.to_owned(),
            size: message.len() as u64,
            eight_bit: !message.is_ascii(),
        };
        self.begun += 1;
        match self.wire.client.begin(self.begun, envelope) {
            Ok(()) => handed(&self.converse(message).await),
            Err(why) => Handed::Refused {
                words: why.to_string(),
                of_message: matches!(why, smtp::NotBegun::TooLarge(_)),
                permanent: true,
                after_s: None,
            },
        }
    }

    async fn converse(&mut self, message: &[u8]) -> Outcome {
        loop {
            while let Some(event) = self.wire.next_event() {
                match event {
                    Event::BodyWanted { id } => {
                        self.wire.client.body(id, message);
                    }
                    // Given once for each begun transaction, also when the connection ends.
                    Event::Finished { outcome, .. } => return outcome,
                    Event::Closed { .. } | Event::Ready | Event::Handshake => {}
                }
            }
            self.step().await;
        }
    }

    /// Drops what nobody waits for; the reason when the connection has ended.
    fn drain(&mut self) -> Option<String> {
        while let Some(event) = self.wire.next_event() {
            if let Event::Closed { why, .. } = event {
                return Some(why.to_string());
            }
        }
        self.wire.client.is_closed().then(|| "the connection has ended".to_owned())
    }

    async fn step(&mut self) {
        let now = self.world.mono_us();
        self.wire.watch(now);
        if self.wire.client.is_closed() {
            return;
        }
        tokio::select! {
            () = self.wire.step() => {}
            () = self.world.sleep_until_mono(now + us(WATCH)) => {}
        }
    }

    /// Says farewell and closes.
    pub async fn quit(mut self) {
        while self.drain().is_none() {
            self.wire.client.quit();
            self.step().await;
        }
    }
}

fn handed(outcome: &Outcome) -> Handed {
    match &outcome.answer {
        Answer::Reply(reply) if reply.is_positive() => Handed::Taken { words: reply.to_string() },
        Answer::Reply(reply) => {
            let verdict = classify(reply, outcome.stage);
            let of_path = match verdict.path {
                smtp::PathAction::Suspend { after_s } => after_s,
                _ => None,
            };
            let (permanent, after_s) = match verdict.recipient {
                RecipientOutcome::Retry { after_s } => (false, after_s.or(of_path)),
                RecipientOutcome::Failed => (true, None),
                RecipientOutcome::Sent => (false, None),
            };
            Handed::Refused {
                words: format!("at {}: {reply}", outcome.stage),
                of_message: matches!(outcome.stage, Stage::Body | Stage::Dot),
                permanent,
                after_s,
            }
        }
        Answer::None(why) => {
            Handed::Lost { words: format!("at {}: {why}", outcome.stage), unknown: outcome.is_unknown() }
        }
    }
}
