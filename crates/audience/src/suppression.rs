//! The suppression list: addresses and domains that are never written to, whoever's they are.
//!
//! Apart from the quarantine, which fills itself from what receivers answer, and from the denylist, which is a person's own
//! wish: spam traps, competitors, a lawyer's letter. Pages show the values to administrators only, others see counts.
//!
//! A domain means that domain, not those below it.

use std::io::{BufRead, BufReader, Read};

use serde::Serialize;
use store::{Lane, Row, Tx, Value, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::limits::{
    CHUNK_ROWS_SQLITE, PAGE_ROWS_MAX, SEARCH_LEN_MAX, SUPPRESSION_FAULTS_MAX, SUPPRESSION_LINE_MAX,
};
use crate::recipient::Address;

/// What a value of the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionKind {
    /// One address.
    Address,
    /// Every address of one domain.
    Domain,
}

impl SuppressionKind {
    /// The word in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            SuppressionKind::Address => "address",
            SuppressionKind::Domain => "domain",
        }
    }
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// The address's key or the domain in IDNA's ASCII form; what a page continues behind.
    pub value: String,
    /// Which of both it is.
    pub kind: SuppressionKind,
    /// Microseconds UTC.
    pub added_at: i64,
}

/// How many entries there are: all that who is no administrator gets to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SuppressionCounts {
    /// Addresses.
    pub addresses: i64,
    /// Domains.
    pub domains: i64,
}

/// What an addition came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SuppressionReport {
    /// Entries that are new.
    pub added: u64,
    /// Entries that were there before.
    pub known: u64,
    /// Lines that are neither an address nor a domain.
    pub rejected: u64,
    /// The first of those: the line's number, from 1, and why.
    pub faults: Vec<(u64, String)>,
}

impl Audience {
    /// Puts addresses and domains (with or without a leading `@`) on the list. What is neither is counted and named in the
    /// report; the rest is added.
    pub async fn suppress(&self, values: Vec<String>, now_us: i64) -> Result<SuppressionReport> {
        let mut report = SuppressionReport::default();
        let mut entries = Vec::with_capacity(values.len().min(CHUNK_ROWS_SQLITE));
        for (line, value) in (1..).zip(&values) {
            read_line(value, line, &mut entries, &mut report);
            if entries.len() == CHUNK_ROWS_SQLITE {
                self.add_suppressed(std::mem::take(&mut entries), now_us, &mut report).await?;
            }
        }
        self.add_suppressed(entries, now_us, &mut report).await?;
        Ok(report)
    }

