//! How the database reads a target: the plans of the statements that a walk repeats, for measurements and for whoever
//! wonders why a target is slow. Nothing is changed.

use queue::Among;
use store::{Dialect, Relation};

use crate::Deliveries;
use crate::schedule::Plan;
use crate::types::{DeliveryId, Error, Result};
use crate::walk::walk_step;

/// A statement's plan, line by line as the database words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPlan {
    /// What the statement does.
    pub statement: String,
    /// The plan.
    pub lines: Vec<String>,
}

impl Deliveries {
    /// The plans of one step of the walk over a delivery's target: its members with their marks, and each pressure rule.
    pub async fn target_plans(&self, id: DeliveryId) -> Result<Vec<QueryPlan>> {
        let delivery = self.get(id).await?;
        let definition = &delivery.definition;
        let plan = Plan::of(definition, self.now_us())?;
        let force =
            self.in_force(definition, &crate::typologies::facts_of(definition), plan.start_us).await?;
        let set = self.walked_set(id, definition, &force).await?;
        let dialect = self.store.dialect();
        let ids = 1..=walk_step(dialect);
        let mut plans = vec![self.query_plan("members and marks".into(), set.candidates(&ids)).await?];
        let everybody = self.rooms.audience.all_recipients();
        for pressure in self.pressures(id, &force, plan.start_us).await? {
            if let Some(over) = pressure.over(&everybody, &Among::Range(ids.clone()), dialect) {
                plans.push(self.query_plan(format!("pressure rule {:?}", pressure.name), over).await?);
            }
        }
        Ok(plans)
    }

    async fn query_plan(&self, statement: String, relation: Relation) -> Result<QueryPlan> {
        let (explain, column) = match self.store.dialect() {
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
            Dialect::Postgres => ("EXPLAIN", 0),
        };
        let sql = format!("{explain} {}", relation.sql);
        let lines = self
            .store
            .read(move |tx| tx.query(&sql, &relation.binds, |row| row.text(column).map_err(Error::from)))
            .await?;
        Ok(QueryPlan { statement, lines })
    }
}
