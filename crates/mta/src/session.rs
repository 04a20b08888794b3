//! transact: one connection's life after it stands. While a message waits for the answer to its dot the next one is
//! composed, and with PIPELINING its commands are already out.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::FinalState;
use routes::{SiteRules, TlsPolicy};
use smtp::{Cut, Event, Outcome};
use tokio::sync::{Notify, oneshot, watch};

use crate::blame::{self, Said};
use crate::compose::Prepared;
use crate::config::{ANSWER_LOOK, PREPARED_ALL, PREPARED_MAX, PREPARED_MIN, WATCH, us};
use crate::connect::{Means, SiteTls, Terms, Unreached, connect};
use crate::engine::Shared;
use crate::exchange::{Counted, Exchange, InForce, LINK, Path};
use crate::gate::Ticket;
use crate::load::Load;
use crate::result::{Attempt, Heard, Next};
use crate::shape::Suspension;
use crate::shape::shaper::WARM_UP;
use crate::trace::without_local_part;
use crate::turns::Turn;
use crate::unsettled::{Allowance, Permits};
use crate::wire::{Patience, Wire};
use crate::world::{Boxed, Order};

/// Composed messages that a connection sends still before it gives way to a higher priority.
const LAST_MESSAGES: usize = 4;

/// A transaction under way.
struct Flight {
    id: i64,
    load: Load,
    ticket: Arc<Ticket>,
    /// Freed once it is in the connection's buffer.
    bytes: Vec<u8>,
    octets: u32,
    digest: [u8; 16],
    message_id: String,
    body_given: bool,
    /// Cut by a stop before its body was given: the connection ends as soon as earlier answers are in.
    given_up: bool,
    /// Its engine has ended, and a retry stands on disk in case that its answer does not come: see [`Attempt::left_behind`].
    left_behind: bool,
    permits: Permits,
}

/// The wait of a message for the rate of its path.
struct Pace {
    sleep: Boxed<'static, ()>,
    path: Arc<Path>,
    level: u8,
}

impl Pace {
    fn new(shared: &Shared, path: &Arc<Path>, level: u8, at_us: i64) -> Self {
        path.paced.enter(level);
        let left = at_us.saturating_sub(shared.world.now_us());
        let sleep = shared.world.sleep_until_mono(shared.world.mono_us().saturating_add(left));
        Self { sleep, path: Arc::clone(path), level }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.path.paced.leave(self.level);
    }
}

struct Session {
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
    in_force: InForce,
    wire: Wire,
    /// How it is secured, as the queue numbers that.
    tls: Option<i64>,
    cut: Arc<Notify>,
    closing: watch::Receiver<bool>,
    flights: VecDeque<Flight>,
    preparing: Option<oneshot::Receiver<Vec<Prepared>>>,
    /// How many are being composed.
    in_making: usize,
    ready: VecDeque<Prepared>,
    permits: Option<Permits>,
    allowance: Allowance,
    begun: u32,
    since_us: i64,
    /// Its turn is over: no more than so many messages begin on it, because others wait for its connection.
    begun_max: u32,
    idle_since_us: Option<i64>,
    leaving: bool,
    watch: Option<Boxed<'static, ()>>,
    /// The message in hand may not begin before this completes.
    pace: Option<Pace>,
    /// It has waited for the rate, and may begin now.
    waited: bool,
}

/// Opens a connection and works until there is nothing left to do on it.
pub(crate) async fn run(shared: Arc<Shared>, exchange: Arc<Exchange>) {
    let path = &exchange.path;
    let in_force = path.in_force();
    let trace = shared.traces.begin(exchange.site(), || {
        let world = Arc::clone(&shared.world);
        Arc::new(move || world.now_us())
    });
    let means = Means { trace: Mutex::new(trace), ..shared.means() };
    let terms = terms(path, &in_force.rules);
    match connect(&means, &exchange.way(), &path.source.source, &terms).await {
        Ok(wire) => {
            exchange.reached();
            let _stands = Counted::in_count(&exchange.standing);
            let tls = recorded(&shared, wire.secured.clone()).await;
            let mut session = Session::new(&shared, &exchange, in_force, wire, tls);
            session.work().await;
            session.end().await;
            means.false_offers.learn(&session.wire, shared.world.now_us());
        }
        Err(unreached) => not_reached(&shared, &exchange, &in_force, unreached),
    }
}

