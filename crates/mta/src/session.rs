//! transact: one connection's life after it stands. While a message waits for the answer to its dot the next one is
//! composed, and with PIPELINING its commands are already out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use queue::{FinalState, UnsettledPermit};
use smtp::{Cut, Event, Outcome};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::compose::Prepared;
use crate::config::{UNSETTLED_PER_CONNECTION, WATCH, us};
use crate::connect::connect;
use crate::engine::Shared;
use crate::exchange::Exchange;
use crate::gate::Ticket;
use crate::load::Load;
use crate::result::{Attempt, Next};
use crate::wire::Wire;
use crate::world::Boxed;

/// A transaction under way.
struct Flight {
    id: i64,
    load: Load,
    ticket: Arc<Ticket>,
    /// Freed once it is in the connection's buffer.
    bytes: Vec<u8>,
    octets: u32,
    digest: [u8; 16],
    body_given: bool,
    /// Cut by a stop before its body was given: the connection ends as soon as earlier answers are in.
    given_up: bool,
    permits: Permits,
}

/// The rights to one more unsettled result, of the queue and of this connection.
type Permits = (UnsettledPermit, OwnedSemaphorePermit);

struct Session {
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
    source: Arc<str>,
    wire: Wire,
    cut: Arc<Notify>,
    closing: watch::Receiver<bool>,
    flights: VecDeque<Flight>,
    preparing: Option<oneshot::Receiver<Prepared>>,
    ready: Option<Prepared>,
    permits: Option<Permits>,
    unsettled: Arc<Semaphore>,
    begun: u32,
    messages_max: u32,
    idle_since_us: Option<i64>,
    leaving: bool,
    watch: Option<Boxed<'static, ()>>,
}

/// Opens a connection and works until there is nothing left to do on it.
pub(crate) async fn run(shared: Arc<Shared>, exchange: Arc<Exchange>) {
    let number = exchange.source.unwrap_or_else(|| shared.next_source());
    let source = &shared.config.sources[number];
    match connect(&shared.means(), &exchange.way, source).await {
        Ok(wire) => {
            let mut session = Session::new(&shared, &exchange, source.name.as_str().into(), wire);
            session.work().await;
            session.end().await;
        }
        Err(unreached) => {
            let now = shared.world.now_us();
            exchange.failed(&unreached.reason, unreached.after_s, now);
            tracing::info!(site = %exchange.site.name, reason = %unreached.reason, "receiver not reached");
        }
    }
}

impl Session {
    fn new(shared: &Arc<Shared>, exchange: &Arc<Exchange>, source: Arc<str>, wire: Wire) -> Self {
        Self {
            shared: Arc::clone(shared),
            exchange: Arc::clone(exchange),
            source,
            wire,
            cut: Arc::new(Notify::new()),
            closing: shared.closing_signal(),
            flights: VecDeque::with_capacity(2),
            preparing: None,
            ready: None,
            permits: None,
            unsettled: Arc::new(Semaphore::new(UNSETTLED_PER_CONNECTION)),
            begun: 0,
            messages_max: exchange.site.limits.messages_per_connection.max(1),
            idle_since_us: None,
            leaving: false,
            watch: None,
        }
    }

    async fn work(&mut self) {
        loop {
            self.take_events();
            if self.wire.client.is_closed() {
                return;
            }
            let now = self.shared.world.now_us();
            self.note_dots();
            self.obey_cuts();
            self.wire.watch(now);
            if self.wire.client.is_closed() {
                continue;
            }
            self.decide_to_leave(now);
            self.fill();
            self.begin();
            if self.leaving && self.flights.is_empty() && self.wire.client.is_idle() {
                self.wire.client.quit();
            }
            self.wait(now).await;
        }
    }

