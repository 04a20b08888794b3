//! The adaptive control of one path: how many messages a second and how many connections, given what the receiver says.
//!
//! - **Down by a factor** on push-back, from what was really offered when it came; answers to what was under way then do
//!   not cut a second time. What was offered is remembered as the *ceiling*.
//! - **Up in steps**: doubling to seven tenths of the ceiling, quickly to nine tenths, slowly over it, and the more often the same ceiling was found
//!   the more slowly; well above it faster and faster, because then the ceiling has gone.
//! - **Without a ceiling** (a site nobody has pushed back at) rate and connections double after each
//!   [`DOUBLE_AFTER`] acceptances.
//! - **An hour without push-back** forgets the ceiling.
//!
//! Step rules with fixed timers, which other senders use, send too little after their timer began and too much after it
//! ended; `docs/sending-and-retries.md` has the comparison.

use routes::{Per, SiteRules};
use serde::Serialize;

use super::SECOND_US;

/// Acceptances without push-back after which a path without a ceiling is given twice as much.
pub const DOUBLE_AFTER: u64 = 500;
/// Connections that a path of an unknown site may grow to.
pub const GROWN_CONNECTIONS_MAX: u32 = 20;
/// Messages a second that it may grow to.
pub const GROWN_RATE_MAX: f64 = 1_000.0;
/// The slowest: one message in ten minutes.
pub const RATE_MIN: f64 = 1.0 / 600.0;
/// Push-back within this time of a cut is an answer to what was sent before the cut.
const REACT_US: i64 = 10 * SECOND_US;
/// Up to this share of the ceiling the rate doubles, because so much was taken a while ago.
const REGAIN: f64 = 0.7;
/// Between two such doublings.
const REGAIN_US: i64 = 20 * SECOND_US;
/// Between two steps below the ceiling.
const CLIMB_US: i64 = 10 * SECOND_US;
/// A step below the ceiling, as a share of it.
const CLIMB: f64 = 0.05;
/// Up to this share of the ceiling steps are quick.
const NEAR: f64 = 0.9;
/// Between two steps near and over the ceiling, at first; doubles each time the ceiling is found again.
const PROBE_US: i64 = 30 * SECOND_US;
/// The longest wait between two such steps.
const PROBE_MAX_US: i64 = 600 * SECOND_US;
/// The first step near the ceiling, as a share of it; over the ceiling each is twice the one before.
const PROBE: f64 = 0.01;
/// The largest such step.
const PROBE_MAX: f64 = 0.25;
/// So near is the same ceiling.
const SAME: f64 = 0.25;
/// After so long without push-back the ceiling is forgotten.
const FORGET_US: i64 = 3_600 * SECOND_US;
/// Between two steps of the number of connections, and between two tries over their ceiling.
const CONNECTION_US: i64 = 60 * SECOND_US;
const CONNECTION_PROBE_US: i64 = 600 * SECOND_US;
/// What a restart begins with, as a share of what had been learned.
const RESUME: f64 = 0.7;
/// A lower limit of messages per connection is doubled after so long.
const MESSAGES_FORGET_US: i64 = 3_600 * SECOND_US;

/// What the rules say about a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Messages a second to begin with; infinity: no limit until there is push-back. Limits that must hold whatever
    /// happens are buckets beside the control.
    pub rate: f64,
    /// Connections: the limit, or where growth begins.
    pub connections: u32,
    /// Messages on one connection.
    pub messages: u32,
    /// Rate and connections are where it begins, not where it ends: nothing is known about the site.
    pub grows: bool,
    /// The control does anything at all.
    pub adaptive: bool,
}