    /// Puts a file on the list: one address or domain a line (of a CSV file its first cell). Empty lines, lines that begin
    /// with `#` and a heading (`email`, `address`, `domain`) are passed over. Any size in flat memory; what was added before
    /// a failure stays.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn import_suppressed(
        &self,
        source: Box<dyn Read + Send>,
        now_us: i64,
    ) -> Result<SuppressionReport> {
        let (to, mut chunks) = tokio::sync::mpsc::channel::<Vec<Entry>>(1);
        let reader = tokio::task::spawn_blocking(move || {
            let mut report = SuppressionReport::default();
            let read = read_lines(source, &mut report, |entries| to.blocking_send(entries).is_ok());
            read.map(|()| report)
        });
        let mut counted = SuppressionReport::default();
        while let Some(entries) = chunks.recv().await {
            self.add_suppressed(entries, now_us, &mut counted).await?;
        }
        let Ok(read) = reader.await else {
            return Err(Error::File("reading the file ended unexpectedly".to_owned()));
        };
        let read = read?;
        Ok(SuppressionReport { added: counted.added, known: counted.known, ..read })
    }

    /// Entries that can concern somebody: domains, and addresses of recipients or of files' people; those behind the value
    /// `after`, in byte order, at most [`PAGE_ROWS_MAX`]. For the queue, which holds back what is pending for them.
    pub async fn suppressed_people(&self, after: &str) -> Result<Vec<(String, SuppressionKind)>> {
        let sql = "SELECT s.value, s.kind, s.added_at FROM suppression s WHERE s.value > $1 AND (s.kind = 'domain' \
             OR EXISTS (SELECT 1 FROM recipient r WHERE r.email_key = s.value) \
             OR EXISTS (SELECT 1 FROM guest g WHERE g.email_key = s.value)) ORDER BY s.value LIMIT $2";
        let binds = binds![after, PAGE_ROWS_MAX];
        let found = self.store.read(move |tx| tx.query(sql, &binds, read)).await?;
        Ok(found.into_iter().map(|entry| (entry.value, entry.kind)).collect())
    }

    async fn add_suppressed(
        &self,
        entries: Vec<Entry>,
        now_us: i64,
        report: &mut SuppressionReport,
    ) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let all = entries.len() as u64;
        let added = self
            .store
            .write(Lane::Bulk, move |tx| {
                let sql = "INSERT INTO suppression (value, kind, added_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
                let rows = entries.into_iter().map(|(value, kind)| binds![value, kind.name(), now_us]);
                Ok::<_, Error>(tx.execute_many(sql, rows)?)
            })
            .await?;
        report.added += added;
        report.known += all - added;
        Ok(())
    }

    /// Takes entries off the list and returns how many were on it.
    pub async fn unsuppress(&self, values: Vec<String>) -> Result<u64> {
        let keys: Vec<String> =
            values.iter().filter_map(|value| entry(value).ok()).map(|(key, _)| key).collect();
        self.store
            .write(Lane::Urgent, move |tx| {
                let rows = keys.into_iter().map(|key| binds![key]);
                Ok(tx.execute_many("DELETE FROM suppression WHERE value = $1", rows)?)
            })
            .await
    }

    /// How many entries there are.
    pub async fn suppression_counts(&self) -> Result<SuppressionCounts> {
        let sql = "SELECT kind, count(*) FROM suppression GROUP BY kind";
        let rows: Vec<(String, i64)> = self
            .store
            .read(move |tx| tx.query(sql, &[], |row| Ok::<_, Error>((row.text(0)?, row.int(1)?))))
            .await?;
        let count =
            |kind: SuppressionKind| rows.iter().find(|(name, _)| name == kind.name()).map_or(0, |(_, n)| *n);
        Ok(SuppressionCounts {
            addresses: count(SuppressionKind::Address),
            domains: count(SuppressionKind::Domain),
        })
    }

    /// A page of the list, for administrators: the entries of a kind (none: both) that begin with `prefix`, behind the value
    /// `after`, in byte order, at most [`PAGE_ROWS_MAX`].
    pub async fn suppressed_page(
        &self,
        kind: Option<SuppressionKind>,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Suppressed>> {
        let prefix: String = prefix.trim().to_lowercase().chars().filter(|c| !c.is_control()).collect();
        if prefix.len() > SEARCH_LEN_MAX {
            return Err(Error::invalid("text", format!("longer than {SEARCH_LEN_MAX} bytes")));
        }
        let after: String = after.chars().filter(|c| !c.is_control()).collect();
        let mut binds = binds![prefix, after, limit.clamp(1, PAGE_ROWS_MAX)].to_vec();
        let mut sql = "SELECT value, kind, added_at FROM suppression WHERE value >= $1 AND value > $2 \
             AND substr(value, 1, length(CAST($1 AS TEXT))) = $1"
            .to_owned();
        if let Some(kind) = kind {
            binds.push(Value::Text(kind.name().to_owned()));
            sql.push_str(" AND kind = $4");
        }
        sql.push_str(" ORDER BY value LIMIT $3");
        self.store.read(move |tx| tx.query(&sql, &binds, read)).await
    }

    /// Whether an address, or its domain, is on the list.
    pub async fn is_suppressed(&self, email: &str) -> Result<bool> {
        let email = email.to_owned();
        self.store.read(move |tx| contains(tx, &email)).await
    }
}

/// Whether an address, or its domain, is on the list, inside the caller's transaction. An address that is none is not.
///
/// # Errors
/// The database's.
pub fn contains(tx: &mut Tx<'_>, email: &str) -> Result<bool> {
    let Ok(address) = Address::parse(email) else { return Ok(false) };
    let sql = "SELECT 1 FROM suppression WHERE value IN ($1, $2)";
    Ok(tx.query_opt(sql, &binds![address.key, address.domain], |_| Ok::<_, Error>(()))?.is_some())
}

