//! From the target that an author named to a set that SQL can walk.

use audience::{Element, Filter, Mark, Recipient, TargetSet};
use store::Relation;

use crate::Deliveries;
use crate::definition::{Target, TargetItem};
use crate::folder::Refusal;
use crate::types::{DeliveryId, Result};

impl Deliveries {
    /// How many recipients the delivery's target has, before exclusions.
    pub async fn estimate(&self, id: DeliveryId) -> Result<i64> {
        let delivery = self.get(id).await?;
        self.estimate_target(&delivery.definition.target).await
    }

    /// The same for a target that is not saved.
    pub async fn estimate_target(&self, target: &Target) -> Result<i64> {
        let set = self.target_set(target).await?;
        Ok(self.rooms.audience.count(&set.members()).await?)
    }

    /// The first members of a target, to look at.
    pub async fn sample_target(&self, target: &Target, limit: usize) -> Result<Vec<Recipient>> {
        let set = self.target_set(target).await?;
        Ok(self.rooms.audience.preview(&set.members(), limit).await?)
    }

    /// Looks up the lists and segments that a target names.
    pub(crate) async fn target_set(&self, target: &Target) -> Result<TargetSet> {
        let mut marks = Vec::new();
        if target.exclude_denylisted {
            marks.push(Mark::denylisted());
        }
        if target.exclude_quarantined {
            marks.push(Mark::quarantined());
        }
        marks.push(Mark::suppressed());
        Ok(TargetSet {
            include: self.relations("target.include", &target.include).await?,
            exclude: self.relations("target.exclude", &target.exclude).await?,
            guests: None,
            marks,
        })
    }

    async fn relations(&self, field: &str, items: &[TargetItem]) -> Result<Vec<Element>> {
        let mut relations = Vec::with_capacity(items.len());
        for item in items {
            relations.push(Element::from(self.relation(field, item).await?));
        }
        Ok(relations)
    }

    async fn relation(&self, field: &str, item: &TargetItem) -> Result<Relation> {
        let audience = &self.rooms.audience;
        if let Some(name) = &item.list {
            let list = audience.list_by_name(name).await?;
            let list = list.ok_or_else(|| Refusal::new(field, format!("there is no list named {name:?}")))?;
            return Ok(audience.recipients_in_list(list.id));
        }
        if let Some(name) = &item.segment {
            let segment = audience.segment_by_name(name).await?;
            let segment =
                segment.ok_or_else(|| Refusal::new(field, format!("there is no segment named {name:?}")))?;
            return Ok(audience.recipients_in_segment(&segment.filter, self.now_us()).await?);
        }
        if let Some(filter) = &item.filter {
            let filter = Filter::parse(filter)
                .map_err(|error| Refusal::new(field, format!("the filter is not valid: {error}")))?;
            return Ok(audience.recipients_in_segment(&filter, self.now_us()).await?);
        }
        if let Some(email) = &item.recipient {
            return Ok(audience.recipient_with_address(email));
        }
        Err(Refusal::new(field, "has an element that names nothing").into())
    }
}
