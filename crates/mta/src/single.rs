//! One message outside any delivery, at once: Setup's *send me a test mail*, and whatever else wants the receiver's words
//! while somebody looks. No row, no retry; the same route, connection and dialogue as every message.

use std::sync::Arc;

use crate::connect::{Terms, connect};
use crate::courier::{Handed, Line, way_to};
use crate::engine::Shared;

/// Sends it and answers with the receiver's words; `Err` says in words why it was not taken.
pub(crate) async fn send(shared: &Shared, from: &str, to: &str, message: &[u8]) -> Result<String, String> {
    let mailbox = address::Mailbox::parse(to).map_err(|error| error.to_string())?;
    let way = way_to(&*shared.world, shared.config.relay.as_ref(), mailbox.domain_ascii()).await?;
    let standing = shared.standing();
    let origin = standing.serving("", mailbox.domain_ascii()).next();
    let origin = origin.ok_or("no source of the pool \"default\" serves this domain")?;
    let terms = Terms { proxy: origin.proxy, ..Terms::default() };
    let wire = connect(&shared.means(), &way, &origin.source, &terms).await;
    let wire = wire.map_err(|unreached| unreached.reason)?;
    let mut line = Line::new(Arc::clone(&shared.world), wire);
    let handed = line.send(from, &mailbox.smtp(), message).await;
    line.quit().await;
    match handed {
        Handed::Taken { words } => Ok(words),
        Handed::Refused { words, .. } | Handed::Lost { words, .. } => Err(words),
    }
}
