//! Files with every fault, on both databases.

use std::io::Read;

use audience::{Audience, Counts, Error, ImportState, Phase, Reject, Search};
use store::testing::each;

use crate::{NOW, options, room, source};

async fn rejects(room: &Audience, import: i64) -> Vec<(u64, String)> {
    let all = room.rejects(import, 0, 1_000).await.unwrap();
    all.into_iter().map(|Reject { line, reason, .. }| (line, reason)).collect()
}

fn counts(created: u64, updated: u64, unchanged: u64, rejected: u64) -> Counts {
    Counts { created, updated, unchanged, rejected }
}

const PEOPLE: &str = "email,First Name,timezone,Points\r\n\
    a@x.example,Ann,Europe/Paris,1\r\n\
    \" B@X.example \",\"two\nlines\",,2\r\n\
    \r\n\
    broken.x.example,x,,3\r\n\
    A@x.example,Again,,4\r\n\
    c@-bad-.example.,x,,5\r\n\
    d@x.example,=HYPERLINK(1),,\"a,b\"\r\n\
    e@x.example,x\r\n\
    b@x.example,x,,6\r\n";

#[tokio::test]
async fn every_row_is_accounted_for() {
    each(|store| async {
        let room = room(store).await;
        let report = room.import(source(PEOPLE), options("people"), NOW).await.unwrap();
        assert_eq!((report.state, report.counts), (ImportState::Finished, counts(3, 0, 0, 5)));
        let rejects = rejects(&room, report.id).await;
        let lines: Vec<u64> = rejects.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [6, 7, 8, 10, 11]);
        assert_eq!(rejects[1].1, "duplicate of line 2");
        assert_eq!(rejects[4].1, "duplicate of line 3");
        assert!(rejects[0].1.contains("no @"), "{}", rejects[0].1);

        let b = room.recipient_by_address("b@x.example").await.unwrap().unwrap();
        assert_eq!(
            (b.email.as_str(), b.first_name.as_str(), b.attributes["Points"].as_str()),
            ("B@X.example", "two lines", "2")
        );
        let d = room.recipient_by_address("d@x.example").await.unwrap().unwrap();
        assert_eq!((d.first_name.as_str(), d.attributes["Points"].as_str()), ("=HYPERLINK(1)", "a,b"));
        let list = room.list_by_name("people").await.unwrap().unwrap();
        assert_eq!(list.members, 3);
        let record = room.import_record(report.id).await.unwrap().unwrap();
        assert_eq!(
            (record.counts, record.state, record.list),
            (report.counts, ImportState::Finished, Some(list.id))
        );

        let csv = String::from_utf8(room.write_rejects(report.id, Vec::new()).await.unwrap()).unwrap();
        assert_eq!(csv.lines().count(), 6, "{csv}");
        assert!(csv.contains("7,duplicate of line 2,\"A@x.example,Again,,4\"\n"), "{csv}");

        let again = room.import(source(PEOPLE), options("people"), NOW + 9).await.unwrap();
        assert_eq!(again.counts, counts(0, 0, 3, 5));
        assert_eq!(room.recipient(b.id).await.unwrap().unwrap(), b, "unchanged rows keep their time");
    })
    .await;
}

#[tokio::test]
async fn a_file_sets_only_its_own_columns() {
    each(|store| async {
        let room = room(store).await;
        room.import(source("email;city;a;b\nx@x.example;Paris;1;2\n"), options("l"), NOW).await.unwrap();
        let mut dry = options("other");
        dry.dry_run = true;
        let file = "email;b;c\nX@x.example;2;\nnew@x.example;;\nnew@x.example;;\n";
        let report = room.import(source(file), dry, NOW).await.unwrap();
        assert_eq!(report.counts, counts(1, 1, 0, 1));
        assert!(room.list_by_name("other").await.unwrap().is_none());
        assert_eq!(room.recipient_count().await.unwrap(), 1);
        assert_eq!(rejects(&room, report.id).await.len(), 1);

        let report = room.import(source(file), options("other"), NOW + 1).await.unwrap();
        assert_eq!(report.counts, counts(1, 1, 0, 1), "a dry run says what the run then does");
        let x = room.recipient_by_address("x@x.example").await.unwrap().unwrap();
        assert_eq!(
            (x.email.as_str(), x.city.as_str(), x.created_at, x.updated_at),
            ("X@x.example", "Paris", NOW, NOW + 1)
        );
        assert_eq!(x.attributes.values().collect::<Vec<_>>(), ["1", "2", ""]);
        let report =
            room.import(source("email,b\nx@x.example,2\nX@x.example,3\n"), options("l"), NOW).await.unwrap();
        assert_eq!(report.counts, counts(0, 1, 0, 1), "the spelling of the address is data, too");
        let members =
            room.search(Search { list: report_list(&room, "other").await, limit: 9, ..Search::default() });
        assert_eq!(members.await.unwrap().recipients.len(), 2);
    })
    .await;
}

