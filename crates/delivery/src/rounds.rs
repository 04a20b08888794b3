//! Rounds of proofs: what changed in the content from one to the next, and what its readers said.
//!
//! Each message of a proof has a link of its own, in a banner and in a header that only proofs carry. It opens a page
//! with two buttons; following the link decides nothing, because mail programs and filters follow links by themselves.
//! Whoever has the link may use it: that is its purpose, and it can do no more than say yes or no to a proof. What a
//! reader says opens or closes nothing by itself: approval is another thing, with accounts and a snapshot.

use serde::Serialize;
use store::{Lane, Row, Tx, binds};
use typology::Level;

use crate::changes::{self, KeyChange, PartChange};
use crate::folder::Refusal;
use crate::notices::NoticeKind;
use crate::personalise::Reader;
use crate::types::{Delivery, DeliveryId, Error, Result, State};
use crate::{Deliveries, journal, records};

/// Longest comment of a reader, in bytes.
pub const COMMENT_LEN_MAX: usize = 2_000;
/// Rounds that one answer shows.
pub const ROUNDS_MAX: i64 = 50;

/// The field that a proof's banner is filled from.
pub(crate) const URL_FIELD: &str = "mailwright_review_url";
/// The header that carries the link too.
pub const REVIEW_HEADER: &str = "X-Mailwright-Review";

/// What a reader says of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It is good.
    Accepted,
    /// It is not.
    Rejected,
}

impl Word {
    /// The name in JSON, in forms and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Accepted => "accepted",
            Word::Rejected => "rejected",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Word> {
        [Word::Accepted, Word::Rejected].into_iter().find(|word| word.as_str() == name)
    }
}

/// One message of a proof, and what its reader said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProofReader {
    /// Number of the message.
    pub message: i64,
    /// Where it went.
    pub address: String,
    /// Whose profile personalised it.
    pub profile: String,
    /// `alternative`, `text`, `html`, or a carrier's.
    pub format: String,
    /// What the reader said; none: nothing yet.
    pub word: Option<Word>,
    /// What they wrote.
    pub comment: String,
    /// When (µs).
    pub decided_at: Option<i64>,
}

impl ProofReader {
    pub(crate) fn new(message: i64, reader: &Reader, format: &str) -> ProofReader {
        ProofReader {
            message,
            address: reader.address.clone(),
            profile: reader.row.email().to_owned(),
            format: format.to_owned(),
            word: None,
            comment: String::new(),
            decided_at: None,
        }
    }
}

/// What changed in what a proof shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContentChange {
    /// Bodies, line by line.
    pub parts: Vec<PartChange>,
    /// Subject, sender, format and the like.
    pub keys: Vec<KeyChange>,
    /// Files that came, went or have other bytes by now.
    pub files: Vec<String>,
}

impl ContentChange {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.keys.is_empty() && self.files.is_empty()
    }
}

/// One proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Round {
    /// `n` of `Proof #n`.
    pub number: i64,
    /// Its own delivery, whose log says what became of the messages.
    pub proof: DeliveryId,
    /// Where that stands.
    pub state: State,
    /// When it was asked for (µs).
    pub at: i64,
    /// By whom; may be empty.
    pub by: String,
    /// Its readers.
    pub readers: Vec<ProofReader>,
    /// What changed since the round before; none for the first one.
    pub changed: Option<ContentChange>,
}

/// The proofs of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rounds {
    /// Newest first, at most [`ROUNDS_MAX`].
    pub rounds: Vec<Round>,
    /// What changed since the newest one; none: there is none.
    pub since: Option<ContentChange>,
}

/// A proof as its reader's page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The proof's label.
    pub label: String,
    /// `n` of `Proof #n`.
    pub number: i64,
    /// What its reader said.
    pub word: Option<Word>,
    /// What they wrote.
    pub comment: String,
    /// The delivery is not over: a word may still change something.
    pub is_open: bool,
}

impl Deliveries {
    /// The rounds of proofs of a delivery, with what changed between them.
    pub async fn rounds(&self, id: DeliveryId) -> Result<Rounds> {
        let delivery = self.get(id).await?;
        let mut rounds = self
            .store
            .read(move |tx| {
                let proofs: Vec<DeliveryId> = tx.query(
                    "SELECT id FROM delivery WHERE parent = $1 AND state <> 'deleted' ORDER BY proof_no DESC LIMIT $2",
                    &binds![id, ROUNDS_MAX + 1],
                    |row| row.int(0).map_err(Error::from),
                )?;
                let mut found = Vec::with_capacity(proofs.len());
                for proof in proofs {
                    found.push((records::get(tx, proof)?, files(tx, proof)?, readers(tx, proof)?));
                }
                let now = (delivery, files(tx, id)?);
                Ok::<_, Error>((now, found))
            })
            .await
            .map(|(now, found)| between(&now, found))?;
        for round in &mut rounds.rounds {
            round.state = self.live_state(round.proof, round.state).await?;
        }
        Ok(rounds)
    }

