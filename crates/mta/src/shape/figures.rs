//! What a path answered: totals, the speed of the last seconds, the shares of the last minutes, and the words.

use std::collections::HashMap;

use serde::Serialize;
use smtp::Category;

use super::SECOND_US;

/// Window of the speed.
pub const SPEED_WINDOW_S: i64 = 10;
/// Window of the shares.
pub const SHARE_WINDOW_MIN: i64 = 5;
/// Different words kept of one path; the rarest go.
pub const REPLIES_KEPT: usize = 24;
/// Words shown of one path.
pub const REPLIES_SHOWN: usize = 5;
/// Octets kept of one reply.
const REPLY_LEN_MAX: usize = 200;

/// Answers of some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Taken.
    pub accepted: u64,
    /// Not now.
    pub deferred: u64,
    /// Not ever.
    pub refused: u64,
    /// Failures of the path: of the deferred and refused, those that were about neither their recipient nor their content.
    /// Connections that did not come to stand are no answers; their exchange rests.
    pub failed: u64,
}

impl Counted {
    /// All answers.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.accepted + self.deferred + self.refused
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.deferred += other.deferred;
        self.refused += other.refused;
        self.failed += other.failed;
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: Self) -> Self {
        Self {
            accepted: self.accepted - before.accepted,
            deferred: self.deferred - before.deferred,
            refused: self.refused - before.refused,
            failed: self.failed - before.failed,
        }
    }
}

/// Rings over the last seconds and minutes. Filled once a second, not by each message.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    seconds: Ring<16>,
    minutes: Ring<8>,
}

/// Counters of stretches of time; a slot counts only while its number is the stretch's.
#[derive(Debug, Clone)]
struct Ring<const N: usize> {
    slots: [(i64, Counted); N],
}

impl<const N: usize> Ring<N> {
    fn new() -> Self {
        Self { slots: [(i64::MIN, Counted::default()); N] }
    }

    fn add(&mut self, stretch: i64, counted: Counted) {
        let slot = &mut self.slots[usize::try_from(stretch.rem_euclid(N as i64)).unwrap_or(0)];
        if slot.0 != stretch {
            *slot = (stretch, Counted::default());
        }
        slot.1.add(counted);
    }

    fn sum(&self, from: i64, to: i64) -> Counted {
        let mut sum = Counted::default();
        self.slots
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .for_each(|(_, counted)| sum.add(*counted));
        sum
    }

    fn first(&self, from: i64, to: i64) -> Option<i64> {
        let used = self.slots.iter().filter(|(at, counted)| (from..to).contains(at) && counted.answers() > 0);
        used.map(|(at, _)| *at).min()
    }
}

impl Windows {
    pub(super) fn new() -> Self {
        Self { seconds: Ring::new(), minutes: Ring::new() }
    }

    pub(super) fn add(&mut self, counted: Counted, now_us: i64) {
        self.seconds.add(now_us.div_euclid(SECOND_US), counted);
        self.minutes.add(now_us.div_euclid(60 * SECOND_US), counted);
    }

    /// Accepted a second over the last whole seconds.
    pub(super) fn accepted_per_second(&self, now_us: i64) -> f64 {
        let second = now_us.div_euclid(SECOND_US);
        self.seconds.sum(second - SPEED_WINDOW_S, second).accepted as f64 / SPEED_WINDOW_S as f64
    }

    /// Answers a second, from the first one of the window on: what the receiver really got when it pushed back.
    pub(super) fn offered_per_second(&self, now_us: i64) -> f64 {
        let second = now_us.div_euclid(SECOND_US);
        let from = second - SPEED_WINDOW_S;
        match self.seconds.first(from, second + 1) {
            None => 0.0,
            Some(first) => {
                let elapsed = (now_us - first * SECOND_US).max(SECOND_US) as f64 / SECOND_US as f64;
                self.seconds.sum(from, second + 1).answers() as f64 / elapsed
            }
        }
    }

    /// The last minutes.
    pub(super) fn minutes(&self, now_us: i64) -> Counted {
        let minute = now_us.div_euclid(60 * SECOND_US);
        self.minutes.sum(minute - SHARE_WINDOW_MIN, minute + 1)
    }
}

