//! Every recipient evaluated to slots, a page at a time: one task reads, some threads evaluate, one task writes,
//! in number order. What waits between them is bounded, so memory is flat at any audience.

use std::collections::HashSet;
use std::sync::Arc;

use audience::{FIELDS, RecipientColumns, RecipientRow};
use content::{Columns, Compiled, FieldValue, Fields, Problem};
use message::{Envelope, PartName, Prepared, Signer, Slots, Stamp, Token, TokenKeys, compose};
use queue::variants::{self, NewVariant};
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
    /// Which of the delivery's contents, from 0.
    pub content: usize,
}

/// What messages are made of: the delivery's own content, and the other variants of its A/B test.
#[derive(Clone)]
pub(crate) struct Contents {
    all: Arc<[Compiled]>,
    /// The wave whose messages wait for the winner: they are evaluated for every content.
    rest: Option<i64>,
}

impl Contents {
    /// One for all.
    pub fn one(compiled: Compiled) -> Contents {
        Contents { all: Arc::new([compiled]), rest: None }
    }

    /// The content of number n is that of wave n; in the wave behind the last of them, with `rest`, it is not decided.
    pub fn by_wave(all: Vec<Compiled>, rest: bool) -> Contents {
        let rest = (rest && all.len() > 1).then_some(all.len() as i64);
        Contents { all: all.into(), rest }
    }

    /// All of them.
    pub fn all(&self) -> &[Compiled] {
        &self.all
    }

    /// The hashes of their snapshots.
    pub fn hashes(&self) -> Vec<String> {
        self.all.iter().map(|compiled| message::Snapshot::hash_of(&compiled.snapshot.to_bytes())).collect()
    }

    /// The wave whose messages wait for the winner.
    pub fn rest(&self) -> Option<i64> {
        self.rest
    }

    /// The number of the content of a wave: the first where there are not so many.
    fn of(&self, wave: i64) -> usize {
        usize::try_from(wave).ok().filter(|content| *content < self.all.len()).unwrap_or(0)
    }
}

/// A template problem with the recipients that it hits.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub problem: Problem,
    pub level: Level,
    pub recipients: Vec<String>,
    pub count: u64,
    /// Which of the contents has it.
    pub content: usize,
}

/// What evaluation found.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    pub failures: Vec<Failure>,
    largest: Option<Largest>,
    /// Messages for Japanese handsets, by content.
    pub mobiles: Vec<Mobiles>,
}

/// The message with the most text of its own.
#[derive(Debug)]
struct Largest {
    /// Encoded length of the slots.
    bytes: usize,
    slots: Slots,
    flags: i64,
    content: usize,
}

/// The recipients' fields that a content uses, in a fixed order.
pub(crate) struct FieldOrder {
    names: Vec<String>,
    columns: Arc<Columns>,
}

impl FieldOrder {
    pub fn of(contents: &[Compiled], attributes: &[String]) -> FieldOrder {
        let used: HashSet<String> = contents.iter().flat_map(Compiled::variables).collect();
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
    contents: Contents,
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
    /// What messages of an A/B test's rest say in its other variants.
    variants: Vec<NewVariant>,
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
        contents: &Contents,
        (shares, slotted): (&Arc<Vec<DomainShare>>, &Slotted),
        (parts, contacts): (&mut Parts, &mut Contacts),
        handle: &AnalysisHandle,
    ) -> Result<Option<Evaluated>> {
        let job = self.job(delivery.id, contents).await?;
        let threads = self.config().analysis_threads.max(1);
        let (pages, received) = mpsc::channel(threads + 1);
        let reader = self.read_pages(job, (Arc::clone(shares), slotted), pages, handle.clone());
        let writer = self.write_pages(received, shares, (parts, contacts), handle);
        let (stopped, evaluated) = tokio::join!(reader, writer);
        let evaluated = evaluated?;
        Ok(if stopped? { None } else { Some(evaluated) })
    }

