//! The shaping contest: our adaptive control against the best constant rate that there is for each receiver (found by
//! trying them all) and against rules with fixed timers, at receivers with a reputation. A simulation in milliseconds of
//! a clock of its own; receivers are the personalities of `testkit`, their words are judged by the shipped rules.
//!
//! The table in `docs/shaping-contest.md` is what this test prints; `MAILWRIGHT_WRITE_DOCS=1` writes it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;

use mta::shape::{Answered, Limits, Shaper};
use smtp::{PathAction, Reply, Stage, classify_for};
use testkit::reputation::{Habits, Standing, Treatment};
use testkit::{Behaviour, PERSONALITIES};

/// Milliseconds of simulated time are what is counted in; the shaper counts microseconds.
const MS: i64 = 1_000;
const SECOND: i64 = 1_000 * MS;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// From dialling to the end of EHLO, over TLS at 40 ms of distance.
const OPEN: i64 = 200 * MS;
/// One message with pipelining: two round trips and the receiver's work after the dot.
const MESSAGE: i64 = 250 * MS;
/// A refusal at MAIL.
const REFUSAL: i64 = 50 * MS;
/// Who has not finished by then has lost.
const LIMIT: i64 = 96 * HOUR;
/// So many hours of what a receiver welcomes at its best.
const CAMPAIGN_HOURS: f64 = 6.0;

/// Constant rates that are tried, as shares of what the receiver welcomes in quiet hours.
const CONSTANT: [f64; 16] =
    [0.1, 0.15, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.5, 2.0];

/// Who sends: asked before a connection and a message, told every answer. Times are microseconds.
trait Sender {
    /// May one more connection be opened, or when to ask again.
    fn connect(&mut self, open: usize, now: i64) -> Result<(), i64>;
    /// May a message begin, or when to ask again.
    fn begin(&mut self, now: i64) -> Result<(), i64>;
    /// Messages on one connection.
    fn per_connection(&self) -> u32;
    /// A connection has ended.
    fn closed(&mut self) {}
    /// A message was taken.
    fn taken(&mut self) {}
    /// A message, or a connection when `seen` is 0, was not.
    fn refused(&mut self, _reply: &str, _stage: Stage, _seen: u32, _now: i64) {}
    /// Once a second.
    fn second(&mut self, _now: i64) {}
}

/// Our control, as the engine asks it.
struct Adaptive {
    site: &'static str,
    shaper: Shaper,
    limits: std::sync::Arc<Limits>,
}

impl Adaptive {
    fn new(site: &'static str) -> Self {
        let rules = routes::Providers::built_in().rules_of(site);
        let shaper = Shaper::alone(&rules, true);
        Self { site, limits: shaper.limits(), shaper }
    }
}

impl Sender for Adaptive {
    fn connect(&mut self, _: usize, now: i64) -> Result<(), i64> {
        self.shaper.begin_connection(&self.limits, now)
    }

    fn begin(&mut self, now: i64) -> Result<(), i64> {
        if let Some(until) = self.shaper.resting_until(now) {
            return Err(until);
        }
        self.shaper.begin_message(&self.limits, now)
    }

    fn per_connection(&self) -> u32 {
        self.shaper.messages_limit()
    }

    fn closed(&mut self) {
        self.shaper.connection_ended();
    }

    fn taken(&mut self) {
        self.shaper.answered(Answered::Accepted, 10_000);
    }

    fn refused(&mut self, reply: &str, stage: Stage, seen: u32, now: i64) {
        let reply = Reply::from_text(reply).unwrap();
        let verdict = classify_for(self.site, &reply, stage);
        if stage != Stage::Greeting {
            let of_path = verdict.path != PathAction::None;
            let answered = if reply.is_transient() || verdict.held {
                Answered::Deferred(of_path)
            } else {
                Answered::Refused(of_path)
            };
            self.shaper.answered(answered, 0);
        }
        // As the engine does: what would only be heard again is a rest.
        let action = match verdict.path {
            PathAction::FewerConnections if self.shaper.open() <= 1 => PathAction::Suspend { after_s: None },
            PathAction::FewerMessages if seen <= 1 => PathAction::Suspend { after_s: None },
            action => action,
        };
        if action == PathAction::None {
            self.shaper.worked(now);
        } else {
            self.shaper.pushed_back(action, &reply.to_string(), seen, now);
        }
    }

    fn second(&mut self, now: i64) {
        self.shaper.tick(now);
    }
}

/// A rate that somebody chose, over as many connections and messages on each as the receiver takes.
struct Constant {
    gap: i64,
    next: i64,
    connections: usize,
    per_connection: u32,
}

impl Sender for Constant {
    fn connect(&mut self, open: usize, _: i64) -> Result<(), i64> {
        if open < self.connections { Ok(()) } else { Err(i64::MAX) }
    }

