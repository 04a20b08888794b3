//! The step that computes the target: candidates by ranges of ids, exclusions with their reasons, domains in number order.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};

use audience::{Element, Mark, TargetSet, guest_ids};
use queue::Among;
use store::{Dialect, Lane, Relation, Tx, binds};
use typology::Level;

use crate::analyse::Work;
use crate::analysis::Step;
use crate::definition::Target;
use crate::exclusions::ExclusionCount;
use crate::numbering::{DomainShare, domain_shares};
use crate::pressure::{Pressure, fingerprint};
use crate::schedule::Plan;
use crate::types::{DeliveryId, Error, Result};
use crate::typologies::InForce;
use crate::{Deliveries, exclusions, journal, words};

/// Ids of one walk over recipients: about 10 ms of SQL, so that settling is never held up.
const WALK_IDS: i64 = 4_000;
/// The same on PostgreSQL, where a longer statement holds nobody up.
const WALK_IDS_POSTGRES: i64 = 40_000;

impl Work<'_> {
    /// Fills the work table, applies every exclusion, and sorts the domains. `None`: stopped.
    pub async fn target(&mut self) -> Result<Option<Vec<DomainShare>>> {
        let (this, delivery) = (self.this, self.delivery);
        let (id, definition) = (delivery.id, &delivery.definition);
        let plan = Plan::of(definition, this.now_us())?;
        let force = this.in_force(definition, &self.facts, plan.start_us).await?;
        let set = this.walked_set(id, definition, &force).await?;
        this.keep_services(id, &definition.target).await?;
        let pressures = this.pressures(id, &force, plan.start_us).await?;
        self.arbitrated = fingerprint(&pressures, &plan);
        self.findings.extend(this.rejected_rows(id, &definition.target).await?);
        this.clear_households(id).await?;
        if !self.walk(&set, &pressures).await? {
            return Ok(None);
        }
        let target = &definition.target;
        if target.exclude_duplicates {
            this.mark_duplicates(id, &set).await?;
        }
        this.press_households(id, &pressures, self.handle).await?;
        self.findings.extend(this.apply_capacity(delivery, &force, &plan).await?);
        this.apply_limit(id, target).await?;
        this.apply_control_group(id, target).await?;
        if self.handle.is_stopped() {
            return Ok(None);
        }
        let routes = this.rooms.routes.clone();
        let shares =
            this.store.read(move |tx| domain_shares(tx, id, &|domain| routes.providers().lane_of(domain)));
        // Three looks at the same rows, none of which waits for another.
        let looks = tokio::try_join!(self.count(&force, set.guests.is_some()), shares, this.sampled());
        let (messages, shares, ()) = looks?;
        this.plan_capacity(delivery, &force, &plan, messages).await?;
        self.handle.enter(Step::Domains, 0);
        self.facts.messages = Some(messages);
        Ok(if self.handle.is_stopped() { None } else { Some(shares) })
    }

    /// Walks over the recipients, then over the guests. False: stopped.
    async fn walk(&self, set: &TargetSet, pressures: &[Pressure]) -> Result<bool> {
        let (this, id) = (self.this, self.delivery.id);
        let last = this.rooms.audience.largest_recipient_id().await?;
        let guests = match set.guests {
            Some(_) => this.rooms.audience.largest_guest_id(id).await?,
            None => None,
        };
        let guests = guests.map(|last| *guest_ids(id).start()..=last);
        let guest_count = guests.as_ref().map_or(0, |ids| (ids.end() - ids.start() + 1).max(0));
        self.handle.enter(Step::Target, (last + guest_count).unsigned_abs());
        let copies = copies(set, &self.delivery.definition.target);
        self.walk_range(1..=last, &People::Recipients(copies), pressures).await?;
        if let Some(guests) = guests {
            self.walk_range(guests, &People::Guests(set), pressures).await?;
        }
        Ok(!self.handle.is_stopped())
    }

    /// Inserts the candidates range by range. Two ranges at a time: on PostgreSQL a core each, on SQLite the writer never
    /// waits for the next, whose pressure is read meanwhile.
    async fn walk_range(
        &self,
        all: RangeInclusive<i64>,
        people: &People<'_>,
        pressures: &[Pressure],
    ) -> Result<()> {
        let (this, id) = (self.this, self.delivery.id);
        let step = walk_step(this.store.dialect());
        let next = AtomicI64::new(*all.start());
        let worker = async || {
            loop {
                let from = next.fetch_add(step, Ordering::Relaxed);
                if from > *all.end() || self.handle.is_stopped() {
                    return Ok::<_, Error>(());
                }
                let to = (from + step - 1).min(*all.end());
                let relations = this.candidates(people, pressures, from..=to).await?;
                this.store.write(Lane::Bulk, move |tx| insert_candidates(tx, id, &relations)).await?;
                self.handle.advance((to - from + 1).unsigned_abs());
            }
        };
        tokio::try_join!(worker(), worker())?;
        Ok(())
    }

    /// Counts the target: lines of the journal, the report, and the rows of who is left out. Answers how many get a
    /// message.
    async fn count(&self, force: &InForce, guests: bool) -> Result<i64> {
        let (this, id, now_us) = (self.this, self.delivery.id, self.this.now_us());
        let counts = this.store.read(move |tx| exclusions::counts(tx, id)).await?;
        let total: i64 = counts.iter().map(|(_, _, count)| count).sum();
        let mut lines =
            vec![format!("{} match the target", words::counted(total, "recipient", "recipients"))];
        let mut report = Vec::new();
        for (reason, rule, count) in &counts {
            let Some(reason) = reason else { continue };
            let rule = rule.and_then(|rule| force.name_of(rule));
            let by = rule.map_or(String::new(), |rule| format!(" (rule {rule:?})"));
            lines.push(format!("{} left out: {}{by}", words::number(*count), words::exclusion(reason)));
            report.push(ExclusionCount {
                reason: reason.clone(),
                rule: rule.map(str::to_owned),
                recipients: *count,
            });
        }
        let excluded: i64 = report.iter().map(|count| count.recipients).sum();
        this.store
            .write(Lane::Bulk, move |tx| {
                exclusions::keep_counts(tx, id, &report)?;
                lines.iter().try_for_each(|line| journal::note(tx, id, now_us, Level::Info, line))
            })
            .await?;
        if excluded > 0 {
            this.record_exclusions(id, guests).await?;
        }
        Ok(total - excluded)
    }
}

