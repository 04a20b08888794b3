//! Rules that change while we run: those of sites (settings and `shaping.toml` under the room that puts them together),
//! those by which replies are judged (`replies.toml`), and signing keys that turn once DNS shows them.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use access::Settings;
use delivery::Rooms;
use net::{Clock, Resolver};
use routes::{Routes, RuleBase};
use smtp::{Rulebook, Rules};

use super::{configure, engine::Supplies};
use crate::output::Failure;

/// Rules of one's own about sites, in the data directory.
pub const RULE_FILE: &str = "shaping.toml";
/// Rules of one's own about replies, in the data directory.
pub const REPLY_FILE: &str = "replies.toml";
/// How often the files, and what other nodes changed, are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How many looks lie between two at which keys sign for which domain: half a minute.
const LOOKS_A_SIGNING: u32 = 15;
/// How many looks lie between two at the DNS for new signing keys: five minutes.
const LOOKS_A_ROTATION: u32 = 150;
/// How long one such look may take.
const ROTATION_TIME_MAX: Duration = Duration::from_secs(240);
/// How many looks lie between two cleanings: an hour.
const LOOKS_A_CLEANING: u32 = 1_800;

/// What lies below the overrides.
pub fn base(settings: &Settings, listen: SocketAddr, data: &Path) -> Result<RuleBase, Failure> {
    Ok(RuleBase {
        providers: configure::providers(settings)?,
        ehlo: configure::ehlo(settings, listen),
        file: Some(data.join(RULE_FILE)),
    })
}

/// Puts the rules of sites in force at the start.
pub async fn open(
    rooms: &Rooms,
    settings: &Settings,
    listen: SocketAddr,
    data: &Path,
) -> Result<(), Failure> {
    let opened = rooms.routes.open_rules(base(settings, listen, data)?, rooms.clock.now_us()).await;
    opened.map_err(|error| Failure::refused(error.to_string()))
}

/// The rules about replies at the start. A fault in the file is a reason not to start: what was written there holds, or
/// somebody thinks that it does.
pub fn replies(data: &Path) -> Result<Rulebook, Failure> {
    let rulebook = Rulebook::default();
    let file = data.join(REPLY_FILE);
    if file.exists() {
        let refused = |error: String| Failure::refused(format!("{}: {error}", file.display()));
        rulebook.replace(read_replies(&file).map_err(refused)?);
    }
    Ok(rulebook)
}

fn read_replies(file: &Path) -> Result<Rules, String> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        // Removed: the shipped rules alone.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.to_string()),
    };
    Rules::with_overlay(&text).map_err(|error| error.to_string())
}

/// When a file was changed last, and its length; `None`: it is not there.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()))
}

/// Makes changes of files and of other nodes hold.
pub struct Looker {
    routes: Routes,
    queue: queue::Queue,
    replies: Rulebook,
    dns: Arc<dyn Resolver>,
    clock: Arc<dyn Clock>,
    reply_file: PathBuf,
}

impl Looker {
    /// Over what the engine is built from.
    pub fn of(supplies: &Supplies, data: &Path) -> Self {
        Self {
            routes: supplies.routes.clone(),
            queue: supplies.queue.clone(),
            replies: supplies.replies.clone(),
            dns: Arc::clone(&supplies.resolver),
            clock: Arc::clone(&supplies.clock),
            reply_file: data.join(REPLY_FILE),
        }
    }

    /// Looks for ever. Each fault is told once.
    pub async fn run(self) {
        let (mut failing, mut told) = (false, None);
        let mut replies_seen = stamp(&self.reply_file);
        for look in 1u32.. {
            tokio::time::sleep(LOOK).await;
            match self.routes.refresh_rules().await {
                Ok(_) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(%error, "the rules of sites cannot be read; those before hold on");
                    failing = true;
                }
                Err(_) => {}
            }
            let fault = self.routes.rules().file_error.clone();
            if let Some(error) = fault.as_ref().filter(|_| fault != told) {
                tracing::error!(%error, "the file of rules has a fault; what it said before holds on");
            }
            told = fault;
            self.look_at_replies(&mut replies_seen);
            if look % LOOKS_A_SIGNING == 0 {
                // Another node may have added a domain or turned its keys.
                self.routes.refresh();
            }
            if look % LOOKS_A_ROTATION == 0 {
                self.look_at_keys().await;
            }
            if look % LOOKS_A_CLEANING == 0
                && let Err(error) = self.routes.clean(self.clock.now_us()).await
            {
                tracing::warn!(%error, "old ceilings, volumes and verdicts could not be deleted; later again");
            }
        }
    }

    fn look_at_replies(&self, seen: &mut Option<(SystemTime, u64)>) {
        let now = stamp(&self.reply_file);
        if now == *seen {
            return;
        }
        *seen = now;
        match read_replies(&self.reply_file) {
            Ok(rules) => {
                self.replies.replace(rules);
                tracing::info!("replies are judged by the rules of the changed file");
            }
            Err(error) => {
                tracing::error!(%error, "the file of rules about replies has a fault; those before hold on");
            }
        }
    }

    async fn look_at_keys(&self) {
        let now_us = self.clock.now_us();
        let in_use = match self.queue.signing_in_use(now_us).await {
            Ok(texts) => texts.iter().filter_map(|text| http::source::key_numbers(text)).flatten().collect(),
            Err(error) => {
                tracing::warn!(%error, "which signing keys are in use is not known; later again");
                return;
            }
        };
        let in_use: HashSet<i64> = in_use;
        let look = self.routes.look_at_rotations(self.dns.as_ref(), &in_use, now_us);
        match tokio::time::timeout(ROTATION_TIME_MAX, look).await {
            Ok(Ok(turned)) => {
                for domain in turned {
                    tracing::info!(domain, "its new signing keys are in DNS and sign from now on");
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "signing keys could not be turned; later again"),
            Err(_) => tracing::warn!("DNS is slow; new signing keys are looked for later again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_about_replies_are_read_at_the_start_or_stop_it() {
        let dir = tempfile::tempdir().unwrap();
        replies(dir.path()).unwrap();
        std::fs::write(dir.path().join(REPLY_FILE), "without = [\"no-such-rule\"]\n").unwrap();
        let Err(Failure::Refused { text, .. }) = replies(dir.path()) else { panic!("must be refused") };
        assert!(text.contains("replies.toml") && text.contains("no-such-rule"), "{text}");
    }
}
