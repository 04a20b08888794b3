//! Composes a sent message again and compares it with what the receiver got.

use mta::{Compose, ComposeError, Order};
use queue::copies::Copy;

/// What composing a copy came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    /// The very bytes that were sent.
    Bytes(Vec<u8>),
    /// They cannot be had any more: the copy is held for these reasons.
    Never(String),
    /// Not at present.
    NotNow(String),
}

/// Composes on the calling thread; what it needs was loaded by [`Compose::prepare`].
pub(crate) fn compose(compose: &dyn Compose, copy: &Copy) -> Exact {
    match compose.compose(Order { message: &copy.message }) {
        Ok(composed) if copy.digest == Some(composed.digest) => Exact::Bytes(composed.bytes),
        Ok(_) if copy.digest.is_none() => Exact::Never(
            "the digest of what was sent was not kept, so that nobody can tell whether the copy is exact"
                .to_owned(),
        ),
        Ok(_) => Exact::Never(
            "the message composed again differs from what was sent; it was not archived. Something that messages are \
             made of was changed after it was sent: look whether a signing key of the domain was replaced by hand"
                .to_owned(),
        ),
        Err(ComposeError::Message(words)) => Exact::Never(format!("it cannot be composed again: {words}")),
        Err(ComposeError::NotNow(words)) => Exact::NotNow(words),
    }
}