impl Bounds {
    /// `bounded`: a rule or an operator named this site, so its values are limits. Otherwise they are a beginning, except
    /// limits of an hour or a day, which hold anywhere.
    #[must_use]
    pub fn of(rules: &SiteRules, bounded: bool) -> Self {
        let grows = rules.adaptive && !bounded;
        let short = rules.message_rates.iter().filter(|rate| !is_long(rate.per));
        let rate = short.map(|rate| rate.per_second()).fold(f64::INFINITY, f64::min);
        Self {
            rate: if grows { rate } else { f64::INFINITY },
            connections: rules.connections.max(1),
            messages: rules.messages_per_connection.max(1),
            grows,
            adaptive: rules.adaptive,
        }
    }
}

/// Limits over such a stretch hold also where the control may grow.
#[must_use]
pub fn is_long(per: Per) -> bool {
    matches!(per, Per::Hour | Per::Day)
}

/// What is kept of a path over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Learned {
    /// Messages a second; 0: nothing learned.
    pub rate: f64,
    /// Connections; 0: nothing learned.
    pub connections: f64,
}

#[derive(Debug, Clone, Copy)]
struct Ceiling {
    rate: f64,
    /// How long a step near it waits.
    wait_us: i64,
    step: f64,
}

/// The control of one path. Pure: no clock, no lock.
#[derive(Debug, Clone)]
pub struct Control {
    bounds: Bounds,
    rate: f64,
    connections: u32,
    messages: u32,
    /// Acceptances since the last push-back or doubling.
    clean: u64,
    ceiling: Option<Ceiling>,
    connections_ceiling: Option<u32>,
    /// Nothing goes up before.
    hold_us: i64,
    /// No further cut before.
    react_us: i64,
    step_us: i64,
    pushed_us: i64,
    connections_us: i64,
    connections_found: u32,
    messages_us: i64,
    rate_why: String,
    connections_why: String,
}

impl Control {
    /// A path that nothing is known of, or what is remembered of it.
    #[must_use]
    pub fn new(bounds: Bounds, learned: Option<Learned>) -> Self {
        let mut control = Self {
            bounds,
            rate: bounds.rate,
            connections: bounds.connections,
            messages: bounds.messages,
            clean: 0,
            ceiling: None,
            connections_ceiling: None,
            hold_us: i64::MIN,
            react_us: i64::MIN,
            step_us: i64::MIN,
            pushed_us: i64::MIN,
            connections_us: i64::MIN,
            connections_found: 0,
            messages_us: i64::MIN,
            rate_why: String::new(),
            connections_why: String::new(),
        };
        if let Some(learned) = learned.filter(|_| bounds.adaptive) {
            control.remember(learned);
        }
        control
    }

    fn remember(&mut self, learned: Learned) {
        if learned.rate > 0.0 && learned.rate.is_finite() {
            let rate = learned.rate.max(RATE_MIN);
            self.ceiling = Some(Ceiling { rate, wait_us: PROBE_US, step: PROBE });
            self.rate =
                (rate * RESUME).max(if self.bounds.grows { self.bounds.rate } else { RATE_MIN }).min(rate);
            "learned".clone_into(&mut self.rate_why);
        }
        if learned.connections >= 1.0 {
            // Saturates; a count of connections is small.
            let count = learned.connections as u32;
            self.connections = count.min(self.connections_max()).max(1);
            if count < self.bounds.connections {
                self.connections_ceiling = Some(self.connections);
            }
            if self.connections != self.bounds.connections {
                "learned".clone_into(&mut self.connections_why);
            }
        }
    }

    /// Other rules: what was found out stays within them.
    pub fn adopt(&mut self, bounds: Bounds) {
        if bounds == self.bounds {
            return;
        }
        let learned = self.learned();
        *self = Self::new(bounds, learned);
    }

    /// What is worth remembering; `None`: the path does as its rule says.
    #[must_use]
    pub fn learned(&self) -> Option<Learned> {
        let grown = self.rate.is_finite() && self.rate > self.bounds.rate;
        let rate = match self.ceiling {
            Some(ceiling) => ceiling.rate.max(self.rate),
            None if grown => self.rate,
            None => 0.0,
        };
        let connections = match self.connections_ceiling {
            Some(ceiling) => f64::from(ceiling),
            None if self.connections != self.bounds.connections => f64::from(self.connections),
            None => 0.0,
        };
        (rate > 0.0 || connections > 0.0).then_some(Learned { rate, connections })
    }