    /// The proof that a reader's link is of; `None`: it is not there any more.
    pub async fn review(&self, message: i64) -> Result<Option<Review>> {
        let found = self.store.read(move |tx| review(tx, message)).await?;
        let Some((mut review, parent)) = found else { return Ok(None) };
        review.is_open = match self.get(parent).await {
            Ok(parent) => !parent.state.is_final(),
            Err(Error::NotFound(_)) => false,
            Err(error) => return Err(error),
        };
        Ok(Some(review))
    }

    /// Keeps what a reader says of a proof; the last word counts. Its owner is told. `None`: it is not there any more.
    pub async fn say_of_proof(&self, message: i64, word: Word, comment: &str) -> Result<Option<Review>> {
        if comment.len() > COMMENT_LEN_MAX {
            return Err(Refusal::new("comment", format!("is longer than {COMMENT_LEN_MAX} bytes")).into());
        }
        let (now_us, comment) = (self.now_us(), comment.trim().to_owned());
        let told = self
            .store
            .write(Lane::Urgent, move |tx| {
                let Some((review, parent)) = review(tx, message)? else { return Ok(None) };
                let changed = review.word != Some(word) || review.comment != comment;
                tx.execute(
                    "UPDATE proof_reader SET decision = $2, comment = $3, decided_at = $4 WHERE message = $1",
                    &binds![message, word.as_str(), comment.as_str(), now_us],
                )?;
                let delivery = match records::get(tx, parent) {
                    Err(Error::NotFound(_)) => return Ok(None),
                    other => other?,
                };
                let address = reader(tx, message)?.map(|reader| reader.address).unwrap_or_default();
                let text = words(&review, word, &address, &comment);
                if changed {
                    let level = if word == Word::Rejected { Level::Warning } else { Level::Info };
                    journal::note(tx, parent, now_us, level, &text)?;
                }
                Ok::<_, Error>(changed.then_some((delivery, text)))
            })
            .await?;
        if let Some((delivery, text)) = told {
            self.tell_owner(&delivery, NoticeKind::ProofDecided, &text).await?;
        }
        self.review(message).await
    }
}

fn words(review: &Review, word: Word, address: &str, comment: &str) -> String {
    let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
    format!("Proof #{} {} by {address}{comment}", review.number, word.as_str())
}

fn review(tx: &mut Tx<'_>, message: i64) -> Result<Option<(Review, DeliveryId)>> {
    let Some(reader) = reader(tx, message)? else { return Ok(None) };
    let proof = match records::get(tx, queue::delivery_of(message)) {
        Err(Error::NotFound(_)) => return Ok(None),
        other => other?,
    };
    let Some(parent) = proof.parent else { return Ok(None) };
    let review = Review {
        label: proof.label,
        number: proof.proof_no,
        word: reader.word,
        comment: reader.comment,
        is_open: false,
    };
    Ok(Some((review, parent)))
}

const COLUMNS: &str = "message, address, profile, format, decision, comment, decided_at";

/// Keeps who reads a proof, when it is evaluated.
pub(crate) fn keep_readers(tx: &mut Tx<'_>, proof: DeliveryId, readers: Vec<ProofReader>) -> Result<()> {
    tx.execute("DELETE FROM proof_reader WHERE proof = $1", &binds![proof])?;
    let rows = readers
        .into_iter()
        .map(|reader| binds![reader.message, proof, reader.address, reader.profile, reader.format].to_vec());
    tx.execute_many(
        "INSERT INTO proof_reader (message, proof, address, profile, format) VALUES ($1, $2, $3, $4, $5)",
        rows.collect::<Vec<_>>(),
    )?;
    Ok(())
}

fn readers(tx: &mut Tx<'_>, proof: DeliveryId) -> Result<Vec<ProofReader>> {
    let sql = format!("SELECT {COLUMNS} FROM proof_reader WHERE proof = $1 ORDER BY message");
    tx.query(&sql, &binds![proof], read)
}

fn reader(tx: &mut Tx<'_>, message: i64) -> Result<Option<ProofReader>> {
    let sql = format!("SELECT {COLUMNS} FROM proof_reader WHERE message = $1");
    tx.query_opt(&sql, &binds![message], read)
}

