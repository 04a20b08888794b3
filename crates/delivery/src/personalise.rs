//! Every recipient evaluated to slots, a page at a time: one task reads, some threads evaluate, one task writes,
//! in number order. What waits between them is bounded, so memory is flat at any audience.

use std::sync::Arc;

use audience::{FIELDS, RecipientColumns, RecipientRow};
use content::{Columns, Compiled, FieldValue, Fields, Problem};
use message::{Envelope, PartName, Prepared, Signer, Slots, Stamp, Token, TokenKeys, compose};
use queue::{NewMessage, message_id, plan};
use store::Lane;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use typology::{Level, SizeFact};

use crate::Deliveries;
use crate::analysis::AnalysisHandle;
use crate::contacts::Contacts;
use crate::files::Bytes;
use crate::mobiles::Mobiles;
use crate::numbering::{Cutter, DomainShare, Numbers, Parts, read_page};
use crate::rounds::{self, ProofReader};
use crate::slots::{self, Slot, Slotted};
use crate::types::{Delivery, DeliveryId, Error, Result};

/// Different template errors that an analysis tells apart; further ones count as the last.
const FAILURES_MAX: usize = 50;
/// Recipients kept per failure, to be named.
const EXAMPLES_MAX: usize = 10;

/// A reader of a proof: whose profile, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub row: RecipientRow,
    pub address: String,
    pub domain: String,
    /// The format whatever the profile asks for; none: as it asks.
    pub variant: Option<u8>,
}

/// A template problem with the recipients that it hits.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub problem: Problem,
    pub level: Level,
    pub recipients: Vec<String>,
    pub count: u64,
}

/// What evaluation found.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    pub failures: Vec<Failure>,
    /// The largest slots: encoded length, value, and the message's flags.
    largest: Option<(usize, Slots, i64)>,
    /// Messages for Japanese handsets.
    pub mobiles: Mobiles,
}

/// The recipients' fields that a content uses, in a fixed order.
pub(crate) struct FieldOrder {
    names: Vec<String>,
    columns: Arc<Columns>,
}

impl FieldOrder {
    pub fn of(compiled: &Compiled, attributes: &[String]) -> FieldOrder {
        let used = compiled.variables();
        let own = std::iter::once("email").chain(FIELDS);
        let names: Vec<String> = own
            .chain(attributes.iter().map(String::as_str))
            .chain([rounds::URL_FIELD])
            .filter(|name| used.contains(*name))
            .map(str::to_owned)
            .collect();
        FieldOrder { columns: Columns::new(names.clone(), attributes.to_vec()), names }
    }

    /// The columns to read of each recipient.
    fn columns(&self) -> RecipientColumns {
        RecipientColumns::of(self.names.iter().map(String::as_str))
    }

    /// A recipient's values; `review_url` is where a reader accepts or rejects a proof, empty for all others.
    fn fields(&self, row: &RecipientRow, review_url: &str) -> Fields {
        let value = |name: &String| match row.get(name) {
            _ if name == rounds::URL_FIELD => FieldValue::from(review_url),
            Some(text) => FieldValue::from(text),
            None => FieldValue::Null,
        };
        Fields::new(&self.columns, self.names.iter().map(value).collect(), String::new())
    }
}

/// What every page's evaluation shares.
struct Job {
    delivery: DeliveryId,
    compiled: Arc<Compiled>,
    order: FieldOrder,
}

/// Where a recipient's message belongs.
#[derive(Debug, Clone, Copy)]
struct Seat {
    /// Its number in the delivery.
    n: i64,
    /// Place of the domain, for its lane.
    place: usize,
    slot: Slot,
    /// It stands behind all others, in a part of its own.
    alone: bool,
}

/// One page, evaluated.
#[derive(Default)]
struct Batch {
    messages: Vec<NewMessage>,
    /// Where each message belongs.
    seats: Vec<Seat>,
    evaluated: Evaluated,
    recipients: u64,
}

