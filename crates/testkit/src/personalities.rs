//! Providers with the habits that they are known for. The words are those that they send (addresses replaced); limits
//! are what senders observe and what shipped rule tables of other programs assume; rates are ours, see
//! [`crate::reputation`].

use std::time::Duration;

use crate::behaviour::{Behaviour, Words};
use crate::reputation::{Busy, Habits};

/// The providers that can be played.
pub const PERSONALITIES: [&str; 6] = ["gmail", "yahoo", "outlook", "apple", "orange", "gmx"];

const MINUTE: Duration = Duration::from_secs(60);

fn hours(count: u64) -> Duration {
    MINUTE * 60 * count as u32
}

/// What most of them have in common.
fn usual(per_second: f64) -> Habits {
    Habits {
        per_second,
        burst: per_second * 10.0,
        busy: vec![
            Busy { every: hours(6), lasts: hours(2), share: 0.5 },
            Busy { every: hours(5), lasts: MINUTE * 10, share: 0.03 },
        ],
        first: 0.5,
        patience: 300,
        forgives: MINUTE * 10,
        keeps: 0.8,
        regains_per_hour: 0.15,
        best: 1.0,
        blocks_below: 0.15,
        blocks_for: hours(2),
    }
}

impl Behaviour {
    /// A personality of [`PERSONALITIES`]; none for another name.
    #[must_use]
    pub fn personality(name: &str) -> Option<Behaviour> {
        Some(match name {
            "gmail" => gmail(),
            "yahoo" => yahoo(),
            "outlook" => outlook(),
            "apple" => apple(),
            "orange" => orange(),
            "gmx" => gmx(),
            _ => return None,
        })
    }
}

/// Wants TLS, pushes back by rate, and says what it thinks of an address before it blocks it.
fn gmail() -> Behaviour {
    let mut gmail = Behaviour::accepting("gmail", "mx.google.com");
    gmail.bounce.reply = "550-5.1.1 The email account that you tried to reach does not exist. Please try\n\
        550-5.1.1 double-checking the recipient's email address for typos or\n\
        550 5.1.1 unnecessary spaces. gsmtp"
        .to_owned();
    gmail.needs_tls = Some(
        "421 4.7.29 Your email has been rate limited because this email wasn't sent over a TLS connection. Gmail \
         requires all bulk email senders to use TLS/SSL for SMTP connections. gsmtp"
            .to_owned(),
    );
    gmail.throttle.connections = Some(10);
    gmail.throttle.connections_reply =
        "421 4.7.0 Too many concurrent SMTP connections; please try again later. gsmtp".to_owned();
    gmail.throttle.per_connection = Some(100);
    gmail.habits = Some(Habits { best: 2.0, ..usual(20.0) });
    gmail.words = Words {
        later: "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your\n\
             421-4.7.28 IP address. To protect our users from spam, mail sent from\n\
             421 4.7.28 your IP address has been temporarily rate limited. gsmtp"
            .to_owned(),
        blocked: "421-4.7.0 This message is suspicious due to the very low reputation of the sending\n\
             421 4.7.0 IP address. gsmtp"
            .to_owned(),
    };
    gmail
}

/// Few messages a connection; defers by volume and complaints; then stays away for hours.
fn yahoo() -> Behaviour {
    let mut yahoo = Behaviour::accepting("yahoo", "mta4002.mail.bf1.yahoo.com");
    yahoo.bounce.reply =
        "554 delivery error: dd This user doesn't have a yahoo.com account (user@yahoo.com) [0] - mta4002.mail.bf1.yahoo.com"
            .to_owned();
    yahoo.throttle.connections = Some(10);
    yahoo.throttle.connections_reply =
        "421 4.7.0 [TSS09] All messages from this address will be temporarily deferred; too many connections"
            .to_owned();
    yahoo.throttle.per_connection = Some(20);
    yahoo.throttle.per_connection_reply =
        "421 Max message per connection reached, closing transmission channel".to_owned();
    yahoo.habits = Some(usual(12.0));
    yahoo.words = Words {
        later: "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints \
                - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes"
            .to_owned(),
        blocked: "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list; \
                  see https://postmaster.yahooinc.com/error-codes"
            .to_owned(),
    };
    yahoo
}

