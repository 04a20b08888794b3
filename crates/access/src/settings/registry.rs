//! Every setting there is: its key, kind, default and one line of help. The file, the environment, the web page and
//! the manual are all read from this table.

use super::kind::Kind;
use store::Span;

/// Where a setting may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere: environment, file, web. Takes effect at once.
    Anywhere,
    /// Environment or file only, read at start.
    Start,
    /// Named by the contract, but its feature is not there yet: setting it is refused.
    Later,
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Dotted path, as in the file.
    pub key: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Text of the default; empty where there is none.
    pub default: &'static str,
    /// Encrypted in the database and never shown whole.
    pub secret: bool,
    /// Where it may be made.
    pub place: Place,
    /// One line for the page and the manual.
    pub help: &'static str,
}

const fn anywhere(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { key, kind, default, secret: false, place: Place::Anywhere, help }
}

const fn start(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { place: Place::Start, ..anywhere(key, kind, default, help) }
}

const fn later(key: &'static str, kind: Kind, help: &'static str) -> Setting {
    Setting { place: Place::Later, ..anywhere(key, kind, "", help) }
}

const MINUTE: Span = Span::from_seconds(60);

/// All settings, in the order in which they are shown.
pub const REGISTRY: &[Setting] = &[
    start("listen", Kind::Listen, "127.0.0.1:8025", "Address and port of the pages and the API."),
    start(
        "public_listen",
        Kind::Listen,
        "",
        "Address and port that serve only unsubscribe, mirror, tracking and assets. Empty: the same as listen.",
    ),
    Setting {
        secret: true,
        ..start(
            "database",
            Kind::Text,
            "",
            "sqlite:FILE or postgres://… Empty: SQLite in the data directory.",
        )
    },
    anywhere(
        "public_url",
        Kind::WebUrl,
        "",
        "How recipients reach this server: the start of unsubscribe and mirror links.",
    ),
    Setting {
        secret: true,
        ..anywhere(
            "mta.relay",
            Kind::Relay,
            "",
            "A host that takes all mail. Empty: direct to the receivers' mail servers.",
        )
    },
    anywhere("mta.nameservers", Kind::Servers, "", "DNS servers. Empty: those of the system."),
    anywhere(
        "mta.dns_timeout",
        Kind::Span { min: Span::from_seconds(1), max: MINUTE },
        "5s",
        "Wait for one answer of a DNS server.",
    ),
    anywhere(
        "mta.dns_tries",
        Kind::Count { min: 1, max: 10 },
        "4",
        "Times that a question is sent before the mail waits for its answer.",
    ),
    anywhere(
        "mta.dnssec",
        Kind::Choice(&["auto", "validate", "server", "off"]),
        "auto",
        "Who proves DNS answers, which DANE needs. auto: a DNS server on this machine is believed, answers of others are \
         proven here.",
    ),
    anywhere(
        "mta.tls_reports",
        Kind::Mailbox,
        "",
        "Address that reports of failed TLS come from, to the domains that ask for them. Empty: none are sent.",
    ),
    anywhere("mta.port", Kind::Count { min: 1, max: 65_535 }, "25", "Port of the receivers' mail servers."),
    anywhere(
        "mta.ehlo",
        Kind::Domain,
        "",
        "Name given in EHLO; it should be the reverse DNS name of the sending address. Empty: this machine's name.",
    ),
    anywhere(
        "mta.retry.period",
        Kind::Span { min: Span::from_seconds(1), max: Span::from_days(1) },
        "1h",
        "Wait between the tries of the first day.",
    ),
    anywhere(
        "mta.retry.first_day",
        Kind::Count { min: 0, max: 100 },
        "5",
        "Tries, after the first one, that follow each other by the period; later ones come once a day.",
    ),
    anywhere(
        "mta.connections_per_site",
        Kind::Count { min: 1, max: 1_000 },
        "",
        "Most connections to one receiving site at a time. Empty: as the provider rules say.",
    ),
    anywhere(
        "mta.messages_per_connection",
        Kind::Count { min: 1, max: 100_000 },
        "",
        "Most messages over one connection. Empty: as the provider rules say.",
    ),
    start(
        "net.roots",
        Kind::Text,
        "",
        "File of certificates (PEM) that are trusted besides the public authorities.",
    ),
    anywhere("net.allow", Kind::Ranges, "", "Private address ranges that may be dialled all the same."),
    anywhere(
        "feedback.domain",
        Kind::Domain,
        "",
        "Domain of the signed return paths. Empty: bounce. and the sender's domain.",
    ),
    later("feedback.listen", Kind::Listen, "Address and port that receive bounces and feedback reports."),
    anywhere(
        "archive.address",
        Kind::Mailbox,
        "",
        "Where an exact copy of each sent message goes, for deliveries with BCC. Set this or archive.folder, not both.",
    ),
    Setting {
        secret: true,
        ..anywhere(
            "archive.relay",
            Kind::Relay,
            "",
            "A host that takes the copies for archive.address. Empty: the way of all other mail.",
        )
    },
    anywhere(
        "archive.connections",
        Kind::Count { min: 1, max: 50 },
        "2",
        "Most connections at a time over which copies are sent.",
    ),
    anywhere(
        "archive.folder",
        Kind::Folder,
        "",
        "Folder in which an exact copy of each sent message is kept, for deliveries with BCC.",
    ),
    anywhere(
        "archive.compress",
        Kind::Choice(&["none", "zip"]),
        "none",
        "none: an .eml file for each copy in archive.folder. zip: a .zip file for each batch.",
    ),
    anywhere(
        "archive.batch",
        Kind::Count { min: 1, max: 100_000 },
        "10000",
        "Most copies of one batch in archive.folder: one manifest, and one .zip file where they are zipped.",
    ),
    anywhere(
        "archive.wait",
        Kind::Span { min: Span::from_seconds(0), max: Span::from_days(1) },
        "1m",
        "A batch that is not full is closed when its oldest copy has waited so long.",
    ),
    anywhere(
        "archive.retention",
        Kind::Span { min: Span::from_hours(1), max: Span::from_days(36_500) },
        "",
        "Copies in archive.folder are deleted after so long. Empty: never.",
    ),
    anywhere(
        "analysis.at_once",
        Kind::Count { min: 1, max: 16 },
        "2",
        "Analyses that run at once; further ones wait for their turn. A proof never waits.",
    ),
    anywhere(
        "analysis.low_activity",
        Kind::Hours,
        "",
        "When analyses begin that may wait, such as 01:00-05:00 Europe/Paris; without a zone in UTC. Empty: at once.",
    ),
    anywhere("content.from_name", Kind::Text, "", "Sender name of new deliveries."),
    anywhere("content.from_address", Kind::Mailbox, "", "Sender address of new deliveries."),
    anywhere("content.from_masks", Kind::Masks, "", "Sender addresses that are allowed. Empty: all."),
    anywhere(
        "content.reply_to",
        Kind::Mailbox,
        "",
        "Reply address of new deliveries. Empty: the sender address.",
    ),
    anywhere("content.reply_masks", Kind::Masks, "", "Reply addresses that are allowed. Empty: all."),
    anywhere(
        "content.error_address",
        Kind::Mailbox,
        "",
        "Error address of new deliveries. Empty: a signed return path per message.",
    ),
    anywhere("content.error_masks", Kind::Masks, "", "Error addresses that are allowed. Empty: all."),
    anywhere(
        "delivery.validity",
        Kind::Span { min: MINUTE, max: Span::from_days(365) },
        "5d",
        "How long new deliveries keep trying.",
    ),
    anywhere(
        "delivery.resource_validity",
        Kind::Span { min: MINUTE, max: Span::from_days(3_650) },
        "60d",
        "How long mirror pages and assets of new deliveries stay.",
    ),
    anywhere(
        "tracking.client_addresses",
        Kind::Choice(&["hash", "none", "whole"]),
        "hash",
        "What is kept of the address of who opens or clicks. hash: a keyed hash, which tells visitors apart and names none.",
    ),
    anywhere(
        "tracking.events_kept",
        Kind::Span { min: Span::from_days(1), max: Span::from_days(3_650) },
        "730d",
        "Opens, clicks and page views are deleted after so long.",
    ),
];

/// The setting named `key`.
pub fn find(key: &str) -> Option<&'static Setting> {
    REGISTRY.iter().find(|setting| setting.key == key)
}

/// `mta.retry.period` -> `MAILWRIGHT_MTA__RETRY__PERIOD`.
pub fn variable(key: &str) -> String {
    format!("MAILWRIGHT_{}", key.to_ascii_uppercase().replace('.', "__"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_unique_and_defaults_valid() {
        let mut keys = HashSet::new();
        for setting in REGISTRY {
            assert!(keys.insert(variable(setting.key)), "{}", setting.key);
            assert!(
                !setting.help.is_empty() && setting.help.ends_with('.') || setting.help.ends_with('…'),
                "{}",
                setting.key
            );
            if !setting.default.is_empty() {
                setting.kind.parse(setting.default).unwrap();
            }
        }
        assert_eq!(variable("mta.retry.period"), "MAILWRIGHT_MTA__RETRY__PERIOD");
    }
}
