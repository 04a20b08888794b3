//! Settings: one table of what there is, one order of where values come from, typed getters for the rooms.

mod kind;
mod registry;
mod relay;
mod sources;

pub use kind::{Kind, LIST_LEN_MAX, VALUE_LEN_MAX};
pub use registry::{Place, REGISTRY, Setting, find, variable};
pub use relay::{Relay, RelayTls};
pub use sources::{FILE_LEN_MAX, Fixed, Origin};
pub use store::{Span, SpanError};

pub(crate) use sources::check;

use kind::Parsed;
use sources::Resolved;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// All values in force at one moment. Immutable; a change gives a new one to whoever watches.
#[derive(Clone, PartialEq)]
pub struct Settings {
    values: BTreeMap<&'static str, Resolved>,
}

/// Keys and origins only: values may be secret.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(key, value)| (key, value.origin))).finish()
    }
}

/// What is kept of the addresses of who opens and clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddresses {
    /// A keyed hash.
    Hash,
    /// Nothing.
    None,
    /// The address itself.
    Whole,
}

/// One line of the settings page.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value as text; a secret is shown without its secret part.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it can be changed on the web now.
    pub editable: bool,
}

impl Settings {
    /// Resolves every setting; `stored` are the opened texts of the database.
    pub fn resolve(fixed: &Fixed, stored: &BTreeMap<String, String>) -> Settings {
        let values = REGISTRY
            .iter()
            .map(|setting| (setting.key, fixed.resolve(setting, stored.get(setting.key))))
            .collect();
        Settings { values }
    }

