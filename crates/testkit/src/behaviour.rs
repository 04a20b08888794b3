//! How one simulated provider behaves. Everything is off by default: a receiver that takes all mail.

use std::net::IpAddr;
use std::time::Duration;

use crate::certificates::Quality;
use crate::reputation::Habits;

/// Where in a dialogue something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The greeting.
    Connect,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The dot that ends the body.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// One provider's behaviour.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Name in the log and on the mailbox page.
    pub name: String,
    /// Host name in the greeting.
    pub host: String,
    /// Offers PIPELINING.
    pub pipelining: bool,
    /// Offers STARTTLS.
    pub starttls: bool,
    /// The certificate that it shows.
    pub certificate: Quality,
    /// The answer to MAIL in clear text; none: it takes that too.
    pub needs_tls: Option<String>,
    /// Speaks TLS from the first octet.
    pub implicit_tls: bool,
    /// Offers 8BITMIME.
    pub eight_bit: bool,
    /// Offers SMTPUTF8.
    pub smtputf8: bool,
    /// Knows EHLO; a receiver without answers 502 to it.
    pub ehlo: bool,
    /// Largest message in octets, offered as SIZE.
    pub size_max: Option<usize>,
    /// User and password wanted before MAIL.
    pub login: Option<(String, String)>,
    /// Addresses that do not exist here.
    pub bounce: Bounce,
    /// The first try of each sender and recipient is refused until this time has gone by.
    pub greylist: Option<Duration>,
    /// Limits that push back.
    pub throttle: Throttle,
    /// What it tolerates from an address over time, and how it takes being ignored.
    pub habits: Option<Habits>,
    /// How it says so.
    pub words: Words,
    /// Addresses whose MAIL is answered with this, whatever else is set.
    pub blocks: Vec<(IpAddr, String)>,
    /// Messages in a thousand whose first try is cut in the middle of the body.
    pub cut_permille: u32,
    /// Says nothing any more once it has read this.
    pub hang_at: Option<Stage>,
    /// Closes without an answer once it has read this.
    pub close_at: Option<Stage>,
    /// A fixed answer at a stage, without CRLF; lines are parted by `\n`. 221 and 421 also close.
    pub answers: Vec<(Stage, String)>,
    /// Before each reply.
    pub reply_delay: Duration,
    /// Before the reply to the final dot, beside `reply_delay`.
    pub dot_delay: Duration,
}

/// Which addresses do not exist.
#[derive(Debug, Clone)]
pub struct Bounce {
    /// A local part with this in it does not exist.
    pub local_contains: Vec<String>,
    /// This many in a thousand of all others do not exist either, always the same ones.
    pub permille: u32,
    /// The answer to RCPT.
    pub reply: String,
}

/// Limits that push back with the provider's words.
#[derive(Debug, Clone)]
pub struct Throttle {
    /// Open connections at once from one address; one more is greeted with `connections_reply`.
    pub connections: Option<u32>,
    /// Answer of one connection too many.
    pub connections_reply: String,
    /// Messages on one connection; one more is answered `per_connection_reply`.
    pub per_connection: Option<u32>,
    /// Answer to one message too many on a connection.
    pub per_connection_reply: String,
    /// Messages a second over all connections, with a second's worth of burst.
    pub per_second: Option<f64>,
    /// Answer to one message too soon.
    pub per_second_reply: String,
}

/// Answers to MAIL of a provider with [`Habits`].
#[derive(Debug, Clone)]
pub struct Words {
    /// Too much for now.
    pub later: String,
    /// The address is blocked.
    pub blocked: String,
}

impl Default for Words {
    fn default() -> Words {
        Words {
            later: "451 4.7.1 Too much mail from your address, please slow down".to_owned(),
            blocked: "550 5.7.1 Your address is on our block list".to_owned(),
        }
    }
}

impl Default for Bounce {
    fn default() -> Bounce {
        Bounce {
            local_contains: vec!["nouser".to_owned()],
            permille: 0,
            reply: "550 5.1.1 The email account that you tried to reach does not exist".to_owned(),
        }
    }
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle {
            connections: None,
            connections_reply: "421 4.7.0 Too many concurrent SMTP connections; please try again later"
                .to_owned(),
            per_connection: None,
            per_connection_reply:
                "421 4.7.0 Max message per connection reached, please close this connection".to_owned(),
            per_second: None,
            per_second_reply:
                "421 4.7.28 Our system has detected an unusual rate of mail from your address; \
                               mail is temporarily rate limited"
                    .to_owned(),
        }
    }
}

impl Behaviour {
    /// A provider that takes all mail (but that of addresses with `nouser` in them), with the usual extensions.
    #[must_use]
    pub fn accepting(name: &str, host: &str) -> Behaviour {
        Behaviour {
            name: name.to_owned(),
            host: host.to_owned(),
            pipelining: true,
            starttls: true,
            certificate: Quality::SelfSigned,
            needs_tls: None,
            implicit_tls: false,
            eight_bit: true,
            smtputf8: true,
            ehlo: true,
            size_max: Some(35_882_577),
            login: None,
            bounce: Bounce::default(),
            greylist: None,
            throttle: Throttle::default(),
            habits: None,
            words: Words::default(),
            blocks: Vec::new(),
            cut_permille: 0,
            hang_at: None,
            close_at: None,
            answers: Vec::new(),
            reply_delay: Duration::ZERO,
            dot_delay: Duration::ZERO,
        }
    }

    /// The same, answering `reply` at `stage`.
    #[must_use]
    pub fn answering(mut self, stage: Stage, reply: &str) -> Behaviour {
        self.answers.push((stage, reply.to_owned()));
        self
    }

    /// The fixed answer at a stage, if one is set.
    #[must_use]
    pub(crate) fn answer_at(&self, stage: Stage) -> Option<&str> {
        self.answers.iter().find(|(at, _)| *at == stage).map(|(_, reply)| reply.as_str())
    }
}

/// FNV-1a over lower-cased text: which addresses bounce or are cut must not change between runs.
#[must_use]
pub(crate) fn stable_hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // FNV's low bits follow the last letters closely; the high half is folded in.
    hash ^ (hash >> 32)
}