    fn begin(&mut self, now: i64) -> Result<(), i64> {
        if now < self.next {
            return Err(self.next);
        }
        self.next = self.next.max(now - self.gap) + self.gap;
        Ok(())
    }

    fn per_connection(&self) -> u32 {
        self.per_connection
    }
}

/// One rule with a fixed timer: words, how often they must come in an hour, what happens, for how long.
type Timer = (&'static str, usize, Effect, i64);

#[derive(Clone, Copy)]
enum Effect {
    Rest,
    /// Milliseconds between two messages, over one connection.
    Gap(i64),
    OneConnection,
}

/// Rules with fixed timers as they are shipped with another program: its limits, its words, its times.
struct Timers {
    connections: usize,
    per_connection: u32,
    rules: Vec<Timer>,
    heard: Vec<(usize, i64)>,
    in_force: Vec<(Effect, i64)>,
    next: i64,
}

impl Timers {
    fn new(name: &str) -> Self {
        let slow = Effect::Gap(60_000);
        let mut rules: Vec<Timer> = [
            "temporarily deferred",
            "will be permanently deferred",
            "temporarily rate limited due to IP reputation",
            "weren't sent",
            "Server busy",
        ]
        .map(|words| (words, 1, slow, 90 * MINUTE))
        .to_vec();
        let (connections, per_connection, own): (usize, u32, Vec<Timer>) = match name {
            // Its own rules for Gmail hang on a name that no entry has; they are taken as they were meant.
            "gmail" => (5, 50, vec![("unusual rate", 2, Effect::Gap(6_000), 30 * MINUTE)]),
            "yahoo" => {
                (10, 20, vec![("[TSS04]", 1, Effect::Rest, 2 * HOUR), ("[BL", 1, Effect::Rest, 2 * HOUR)])
            }
            "outlook" => (
                5,
                50,
                vec![
                    ("block list", 5, Effect::Rest, 2 * HOUR),
                    ("rate limited", 3, Effect::Rest, 30 * MINUTE),
                ],
            ),
            "apple" => (10, 5, vec![("[HCM1]", 3, Effect::Rest, 15 * MINUTE)]),
            "orange" => (
                2,
                100,
                vec![
                    ("Trop de connexions", 2, Effect::OneConnection, HOUR),
                    ("refuse", 1, Effect::Rest, HOUR),
                ],
            ),
            "gmx" => (
                4,
                20,
                vec![("Too many connections", 1, Effect::OneConnection, HOUR), ("policy", 1, slow, HOUR)],
            ),
            _ => (10, 100, Vec::new()),
        };
        rules.extend(own);
        Self { connections, per_connection, rules, heard: Vec::new(), in_force: Vec::new(), next: 0 }
    }

    fn effects(&self, now: i64) -> impl Iterator<Item = (Effect, i64)> {
        self.in_force.iter().copied().filter(move |(_, until)| now < *until)
    }

    fn rests_until(&self, now: i64) -> Option<i64> {
        self.effects(now).filter(|(effect, _)| matches!(effect, Effect::Rest)).map(|(_, until)| until).max()
    }
}

impl Sender for Timers {
    fn connect(&mut self, open: usize, now: i64) -> Result<(), i64> {
        if let Some(until) = self.rests_until(now) {
            return Err(until);
        }
        let one = self.effects(now).next().is_some();
        if open < if one { 1 } else { self.connections } { Ok(()) } else { Err(i64::MAX) }
    }

    fn begin(&mut self, now: i64) -> Result<(), i64> {
        if let Some(until) = self.rests_until(now) {
            return Err(until);
        }
        if now < self.next {
            return Err(self.next);
        }
        let gaps = self.effects(now).filter_map(|(effect, _)| match effect {
            Effect::Gap(ms) => Some(ms * MS),
            _ => None,
        });
        // 100 messages a second where nothing else is said.
        self.next = now + gaps.max().unwrap_or(10 * MS);
        Ok(())
    }

    fn per_connection(&self) -> u32 {
        self.per_connection
    }

    fn refused(&mut self, reply: &str, _: Stage, _: u32, now: i64) {
        let reply = reply.replace('\n', " ");
        for (number, (words, count, effect, lasts)) in self.rules.iter().enumerate() {
            if !reply.contains(words) {
                continue;
            }
            self.heard.retain(|(_, at)| now - at < HOUR);
            self.heard.push((number, now));
            if self.heard.iter().filter(|(of, _)| of == &number).count() >= *count {
                self.in_force.retain(|(_, until)| now < *until);
                self.in_force.push((*effect, now + lasts));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// When the last message was taken; none: not within the limit.
    finished: Option<i64>,
    taken: u64,
    deferred: u64,
    /// 5yz for the address: where such an answer is read as the recipient's fault, a person is lost.
    blocked: u64,
    standing: f64,
}

struct Connection {
    free_at: i64,
    sent: u32,
}

/// A receiver as the simulation needs it.
struct Receiver {
    behaviour: Behaviour,
    habits: Habits,
    standing: Standing,
}

impl Receiver {
    fn new(name: &str) -> Self {
        let behaviour = Behaviour::personality(name).unwrap();
        let habits = behaviour.habits.clone().unwrap();
        let standing = Standing::new(&habits, 0);
        Self { behaviour, habits, standing }
    }

    fn connections(&self) -> usize {
        self.behaviour.throttle.connections.map_or(usize::MAX, |limit| limit as usize)
    }

    fn per_connection(&self) -> u32 {
        self.behaviour.throttle.per_connection.unwrap_or(u32::MAX)
    }
}

struct Run<'a> {
    receiver: &'a mut Receiver,
    sender: &'a mut dyn Sender,
    connections: Vec<Connection>,
    left: u64,
    result: Outcome,
}

/// Sends `messages` and answers how that went until then.
fn run(receiver: &mut Receiver, sender: &mut dyn Sender, messages: u64, limit: i64) -> Outcome {
    let result = Outcome { finished: None, taken: 0, deferred: 0, blocked: 0, standing: 0.0 };
    let mut run = Run { receiver, sender, connections: Vec::new(), left: messages, result };
    let (mut now, mut second) = (0, SECOND);
    while run.left > 0 && now < limit {
        while second <= now {
            run.sender.second(second);
            second += SECOND;
        }
        let mut wake = second;
        run.open(now, &mut wake);
        run.send(now, &mut wake);
        if run.left == 0 {
            run.result.finished = Some(now);
        }
        now = wake.max(now + MS);
    }
    run.result.standing = run.receiver.standing.standing();
    run.result
}

impl Run<'_> {
    fn open(&mut self, now: i64, wake: &mut i64) {
        while (self.connections.len() as u64) < self.left {
            match self.sender.connect(self.connections.len(), now) {
                Err(at) => {
                    *wake = (*wake).min(at);
                    return;
                }
                Ok(()) if self.connections.len() >= self.receiver.connections() => {
                    let reply = self.receiver.behaviour.throttle.connections_reply.clone();
                    self.sender.refused(&reply, Stage::Greeting, 0, now);
                    self.sender.closed();
                    self.result.deferred += 1;
                    return;
                }
                Ok(()) => self.connections.push(Connection { free_at: now + OPEN, sent: 0 }),
            }
        }
    }

    fn send(&mut self, now: i64, wake: &mut i64) {
        let mut at = 0;
        while at < self.connections.len() && self.left > 0 {
            let connection = &self.connections[at];
            if connection.free_at > now {
                *wake = (*wake).min(connection.free_at);
                at += 1;
            } else if connection.sent >= self.sender.per_connection() {
                self.close(at);
            } else if let Err(ask) = self.sender.begin(now) {
                *wake = (*wake).min(ask);
                return;
            } else if self.message(at, now) {
                *wake = (*wake).min(self.connections[at].free_at);
                at += 1;
            } else {
                self.close(at);
            }
        }
    }

    fn close(&mut self, at: usize) {
        self.connections.swap_remove(at);
        self.sender.closed();
    }

    /// One message on one connection; false: the receiver closed it.
    fn message(&mut self, at: usize, now: i64) -> bool {
        let seen = self.connections[at].sent + 1;
        let behaviour = &self.receiver.behaviour;
        let (reply, blocked) = if seen > self.receiver.per_connection() {
            (behaviour.throttle.per_connection_reply.clone(), false)
        } else {
            match self.receiver.standing.ask(&self.receiver.habits, now) {
                Treatment::Welcome => {
                    self.sender.taken();
                    self.left -= 1;
                    self.result.taken += 1;
                    self.connections[at] = Connection { free_at: now + MESSAGE, sent: seen };
                    return true;
                }
                Treatment::Later => (behaviour.words.later.clone(), false),
                Treatment::Blocked => {
                    (behaviour.words.blocked.clone(), behaviour.words.blocked.starts_with('5'))
                }
            }
        };
        self.result.blocked += u64::from(blocked);
        self.result.deferred += u64::from(!blocked);
        self.sender.refused(&reply, Stage::Mail, seen, now);
        self.connections[at].free_at = now + REFUSAL;
        !reply.starts_with("421")
    }
}

/// Our name for a personality's site.
fn site(name: &str) -> &'static str {
    match name {
        "gmail" => "google",
        "yahoo" => "yahoo",
        "outlook" => "outlook",
        "apple" => "apple",
        "orange" => "orange",
        _ => "gmx",
    }
}

struct Contest {
    name: &'static str,
    messages: u64,
    ours: Outcome,
    share: f64,
    constant: Outcome,
    timers: Outcome,
}

fn contest(name: &'static str) -> Contest {
    let habits = Receiver::new(name).habits;
    let messages = (habits.per_second * 3_600.0 * CAMPAIGN_HOURS) as u64;
    let ours = run(&mut Receiver::new(name), &mut Adaptive::new(site(name)), messages, LIMIT);
    let mut best: Option<(f64, Outcome)> = None;
    for share in CONSTANT {
        let mut receiver = Receiver::new(name);
        let mut sender = Constant {
            gap: (1e6 / (habits.per_second * share)) as i64,
            next: 0,
            connections: receiver.connections(),
            per_connection: receiver.per_connection(),
        };
        // Who is behind the best so far has lost already.
        let limit = best.and_then(|(_, result)| result.finished).unwrap_or(LIMIT);
        let result = run(&mut receiver, &mut sender, messages, limit);
        if best.is_none() || result.finished.is_some() {
            best = Some((share, result));
        }
    }
    let (share, constant) = best.unwrap();
    let timers = run(&mut Receiver::new(name), &mut Timers::new(name), messages, LIMIT);
    Contest { name, messages, ours, share, constant, timers }
}

fn line(table: &mut String, contest: &Contest, who: &str, result: &Outcome) {
    let took = match result.finished {
        Some(at) => format!("{:.1} h", at as f64 / HOUR as f64),
        None => format!("not in {} h ({} %)", LIMIT / HOUR, result.taken * 100 / contest.messages),
    };
    writeln!(
        table,
        "| {} | {who} | {took} | {} | {} | {:.2} |",
        contest.name, result.deferred, result.blocked, result.standing
    )
    .unwrap();
}

fn table(contests: &[Contest]) -> String {
    let mut table = String::from(
        "| Receiver | Sender | Finished after | Put off (4yz) | Blocked (5yz) | Standing at the end |\n\
         |---|---|---|---|---|---|\n",
    );
    for contest in contests {
        line(&mut table, contest, "adaptive control", &contest.ours);
        let constant = format!("best constant rate ({:.0} %)", contest.share * 100.0);
        line(&mut table, contest, &constant, &contest.constant);
        line(&mut table, contest, "rules with fixed timers", &contest.timers);
    }
    table
}

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- end of table -->\n";

/// The table stands in the manual as it came out, or nearly so.
fn compare_with_docs(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/shaping-contest.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the chapter marks where its table begins");
    let (found, tail) = rest.split_once(END).expect("and where it ends");
    if std::env::var("MAILWRIGHT_WRITE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        let same = found.lines().count() == table.lines().count()
            && found.lines().zip(table.lines()).all(|(found, now)| alike(found, now));
        assert!(
            same,
            "MAILWRIGHT_WRITE_DOCS=1 renews docs/shaping-contest.md; now:\n{table}\nthere:\n{found}"
        );
    }
}

/// Two lines that tell the same: a small change of the control need not change the manual.
fn alike(found: &str, now: &str) -> bool {
    let numbers = |line: &str| -> Vec<f64> {
        let words = line.split(|c: char| !c.is_ascii_digit() && c != '.');
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let words = |line: &str| line.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    let close = |a: f64, b: f64| (a - b).abs() <= 3.0 || (0.5..=2.0).contains(&(a / b));
    let (before, after) = (numbers(found), numbers(now));
    words(found) == words(now)
        && before.len() == after.len()
        && before.into_iter().zip(after).all(|(a, b)| close(a, b))
}

#[test]
fn adaptive_control_wins_at_every_receiver() {
    let contests = std::thread::scope(|scope| {
        let running = PERSONALITIES.map(|name| scope.spawn(move || contest(name)));
        running.map(|thread| thread.join().unwrap())
    });
    let table = table(&contests);
    println!("{table}");
    for contest in &contests {
        let Contest { name, ours, constant, timers, .. } = contest;
        let ours_at = ours.finished.expect(name);
        assert_eq!(ours.blocked, 0, "{name}: nobody is blocked who listens");
        for (who, other) in [("the best constant rate", constant), ("fixed timers", timers)] {
            assert!(other.finished.is_none_or(|at| ours_at < at), "{name}: {who} finished sooner\n{table}");
        }
        assert!(
            ours.deferred + ours.blocked < constant.deferred + constant.blocked,
            "{name}: more was put off than at the best constant rate\n{table}"
        );
        // Who gives up on a receiver for hours hears little from it; measured by what was delivered meanwhile.
        let share = |result: &Outcome| (result.deferred + result.blocked) as f64 / result.taken.max(1) as f64;
        assert!(
            share(ours) < share(timers).max(0.005),
            "{name}: more was put off than with fixed timers\n{table}"
        );
    }
    compare_with_docs(&table);
}
