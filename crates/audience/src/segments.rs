//! Segments: filters with a name.

use serde::Serialize;
use store::{Lane, Row, Tx, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::filter::{Filter, Named};
use crate::lists::checked_name;
use crate::recipient::Recipient;
use crate::resolve::resolve;

/// A filter that was given a name, to be used in targets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Segment {
    /// The segment's id.
    pub id: i64,
    /// Unique; what `delivery.toml` names.
    pub name: String,
    /// Whom it takes.
    pub filter: Filter,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Microseconds UTC.
    pub updated_at: i64,
}

const SELECT: &str = "SELECT id, name, filter, created_at, updated_at FROM segment";

impl Audience {
    /// All segments in the order of their names.
    pub async fn segments(&self) -> Result<Vec<Segment>> {
        let sql = format!("{SELECT} ORDER BY name");
        self.store.read(move |tx| tx.query(&sql, &[], read)).await
    }

    /// A segment by id.
    pub async fn segment(&self, id: i64) -> Result<Option<Segment>> {
        let sql = format!("{SELECT} WHERE id = $1");
        self.store.read(move |tx| tx.query_opt(&sql, &binds![id], read)).await
    }

    /// A segment by its exact name.
    pub async fn segment_by_name(&self, name: &str) -> Result<Option<Segment>> {
        let sql = format!("{SELECT} WHERE name = $1");
        let name = name.trim().to_owned();
        self.store.read(move |tx| tx.query_opt(&sql, &binds![name], read)).await
    }

    /// Keeps a filter under a name and returns the segment's id.
    ///
    /// # Errors
    /// A taken name, or a filter that names what is not there, or itself, also through other segments.
    pub async fn create_segment(&self, name: &str, filter: &Filter, now_us: i64) -> Result<i64> {
        let name = checked_name("segment", name)?;
        let filter = filter.clone();
        self.store
            .write(Lane::Urgent, move |tx| {
                check_free(tx, &name, None)?;
                resolve(tx, &filter, Some(&name))?;
                let sql =
                    "INSERT INTO segment (name, filter, created_at, updated_at) VALUES ($1, $2, $3, $4)";
                Ok(tx.insert_id(sql, &binds![name, filter.to_json().to_string(), now_us, now_us])?)
            })
            .await
    }

    /// Gives a segment another name and filter. Segments that name it then say the new name.
    ///
    /// # Errors
    /// As when it is created.
    pub async fn update_segment(&self, id: i64, name: &str, filter: &Filter, now_us: i64) -> Result<()> {
        let name = checked_name("segment", name)?;
        let filter = filter.clone();
        self.store
            .write(Lane::Urgent, move |tx| {
                check_free(tx, &name, Some(id))?;
                let sql = "SELECT name FROM segment WHERE id = $1";
                let old = tx.query_opt(sql, &binds![id], |row| Ok::<_, Error>(row.text(0)?))?;
                let old = old.ok_or(Error::NotFound("segment"))?;
                let sql = "UPDATE segment SET name = $2, filter = $3, updated_at = $4 WHERE id = $1";
                tx.execute(sql, &binds![id, &name, filter.to_json().to_string(), now_us])?;
                if old != name {
                    rename_in_filters(tx, Named::Segment(&old), &name)?;
                }
                resolve(tx, &filter, Some(&name)).map(|_| ())
            })
            .await
    }

    /// Deletes a segment. False: there is no such segment. Those that name it ([`Audience::segments_naming`]) say so when they
    /// are used.
    pub async fn delete_segment(&self, id: i64) -> Result<bool> {
        self.store
            .write(Lane::Urgent, move |tx| {
                Ok(tx.execute("DELETE FROM segment WHERE id = $1", &binds![id])? > 0)
            })
            .await
    }

    /// The names of the segments whose own filter names this list or segment, in order.
    pub async fn segments_naming(&self, named: Named<'_>) -> Result<Vec<String>> {
        let segments = self.segments().await?;
        let naming = |segment: &Segment| segment.filter.names().any(|other| other == named);
        Ok(segments.into_iter().filter(naming).map(|segment| segment.name).collect())
    }

    /// How many recipients a filter takes now.
    pub async fn count_segment(&self, filter: &Filter, now_us: i64) -> Result<i64> {
        self.count(&self.recipients_in_segment(filter, now_us).await?).await
    }

    /// The first recipients that a filter takes now.
    pub async fn preview_segment(
        &self,
        filter: &Filter,
        now_us: i64,
        limit: usize,
    ) -> Result<Vec<Recipient>> {
        self.preview(&self.recipients_in_segment(filter, now_us).await?, limit).await
    }
}

/// Lets every filter that names a list or segment say its new name.
pub(crate) fn rename_in_filters(tx: &mut Tx<'_>, old: Named<'_>, new: &str) -> Result<()> {
    for segment in tx.query(SELECT, &[], read)? {
        if let Some(filter) = segment.filter.renamed(old, new) {
            let sql = "UPDATE segment SET filter = $2 WHERE id = $1";
            tx.execute(sql, &binds![segment.id, filter.to_json().to_string()])?;
        }
    }
    Ok(())
}

fn check_free(tx: &mut Tx<'_>, name: &str, mine: Option<i64>) -> Result<()> {
    let sql = "SELECT id FROM segment WHERE name = $1";
    match tx.query_opt(sql, &binds![name], |row| Ok::<_, Error>(row.int(0)?))? {
        Some(other) if Some(other) != mine => Err(Error::Exists { what: "segment", name: name.to_owned() }),
        _ => Ok(()),
    }
}

fn read(row: &Row<'_>) -> Result<Segment> {
    Ok(Segment {
        id: row.int(0)?,
        name: row.text(1)?,
        filter: Filter::parse_text(row.str(2)?)?,
        created_at: row.int(3)?,
        updated_at: row.int(4)?,
    })
}
