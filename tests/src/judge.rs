//! The receivers' log beside the delivery log. The receivers' log decides.

use std::collections::{BTreeMap, BTreeSet};

use testkit::{Arrival, Event, arrivals};

use crate::campaign::Row;

/// How long before a kill a 250 may have been written and still be lost on its way to the database.
pub const MARGIN_US: i64 = 50_000;
/// The same where the clock measures something else than the program: a build without optimisation, or a machine that
/// has more to do than it can. `make soak` runs optimised.
const MARGIN_SLOW_US: i64 = 2_000_000;
/// Processes that wait for a core, per core, from which on a machine is busy with other things. A story alone makes
/// about two.
const BUSY_PER_CORE: f64 = 2.5;

/// Whether the machine has more to do than it can, so that a time says more about it than about the program.
#[must_use]
pub fn is_busy() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).unwrap_or(0.0) > BUSY_PER_CORE * cores
}

/// [`MARGIN_US`], or more where the clock measures something else.
fn margin_us() -> i64 {
    if cfg!(debug_assertions) || is_busy() { MARGIN_SLOW_US } else { MARGIN_US }
}

/// A SIGKILL: when it was sent, and when the process was gone. Microseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Just before the signal.
    pub sent_us: i64,
    /// Just after the process had ended.
    pub gone_us: i64,
    /// How long before it a 250 may have been written and still be lost, and how long after it octets may be read that were
    /// on their way: [`MARGIN_US`], more where the clock measures something else than the program.
    pub margin_us: i64,
}

impl Kill {
    /// A kill that was just done.
    #[must_use]
    pub fn new(sent_us: i64, gone_us: i64) -> Kill {
        Kill { sent_us, gone_us, margin_us: margin_us() }
    }

    /// Whether this kill excuses that `first` was followed by `second`: the dot had been handed over by the kill (octets
    /// on their way then may be read a moment later), and its 250 was written less than the margin before, or not yet.
    fn excuses(&self, first: &Arrival, second: &Arrival) -> bool {
        first.dot_us <= self.gone_us + self.margin_us
            && second.dot_us > self.sent_us
            && first.accepted_us.is_none_or(|written| written > self.sent_us - self.margin_us)
    }
}

/// What the judge found.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// Messages that arrived more than once, each excused by a kill.
    pub duplicates: usize,
    /// The same by kill.
    pub by_kill: Vec<usize>,
    /// How long before its kill the 250 of a duplicate had been written at most, in milliseconds.
    pub oldest_ms: i64,
    /// Messages that arrived at least once.
    pub arrived: usize,
    /// Rows by state.
    pub states: BTreeMap<String, usize>,
}

/// Compares a delivery's rows with what the receivers saw: every target has one row, `sent` is what was accepted, and an
/// arrival after another one has its excuse and the same octets.
///
/// # Panics
/// When they differ.
#[must_use]
pub fn judge(events: &[Event], rows: &BTreeMap<String, Row>, targets: &[String], kills: &[Kill]) -> Verdict {
    let expected: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
    let found: BTreeSet<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(expected.len(), targets.len(), "the story's own targets are unique");
    assert!(
        expected == found,
        "lost: {:?}",
        expected.symmetric_difference(&found).take(10).collect::<Vec<_>>()
    );

    let mut by_message: BTreeMap<String, Vec<(String, Vec<Arrival>)>> = BTreeMap::new();
    for ((message_id, recipient), list) in arrivals(events) {
        let id = message_id.trim_matches(['<', '>']).to_owned();
        by_message.entry(id).or_default().push((recipient, list));
    }
    let mut verdict = Verdict { by_kill: vec![0; kills.len()], ..Verdict::default() };
    for row in rows.values() {
        *verdict.states.entry(row.state.clone()).or_default() += 1;
        let mut seen = by_message.remove(&row.message_id).unwrap_or_default();
        assert!(seen.len() <= 1, "{} went to several recipients: {seen:?}", row.message_id);
        let list = match seen.pop() {
            Some((recipient, list)) => {
                assert_eq!(recipient.to_lowercase(), row.recipient.to_lowercase(), "{row:?}");
                list
            }
            None => Vec::new(),
        };
        one_message(row, &list, kills, &mut verdict);
    }
    verdict
}