fn read(row: &Row<'_>) -> Result<ProofReader> {
    Ok(ProofReader {
        message: row.int(0)?,
        address: row.text(1)?,
        profile: row.text(2)?,
        format: row.text(3)?,
        word: row.text_opt(4)?.as_deref().and_then(Word::parse),
        comment: row.text(5)?,
        decided_at: row.int_opt(6)?,
    })
}

/// Names and hashes of a delivery's files.
type Files = Vec<(String, String)>;

fn files(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Files> {
    let files = content::assets_of(tx, content::Owner::Delivery(id))?;
    let own = files.into_iter().filter(|file| !crate::files::is_fetched(file));
    Ok(own.map(|file| (file.name, file.hash)).collect())
}

type Found = (Delivery, Files, Vec<ProofReader>);

/// Rounds from proofs, newest first; one more than are shown is there to compare the last one with.
fn between(now: &(Delivery, Files), found: Vec<Found>) -> Rounds {
    let since = found.first().map(|(proof, files, _)| changed((proof, files), (&now.0, &now.1)));
    let mut rounds = Vec::with_capacity(found.len());
    for (n, (proof, files, readers)) in found.iter().enumerate().take(ROUNDS_MAX as usize) {
        let before = found.get(n + 1);
        rounds.push(Round {
            number: proof.proof_no,
            proof: proof.id,
            state: proof.state,
            at: proof.created_at,
            by: proof.owner.clone(),
            readers: readers.clone(),
            changed: before.map(|(before, their, _)| changed((before, their), (proof, files))),
        });
    }
    Rounds { rounds, since }
}

/// Keys of the definition that a proof shows, or that its sections begin with.
const SHOWN: [&str; 5] = ["subject", "preheader", "sender.", "content.", "tracking."];
const SHOWN_PARAMETERS: [&str; 3] = ["parameters.format", "parameters.encoding", "parameters.headers"];

fn is_shown(key: &str) -> bool {
    SHOWN.iter().chain(&SHOWN_PARAMETERS).any(|shown| key.starts_with(shown))
}

fn changed(before: (&Delivery, &Files), after: (&Delivery, &Files)) -> ContentChange {
    let mut keys = changes::of_definitions(&before.0.definition, &after.0.definition);
    keys.retain(|change| is_shown(&change.key));
    let mut files: Vec<String> = before.1.iter().filter(|file| !after.1.contains(file)).map(name).collect();
    files.extend(after.1.iter().filter(|file| !before.1.contains(file)).map(name));
    files.sort();
    files.dedup();
    ContentChange { parts: changes::of_sources(&before.0.sources(), &after.0.sources()), keys, files }
}

fn name(file: &(String, String)) -> String {
    file.0.clone()
}

/// What a proof says of itself. No name and no text of the author stands in it, so nothing in it needs escaping.
pub(crate) fn banner(proof_no: i64) -> content::Banner {
    let url = format!("{{{{ {URL_FIELD} }}}}");
    content::Banner {
        html: format!(
            "<div style=\"font:14px/1.5 sans-serif;background:#fff7d6;color:#3b2f00;border:1px solid #d9b84a;\
             padding:8px 12px;margin:0 0 12px;text-align:left\">This is proof #{proof_no}. \
             <a href=\"{url}\" style=\"color:#1d4ed8\">Accept or reject it</a></div>"
        ),
        text: format!("This is proof #{proof_no}. Accept or reject it:\n{url}\n\n"),
        header: (REVIEW_HEADER.to_owned(), url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(subject: &str, html: &str) -> Delivery {
        let mut delivery = records::blank("x");
        delivery.definition.subject = subject.into();
        delivery.html = Some(html.into());
        delivery
    }

    #[test]
    fn a_round_says_what_changed_since_the_one_before() {
        let (one, two) = (delivery("A", "<p>a</p>\n<p>b</p>"), delivery("B", "<p>a</p>\n<p>c</p>"));
        let file = |hash: &str| vec![("dot.gif".to_owned(), hash.to_owned())];
        let found = vec![(two.clone(), file("2"), vec![]), (one, file("1"), vec![])];
        let rounds = between(&(two, file("2")), found);
        let change = rounds.rounds[0].changed.as_ref().unwrap();
        assert_eq!((change.parts[0].added, change.parts[0].removed), (1, 1));
        assert_eq!(change.keys.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["subject"]);
        assert_eq!(change.files, ["dot.gif"]);
        assert!(rounds.rounds[1].changed.is_none());
        assert!(rounds.since.unwrap().is_empty());
    }

    #[test]
    fn what_no_proof_shows_is_no_change_of_the_content() {
        let one = delivery("A", "x");
        let mut two = one.clone();
        two.definition.parameters.retries = 9;
        two.definition.label = "other".into();
        assert!(changed((&one, &vec![]), (&two, &vec![])).is_empty());
    }
}
