//! Recipients one by one: get, create, edit, delete, denylist.

use store::{Dialect, Lane, Tx, Value, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::limits::CHUNK_ROWS_SQLITE;
use crate::recipient::{
    Address, Attributes, FIELDS, NewRecipient, Recipient, RecipientEdit, attributes_json,
    check_attribute_count, checked, checked_attribute,
};
use crate::row::{RecipientRow, recipient_columns};

impl Audience {
    /// A recipient by id.
    pub async fn recipient(&self, id: i64) -> Result<Option<Recipient>> {
        self.store.read(move |tx| by_id(tx, id)).await
    }

    /// A recipient by address, in any spelling; an address that is none has no recipient.
    pub async fn recipient_by_address(&self, email: &str) -> Result<Option<Recipient>> {
        let Ok(address) = Address::parse(email) else { return Ok(None) };
        self.store.read(move |tx| by_key(tx, &address.key)).await
    }

    /// How many recipients there are.
    pub async fn recipient_count(&self) -> Result<i64> {
        self.store.read(|tx| tx.query_one("SELECT count(*) FROM recipient", &[], |row| Ok(row.int(0)?))).await
    }

    /// Every attribute name ever seen, in order: what a form offers.
    pub async fn attribute_names(&self) -> Result<Vec<String>> {
        self.store
            .read(|tx| tx.query("SELECT name FROM attribute ORDER BY name", &[], |row| Ok(row.text(0)?)))
            .await
    }

    /// Creates a recipient.
    ///
    /// # Errors
    /// A value that breaks a rule (`Invalid`), or an address that a recipient has already (`Exists`).
    pub async fn create_recipient(&self, new: NewRecipient, now_us: i64) -> Result<Recipient> {
        let address = Address::parse(&new.email)?;
        let mut values = Vec::with_capacity(FIELDS.len());
        for (i, value) in new_fields(&new).into_iter().enumerate() {
            values.push(checked(i, value)?);
        }
        let mut attributes = Attributes::new();
        for (name, value) in &new.attributes {
            let (name, value) = checked_attribute(name, value)?;
            attributes.insert(name, value);
        }
        check_attribute_count(&attributes)?;
        let denylisted = new.denylisted;
        self.store
            .write(Lane::Urgent, move |tx| {
                if by_key(tx, &address.key)?.is_some() {
                    return Err(Error::Exists { what: "recipient", name: address.email });
                }
                remember_names(tx, attributes.keys())?;
                let mut binds = binds![address.email, address.key, address.domain];
                binds.extend(values.into_iter().map(Value::Text));
                binds.extend(binds![attributes_json(&attributes), denylisted, now_us, now_us]);
                let id = tx.insert_id(INSERT, &binds)?;
                by_id(tx, id)?.ok_or(Error::NotFound("recipient"))
            })
            .await
    }

    /// Changes what the edit names, and returns the recipient as it then is.
    ///
    /// # Errors
    /// A value that breaks a rule, an address that another recipient has, or no such recipient.
    pub async fn edit_recipient(&self, id: i64, edit: RecipientEdit, now_us: i64) -> Result<Recipient> {
        self.store.write(Lane::Urgent, move |tx| edit_recipient(tx, id, &edit, now_us)).await
    }

    /// Deletes recipients with their list memberships and subscriptions; the quarantine keeps its addresses. Many go in several
    /// transactions. Returns how many there were.
    pub async fn delete_recipients(&self, ids: Vec<i64>) -> Result<u64> {
        let mut deleted = 0;
        for ids in ids.chunks(CHUNK_ROWS_SQLITE / 2) {
            let ids = ids.to_vec();
            deleted += self.store.write(Lane::Bulk, move |tx| delete_recipients(tx, &ids)).await?;
        }
        Ok(deleted)
    }

    /// Sets or clears the denylist flag. False: there is no such recipient.
    pub async fn set_denylisted(&self, id: i64, denylisted: bool, now_us: i64) -> Result<bool> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let sql = "UPDATE recipient SET denylisted = $2, updated_at = $3 WHERE id = $1";
                Ok(tx.execute(sql, &binds![id, denylisted, now_us])? > 0)
            })
            .await
    }
}

