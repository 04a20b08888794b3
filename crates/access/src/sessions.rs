//! Signing in and staying signed in.

use crate::error::{Error, Result};
use crate::limits::{
    FAILURES_FREE, LOCK_FIRST_US, LOCK_MAX_US, PEER_FAILURES_MAX, PEER_WINDOW_US, PEERS_MAX, SEEN_STEP_US,
    SESSION_AGE_MAX_US, SESSION_IDLE_US, SESSIONS_MAX,
};
use crate::{Access, Caller, accounts, audit, secret};
use std::net::IpAddr;
use std::sync::PoisonError;
use store::{Lane, Tx, binds};

/// Name of the cookie that carries a session's value.
pub const SESSION_COOKIE: &str = "mailwright_session";

/// A sign-in that worked.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The value of the session cookie. It is stored nowhere.
    pub cookie: String,
    /// Who signed in.
    pub caller: Caller,
}

/// Without the cookie.
impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedIn({})", self.caller.name)
    }
}

/// Failed tries of one peer address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failures {
    since: i64,
    count: u32,
}

struct Found {
    id: i64,
    password: String,
    locked_until: i64,
}

impl Access {
    /// Checks name and password. `peer` is the address of the browser.
    ///
    /// # Errors
    /// [`Error::WrongPassword`]; [`Error::Locked`] while the account or the peer has to wait.
    pub async fn sign_in(&self, name: &str, password: &str, peer: IpAddr, now_us: i64) -> Result<SignedIn> {
        self.peer_may_try(peer, now_us)?;
        let wanted = name.trim().to_string();
        let found = self
            .inner
            .store
            .read(move |tx| {
                let sql = "SELECT id, password, locked_until FROM account WHERE name = $1";
                tx.query_opt(sql, &binds![wanted], |row| {
                    Ok::<_, store::Error>(Found {
                        id: row.int(0)?,
                        password: row.text(1)?,
                        locked_until: row.int(2)?,
                    })
                })
            })
            .await?;
        if let Some(found) = &found
            && found.locked_until > now_us
        {
            return Err(locked(found.locked_until, now_us));
        }
        let fits = self.check_password(found.as_ref().map(|f| f.password.as_str()), password).await?;
        match (found, fits) {
            (Some(found), true) => self.begin_session(found.id, now_us).await,
            (found, _) => {
                self.peer_failed(peer, now_us);
                if let Some(found) = found {
                    self.inner.store.write(Lane::Urgent, move |tx| failed(tx, found.id, now_us)).await?;
                }
                Err(Error::WrongPassword)
            }
        }
    }

    async fn begin_session(&self, id: i64, now_us: i64) -> Result<SignedIn> {
        let cookie = secret::new("")?;
        let hash = secret::hash(&cookie);
        let caller = self
            .inner
            .store
            .write(Lane::Urgent, move |tx| {
                let caller = accounts::caller(tx, id)?.ok_or(Error::WrongPassword)?;
                tx.execute(
                    "UPDATE account SET failures = 0, locked_until = 0, signed_in = $2 WHERE id = $1",
                    &binds![id, now_us],
                )?;
                tx.execute(
                    "DELETE FROM session WHERE account = $1 AND (seen < $2 OR created < $3 OR hash IN \
                     (SELECT hash FROM session WHERE account = $1 ORDER BY seen DESC LIMIT 1000 OFFSET $4))",
                    &binds![id, now_us - SESSION_IDLE_US, now_us - SESSION_AGE_MAX_US, SESSIONS_MAX - 1],
                )?;
                tx.execute(
                    "INSERT INTO session (hash, account, created, seen) VALUES ($1, $2, $3, $3)",
                    &binds![hash, id, now_us],
                )?;
                audit::record(tx, now_us, &caller.name, "user.sign_in", &caller.name, "")?;
                Ok::<_, Error>(caller)
            })
            .await?;
        Ok(SignedIn { cookie, caller })
    }

    /// The caller behind a cookie value; none when there is no such session or it has ended.
    pub async fn session(&self, cookie: &str, now_us: i64) -> Result<Option<Caller>> {
        let hash = secret::hash(cookie);
        let found = self
            .inner
            .store
            .read(move |tx| {
                let sql = "SELECT account, created, seen FROM session WHERE hash = $1";
                let session = tx.query_opt(sql, &binds![hash], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.int(1)?, row.int(2)?))
                })?;
                let Some((account, created, seen)) = session else { return Ok(None) };
                if now_us - created > SESSION_AGE_MAX_US || now_us - seen > SESSION_IDLE_US {
                    return Ok(None);
                }
                Ok::<_, store::Error>(accounts::caller(tx, account)?.map(|caller| (caller, seen)))
            })
            .await?;
        let Some((caller, seen)) = found else { return Ok(None) };
        if now_us - seen > SEEN_STEP_US {
            self.inner
                .store
                .write(Lane::Urgent, move |tx| {
                    tx.execute("UPDATE session SET seen = $2 WHERE hash = $1", &binds![hash, now_us])
                })
                .await?;
        }
        Ok(Some(caller))
    }

    /// Ends the session of a cookie value.
    pub async fn sign_out(&self, cookie: &str) -> Result<()> {
        let hash = secret::hash(cookie);
        let end = move |tx: &mut Tx<'_>| tx.execute("DELETE FROM session WHERE hash = $1", &binds![hash]);
        self.inner.store.write(Lane::Urgent, end).await?;
        Ok(())
    }

    fn peer_may_try(&self, peer: IpAddr, now_us: i64) -> Result<()> {
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        match peers.get(&peer).copied() {
            Some(failures) if now_us - failures.since >= PEER_WINDOW_US => {
                peers.remove(&peer);
                Ok(())
            }
            Some(failures) if failures.count >= PEER_FAILURES_MAX => {
                Err(locked(failures.since + PEER_WINDOW_US, now_us))
            }
            _ => Ok(()),
        }
    }

    fn peer_failed(&self, peer: IpAddr, now_us: i64) {
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX {
            peers.retain(|_, failures| now_us - failures.since < PEER_WINDOW_US);
        }
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            // So many at once are one attacker; the locks of the accounts still hold.
            return;
        }
        peers.entry(peer).or_insert(Failures { since: now_us, count: 0 }).count += 1;
    }
}

fn locked(until: i64, now_us: i64) -> Error {
    Error::Locked { wait_s: ((until - now_us) / 1_000_000).max(1) }
}

/// Counts a wrong password and, beyond the free ones, locks the account for a wait that doubles.
fn failed(tx: &mut Tx<'_>, id: i64, now_us: i64) -> Result<()> {
    let sql = "UPDATE account SET failures = failures + 1 WHERE id = $1 RETURNING failures, name";
    let counted = tx.query_opt(sql, &binds![id], |row| Ok::<_, store::Error>((row.int(0)?, row.text(1)?)))?;
    let Some((failures, name)) = counted else { return Ok(()) };
    if failures < FAILURES_FREE {
        return Ok(());
    }
    let doublings = u32::try_from(failures - FAILURES_FREE).unwrap_or(u32::MAX).min(20);
    let wait = (LOCK_FIRST_US << doublings).min(LOCK_MAX_US);
    tx.execute("UPDATE account SET locked_until = $2 WHERE id = $1", &binds![id, now_us + wait])?;
    audit::record(tx, now_us, "sign-in", "user.locked", &name, &format!("{failures} failed tries"))?;
    Ok(())
}