async fn report_list(room: &Audience, name: &str) -> Option<i64> {
    room.list_by_name(name).await.unwrap().map(|list| list.id)
}

#[tokio::test]
async fn columns_are_mapped() {
    each(|store| async {
        let room = room(store).await;
        let mut asked = options("l");
        asked.mapping = [("Mail", "email"), ("Tel", ""), ("Ort", "city"), ("Stufe", "tier")]
            .map(|(a, b)| (a.into(), b.into()))
            .into();
        let file = "Mail\tTel\tOrt\tStufe\na@x.example\t1\tKöln\tgold\n";
        room.import(source(file), asked.clone(), NOW).await.unwrap();
        let a = room.recipient_by_address("a@x.example").await.unwrap().unwrap();
        assert_eq!((a.city.as_str(), a.attributes.len(), a.attributes["tier"].as_str()), ("Köln", 1, "gold"));
        let refused = room.import(source("email\na@x.example\n"), asked, NOW).await;
        assert!(matches!(refused, Err(Error::File(why)) if why.contains("\"Mail\"")));
        for (file, part) in
            [("", "empty"), ("name\nx\n", "no column is the address"), ("email,email\n", "same field")]
        {
            let refused = room.import(source(file), options("l"), NOW).await.unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
        let failed = &room.imports(None, 1).await.unwrap()[0];
        assert_eq!(failed.state, ImportState::Failed);
        assert!(failed.error.contains("same field"));
    })
    .await;
}

#[tokio::test]
async fn encodings_are_read_and_malformed_rows_rejected() {
    each(|store| async {
        let room = room(store).await;
        let mut shift_jis = b"email,first_name\na@x.example,".to_vec();
        shift_jis.extend(b"\x8d\x82\x96\xd8\nb@x.example,\x81\nc@x.example,\x95\x5c\n");
        let mut asked = options("l");
        asked.encoding = Some("shift_jis".into());
        let report = room.import(source(shift_jis), asked, NOW).await.unwrap();
        assert_eq!(report.counts, counts(2, 0, 0, 1));
        assert_eq!(rejects(&room, report.id).await[0].0, 3);
        assert_eq!(room.recipient_by_address("a@x.example").await.unwrap().unwrap().first_name, "高木");

        let report = room.import(source("\u{feff}email\nd@x.example\n"), options("l"), NOW).await.unwrap();
        assert_eq!(report.counts, counts(1, 0, 0, 0));
        let mut latin = options("l");
        latin.encoding = Some("latin-1".into());
        let file = b"email,first_name\ne@x.example,Zo\xeb\nf@x.example,\xe9t\xe9 NUL:\0\n";
        let report = room.import(source(file.as_slice()), latin, NOW).await.unwrap();
        assert_eq!(report.counts, counts(1, 0, 0, 1));
        assert_eq!(room.recipient_by_address("e@x.example").await.unwrap().unwrap().first_name, "Zoë");
        // The same bytes as UTF-8: the rows are rejected, each with a hint.
        let report = room.import(source(file.as_slice()), options("l"), NOW).await.unwrap();
        assert_eq!(report.counts, counts(0, 0, 0, 2));
        assert!(rejects(&room, report.id).await[0].1.contains("another encoding"));
        let mut unknown = options("l");
        unknown.encoding = Some("klingon".into());
        assert!(
            room.import(source("email\n"), unknown, NOW).await.unwrap_err().to_string().contains("klingon")
        );
    })
    .await;
}

#[tokio::test]
async fn a_huge_field_rejects_its_row_and_no_other() {
    store::testing::sqlite(|store| async {
        let room = room(store).await;
        let huge = std::io::repeat(b'x').take(100 * 1_024 * 1_024);
        let file = std::io::Cursor::new("email,a\na@x.example,1\nb@x.example,")
            .chain(huge)
            .chain(std::io::Cursor::new("\nc@x.example,3\n"));
        let report = room.import(Box::new(file), options("l"), NOW).await.unwrap();
        assert_eq!(report.counts, counts(2, 0, 0, 1));
        let rejects = room.rejects(report.id, 0, 9).await.unwrap();
        assert_eq!((rejects[0].line, rejects[0].reason.contains("262144")), (3, true));
        assert!(rejects[0].raw.len() < 3_000 && rejects[0].raw.starts_with("b@x.example"));
    })
    .await;
}

/// A file without an end: what can be had of it is a matter of when the import is stopped.
struct Endless {
    row: u64,
    left: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.left.is_empty() {
            let text =
                if self.row == 0 { "email\n".to_owned() } else { format!("r{}@x.example\n", self.row) };
            self.row += 1;
            self.left = text.into_bytes();
        }
        let n = self.left.len().min(to.len());
        to[..n].copy_from_slice(&self.left[..n]);
        self.left.drain(..n);
        Ok(n)
    }
}