/// No host took us. What a receiver said in its greeting may be about our connections or our address, and not about it.
fn not_reached(shared: &Shared, exchange: &Exchange, in_force: &InForce, unreached: Unreached) {
    let now = shared.world.now_us();
    let reason = without_local_part(&unreached.reason);
    tracing::info!(site = %exchange.site(), reason, "receiver not reached");
    let refused = unreached.refused.as_deref();
    let verdict = refused.map(|(reply, stage)| shared.judge(exchange.site(), reply, *stage));
    let category = verdict.as_ref().map_or(unreached.category, |verdict| verdict.category);
    shared.heard(exchange, &smtp::normalised(&unreached.reason), (0, category), now);
    if let (Some((reply, _)), Some(verdict)) = (refused, verdict)
        && (matches!(verdict.path, smtp::PathAction::FewerConnections | smtp::PathAction::Slow { .. })
            || (exchange.path.site.is_known() && verdict.path != smtp::PathAction::None))
    {
        let said = Said { verdict: &verdict, reply, seen: 0, secured: false, now_us: now };
        blame::obey(shared, exchange, said, None);
        return;
    }
    exchange.failed(&reason, unreached.after_s, in_force.rules.failures_before_rest, now);
}

/// What the rules of the site and the source say about connecting.
fn terms(path: &Path, rules: &SiteRules) -> Terms {
    Terms {
        tls: match rules.tls {
            TlsPolicy::None => SiteTls::None,
            TlsPolicy::Opportunistic => SiteTls::Opportunistic,
            TlsPolicy::Required => SiteTls::Required,
        },
        secure_only: path.site.secure_only.load(Ordering::Acquire),
        clear_after_broken_tls: rules.clear_after_broken_tls,
        connect_timeout: Duration::from_secs(u64::from(rules.connect_timeout_s)),
        proxy: path.source.proxy,
    }
}

/// The number under which it is kept how the connection is secured.
async fn recorded(shared: &Shared, secured: Option<Arc<net::Secured>>) -> Option<i64> {
    let secured = secured?;
    let tls = queue::Tls {
        protocol: secured.protocol.to_owned(),
        cipher: secured.cipher.to_owned(),
        certificate: secured.certificate.iter().map(|octet| format!("{octet:02x}")).collect(),
        proof: match secured.by {
            net::Proven::None => queue::TlsProof::None,
            net::Proven::Name => queue::TlsProof::Name,
            net::Proven::Sts => queue::TlsProof::Sts,
            net::Proven::Dane => queue::TlsProof::Dane,
        },
    };
    match shared.queue.secured(tls).await {
        Ok(number) => Some(number),
        Err(error) => {
            tracing::warn!(%error, "how a connection is secured could not be written down");
            None
        }
    }
}

impl Session {
    fn new(
        shared: &Arc<Shared>,
        exchange: &Arc<Exchange>,
        in_force: InForce,
        mut wire: Wire,
        tls: Option<i64>,
    ) -> Self {
        wire.patience = Some(Patience::of(&in_force.rules));
        Self {
            shared: Arc::clone(shared),
            exchange: Arc::clone(exchange),
            in_force,
            wire,
            tls,
            cut: Arc::new(Notify::new()),
            closing: shared.closing_signal(),
            flights: VecDeque::with_capacity(2),
            preparing: None,
            in_making: 0,
            ready: VecDeque::with_capacity(PREPARED_MAX),
            permits: None,
            allowance: exchange.path.allowances.take(),
            begun: 0,
            since_us: shared.world.mono_us(),
            begun_max: u32::MAX,
            idle_since_us: None,
            leaving: false,
            watch: None,
            pace: None,
            waited: false,
        }
    }