/// Whom a walk goes over.
enum People<'a> {
    /// Recipients, once for each copy.
    Recipients(Vec<TargetSet>),
    Guests(&'a TargetSet),
}

impl Deliveries {
    /// Tells PostgreSQL about the new rows: without figures each page is planned as a sort of all that is left.
    async fn sampled(&self) -> Result<()> {
        if self.store.dialect() == Dialect::Postgres {
            let analyze = "ANALYZE target (delivery, domain, recipient)";
            self.store.write(Lane::Bulk, move |tx| tx.execute(analyze, &[]).map_err(Error::from)).await?;
        }
        Ok(())
    }

    /// Those among the ids who are in the target, each with what keeps them out.
    async fn candidates(
        &self,
        people: &People<'_>,
        pressures: &[Pressure],
        ids: RangeInclusive<i64>,
    ) -> Result<Vec<Relation>> {
        match people {
            People::Recipients(copies) => {
                let marks = self.pressed(pressures, &Among::Range(ids.clone())).await?;
                Ok(copies.iter().map(|set| marked(set, &marks).candidates(&ids)).collect())
            }
            People::Guests(set) => {
                // A guest is somebody's address: the pressure on that recipient is the guest's.
                let marks = match pressures.is_empty() {
                    true => Vec::new(),
                    false => self.pressed(pressures, &Among::List(self.twins(&ids).await?)).await?,
                };
                Ok(marked(set, &marks).guest_candidates(&ids).into_iter().collect())
            }
        }
    }

    /// The recipients who have the address of one of these guests.
    async fn twins(&self, guests: &RangeInclusive<i64>) -> Result<Vec<i64>> {
        let twins = self.rooms.audience.twins_of_guests(guests);
        self.store
            .read(move |tx| tx.query(&twins.sql, &twins.binds, |row| row.int(0).map_err(Error::from)))
            .await
    }
}

/// Ids of one step of a walk.
pub(crate) fn walk_step(dialect: Dialect) -> i64 {
    match dialect {
        Dialect::Sqlite => WALK_IDS,
        Dialect::Postgres => WALK_IDS_POSTGRES,
    }
}

/// One set, or, when a recipient gets a message for each element that names them, one for each element.
fn copies(set: &TargetSet, target: &Target) -> Vec<TargetSet> {
    if target.exclude_duplicates || !target.keep_same_recipient {
        return vec![set.clone()];
    }
    let with = |element: &Element| TargetSet { include: vec![element.clone()], ..set.clone() };
    set.include.iter().map(with).collect()
}

/// The set with further marks behind its own.
fn marked(set: &TargetSet, marks: &[Mark]) -> TargetSet {
    let mut set = set.clone();
    set.marks.extend(marks.iter().cloned());
    set
}

/// Inserts the candidates of each relation; those of a further one are copies of recipients who are not left out.
fn insert_candidates(tx: &mut Tx<'_>, id: DeliveryId, relations: &[Relation]) -> Result<()> {
    for (copy, relation) in relations.iter().enumerate() {
        let mut binds = binds![id].to_vec();
        let sql = relation.splice(&mut binds);
        let kept = match copy {
            0 => "",
            _ => {
                " WHERE NOT EXISTS (SELECT 1 FROM target x WHERE x.delivery = $1 AND x.domain = c.domain \
                 AND x.recipient = c.recipient AND x.reason IS NOT NULL)"
            }
        };
        tx.execute(
            &format!(
                "INSERT INTO target (delivery, domain, recipient, copy, reason, rule) \
                 SELECT CAST($1 AS BIGINT), c.domain, c.recipient, {copy}, c.reason, c.rule FROM ({sql}) c{kept}"
            ),
            &binds,
        )?;
    }
    Ok(())
}
