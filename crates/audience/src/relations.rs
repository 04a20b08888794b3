//! What other rooms may join: selects over this room's tables with documented columns.
//!
//! The functions need the dialect, because filters compile differently; [`Audience`] has each as a method that
//! knows it.

use store::{Dialect, Value};

pub use store::Relation;

use crate::GUEST_FIRST;

use crate::Audience;
use crate::error::{Error, Result};
use crate::filter::{Filter, compile};
use crate::recipient::Recipient;
use crate::row::{RecipientRow, recipient_columns};

/// How a relation begins that is a condition over the columns of `recipient r` and nothing more: no further clause, no other
/// select behind it. Whoever selects from `recipient r` anyway can take the condition alone.
pub(crate) const OF_RECIPIENTS: &str = "SELECT r.id AS recipient FROM recipient r WHERE ";
/// How one begins that is to stay a set of ids: something may stand behind it, or it is faster so.
pub(crate) const AS_A_SET: &str = "SELECT r.id AS recipient FROM recipient AS r WHERE ";

/// The same for a segment: a set of ids, and nothing but a condition behind it.
pub(crate) const SEGMENT_AS_A_SET: &str = "SELECT r.id AS recipient FROM recipient AS r WHERE TRUE AND ";

/// The condition over the columns of `r` that a relation is; none: it is more than that.
pub(crate) fn row_condition(sql: &str) -> Option<&str> {
    sql.strip_prefix(SEGMENT_AS_A_SET).or_else(|| sql.strip_prefix(OF_RECIPIENTS))
}

impl Audience {
    /// One column, `recipient`: every recipient's id, once.
    pub fn all_recipients(&self) -> Relation {
        Relation::new(format!("{OF_RECIPIENTS}TRUE"), Vec::new())
    }

    /// One column, `recipient`: the ids of a list's members, each once.
    pub fn recipients_in_list(&self, list: i64) -> Relation {
        Relation::new(
            "SELECT m.recipient AS recipient FROM list_member m WHERE m.list = $1",
            vec![list.into()],
        )
    }

    /// One column, `recipient`: the ids that a filter takes, each once; the segments it names are looked up now. `now_us` is
    /// what relative times count from.
    ///
    /// # Errors
    /// Those of [`Audience::resolve`]: a list or segment that is not there, by its name, or a ring of segments.
    pub async fn recipients_in_segment(&self, filter: &Filter, now_us: i64) -> Result<Relation> {
        Ok(segment(&self.resolve(filter).await?, now_us, self.store.dialect()))
    }

    /// One column, `recipient`: every recipient outside of a relation with a column `recipient`, each once. In a
    /// [`crate::TargetSet`] use [`crate::Element::new`] with `not` instead: a walk by ranges narrows that one.
    pub fn outside(&self, relation: &Relation) -> Relation {
        let mut binds = Vec::new();
        let inner = relation.splice(&mut binds);
        let sql = format!("{AS_A_SET}r.id NOT IN (SELECT t.recipient FROM ({inner}) t)");
        Relation::new(sql, binds)
    }

    /// One column, `recipient`: the recipient with this address, or none.
    pub fn recipient_with_address(&self, email: &str) -> Relation {
        let key = address::parse(email.trim()).map(|address| address.key()).unwrap_or_default();
        Relation::new(format!("{OF_RECIPIENTS}r.email_key = $1"), vec![key.into()])
    }

    /// One column, `email_key`: the addresses in quarantine, each once.
    pub fn quarantined(&self) -> Relation {
        Relation::new(
            "SELECT q.email_key AS email_key FROM quarantine q WHERE q.status = 'quarantined'",
            Vec::new(),
        )
    }

    /// How many rows a relation has.
    pub async fn count(&self, relation: &Relation) -> Result<i64> {
        let mut binds = Vec::new();
        let sql = format!("SELECT count(*) FROM ({}) t", relation.splice(&mut binds));
        self.store.read(move |tx| tx.query_one(&sql, &binds, |row| Ok(row.int(0)?))).await
    }

    /// The first recipients, then guests, of a relation with a column `recipient`, in the order of their ids.
    pub async fn preview(&self, relation: &Relation, limit: usize) -> Result<Vec<Recipient>> {
        let limit = limit.clamp(1, crate::limits::PAGE_ROWS_MAX);
        let mut found = self.first_of("recipient", relation, limit).await?;
        if found.len() < limit {
            let guests = self.first_of("guest", relation, limit - found.len()).await?;
            found.extend(guests);
        }
        Ok(found)
    }

