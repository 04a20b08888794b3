//! The generator of recipients, with its faults: every row is accounted for, in each encoding.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use audience::ImportState;
use store::testing::each;

use crate::{NOW, options, room, source};

const ROWS: u64 = 20_000;

/// The folder with `recipients.py`: `MAILWRIGHT_CORPUS`, or beside the workspace. Without it these tests have nothing to read.
fn generator() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("MAILWRIGHT_CORPUS").map_or(beside, PathBuf::from);
    Some(folder.join("recipients.py")).filter(|file| file.exists())
}

fn generate(script: &PathBuf, encoding: &str) -> Vec<u8> {
    let out = Command::new("python3")
        .arg(script)
        .args([&ROWS.to_string(), "--dirty", "3", "--encoding", encoding])
        .output()
        .expect("python3 runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_imports_completely() {
    let Some(script) = generator() else { return };
    each(|store| async {
        let room = room(store).await;
        let mut first = None;
        for (encoding, named) in [("utf-8", None), ("utf-8-sig", None), ("shift_jis", Some("shift_jis"))] {
            let file = generate(&script, encoding);
            let mut asked = options("corpus");
            asked.encoding = named.map(str::to_owned);
            let report = room.import(source(file), asked, NOW).await.unwrap();
            assert_eq!((report.state, report.counts.rows()), (ImportState::Finished, ROWS), "{encoding}");
            let rejects = all_rejects(&room, report.id).await;
            assert_eq!(rejects.len() as u64, report.counts.rejected);
            match first {
                None => {
                    assert_eq!(report.counts.created, ROWS - report.counts.rejected);
                    check_reasons(&rejects, report.counts.rejected);
                    first = Some(report.counts);
                }
                Some(first) if encoding == "utf-8-sig" => {
                    assert_eq!(
                        (report.counts.unchanged, report.counts.rejected),
                        (first.created, first.rejected)
                    );
                }
                // Shift_JIS has no ë: those rows changed to question marks.
                Some(first) => {
                    assert_eq!(report.counts.rejected, first.rejected);
                    assert!(report.counts.updated > 0 && report.counts.created == 0);
                }
            }
        }
        let created = first.unwrap().created;
        let list = room.list_by_name("corpus").await.unwrap().unwrap();
        assert_eq!(u64::try_from(list.members).unwrap(), created);
    })
    .await;
}

async fn all_rejects(room: &audience::Audience, import: i64) -> Vec<audience::Reject> {
    let mut all: Vec<audience::Reject> = Vec::new();
    loop {
        let page = room.rejects(import, all.last().map_or(0, |r| r.line), 100).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Three of the generator's eight faults cannot be taken: no @, a duplicate, a broken domain.
fn check_reasons(rejects: &[audience::Reject], rejected: u64) {
    let mut reasons: HashMap<&str, u64> = HashMap::new();
    for reject in rejects {
        let reason = if reject.reason.starts_with("duplicate of line ") {
            "duplicate"
        } else {
            reject.reason.as_str()
        };
        *reasons.entry(reason).or_default() += 1;
    }
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    let expected = ROWS * 3 / 100 * 3 / 8;
    assert!(rejected > expected * 7 / 10 && rejected < expected * 13 / 10, "{rejected} of about {expected}");
}
