//! What lists and services share: a unique name, and members that go in steps because there may be millions.

use store::{Lane, Tx, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::limits::CHUNK_ROWS_SQLITE;

/// Rows of one step of a large deletion: the writer is shared with the queue.
pub(crate) const STEP_ROWS: u64 = CHUNK_ROWS_SQLITE as u64;

/// A table of names, and the table of who belongs to each. The latter's first column is called as the former.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    /// The table; what messages call it too.
    pub table: &'static str,
    pub members: &'static str,
}

pub(crate) const LISTS: Membership = Membership { table: "list", members: "list_member" };
pub(crate) const SERVICES: Membership = Membership { table: "service", members: "subscription" };

impl Membership {
    /// The id of the one with this name.
    pub fn id_of(self, tx: &mut Tx<'_>, name: &str) -> Result<Option<i64>> {
        let sql = format!("SELECT id FROM {} WHERE name = $1", self.table);
        tx.query_opt(&sql, &binds![name], |row| Ok(row.int(0)?))
    }

    /// [`Error::Exists`] when another one than `mine` has the name.
    pub fn check_free(self, tx: &mut Tx<'_>, name: &str, mine: Option<i64>) -> Result<()> {
        match self.id_of(tx, name)? {
            Some(other) if Some(other) != mine => {
                Err(Error::Exists { what: self.table, name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// [`Error::NotFound`] when there is none with this id.
    pub fn check_there(self, tx: &mut Tx<'_>, id: i64) -> Result<()> {
        let sql = format!("SELECT 1 FROM {} WHERE id = $1", self.table);
        let known = tx.query_opt(&sql, &binds![id], |row| Ok::<_, Error>(row.int(0)?))?;
        known.map(drop).ok_or(Error::NotFound(self.table))
    }

    /// One with a new name; its id.
    pub fn create(self, tx: &mut Tx<'_>, name: &str, now_us: i64) -> Result<i64> {
        self.check_free(tx, name, None)?;
        let sql = format!("INSERT INTO {} (name, created_at) VALUES ($1, $2)", self.table);
        Ok(tx.insert_id(&sql, &binds![name, now_us])?)
    }

    /// Takes up to [`STEP_ROWS`] members away and returns how many.
    fn remove_some(self, tx: &mut Tx<'_>, id: i64) -> Result<u64> {
        let Membership { table, members } = self;
        let sql = format!(
            "DELETE FROM {members} WHERE {table} = $1 AND recipient IN \
             (SELECT m.recipient FROM {members} m WHERE m.{table} = $1 ORDER BY m.recipient LIMIT $2)"
        );
        Ok(tx.execute(&sql, &binds![id, STEP_ROWS])?)
    }

    /// Takes one recipient away; false: it was no member.
    pub fn remove(self, tx: &mut Tx<'_>, id: i64, recipient: i64) -> Result<bool> {
        let Membership { table, members } = self;
        let sql = format!("DELETE FROM {members} WHERE {table} = $1 AND recipient = $2");
        Ok(tx.execute(&sql, &binds![id, recipient])? > 0)
    }
}

impl Audience {
    /// Deletes one with its members, who stay recipients. A large one goes in several transactions, itself in the last: after a
    /// crash it can be deleted again. False: there is none with this id.
    pub(crate) async fn delete_with_members(&self, of: Membership, id: i64) -> Result<bool> {
        while self.store.write(Lane::Bulk, move |tx| of.remove_some(tx, id)).await? >= STEP_ROWS {}
        self.store
            .write(Lane::Urgent, move |tx| {
                let Membership { table, members } = of;
                tx.execute(&format!("DELETE FROM {members} WHERE {table} = $1"), &binds![id])?;
                Ok(tx.execute(&format!("DELETE FROM {table} WHERE id = $1"), &binds![id])? > 0)
            })
            .await
    }

    /// Takes recipients away and returns how many were members.
    pub(crate) async fn remove_members(&self, of: Membership, id: i64, recipients: Vec<i64>) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let mut removed = 0;
                for recipient in recipients {
                    removed += u64::from(of.remove(tx, id, recipient)?);
                }
                Ok(removed)
            })
            .await
    }
}
