//! Import of a million rows against the bare database work: a prepared upsert of the same rows (SQLite), or COPY and a
//! merge (PostgreSQL). The bare side gets its rows ready-made: parsing, checking and the list are ours alone.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use store::{Dialect, Lane, Store, Value};

use super::instance::{Instance, bare_store, failed};
use super::measure::{RUNS, Sides, has_postgres, peak_bytes, reset_peak, scaled};
use super::{Bench, runtime};
use crate::output::{Done, Failure, Output};

pub const SQLITE: Bench = Bench {
    name: "import",
    about: "1,000,000 rows into SQLite, beside a bare prepared upsert of the same rows",
    run: |out| run(out, Dialect::Sqlite),
};
pub const POSTGRES: Bench = Bench {
    name: "import-postgres",
    about: "1,000,000 rows into PostgreSQL, beside a bare COPY and merge of the same rows",
    run: |out| if has_postgres() { run(out, Dialect::Postgres) } else { super::skipped(out) },
};

const ROWS: usize = 1_000_000;
/// Rows of one bare transaction.
const CHUNK_ROWS: usize = 10_000;

const TABLE: &str = "CREATE TABLE recipient (id @ID, email TEXT NOT NULL, email_key @KEY NOT NULL UNIQUE, domain @KEY NOT NULL, \
    first_name TEXT NOT NULL, last_name TEXT NOT NULL, language TEXT NOT NULL, time_zone TEXT NOT NULL, country TEXT NOT NULL, \
    city TEXT NOT NULL, email_format TEXT NOT NULL, attributes @JSON NOT NULL, denylisted @INT NOT NULL DEFAULT 0, \
    created_at @INT NOT NULL DEFAULT 0, updated_at @INT NOT NULL DEFAULT 0) @STRICT;\n";
const COLUMNS: [&str; 11] = [
    "email",
    "email_key",
    "domain",
    "first_name",
    "last_name",
    "language",
    "time_zone",
    "country",
    "city",
    "email_format",
    "attributes",
];

fn run(out: &mut Output, dialect: Dialect) -> Done {
    runtime()?.block_on(async {
        let rows = scaled(ROWS);
        let mut sides = Sides::default();
        for _ in 0..RUNS {
            let instance = Instance::new(dialect).await?;
            let file = instance.write_people(rows)?;
            reset_peak();
            let begun = Instant::now();
            let report = instance.import(&file).await?;
            sides.ours(begun.elapsed(), peak_bytes());
            if report.counts.rows() != rows as u64 {
                return Err(Failure::refused(format!(
                    "{} of {rows} rows are accounted for",
                    report.counts.rows()
                )));
            }
            let (store, _dir) = bare_store(dialect).await?;
            sides.bare(bare(&store, &file).await?);
            store.close().await;
            instance.store.close().await;
        }
        sides.print(out, rows, "at least 50 % of the bare rate, memory constant")
    })
}

async fn bare(store: &Store, file: &PathBuf) -> Result<Duration, Failure> {
    let steps: &'static [store::Step] = &[store::Step { number: 1, name: "bare", sql: TABLE }];
    store.migrate(&[store::RoomMigrations { room: "bare", steps }]).await.map_err(failed)?;
    let mut reader = csv::Reader::from_path(file).map_err(failed)?;
    let mut records = reader.records();
    let mut took = Duration::ZERO;
    loop {
        let chunk: Vec<Vec<Value>> =
            records.by_ref().take(CHUNK_ROWS).filter_map(Result::ok).map(|record| values(&record)).collect();
        if chunk.is_empty() {
            return Ok(took);
        }
        let begun = Instant::now();
        store.write(Lane::Bulk, move |tx| upsert(tx, chunk)).await.map_err(failed)?;
        took += begun.elapsed();
    }
}

fn values(record: &csv::StringRecord) -> Vec<Value> {
    let cell = |i: usize| record.get(i).unwrap_or_default().to_owned();
    let email = cell(0);
    let key = email.to_lowercase();
    let domain = key.rsplit('@').next().unwrap_or_default().to_owned();
    let mut row: Vec<Value> = [email, key, domain].into_iter().map(Value::from).collect();
    row.extend((1..7).map(|i| Value::from(cell(i))));
    row.push(Value::from(cell(10)));
    row.push(Value::from(format!(
        "{{\"loyalty_tier\":{:?},\"points\":{:?},\"last_order\":{:?}}}",
        cell(7),
        cell(8),
        cell(9)
    )));
    row
}

fn upsert(tx: &mut store::Tx<'_>, rows: Vec<Vec<Value>>) -> store::Result<u64> {
    let sets: Vec<_> = COLUMNS.iter().skip(2).map(|column| format!("{column} = excluded.{column}")).collect();
    let (columns, sets) = (COLUMNS.join(", "), sets.join(", "));
    match tx.dialect() {
        Dialect::Sqlite => {
            let places: Vec<_> = (1..=COLUMNS.len()).map(|n| format!("${n}")).collect();
            let sql = format!(
                "INSERT INTO recipient ({columns}) VALUES ({}) ON CONFLICT (email_key) DO UPDATE SET {sets}",
                places.join(", ")
            );
            tx.execute_many(&sql, rows)
        }
        Dialect::Postgres => {
            tx.execute(
                "CREATE TEMP TABLE IF NOT EXISTS staging (LIKE recipient INCLUDING DEFAULTS) ON COMMIT DELETE ROWS",
                &[],
            )?;
            tx.execute("ALTER TABLE staging ALTER COLUMN id DROP NOT NULL", &[])?;
            tx.copy_in("staging", &COLUMNS, rows.into_iter())?;
            tx.execute(
                &format!(
                    "INSERT INTO recipient ({columns}) SELECT {columns} FROM staging ON CONFLICT (email_key) DO UPDATE SET {sets}"
                ),
                &[],
            )
        }
    }
}
