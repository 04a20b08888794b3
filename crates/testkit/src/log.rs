//! The receivers' time-stamped log. It is the judge in crash tests, so it says what the receiver itself saw: when
//! a command was read, when the final dot was read, when the 250 had been handed to the kernel.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::limits::EVENTS_MAX;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A connection came.
    Open,
    /// The handshake was done.
    Secured,
    /// A command was read and answered; `text` is the answer.
    Command,
    /// The final dot was read.
    DotRead,
    /// The 250 to the final dot was written.
    Accepted,
    /// Something else than 250 was written after the final dot.
    Refused,
    /// The receiver cut the connection, or said nothing any more, on purpose.
    Fault,
    /// The connection ended.
    Close,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds UTC.
    pub wall_us: i64,
    /// Microseconds since the log was opened, by a clock that never jumps.
    pub mono_us: u64,
    /// Number of the connection.
    pub connection: u64,
    /// Name of the provider.
    pub provider: String,
    /// The address that the connection came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// What happened.
    pub what: What,
    /// First recipient of the message that it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recipient: String,
    /// Its Message-ID with angle brackets; only from the dot on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message_id: String,
    /// BLAKE3 of its octets in hex; only from the dot on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Its length in octets.
    #[serde(default)]
    pub octets: usize,
    /// First line of the receiver's answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The log: in memory (bounded) and, when asked for, in a file of one JSON object a line.
pub struct Log {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    file: Option<File>,
    accepted: u64,
    dropped: u64,
}

/// A message that reached a final dot more than once.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicate {
    /// Its Message-ID.
    pub message_id: String,
    /// Its recipient.
    pub recipient: String,
    /// Each arrival, in order.
    pub arrivals: Vec<Arrival>,
}

/// One arrival of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// When the final dot was read, microseconds UTC.
    pub dot_us: i64,
    /// When the 250 was written; none: it never was.
    pub accepted_us: Option<i64>,
    /// BLAKE3 of the octets.
    pub digest: String,
    connection: u64,
}

impl Duplicate {
    /// Whether all arrivals had the same octets.
    #[must_use]
    pub fn same_octets(&self) -> bool {
        self.arrivals.windows(2).all(|pair| pair[0].digest == pair[1].digest)
    }

    /// Whether each arrival after the first is excused by a kill of the sender: the arrival before had read its
    /// dot before the kill, and its 250 was written less than `margin_us` before the kill, later, or never.
    #[must_use]
    pub fn excused_by(&self, kills_us: &[i64], margin_us: i64) -> bool {
        self.arrivals.windows(2).all(|pair| {
            kills_us.iter().any(|kill| {
                pair[0].dot_us <= *kill
                    && pair[1].dot_us > *kill
                    && pair[0].accepted_us.is_none_or(|written| written > *kill - margin_us)
            })
        })
    }
}

impl Log {
    /// A log in memory only.
    #[must_use]
    pub fn new() -> Arc<Log> {
        Arc::new(Log { started: Instant::now(), inner: Mutex::default() })
    }

    /// A log that is also appended to `file`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn with_file(file: &Path) -> io::Result<Arc<Log>> {
        let file = File::options().create(true).append(true).open(file)?;
        let inner = Inner { file: Some(file), ..Inner::default() };
        Ok(Arc::new(Log { started: Instant::now(), inner: Mutex::new(inner) }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both clocks now: (wall, monotonic) in microseconds.
    pub(crate) fn now(&self) -> (i64, u64) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        (wall, self.started.elapsed().as_micros() as u64)
    }

    /// Appends events. A file that cannot be written loses lines, which a test sees as lost mail.
    pub(crate) fn record(&self, events: impl IntoIterator<Item = Event>) {
        let mut inner = self.inner();
        let mut lines = Vec::new();
        for event in events {
            if inner.file.is_some() && serde_json::to_writer(&mut lines, &event).is_ok() {
                lines.push(b'\n');
            }
            if event.what == What::Accepted {
                inner.accepted += 1;
            }
            if inner.events.len() >= EVENTS_MAX {
                inner.events.pop_front();
                inner.dropped += 1;
            }
            inner.events.push_back(event);
        }
        if let Some(file) = &mut inner.file {
            let _ = file.write_all(&lines);
        }
    }

    /// Messages accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.inner().accepted
    }

