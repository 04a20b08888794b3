//! Finding recipients: by a text in their address or name, page by page.

use serde::Serialize;
use store::{Dialect, Value, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::limits::{PAGE_ROWS_MAX, SEARCH_LEN_MAX};
use crate::recipient::Recipient;
use crate::row::{RecipientRow, recipient_columns};

/// What is looked for. All that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// A part of the address, the first or the last name, or first and last name with a blank between; ASCII case does
    /// not count. Empty: everyone.
    pub text: String,
    /// Only members of this list.
    pub list: Option<i64>,
    /// Only subscribers of this service.
    pub service: Option<i64>,
    /// Only those with the denylist flag set, or only those without.
    pub denylisted: Option<bool>,
    /// Continue behind this recipient: `next` of the page before.
    pub after: Option<i64>,
    /// Rows of a page, at most [`PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// Recipients in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SearchPage {
    /// The page.
    pub recipients: Vec<Recipient>,
    /// `after` for the next page; none: this is the last.
    pub next: Option<i64>,
}

impl Audience {
    /// Finds recipients. A page deep in a large table costs no more than the first; a rare text costs one pass over the
    /// table (0.3 s a million rows), a whole address one look-up.
    pub async fn search(&self, search: Search) -> Result<SearchPage> {
        let text = search.text.trim();
        if text.len() > SEARCH_LEN_MAX {
            return Err(Error::invalid("text", format!("longer than {SEARCH_LEN_MAX} bytes")));
        }
        if text.contains(char::is_control) {
            return Err(Error::invalid("text", "a control character cannot be looked for"));
        }
        let limit = search.limit.clamp(1, PAGE_ROWS_MAX);
        let (sql, binds) = select(&search, text, limit, self.store.dialect());
        let mut recipients: Vec<Recipient> = self
            .store
            .read(move |tx| {
                tx.query(&sql, &binds, |row| Ok::<_, Error>(RecipientRow::read(row, 0)?.to_recipient()))
            })
            .await?;
        let more = recipients.len() > limit;
        recipients.truncate(limit);
        let next = if more { recipients.last().map(|last| last.id) } else { None };
        Ok(SearchPage { recipients, next })
    }
}

fn select(search: &Search, text: &str, limit: usize, dialect: Dialect) -> (String, Vec<Value>) {
    let mut binds = binds![search.after.unwrap_or(0), limit + 1];
    let mut sql = format!("SELECT {} FROM recipient r", recipient_columns("r"));
    let mut key = "r.id";
    if let Some(service) = search.service {
        binds.push(service.into());
        sql.push_str(&format!(" JOIN subscription b ON b.recipient = r.id AND b.service = ${}", binds.len()));
        // The service's own index is in the order of its subscribers' ids; so is a list's of its members'.
        key = "b.recipient";
    }
    if let Some(list) = search.list {
        binds.push(list.into());
        sql.push_str(&format!(" JOIN list_member m ON m.recipient = r.id AND m.list = ${}", binds.len()));
        key = "m.recipient";
    }
    sql.push_str(&format!(" WHERE {key} > $1"));
    if let Some(denylisted) = search.denylisted {
        binds.push(denylisted.into());
        sql.push_str(&format!(" AND r.denylisted = ${}", binds.len()));
    }
    if let Ok(address) = address::parse(text) {
        binds.push(address.key().into());
        sql.push_str(&format!(" AND r.email_key = ${}", binds.len()));
    } else if !text.is_empty() {
        binds.push(text.to_ascii_lowercase().into());
        let n = binds.len();
        let find = |what: &str| match dialect {
            Dialect::Sqlite => format!("instr(lower({what}), ${n}) > 0"),
            Dialect::Postgres => format!("strpos(lower(({what}) COLLATE \"C\"), ${n}) > 0"),
        };
        let parts = [find("r.email"), find("r.first_name || ' ' || r.last_name")];
        sql.push_str(&format!(" AND ({})", parts.join(" OR ")));
    }
    sql.push_str(&format!(" ORDER BY {key} LIMIT $2"));
    (sql, binds)
}
