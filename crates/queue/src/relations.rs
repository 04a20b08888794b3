//! Relations: recipients of earlier deliveries, for targets.

use store::{Relation, binds};

use crate::id_range;

/// Which recipients of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everyone it had a message for.
    All,
    /// Those whose message was taken. A test delivery, which ends before the message, reached nobody.
    Sent,
    /// Those whose message was refused for good.
    Failed,
    /// Those who were tried or not, without outcome.
    Pending,
}

/// SELECT with one column `recipient`: each recipient of the delivery that fits, once. It starts at the contacts,
/// whose key begins with the recipient: a walk over ranges of recipients reads only its own part of them.
#[must_use]
pub fn delivered(delivery: i64, who: Who) -> Relation {
    let (first, last) = id_range(delivery);
    let sql = match who {
        Who::All => "SELECT DISTINCT k.recipient FROM contact k WHERE k.message BETWEEN $1 AND $2",
        Who::Sent => {
            "SELECT DISTINCT k.recipient FROM contact k JOIN outcome o ON o.id = k.message \
             WHERE k.message BETWEEN $1 AND $2 AND o.id BETWEEN $1 AND $2 AND o.state = 1 \
             AND o.reason IS DISTINCT FROM 'test'"
        }
        Who::Failed => {
            "SELECT DISTINCT k.recipient FROM contact k JOIN outcome o ON o.id = k.message \
             WHERE k.message BETWEEN $1 AND $2 AND o.id BETWEEN $1 AND $2 AND o.state <> 1 AND o.state = 2"
        }
        Who::Pending => {
            "SELECT DISTINCT k.recipient FROM contact k WHERE k.message BETWEEN $1 AND $2 \
             AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.id = k.message AND o.id BETWEEN $1 AND $2)"
        }
    };
    Relation::new(sql, binds![first, last])
}

/// SELECT with the columns `message` and `recipient`: whom each message is for, over all deliveries.
#[must_use]
pub fn addressed() -> Relation {
    Relation::new("SELECT m.id AS message, m.recipient FROM message m", Vec::new())
}

/// SELECT with the columns `recipient` and `message`: who has which message of the delivery. For rooms that know
/// messages and look for their recipients.
#[must_use]
pub fn contacts(delivery: i64) -> Relation {
    let (first, last) = id_range(delivery);
    Relation::new(
        "SELECT k.recipient, k.message FROM contact k WHERE k.message BETWEEN $1 AND $2",
        binds![first, last],
    )
}
