//! *Show exactly what was sent*: one recipient's message, composed again from its snapshot, slots and stamp.

use std::{collections::HashMap, sync::Arc};

use axum::http::StatusCode;
use message::{Envelope, ImageMode, Prepared, Slots, Snapshot, SnapshotError, Stamp};

use crate::{
    problem::{Answer, Problem},
    state::Services,
};

/// A message as it was, or will be, sent.
pub struct Source {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Something the reader should know: it was not sent yet, or its bytes are not those that were sent.
    pub warning: Option<&'static str>,
}

/// Composes the message of `email` in `delivery` again.
///
/// # Errors
/// Nobody of that address has a message there, or what composing needs cannot be read any more.
pub async fn source(state: &Services, delivery: i64, email: &str) -> Answer<Source> {
    state.deliveries.get(delivery).await?;
    let recipient = state.audience.recipient_by_address(email).await?.map(|recipient| recipient.id);
    let found = state.queue.message_of(delivery, recipient, email.trim()).await?;
    let missing =
        || Problem::not_found("message: nobody of that address is sent this delivery").at("recipient");
    let row = state.queue.message(found.ok_or_else(missing)?).await?.ok_or_else(missing)?;
    // Before its part is claimed a message has no stamp: it is shown as it would go out now.
    let (time_us, signing, waiting) = match (row.stamp, &row.signing) {
        (Some(stamp), signing) => (stamp, signing.clone().unwrap_or_default(), false),
        (None, _) => match state.queue.run(delivery).await {
            Ok(run) => (state.clock.now_us(), run.spec.signing, true),
            Err(queue::Error::NotConfirmed(_)) => (state.clock.now_us(), String::new(), true),
            Err(error) => return Err(error.into()),
        },
    };
    let keys = key_numbers(&signing)
        .ok_or_else(|| Problem::internal(&"a part's list of signing keys is damaged"))?;
    let signers = state.routes.signing_with(&keys).await?;
    let snapshot = state.queue.snapshot(&row.snapshot).await?;
    let snapshot = snapshot.ok_or_else(|| Problem::internal(&"a snapshot is missing"))?;
    let prepared = prepared(&state.content, snapshot).await.map_err(refused)?;
    let tokens = Arc::clone(&state.tokens);
    let compose = move || {
        let slots = Slots::from_bytes(&row.slots).map_err(told)?;
        let address = address::parse(&row.address).map_err(told)?.smtp();
        let envelope = Envelope { id: row.id, address: &address, flags: row.flags };
        let composed =
            message::compose(&prepared, &slots, &envelope, &Stamp { time_us }, &signers.signers, &tokens)
                .map_err(told)?;
        let differs = row.digest.as_deref().is_some_and(|digest| *digest != composed.digest);
        Ok::<_, String>((composed.bytes, differs))
    };
    let composed = tokio::task::spawn_blocking(compose).await.map_err(|error| Problem::internal(&error))?;
    let (bytes, differs) = composed.map_err(|error| Problem::internal(&error))?;
    let warning = match (differs, waiting) {
        (true, _) => Some("these bytes differ from those that were sent"),
        (_, true) => Some("not sent yet: its date is set when its turn comes"),
        _ => None,
    };
    Ok(Source { bytes, warning })
}

/// Why a snapshot cannot be made ready for composing.
#[derive(Debug)]
pub enum Unready {
    /// Its files cannot be read now.
    Files(content::Error),
    /// It cannot be read, or a file of it is no longer kept.
    Snapshot(SnapshotError),
    /// The thread that works died.
    Ended(String),
}

impl std::fmt::Display for Unready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unready::Files(error) => error.fmt(f),
            Unready::Snapshot(error) => error.fmt(f),
            Unready::Ended(text) => f.write_str(text),
        }
    }
}

/// A snapshot made ready for composing, with the files that go along in its messages.
///
/// # Errors
/// See [`Unready`].
pub async fn prepared(content: &content::Content, bytes: Vec<u8>) -> Result<Prepared, Unready> {
    let ended = |error: tokio::task::JoinError| Unready::Ended(error.to_string());
    let read = tokio::task::spawn_blocking(move || Snapshot::from_bytes(&bytes));
    let snapshot = read.await.map_err(ended)?.map_err(Unready::Snapshot)?;
    let all = snapshot.variants.iter().any(|variant| variant.images == ImageMode::Inline);
    let images = snapshot.images.iter().filter(|image| all || image.inline);
    let mut files: HashMap<String, Arc<[u8]>> = HashMap::new();
    for asset in images.chain(&snapshot.attachments) {
        if !files.contains_key(&asset.hash)
            && let Some(found) = content.asset(&asset.hash).await.map_err(Unready::Files)?
        {
            files.insert(asset.hash.clone(), found.bytes);
        }
    }
    // Encoding takes milliseconds, and files may be large.
    let prepare = move || Prepared::new(snapshot, |hash| files.get(hash).cloned());
    tokio::task::spawn_blocking(prepare).await.map_err(ended)?.map_err(Unready::Snapshot)
}

fn refused(error: Unready) -> Problem {
    match error {
        Unready::Snapshot(SnapshotError::Asset(_)) => Problem::new(
            StatusCode::GONE,
            "gone",
            "A picture or an attachment of this message is no longer kept, so it cannot be composed again.",
        ),
        error => Problem::internal(&error),
    }
}

/// The numbers of the signing keys as a run and its parts carry them: `3,4`, or nothing.
pub fn key_numbers(text: &str) -> Option<Vec<i64>> {
    text.split(',').filter(|number| !number.is_empty()).map(|number| number.parse().ok()).collect()
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_numbers_are_read() {
        assert_eq!(key_numbers(""), Some(vec![]));
        assert_eq!(key_numbers("3,4"), Some(vec![3, 4]));
        assert_eq!(key_numbers("3,x"), None);
    }
}
