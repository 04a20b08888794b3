//! Many rows: streaming, pipelines and copies.

use store::testing::each;
use store::{Error, Lane, Row, Store, Tx, Value, binds};

const ROWS: i64 = 30_000;

async fn with_rows(store: &Store) {
    let ddl = "CREATE TABLE bulk (id @INT PRIMARY KEY, t TEXT, j @JSON, b @BLOB, r @REAL) @STRICT";
    let written = store
        .write(Lane::Bulk, move |tx: &mut Tx<'_>| {
            tx.batch(ddl)?;
            let row = |n: i64| {
                binds![n, format!("text {n}\t\\\n'"), Some(r#"{"k": 1}"#), vec![0u8; 8], Value::Null]
            };
            tx.copy_in("bulk", &["id", "t", "j", "b", "r"], (0..ROWS).map(row))
        })
        .await
        .unwrap();
    assert_eq!(written, u64::try_from(ROWS).unwrap());
}

#[tokio::test]
async fn copy_in_and_stream_out() {
    each(|store| async move {
        with_rows(&store).await;
        let sum = store
            .read(|tx| {
                let mut sum = 0;
                tx.query_each("SELECT id, t, j->>'k', b FROM bulk ORDER BY id", &[], |row: &Row<'_>| {
                    let n = row.int(0)?;
                    assert_eq!(row.str(1)?, format!("text {n}\t\\\n'"));
                    assert_eq!(row.text(2)?, "1");
                    sum += n;
                    Ok::<_, Error>(())
                })?;
                Ok::<_, Error>(sum)
            })
            .await
            .unwrap();
        assert_eq!(sum, ROWS * (ROWS - 1) / 2);
    })
    .await;
}

#[tokio::test]
async fn a_visitor_can_end_a_stream_and_the_transaction_goes_on() {
    each(|store| async move {
        with_rows(&store).await;
        let left = store
            .write(Lane::Bulk, |tx| {
                let mut seen = 0;
                let stopped = tx.query_each("SELECT id FROM bulk ORDER BY id", &[], |row| {
                    seen += 1;
                    if row.int(0)? == 10 { Err(Error::NoRow) } else { Ok(()) }
                });
                assert!(matches!(stopped, Err(Error::NoRow)));
                assert_eq!(seen, 11);
                tx.execute("DELETE FROM bulk WHERE id < $1", &binds![10])
            })
            .await
            .unwrap();
        assert_eq!(left, 10);
    })
    .await;
}

#[tokio::test]
async fn execute_many_counts_rows_and_rolls_back_whole() {
    each(|store| async move {
        with_rows(&store).await;
        let changed = store
            .write(Lane::Bulk, |tx| {
                let rows = (0..1_000i64).map(|n| binds![n, format!("new {n}")]);
                tx.execute_many("UPDATE bulk SET t = $2 WHERE id = $1", rows)
            })
            .await
            .unwrap();
        assert_eq!(changed, 1_000);
        let clash = store
            .write(Lane::Bulk, |tx| {
                let rows: Vec<Vec<Value>> = (ROWS..ROWS + 600).chain([5]).map(|n| binds![n]).collect();
                tx.execute_many("INSERT INTO bulk (id) VALUES ($1)", rows)
            })
            .await;
        assert!(clash.is_err_and(|e| e.is_unique()));
        let count = store.read(|tx| tx.query_one("SELECT count(*) FROM bulk", &[], |row| row.int(0))).await;
        assert_eq!(count.unwrap(), ROWS);
    })
    .await;
}

#[tokio::test]
async fn copies_into_temporary_tables_and_broken_copies() {
    each(|store| async move {
        with_rows(&store).await;
        for _ in 0..2 {
            let merged = store
                .write(Lane::Bulk, |tx| {
                    tx.batch("CREATE TEMPORARY TABLE stage (id @INT, t TEXT)")?;
                    tx.copy_in(
                        "stage",
                        &["id", "t"],
                        (0..5_000i64).map(|n| binds![n + ROWS - 100, "merged"]),
                    )?;
                    let merged = tx.execute(
                        "INSERT INTO bulk (id, t) SELECT id, t FROM stage WHERE true \
                         ON CONFLICT (id) DO UPDATE SET t = excluded.t",
                        &[],
                    )?;
                    tx.batch("DROP TABLE stage")?;
                    Ok::<_, Error>(merged)
                })
                .await
                .unwrap();
            assert_eq!(merged, 5_000);
        }
        let broken =
            store.write(Lane::Bulk, |tx| tx.copy_in("bulk", &["id"], (0..100i64).map(|n| binds![n]))).await;
        assert!(broken.is_err_and(|e| e.is_unique()));
        let odd = store.write(Lane::Bulk, |tx| tx.copy_in("bulk", &["id"], std::iter::once(binds![]))).await;
        assert!(odd.is_err());
        store.write(Lane::Bulk, |tx| tx.execute("DELETE FROM bulk", &[])).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn lists_travel_as_one_parameter() {
    each(|store| async move {
        with_rows(&store).await;
        let found = store
            .read(|tx| {
                let sql = match tx.dialect() {
                    store::Dialect::Sqlite => {
                        "SELECT count(*) FROM bulk WHERE id IN (SELECT value FROM json_each($1))"
                    }
                    store::Dialect::Postgres => "SELECT count(*) FROM bulk WHERE id = ANY($1)",
                };
                tx.query_one(sql, &binds![vec![1i64, 5, ROWS * 2]], |row| row.int(0))
            })
            .await
            .unwrap();
        assert_eq!(found, 2);
    })
    .await;
}

#[tokio::test]
async fn arrays_unnest_on_postgres() {
    store::testing::postgres(|store| async move {
        with_rows(&store).await;
        let changed = store
            .write(Lane::Urgent, |tx| {
                tx.execute(
                    "INSERT INTO bulk (id, t, j, b) SELECT * FROM unnest($1::bigint[], $2::text[], $3::jsonb[], $4::bytea[])",
                    &binds![
                        vec![ROWS, ROWS + 1],
                        vec![Some("a".to_string()), None],
                        vec![Some("{}".to_string()), None],
                        vec![Some(vec![1u8]), None]
                    ],
                )
            })
            .await
            .unwrap();
        assert_eq!(changed, 2);
    })
    .await;
}