fn one_message(row: &Row, list: &[Arrival], kills: &[Kill], verdict: &mut Verdict) {
    let accepted = list.iter().any(|arrival| arrival.accepted_us.is_some());
    match row.state.as_str() {
        "sent" => assert!(accepted, "{row:?} was never accepted: {list:?}"),
        // Accepted, the answer lost with a process, and since then only deferred or refused.
        _ if accepted => {
            let last = list.last().expect("it arrived");
            let excused = kills.iter().any(|kill| {
                last.accepted_us.is_some_and(|written| written > kill.sent_us - kill.margin_us)
                    && last.dot_us <= kill.gone_us + kill.margin_us
            });
            assert!(excused, "{row:?} was accepted: {list:?}");
        }
        _ => {}
    }
    verdict.arrived += usize::from(!list.is_empty());
    verdict.duplicates += usize::from(list.len() > 1);
    for pair in list.windows(2) {
        assert_eq!(pair[0].digest, pair[1].digest, "{row:?} came with other octets: {list:?}");
        let kill = kills.iter().position(|kill| kill.excuses(&pair[0], &pair[1]));
        let kill = kill.unwrap_or_else(|| panic!("{row:?} came twice without an excuse: {list:?} {kills:?}"));
        verdict.by_kill[kill] += 1;
        if let Some(written) = pair[0].accepted_us {
            verdict.oldest_ms = verdict.oldest_ms.max((kills[kill].sent_us - written) / 1_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::What;

    fn event(what: What, wall_us: i64, connection: u64, digest: &str) -> Event {
        Event {
            wall_us,
            mono_us: wall_us.unsigned_abs(),
            connection,
            provider: "p".into(),
            peer: None,
            what,
            recipient: "a@p.example".into(),
            message_id: "<1@x>".into(),
            digest: digest.into(),
            octets: 1,
            text: String::new(),
        }
    }

    fn twice(digest: &str) -> Vec<Event> {
        vec![
            event(What::DotRead, 1_000_000, 1, "d"),
            event(What::Accepted, 1_000_100, 1, "d"),
            event(What::DotRead, 2_000_000, 2, digest),
            event(What::Accepted, 2_000_100, 2, digest),
        ]
    }

    fn rows(state: &str) -> BTreeMap<String, Row> {
        let row = Row {
            recipient: "a@p.example".into(),
            state: state.into(),
            attempts: 1,
            reply: String::new(),
            reason: String::new(),
            message_id: "1@x".into(),
        };
        [(row.recipient.clone(), row)].into()
    }

    fn verdict(events: &[Event], state: &str, sent_us: i64) -> std::thread::Result<Verdict> {
        let kill = Kill { sent_us, gone_us: sent_us + 5_000, margin_us: MARGIN_US };
        let (events, rows) = (events.to_vec(), rows(state));
        std::panic::catch_unwind(move || judge(&events, &rows, &["a@p.example".to_owned()], &[kill]))
    }

    #[test]
    fn a_kill_excuses_what_was_answered_just_before_and_nothing_else() {
        assert_eq!(verdict(&twice("d"), "sent", 1_040_000).unwrap().duplicates, 1);
        assert!(verdict(&twice("d"), "sent", 1_060_000).is_err(), "the 250 was long written");
        assert!(verdict(&twice("d"), "sent", 900_000).is_err(), "killed before it came");
        assert!(verdict(&twice("e"), "sent", 1_040_000).is_err(), "other octets");
    }

    #[test]
    fn sent_is_what_was_accepted() {
        assert!(verdict(&[], "sent", 0).is_err());
        assert!(verdict(&[], "pending", 0).is_ok());
        assert!(verdict(&twice("d")[..2], "pending", 5_000_000).is_err(), "accepted, and not known");
    }
}
