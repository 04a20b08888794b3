//! Copies over SMTP: a page of owed copies is carried over a few connections of the archive's own, and each result is
//! committed while the others go on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use mta::{Courier, Handed, Line};
use queue::copies::{Copy, Untaken};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::PostConfig;
use crate::limits::{
    COMMIT_MAX, CONNECTIONS_MAX, LOOK, PAGE_MAX, QUIT_MAX, REST, TRIES_MAX, TRY_WAIT, TRY_WAIT_MAX,
};
use crate::records::Safe;
use crate::work::{Turn, rest_after, us};

/// The return path of a copy: empty, so that no bounce of it comes anywhere (RFC 5321 section 4.5.5).
const NOBODY: &str = "";

/// What became of one copy, or of a connection.
enum Carried {
    Safe(Safe),
    Untaken(Untaken),
    /// The server was not reached, or refuses us before it has seen a message.
    Path {
        words: String,
        after_s: Option<u32>,
    },
}

/// What became of a page.
#[derive(Default)]
struct Round {
    taken: usize,
    trouble: Option<(String, Option<u32>)>,
}

/// Works until the turn is over.
pub(crate) async fn work(turn: &Turn, config: &PostConfig) {
    let courier = Arc::new(Courier::new(config.courier.clone(), Arc::clone(&turn.world)));
    let mut failures = 0;
    while !turn.is_over() {
        let page = match turn.page(None, PAGE_MAX).await {
            Ok(page) => page,
            Err(error) => {
                turn.rest(&error.to_string(), REST).await;
                continue;
            }
        };
        if page.is_empty() {
            turn.wait_for_copies(LOOK).await;
            continue;
        }
        let round = carry_page(turn, config, &courier, page).await;
        if round.taken > 0 {
            failures = 0;
            turn.works();
        } else if let Some((words, after_s)) = round.trouble {
            turn.rest(&words, rest_after(failures, after_s)).await;
            failures = failures.saturating_add(1);
        }
    }
}

async fn carry_page(turn: &Turn, config: &PostConfig, courier: &Arc<Courier>, page: Vec<Copy>) -> Round {
    let count = page.len().min(config.connections.clamp(1, CONNECTIONS_MAX) as usize);
    let line = Arc::new(Mutex::new(VecDeque::from(page)));
    // Bounded: while the database is away nothing more is sent than what one commit holds.
    let (sender, mut results) = mpsc::channel(COMMIT_MAX);
    let mut carriers = JoinSet::new();
    for _ in 0..count {
        let carrier = Carrier {
            turn: turn.clone(),
            address: config.address.clone(),
            domain: config.domain.clone(),
            courier: Arc::clone(courier),
            copies: Arc::clone(&line),
            results: sender.clone(),
        };
        carriers.spawn(carrier.run());
    }
    drop(sender);
    let mut round = Round::default();
    while let Some(first) = results.recv().await {
        let (mut safe, mut untaken) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(carried) = next.take() {
            match carried {
                Carried::Safe(copy) => safe.push(copy),
                Carried::Untaken(copy) => untaken.push(copy),
                Carried::Path { words, after_s } => round.trouble = Some((words, after_s)),
            }
            if safe.len() + untaken.len() < COMMIT_MAX {
                next = results.try_recv().ok();
            }
        }
        round.taken += safe.len();
        turn.commit(safe, untaken).await;
    }
    // All have ended: each held a sender.
    carriers.join_all().await;
    round
}

/// One connection's work.
struct Carrier {
    turn: Turn,
    address: String,
    domain: String,
    courier: Arc<Courier>,
    copies: Arc<Mutex<VecDeque<Copy>>>,
    results: mpsc::Sender<Carried>,
}

impl Carrier {
    async fn run(self) {
        let mut line = match self.courier.line(&self.domain).await {
            Ok(line) => line,
            Err(error) => {
                self.tell(Carried::Path { words: error.reason, after_s: error.after_s }).await;
                return;
            }
        };
        while !self.turn.is_over() && line.is_open() {
            let next = self.copies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(copy) = next else { break };
            if !self.carry(&mut line, copy).await {
                break;
            }
        }
        // A server that does not say farewell has all the same what it took.
        let _ = tokio::time::timeout(QUIT_MAX, line.quit()).await;
    }

    async fn tell(&self, carried: Carried) {
        // The receiver outlives the carriers.
        let _ = self.results.send(carried).await;
    }

    /// One copy; false: nothing more goes over this connection.
    async fn carry(&self, line: &mut Line, copy: Copy) -> bool {
        if let Err(untaken) = self.turn.prepare(&copy).await {
            self.tell(Carried::Untaken(untaken)).await;
            return true;
        }
        let turn = self.turn.clone();
        let composed = self.turn.shared.bench.run(move || (turn.exact(&copy), copy)).await;
        let (bytes, copy) = match composed {
            Ok((Ok(bytes), copy)) => (bytes, copy),
            Ok((Err(untaken), _)) => {
                self.tell(Carried::Untaken(untaken)).await;
                return true;
            }
            Err(error) => {
                self.tell(Carried::Path { words: error.to_string(), after_s: None }).await;
                return false;
            }
        };
        let id = copy.message.id;
        match line.send(NOBODY, &self.address, &bytes).await {
            Handed::Taken { .. } => {
                let octets = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                self.tell(Carried::Safe(Safe { id, octets })).await;
                true
            }
            Handed::Refused { words, of_message: true, permanent, .. } => {
                let untaken = refused(&copy, words, permanent, self.turn.now_us());
                self.tell(Carried::Untaken(untaken)).await;
                true
            }
            Handed::Refused { words, after_s, .. } => {
                let words = format!("the archive's server refuses {}: {words}", self.address);
                self.tell(Carried::Path { words, after_s }).await;
                false
            }
            Handed::Lost { words, .. } => {
                // Whether this copy broke it, nobody can tell: it waits, so that it does not hold up the others.
                let untaken = refused(&copy, words.clone(), false, self.turn.now_us());
                self.tell(Carried::Untaken(untaken)).await;
                self.tell(Carried::Path { words, after_s: None }).await;
                false
            }
        }
    }
}

/// A copy that the server does not want: tried again, later each time, then held.
fn refused(copy: &Copy, words: String, permanent: bool, now: i64) -> Untaken {
    let tries = copy.tries + 1;
    let doublings = u32::try_from(copy.tries.clamp(0, 16)).unwrap_or(16);
    let wait = TRY_WAIT.saturating_mul(2_u32.saturating_pow(doublings)).min(TRY_WAIT_MAX);
    let due = (!permanent && tries < TRIES_MAX).then(|| now + us(wait));
    let error = format!("the archive's server refused the copy: {words}");
    Untaken { id: copy.message.id, due, error, counts: true }
}
