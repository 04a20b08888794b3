//! From settings to what each room wants to know.

use std::{collections::BTreeMap, net::SocketAddr};

use access::Settings;
use net::{Guard, Range};
use routes::{Providers, RuleOverride};

use crate::output::Failure;

/// Connections to a relay at once, unless the settings say otherwise.
const RELAY_CONNECTIONS: u32 = 20;
/// Messages over one connection to a relay, unless the settings say otherwise.
const RELAY_MESSAGES_PER_CONNECTION: u32 = 1_000;

/// What `delivery` needs.
pub fn delivery(settings: &Settings, listen: SocketAddr) -> delivery::Config {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    delivery::Config {
        public_url: public_url(settings, listen),
        from_name: text(settings.from_name()),
        from_address: text(settings.from_address()),
        reply_to: text(settings.reply_to()),
        error_address: text(settings.error_address()),
        from_masks: settings.from_masks().to_vec(),
        error_masks: settings.error_masks().to_vec(),
        bounce_domain: text(settings.feedback_domain()),
        relay: settings.relay().is_some(),
        tls: settings.relay().is_none_or(|relay| relay.tls != access::RelayTls::None),
        ehlo: ehlo(settings, listen),
        sources: Vec::new(),
        archive_problem: super::copies::problem(settings, listen),
        analysis_threads: cores(),
        analyses_at_once: settings.analyses_at_once(),
        low_activity: settings.low_activity().and_then(delivery::LowActivity::parse),
    }
}

/// Base of public links, without a slash at the end.
pub fn public_url(settings: &Settings, listen: SocketAddr) -> String {
    match settings.public_url() {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{listen}"),
    }
}

/// Limits of receiving sites: the shipped table, with the operator's caps over every site.
pub fn providers(settings: &Settings) -> Result<Providers, Failure> {
    let change = RuleOverride {
        connections: settings.connections_per_site(),
        messages_per_connection: settings.messages_per_connection(),
        ..RuleOverride::default()
    };
    if change.connections.is_none() && change.messages_per_connection.is_none() {
        return Ok(Providers::built_in().clone());
    }
    let names = Providers::built_in().list().iter().map(|provider| provider.name.clone());
    let rules: BTreeMap<String, RuleOverride> =
        names.chain(["default", "unknown"].map(str::to_owned)).map(|name| (name, change.clone())).collect();
    Providers::with(&rules).map_err(|error| Failure::refused(error.to_string()))
}

/// What the engine needs.
pub fn engine(settings: &Settings, listen: SocketAddr, providers: Providers) -> mta::Config {
    let mut config = mta::Config::direct(&ehlo(settings, listen));
    config.port = settings.smtp_port();
    config.providers = providers;
    config.compose_threads = cores();
    config.node = machine();
    let connections = settings.connections_per_site().unwrap_or(RELAY_CONNECTIONS);
    let messages = settings.messages_per_connection().unwrap_or(RELAY_MESSAGES_PER_CONNECTION);
    config.relay = settings.relay().map(|smart_host| relay(smart_host, connections, messages));
    config
}

/// A smart host, as the engine and couriers want it.
pub fn relay(relay: &access::Relay, connections: u32, messages_per_connection: u32) -> mta::Relay {
    mta::Relay {
        host: relay.host.clone(),
        port: relay.port,
        tls: match relay.tls {
            access::RelayTls::None => mta::RelayTls::None,
            access::RelayTls::Opportunistic => mta::RelayTls::Opportunistic,
            access::RelayTls::Required => mta::RelayTls::Required,
            access::RelayTls::Implicit => mta::RelayTls::Implicit,
        },
        login: relay.login.clone(),
        connections,
        messages_per_connection,
    }
}

/// The name said in EHLO: the setting, else this machine's full name, else the public URL's, else the machine's.
pub fn ehlo(settings: &Settings, listen: SocketAddr) -> String {
    if let Some(name) = settings.ehlo() {
        return name.to_owned();
    }
    let machine = machine();
    let machine = machine.as_str();
    if machine.contains('.') {
        return machine.to_owned();
    }
    let url = public_url(settings, listen);
    let host =
        url.split_once("://").map_or("", |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    let named = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    match (named, machine) {
        (true, _) => host.to_owned(),
        (false, "") => "localhost".to_owned(),
        (false, machine) => machine.to_owned(),
    }
}

/// This machine's name, by which sources may be bound to it; empty when it has none.
pub fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// Which addresses may be dialled.
pub fn guard(settings: &Settings) -> Guard {
    let ranges =
        settings.net_allow().iter().filter_map(|(ip, length)| format!("{ip}/{length}").parse::<Range>().ok());
    Guard::new(ranges.collect())
}

/// Name servers, as the resolver wants them; empty: the system's.
pub fn name_servers(settings: &Settings) -> Vec<String> {
    settings.nameservers().iter().map(ToString::to_string).collect()
}

/// How long DNS servers are waited for.
pub fn patience(settings: &Settings) -> net::Patience {
    let timeout = std::time::Duration::from_micros(settings.dns_timeout().us().unsigned_abs());
    net::Patience { timeout, tries: settings.dns_tries() as usize }
}

/// Who proves DNS answers.
pub fn dnssec(settings: &Settings) -> net::Dnssec {
    match settings.dnssec() {
        "validate" => net::Dnssec::Validate,
        "server" => net::Dnssec::Server,
        "off" => net::Dnssec::Off,
        _ => net::Dnssec::Auto,
    }
}

/// TLS toward others, with the roots of the settings besides the public ones.
pub fn tls(settings: &Settings) -> Result<net::Tls, Failure> {
    let roots = match settings.roots() {
        Some(file) => net::read_roots(std::path::Path::new(file))
            .map_err(|error| Failure::refused(format!("net.roots: {file} cannot be read: {error}")))?,
        None => Vec::new(),
    };
    net::Tls::new(&roots).map_err(|error| Failure::refused(format!("net.roots: {error}")))
}

/// Processor cores that may be used.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use access::Fixed;

    use super::*;

    fn settings(toml: &str) -> Settings {
        Settings::resolve(&Fixed::read(Some(toml), []).unwrap(), &BTreeMap::new())
    }

    const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8025);

    #[test]
    fn settings_reach_the_engine() {
        let settings = settings(
            "public_url = \"https://mail.shop.example/\"\n[mta]\nport = 2525\nehlo = \"out.shop.example\"\n\
             connections_per_site = 3\nrelay = \"smtp://u:p@relay.example:587?tls=required\"\n[net]\nallow = [\"127.0.0.0/8\"]\n",
        );
        let config = engine(&settings, LISTEN, providers(&settings).unwrap());
        assert_eq!((config.port, config.sources[0].ehlo.as_str()), (2525, "out.shop.example"));
        let relay = config.relay.unwrap();
        assert_eq!((relay.host.as_str(), relay.port, relay.connections), ("relay.example", 587, 3));
        assert_eq!(config.providers.site::<&str>("x.example", &["mx.x.example"]).rules.connections, 3);
        assert!(guard(&settings).check("127.0.0.1".parse().unwrap()).is_ok());
        assert!(guard(&settings).check("10.0.0.1".parse().unwrap()).is_err());
        assert_eq!(delivery(&settings, LISTEN).public_url, "https://mail.shop.example");
    }

    #[test]
    fn defaults_need_no_file() {
        let settings = settings("");
        assert_eq!(delivery(&settings, LISTEN).public_url, "http://127.0.0.1:8025");
        assert!(!ehlo(&settings, LISTEN).is_empty());
        assert!(guard(&settings).check("127.0.0.1".parse().unwrap()).is_err());
    }
}