    /// Messages a second now; infinity: no limit.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Messages on one connection now.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Why the rate is what it is; empty: the rule says so.
    #[must_use]
    pub fn rate_why(&self) -> &str {
        &self.rate_why
    }

    /// Why there are so many connections and not more; empty: the rule says so.
    #[must_use]
    pub fn connections_why(&self) -> &str {
        &self.connections_why
    }

    /// Push-back against the rate: `offered` messages a second came in when it was said, `factor` of them remain.
    /// `hold_s`: no step up before that has passed.
    pub fn cut(&mut self, factor: f64, hold_s: Option<u32>, offered: f64, words: &str, now_us: i64) {
        self.clean = 0;
        if !self.bounds.adaptive {
            return;
        }
        self.pushed_us = now_us;
        let hold = hold_s.map_or(0, |seconds| i64::from(seconds) * SECOND_US);
        self.hold_us = self.hold_us.max(now_us + hold);
        // Nothing was offered: what the receiver complains of is no rate of ours.
        let base = if offered > 0.0 { self.rate.min(offered) } else { self.rate };
        if now_us < self.react_us || base.is_infinite() {
            return;
        }
        let base = base.max(RATE_MIN);
        let same = self.ceiling.filter(|known| (known.rate - base).abs() <= known.rate * SAME);
        let wait_us = same.map_or(PROBE_US, |known| (known.wait_us * 2).min(PROBE_MAX_US));
        self.ceiling = Some(Ceiling { rate: base, wait_us, step: PROBE });
        self.rate = (base * factor.clamp(0.01, 1.0)).max(RATE_MIN);
        // Three messages at the new rate are an answer to the cut; fewer say nothing.
        self.react_us = now_us + REACT_US.max((3.0 / self.rate * SECOND_US as f64) as i64);
        self.step_us = self.react_us;
        self.rate_why = format!("cut to {} % after: {words}", (factor * 100.0).round());
        if self.bounds.grows && self.connections > 1 {
            self.connections = scaled(self.connections, factor);
            self.connections_ceiling =
                Some(self.connections_ceiling.unwrap_or(u32::MAX).min(self.connections * 2));
            self.connections_us = now_us;
            self.connections_why.clone_from(&self.rate_why);
        }
    }

    /// The control does anything at all.
    #[must_use]
    pub fn is_adaptive(&self) -> bool {
        self.bounds.adaptive
    }

    /// Push-back now would be an answer to what was sent before the last cut.
    #[must_use]
    pub fn reacts(&self, now_us: i64) -> bool {
        now_us < self.react_us
    }

    /// The receiver has more connections than it wants; `open` of ours stood when it said so.
    pub fn fewer_connections(&mut self, open: u32, words: &str, now_us: i64) {
        self.clean = 0;
        if !self.bounds.adaptive || now_us < self.connections_us.saturating_add(REACT_US) {
            return;
        }
        let open = open.clamp(1, self.connections.max(1));
        let ceiling = open.saturating_sub(1).max(1);
        let same = self.connections_ceiling == Some(ceiling);
        self.connections_found = if same { (self.connections_found + 1).min(6) } else { 0 };
        self.connections_ceiling = Some(ceiling);
        // One over a limit that is known is one step back; anything else is half.
        self.connections = if same { ceiling } else { (open / 2).max(1) };
        self.connections_us = now_us;
        self.connections_why = format!("fewer connections after: {words}");
    }

    /// The receiver takes no more on one connection than the `seen` it has just had.
    pub fn fewer_messages(&mut self, seen: u32, now_us: i64) {
        if self.bounds.adaptive && seen > 0 {
            self.messages = self.messages.min(seen).max(1);
            self.messages_us = now_us;
        }
    }

