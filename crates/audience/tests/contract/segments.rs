//! Segments: kept, counted, and the same on SQLite, on PostgreSQL and in Rust.

use std::collections::BTreeSet;

use audience::{Error, Filter, NewRecipient, Recipient};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use store::testing::each;

use crate::{NOW, room};

#[tokio::test]
async fn segments_are_kept() {
    each(|store| async {
        let room = room(store).await;
        let filter = Filter::parse(&json!({"field": "country", "op": "eq", "value": "de"})).unwrap();
        let id = room.create_segment("germans", &filter, NOW).await.unwrap();
        assert!(matches!(room.create_segment("germans", &filter, NOW).await, Err(Error::Exists { .. })));
        for (email, country) in [("a@x.example", "DE"), ("b@x.example", "FR"), ("c@x.example", "de")] {
            let new =
                NewRecipient { email: email.into(), country: country.into(), ..NewRecipient::default() };
            room.create_recipient(new, NOW).await.unwrap();
        }
        let segment = room.segment_by_name("germans").await.unwrap().unwrap();
        assert_eq!(segment.filter, filter);
        assert_eq!(room.count_segment(&segment.filter, NOW).await.unwrap(), 2);
        assert_eq!(room.preview_segment(&segment.filter, NOW, 1).await.unwrap()[0].email, "a@x.example");
        let other = Filter::parse(&json!({"not": filter})).unwrap();
        room.update_segment(id, "others", &other, NOW + 1).await.unwrap();
        assert_eq!(
            room.count_segment(&room.segment(id).await.unwrap().unwrap().filter, NOW).await.unwrap(),
            1
        );
        assert_eq!(room.segments().await.unwrap().len(), 1);
        assert!(room.delete_segment(id).await.unwrap());
        assert!(matches!(room.update_segment(id, "x", &other, NOW).await, Err(Error::NotFound("segment"))));
    })
    .await;
}

fn filter(json: Value) -> Filter {
    Filter::parse(&json).unwrap()
}

