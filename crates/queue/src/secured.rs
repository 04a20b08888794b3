//! How connections were secured: protocol, cipher, certificate and what vouched for it, kept once and named by number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, binds};

use crate::limits::SECURED_KEPT_MAX;
use crate::{Error, Queue, Result};

/// What vouched for a receiver's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsProof {
    /// Nothing: encrypted, with any certificate.
    None = 0,
    /// A known authority, for the host's name.
    Name = 1,
    /// A known authority, for a name that the domain's MTA-STS policy allows.
    Sts = 2,
    /// The domain's TLSA records.
    Dane = 3,
}

impl TlsProof {
    const ALL: [Self; 4] = [Self::None, Self::Name, Self::Sts, Self::Dane];

    fn from_row(value: i64) -> Result<Self> {
        usize::try_from(value)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .ok_or_else(|| Error::Row { table: "secured", what: format!("proof {value}") })
    }
}

/// How a connection was secured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Tls {
    /// As `TLSv1.3`.
    pub protocol: String,
    /// The cipher suite's registered name.
    pub cipher: String,
    /// SHA-256 of the receiver's certificate, lower-case hex.
    pub certificate: String,
    /// What vouched for it.
    pub proof: TlsProof,
}

/// Numbers that are known already, so that a connection mostly costs no statement. Bounded by [`SECURED_KEPT_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Tls, i64>>);

impl Known {
    fn get(&self, tls: &Tls) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tls).copied()
    }

    fn keep(&self, tls: Tls, id: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SECURED_KEPT_MAX {
            known.clear();
        }
        known.insert(tls, id);
    }
}

impl Queue {
    /// The number under which this is kept, for [`crate::Settlement::tls`]. Asked once a connection.
    ///
    /// # Errors
    /// The database's; the connection may go on without a number.
    pub async fn secured(&self, tls: Tls) -> Result<i64> {
        if let Some(id) = self.known_tls().get(&tls) {
            return Ok(id);
        }
        let wanted = tls.clone();
        let id = self.store().write(Lane::Urgent, move |tx| number(tx, &wanted)).await?;
        self.known_tls().keep(tls, id);
        Ok(id)
    }
}

fn number(tx: &mut Tx<'_>, tls: &Tls) -> Result<i64> {
    let binds = binds![&tls.protocol, &tls.cipher, &tls.certificate, tls.proof as i64];
    tx.execute(
        "INSERT INTO secured (protocol, cipher, certificate, proof) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (protocol, cipher, certificate, proof) DO NOTHING",
        &binds,
    )?;
    tx.query_one(
        "SELECT id FROM secured WHERE protocol = $1 AND cipher = $2 AND certificate = $3 AND proof = $4",
        &binds,
        |row| Ok(row.int(0)?),
    )
}

/// Reads protocol, cipher, certificate and proof from column `at` on; `None`: the message went in clear.
pub(crate) fn read(row: &Row<'_>, at: usize) -> Result<Option<Tls>> {
    let Some(protocol) = row.text_opt(at)? else { return Ok(None) };
    Ok(Some(Tls {
        protocol,
        cipher: row.text(at + 1)?,
        certificate: row.text(at + 2)?,
        proof: TlsProof::from_row(row.int(at + 3)?)?,
    }))
}
