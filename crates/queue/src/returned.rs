//! What comes back after a message was accepted: counted by delivery and site. What it does to people is `feedback`'s.

use store::{Tx, binds};

use crate::Result;
use crate::delivery_of;
use crate::types::{OTHER_SITE, SEED_WAVE};

/// The reason of outcomes of a test delivery: the receiver took the recipient, and was given no message.
pub const TEST_REASON: &str = "test";

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Returned {
    /// The address does not exist, or never will again.
    Hard,
    /// It did not arrive this time.
    Soft,
    /// The recipient called it spam.
    Complaint,
}

/// Counts what came back of a message, where the message's site is known; in the caller's transaction. A seed's counts
/// nowhere. Answers whether it was counted. Telling the same thing twice is the caller's to prevent.
///
/// # Errors
/// The database's.
pub fn returned_in(tx: &mut Tx<'_>, message: i64, what: Returned) -> Result<bool> {
    let wave = tx.query_opt(
        "SELECT wave FROM part WHERE first_id <= $1 AND last_id >= $1 ORDER BY first_id DESC LIMIT 1",
        &binds![message],
        |row| Ok::<_, crate::Error>(row.int(0)?),
    )?;
    if wave.is_none_or(|wave| wave == SEED_WAVE) {
        return Ok(false);
    }
    let site = tx.query_opt("SELECT site FROM outcome WHERE id = $1", &binds![message], |row| {
        Ok::<_, crate::Error>(row.text_opt(0)?)
    })?;
    let site = site.flatten().unwrap_or_else(|| OTHER_SITE.to_owned());
    let one = |of: Returned| i64::from(of == what);
    tx.execute(
        "INSERT INTO returned (delivery, site, hard, soft, complaints) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (delivery, site) DO UPDATE SET hard = returned.hard + excluded.hard, \
           soft = returned.soft + excluded.soft, complaints = returned.complaints + excluded.complaints",
        &binds![
            delivery_of(message),
            site,
            one(Returned::Hard),
            one(Returned::Soft),
            one(Returned::Complaint)
        ],
    )?;
    Ok(true)
}