    /// Waits for whatever comes first. Every branch may be dropped at any time without losing anything.
    async fn wait(&mut self, now: i64) {
        let idle = self.flights.is_empty() && self.preparing.is_none() && self.ready.is_none();
        let wants_work = self.preparing.is_none() && self.ready.is_none() && !self.leaving;
        let wants_permit = self.ready.is_some() && self.permits.is_none();
        self.idle_since_us = if idle { self.idle_since_us.or(Some(now)) } else { None };
        if idle {
            self.exchange.idle.fetch_add(1, Ordering::AcqRel);
        }
        let watch = self.watch.get_or_insert_with(|| {
            self.shared.world.sleep_until(now + us(WATCH.min(self.shared.config.idle)))
        });
        let settler = &self.shared.settler;
        let unsettled = &self.unsettled;
        tokio::select! {
            biased;
            () = self.cut.notified() => {}
            () = self.wire.step() => {}
            prepared = poll_prepared(&mut self.preparing), if self.preparing.is_some() => {
                self.preparing = None;
                self.ready = prepared;
            }
            permits = take_permits(settler, unsettled), if wants_permit => self.permits = permits,
            () = self.exchange.arrived.notified(), if wants_work => {}
            _ = self.closing.changed() => {}
            () = watch => self.watch = None,
        }
        if idle {
            self.exchange.idle.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn decide_to_leave(&mut self, now: i64) {
        let tired = self.begun >= self.messages_max;
        let bored = self.idle_since_us.is_some_and(|since| now - since >= us(self.shared.config.idle));
        let closing = self.shared.closing.load(Ordering::Acquire);
        // What another connection of this path was told holds for this one.
        let resting = self.exchange.resting_until(now).is_some();
        let crowded = self.idle_since_us.is_some()
            && self.exchange.waiting() == 0
            && self.exchange.site.open.load(Ordering::Acquire) >= self.shared.site_limit(&self.exchange.site)
            && self.exchange.site.is_wanted_by_another(&self.exchange, now);
        self.leaving |= tired || bored || closing || resting || crowded;
    }

    /// Has the next message composed.
    fn fill(&mut self) {
        if self.leaving {
            // Dropping a prepared message puts it back in its line.
            self.ready = None;
            return;
        }
        if self.preparing.is_some() || self.ready.is_some() {
            return;
        }
        while let Some(load) = self.exchange.pop() {
            if !load.is_wanted() {
                load.finish();
                continue;
            }
            let run = load.gate().run();
            if self.shared.queue.is_suppressed(load.message(), &run.spec) {
                self.shared.settle_suppressed(load, &self.exchange.site.name);
                continue;
            }
            self.preparing = Some(self.shared.composers.order(load));
            return;
        }
    }

    /// gate: begins the transaction of the composed message when connection and settler allow it.
    fn begin(&mut self) {
        if self.leaving || self.permits.is_none() || !self.wire.client.can_begin() {
            return;
        }
        let Some((load, composed)) = self.ready.take() else { return };
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => {
                tracing::warn!(message = load.message().id, %error, "a message could not be composed");
                return self.settle_undone(load, |attempt| attempt.not_composed(&error));
            }
        };
        let run = load.gate().run();
        if self.shared.queue.is_suppressed(load.message(), &run.spec) {
            self.shared.settle_suppressed(load, &self.exchange.site.name);
            return;
        }
        let id = load.message().id;
        let Some(ticket) = load.gate().enter(load.message(), load.epoch(), &self.cut) else {
            load.finish();
            return;
        };
        let envelope = smtp::Envelope {
            from: composed.return_path,
            to: envelope_address(&load),
            size: composed.bytes.len() as u64,
            eight_bit: !composed.bytes.is_ascii(),
        };
        let begun = if run.spec.test_smtp {
            self.wire.client.probe(id.cast_unsigned(), envelope)
        } else {
            self.wire.client.begin(id.cast_unsigned(), envelope)
        };
        match begun {
            Ok(()) => {
                let Some(permits) = self.permits.take() else { return };
                self.begun += 1;
                // A test ends the connection after its answer, so that no receiver keeps an open transaction.
                self.leaving |= run.spec.test_smtp;
                self.flights.push_back(Flight {
                    id,
                    load,
                    ticket,
                    octets: u32::try_from(composed.bytes.len()).unwrap_or(u32::MAX),
                    bytes: composed.bytes,
                    digest: composed.digest,
                    body_given: false,
                    given_up: false,
                    permits,
                });
            }
            Err(why) => {
                load.gate().leave(id);
                let words = why.reply().map_or_else(|| why.to_string(), |reply| reply.to_string());
                self.settle_undone(load, |attempt| {
                    attempt.decided(FinalState::Failed, "not_deliverable", Some(&words))
                });
            }
        }
    }

    fn settle_undone(&self, load: Load, settle: impl FnOnce(&Attempt<'_>) -> queue::Settlement) {
        let run = load.gate().run();
        let settlement = settle(&Attempt {
            message: load.message(),
            run: &run.spec,
            source: Some(&self.source),
            site: &self.exchange.site.name,
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
            flight.body_given = self.wire.client.body(id.cast_unsigned(), &bytes);
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

    fn finished(&mut self, id: i64, outcome: &Outcome) {
        let Some(at) = self.flights.iter().position(|flight| flight.id == id) else { return };
        let Some(flight) = self.flights.remove(at) else { return };
        if flight.given_up {
            flight.load.finish();
            return;
        }
        let gate = Arc::clone(flight.load.gate());
        let run = gate.run();
        let next = Attempt {
            message: flight.load.message(),
            run: &run.spec,
            source: Some(&self.source),
            site: &self.exchange.site.name,
            now_us: self.shared.world.now_us(),
        }
        .judge(outcome, flight.digest, &self.exchange);
        match next {
            Next::Settle(mut settlement) => {
                settlement.octets = flight.octets;
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
                if flight.load.is_wanted() {
                    drop(flight.load);
                } else {
                    flight.load.finish();
                }
            }
        }
    }

    /// The connection is over: what was being prepared goes back in its line.
    async fn end(&mut self) {
        self.ready = None;
        if let Some(preparing) = self.preparing.take() {
            // Awaited, so that no message is in nobody's hands.
            drop(preparing.await);
        }
    }
}

async fn poll_prepared(preparing: &mut Option<oneshot::Receiver<Prepared>>) -> Option<Prepared> {
    match preparing {
        Some(receiver) => receiver.await.ok(),
        None => None,
    }
}

async fn take_permits(settler: &queue::Settler, unsettled: &Arc<Semaphore>) -> Option<Permits> {
    let of_connection = Arc::clone(unsettled).acquire_owned().await.ok()?;
    let of_all = settler.permit().await.ok()?;
    Some((of_all, of_connection))
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
