//! Confirm: the one step that lets messages out. It starts exactly the snapshot that was analysed.

use queue::{RunSpec, Scope, runs};
use store::{Lane, Tx, binds};
use typology::Level;

use crate::parameters::Limits;
use crate::schedule::{self, Start};
use crate::states::{self, By, Event};
use crate::types::{Closed, ConfirmPlan, Delivery, DeliveryId, Error, ProviderPlan, Purpose, Result, State};
use crate::{Deliveries, ab, approval, capacity, files, journal, records, words};

impl Deliveries {
    /// What Confirm would do now, and whether it is open.
    pub async fn confirm_plan(&self, id: DeliveryId) -> Result<ConfirmPlan> {
        let delivery = self.get(id).await?;
        let (asked, now_us) = (delivery.clone(), self.now_us());
        let (excluded, providers, lines, gate, frozen, pool) = self
            .store
            .read(move |tx| {
                Ok::<_, Error>((
                    queue::plan::excluded_counts(tx, id)?,
                    providers(tx, id)?,
                    journal::lines(tx, id)?,
                    approval::gate(tx, &asked)?,
                    schedule::frozen(tx, id)?,
                    pool(tx, id)?,
                ))
            })
            .await?;
        let start = schedule::start_of(&delivery, frozen.as_ref(), now_us)?;
        let late = frozen.and_then(|frozen| frozen.closed(&delivery.definition, now_us));
        Ok(ConfirmPlan {
            snapshot: delivery.snapshot.clone().unwrap_or_default(),
            messages: delivery.to_deliver,
            providers,
            excluded: excluded.into_iter().collect(),
            warnings: lines.iter().filter(|l| l.level == Level::Warning && !l.rule.is_empty()).count(),
            valid_until: start.sending.valid_until_us,
            starts_at: start.start_at,
            pool,
            closed: closed(&delivery).or(late).or(gate),
        })
    }

    /// Starts the run. `snapshot` names what the caller saw: another one by now is refused. For the owner, reviewers and
    /// administrators; of two who confirm at once, the second is told of the first.
    pub async fn confirm(&self, id: DeliveryId, snapshot: Option<&str>, by: &By) -> Result<Delivery> {
        let delivery = self.get(id).await?;
        let signing = self.signing_of(&delivery).await?;
        let contents = (delivery.snapshot.clone(), self.frozen_contents(id).await?);
        let (wanted, by) = (snapshot.map(str::to_owned), by.clone());
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let delivery = records::get(tx, id)?;
                approval::may_start(&delivery, &by)?;
                check(&delivery, wanted.as_deref())?;
                if let Some(closed) = approval::gate(tx, &delivery)? {
                    return Err(refuse(&delivery, closed.text().to_owned()));
                }
                capacity::take(tx, &delivery)?;
                let frozen = schedule::frozen(tx, id)?;
                let late = frozen.as_ref().and_then(|frozen| frozen.closed(&delivery.definition, now_us));
                if let Some(closed) = late {
                    return Err(refuse(&delivery, closed.text().to_owned()));
                }
                let start = schedule::start_of(&delivery, frozen.as_ref(), now_us)?;
                let (scope, pool) = (queue::scope(tx, id)?, pool(tx, id)?);
                let spec = spec(&delivery, scope, (pool, signing), &start);
                runs::start(tx, &spec, now_us)?;
                let until_us = start.start_at.max(now_us) + Limits::of(&delivery.definition.parameters)?.resources_us;
                let (analysed, contents) = contents;
                if analysed == delivery.snapshot {
                    files::hold(tx, id, contents.iter().map(|(_, content)| content), until_us)?;
                }
                content::expire_assets(tx, content::Owner::Delivery(id), until_us)?;
                match queue::variants::snapshots(tx, id)?.as_slice() {
                    [only] => tracking::resources::open(tx, id, only, until_us)?,
                    _ => tracking::resources::open_by_part(tx, id, until_us)?,
                }
                ab::confirmed(tx, id)?;
                states::change(tx, id, Event::Confirmed, &by, "", now_us)?;
                tx.execute(
                    "UPDATE delivery SET confirmed_at = $2, confirmed_by = $3, resources_until = $4 WHERE id = $1",
                    &binds![id, now_us, by.name.as_str(), until_us],
                )?;
                let messages = words::counted(delivery.to_deliver, "message", "messages");
                let who = if by.is_system() { " by itself".to_owned() } else { by.suffix() };
                let text = format!("Confirmed{who}: {messages}");
                journal::note(tx, id, now_us, Level::Info, &text)
            })
            .await?;
        self.rooms.queue.changed();
        self.get(id).await
    }

    /// The contents that will be sent, with their hashes.
    async fn frozen_contents(&self, id: DeliveryId) -> Result<Vec<(String, message::Snapshot)>> {
        let read = self.store.read(move |tx| {
            let mut found = Vec::new();
            for hash in queue::variants::snapshots(tx, id)? {
                let bytes = queue::plan::snapshot(tx, &hash)?;
                found.extend(bytes.map(|bytes| (hash, bytes)));
            }
            Ok::<_, Error>(found)
        });
        let content = |(hash, bytes): (String, Vec<u8>)| match message::Snapshot::from_bytes(&bytes) {
            Ok(content) => Ok((hash, content)),
            Err(error) => Err(Error::Internal(format!("a snapshot cannot be read: {error}"))),
        };
        read.await?.into_iter().map(content).collect()
    }

    /// Numbers of the keys that sign for the sender, in the words that the run carries: `3,4`; empty: unsigned.
    async fn signing_of(&self, delivery: &Delivery) -> Result<String> {
        let address = self.sender_address(&delivery.definition);
        let Some((_, domain)) = address.rsplit_once('@') else { return Ok(String::new()) };
        if domain.contains("{{") || domain.contains("}}") {
            return Ok(String::new());
        }
        let signing = self.rooms.routes.signing_for(domain.trim()).await?;
        let keys: Vec<_> = signing.keys.iter().map(i64::to_string).collect();
        Ok(keys.join(","))
    }
}