#[tokio::test]
async fn segments_name_segments() {
    each(|store| async {
        let room = room(store).await;
        let list = room.create_list("members", NOW).await.unwrap();
        for (email, country) in [("a@x.example", "DE"), ("b@x.example", "FR"), ("c@x.example", "DE")] {
            let new =
                NewRecipient { email: email.into(), country: country.into(), ..NewRecipient::default() };
            let made = room.create_recipient(new, NOW).await.unwrap();
            if email.starts_with(['a', 'b']) {
                room.add_to_list(list, vec![made.id]).await.unwrap();
            }
        }
        let german = filter(json!({"field": "country", "op": "eq", "value": "DE"}));
        let german_id = room.create_segment("german", &german, NOW).await.unwrap();
        let both = filter(json!({"and": [{"in_segment": "german"}, {"in_list": "members"}]}));
        room.create_segment("german members", &both, NOW).await.unwrap();
        let rest = filter(json!({"not": {"in_segment": "german members"}}));
        let rest_id = room.create_segment("rest", &rest, NOW).await.unwrap();
        let emails = async |filter: &Filter| {
            let found = room.preview_segment(filter, NOW, 9).await.unwrap();
            found.into_iter().map(|r| r.email[..1].to_owned()).collect::<String>()
        };
        assert_eq!((emails(&both).await, emails(&rest).await), ("a".into(), "bc".into()));

        // A ring is refused wherever it is closed, by all its names.
        let ring = filter(json!({"or": [{"in_segment": "rest"}, {"field": "city", "op": "is_set"}]}));
        let refused = room.update_segment(german_id, "german", &ring, NOW).await.unwrap_err().to_string();
        for name in ["\"german\" -> ", "\"rest\" -> ", "\"german members\" -> \"german\""] {
            assert!(refused.contains(name), "{refused}");
        }
        assert_eq!(room.segment(german_id).await.unwrap().unwrap().filter, german, "nothing changed");
        let itself = room.create_segment("me", &filter(json!({"in_segment": "me"})), NOW).await;
        assert!(itself.unwrap_err().to_string().contains("ring"));
        for (json, words) in [
            (json!({"in_segment": "none"}), "the segment \"none\""),
            (json!({"in_list": "none"}), "the list \"none\""),
        ] {
            let refused = room.create_segment("x", &filter(json), NOW).await.unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("does not exist"), "{refused}");
        }

        // Names follow what they name.
        room.update_segment(german_id, "deutsch", &german, NOW).await.unwrap();
        room.rename_list(list, "club").await.unwrap();
        assert_eq!(emails(&filter(json!({"in_segment": "german members"}))).await, "a");
        assert_eq!(room.segments_naming(audience::Named::List("club")).await.unwrap(), ["german members"]);
        assert_eq!(room.segments_naming(audience::Named::Segment("german members")).await.unwrap(), ["rest"]);

        // What is gone is said by its name and by who names it.
        assert!(room.delete_segment(german_id).await.unwrap());
        let refused = room.count_segment(&room.segment(rest_id).await.unwrap().unwrap().filter, NOW).await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("the segment \"deutsch\"") && refused.contains("\"german members\" names it"),
            "{refused}"
        );
        room.create_segment("deutsch", &german, NOW).await.unwrap();
        room.delete_list(list).await.unwrap();
        let refused = room.count_segment(&rest, NOW).await.unwrap_err().to_string();
        assert!(refused.contains("the list \"club\""), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn segments_of_segments_stay_bounded() {
    each(|store| async {
        let room = room(store).await;
        let leaf = json!({"field": "city", "op": "is_set"});
        room.create_segment("s0", &filter(json!({"and": vec![leaf; 150]})), NOW).await.unwrap();
        let twice = |n: usize| json!({"or": [{"in_segment": format!("s{n}")}, {"not": {"in_segment": format!("s{n}")}}]});
        room.create_segment("s1", &filter(twice(0)), NOW).await.unwrap();
        room.create_segment("s2", &filter(twice(1)), NOW).await.unwrap();
        assert_eq!(room.count_segment(&filter(json!({"in_segment": "s2"})), NOW).await.unwrap(), 0, "600 terms are a statement");
        let refused = room.create_segment("s3", &filter(twice(2)), NOW).await.unwrap_err().to_string();
        assert!(refused.contains("800"), "{refused}");
    })
    .await;
}

/// Texts at the edges of what is a number, a date, or neither.
const TEXTS: [&str; 42] = [
    "",
    "0",
    "-0",
    "7",
    "07",
    "007",
    "-7",
    "7.0",
    "7.5",
    "-7.5",
    ".5",
    "5.",
    "1e3",
    "+1",
    "--1",
    "1-2",
    "-",
    "-01",
    "10",
    "9",
    "123456789012345",
    "1234567890123456",
    "-123456789012345",
    "abc",
    "ABC",
    "Abcd",
    "zabc",
    "É",
    "é",
    "東京",
    "%",
    "_",
    "[a]*",
    "2026-10-01",
    "2026-09-30T23:59:59Z",
    "2026-09-01",
    "2026-10-01 09:30:00",
    "2026-10-05",
    "2026-13-99",
    "20261001",
    "2026-10-0x",
    "1.2.3",
];

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::from),
        2 => (-10i64..20).prop_map(Value::from),
        1 => prop::sample::select(vec![7.5f64, -7.5, 0.25]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
    ]
}

fn moment() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("2026-10-01"),
        json!("2026-09-30T23:59:59Z"),
        json!("2026-10-01T09:30:00"),
        json!({"ago": "0d"}),
        json!({"ago": "30d"}),
        json!({"ago": "10h"}),
        json!({"ahead": "4d"}),
    ])
}

