//! From the target that an author named to a set that SQL can walk.

use audience::{Element, Filter, Guests, Mark, Recipient, TargetSet};
use queue::Who;
use store::{Lane, Relation, binds};
use tracking::Reaction;

use crate::Deliveries;
use crate::definition::{Definition, Proof, Target, TargetItem};
use crate::folder::Refusal;
use crate::types::{DeliveryId, Error, Result};
use crate::typologies::InForce;

/// What `who` may say; `all` when it says nothing.
pub const WHO: [&str; 7] = ["all", "sent", "failed", "opened", "clicked", "not_opened", "not_clicked"];

impl Deliveries {
    /// How many recipients the delivery's target has, before exclusions.
    pub async fn estimate(&self, id: DeliveryId) -> Result<i64> {
        let delivery = self.get(id).await?;
        self.estimate_target_of(id, &delivery.definition.target).await
    }

    /// The same for a target that is not saved. Its files are unknown: see [`Deliveries::estimate_target_of`].
    pub async fn estimate_target(&self, target: &Target) -> Result<i64> {
        let set = self.target_set(target).await?;
        Ok(self.rooms.audience.count(&set.members()).await?)
    }

    /// The same for a target that is not saved, of a delivery whose files it may name.
    pub async fn estimate_target_of(&self, id: DeliveryId, target: &Target) -> Result<i64> {
        let set = self.set_of(Some(id), target, None).await?;
        Ok(self.rooms.audience.count(&set.members()).await?)
    }

    /// The first members of a target, to look at.
    pub async fn sample_target(&self, target: &Target, limit: usize) -> Result<Vec<Recipient>> {
        let set = self.target_set(target).await?;
        Ok(self.rooms.audience.preview(&set.members(), limit).await?)
    }

    /// How many recipients one element takes by itself, of the delivery `id`, and the first of them. For the editor of
    /// targets.
    pub async fn estimate_item(
        &self,
        id: DeliveryId,
        item: &TargetItem,
        limit: usize,
    ) -> Result<(i64, Vec<Recipient>)> {
        let target = Target { include: vec![item.clone()], ..Target::default() };
        let members = self.set_of(Some(id), &target, None).await?.members();
        let count = self.rooms.audience.count(&members).await?;
        Ok((count, self.rooms.audience.preview(&members, limit).await?))
    }

    /// The members of a target, without marks and without files that were not imported.
    pub(crate) async fn target_set(&self, target: &Target) -> Result<TargetSet> {
        self.set_of(None, target, None).await
    }

    /// What an analysis walks: the members with the marks that keep them from getting a message, in the order in which
    /// the exclusions apply.
    pub(crate) async fn walked_set(
        &self,
        id: DeliveryId,
        definition: &Definition,
        force: &InForce,
    ) -> Result<TargetSet> {
        let target = &definition.target;
        let proof = target.include_proof_target.then_some(&definition.proof);
        let mut set = self.set_of(Some(id), target, proof).await?;
        if target.exclude_denylisted {
            set.marks.push(Mark::denylisted());
        }
        if target.exclude_quarantined {
            set.marks.push(Mark::quarantined());
        }
        set.marks.push(Mark::suppressed());
        for rule in &force.filtering {
            let field = format!("rule {:?}", rule.name);
            if let Some(relation) = self.whom(&field, &rule.rule).await? {
                set.marks.push(Mark::rule(rule.id, relation));
            }
        }
        Ok(set)
    }

    /// Whoever ends the last of the subscriptions that brought him into the target gets nothing that is still pending. Where a
    /// target takes people for other reasons too, it cannot be told whether he would still be in it, and he gets his message.
    pub(crate) async fn keep_services(&self, id: DeliveryId, target: &Target) -> Result<()> {
        let Some(names) = only_services(target) else { return Ok(()) };
        let mut services = Vec::new();
        for name in names {
            let Some(service) = self.rooms.audience.service_by_name(name).await? else { return Ok(()) };
            services.push(service.id);
        }
        let keep = move |tx: &mut store::Tx<'_>| queue::suppress::of_services(tx, id, &services);
        Ok(self.store.write(Lane::Bulk, keep).await?)
    }

    /// Looks up everything that a target names.
    async fn set_of(
        &self,
        id: Option<DeliveryId>,
        target: &Target,
        proof: Option<&Proof>,
    ) -> Result<TargetSet> {
        let mut set = TargetSet::default();
        let mut files = Vec::new();
        for item in &target.include {
            match &item.file {
                Some(file) if item.import == Some(false) => files.push(file.clone()),
                _ => set.include.push(self.element("target.include", item, id).await?),
            }
        }
        for address in proof.into_iter().flat_map(proof_addresses) {
            set.include.push(self.rooms.audience.recipient_with_address(address).into());
        }
        for item in &target.exclude {
            set.exclude.push(self.element("target.exclude", item, id).await?);
        }
        if !files.is_empty() {
            let id = id.ok_or_else(|| file_needs_delivery("target.include"))?;
            for file in &files {
                self.check_guests(id, file).await?;
            }
            set.guests = Some(Guests { delivery: id, files });
        }
        Ok(set)
    }

