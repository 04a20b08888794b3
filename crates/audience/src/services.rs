//! Services: what people subscribe to, such as a weekly letter, and who did.
//!
//! Leaving a service is apart from the denylist: the person is still written to by deliveries of other services. A
//! subscription belongs to the recipient, not to the address: it goes with the person.

use serde::Serialize;
use store::{Dialect, Lane, Relation, Row, Tx, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::lists::checked_name;
use crate::membership::SERVICES;

/// A service that people subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// The service's id; what `queue`'s runs and suppressions name.
    pub id: i64,
    /// Unique; what `delivery.toml` names.
    pub name: String,
    /// How many recipients subscribe to it.
    pub subscribers: i64,
    /// Microseconds UTC.
    pub created_at: i64,
}

/// A recipient's subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// The service.
    pub service: i64,
    /// Its name.
    pub name: String,
    /// Since when, microseconds UTC.
    pub since: i64,
}

const COLUMNS: &str =
    "s.id, s.name, (SELECT count(*) FROM subscription b WHERE b.service = s.id), s.created_at";

impl Audience {
    /// All services in the order of their names, with how many subscribe.
    pub async fn services(&self) -> Result<Vec<Service>> {
        let sql = format!("SELECT {COLUMNS} FROM service s ORDER BY s.name");
        self.store.read(move |tx| tx.query(&sql, &[], read)).await
    }

    /// A service by id.
    pub async fn service(&self, id: i64) -> Result<Option<Service>> {
        let sql = format!("SELECT {COLUMNS} FROM service s WHERE s.id = $1");
        self.store.read(move |tx| tx.query_opt(&sql, &binds![id], read)).await
    }

    /// A service by its exact name.
    pub async fn service_by_name(&self, name: &str) -> Result<Option<Service>> {
        let sql = format!("SELECT {COLUMNS} FROM service s WHERE s.name = $1");
        let name = name.trim().to_owned();
        self.store.read(move |tx| tx.query_opt(&sql, &binds![name], read)).await
    }

    /// What a recipient subscribes to, in the order of the names.
    pub async fn subscriptions_of(&self, recipient: i64) -> Result<Vec<Subscription>> {
        let sql = "SELECT s.id, s.name, b.since FROM subscription b JOIN service s ON s.id = b.service \
             WHERE b.recipient = $1 ORDER BY s.name";
        let read = |row: &Row<'_>| {
            Ok::<_, Error>(Subscription { service: row.int(0)?, name: row.text(1)?, since: row.int(2)? })
        };
        self.store.read(move |tx| tx.query(sql, &binds![recipient], read)).await
    }

    /// Creates a service without subscribers and returns its id.
    pub async fn create_service(&self, name: &str, now_us: i64) -> Result<i64> {
        let name = checked_name("service", name)?;
        self.store.write(Lane::Urgent, move |tx| SERVICES.create(tx, &name, now_us)).await
    }

    /// Gives a service another name.
    pub async fn rename_service(&self, id: i64, name: &str) -> Result<()> {
        let name = checked_name("service", name)?;
        self.store
            .write(Lane::Urgent, move |tx| {
                SERVICES.check_free(tx, &name, Some(id))?;
                match tx.execute("UPDATE service SET name = $2 WHERE id = $1", &binds![id, name])? {
                    0 => Err(Error::NotFound("service")),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Deletes a service with its subscriptions, in several transactions where there are many. False: there is no such
    /// service.
    pub async fn delete_service(&self, id: i64) -> Result<bool> {
        self.delete_with_members(SERVICES, id).await
    }

    /// Subscribes recipients and returns how many did not subscribe before; who did keeps the first time. Ids of nobody are
    /// left out.
    pub async fn subscribe(&self, service: i64, recipients: Vec<i64>, now_us: i64) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                SERVICES.check_there(tx, service)?;
                let rows = recipients.into_iter().map(|recipient| binds![service, recipient, now_us]);
                let sql = "INSERT INTO subscription (service, recipient, since) SELECT $1, id, $3 FROM recipient \
                     WHERE id = $2 ON CONFLICT DO NOTHING";
                Ok(tx.execute_many(sql, rows)?)
            })
            .await
    }

    /// Ends subscriptions and returns how many there were. Nobody is put on the denylist.
    pub async fn unsubscribe(&self, service: i64, recipients: Vec<i64>) -> Result<u64> {
        self.remove_members(SERVICES, service, recipients).await
    }

    /// One column, `recipient`: who subscribes to a service, each once.
    pub fn subscribers_of(&self, service: i64) -> Relation {
        Relation::new(
            "SELECT b.recipient AS recipient FROM subscription b WHERE b.service = $1",
            vec![service.into()],
        )
    }
}

/// What ending a subscription did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// False: there was none.
    pub ended: bool,
    /// The services that the recipient still subscribes to.
    pub still: Vec<i64>,
}

/// Ends one subscription inside a transaction of the caller's, who also tells the queue. On PostgreSQL who ends another of this
/// recipient's waits for the end of the transaction: of two at a time the second must see the first.
///
/// # Errors
/// The database's.
pub fn end_subscription(tx: &mut Tx<'_>, service: i64, recipient: i64) -> Result<Left> {
    if tx.dialect() == Dialect::Postgres {
        let lock = "SELECT id FROM recipient WHERE id = $1 FOR UPDATE";
        tx.query_opt(lock, &binds![recipient], |row| Ok::<_, Error>(row.int(0)?))?;
    }
    let ended = SERVICES.remove(tx, service, recipient)?;
    let still = "SELECT service FROM subscription WHERE recipient = $1 ORDER BY service";
    let still = tx.query(still, &binds![recipient], |row| Ok::<_, Error>(row.int(0)?))?;
    Ok(Left { ended, still })
}

fn read(row: &Row<'_>) -> Result<Service> {
    Ok(Service { id: row.int(0)?, name: row.text(1)?, subscribers: row.int(2)?, created_at: row.int(3)? })
}