impl Deliveries {
    /// Evaluates the whole target, writes the messages and gathers the parts. `None`: stopped.
    pub(crate) async fn evaluate_target(
        &self,
        delivery: &Delivery,
        compiled: &Arc<Compiled>,
        (shares, slotted): (&Arc<Vec<DomainShare>>, &Slotted),
        (parts, contacts): (&mut Parts, &mut Contacts),
        handle: &AnalysisHandle,
    ) -> Result<Option<Evaluated>> {
        let job = self.job(delivery.id, compiled).await?;
        let threads = self.config().analysis_threads.max(1);
        let (pages, received) = mpsc::channel(threads + 1);
        let reader = self.read_pages(job, (Arc::clone(shares), slotted), pages, handle.clone());
        let writer = self.write_pages(received, shares, (parts, contacts), handle);
        let (stopped, evaluated) = tokio::join!(reader, writer);
        let evaluated = evaluated?;
        Ok(if stopped? { None } else { Some(evaluated) })
    }

    async fn job(&self, delivery: DeliveryId, compiled: &Arc<Compiled>) -> Result<Arc<Job>> {
        let attributes = self.rooms.audience.attribute_names().await?;
        let order = FieldOrder::of(compiled, &attributes);
        Ok(Arc::new(Job { delivery, compiled: Arc::clone(compiled), order }))
    }

    /// Reads pages and starts their evaluation; says whether it was stopped.
    async fn read_pages(
        &self,
        job: Arc<Job>,
        (shares, slotted): (Arc<Vec<DomainShare>>, &Slotted),
        pages: mpsc::Sender<JoinHandle<Batch>>,
        handle: AnalysisHandle,
    ) -> Result<bool> {
        let (id, columns) = (job.delivery, job.order.columns());
        let mut usher = Usher { numbers: Numbers::new(&shares, slotted), slots: slotted.slots.clone() };
        let mut last = 0;
        let mut cutter = Cutter::new(&shares);
        while let Some(page) = cutter.next(last) {
            if handle.is_stopped() {
                return Ok(true);
            }
            let shares = Arc::clone(&shares);
            let columns = columns.clone();
            let rows = self.store.read(move |tx| read_page(tx, id, &page, &shares, &columns)).await?;
            last = rows.last().map_or(last, |(_, row)| row.id);
            let rows = rows.into_iter().map(|(place, row)| (usher.seat(place, &row), row)).collect();
            let job = Arc::clone(&job);
            let batch = tokio::task::spawn_blocking(move || evaluate_rows(&job, rows));
            if pages.send(batch).await.is_err() {
                // The writer gave up, and says why.
                return Ok(false);
            }
        }
        Ok(false)
    }

    async fn write_pages(
        &self,
        mut pages: mpsc::Receiver<JoinHandle<Batch>>,
        shares: &[DomainShare],
        (parts, contacts): (&mut Parts, &mut Contacts),
        handle: &AnalysisHandle,
    ) -> Result<Evaluated> {
        let mut total = Evaluated::default();
        while let Some(page) = pages.recv().await {
            let batch =
                page.await.map_err(|panic| Error::Internal(format!("evaluation panicked: {panic}")))?;
            for (message, seat) in batch.messages.iter().zip(&batch.seats) {
                let lane = &shares[seat.place].lane;
                if seat.alone {
                    parts.add_alone(message.id, lane, seat.slot);
                } else {
                    parts.add(message.id, lane, seat.slot);
                }
            }
            total.merge(batch.evaluated);
            // After an error nothing will be sent: go on only to say whom it hits.
            if !total.has_errors() {
                let messages = batch.messages;
                let indexed = pairs(&messages);
                self.store
                    .write(Lane::Bulk, move |tx| plan::insert_messages(tx, messages).map_err(Error::from))
                    .await?;
                contacts.add(&self.store, indexed).await?;
            }
            handle.advance(batch.recipients);
        }
        Ok(total)
    }

