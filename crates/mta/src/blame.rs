//! obey: what an answer means for everything but its recipient. The path slows down or rests; a delivery whose domain,
//! links or content the receiver complains of is kept from it while other deliveries go on; all of it has an end.

use smtp::{Blame, PathAction, RecipientOutcome, Reply, Verdict};

use crate::config::{BLOCK, us};
use crate::engine::Shared;
use crate::exchange::{Exchange, Path};
use crate::keep::{Because, of_engine};
use crate::shape::Suspension;
use crate::standing::RELAY_SITE;
use crate::trace::without_local_part;

/// An answer, and where it was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub verdict: &'a Verdict,
    pub reply: &'a Reply,
    /// Messages begun on that connection.
    pub seen: u32,
    /// The connection was encrypted.
    pub secured: bool,
    pub now_us: i64,
}

/// The message that it was about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub delivery: i64,
    /// The sender's domain; empty where it is not known.
    pub domain: &'a str,
}

/// Lets the answer act. Answers until when the message is held back, where it is not its path that rests.
pub(crate) fn obey(
    shared: &Shared,
    exchange: &Exchange,
    said: Said<'_>,
    about: Option<About<'_>>,
) -> Option<i64> {
    let Said { verdict, reply, now_us, .. } = said;
    let of_relay = **exchange.site() == *RELAY_SITE;
    let of_mail = match verdict.blames {
        Blame::Domain | Blame::Url => verdict.recipient != RecipientOutcome::Failed,
        // One message that looks like spam is not its delivery, unless the rule says more.
        Blame::Content => verdict.path != PathAction::None || verdict.held,
        Blame::Recipient | Blame::Source | Blame::Configuration | Blame::None => false,
    };
    if let Some(about) = about.filter(|_| of_mail && !of_relay) {
        return block(shared, exchange, said, about);
    }
    let action = sharpened(exchange, said);
    let words = without_local_part(&reply.to_string());
    match action {
        PathAction::None => {
            exchange.worked(now_us);
            if verdict.held {
                // Our side or our address is to blame and no rule says for how long: the next one would hear the same.
                return Some(now_us + us(BLOCK));
            }
        }
        PathAction::SecureOnly => {
            exchange.path.site.secure_only.store(true, std::sync::atomic::Ordering::Release)
        }
        // A site that is no provider of the table is often many receivers under one roof: one of them speaks for itself.
        PathAction::Suspend { after_s } if !exchange.path.site.is_known() => {
            let slower = PathAction::Slow { factor_percent: 50, after_s, one_connection: false };
            exchange.path.shaper.pushed_back(slower, &words, said.seen, now_us);
            exchange.suspended(&words, after_s, now_us);
        }
        _ => {
            if let Some(rest) = exchange.path.shaper.pushed_back(action, &words, said.seen, now_us) {
                record(shared, &exchange.path, &rest, Because::said(verdict), now_us);
            }
        }
    }
    None
}

/// What would only be heard again is a rest.
fn sharpened(exchange: &Exchange, said: Said<'_>) -> PathAction {
    match said.verdict.path {
        PathAction::FewerConnections if exchange.path.shaper.open() <= 1 => {
            PathAction::Suspend { after_s: None }
        }
        PathAction::FewerMessages if said.seen <= 1 => PathAction::Suspend { after_s: None },
        PathAction::SecureOnly if said.secured => PathAction::Suspend { after_s: None },
        action => action,
    }
}

/// Keeps a delivery, and its sender's domain, from this site for a while.
fn block(shared: &Shared, exchange: &Exchange, said: Said<'_>, about: About<'_>) -> Option<i64> {
    let Said { verdict, reply, now_us, .. } = said;
    let site = &exchange.path.site;
    let after_s = match verdict.path {
        PathAction::Suspend { after_s } | PathAction::Slow { after_s, .. } => after_s,
        _ => None,
    };
    let after_s = after_s.or(match verdict.recipient {
        RecipientOutcome::Retry { after_s } => after_s,
        RecipientOutcome::Sent | RecipientOutcome::Failed => None,
    });
    let until = now_us + after_s.map_or(us(BLOCK), |seconds| i64::from(seconds) * 1_000_000);
    let rest = Suspension {
        until_us: Some(until),
        reason: without_local_part(&reply.to_string()),
        by: String::new(),
    };
    let delivery = format!("delivery:{}", about.delivery);
    let new = site.block_of(&delivery, now_us).is_none();
    site.block(&delivery, rest.clone());
    let identity = match verdict.blames {
        Blame::Domain if !about.domain.is_empty() => {
            let domain = format!("domain:{}", about.domain);
            site.block(&domain, rest.clone());
            domain
        }
        _ => delivery,
    };
    if new {
        tracing::info!(site = %site.name, delivery = about.delivery, reply = %rest.reason, "a receiver complains of a delivery");
        if site.is_known() && shared.config.routes.is_some() {
            shared.memory.put(of_engine(identity, &site.name, &rest, Because::said(verdict), now_us));
        }
    }
    Some(until)
}

/// Writes a rest of a provider's path down, for people and for other nodes. One row for a rest, however many messages wait.
pub(crate) fn record(shared: &Shared, path: &Path, rest: &Suspension, because: Because<'_>, now_us: i64) {
    tracing::info!(site = %path.site.name, source = %path.source.name, reason = %rest.reason, "a path rests");
    if path.site.is_known() && *path.site.name != *RELAY_SITE && shared.config.routes.is_some() {
        let identity = format!("source:{}", path.source.name);
        shared.memory.put(of_engine(identity, &path.site.name, rest, because, now_us));
    }
}
