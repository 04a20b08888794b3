//! The archive of sent messages: from settings to its configuration, and its start beside the engine.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use access::Settings;
use archive::{Archive, Compress, Config, FolderConfig, Keeping, Parts, PostConfig};
use mta::{CourierConfig, Source};
use tokio::runtime::Handle;

use super::{composer::Composer, configure, engine::Supplies};

/// Why copies can go nowhere, and what to do about it; `None`: they have a place.
pub fn problem(settings: &Settings, listen: SocketAddr) -> Option<String> {
    match config(settings, listen).keeping {
        Keeping::Nowhere { problem } if problem.is_empty() => Some(
            "no archive is configured. Set archive.address or archive.folder in Settings, or turn the delivery's BCC off"
                .to_owned(),
        ),
        Keeping::Nowhere { problem } => Some(problem),
        Keeping::Post(_) | Keeping::Folder(_) => None,
    }
}

/// Where copies go.
pub fn config(settings: &Settings, listen: SocketAddr) -> Config {
    let nowhere = |problem: String| Keeping::Nowhere { problem };
    let keeping = match (settings.archive_address(), settings.archive_folder()) {
        (None, None) => nowhere(String::new()),
        (Some(_), Some(_)) => nowhere(
            "archive.address and archive.folder are both set. Empty one of them in Settings".to_owned(),
        ),
        (Some(address), None) => match address::parse_named(address) {
            Ok(named) => Keeping::Post(post(settings, listen, &named.mailbox)),
            Err(error) => {
                nowhere(format!("archive.address is not an address: {error}. Correct it in Settings"))
            }
        },
        (None, Some(folder)) => Keeping::Folder(FolderConfig {
            path: PathBuf::from(folder),
            compress: if settings.archive_is_zipped() { Compress::Zip } else { Compress::None },
            batch: settings.archive_batch(),
            wait: duration(settings.archive_wait()),
            retention: settings.archive_retention().map(duration),
        }),
    };
    Config { keeping }
}

fn duration(span: access::Span) -> Duration {
    Duration::from_micros(u64::try_from(span.us()).unwrap_or(0))
}

fn post(settings: &Settings, listen: SocketAddr, mailbox: &address::Mailbox) -> PostConfig {
    let connections = settings.archive_connections();
    let relay = settings.archive_relay().or(settings.relay());
    PostConfig {
        address: mailbox.smtp(),
        domain: mailbox.domain_ascii().to_owned(),
        connections,
        courier: CourierConfig {
            source: Source {
                name: "archive".to_owned(),
                bind: None,
                ehlo: configure::ehlo(settings, listen),
            },
            relay: relay.map(|relay| configure::relay(relay, connections, u32::MAX)),
            port: settings.smtp_port(),
        },
    }
}

/// Starts it on `io`. It composes with an instance of its own, so that an old delivery's copies never push out the
/// snapshots that the engine sends from.
pub async fn start(
    supplies: &Supplies,
    io: &Handle,
    config: Config,
    guard: net::Guard,
) -> std::io::Result<Archive> {
    let composer =
        Composer::new(supplies.queue.clone(), supplies.routes.clone(), Arc::clone(&supplies.tokens));
    let parts = Parts {
        queue: supplies.queue.clone(),
        compose: Arc::new(composer),
        world: Arc::new(supplies.world(guard)),
    };
    // It spawns its task where it is started.
    io.spawn(async move { Archive::start(config, parts) }).await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use access::Fixed;

    use super::*;

    const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8025);

    fn settings(toml: &str) -> Settings {
        Settings::resolve(&Fixed::read(Some(toml), []).unwrap(), &BTreeMap::new())
    }

    #[test]
    fn an_archive_that_is_not_there_is_said_with_what_to_do() {
        let none = problem(&settings(""), LISTEN).unwrap();
        assert!(none.contains("Set archive.address or archive.folder"), "{none}");
        let both = "[archive]\naddress = \"vault@shop.example\"\nfolder = \"/var/archive\"\n";
        assert!(problem(&settings(both), LISTEN).unwrap().contains("Empty one of them"));
        let wrong = "archive.address = \"vault@-\"\n";
        assert!(problem(&settings(wrong), LISTEN).unwrap().contains("not an address"));
        assert_eq!(problem(&settings("archive.folder = \"/var/archive\"\n"), LISTEN), None);
    }

    #[test]
    fn settings_reach_the_archive() {
        let toml = "[mta]\nport = 2525\nrelay = \"smtp://relay.example:25?tls=none\"\n[archive]\n\
                    address = \"Vault <Vault@Shop.example>\"\nconnections = 4\n";
        let Keeping::Post(post) = config(&settings(toml), LISTEN).keeping else {
            panic!("an address is set")
        };
        assert_eq!((post.domain.as_str(), post.connections, post.courier.port), ("shop.example", 4, 2525));
        assert_eq!(post.courier.relay.unwrap().host, "relay.example", "as all other mail");
        let own = format!("{toml}relay = \"smtp://vault.example:26?tls=none\"\n");
        let Keeping::Post(post) = config(&settings(&own), LISTEN).keeping else {
            panic!("an address is set")
        };
        assert_eq!(post.courier.relay.unwrap().host, "vault.example");

        let toml = "[archive]\nfolder = \"/var/archive\"\ncompress = \"zip\"\nbatch = 7\nwait = \"2s\"\nretention = \"10d\"\n";
        let Keeping::Folder(folder) = config(&settings(toml), LISTEN).keeping else {
            panic!("a folder is set")
        };
        assert_eq!((folder.compress, folder.batch, folder.wait), (Compress::Zip, 7, Duration::from_secs(2)));
        assert_eq!(folder.retention, Some(Duration::from_secs(864_000)));
    }
}