fn condition() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec!["city", "a", "b", "email", "domain"]);
    let compare = prop::sample::select(vec!["eq", "ne", "lt", "le", "gt", "ge"]);
    let part = prop::sample::select(vec!["contains", "starts_with", "ends_with"]);
    let date = prop::sample::select(vec!["before", "after"]);
    let span = prop::sample::select(vec!["within_last", "not_within_last", "within_next"]);
    let duration = prop::sample::select(vec!["0d", "1d", "30d", "10h", "90s", "4", "1y"]);
    let time = prop::sample::select(vec!["created_at", "updated_at"]);
    let flag = (prop::sample::select(vec!["eq", "ne"]), any::<bool>());
    let condition = |field: &str, op: &str, value: Value| json!({"field": field, "op": op, "value": value});
    prop_oneof![
        4 => (field.clone(), compare, scalar()).prop_map(move |(f, op, v)| condition(f, op, v)),
        2 => (field.clone(), part, text()).prop_filter("not empty", |(_, _, t)| !t.is_empty())
            .prop_map(move |(f, op, t)| condition(f, op, t.into())),
        2 => (field.clone(), prop::collection::vec(scalar(), 0..4)).prop_map(move |(f, v)| condition(f, "in", v.into())),
        1 => (field.clone(), prop::sample::select(vec!["is_empty", "is_set"]))
            .prop_map(|(f, op)| json!({"field": f, "op": op})),
        2 => (field.clone(), date.clone(), moment()).prop_map(move |(f, op, v)| condition(f, op, v)),
        2 => (field, span.clone(), duration.clone()).prop_map(move |(f, op, d)| condition(f, op, d.into())),
        1 => (time.clone(), date, moment()).prop_map(move |(f, op, v)| condition(f, op, v)),
        1 => (time, span, duration).prop_map(move |(f, op, d)| condition(f, op, d.into())),
        1 => flag.prop_map(move |(op, v)| condition("denylisted", op, v.into())),
        1 => prop::sample::select(vec!["members", "nobody"]).prop_map(|name| json!({"in_list": name})),
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    condition().prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|parts| json!({"and": parts})),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|parts| json!({"or": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

/// Always the same trees and rows: a failure can be looked at.
fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

#[tokio::test]
async fn one_filter_has_one_meaning() {
    each(|store| async {
        let room = room(store).await;
        let mut runner = runner();
        let list = room.create_list("members", NOW).await.unwrap();
        room.create_list("nobody", NOW).await.unwrap();
        let mut people: Vec<Recipient> = Vec::new();
        let mut members = BTreeSet::new();
        let hours = [0, 1, 9, 10, 11, 24, 24 * 30, 24 * 31, 24 * 400, -1, -24];
        for (i, written) in TEXTS.iter().enumerate() {
            let other = text().new_tree(&mut runner).unwrap().current();
            let mut attributes = audience::Attributes::new();
            if i % 3 > 0 {
                attributes.insert("a".into(), (*written).to_owned());
            }
            attributes.insert("b".into(), other);
            let new = NewRecipient {
                email: format!("R{i}@x{}.example", i % 4),
                city: (*written).to_owned(),
                attributes,
                denylisted: i % 4 == 0,
                ..NewRecipient::default()
            };
            let at = NOW - hours[i % hours.len()] * 3_600_000_000 + i64::try_from(i).unwrap();
            let made = room.create_recipient(new, at).await.unwrap();
            if i % 5 == 0 {
                members.insert(made.id);
            }
            people.push(made);
        }
        room.add_to_list(list, members.iter().copied().collect()).await.unwrap();
        let mut found = 0;
        for _ in 0..400 {
            let json = tree().new_tree(&mut runner).unwrap().current();
            let filter = Filter::parse(&json).unwrap();
            assert_eq!(Filter::parse(&filter.to_json()).unwrap(), filter);
            let expected: Vec<i64> = people
                .iter()
                .filter(|r| filter.matches(r, NOW, &|name| name == "members" && members.contains(&r.id)))
                .map(|r| r.id)
                .collect();
            let selected: Vec<i64> =
                room.preview_segment(&filter, NOW, 100).await.unwrap().into_iter().map(|r| r.id).collect();
            let difference: Vec<&Recipient> =
                people.iter().filter(|r| expected.contains(&r.id) != selected.contains(&r.id)).collect();
            assert_eq!(selected, expected, "{json}\n{difference:#?}");
            found += usize::from(!expected.is_empty() && expected.len() < people.len());
        }
        assert!(found > 150, "the trees tell rows apart: {found}");
    })
    .await;
}