/// Defers by reputation, and turns to a block list with 550 when that is ignored.
fn outlook() -> Behaviour {
    let mut outlook = Behaviour::accepting("outlook", "AM7EUR03FT004.mail.protection.outlook.com");
    outlook.bounce.reply =
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).".to_owned();
    outlook.throttle.connections = Some(5);
    outlook.throttle.connections_reply =
        "421 RP-001 (AM7EUR03FT004) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again. We have \
         limits for how many connections can be opened."
            .to_owned();
    outlook.habits = Some(Habits { patience: 150, keeps: 0.6, ..usual(8.0) });
    outlook.words = Words {
        later: "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. For e-mail \
                delivery information see https://postmaster.live.com (S775)"
            .to_owned(),
        blocked: "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service \
                  provider since part of their network is on our block list (S3150). You can also refer your provider to \
                  http://mail.live.com/mail/troubleshooting.aspx#errors."
            .to_owned(),
    };
    outlook
}

/// Very few messages a connection.
fn apple() -> Behaviour {
    let mut apple = Behaviour::accepting("apple", "p00-iscream-mx-1.mail.icloud.com");
    apple.throttle.connections = Some(10);
    apple.throttle.per_connection = Some(5);
    apple.throttle.per_connection_reply =
        "421 4.7.0 [CS02] Too many messages on this connection, please open a new one".to_owned();
    apple.habits = Some(usual(10.0));
    apple.words = Words {
        later: "450 4.7.0 [HCM1] Message deferred due to high volume from your address. Please visit \
                https://support.apple.com/en-us/HT204137"
            .to_owned(),
        blocked: "554 5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137"
            .to_owned(),
    };
    apple
}

/// Two connections, and French.
fn orange() -> Behaviour {
    let mut orange = Behaviour::accepting("orange", "mwinf5c04.orange.fr");
    orange.bounce.reply =
        "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]".to_owned();
    orange.throttle.connections = Some(2);
    orange.throttle.connections_reply =
        "421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down. OFR004_104 [104]"
            .to_owned();
    orange.throttle.per_connection = Some(100);
    orange.habits = Some(usual(4.0));
    orange.words = Words {
        later: "421 mwinf5c04 ME Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 [999]"
            .to_owned(),
        blocked: "550 5.7.1 mwinf5c04 ME Adresse IP source bloquee pour incident de spam. Client host blocked for spamming \
                  issues. OFR006_102 [102]"
            .to_owned(),
    };
    orange
}

/// Four connections; says so in the greeting.
fn gmx() -> Behaviour {
    let mut gmx = Behaviour::accepting("gmx", "mx00.emig.gmx.net");
    gmx.bounce.reply =
        "550 Requested action not taken: mailbox unavailable. For explanation visit https://postmaster.gmx.net".to_owned();
    gmx.throttle.connections = Some(4);
    gmx.throttle.connections_reply =
        "421 gmx.net (mxgmx016) Nemesis ESMTP Service not available. No SMTP service. Too many connections"
            .to_owned();
    gmx.throttle.per_connection = Some(20);
    gmx.throttle.per_connection_reply =
        "421 gmx.net (mxgmx016) Nemesis ESMTP Service not available. Too many messages per connection"
            .to_owned();
    gmx.habits = Some(usual(6.0));
    gmx.words = Words {
        later: "450 Requested mail action not taken: mailbox unavailable. Reject due to policy restrictions. For explanation visit \
                https://postmaster.gmx.net"
            .to_owned(),
        blocked: "554 gmx.net (mxgmx016) Nemesis ESMTP Service not available. No SMTP service. IP address is block listed. \
                  For explanation visit https://postmaster.gmx.net"
            .to_owned(),
    };
    gmx
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_a_personality_whose_words_are_replies() {
        for name in PERSONALITIES {
            let behaviour = Behaviour::personality(name).expect(name);
            assert_eq!(behaviour.name, name);
            let replies = [
                &behaviour.words.later,
                &behaviour.words.blocked,
                &behaviour.bounce.reply,
                &behaviour.throttle.connections_reply,
                &behaviour.throttle.per_connection_reply,
            ];
            for reply in replies.into_iter().chain(&behaviour.needs_tls) {
                let lines: Vec<&str> = reply.lines().collect();
                for (at, line) in lines.iter().enumerate() {
                    let mark = if at + 1 == lines.len() { b' ' } else { b'-' };
                    assert!(line.len() < 510 && line.as_bytes()[3] == mark, "{name}: {line}");
                    assert!(matches!(line.as_bytes()[0], b'4' | b'5'), "{name}: {line}");
                    assert!(!line.contains("  "), "{name}: {line}");
                }
            }
            assert!(behaviour.habits.is_some());
        }
        assert!(Behaviour::personality("nobody").is_none());
    }
}