    /// The same for the few readers of a proof.
    pub(crate) async fn evaluate_readers(
        &self,
        delivery: &Delivery,
        compiled: &Arc<Compiled>,
        readers: &Arc<Vec<Reader>>,
        (parts, contacts): (&mut Parts, &mut Contacts),
    ) -> Result<Evaluated> {
        let job = self.job(delivery.id, compiled).await?;
        let providers = self.rooms.routes.providers();
        let mut ordered: Vec<_> =
            readers.iter().map(|reader| (providers.lane_of(&reader.domain), reader.clone())).collect();
        ordered.sort_by(|a, b| a.0.cmp(&b.0));
        let lanes: Vec<String> = ordered.iter().map(|(lane, _)| lane.clone()).collect();
        let slot = parts.at_once();
        let (tokens, public_url) = (Arc::clone(&self.rooms.tokens), self.config().public_url.clone());
        let evaluated = tokio::task::spawn_blocking(move || {
            let mut batch = Batch::default();
            let mut kept = Vec::with_capacity(ordered.len());
            for (n, (_, reader)) in ordered.iter().enumerate() {
                let seat = Seat { n: n as i64, place: n, slot, alone: false };
                let message = message_id(job.delivery, seat.n);
                let review_url = tokens.review_url(&public_url, Token { message, inert: true });
                let variant = batch.add(&job, seat, &Addressee::reader(reader, &review_url));
                kept.push(ProofReader::new(message, reader, job.compiled.format_name(variant)));
            }
            (batch, kept)
        });
        let (batch, kept) =
            evaluated.await.map_err(|panic| Error::Internal(format!("evaluation panicked: {panic}")))?;
        for (message, seat) in batch.messages.iter().zip(&batch.seats) {
            parts.add(message.id, &lanes[seat.place], seat.slot);
        }
        let messages = batch.messages;
        let indexed = pairs(&messages);
        let proof = delivery.parent.is_some().then_some(delivery.id);
        self.store
            .write(Lane::Urgent, move |tx| {
                if let Some(proof) = proof {
                    rounds::keep_readers(tx, proof, kept)?;
                }
                plan::insert_messages(tx, messages).map(drop).map_err(Error::from)
            })
            .await?;
        contacts.add(&self.store, indexed).await?;
        Ok(batch.evaluated)
    }
}

/// What the index by recipient needs of messages; written behind them, because a deletion finds it through them.
fn pairs(messages: &[NewMessage]) -> Vec<(i64, i64)> {
    // Seeds, whose ids are negative, are nobody's history.
    let people = messages.iter().filter(|message| message.recipient > 0);
    people.map(|message| (message.recipient, message.id)).collect()
}

/// Shows each recipient to the message's place, in the order in which they are read.
struct Usher {
    numbers: Numbers,
    slots: slots::Slots,
}

impl Usher {
    fn seat(&mut self, place: usize, row: &RecipientRow) -> Seat {
        let at = self.slots.of(row.id, row.get("time_zone").unwrap_or_default());
        let (n, alone) = self.numbers.next(place, at);
        Seat { n, place, slot: self.slots.all()[at], alone }
    }
}

/// Whom a message is for.
struct Addressee<'a> {
    row: &'a RecipientRow,
    address: &'a str,
    domain: &'a str,
    variant: Option<u8>,
    review_url: &'a str,
}

impl<'a> Addressee<'a> {
    fn of(row: &'a RecipientRow) -> Addressee<'a> {
        Addressee { row, address: row.email(), domain: row.domain(), variant: None, review_url: "" }
    }

    fn reader(reader: &'a Reader, review_url: &'a str) -> Addressee<'a> {
        let (address, domain) = (reader.address.as_str(), reader.domain.as_str());
        Addressee { row: &reader.row, address, domain, variant: reader.variant, review_url }
    }
}

fn evaluate_rows(job: &Job, rows: Vec<(Seat, RecipientRow)>) -> Batch {
    let mut batch = Batch { messages: Vec::with_capacity(rows.len()), ..Batch::default() };
    for (seat, row) in &rows {
        batch.add(job, *seat, &Addressee::of(row));
    }
    batch
}

impl Batch {
    /// Evaluates a message; the number of its format is returned.
    fn add(&mut self, job: &Job, seat: Seat, whom: &Addressee<'_>) -> u8 {
        self.recipients += 1;
        let (row, to) = (whom.row, (whom.address, whom.domain));
        let variant = whom.variant.unwrap_or_else(|| job.compiled.flags_for(row.email_format(), whom.domain));
        match job.compiled.evaluate(&job.order.fields(row, whom.review_url), variant) {
            Ok(own) => {
                let slots = own.slots.to_bytes();
                for warning in &own.warnings {
                    self.evaluated.fail(warning, Level::Warning, to.0);
                }
                self.evaluated.mobiles.add(&job.compiled.snapshot, variant, &own.slots);
                self.evaluated.measure(own.slots, own.flags, slots.len(), to.0);
                self.seats.push(seat);
                self.messages.push(NewMessage {
                    id: message_id(job.delivery, seat.n),
                    recipient: row.id,
                    domain: to.1.to_owned(),
                    flags: own.flags,
                    address: to.0.to_owned(),
                    slots,
                });
            }
            Err(problem) => self.evaluated.fail(&problem, Level::Error, to.0),
        }
        variant
    }
}

