//! The denylist flag inside a transaction of the caller's: how an unsubscription changes a person.

use store::{Tx, binds};

use crate::error::{Error, Result};
use crate::recipient::Address;

/// A person whose flag is set now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denylisted {
    /// The recipient.
    pub recipient: i64,
    /// The comparison key of the recipient's address now.
    pub email_key: String,
    /// False: the flag was set before.
    pub newly: bool,
}

/// Sets the flag of the recipient with this number; when it is gone, of the one who has this address now. None: there
/// is neither.
///
/// # Errors
/// The database's.
pub fn set(tx: &mut Tx<'_>, recipient: i64, email: &str, now_us: i64) -> Result<Option<Denylisted>> {
    let read = |row: &store::Row<'_>| Ok::<_, Error>((row.int(0)?, row.text(1)?, row.bool(2)?));
    let sql = "SELECT id, email_key, denylisted FROM recipient WHERE id = $1";
    let mut found = tx.query_opt(sql, &binds![recipient], read)?;
    if found.is_none()
        && let Ok(address) = Address::parse(email)
    {
        let sql = "SELECT id, email_key, denylisted FROM recipient WHERE email_key = $1";
        found = tx.query_opt(sql, &binds![address.key], read)?;
    }
    let Some((recipient, email_key, denylisted)) = found else { return Ok(None) };
    if !denylisted {
        let sql = "UPDATE recipient SET denylisted = 1, updated_at = $2 WHERE id = $1";
        tx.execute(sql, &binds![recipient, now_us])?;
    }
    Ok(Some(Denylisted { recipient, email_key, newly: !denylisted }))
}
