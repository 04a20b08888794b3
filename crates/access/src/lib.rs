//! Who may do what here: accounts, sessions, API tokens, the audit log, and the settings that administrators make.
//!
//! **Owns** the tables `account`, `session`, `pending_sign_in`, `recovery_code`, `password_link`, `api_token`, `audit` and
//! `setting`, and the file `DIR/local-token`.
//!
//! Invariants:
//! - Nothing that opens a door is stored readable: passwords as argon2id; cookies, tokens, links and recovery codes as
//!   hashes; the second factor's secrets and secret settings sealed by the vault. A copy of the database signs nobody in.
//! - A caller has [`Rights`]; the door (http) asks for them by one table. Somebody can always administer.
//! - A code, a recovery code and a password link each work once, also when two come at the same moment.
//! - The first start makes `admin` with a one-time password, which must be changed at the first sign-in.
//! - Guessing is slow: failed tries lock the account for a growing time and the peer address for a while; a name that
//!   does not exist costs as much time as a wrong password.
//! - Hashing never runs on the async workers, and at most [`limits::HASHING_MAX`] at once.
//! - `local-token` is new at each start and works without the database; the door (http) takes it from loopback only.
//! - A setting comes from the environment, else the file, else the web, else its default, and says so. What the file or
//!   the environment pins, the web cannot change. [`Settings`] are immutable; changes arrive through a watch.
//!
//! **Neighbours**: below it only `store`. `http` asks it about callers; the wiring hands its settings to the rooms.
//! Deliberately absent: rights by folder or list, groups, directory services; who owns or reviews a delivery (`delivery`).

mod accounts;
mod audit;
mod error;
pub mod limits;
mod links;
mod local;
mod passwords;
mod rights;
mod secret;
mod sessions;
pub mod settings;
mod stored;
mod tokens;
mod totp;

pub use accounts::{Account, Profile};
pub use audit::{AuditFilter, AuditLine, Deed, record};
pub use error::{Error, Result};
pub use links::{LinkKind, PasswordLink};
pub use local::LOCAL_TOKEN_FILE;
pub use rights::{Right, Rights};
pub use sessions::{Browser, SESSION_COOKIE, SessionLine, SignIn, SignedIn, Ticket};
pub use settings::{ClientAddresses, Entry, Fixed, Origin, Relay, RelayTls, Setting, Settings, Span};
pub use tokens::{ApiToken, TOKEN_PREFIX};
pub use totp::{NewSecret, app_code};

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use store::{RoomMigrations, Step, Store, Vault};
use tokio::sync::{Semaphore, watch};

/// This room's tables.
pub const MIGRATIONS: RoomMigrations = RoomMigrations {
    room: "access",
    steps: &[
        Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") },
        Step { number: 2, name: "rights", sql: include_str!("../migrations/002_rights.sql") },
    ],
};

/// Name of the account that the first start makes.
pub const FIRST_ACCOUNT: &str = "admin";

/// Who asks: an account, or the holder of `local-token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account's id; 0 for the command line with `local-token`.
    pub user: i64,
    /// The account's name, for the audit log and the page.
    pub name: String,
    /// The password was given by the program: only changing it is allowed.
    pub must_change_password: bool,
    /// What it may do.
    pub rights: Rights,
    /// Language of its pages as a tag (`en`, `ja`); empty: the browser's.
    pub language: String,
    /// Time zone of its pages, an IANA name; empty: the browser's.
    pub time_zone: String,
}

impl Caller {
    /// The command line on this machine.
    pub fn local() -> Caller {
        Caller {
            user: 0,
            name: "local".into(),
            must_change_password: false,
            rights: Rights::ALL,
            language: String::new(),
            time_zone: String::new(),
        }
    }

    /// Whether the caller may do that.
    pub fn may(&self, right: Right) -> bool {
        self.rights.may(right)
    }
}

/// A name and its new one-time password, to be shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTime {
    /// The account's name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for OneTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OneTime({})", self.name)
    }
}

/// The room's door. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    vault: Vault,
    fixed: Fixed,
    hashing: Semaphore,
    peers: Mutex<HashMap<IpAddr, sessions::Failures>>,
    local_token: Mutex<Option<[u8; 32]>>,
    settings: watch::Sender<Arc<Settings>>,
}

impl Access {
    /// Opens the room on a migrated store: resolves the settings, and on the first start makes the first account,
    /// whose one-time password is returned to be shown.
    pub async fn open(
        store: Store,
        vault: Vault,
        fixed: Fixed,
        now_us: i64,
    ) -> Result<(Access, Option<OneTime>)> {
        let stored = stored::load(&store, &vault).await?;
        let (settings, _) = watch::channel(Arc::new(Settings::resolve(&fixed, &stored)));
        let access = Access {
            inner: Arc::new(Inner {
                store,
                vault,
                fixed,
                hashing: Semaphore::new(limits::HASHING_MAX),
                peers: Mutex::new(HashMap::new()),
                local_token: Mutex::new(None),
                settings,
            }),
        };
        let first = access.first_account(now_us).await?;
        Ok((access, first))
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings.borrow().clone()
    }

    /// The settings in force, and each later state of them.
    pub fn watch(&self) -> watch::Receiver<Arc<Settings>> {
        self.inner.settings.subscribe()
    }
}