    async fn job(&self, delivery: DeliveryId, contents: &Contents) -> Result<Arc<Job>> {
        let attributes = self.rooms.audience.attribute_names().await?;
        let order = FieldOrder::of(contents.all(), &attributes);
        Ok(Arc::new(Job { delivery, contents: contents.clone(), order }))
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
                let (messages, others) = (batch.messages, batch.variants);
                let indexed = pairs(&messages);
                self.store
                    .write(Lane::Bulk, move |tx| {
                        if !others.is_empty() {
                            variants::insert(tx, others)?;
                        }
                        plan::insert_messages(tx, messages).map_err(Error::from)
                    })
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
        contents: &Contents,
        readers: &Arc<Vec<Reader>>,
        (parts, contacts): (&mut Parts, &mut Contacts),
    ) -> Result<Evaluated> {
        let job = self.job(delivery.id, contents).await?;
        let providers = self.rooms.routes.providers();
        let mut ordered: Vec<_> =
            readers.iter().map(|reader| (providers.lane_of(&reader.domain), reader.clone())).collect();
        // Ids rise within a lane's content: each has parts of its own.
        ordered.sort_by(|a, b| (&a.0, a.1.content).cmp(&(&b.0, b.1.content)));
        let lanes: Vec<String> = ordered.iter().map(|(lane, _)| lane.clone()).collect();
        let slot = parts.at_once();
        let (tokens, public_url) = (Arc::clone(&self.rooms.tokens), self.config().public_url.clone());
        let evaluated = tokio::task::spawn_blocking(move || {
            let mut batch = Batch::default();
            let mut kept = Vec::with_capacity(ordered.len());
            for (n, (_, reader)) in ordered.iter().enumerate() {
                let slot = Slot { wave: reader.content as i64, ..slot };
                let seat = Seat { n: n as i64, place: n, slot, alone: false };
                let message = message_id(job.delivery, seat.n);
                let review_url = tokens.review_url(&public_url, Token { message, inert: true });
                let variant = batch.add(&job, seat, &Addressee::reader(reader, &review_url));
                let compiled = &job.contents.all[job.contents.of(slot.wave)];
                kept.push(ProofReader::new(message, reader, compiled.format_name(variant)));
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

impl Deliveries {
    /// The same for the seeds of a delivery, behind everybody else. They stand in no index by recipient.
    pub(crate) async fn evaluate_seeds(
        &self,
        delivery: &Delivery,
        contents: &Contents,
        rows: Vec<RecipientRow>,
        parts: &mut Parts,
    ) -> Result<Evaluated> {
        let job = self.job(delivery.id, contents).await?;
        let providers = self.rooms.routes.providers();
        let mut ordered: Vec<_> =
            rows.into_iter().map(|row| (providers.lane_of(row.domain()), row)).collect();
        ordered.sort_by(|a, b| a.0.cmp(&b.0));
        let lanes: Vec<String> = ordered.iter().map(|(lane, _)| lane.clone()).collect();
        let (first, slot) = (parts.seeds_from(), parts.at_once());
        let evaluated = tokio::task::spawn_blocking(move || {
            let mut batch = Batch::default();
            for (k, (_, row)) in ordered.iter().enumerate() {
                let seat = Seat { n: first + k as i64, place: k, slot, alone: false };
                batch.add(&job, seat, &Addressee::of(row));
            }
            batch
        });
        let batch =
            evaluated.await.map_err(|panic| Error::Internal(format!("evaluation panicked: {panic}")))?;
        for (message, seat) in batch.messages.iter().zip(&batch.seats) {
            parts.add_seed(message.id, &lanes[seat.place]);
        }
        let messages = batch.messages;
        self.store
            .write(Lane::Bulk, move |tx| plan::insert_messages(tx, messages).map(drop).map_err(Error::from))
            .await?;
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
        let wave = seat.slot.wave;
        let content = job.contents.of(wave);
        let variant = self.evaluate(job, (content, seat), whom, |batch, message| {
            batch.seats.push(seat);
            batch.messages.push(message);
        });
        if job.contents.rest == Some(wave) {
            for content in 1..job.contents.all.len() {
                self.evaluate(job, (content, seat), whom, |batch, message| {
                    let NewMessage { id, flags, slots, .. } = message;
                    batch.variants.push(NewVariant { message: id, variant: content as i64, flags, slots });
                });
            }
        }
        variant
    }

    /// Evaluates one content; the number of the format is returned.
    fn evaluate(
        &mut self,
        job: &Job,
        (content, seat): (usize, Seat),
        whom: &Addressee<'_>,
        keep: impl FnOnce(&mut Batch, NewMessage),
    ) -> u8 {
        let (row, to, compiled) = (whom.row, (whom.address, whom.domain), &job.contents.all[content]);
        let variant = whom.variant.unwrap_or_else(|| compiled.flags_for(row.email_format(), whom.domain));
        match compiled.evaluate(&job.order.fields(row, whom.review_url), variant) {
            Ok(own) => {
                let slots = own.slots.to_bytes();
                for warning in &own.warnings {
                    self.evaluated.fail(warning, Level::Warning, (content, to.0));
                }
                self.evaluated.mobiles(content).add(&compiled.snapshot, variant, &own.slots);
                self.evaluated.measure(own.slots, own.flags, slots.len(), (content, to.0));
                let message = NewMessage {
                    id: message_id(job.delivery, seat.n),
                    recipient: row.id,
                    domain: to.1.to_owned(),
                    flags: own.flags,
                    address: to.0.to_owned(),
                    slots,
                };
                keep(self, message);
            }
            Err(problem) => self.evaluated.fail(&problem, Level::Error, (content, to.0)),
        }
        variant
    }
}

impl Evaluated {
    fn has_errors(&self) -> bool {
        self.failures.iter().any(|failure| failure.level == Level::Error)
    }

    fn fail(&mut self, problem: &Problem, level: Level, (content, recipient): (usize, &str)) {
        let recipients = vec![recipient.to_owned()];
        self.add(Failure { problem: problem.clone(), level, recipients, count: 1, content });
    }

    /// The messages for handsets that are of this content.
    fn mobiles(&mut self, content: usize) -> &mut Mobiles {
        if self.mobiles.len() <= content {
            self.mobiles.resize_with(content + 1, Mobiles::default);
        }
        &mut self.mobiles[content]
    }

    fn add(&mut self, new: Failure) {
        let full = self.failures.len() >= FAILURES_MAX;
        let known = self.failures.iter_mut().find(|known| {
            (known.level, known.content) == (new.level, new.content)
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

    pub fn merge(&mut self, other: Evaluated) {
        other.failures.into_iter().for_each(|failure| self.add(failure));
        for (content, mobiles) in other.mobiles.into_iter().enumerate() {
            self.mobiles(content).merge(mobiles);
        }
        if let Some(largest) = other.largest {
            self.keep_largest(largest);
        }
    }

    /// Keeps the message with the most text of its own; warns of one that has very much.
    fn measure(&mut self, slots: Slots, flags: i64, bytes: usize, (content, recipient): (usize, &str)) {
        if bytes > message::SLOTS_SIZE_WARN {
            let text = format!("a message has {} KB of text of its own", bytes >> 10);
            let problem =
                Problem::new("message", text).hint("move what is the same for all out of the conditions");
            self.fail(&problem, Level::Warning, (content, recipient));
        }
        self.keep_largest(Largest { bytes, slots, flags, content });
    }

    fn keep_largest(&mut self, new: Largest) {
        if self.largest.as_ref().is_none_or(|largest| new.bytes > largest.bytes) {
            self.largest = Some(new);
        }
    }

    /// Which of the contents the largest message is of.
    pub fn content_of_largest(&self) -> usize {
        self.largest.as_ref().map_or(0, |largest| largest.content)
    }

    /// Sizes of the largest message, found by composing it from its content.
    pub fn size(&self, compiled: &Compiled, files: &Bytes, keys: &TokenKeys) -> Result<Option<SizeFact>> {
        let Some(Largest { slots, flags, .. }) = &self.largest else { return Ok(None) };
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
            page.fail(&problem, Level::Error, (0, &format!("r{n}@d.example")));
            total.merge(page);
        }
        assert_eq!(total.failures.len(), 1);
        assert_eq!((total.failures[0].count, total.failures[0].recipients.len()), (30, EXAMPLES_MAX));
        assert!(total.has_errors());
        total.fail(&problem, Level::Error, (1, "r@d.example"));
        assert_eq!(total.failures.len(), 2, "each variant has its own");
    }
}