    /// So many were accepted since the last time. `limited`: more would have gone out but for the rate; `crowded`: but for
    /// the connections.
    pub fn accepted(&mut self, count: u64, limited: bool, crowded: bool, now_us: i64) {
        if !self.bounds.adaptive {
            return;
        }
        if self.messages < self.bounds.messages && now_us - self.messages_us >= MESSAGES_FORGET_US {
            self.messages = (self.messages * 2).min(self.bounds.messages);
            self.messages_us = now_us;
        }
        if count == 0 {
            return;
        }
        self.clean += count;
        if self.ceiling.is_some() && now_us >= self.pushed_us.saturating_add(FORGET_US) {
            self.ceiling = None;
            self.clean = self.clean.max(DOUBLE_AFTER);
        }
        if now_us < self.hold_us {
            return;
        }
        match self.ceiling {
            None if self.clean >= DOUBLE_AFTER => self.double(limited),
            None => {}
            Some(_) if !limited || now_us < self.step_us => {}
            Some(ceiling) => self.climb(ceiling, now_us),
        }
        if crowded {
            self.widen(now_us);
        }
    }

    fn double(&mut self, limited: bool) {
        self.clean = 0;
        if self.rate.is_finite() {
            if self.bounds.grows {
                self.rate = (self.rate * 2.0).min(GROWN_RATE_MAX.max(self.bounds.rate));
                self.rate_why = format!("doubled after {DOUBLE_AFTER} acceptances without push-back");
            } else if limited {
                self.rate *= 2.0;
            } else {
                // The limit that is left over from an old push-back binds nobody any more.
                self.rate = f64::INFINITY;
                self.rate_why.clear();
            }
        }
        if self.bounds.grows && self.connections_ceiling.is_none() {
            self.connections = (self.connections * 2).min(self.connections_max());
            self.connections_why.clone_from(&self.rate_why);
        }
    }

    fn climb(&mut self, mut ceiling: Ceiling, now_us: i64) {
        if self.rate < ceiling.rate * REGAIN {
            self.rate = (self.rate * 2.0).min(ceiling.rate * REGAIN);
            self.step_us = now_us + REGAIN_US;
            return;
        }
        if self.rate < ceiling.rate * NEAR {
            self.rate = (self.rate + ceiling.rate * CLIMB).min(ceiling.rate * NEAR);
            self.step_us = now_us + CLIMB_US;
            return;
        }
        if self.rate > ceiling.rate {
            ceiling.step = (ceiling.step * 2.0).min(PROBE_MAX);
        }
        if self.rate > ceiling.rate * (1.0 + SAME) {
            // It was another one, or met when little was sent.
            (ceiling.rate, ceiling.wait_us) = (self.rate, PROBE_US);
        }
        self.rate = (self.rate + ceiling.rate * ceiling.step).max(RATE_MIN);
        self.step_us = now_us + ceiling.wait_us;
        self.ceiling = Some(ceiling);
        "probing upward".clone_into(&mut self.rate_why);
    }

    /// One more connection, when its time has come.
    fn widen(&mut self, now_us: i64) {
        let ceiling = self.connections_ceiling.unwrap_or(u32::MAX);
        let max = self.connections_max();
        if self.connections >= max || (self.connections_ceiling.is_none() && self.bounds.grows) {
            return;
        }
        let wait = if self.connections < ceiling {
            CONNECTION_US
        } else {
            CONNECTION_PROBE_US << self.connections_found
        };
        if now_us < self.connections_us.saturating_add(wait) {
            return;
        }
        if self.connections > ceiling {
            // One over the limit went well for all that time: the limit is another one.
            self.connections_ceiling = Some(self.connections);
            self.connections_found = 0;
        }
        self.connections += 1;
        self.connections_us = now_us;
        if self.connections == self.bounds.connections {
            self.connections_why.clear();
        }
    }

