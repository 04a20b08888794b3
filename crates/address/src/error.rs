//! Why something is not an address. The texts stand in import reports, so they speak to the person who made the file
//! and never repeat the address.

use thiserror::Error;

/// The first fault found in an address, a domain or a named address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum AddressError {
    /// Nothing but an empty text.
    #[error("the address is empty")]
    Empty,
    /// No `@` outside quotes.
    #[error("the address has no @")]
    NoAt,
    /// The whole address, as it would be sent, is above [`crate::ADDRESS_LEN_MAX`].
    #[error("the address is longer than 254 octets")]
    TooLong,
    /// The local part is above [`crate::LOCAL_LEN_MAX`].
    #[error("the part before the @ is longer than 64 octets")]
    LocalTooLong,
    /// Nothing stands before the `@`.
    #[error("nothing stands before the @")]
    LocalEmpty,
    /// A control, invisible or direction-changing character anywhere.
    #[error("the address contains a control or invisible character")]
    Control,
    /// A blank outside a quoted local part.
    #[error("the address contains a space")]
    Space,
    /// A character that a bare local part cannot hold.
    #[error("the part before the @ contains {0:?}, which must be quoted")]
    LocalCharacter(char),
    /// A dot first, last or doubled, on a domain where that was never allowed.
    #[error("the part before the @ begins or ends with a dot, or has two dots in a row")]
    LocalDots,
    /// A quoted local part that does not end, or holds something after its end.
    #[error("the quoted part before the @ is not well formed")]
    Quoting,
    /// The domain is empty.
    #[error("nothing stands after the @")]
    DomainEmpty,
    /// A domain literal such as `[192.0.2.1]`, which campaign mail is never sent to.
    #[error("an IP address cannot stand after the @")]
    DomainLiteral,
    /// A single label such as `localhost`, or a last label of digits only.
    #[error("the domain has no top-level domain")]
    DomainTopLevel,
    /// Above [`crate::DOMAIN_LEN_MAX`], or a label above [`crate::LABEL_LEN_MAX`].
    #[error("the domain or one of its labels is too long")]
    DomainTooLong,
    /// An empty label, a hyphen at a label's edge, or a character that no host name holds.
    #[error("the domain is not a valid host name")]
    DomainInvalid,
    /// `Name <address>` whose brackets or quotes do not close, or whose name holds what it cannot.
    #[error("not of the form: Name <address>")]
    Named,
}