/// Messages by provider, largest first, from the analysis.
pub(crate) fn providers(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<ProviderPlan>> {
    tx.query(
        "SELECT provider, messages, predicted_end FROM provider_plan WHERE delivery = $1 ORDER BY messages DESC, provider",
        &binds![id],
        |row| {
            Ok(ProviderPlan { provider: row.text(0)?, messages: row.int(1)?, predicted_end: row.int_opt(2)? })
        },
    )
}

/// The pool that the last analysis found.
fn pool(tx: &mut Tx<'_>, id: DeliveryId) -> Result<String> {
    tx.query_one("SELECT pool FROM delivery WHERE id = $1", &binds![id], |row| Ok(row.text(0)?))
}

/// Why Confirm is closed, or `None`.
pub(crate) fn closed(delivery: &Delivery) -> Option<Closed> {
    if delivery.is_template {
        return Some(Closed::Template);
    }
    Some(match delivery.state {
        State::Analysing => Closed::Analysing,
        State::Failed => Closed::HasErrors,
        state if state.is_final() => Closed::Over,
        state if state.is_active() => Closed::AlreadyConfirmed,
        _ => match delivery.analysed_revision {
            None => Closed::NotAnalysed,
            Some(revision) if revision != delivery.revision => Closed::EditedSince,
            Some(_) if delivery.state != State::Ready => Closed::NotAnalysed,
            Some(_) if delivery.to_deliver == 0 => Closed::Nobody,
            Some(_) => return None,
        },
    })
}

fn refuse(delivery: &Delivery, reason: String) -> Error {
    Error::State { id: delivery.id, state: delivery.state, reason }
}

fn check(delivery: &Delivery, wanted: Option<&str>) -> Result<()> {
    if let Some(closed) = closed(delivery) {
        let mut reason = closed.text().to_owned();
        if closed == Closed::AlreadyConfirmed && !delivery.confirmed_by.is_empty() {
            reason = format!("{reason}, by {}", delivery.confirmed_by);
        }
        return Err(refuse(delivery, reason));
    }
    match (wanted, &delivery.snapshot) {
        (Some(wanted), Some(analysed)) if wanted != analysed => Err(refuse(
            delivery,
            format!("snapshot {wanted} is no longer what was analysed; that is {analysed}"),
        )),
        _ => Ok(()),
    }
}

fn spec(delivery: &Delivery, scope: Scope, (pool, signing): (String, String), start: &Start) -> RunSpec {
    let sending = start.sending;
    let ours = delivery.parent.is_some() || delivery.purpose == Purpose::Notice;
    let priority = if ours { queue::Priority::VeryHigh } else { sending.priority };
    let test_smtp = delivery.definition.parameters.test_smtp && !ours;
    RunSpec {
        delivery: delivery.id,
        priority,
        pool,
        start_at: start.start_at,
        valid_until: sending.valid_until_us,
        retry: sending.retry,
        test_smtp,
        // A proof is seen by those who asked for it; the archive is of what went to recipients, and of a test nothing does.
        bcc: delivery.definition.parameters.bcc && !ours && !test_smtp,
        signing,
        seen: scope.seen,
        services: scope.services,
    }
}
