//! Message numbers: `delivery << 28 | n`. Id order is part order, an id names its delivery (also after a purge), and an
//! analysis assigns ids without asking a sequence.

/// Bits of an id that count messages inside one delivery.
pub const MESSAGE_BITS: u32 = 28;
/// One more than the largest number of messages of one delivery.
pub const MESSAGES_MAX: i64 = 1 << MESSAGE_BITS;
/// The largest delivery number that still fits a positive 64-bit id.
pub const DELIVERY_MAX: i64 = i64::MAX >> MESSAGE_BITS;

/// The id of the message `n` (0 ..) of a delivery. `n` must be below [`MESSAGES_MAX`].
#[must_use]
pub const fn message_id(delivery: i64, n: i64) -> i64 {
    (delivery << MESSAGE_BITS) | n
}

/// The first and the last possible message id of a delivery, for `BETWEEN`.
#[must_use]
pub const fn id_range(delivery: i64) -> (i64, i64) {
    (message_id(delivery, 0), message_id(delivery, MESSAGES_MAX - 1))
}

/// The delivery that a message belongs to.
#[must_use]
pub const fn delivery_of(message: i64) -> i64 {
    message >> MESSAGE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_delivery() {
        assert_eq!(message_id(3, 5), 3 * (1 << 28) + 5);
        assert_eq!(delivery_of(message_id(3, MESSAGES_MAX - 1)), 3);
        assert_eq!(id_range(3), (message_id(3, 0), message_id(4, 0) - 1));
        assert_eq!(delivery_of(message_id(DELIVERY_MAX, MESSAGES_MAX - 1)), DELIVERY_MAX);
    }
}