    async fn element(&self, field: &str, item: &TargetItem, id: Option<DeliveryId>) -> Result<Element> {
        let relation = match &item.file {
            Some(file) => self.imported(field, file, id).await?,
            None => self.relation(field, item).await?,
        };
        Ok(Element::new(relation, item.not == Some(true)))
    }

    /// The recipients that an element without a file names, in a column `recipient`.
    pub(crate) async fn relation(&self, field: &str, item: &TargetItem) -> Result<Relation> {
        let audience = &self.rooms.audience;
        if let Some(name) = &item.list {
            let list = audience.list_by_name(name).await?;
            let list = list.ok_or_else(|| missing(field, "list", name))?;
            return Ok(audience.recipients_in_list(list.id));
        }
        if let Some(name) = &item.segment {
            let segment = audience.segment_by_name(name).await?;
            let segment = segment.ok_or_else(|| missing(field, "segment", name))?;
            return self.filtered(field, &segment.filter, &format!("segment {name:?}: ")).await;
        }
        if let Some(filter) = &item.filter {
            let filter = Filter::parse(filter)
                .map_err(|error| Refusal::new(field, format!("the filter is not valid: {error}")))?;
            return self.filtered(field, &filter, "").await;
        }
        if let Some(name) = &item.service {
            let service = audience.service_by_name(name).await?;
            let service = service.ok_or_else(|| missing(field, "service", name))?;
            return Ok(audience.subscribers_of(service.id));
        }
        if let Some(name) = &item.recipients_of {
            return self.recipients_of(field, name, item.who.as_deref().unwrap_or("all")).await;
        }
        if let Some(email) = &item.recipient {
            return Ok(audience.recipient_with_address(email));
        }
        Err(Refusal::new(field, "has an element that names nothing").into())
    }

    /// Lists and segments that a filter names may be gone by now: the refusal says which.
    async fn filtered(&self, field: &str, filter: &Filter, who: &str) -> Result<Relation> {
        match self.rooms.audience.recipients_in_segment(filter, self.now_us()).await {
            Err(audience::Error::Invalid { reason, .. }) => {
                Err(Refusal::new(field, format!("{who}{reason}")).into())
            }
            other => Ok(other?),
        }
    }

    /// Recipients of the newest confirmed delivery with this label or code, else of the one with this number.
    async fn recipients_of(&self, field: &str, name: &str, who: &str) -> Result<Relation> {
        let wanted = name.trim().to_owned();
        let number = wanted.parse::<i64>().unwrap_or(0);
        let found = self
            .store
            .read(move |tx| {
                tx.query_opt(
                    "SELECT id FROM delivery WHERE parent IS NULL AND purpose = '' AND confirmed_at IS NOT NULL AND state <> 'deleted' \
                     AND (label = $1 OR code = $1 OR id = $2) \
                     ORDER BY CASE WHEN label = $1 OR code = $1 THEN 0 ELSE 1 END, confirmed_at DESC, id DESC LIMIT 1",
                    &binds![wanted, number],
                    |row| row.int(0).map_err(Error::from),
                )
            })
            .await?;
        let delivery = found.ok_or_else(|| {
            let text = format!("there is no confirmed delivery with the label, code or number {name:?}");
            Refusal::new(field, text)
        })?;
        Ok(match who {
            "sent" => queue::delivered(delivery, Who::Sent),
            "failed" => queue::delivered(delivery, Who::Failed),
            "opened" => tracking::reacted(delivery, Reaction::Opened),
            "clicked" => tracking::reacted(delivery, Reaction::Clicked),
            "not_opened" => tracking::reacted(delivery, Reaction::NotOpened),
            "not_clicked" => tracking::reacted(delivery, Reaction::NotClicked),
            _ => queue::delivered(delivery, Who::All),
        })
    }
}

/// The services whose subscribers the target takes, each once. `None`: it takes others too.
fn only_services(target: &Target) -> Option<std::collections::BTreeSet<&str>> {
    let names = target.include.iter().map(|item| item.service.as_deref().filter(|_| item.not != Some(true)));
    names.map(|name| name.map(str::trim)).collect()
}

fn missing(field: &str, what: &str, name: &str) -> Refusal {
    Refusal::new(field, format!("there is no {what} named {name:?}"))
}

pub(crate) fn file_needs_delivery(field: &str) -> Refusal {
    Refusal::new(field, "names a file, which belongs to a delivery: save the delivery first")
}

/// Where the proofs of a delivery go: who among the recipients has one of these addresses gets the delivery too.
fn proof_addresses(proof: &Proof) -> impl Iterator<Item = &str> {
    let substitution = proof.mode == "substitution";
    let to =
        proof.addresses.iter().filter(move |_| substitution).map(|substitution| substitution.to.as_str());
    to.chain(proof.recipients.iter().filter(move |_| !substitution).map(String::as_str))
}