#[tokio::test]
async fn an_import_can_be_watched_and_cancelled() {
    each(|store| async {
        let room = room(store).await;
        let endless = Box::new(Endless { row: 0, left: Vec::new() });
        let run = room.prepare_import(endless, options("l"), NOW).await.unwrap();
        let (control, id) = (run.control(), run.id());
        let mut watch = control.subscribe();
        let task = tokio::spawn(run.run());
        while watch.borrow_and_update().rows_read < 2_000 {
            watch.changed().await.unwrap();
        }
        assert_eq!(room.import_record(id).await.unwrap().unwrap().state, ImportState::Running);
        control.cancel();
        let report = task.await.unwrap().unwrap();
        assert_eq!((report.state, control.progress().phase), (ImportState::Cancelled, Phase::Done));
        assert_eq!(room.import_record(id).await.unwrap().unwrap().state, ImportState::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn an_import_that_a_crash_ended_can_be_run_again() {
    each(|store| async {
        let room = room(store).await;
        let lost = room.prepare_import(source("email\n"), options("l"), NOW).await.unwrap().id();
        let again = Audience::new(room.store().clone());
        assert_eq!(again.mark_interrupted_imports(NOW + 1).await.unwrap(), 1);
        assert_eq!(again.import_record(lost).await.unwrap().unwrap().state, ImportState::Interrupted);
        assert_eq!(again.import(source(PEOPLE), options("l"), NOW).await.unwrap().counts.rows(), 8);
        assert!(again.delete_import(lost).await.unwrap());
        assert!(!again.delete_import(lost).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_source_that_breaks_is_a_clear_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the line was cut"))
        }
    }
    each(|store| async {
        let room = room(store).await;
        let file = std::io::Cursor::new("email\na@x.example\n").chain(Broken);
        let error = room.import(Box::new(file), options("l"), NOW).await.unwrap_err();
        assert!(error.to_string().contains("the line was cut"), "{error}");
        assert_eq!(room.imports(None, 1).await.unwrap()[0].state, ImportState::Failed);
    })
    .await;
}

#[tokio::test]
async fn a_small_file_meets_a_large_audience() {
    each(|store| async {
        let room = room(store).await;
        let many: String = (0..60).map(|i| format!("r{i:02}@x.example,{i}\n")).collect();
        room.import(source(format!("email,n\n{many}")), options("l"), NOW).await.unwrap();
        // Many recipients lie between the rows of this file.
        let few = "email,n\nr59@x.example,59\nr00@x.example,0\nr30@x.example,x\nr30b@x.example,new\nzz@x.example,new\n";
        let mut dry = options("l");
        dry.dry_run = true;
        let expected = counts(2, 1, 2, 0);
        assert_eq!(room.import(source(few), dry, NOW).await.unwrap().counts, expected);
        assert_eq!(room.import(source(few), options("l"), NOW).await.unwrap().counts, expected);
        assert_eq!(room.recipient_by_address("r30@x.example").await.unwrap().unwrap().attributes["n"], "x");
        // An id that was given and deleted is not given again by an import either.
        let last = room.recipient_by_address("zz@x.example").await.unwrap().unwrap().id;
        room.delete_recipients(vec![last]).await.unwrap();
        room.import(source("email\nzz@x.example\n"), options("l"), NOW).await.unwrap();
        assert!(room.recipient_by_address("zz@x.example").await.unwrap().unwrap().id > last);
        let page = room.search(Search { list: report_list(&room, "l").await, limit: 99, ..Search::default() });
        assert_eq!(page.await.unwrap().recipients.len(), 62);
    })
    .await;
}