    fn connections_max(&self) -> u32 {
        if self.bounds.grows {
            GROWN_CONNECTIONS_MAX.max(self.bounds.connections)
        } else {
            self.bounds.connections
        }
    }
}

/// `factor` of a count, at least 1.
fn scaled(count: u32, factor: f64) -> u32 {
    // Saturates, and both numbers are small.
    ((f64::from(count) * factor).round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> Bounds {
        Bounds { rate: 2.0, connections: 2, messages: 20, grows: true, adaptive: true }
    }

    fn known() -> Bounds {
        Bounds { rate: f64::INFINITY, connections: 10, messages: 20, grows: false, adaptive: true }
    }

    #[test]
    fn an_unknown_site_doubles_after_five_hundred_and_halves_on_push_back() {
        let mut control = Control::new(unknown(), None);
        control.accepted(499, true, true, 0);
        assert_eq!((control.rate(), control.connections()), (2.0, 2));
        control.accepted(1, true, true, 0);
        assert_eq!((control.rate(), control.connections()), (4.0, 4));
        control.accepted(500, true, true, 0);
        assert_eq!((control.rate(), control.connections()), (8.0, 8));
        control.cut(0.5, None, 8.0, "450 slower", SECOND_US);
        assert_eq!((control.rate(), control.connections()), (4.0, 4));
        assert!(control.rate_why().contains("450 slower"));
        control.accepted(499, true, true, 2 * SECOND_US);
        assert_eq!(control.rate(), 4.0);
    }

    #[test]
    fn growth_ends_somewhere() {
        let mut control = Control::new(unknown(), None);
        for _ in 0..50 {
            control.accepted(DOUBLE_AFTER, true, true, 0);
        }
        assert_eq!((control.rate(), control.connections()), (GROWN_RATE_MAX, GROWN_CONNECTIONS_MAX));
    }

    #[test]
    fn answers_to_what_was_under_way_do_not_cut_again() {
        let mut control = Control::new(known(), None);
        for n in 0..50 {
            control.cut(0.5, None, 20.0, "421 slow down", n * 100_000);
        }
        assert_eq!(control.rate(), 10.0);
        control.cut(0.5, None, 10.0, "421 slow down", 11 * SECOND_US);
        assert_eq!(control.rate(), 5.0);
        assert_eq!(control.connections(), 10, "a rate says nothing about a provider's connections");
    }

    /// A receiver that pushes back above `allowed` a second; returns what was taken and how often it pushed back.
    fn drive(control: &mut Control, allowed: impl Fn(i64) -> f64, from_s: i64, seconds: i64) -> (f64, usize) {
        let (mut taken, mut pushes) = (0.0, 0);
        for second in from_s..from_s + seconds {
            let now = second * SECOND_US;
            let offered = control.rate().min(1_000.0);
            let allowed = allowed(second);
            if offered > allowed {
                control.cut(0.5, None, offered, "421 too fast", now);
                pushes += 1;
            }
            taken += offered.min(allowed);
            control.accepted(offered.min(allowed).max(1.0) as u64, true, true, now);
        }
        (taken, pushes)
    }

    #[test]
    fn a_constant_allowance_is_used_almost_in_full_with_few_push_backs() {
        for bounds in [known(), unknown()] {
            let mut control = Control::new(bounds, None);
            drive(&mut control, |_| 10.0, 0, 1_200);
            let (taken, pushes) = drive(&mut control, |_| 10.0, 1_200, 4 * 3_600);
            let share = taken / (10.0 * 4.0 * 3_600.0);
            assert!(share > 0.88, "{share}");
            assert!(pushes <= 30, "{pushes} push-backs in four hours");
        }
    }

    #[test]
    fn it_follows_an_allowance_that_falls_and_rises() {
        let mut control = Control::new(known(), None);
        let allowed = |second: i64| if (3_600..7_200).contains(&second) { 2.0 } else { 20.0 };
        drive(&mut control, allowed, 0, 3_600);
        let (low, _) = drive(&mut control, allowed, 3_600, 3_600);
        assert!(low > 0.75 * 2.0 * 3_600.0, "{low}");
        drive(&mut control, allowed, 7_200, 3_600);
        let (high, _) = drive(&mut control, allowed, 10_800, 3_600);
        assert!(high > 0.75 * 20.0 * 3_600.0, "{high}: the ceiling of the bad hour is forgotten");
    }

    #[test]
    fn an_hour_of_peace_takes_the_limit_off_a_provider() {
        let mut control = Control::new(known(), None);
        control.cut(0.5, None, 4.0, "421 a bad minute", 0);
        for minute in 1..90 {
            control.accepted(100, false, false, minute * 60 * SECOND_US);
        }
        assert!(control.rate().is_infinite());
        assert_eq!(control.rate_why(), "");
        assert_eq!(control.learned(), None);
    }

    #[test]
    fn a_complaint_before_anything_was_sent_is_about_no_rate_and_one_among_few_is_forgotten_soon() {
        let mut control = Control::new(known(), None);
        control.cut(0.5, None, 0.0, "421 not now", 0);
        assert!(control.rate().is_infinite());
        control.cut(0.5, None, 1.0, "421 not now", SECOND_US);
        let (taken, _) = drive(&mut control, |_| 100.0, 2, 1_800);
        assert!(taken > 20.0 * 1_800.0, "{taken}");
    }

    #[test]
    fn nothing_goes_up_while_the_receiver_wants_rest() {
        let mut control = Control::new(known(), None);
        control.cut(0.25, Some(1_800), 8.0, "451 slow", 0);
        for second in (0..1_800).step_by(10) {
            control.accepted(20, true, true, second * SECOND_US);
        }
        assert_eq!(control.rate(), 2.0);
        control.accepted(20, true, true, 1_800 * SECOND_US);
        assert!(control.rate() > 2.0);
    }

    #[test]
    fn connections_settle_below_what_is_refused_and_try_again_seldom() {
        let mut control = Control::new(known(), None);
        let mut refused = 0;
        for second in 0..3 * 3_600 {
            let now = second * SECOND_US;
            if control.connections() > 3 {
                let before = control.connections();
                control.fewer_connections(before, "421 too many connections", now);
                refused += usize::from(control.connections() < before);
            }
            control.accepted(5, false, true, now);
        }
        assert_eq!(control.connections().clamp(2, 3), control.connections());
        assert!(refused <= 12, "{refused} refusals in three hours");
        assert!(control.connections_why().contains("too many connections"));
        assert!(control.rate().is_infinite(), "no penalty to the rate");
    }

    #[test]
    fn messages_per_connection_follow_what_was_seen_and_recover() {
        let mut control = Control::new(known(), None);
        control.fewer_messages(5, 0);
        assert_eq!(control.messages(), 5);
        control.accepted(1, false, false, MESSAGES_FORGET_US);
        assert_eq!(control.messages(), 10);
    }

    #[test]
    fn what_was_learned_survives_a_restart_and_a_change_of_rules() {
        let mut control = Control::new(known(), None);
        control.cut(0.5, None, 12.0, "421", 0);
        control.fewer_connections(6, "421", 0);
        let learned = control.learned().unwrap();
        assert_eq!((learned.rate, learned.connections), (12.0, 5.0));
        let again = Control::new(known(), Some(learned));
        assert!((again.rate() - 8.4).abs() < 1e-9);
        assert_eq!(again.connections(), 5);
        control.adopt(Bounds { connections: 3, ..known() });
        assert_eq!(control.connections(), 3);
        let grown = Control::new(unknown(), Some(Learned { rate: 64.0, connections: 16.0 }));
        assert_eq!(grown.connections(), 16);
        assert!(grown.rate() > 40.0);
        let fixed = Control::new(Bounds { adaptive: false, ..known() }, Some(learned));
        assert!(fixed.rate().is_infinite() && fixed.connections() == 10);
    }
}
