//! Values go in and come out as they were, on both.

use store::testing::each;
use store::{Error, Lane, Relation, Row, Store, Tx, Value, binds};

const TABLE: &str = "CREATE TABLE thing (id @ID, n @INT, r @REAL, t TEXT, k @KEY, b @BLOB, j @JSON, flag @INT NOT NULL DEFAULT 0) @STRICT";

async fn with_table(store: &Store) {
    store.write(Lane::Urgent, |tx: &mut Tx<'_>| tx.batch(TABLE)).await.unwrap();
}

#[tokio::test]
async fn every_type_survives() {
    each(|store| async move {
        with_table(&store).await;
        let text = "naïve 日本 'quoted' \"x\" $1 ?";
        let json = r#"{"a": "x", "n": 5, "deep": {"k": [1, 2]}}"#;
        store
            .write(Lane::Urgent, move |tx| {
                let id = tx.insert_id(
                    "INSERT INTO thing (n, r, t, k, b, j, flag) VALUES ($1, $2, $3, $3, $4, $5, $6)",
                    &binds![i64::MIN, 1.5, text, vec![0u8, 255, 7], json, true],
                )?;
                assert_eq!(id, 1);
                tx.query_one("SELECT n, r, t, k, b, j, flag, j->>'a', j->>'n', id FROM thing", &[], |row| {
                    assert_eq!(row.int(0)?, i64::MIN);
                    assert!((row.real(1)? - 1.5).abs() < f64::EPSILON);
                    assert_eq!(row.str(2)?, text);
                    assert_eq!(row.text(3)?, text);
                    assert_eq!(row.blob(4)?, vec![0, 255, 7]);
                    assert!(row.str(5)?.contains("deep"));
                    assert!(row.bool(6)?);
                    assert_eq!(row.text(7)?, "x");
                    assert_eq!(row.text(8)?, "5", "->> gives text on both");
                    assert!(row.int(2).is_err(), "text is no integer");
                    assert!(row.int(17).is_err(), "no such column");
                    Ok::<_, Error>(())
                })
            })
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn nulls_of_every_type() {
    each(|store| async move {
        with_table(&store).await;
        let none = store
            .write(Lane::Urgent, |tx| {
                tx.execute(
                    "INSERT INTO thing (n, r, t, b, j) VALUES ($1, $2, $3, $4, $5)",
                    &binds![None::<i64>, None::<f64>, None::<&str>, None::<Vec<u8>>, Value::Null],
                )?;
                tx.query_one("SELECT n, r, t, b, j FROM thing", &[], |row: &Row<'_>| {
                    Ok::<_, Error>(
                        row.int_opt(0)?.is_none()
                            && row.real_opt(1)?.is_none()
                            && row.text_opt(2)?.is_none()
                            && row.blob_opt(3)?.is_none()
                            && row.text_opt(4)?.is_none()
                            && row.int(0).is_err()
                            && row.value(2)? == Value::Null,
                    )
                })
            })
            .await
            .unwrap();
        assert!(none);
    })
    .await;
}

#[tokio::test]
async fn sums_counts_and_comparisons_read_as_integers() {
    each(|store| async move {
        with_table(&store).await;
        store
            .write(Lane::Bulk, |tx| {
                for n in 1..=4i64 {
                    tx.execute("INSERT INTO thing (n, r) VALUES ($1, $2)", &binds![n * 1_000_000_000, n])?;
                }
                tx.query_one(
                    "SELECT sum(n), count(*), max(n), coalesce(sum(r), 0), CAST($1 AS BIGINT), avg(n) FROM thing WHERE n > $2",
                    &binds![7, 1_000_000_000i64],
                    |row| {
                        assert_eq!(row.int(0)?, 9_000_000_000);
                        assert_eq!(row.int(1)?, 3);
                        assert_eq!(row.int(2)?, 4_000_000_000);
                        assert!((row.real(3)? - 9.0).abs() < 1e-9);
                        assert_eq!(row.int(4)?, 7);
                        assert!((row.real(5)? - 3e9).abs() < 1e-3);
                        Ok::<_, Error>(())
                    },
                )
            })
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn parameters_keep_their_numbers_in_any_order() {
    each(|store| async move {
        let found = store
            .read(|tx| {
                tx.query_one(
                    "SELECT CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT), '$1'",
                    &binds!["one", "two"],
                    |row| Ok::<_, Error>([row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?]),
                )
            })
            .await
            .unwrap();
        assert_eq!(found, ["two", "one", "two", "$1"]);
        let missing = store
            .read(|tx| {
                tx.query("SELECT CAST($1 AS TEXT), CAST($2 AS TEXT)", &binds!["one"], |row| row.text(0))
            })
            .await;
        assert!(matches!(missing, Err(Error::Type(_))), "{missing:?}");
    })
    .await;
}

#[tokio::test]
async fn relations_join_across_rooms() {
    each(|store| async move {
        with_table(&store).await;
        let sums = store
            .write(Lane::Bulk, |tx| {
                for n in 0..20i64 {
                    tx.execute(
                        "INSERT INTO thing (n, t) VALUES ($1, $2)",
                        &binds![n, format!("t{}", n % 2)],
                    )?;
                }
                let even = Relation::new("SELECT id FROM thing WHERE t = $1 AND n < $2", binds!["t0", 10]);
                let small = Relation::new("SELECT id FROM thing WHERE n < $1 AND t <> '$1'", binds![6]);
                let mut binds = binds![100];
                let sql = format!(
                    "SELECT sum(n + $1) FROM thing WHERE id IN ({}) AND id NOT IN ({})",
                    even.splice(&mut binds),
                    small.splice(&mut binds)
                );
                assert_eq!(binds.len(), 4);
                tx.query_one(&sql, &binds, |row| row.int(0))
            })
            .await
            .unwrap();
        assert_eq!(sums, 6 + 8 + 200);
    })
    .await;
}

#[tokio::test]
async fn keys_compare_by_octets() {
    each(|store| async move {
        with_table(&store).await;
        let order = store
            .write(Lane::Bulk, |tx| {
                for key in ["b", "A", "a", "é", "Z", "_"] {
                    tx.execute("INSERT INTO thing (k) VALUES ($1)", &binds![key])?;
                }
                tx.query("SELECT k FROM thing ORDER BY k", &[], |row| row.text(0))
            })
            .await
            .unwrap();
        assert_eq!(order, ["A", "Z", "_", "a", "b", "é"]);
    })
    .await;
}

#[tokio::test]
async fn ids_are_never_given_again() {
    each(|store| async move {
        with_table(&store).await;
        let next = store
            .write(Lane::Bulk, |tx| {
                let last = tx.insert_id("INSERT INTO thing (n) VALUES (1)", &[])?;
                tx.execute("DELETE FROM thing", &[])?;
                Ok::<_, Error>(tx.insert_id("INSERT INTO thing (n) VALUES (1)", &[])? - last)
            })
            .await
            .unwrap();
        assert_eq!(next, 1);
    })
    .await;
}