    async fn first_of(
        &self,
        table: &'static str,
        relation: &Relation,
        limit: usize,
    ) -> Result<Vec<Recipient>> {
        let mut binds = Vec::new();
        let inner = relation.splice(&mut binds);
        binds.push(limit.into());
        let sql = format!(
            "SELECT {} FROM {table} r WHERE r.id IN ({inner}) ORDER BY r.id LIMIT ${}",
            recipient_columns("r"),
            binds.len()
        );
        self.records(sql, binds).await
    }

    /// Whoever has this id in rooms that know messages: a recipient, a guest, or (negative) a seed.
    pub async fn person(&self, id: i64) -> Result<Option<Recipient>> {
        if id < 0 {
            return Ok(self.seed(-id).await?.map(|seed| seed.profile));
        }
        let table = if id < GUEST_FIRST { "recipient" } else { "guest" };
        let sql = format!("SELECT {} FROM {table} r WHERE r.id = $1", recipient_columns("r"));
        Ok(self.records(sql, vec![id.into()]).await?.pop())
    }

    /// A recipient of a relation with a column `recipient`, chosen by the seed: the same seed over the same rows gives
    /// the same recipient. A guest where there are only guests. None: the relation is empty.
    ///
    /// The first member behind a random id: at once in a target of millions, where counting to a random place takes
    /// seconds. Somebody behind a gap of ids is chosen more often, which nobody who looks at a proof minds.
    pub async fn random_recipient(&self, relation: &Relation, seed: u64) -> Result<Option<Recipient>> {
        let last = u64::try_from(self.largest_recipient_id().await?).unwrap_or(0);
        let from = i64::try_from(spread(seed) % last.max(1)).unwrap_or(0) + 1;
        for (table, from) in [("recipient", from), ("recipient", 1)] {
            if let Some(found) = self.first_member(table, relation, from).await? {
                return Ok(Some(found));
            }
        }
        self.random_guest(relation, seed).await
    }

    /// The range of one delivery's guests is dense: a place in it is a guest, or somebody close behind.
    async fn random_guest(&self, relation: &Relation, seed: u64) -> Result<Option<Recipient>> {
        let Some(first) = self.first_member("guest", relation, GUEST_FIRST).await? else { return Ok(None) };
        let mut binds = vec![first.id.into()];
        let inner = relation.splice(&mut binds);
        let sql = format!("SELECT max(t.recipient) FROM ({inner}) t WHERE t.recipient >= $1");
        let last =
            self.store.read(move |tx| tx.query_one(&sql, &binds, |row| Ok::<_, Error>(row.int(0)?))).await?;
        let span = u64::try_from(last - first.id).unwrap_or(0) + 1;
        let from = first.id.saturating_add(i64::try_from(spread(seed) % span).unwrap_or(0));
        Ok(self.first_member("guest", relation, from).await?.or(Some(first)))
    }

    async fn first_member(
        &self,
        table: &'static str,
        relation: &Relation,
        from: i64,
    ) -> Result<Option<Recipient>> {
        let mut binds = vec![Value::Int(from)];
        let inner = relation.splice(&mut binds);
        let sql = format!(
            "SELECT {} FROM {table} r WHERE r.id >= $1 AND EXISTS (SELECT 1 FROM ({inner}) t WHERE t.recipient = r.id) \
             ORDER BY r.id LIMIT 1",
            recipient_columns("r"),
        );
        Ok(self.records(sql, binds).await?.pop())
    }

    async fn records(&self, sql: String, binds: Vec<Value>) -> Result<Vec<Recipient>> {
        self.store
            .read(move |tx| {
                tx.query(&sql, &binds, |row| Ok::<_, Error>(RecipientRow::read(row, 0)?.to_recipient()))
            })
            .await
    }
}

fn segment(filter: &Filter, now_us: i64, dialect: Dialect) -> Relation {
    let mut binds = Vec::new();
    let condition = compile(filter, dialect, now_us, &mut binds);
    // Inside a larger condition PostgreSQL hashes all members of a list for each step of a walk (200 ms against 5 ms).
    let hashed = dialect == Dialect::Postgres && filter.names().next().is_some();
    let select = if hashed { SEGMENT_AS_A_SET } else { OF_RECIPIENTS };
    Relation::new(format!("{select}({condition})"), binds)
}

/// Neighbouring seeds must not give neighbouring recipients: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn spread(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
