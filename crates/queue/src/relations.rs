//! Relations: recipients of earlier deliveries, for targets.

use store::{Relation, binds};

use crate::id_range;

/// Which recipients of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everyone it had a message for.
    All,
    /// Those whose message was taken.
    Sent,
    /// Those whose message was refused for good.
    Failed,
    /// Those who were tried or not, without outcome.
    Pending,
}

/// SELECT with one column `recipient`: each recipient of the delivery that fits, once.
#[must_use]
pub fn delivered(delivery: i64, who: Who) -> Relation {
    let (first, last) = id_range(delivery);
    let sql = match who {
        Who::All => "SELECT DISTINCT m.recipient FROM message m WHERE m.id BETWEEN $1 AND $2",
        Who::Sent => {
            "SELECT DISTINCT m.recipient FROM outcome o JOIN message m ON m.id = o.id \
             WHERE o.id BETWEEN $1 AND $2 AND o.state = 1"
        }
        Who::Failed => {
            "SELECT DISTINCT m.recipient FROM outcome o JOIN message m ON m.id = o.id \
             WHERE o.id BETWEEN $1 AND $2 AND o.state <> 1 AND o.state = 2"
        }
        Who::Pending => {
            "SELECT DISTINCT m.recipient FROM message m WHERE m.id BETWEEN $1 AND $2 \
             AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.id = m.id)"
        }
    };
    Relation::new(sql, binds![first, last])
}
