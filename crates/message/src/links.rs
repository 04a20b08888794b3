//! The URLs of one message.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::plan::code_id;
use crate::slots::{LinkKind, Slots};
use crate::snapshot::Snapshot;
use crate::token::{Token, TokenKeys};

/// Makes the links of one message.
pub(crate) struct Links<'a> {
    snapshot: &'a Snapshot,
    token: Token,
    /// None while a constant beginning is prepared, where only images are linked.
    keys: Option<&'a TokenKeys>,
    /// What stands before the number of a tracked link: made once, because there are many.
    click: OnceCell<String>,
    /// Stands in the header and in each body.
    unsubscribe: OnceCell<String>,
    /// Set for a page, which shows a message's codes as data: a message has them as parts of its own.
    page: Option<&'a Slots>,
}

impl<'a> Links<'a> {
    pub fn new(snapshot: &'a Snapshot, token: Token, keys: Option<&'a TokenKeys>) -> Links<'a> {
        Links { snapshot, token, keys, click: OnceCell::new(), unsubscribe: OnceCell::new(), page: None }
    }

    /// The same for a page or a preview of the message of these slots.
    pub fn on_page(self, slots: &'a Slots) -> Links<'a> {
        Links { page: Some(slots), ..self }
    }

    /// The message's number.
    pub fn message(&self) -> i64 {
        self.token.message
    }

    /// The URL of a link; `images` are the URLs of the snapshot's images.
    pub fn url<'b>(&'b self, kind: LinkKind, images: &'b [String]) -> Cow<'b, str>
    where
        'a: 'b,
    {
        if let LinkKind::Image(number) = kind {
            return images
                .get(usize::from(number))
                .map_or(Cow::Borrowed(""), |url| Cow::Borrowed(url.as_str()));
        }
        if let LinkKind::Code(number) = kind {
            return match self.page {
                Some(slots) => Cow::Borrowed(slots.code(number).unwrap_or_default()),
                None => Cow::Owned(format!("cid:{}", code_id(self.snapshot, self.token.message, number))),
            };
        }
        let Some(keys) = self.keys else { return Cow::Borrowed("") };
        let public_url = &self.snapshot.public_url;
        Cow::Owned(match kind {
            LinkKind::Unsubscribe => {
                let url = self.unsubscribe.get_or_init(|| keys.unsubscribe_url(public_url, self.token));
                return Cow::Borrowed(url);
            }
            LinkKind::Mirror => keys.mirror_url(public_url, self.token),
            LinkKind::Open => keys.open_url(public_url, self.token),
            LinkKind::Tracked(number) => {
                let base = self.click.get_or_init(|| keys.click_base(public_url, self.token));
                format!("{base}{number}")
            }
            LinkKind::Image(_) | LinkKind::Code(_) => String::new(),
        })
    }
}