    async fn work(&mut self) {
        loop {
            self.take_events();
            if self.wire.client.is_closed() {
                return;
            }
            let (now, mono) = (self.shared.world.now_us(), self.shared.world.mono_us());
            self.note_dots();
            self.obey_cuts();
            self.wire.watch(mono);
            if self.wire.client.is_closed() {
                continue;
            }
            self.follow_rules();
            self.decide_to_leave(now, mono);
            self.fill(now);
            while self.begin(now) {
                self.fill(now);
            }
            if self.leaving && self.flights.is_empty() && self.wire.client.is_idle() {
                self.wire.client.quit();
            }
            self.wait(mono).await;
        }
    }

    /// Waits for whatever comes first. Every branch may be dropped at any time without losing anything.
    async fn wait(&mut self, mono: i64) {
        let idle = self.is_idle();
        let wants_work = self.preparing.is_none() && self.ready.is_empty() && !self.leaving;
        let wants_permit = !self.ready.is_empty() && self.permits.is_none();
        self.idle_since_us = if idle { self.idle_since_us.or(Some(mono)) } else { None };
        if idle || self.pace.is_some() {
            self.shared.composers.take_back(self.wire.client.idle_output());
        }
        let _idles = idle.then(|| Counted::in_count(&self.exchange.idle));
        let watch = self.watch.get_or_insert_with(|| {
            let idle = Duration::from_secs(u64::from(self.in_force.rules.idle_s.max(1)));
            self.shared.world.sleep_until_mono(mono + us(WATCH.min(idle)))
        });
        let settler = &self.shared.settler;
        let allowance = &self.allowance;
        tokio::select! {
            biased;
            () = self.cut.notified() => {}
            () = self.wire.step() => {}
            prepared = poll_prepared(&mut self.preparing), if self.preparing.is_some() => {
                (self.preparing, self.in_making) = (None, 0);
                self.ready.extend(prepared.unwrap_or_default());
            }
            permits = allowance.permits(settler), if wants_permit => self.permits = permits,
            () = self.exchange.arrived.notified(), if wants_work => {}
            _ = self.closing.changed() => {}
            () = poll_pace(&mut self.pace), if self.pace.is_some() => (self.pace, self.waited) = (None, true),
            () = watch => self.watch = None,
        }
    }