    /// All settings with their values and origins, in the order of the registry.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |setting: &'static Setting| {
            let (value, origin) = self
                .values
                .get(setting.key)
                .map_or((String::new(), Origin::Default), |v| (shown(setting, v), v.origin));
            let free = matches!(origin, Origin::Database | Origin::Default);
            Entry { setting, value, origin, editable: free && setting.place == Place::Anywhere }
        };
        REGISTRY.iter().map(entry).collect()
    }

    /// Where the value of `key` comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.values.get(key).map_or(Origin::Default, |value| value.origin)
    }

    /// Address of pages and API.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.text("listen")?.parse().ok()
    }

    /// Address of the public pages, where it is another one.
    pub fn public_listen(&self) -> Option<SocketAddr> {
        self.text("public_listen")?.parse().ok()
    }

    /// The database's URL, where it is not the SQLite file of the data directory.
    pub fn database(&self) -> Option<&str> {
        self.text("database")
    }

    /// Start of the links in messages, without a closing slash.
    pub fn public_url(&self) -> Option<&str> {
        self.text("public_url")
    }

    /// The smart host; none: direct to the receivers.
    pub fn relay(&self) -> Option<&Relay> {
        match self.parsed("mta.relay") {
            Some(Parsed::Relay(relay)) => Some(relay),
            _ => None,
        }
    }

    /// DNS servers; empty: those of the system.
    pub fn nameservers(&self) -> &[SocketAddr] {
        match self.parsed("mta.nameservers") {
            Some(Parsed::Servers(servers)) => servers,
            _ => &[],
        }
    }

    /// Wait for one answer of a DNS server.
    pub fn dns_timeout(&self) -> Span {
        self.span("mta.dns_timeout").unwrap_or(Span::from_seconds(5))
    }

    /// Times that a question is sent before a look-up fails.
    pub fn dns_tries(&self) -> u32 {
        self.count("mta.dns_tries").unwrap_or(4)
    }

    /// Who proves DNS answers: `auto`, `validate`, `server` or `off`.
    pub fn dnssec(&self) -> &str {
        self.text("mta.dnssec").unwrap_or("auto")
    }

    /// Sender of reports of failed TLS, where some are sent.
    pub fn tls_reports(&self) -> Option<&str> {
        self.text("mta.tls_reports")
    }

    /// File of certificates that are trusted besides the public authorities.
    pub fn roots(&self) -> Option<&str> {
        self.text("net.roots")
    }

    /// Port of the receivers' servers.
    pub fn smtp_port(&self) -> u16 {
        self.count("mta.port").and_then(|port| u16::try_from(port).ok()).unwrap_or(25)
    }

    /// Name for EHLO, where one is set.
    pub fn ehlo(&self) -> Option<&str> {
        self.text("mta.ehlo")
    }

    /// Wait between the tries of the first day.
    pub fn retry_period(&self) -> Span {
        self.span("mta.retry.period").unwrap_or(Span::from_hours(1))
    }

    /// How many tries follow the first one by the period.
    pub fn retries_first_day(&self) -> u32 {
        self.count("mta.retry.first_day").unwrap_or(5)
    }

    /// Analyses that run at once.
    pub fn analyses_at_once(&self) -> usize {
        self.count("analysis.at_once").map_or(2, |count| count as usize)
    }

    /// Hours in which analyses begin that may wait.
    pub fn low_activity(&self) -> Option<&str> {
        self.text("analysis.low_activity")
    }

    /// Cap on connections to one site, over what the provider rules say.
    pub fn connections_per_site(&self) -> Option<u32> {
        self.count("mta.connections_per_site")
    }

    /// Cap on messages over one connection, over what the provider rules say.
    pub fn messages_per_connection(&self) -> Option<u32> {
        self.count("mta.messages_per_connection")
    }

    /// Private ranges that may be dialled: address and prefix length.
    pub fn net_allow(&self) -> &[(IpAddr, u8)] {
        match self.parsed("net.allow") {
            Some(Parsed::Ranges(ranges)) => ranges,
            _ => &[],
        }
    }

    /// Domain of return paths, where it is not `bounce.` and the sender's domain.
    pub fn feedback_domain(&self) -> Option<&str> {
        self.text("feedback.domain")
    }

    /// Where copies of sent messages go over SMTP, where they do.
    pub fn archive_address(&self) -> Option<&str> {
        self.text("archive.address")
    }

    /// The smart host of those copies; none: they go as all other mail.
    pub fn archive_relay(&self) -> Option<&Relay> {
        match self.parsed("archive.relay") {
            Some(Parsed::Relay(relay)) => Some(relay),
            _ => None,
        }
    }

    /// Connections for those copies.
    pub fn archive_connections(&self) -> u32 {
        self.count("archive.connections").unwrap_or(2)
    }

    /// Folder of copies, absolute, where they go to one.
    pub fn archive_folder(&self) -> Option<&str> {
        self.text("archive.folder")
    }

    /// Whether copies in the folder are zipped by batch.
    pub fn archive_is_zipped(&self) -> bool {
        self.text("archive.compress") == Some("zip")
    }

    /// Copies of one batch.
    pub fn archive_batch(&self) -> u32 {
        self.count("archive.batch").unwrap_or(10_000)
    }

    /// How long a copy waits at most for its batch.
    pub fn archive_wait(&self) -> Span {
        self.span("archive.wait").unwrap_or(Span::from_seconds(60))
    }

    /// How long copies in the folder stay; none: for good.
    pub fn archive_retention(&self) -> Option<Span> {
        self.span("archive.retention")
    }

    /// Defaults of new deliveries: sender name.
    pub fn from_name(&self) -> Option<&str> {
        self.text("content.from_name")
    }

    /// Defaults of new deliveries: sender address.
    pub fn from_address(&self) -> Option<&str> {
        self.text("content.from_address")
    }

    /// Defaults of new deliveries: reply address.
    pub fn reply_to(&self) -> Option<&str> {
        self.text("content.reply_to")
    }

    /// Defaults of new deliveries: error address.
    pub fn error_address(&self) -> Option<&str> {
        self.text("content.error_address")
    }

    /// Masks that sender addresses must pass (`address::matches_mask`); empty: all pass.
    pub fn from_masks(&self) -> &[String] {
        self.list("content.from_masks")
    }

    /// Masks that reply addresses must pass.
    pub fn reply_masks(&self) -> &[String] {
        self.list("content.reply_masks")
    }

    /// Masks that error addresses must pass.
    pub fn error_masks(&self) -> &[String] {
        self.list("content.error_masks")
    }

    /// How long new deliveries keep trying.
    pub fn validity(&self) -> Span {
        self.span("delivery.validity").unwrap_or(Span::from_days(5))
    }

    /// How long mirror pages and assets of new deliveries stay.
    pub fn resource_validity(&self) -> Span {
        self.span("delivery.resource_validity").unwrap_or(Span::from_days(60))
    }

    /// What is kept of the addresses of who opens and clicks.
    pub fn client_addresses(&self) -> ClientAddresses {
        match self.text("tracking.client_addresses") {
            Some("none") => ClientAddresses::None,
            Some("whole") => ClientAddresses::Whole,
            _ => ClientAddresses::Hash,
        }
    }

    /// How long opens and clicks are kept.
    pub fn events_kept(&self) -> Span {
        self.span("tracking.events_kept").unwrap_or(Span::from_days(730))
    }

    fn parsed(&self, key: &str) -> Option<&Parsed> {
        self.values.get(key)?.parsed.as_ref()
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.parsed(key)? {
            Parsed::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn list(&self, key: &str) -> &[String] {
        match self.parsed(key) {
            Some(Parsed::List(items)) => items,
            _ => &[],
        }
    }

    fn count(&self, key: &str) -> Option<u32> {
        match self.parsed(key)? {
            Parsed::Count(count) => u32::try_from(*count).ok(),
            _ => None,
        }
    }

    fn span(&self, key: &str) -> Option<Span> {
        match self.parsed(key)? {
            Parsed::Span(span) => Some(*span),
            _ => None,
        }
    }
}

/// The text for a page: of a relay's login only that there is one.
fn shown(setting: &Setting, value: &Resolved) -> String {
    match &value.parsed {
        Some(Parsed::Relay(relay)) => {
            let login = if relay.login.is_some() { "***@" } else { "" };
            let tls = format!("{:?}", relay.tls).to_lowercase();
            let host =
                if relay.host.contains(':') { format!("[{}]", relay.host) } else { relay.host.clone() };
            format!("smtp://{login}{host}:{}?tls={tls}", relay.port)
        }
        Some(_) if setting.secret => "***".into(),
        _ => value.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_values_and_masked_secrets() {
        let file = "public_url = \"https://m.example/\"\nnet.allow = [\"127.0.0.0/8\"]\ncontent.from_masks = \"*@shop.example\"\n";
        let environment =
            [("MAILWRIGHT_MTA__RELAY".to_string(), "smtp://u:hush@relay.example:2525?tls=none".to_string())];
        let fixed = Fixed::read(Some(file), environment).unwrap();
        let stored = BTreeMap::from([("mta.retry.period".to_string(), "2s".to_string())]);
        let settings = Settings::resolve(&fixed, &stored);
        assert_eq!(settings.public_url(), Some("https://m.example"));
        assert_eq!(settings.net_allow(), [("127.0.0.0".parse().unwrap(), 8)]);
        assert_eq!(settings.relay().unwrap().login, Some(("u".into(), "hush".into())));
        assert_eq!(settings.retry_period().seconds(), 2);
        assert_eq!((settings.smtp_port(), settings.retries_first_day()), (25, 5));
        assert_eq!(settings.connections_per_site(), None);
        assert_eq!(settings.listen().unwrap().port(), 8025);
        assert_eq!(settings.from_masks(), ["*@shop.example"]);
        let relay = settings.entries().into_iter().find(|e| e.setting.key == "mta.relay").unwrap();
        assert_eq!(relay.value, "smtp://***@relay.example:2525?tls=none");
        assert!(!relay.editable && relay.origin == Origin::Environment);
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
