//! What can go wrong in this room. A receiver's refusal is a result, never an error.

/// An error of the queue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed or is away.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The delivery has no run: it was never confirmed.
    #[error("delivery {0} was not confirmed")]
    NotConfirmed(i64),
    /// The delivery was confirmed before.
    #[error("delivery {0} was already confirmed")]
    AlreadyConfirmed(i64),
    /// Nothing was analysed, so nothing can start.
    #[error("delivery {0} has no messages to send")]
    Empty(i64),
    /// The control asked for does not fit the present one.
    #[error("delivery {delivery} is {state}: it cannot {wish}")]
    Refused {
        /// The delivery.
        delivery: i64,
        /// Its present control.
        state: &'static str,
        /// What was asked.
        wish: &'static str,
    },
    /// A row holds what this version does not know.
    #[error("row of {table} cannot be read: {what}")]
    Row {
        /// Its table.
        table: &'static str,
        /// What is wrong.
        what: String,
    },
    /// More messages than one delivery can number.
    #[error("delivery {0} has more than 268,435,456 messages")]
    TooMany(i64),
    /// The settler has ended (shutdown).
    #[error("the queue is shutting down")]
    Closed,
}

/// The room's result.
pub type Result<T> = std::result::Result<T, Error>;