/// What a receiver says, with what varies left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TopReply {
    /// The words.
    pub text: String,
    /// The reply code; 0 where there was no reply.
    pub code: u16,
    /// What kind of answer it is: a name of [`Category`].
    pub category: &'static str,
    /// How often.
    pub count: u64,
    /// Last heard (UTC microseconds).
    pub last_us: i64,
}

/// The words of one path. Only answers that are no "yes" get here.
#[derive(Debug, Clone, Default)]
pub(super) struct Replies(HashMap<Box<str>, Said>);

/// How often and when words were heard.
#[derive(Debug, Clone, Copy)]
struct Said {
    code: u16,
    category: Category,
    count: u64,
    last_us: i64,
}

impl Replies {
    pub(super) fn add(&mut self, text: &str, (code, category): (u16, Category), now_us: i64) {
        let text = &text[..text.floor_char_boundary(REPLY_LEN_MAX)];
        if let Some(said) = self.0.get_mut(text) {
            said.count += 1;
            said.last_us = now_us;
            return;
        }
        if self.0.len() >= REPLIES_KEPT {
            // The rarest, and of these the oldest, makes room.
            let rarest = self.0.iter().min_by_key(|(_, said)| (said.count, said.last_us));
            if let Some(text) = rarest.map(|(text, _)| text.clone()) {
                self.0.remove(&text);
            }
        }
        self.0.insert(text.into(), Said { code, category, count: 1, last_us: now_us });
    }

    pub(super) fn top(&self) -> Vec<TopReply> {
        let mut all: Vec<TopReply> = self
            .0
            .iter()
            .map(|(text, said)| TopReply {
                text: text.to_string(),
                code: said.code,
                category: said.category.name(),
                count: said.count,
                last_us: said.last_us,
            })
            .collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| b.last_us.cmp(&a.last_us)));
        all.truncate(REPLIES_SHOWN);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(count: u64) -> Counted {
        Counted { accepted: count, ..Counted::default() }
    }

    #[test]
    fn speed_is_of_whole_seconds_and_what_was_offered_from_its_beginning() {
        let mut windows = Windows::new();
        for second in 0..10 {
            windows.add(accepted(30), second * SECOND_US + 5);
        }
        assert!((windows.accepted_per_second(10 * SECOND_US) - 30.0).abs() < 1e-9);
        assert!((windows.accepted_per_second(15 * SECOND_US) - 15.0).abs() < 1e-9);
        assert!((windows.offered_per_second(10 * SECOND_US) - 30.0).abs() < 1e-9);
        let mut begun = Windows::new();
        begun.add(accepted(8), 100 * SECOND_US);
        assert!(
            (begun.offered_per_second(102 * SECOND_US) - 4.0).abs() < 1e-9,
            "not spread over ten seconds"
        );
        assert!(begun.offered_per_second(500 * SECOND_US) < 1e-9);
    }

    #[test]
    fn minutes_forget() {
        let mut windows = Windows::new();
        windows.add(Counted { deferred: 7, ..accepted(3) }, 0);
        assert_eq!(windows.minutes(4 * 60 * SECOND_US).answers(), 10);
        assert_eq!(windows.minutes(6 * 60 * SECOND_US).answers(), 0);
    }

    #[test]
    fn the_most_frequent_words_survive_a_flood_of_different_ones() {
        let mut replies = Replies::default();
        for n in 0..10 {
            replies.add("421 too many", (421, Category::RateLimited), n);
        }
        for n in 0..500_i64 {
            replies.add(&format!("450 strange {n}"), (450, Category::Uncategorized), n);
            replies.add("452 full", (452, Category::QuotaIssues), n);
        }
        let top = replies.top();
        assert_eq!((top.len(), top[0].text.as_str(), top[0].count), (REPLIES_SHOWN, "452 full", 500));
        assert_eq!((top[1].text.as_str(), top[1].count), ("421 too many", 10));
        assert_eq!(top[1].category, "rate_limited");
        assert!(replies.0.len() <= REPLIES_KEPT);
        replies.add(&"ü".repeat(500), (450, Category::Uncategorized), 1);
    }
}