impl Evaluated {
    fn has_errors(&self) -> bool {
        self.failures.iter().any(|failure| failure.level == Level::Error)
    }

    fn fail(&mut self, problem: &Problem, level: Level, recipient: &str) {
        let failure =
            Failure { problem: problem.clone(), level, recipients: vec![recipient.to_owned()], count: 1 };
        self.add(failure);
    }

    fn add(&mut self, new: Failure) {
        let full = self.failures.len() >= FAILURES_MAX;
        let known = self.failures.iter_mut().find(|known| {
            known.level == new.level
                && (known.problem.part == new.problem.part)
                && (new.level == Level::Error || known.problem.message == new.problem.message)
                && (known.problem.line, known.problem.column) == (new.problem.line, new.problem.column)
        });
        match known {
            Some(known) => known.absorb(new),
            None if full => {
                if let Some(last) = self.failures.last_mut() {
                    last.absorb(new);
                }
            }
            None => self.failures.push(new),
        }
    }

    fn merge(&mut self, other: Evaluated) {
        other.failures.into_iter().for_each(|failure| self.add(failure));
        self.mobiles.merge(other.mobiles);
        if let Some((bytes, slots, flags)) = other.largest {
            self.keep_largest(slots, flags, bytes);
        }
    }

    /// Keeps the message with the most text of its own; warns of one that has very much.
    fn measure(&mut self, slots: Slots, flags: i64, bytes: usize, recipient: &str) {
        if bytes > message::SLOTS_SIZE_WARN {
            let text = format!("a message has {} KB of text of its own", bytes >> 10);
            let problem =
                Problem::new("message", text).hint("move what is the same for all out of the conditions");
            self.fail(&problem, Level::Warning, recipient);
        }
        self.keep_largest(slots, flags, bytes);
    }

    fn keep_largest(&mut self, slots: Slots, flags: i64, bytes: usize) {
        if self.largest.as_ref().is_none_or(|(largest, ..)| bytes > *largest) {
            self.largest = Some((bytes, slots, flags));
        }
    }

    /// Sizes of the largest message, found by composing it.
    pub fn size(&self, compiled: &Compiled, files: &Bytes, keys: &TokenKeys) -> Result<Option<SizeFact>> {
        let Some((_, slots, flags)) = &self.largest else { return Ok(None) };
        let broken = |error: &dyn std::fmt::Display| Error::Internal(format!("composing: {error}"));
        let prepared = Prepared::new(compiled.snapshot.clone(), |hash| files.get(hash).cloned())
            .map_err(|error| broken(&error))?;
        let id = message_id(compiled.snapshot.delivery, 0);
        let envelope = Envelope { id, address: "largest@message.invalid", flags: *flags };
        let composed = compose::<Signer>(&prepared, slots, &envelope, &Stamp { time_us: 0 }, &[], keys)
            .map_err(|error| broken(&error))?;
        let html = match compiled.snapshot.part(PartName::Html) {
            Some(_) => {
                let page =
                    prepared.part_text(PartName::Html, slots, id, keys).map_err(|error| broken(&error))?;
                // A page has the data of a code where the message has its name.
                let codes = slots.codes().map(|(_, data)| page.matches(data).count() * data.len());
                page.len() - codes.sum::<usize>()
            }
            None => 0,
        };
        Ok(Some(SizeFact { largest: composed.bytes.len(), html }))
    }
}

impl Failure {
    fn absorb(&mut self, other: Failure) {
        self.count += other.count;
        let room = EXAMPLES_MAX.saturating_sub(self.recipients.len());
        self.recipients.extend(other.recipients.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_told_once_with_its_recipients() {
        let problem = Problem { line: 3, column: 9, ..Problem::new("html", "unknown field") };
        let mut total = Evaluated::default();
        for n in 0..30 {
            let mut page = Evaluated::default();
            page.fail(&problem, Level::Error, &format!("r{n}@d.example"));
            total.merge(page);
        }
        assert_eq!(total.failures.len(), 1);
        assert_eq!((total.failures[0].count, total.failures[0].recipients.len()), (30, EXAMPLES_MAX));
        assert!(total.has_errors());
    }
}
