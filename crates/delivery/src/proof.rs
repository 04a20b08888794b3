//! Proofs: the delivery as a few people will judge it. Each is a delivery of its own, numbered, analysed and logged
//! like any other, outside every indicator; its links act on nobody.

use std::collections::HashSet;
use std::sync::Arc;

use audience::{Recipient, RecipientRow};
use store::{Lane, binds};
use typology::Level;

use crate::analyse::Source;
use crate::definition::{Definition, Substitution};
use crate::folder::Refusal;
use crate::personalise::Reader;
use crate::records::{self, NewDelivery};
use crate::states::By;
use crate::types::{
    Analysis, Delivery, DeliveryId, Error, ListFilter, ProofTarget, Purpose, Result, State, Summary,
};
use crate::{Deliveries, facts, files, journal, life};

/// Readers that one request may name; more than 100 are then refused by the rule `proof_size`, in the journal.
const READERS_MAX: usize = 1_000;

/// A proof on its way.
pub struct StartedProof {
    /// The proof's own delivery.
    pub proof: Delivery,
    task: tokio::task::JoinHandle<Result<Analysis>>,
}

impl StartedProof {
    /// Waits until it is analysed and, when that found no error, confirmed.
    pub async fn analysed(self) -> Result<Analysis> {
        self.task.await.map_err(|panic| Error::Internal(format!("the proof panicked: {panic}")))?
    }
}

impl Deliveries {
    /// Sends a proof. The answer comes at once; the proof analyses and confirms itself.
    pub async fn proof(&self, id: DeliveryId, target: ProofTarget, by: &By) -> Result<StartedProof> {
        let parent = self.get(id).await?;
        if parent.parent.is_some() {
            return Err(
                Refusal::new("delivery", "is a proof itself: send the proof from its delivery").into()
            );
        }
        life::sendable(&parent)?;
        if matches!(parent.state, State::Deleted | State::Cancelled) {
            let reason = "it is over: duplicate it first".into();
            return Err(Error::State { id, state: parent.state, reason });
        }
        let readers = Arc::new(self.readers(&parent.definition, target).await?);
        let proof = self.create_proof(&parent, by).await?;
        let (this, proof_id) = (self.clone(), proof.id);
        let task = tokio::spawn(async move { this.run_proof(id, proof_id, readers).await });
        Ok(StartedProof { proof, task })
    }

    /// The proofs of a delivery, newest first.
    pub async fn proofs(&self, id: DeliveryId) -> Result<Vec<Summary>> {
        self.list(ListFilter { proofs_of: Some(id), ..ListFilter::default() }).await
    }

    async fn create_proof(&self, parent: &Delivery, by: &By) -> Result<Delivery> {
        let (parent, by, now_us) = (parent.clone(), by.clone(), self.now_us());
        self.store
            .write(Lane::Urgent, move |tx| {
                let last: i64 = tx.query_one(
                    "SELECT coalesce(max(proof_no), 0) FROM delivery WHERE parent = $1",
                    &binds![parent.id],
                    |row| row.int(0).map_err(Error::from),
                )?;
                let proof_no = last + 1;
                let label = format!("{}{}", facts::prefix(&parent.definition, proof_no), parent.label);
                let new = NewDelivery {
                    definition: &parent.definition,
                    sources: &parent.sources(),
                    is_template: false,
                    by: &by.name,
                    parent: Some(parent.id),
                    proof_no,
                    label: &label,
                    origin: None,
                    purpose: Purpose::Delivery,
                    now_us,
                };
                let id = records::insert(tx, &new)?;
                files::copy(tx, parent.id, id)?;
                let text = format!("Proof #{proof_no} asked for{}", by.suffix());
                journal::note(tx, parent.id, now_us, Level::Info, &text)?;
                records::get(tx, id)
            })
            .await
    }

