//! Lists and their members.

use serde::Serialize;
use store::{Lane, Tx, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::filter::Named;
use crate::limits::NAME_LEN_MAX;
use crate::membership::LISTS;
use crate::segments::rename_in_filters;

/// A list of recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct List {
    /// The list's id.
    pub id: i64,
    /// Unique; what `delivery.toml` and `import --list` name.
    pub name: String,
    /// How many recipients are on it.
    pub members: i64,
    /// Microseconds UTC.
    pub created_at: i64,
}

const COLUMNS: &str = "l.id, l.name, (SELECT count(*) FROM list_member m WHERE m.list = l.id), l.created_at";

impl Audience {
    /// All lists in the order of their names, with their sizes.
    pub async fn lists(&self) -> Result<Vec<List>> {
        let sql = format!("SELECT {COLUMNS} FROM list l ORDER BY l.name");
        self.store.read(move |tx| tx.query(&sql, &[], read)).await
    }

    /// A list by id.
    pub async fn list(&self, id: i64) -> Result<Option<List>> {
        let sql = format!("SELECT {COLUMNS} FROM list l WHERE l.id = $1");
        self.store.read(move |tx| tx.query_opt(&sql, &binds![id], read)).await
    }

    /// A list by its exact name.
    pub async fn list_by_name(&self, name: &str) -> Result<Option<List>> {
        let sql = format!("SELECT {COLUMNS} FROM list l WHERE l.name = $1");
        let name = name.trim().to_owned();
        self.store.read(move |tx| tx.query_opt(&sql, &binds![name], read)).await
    }

    /// The lists a recipient is on, in the order of their names.
    pub async fn lists_of(&self, recipient: i64) -> Result<Vec<List>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM list_member o JOIN list l ON l.id = o.list WHERE o.recipient = $1 ORDER BY l.name"
        );
        self.store.read(move |tx| tx.query(&sql, &binds![recipient], read)).await
    }

    /// Creates an empty list and returns its id.
    pub async fn create_list(&self, name: &str, now_us: i64) -> Result<i64> {
        let name = checked_name("list", name)?;
        self.store.write(Lane::Urgent, move |tx| LISTS.create(tx, &name, now_us)).await
    }

    /// Gives a list another name. Segments that name it then say the new name.
    pub async fn rename_list(&self, id: i64, name: &str) -> Result<()> {
        let name = checked_name("list", name)?;
        self.store
            .write(Lane::Urgent, move |tx| {
                LISTS.check_free(tx, &name, Some(id))?;
                let sql = "SELECT name FROM list WHERE id = $1";
                let old = tx.query_opt(sql, &binds![id], |row| Ok::<_, Error>(row.text(0)?))?;
                let old = old.ok_or(Error::NotFound("list"))?;
                tx.execute("UPDATE list SET name = $2 WHERE id = $1", &binds![id, &name])?;
                rename_in_filters(tx, Named::List(&old), &name)
            })
            .await
    }

    /// Deletes a list; its members stay recipients. A large list goes in several transactions, the list itself in the
    /// last: after a crash it can be deleted again. False: there is no such list.
    pub async fn delete_list(&self, id: i64) -> Result<bool> {
        self.delete_with_members(LISTS, id).await
    }

    /// Puts recipients on a list and returns how many were not on it before. Ids of nobody are left out.
    pub async fn add_to_list(&self, list: i64, recipients: Vec<i64>) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                LISTS.check_there(tx, list)?;
                let rows = recipients.into_iter().map(|recipient| binds![list, recipient]);
                let sql = "INSERT INTO list_member (list, recipient) SELECT $1, id FROM recipient WHERE id = $2 ON CONFLICT DO NOTHING";
                Ok(tx.execute_many(sql, rows)?)
            })
            .await
    }

    /// Takes recipients off a list and returns how many were on it.
    pub async fn remove_from_list(&self, list: i64, recipients: Vec<i64>) -> Result<u64> {
        self.remove_members(LISTS, list, recipients).await
    }
}

/// The id of the list with this name, which is created when there is none.
pub(crate) fn ensure(tx: &mut Tx<'_>, name: &str, now_us: i64) -> Result<i64> {
    match id_of(tx, name)? {
        Some(id) => Ok(id),
        None => LISTS.create(tx, name, now_us),
    }
}

/// The id of the list with this name.
pub(crate) fn id_of(tx: &mut Tx<'_>, name: &str) -> Result<Option<i64>> {
    LISTS.id_of(tx, name)
}

/// A name of a list or a segment: one line, not empty, bounded.
pub(crate) fn checked_name(what: &'static str, name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Error::invalid("name", format!("a {what} needs a name")));
    }
    if name.chars().count() > NAME_LEN_MAX {
        return Err(Error::invalid("name", format!("longer than {NAME_LEN_MAX} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "a control character cannot stand in a name"));
    }
    Ok(name.to_owned())
}

fn read(row: &store::Row<'_>) -> Result<List> {
    Ok(List { id: row.int(0)?, name: row.text(1)?, members: row.int(2)?, created_at: row.int(3)? })
}