    /// Nothing is under way or in its hands.
    fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.preparing.is_none() && self.ready.is_empty()
    }

    /// Takes other rules over when they changed under way.
    fn follow_rules(&mut self) {
        if self.exchange.path.generation() != self.in_force.generation {
            self.in_force = self.exchange.path.in_force();
        }
    }

    fn decide_to_leave(&mut self, now: i64, mono: i64) {
        self.give_way(now, mono);
        let path = &self.exchange.path;
        let tired = self.begun >= self.messages_limit();
        let patience = i64::from(self.in_force.rules.idle_s) * 1_000_000;
        let bored = self.idle_since_us.is_some_and(|since| mono - since >= patience);
        let closing = self.shared.closing.load(Ordering::Acquire);
        // What another connection of this path was told holds for this one.
        let resting = self.exchange.resting_until(now).is_some() || path.is_draining();
        let too_many = path.shaper.open() > path.shaper.connections_limit();
        let unwanted = path.site.secure_only.load(Ordering::Acquire)
            && self.wire.secured.is_none()
            && self.in_force.rules.tls != TlsPolicy::None;
        let crowded = self.is_idle() && self.exchange.waiting() == 0 && self.is_needed_elsewhere();
        self.leaving |= tired || bored || closing || resting || too_many || unwanted || crowded;
    }

    /// Another receiver waits for the connection that this one has nothing to do with.
    fn is_needed_elsewhere(&self) -> bool {
        let (exchange, path) = (&self.exchange, &self.exchange.path);
        path.site.is_full()
            || [&path.turns, &self.shared.turns].iter().any(|line| line.top_other_than(exchange) > 0)
    }

    /// How many messages may begin on this connection.
    fn messages_limit(&self) -> u32 {
        self.exchange.path.shaper.messages_limit().min(self.begun_max)
    }

    /// Ends its turn when somebody waits for the connection who goes before it.
    fn give_way(&mut self, now: i64, mono: i64) {
        let (path, node) = (&self.exchange.path, &self.shared.turns);
        let lines = [&path.turns, &path.site.turns, node];
        if self.begun_max != u32::MAX || self.leaving || lines.iter().all(|line| line.is_empty()) {
            return;
        }
        let turn = Turn { level: self.level(), begun: self.begun, since_us: self.since_us };
        let higher = lines.iter().any(|line| line.top_other_than(&self.exchange) > turn.level);
        if !path.shaper.may_connect(&self.in_force.limits, now)
            || !lines.iter().any(|line| line.is_over(&self.exchange, turn, mono))
        {
            return;
        }
        // What is composed goes out still, but a higher priority waits for a few messages only, and nobody for the rate.
        let in_hand = self.ready.len() + self.in_making;
        let in_hand = if higher { in_hand.min(LAST_MESSAGES) } else { in_hand };
        self.begun_max = self.begun.saturating_add(u32::try_from(in_hand).unwrap_or(u32::MAX));
        self.leaving |= self.pace.is_some() || higher && self.waited;
    }

    /// The level of what it has in hand, or in its line.
    fn level(&self) -> u8 {
        self.exchange.level().max(self.level_in_hand())
    }

    fn level_in_hand(&self) -> u8 {
        self.ready.front().map_or(0, |(load, _)| load.rank().priority as u8 + 1)
    }

    /// Has the next messages composed before the last one in hand begins, so that its successor's commands ride on its
    /// body.
    fn fill(&mut self, now: i64) {
        if self.leaving {
            self.put_back();
            self.pace = None;
            return;
        }
        if self.preparing.is_some() || self.ready.len() > 1 {
            return;
        }
        let wanted = self.batch();
        let site = &self.exchange.path.site;
        let blocked = site.any_blocked().then(|| site.blocked_deliveries(now));
        let mut loads = Vec::with_capacity(wanted);
        while loads.len() < wanted
            && let Some(load) = self.exchange.pop(blocked.as_ref())
        {
            if !load.is_wanted() {
                load.finish();
                continue;
            }
            let run = load.gate().run();
            if self.shared.queue.is_suppressed(load.message(), &run.spec) {
                self.shared.settle_suppressed(load, &site.name);
                continue;
            }
            loads.push(load);
        }
        if !loads.is_empty() {
            self.in_making = loads.len();
            self.preparing = Some(self.shared.composers.order(loads));
        }
    }

    /// Puts prepared messages back in their line, the last one first, because each goes to the front.
    fn put_back(&mut self) {
        while self.ready.pop_back().is_some() {}
    }

    /// How many messages to take at once: its share of those that wait, a few at most, and one where a limit makes
    /// messages wait their turn or nothing was sent yet.
    fn batch(&self) -> usize {
        if self.begun == 0 || self.pace.is_some() {
            return usize::from(self.ready.is_empty());
        }
        let left = self.messages_limit().saturating_sub(self.begun) as usize;
        let standing = self.exchange.standing.load(Ordering::Acquire).max(1);
        let most = (PREPARED_ALL / self.shared.sessions().max(1)).clamp(PREPARED_MIN, PREPARED_MAX);
        let share = (self.exchange.waiting() / standing).clamp(1, most);
        share.min(left.saturating_sub(self.ready.len()))
    }

    /// True when the path's limits let one more message begin. Otherwise the message in hand waits here for its turn, or,
    /// when that is far off, in its line, and the connection ends.
    fn may_begin(&mut self, now: i64) -> bool {
        let path = &self.exchange.path;
        if path.paced.goes_before(|| self.level_in_hand()) {
            // The next turn at this rate is a higher priority's, and this connection is no use to it.
            self.leaving = true;
            return false;
        }
        self.waited = false;
        let Err(at) = path.shaper.begin_message(&self.in_force.limits, now) else { return true };
        if path.shaper.allowance() == Some(0) && path.shaper.under_way() > 0 {
            // What is under way may come back unaccepted: another message goes in its place then.
            let look = at.min(now + us(ANSWER_LOOK));
            self.pace = Some(Pace::new(&self.shared, path, self.level_in_hand(), look));
        } else if path.shaper.allowance() == Some(0) {
            let reason = "the warm-up's messages of today are sent".to_owned();
            path.warm_rest.store(true, Ordering::Release);
            path.shaper.hold(WARM_UP, &Suspension { until_us: Some(at), reason, by: String::new() });
            self.leaving = true;
        } else if at - now > i64::from(self.in_force.rules.idle_s) * 1_000_000 || self.begun_max != u32::MAX {
            // The wait is for whoever's turn it is, where its own is over.
            self.leaving = true;
        } else {
            self.pace = Some(Pace::new(&self.shared, path, self.level_in_hand(), at));
        }
        false
    }

    /// A delivery that the receiver complained of since it was composed; or one of a domain, or with a link, that may not go
    /// there, which is found out here, where sender and content are known.
    fn is_blocked(&self, load: &Load, composed: &message::Composed, now: i64) -> bool {
        let site = &self.exchange.path.site;
        if !site.any_blocked() {
            return false;
        }
        let delivery = format!("delivery:{}", load.message().delivery());
        if site.block_of(&delivery, now).is_some() {
            return true;
        }
        let domain = format!("domain:{}", domain_of(&composed.message_id));
        let of_domain = site.block_of(&domain, now).map(|block| (domain, block));
        let order = Order { message: load.message() };
        let links = |(identity, _): &(String, Suspension)| {
            identity.strip_prefix(LINK).is_some_and(|host| self.shared.compose.links_to(order, host))
        };
        let found = of_domain.or_else(|| site.blocked_links(now).into_iter().find(links));
        let blocked = found.is_some();
        if let Some((identity, block)) = found {
            site.block_with(&delivery, block, &identity);
        }
        blocked
    }

    /// gate: begins the transaction of a composed message when connection and settler allow it. True: the message in hand
    /// is not to be sent, the next one may be.
    fn begin(&mut self, now: i64) -> bool {
        if self.leaving || self.pace.is_some() || self.ready.is_empty() || !self.wire.client.can_begin() {
            return false;
        }
        if self.permits.is_none() {
            // At once where they are to be had: waiting would send the body before without this message's commands.
            self.permits = self.allowance.try_permits(&self.shared.settler);
        }
        if self.permits.is_none() || !self.may_begin(now) {
            return false;
        }
        let Some((load, composed)) = self.ready.pop_front() else { return false };
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => {
                tracing::warn!(message = load.message().id, %error, "a message could not be composed");
                self.exchange.path.shaper.not_begun();
                self.settle_undone(load, |attempt| attempt.not_composed(&error));
                return true;
            }
        };
        let run = load.gate().run();
        if self.shared.queue.is_suppressed(load.message(), &run.spec) {
            self.exchange.path.shaper.not_begun();
            self.shared.settle_suppressed(load, self.exchange.site());
            return true;
        }
        if self.is_blocked(&load, &composed, now) {
            // Dropped, it goes back in its line, where its delivery is passed over from now on.
            self.exchange.path.shaper.not_begun();
            return true;
        }
        self.enter(load, composed, run.spec.test_smtp, now)
    }

    /// Through the gate and onto the connection. As [`Session::begin`].
    fn enter(&mut self, load: Load, composed: message::Composed, test: bool, now: i64) -> bool {
        let id = load.message().id;
        let Some(ticket) = load.gate().enter(load.message(), load.epoch(), &self.cut, now) else {
            self.exchange.path.shaper.not_begun();
            load.finish();
            return true;
        };
        let envelope = smtp::Envelope {
            from: composed.return_path,
            to: envelope_address(&load),
            size: composed.bytes.len() as u64,
            eight_bit: !composed.bytes.is_ascii(),
        };
        let begun = if test {
            self.wire.client.probe(id.cast_unsigned(), envelope)
        } else {
            self.wire.client.begin(id.cast_unsigned(), envelope)
        };
        match begun {
            Ok(()) => {
                let Some(permits) = self.permits.take() else { return false };
                self.begun += 1;
                // A test ends the connection after its answer, so that no receiver keeps an open transaction.
                self.leaving |= test;
                self.flights.push_back(Flight {
                    id,
                    load,
                    ticket,
                    octets: u32::try_from(composed.bytes.len()).unwrap_or(u32::MAX),
                    bytes: composed.bytes,
                    digest: composed.digest,
                    message_id: composed.message_id,
                    body_given: false,
                    given_up: false,
                    left_behind: false,
                    permits,
                });
                false
            }
            Err(why) => {
                self.exchange.path.shaper.not_begun();
                load.gate().leave(id);
                let words = why.reply().map_or_else(|| why.to_string(), |reply| reply.to_string());
                self.settle_undone(load, |attempt| {
                    attempt.decided(FinalState::Failed, why.reason().name(), Some(&words))
                });
                true
            }
        }
    }

    fn settle_undone(&self, load: Load, settle: impl FnOnce(&Attempt<'_>) -> queue::Settlement) {
        let run = load.gate().run();
        let settlement = settle(&Attempt {
            message: load.message(),
            run: &run.spec,
            source: Some(&self.exchange.path.source.name),
            site: self.exchange.site(),
            now_us: self.shared.world.now_us(),
        });
        load.finish();
        self.shared.settler.submit(settlement, None, None);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.wire.next_event() {
            match event {
                Event::BodyWanted { id } => self.give_body(id.cast_signed()),
                Event::Finished { id, outcome } => self.finished(id.cast_signed(), &outcome),
                Event::Closed { .. } | Event::Ready | Event::Handshake => {}
            }
        }
    }

    fn give_body(&mut self, id: i64) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.id == id)
            && !flight.ticket.is_cut()
            && !flight.given_up
        {
            let bytes = std::mem::take(&mut flight.bytes);
            let (given, spare) = self.wire.client.body_in(id.cast_unsigned(), bytes);
            flight.body_given = given;
            self.shared.composers.take_back(spare);
        }
    }

    fn note_dots(&mut self) {
        for flight in self.flights.iter().filter(|f| f.body_given && !f.ticket.is_past_dot()) {
            if self.wire.client.dot_is_written(flight.id.cast_unsigned()) {
                flight.ticket.pass_dot();
            }
        }
    }

    /// Gives up what a stop wants given up, once the answers to earlier messages are in.
    fn obey_cuts(&mut self) {
        let mut abandon = false;
        for at in 0..self.flights.len() {
            let waits_for_earlier = at > 0;
            let flight = &mut self.flights[at];
            if !flight.ticket.is_cut() {
                continue;
            }
            if flight.ticket.is_past_dot() {
                flight.load.gate().moved();
                if self.shared.is_leaving_behind() {
                    self.leave_behind(at);
                }
            } else if waits_for_earlier {
                self.leaving = true;
                if !flight.given_up {
                    flight.given_up = true;
                    flight.load.gate().leave(flight.id);
                }
            } else {
                abandon = true;
            }
        }
        if abandon {
            self.wire.client.cut(Cut::Abandoned);
        }
    }

    /// Writes a retry down for a message whose receiver takes its time with the answer to the dot: the engine ends, and may not
    /// be there when it comes. An answer that does come settles the message all the same.
    fn leave_behind(&mut self, at: usize) {
        let flight = &mut self.flights[at];
        if std::mem::replace(&mut flight.left_behind, true) {
            return;
        }
        let (id, gate) = (flight.id, Arc::clone(flight.load.gate()));
        let run = gate.run();
        let attempt = Attempt {
            message: flight.load.message(),
            run: &run.spec,
            source: Some(&self.exchange.path.source.name),
            site: self.exchange.site(),
            now_us: self.shared.world.now_us(),
        };
        let settlement = attempt.left_behind(Patience::of(&self.in_force.rules).dot);
        self.shared.settler.submit(settlement, None, Some(Box::new(move || gate.leave(id))));
    }

    fn finished(&mut self, id: i64, outcome: &Outcome) {
        let Some(at) = self.flights.iter().position(|flight| flight.id == id) else { return };
        let Some(flight) = self.flights.remove(at) else { return };
        if flight.given_up {
            self.exchange.path.shaper.not_accepted();
            flight.load.finish();
            return;
        }
        let gate = Arc::clone(flight.load.gate());
        let run = gate.run();
        let heard = Heard {
            shared: &self.shared,
            exchange: &self.exchange,
            seen: self.begun,
            secured: self.wire.secured.is_some(),
            octets: flight.octets,
            domain: domain_of(&flight.message_id),
        };
        let next = Attempt {
            message: flight.load.message(),
            run: &run.spec,
            source: Some(&self.exchange.path.source.name),
            site: self.exchange.site(),
            now_us: self.shared.world.now_us(),
        }
        .judge(outcome, flight.digest, heard);
        match next {
            Next::Settle(mut settlement) => {
                (settlement.octets, settlement.tls) = (flight.octets, self.tls);
                flight.load.finish();
                let (permit, of_connection) = flight.permits;
                let settled = Box::new(move || {
                    gate.leave(id);
                    drop(of_connection);
                });
                self.shared.settler.submit(settlement, Some(permit), Some(settled));
            }
            Next::PutBack => {
                gate.leave(id);
                if flight.load.is_wanted() && !flight.left_behind {
                    drop(flight.load);
                } else {
                    flight.load.finish();
                }
            }
        }
    }

    /// The connection is over: what was being prepared goes back in its line.
    async fn end(&mut self) {
        self.put_back();
        if let Some(preparing) = self.preparing.take() {
            // Awaited, so that no message is in nobody's hands. The last one first, as each goes to the front of its line.
            let mut made = preparing.await.unwrap_or_default();
            while made.pop().is_some() {}
        }
    }
}

async fn poll_pace(pace: &mut Option<Pace>) {
    if let Some(pace) = pace {
        (&mut pace.sleep).await;
    }
}

/// The sender's domain, as the Message-ID has it.
fn domain_of(message_id: &str) -> &str {
    message_id.rsplit_once('@').map_or("", |(_, domain)| domain)
}

async fn poll_prepared(preparing: &mut Option<oneshot::Receiver<Vec<Prepared>>>) -> Option<Vec<Prepared>> {
    match preparing {
        Some(receiver) => receiver.await.ok(),
        None => None,
    }
}

/// The address as it stands in RCPT: quoted where its local part needs it.
fn envelope_address(load: &Load) -> String {
    let message = load.message();
    match address::Mailbox::parse(&message.address) {
        Ok(mailbox) => mailbox.smtp().to_string(),
        // Analysis admitted it, so this is an address of an older grammar: the protocol layer has the last word.
        Err(_) => message.address.clone(),
    }
}