    async fn run_proof(
        &self,
        parent: DeliveryId,
        proof: DeliveryId,
        readers: Arc<Vec<Reader>>,
    ) -> Result<Analysis> {
        let analysis = self
            .start_analysis_of(proof, Source::Readers(readers), false, &By::system())
            .await?
            .wait()
            .await?;
        if analysis.state != State::Ready {
            return Ok(analysis);
        }
        self.confirm(proof, analysis.snapshot.as_deref(), &By::system()).await?;
        self.store
            .write(Lane::Urgent, move |tx| {
                // The content that this proof shows is the proof's own, also when the parent was edited meanwhile.
                tx.execute(
                    "UPDATE delivery SET proof_hash = (SELECT p.content_hash FROM delivery p WHERE p.id = $2) WHERE id = $1",
                    &binds![parent, proof],
                )
                .map_err(Error::from)
            })
            .await?;
        Ok(analysis)
    }

    async fn readers(&self, definition: &Definition, target: ProofTarget) -> Result<Vec<Reader>> {
        let target = match target {
            ProofTarget::AsDefined if definition.proof.mode == "recipients" => {
                ProofTarget::Recipients(definition.proof.recipients.clone())
            }
            ProofTarget::AsDefined => ProofTarget::Substitution(definition.proof.addresses.clone()),
            given => given,
        };
        let readers = match target {
            ProofTarget::Substitution(list) => self.substituted(definition, list).await?,
            ProofTarget::Recipients(list) => self.specific(list).await?,
            ProofTarget::AsDefined => Vec::new(),
        };
        let readers = self.kept(definition, readers).await?;
        if readers.is_empty() {
            return Err(Refusal::new("proof", "goes to nobody: name at least one address").into());
        }
        Ok(readers)
    }

    async fn substituted(&self, definition: &Definition, list: Vec<Substitution>) -> Result<Vec<Reader>> {
        check_count(list.len())?;
        let members = self.target_set(&definition.target).await?.members();
        let seed = self.now_us().unsigned_abs();
        let mut readers = Vec::with_capacity(list.len());
        for (n, substitution) in list.into_iter().enumerate() {
            let profile = if substitution.profile.eq_ignore_ascii_case("random") {
                let found =
                    self.rooms.audience.random_recipient(&members, seed.wrapping_add(n as u64)).await?;
                found.ok_or_else(|| {
                    Refusal::new(
                        "target",
                        "is empty: a proof shows the content as somebody of the target sees it",
                    )
                })?
            } else {
                self.recipient("proof.as", &substitution.profile).await?
            };
            readers.push(reader(&profile, Some(&substitution.to))?);
        }
        Ok(readers)
    }

    async fn specific(&self, list: Vec<String>) -> Result<Vec<Reader>> {
        check_count(list.len())?;
        let mut readers = Vec::with_capacity(list.len());
        for address in list {
            readers.push(reader(&self.recipient("proof.recipients", &address).await?, None)?);
        }
        Ok(readers)
    }

    async fn recipient(&self, field: &str, address: &str) -> Result<Recipient> {
        let found = self.rooms.audience.recipient_by_address(address).await?;
        found.ok_or_else(|| Refusal::new(field, format!("{address} is nobody of the audience")).into())
    }

    /// Applies the proof's keep options. By default a proof keeps duplicates, denylisted and quarantined.
    async fn kept(&self, definition: &Definition, readers: Vec<Reader>) -> Result<Vec<Reader>> {
        let options = &definition.proof;
        let mut seen = HashSet::new();
        let mut kept = Vec::with_capacity(readers.len());
        for reader in readers {
            let key = address::parse(&reader.address).map(|mailbox| mailbox.key()).unwrap_or_default();
            let drop = (!options.keep_duplicates && !seen.insert(key))
                || (!options.keep_denylisted && reader.row.denylisted)
                || (!options.keep_quarantined && self.rooms.audience.is_quarantined(&reader.address).await?);
            if !drop {
                kept.push(reader);
            }
        }
        Ok(kept)
    }
}

fn check_count(count: usize) -> Result<()> {
    if count > READERS_MAX {
        return Err(
            Refusal::new("proof", format!("names {count} readers; a proof goes to at most 100")).into()
        );
    }
    Ok(())
}

fn reader(profile: &Recipient, to: Option<&str>) -> Result<Reader> {
    let address = to.unwrap_or(&profile.email).trim().to_owned();
    let mailbox = address::parse(&address)
        .map_err(|error| Refusal::new("proof.to", format!("{address:?} is no address: {error}")))?;
    let domain = mailbox.domain_ascii().to_owned();
    Ok(Reader { row: RecipientRow::from(profile), address, domain })
}
