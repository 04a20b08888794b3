//! Joins two rooms: an address that a receiver says does not exist goes into quarantine, and its pending messages in
//! every delivery are suppressed, in the transaction that settles the message.

use queue::Nonexistent;
use store::Tx;

/// The audience's quarantine for the queue's settler.
pub struct AudienceQuarantine;

impl queue::Quarantine for AudienceQuarantine {
    fn quarantine(&self, tx: &mut Tx<'_>, found: &[Nonexistent]) -> Result<(), store::Error> {
        for address in found {
            match audience::quarantine::add(
                tx,
                &address.address_key,
                &address.reason,
                &address.reply,
                address.at,
            ) {
                Ok(_) => {}
                Err(audience::Error::Store(error)) => return Err(error),
                // The address was sent to, so it has the grammar; if not, the outcome must still be settled.
                Err(error) => tracing::warn!(message = address.message, %error, "not quarantined"),
            }
        }
        Ok(())
    }
}
