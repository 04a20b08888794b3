//! What deliveries must know of accounts: that they are there, and where their mail goes.

use access::{Access, Caller, Right};
use delivery::notices::Pending;

/// The accounts as deliveries see them.
pub struct Known(pub Access);

impl delivery::Accounts for Known {
    fn address_of<'a>(&'a self, account: &'a str) -> Pending<'a, Option<String>> {
        Box::pin(async move {
            match self.0.user(account).await {
                Ok(found) => Some(found.email),
                // The command line on this machine has no account, and may own and approve deliveries.
                Err(access::Error::NotFound(_)) if account == Caller::local().name => Some(String::new()),
                Err(access::Error::NotFound(_)) => None,
                Err(error) => {
                    tracing::warn!(%error, "an account could not be looked up");
                    Some(String::new())
                }
            }
        })
    }

    fn administrators(&self) -> Pending<'_, Vec<String>> {
        Box::pin(async move {
            match self.0.users().await {
                Ok(users) => {
                    let may = |user: &access::Account| !user.invited && user.rights.may(Right::Administer);
                    users.into_iter().filter(may).map(|user| user.name).collect()
                }
                Err(error) => {
                    tracing::warn!(%error, "accounts could not be looked up");
                    Vec::new()
                }
            }
        })
    }
}