type Entry = (String, SuppressionKind);

/// The stored form of an address or a domain, or why it is none.
fn entry(written: &str) -> std::result::Result<Entry, String> {
    let written = written.trim();
    let domain = written.strip_prefix('@').unwrap_or(written);
    if domain.contains('@') {
        let address = Address::parse(written).map_err(|error| error.to_string())?;
        return Ok((address.key, SuppressionKind::Address));
    }
    // What a domain may be is what stands behind an address's `@`.
    let address = Address::parse(&format!("x@{domain}"));
    match address {
        Ok(address) => Ok((address.domain, SuppressionKind::Domain)),
        Err(_) => Err("neither an address nor a domain".to_owned()),
    }
}

fn read_line(written: &str, line: u64, entries: &mut Vec<Entry>, report: &mut SuppressionReport) {
    let cell = written.split([',', ';', '\t']).next().unwrap_or_default().trim().trim_matches('"').trim();
    let heading =
        line == 1 && ["email", "address", "domain", "e-mail"].contains(&cell.to_lowercase().as_str());
    if cell.is_empty() || cell.starts_with('#') || heading {
        return;
    }
    match entry(cell) {
        Ok(entry) => entries.push(entry),
        Err(why) => {
            report.rejected += 1;
            if report.faults.len() < SUPPRESSION_FAULTS_MAX {
                report.faults.push((line, why));
            }
        }
    }
}

/// Reads the lines of a file and hands entries over in chunks, until `take` wants no more.
fn read_lines(
    source: Box<dyn Read + Send>,
    report: &mut SuppressionReport,
    mut take: impl FnMut(Vec<Entry>) -> bool,
) -> Result<()> {
    let mut source = BufReader::new(source);
    let (mut line, mut entries) = (0, Vec::new());
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = read_bounded(&mut source, &mut bytes).map_err(Error::io("cannot read the file"))?;
        if !read {
            break;
        }
        line += 1;
        let text = String::from_utf8_lossy(&bytes);
        let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        read_line(text, line, &mut entries, report);
        if entries.len() == CHUNK_ROWS_SQLITE && !take(std::mem::take(&mut entries)) {
            return Ok(());
        }
    }
    if !entries.is_empty() {
        take(entries);
    }
    Ok(())
}

/// One line without its end, cut at [`SUPPRESSION_LINE_MAX`]: a file without line ends must not fill the memory. False: the end.
fn read_bounded(source: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut any = false;
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min(SUPPRESSION_LINE_MAX.saturating_sub(line.len()))]);
        let used = part.len() + usize::from(end.is_some());
        source.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

fn read(row: &Row<'_>) -> Result<Suppressed> {
    let kind = match row.str(1)? {
        "domain" => SuppressionKind::Domain,
        _ => SuppressionKind::Address,
    };
    Ok(Suppressed { value: row.text(0)?, kind, added_at: row.int(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_addresses_or_domains() {
        for (written, value, kind) in [
            (" Ann@Shop.Example ", "ann@shop.example", SuppressionKind::Address),
            ("@Shop.Example", "shop.example", SuppressionKind::Domain),
            ("bücher.example", "xn--bcher-kva.example", SuppressionKind::Domain),
        ] {
            assert_eq!(entry(written), Ok((value.to_owned(), kind)), "{written}");
        }
        for written in ["", "@", "a b", "a@b@", "x@"] {
            assert!(entry(written).is_err(), "{written:?}");
        }
    }

    #[test]
    fn lines_are_bounded_and_headings_passed_over() {
        let file = format!(
            "\u{feff}email,why\r\n# traps\n\na@x.example;1\n\"b.example\",2\n{}\nnot one\n",
            "z".repeat(100_000)
        );
        let mut report = SuppressionReport::default();
        let mut found = Vec::new();
        read_lines(Box::new(std::io::Cursor::new(file)), &mut report, |entries| {
            found.extend(entries);
            true
        })
        .unwrap();
        let values: Vec<&str> = found.iter().map(|(value, _)| value.as_str()).collect();
        assert_eq!(values, ["a@x.example", "b.example"]);
        assert_eq!(report.faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [6, 7]);
    }
}
