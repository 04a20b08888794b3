//! *Show exactly what was sent*: one recipient's message, composed again from its snapshot, slots and stamp.

use std::sync::Arc;

use message::{Envelope, Prepared, Slots, Snapshot, Stamp};

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
    let tokens = Arc::clone(&state.tokens);
    let compose = move || {
        let prepared = Prepared::new(Snapshot::from_bytes(&snapshot).map_err(told)?, |_| None).map_err(told)?;
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