    /// Events that were too many for memory.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner().dropped
    }

    /// A copy of all events in memory, in the order in which they were recorded.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.inner().events.iter().cloned().collect()
    }

    /// Forgets the events in memory; counts and file stay.
    pub fn forget(&self) {
        self.inner().events.clear();
    }

    /// Reads a log file back. A last line that was cut is left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(file: &Path) -> io::Result<Vec<Event>> {
        let text = std::fs::read_to_string(file)?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// All arrivals in these events, by Message-ID and recipient.
#[must_use]
pub fn arrivals(events: &[Event]) -> BTreeMap<(String, String), Vec<Arrival>> {
    let mut found: BTreeMap<(String, String), Vec<Arrival>> = BTreeMap::new();
    for event in events {
        let key = || (event.message_id.clone(), event.recipient.clone());
        match event.what {
            What::DotRead => found.entry(key()).or_default().push(Arrival {
                dot_us: event.wall_us,
                accepted_us: None,
                digest: event.digest.clone(),
                connection: event.connection,
            }),
            What::Accepted => {
                let arrival = found.get_mut(&key()).and_then(|list| {
                    list.iter_mut()
                        .rev()
                        .find(|a| a.connection == event.connection && a.accepted_us.is_none())
                });
                if let Some(arrival) = arrival {
                    arrival.accepted_us = Some(event.wall_us);
                }
            }
            _ => {}
        }
    }
    found.values_mut().for_each(|list| list.sort_by_key(|a| a.dot_us));
    found
}

/// The messages that reached a final dot more than once and were not refused there.
#[must_use]
pub fn duplicates(events: &[Event]) -> Vec<Duplicate> {
    let refused: Vec<(&str, u64, u64)> = events
        .iter()
        .filter(|event| event.what == What::Refused)
        .map(|event| (event.message_id.as_str(), event.connection, event.mono_us))
        .collect();
    arrivals(events)
        .into_iter()
        .filter_map(|((message_id, recipient), mut arrivals)| {
            arrivals.retain(|a| {
                a.accepted_us.is_some()
                    || !refused
                        .iter()
                        .any(|(id, connection, _)| *id == message_id && *connection == a.connection)
            });
            (arrivals.len() > 1).then_some(Duplicate { message_id, recipient, arrivals })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What, wall_us: i64, connection: u64, digest: &str) -> Event {
        Event {
            wall_us,
            mono_us: wall_us as u64,
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

    #[test]
    fn a_kill_excuses_only_what_was_past_the_dot() {
        let events = [
            event(What::DotRead, 1_000, 1, "d"),
            event(What::Accepted, 1_100, 1, "d"),
            event(What::DotRead, 200_000, 2, "d"),
            event(What::Accepted, 200_100, 2, "d"),
        ];
        let found = duplicates(&events);
        assert_eq!(found.len(), 1);
        assert!(found[0].same_octets());
        assert!(found[0].excused_by(&[20_000], 50_000));
        assert!(!found[0].excused_by(&[150_000], 50_000), "the 250 was long written");
        assert!(!found[0].excused_by(&[500], 50_000), "killed before the first arrival");
        assert!(!found[0].excused_by(&[], 50_000));
    }

    #[test]
    fn a_refusal_at_the_dot_is_no_arrival() {
        let events = [
            event(What::DotRead, 1, 1, "d"),
            event(What::Refused, 2, 1, "d"),
            event(What::DotRead, 3, 2, "e"),
            event(What::Accepted, 4, 2, "e"),
        ];
        assert!(duplicates(&events).is_empty());
    }

    #[test]
    fn a_file_tells_the_same() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("log.ndjson");
        let log = Log::with_file(&file).expect("opens");
        log.record([event(What::DotRead, 1, 1, "d"), event(What::Accepted, 2, 1, "d")]);
        assert_eq!(Log::read(&file).expect("reads"), log.events());
        assert_eq!(log.accepted(), 1);
    }
}