/// [`Audience::edit_recipient`] inside a transaction of the caller's, who also tells the queue when the flag is set.
///
/// # Errors
/// A value that breaks a rule, an address that another recipient has, or no such recipient.
pub fn edit_recipient(tx: &mut Tx<'_>, id: i64, edit: &RecipientEdit, now_us: i64) -> Result<Recipient> {
    let address = edit.email.as_deref().map(Address::parse).transpose()?;
    lock(tx, id)?;
    let Some(old) = by_id(tx, id)? else { return Err(Error::NotFound("recipient")) };
    let address = address.unwrap_or(Address {
        email: old.email.clone(),
        key: old.email_key.clone(),
        domain: old.domain.clone(),
    });
    if address.key != old.email_key && by_key(tx, &address.key)?.is_some() {
        return Err(Error::Exists { what: "recipient", name: address.email });
    }
    let attributes = edited_attributes(&old, edit)?;
    remember_names(tx, attributes.keys())?;
    let mut binds = binds![id, address.email, address.key, address.domain];
    for (i, value) in edited_fields(edit).into_iter().enumerate() {
        let value = value.as_deref().map(|value| checked(i, value)).transpose()?;
        binds.push(Value::Text(value.unwrap_or_else(|| old.field(i).to_owned())));
    }
    let denylisted = edit.denylisted.unwrap_or(old.denylisted);
    binds.extend(binds![attributes_json(&attributes), denylisted, now_us]);
    tx.execute(UPDATE, &binds)?;
    by_id(tx, id)?.ok_or(Error::NotFound("recipient"))
}

/// Others who change this recipient wait until this transaction ends. An edit writes the whole row: without it PostgreSQL would
/// let an edit undo an unsubscription that came between its look and its write. SQLite has one writer.
fn lock(tx: &mut Tx<'_>, id: i64) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        tx.query_opt("SELECT id FROM recipient WHERE id = $1 FOR UPDATE", &binds![id], |_| {
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO recipient (email, email_key, domain, first_name, last_name, language, time_zone, country, \
     city, email_format, attributes, denylisted, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const UPDATE: &str = "UPDATE recipient SET email = $2, email_key = $3, domain = $4, first_name = $5, last_name = $6, language = $7, \
     time_zone = $8, country = $9, city = $10, email_format = $11, attributes = $12, denylisted = $13, updated_at = $14 WHERE id = $1";

/// A recipient by id, inside a transaction of the caller's.
pub(crate) fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<Recipient>> {
    let sql = format!("SELECT {} FROM recipient r WHERE r.id = $1", recipient_columns("r"));
    tx.query_opt(&sql, &binds![id], |row| Ok(RecipientRow::read(row, 0)?.to_recipient()))
}

/// A recipient by the key of its address.
pub(crate) fn by_key(tx: &mut Tx<'_>, key: &str) -> Result<Option<Recipient>> {
    let sql = format!("SELECT {} FROM recipient r WHERE r.email_key = $1", recipient_columns("r"));
    tx.query_opt(&sql, &binds![key], |row| Ok(RecipientRow::read(row, 0)?.to_recipient()))
}

/// [`Audience::delete_recipients`] inside a transaction of the caller's, who also tells the queue: for few.
///
/// # Errors
/// The database's.
pub fn delete_recipients(tx: &mut Tx<'_>, ids: &[i64]) -> Result<u64> {
    tx.execute_many("DELETE FROM list_member WHERE recipient = $1", ids.iter().map(|id| binds![*id]))?;
    tx.execute_many("DELETE FROM subscription WHERE recipient = $1", ids.iter().map(|id| binds![*id]))?;
    Ok(tx.execute_many("DELETE FROM recipient WHERE id = $1", ids.iter().map(|id| binds![*id]))?)
}

/// Keeps attribute names for forms.
pub(crate) fn remember_names<'n>(tx: &mut Tx<'_>, names: impl Iterator<Item = &'n String>) -> Result<()> {
    for name in names {
        tx.execute("INSERT INTO attribute (name) VALUES ($1) ON CONFLICT DO NOTHING", &binds![name])?;
    }
    Ok(())
}

/// The fields of a new person in the order of [`FIELDS`].
pub(crate) fn new_fields(new: &NewRecipient) -> [&String; 7] {
    [
        &new.first_name,
        &new.last_name,
        &new.language,
        &new.time_zone,
        &new.country,
        &new.city,
        &new.email_format,
    ]
}

/// The fields of an edit in the order of [`FIELDS`].
pub(crate) fn edited_fields(edit: &RecipientEdit) -> [&Option<String>; 7] {
    [
        &edit.first_name,
        &edit.last_name,
        &edit.language,
        &edit.time_zone,
        &edit.country,
        &edit.city,
        &edit.email_format,
    ]
}

/// The attributes as they are after the edit.
pub(crate) fn edited_attributes(old: &Recipient, edit: &RecipientEdit) -> Result<Attributes> {
    let mut attributes = old.attributes.clone();
    for (name, value) in &edit.attributes {
        let (name, value) = match value {
            Some(value) => checked_attribute(name, value).map(|(name, value)| (name, Some(value)))?,
            None => (crate::attribute_name(name)?, None),
        };
        match value {
            Some(value) => attributes.insert(name, value),
            None => attributes.remove(&name),
        };
    }
    check_attribute_count(&attributes)?;
    Ok(attributes)
}
