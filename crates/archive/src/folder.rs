//! Copies in a folder: owed copies gather until a batch is full or its oldest has waited long enough, are written, and
//! are no longer owed once the batch's manifest is on disk.

use std::time::Duration;

use queue::copies::{self, Copy, Untaken};
use store::Lane;

use crate::batch::{Added, Batch};
use crate::config::FolderConfig;
use crate::limits::{LOOK, PAGE_MAX, PURGE_EVERY};
use crate::manifest::{self, Manifest};
use crate::records::{self, Link, Safe};
use crate::work::{Turn, rest_after, us};
use crate::{Error, Result, files, retention};

/// Copies of one step when a batch is committed: short enough that settling passes between steps.
const STEP: usize = 1_000;
/// Batches whose manifests are deleted in one step.
const PURGE_STEP: i64 = 1_000;
/// Octets of the chain's random root.
const ROOT_LEN: usize = 32;

/// What a look came to.
enum Next {
    /// A batch was made, or copies were put off.
    Worked,
    /// There is nothing to do for so long.
    Wait(Duration),
}

/// Works until the turn is over.
pub(crate) async fn work(turn: &Turn, config: &FolderConfig) {
    let mut failures = 0;
    let mut latest = None;
    let mut purged_at = None;
    while !turn.is_over() {
        match step(turn, config, &mut latest, &mut purged_at).await {
            Ok(Next::Worked) => failures = 0,
            Ok(Next::Wait(time)) => turn.wait_for_copies(time).await,
            Err(error) => {
                // What is on disk and in the database is read again.
                latest = None;
                turn.rest(&error.to_string(), rest_after(failures, None)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

async fn step(
    turn: &Turn,
    config: &FolderConfig,
    latest: &mut Option<Link>,
    purged_at: &mut Option<i64>,
) -> Result<Next> {
    let now = turn.now_us();
    if latest.is_none() {
        *latest = Some(find_latest(turn, config).await?);
    }
    let Some(before) = latest.clone() else { return Ok(Next::Worked) };
    if let Some(kept) = config.retention
        && purged_at.is_none_or(|at| now - at >= us(PURGE_EVERY))
    {
        purge(turn, config, now - us(kept)).await?;
        *purged_at = Some(now);
    }
    let limit = i64::from(config.batch.max(1));
    let (count, oldest) = turn.shared.queue.store().read(move |tx| copies::due_count(tx, now, limit)).await?;
    let Some(oldest) = oldest else { return Ok(Next::Wait(LOOK)) };
    let full_at = oldest.saturating_add(us(config.wait));
    if count < limit && now < full_at {
        return Ok(Next::Wait(Duration::from_micros(u64::try_from(full_at - now).unwrap_or(0))));
    }
    if let Some(link) = make(turn, config, &before, now).await? {
        *latest = Some(link);
        turn.works();
    }
    Ok(Next::Worked)
}

/// The latest batch: the database's, and those whose manifest was written when a crash came before the commit.
async fn find_latest(turn: &Turn, config: &FolderConfig) -> Result<Link> {
    let mut root = [0; ROOT_LEN];
    aws_lc_rs::rand::fill(&mut root).map_err(|_| Error::Ended)?;
    let root = files::hash(&root);
    let store = turn.shared.queue.store();
    let mut latest = store.write(Lane::Bulk, move |tx| records::latest(tx, &root)).await?;
    loop {
        let (path, number) = (config.path.clone(), latest.number + 1);
        let found = turn.shared.bench.run(move || Manifest::read(&path, number)).await??;
        let Some((manifest, hash)) = found else { return Ok(latest) };
        if manifest.previous != latest.manifest {
            return Err(Error::Foreign { path: manifest::path(&config.path, number), number });
        }
        tracing::info!(batch = number, "a batch was complete when the program ended before");
        latest = Link { number, manifest: hash };
        // Their sizes are not read again, so the total of octets misses what a crash cut.
        let ids = manifest.files.iter().filter_map(|(_, name)| files::message_of(name));
        let safe = ids.map(|id| Safe { id, octets: 0 }).collect();
        commit(turn, safe, Vec::new(), &latest, manifest.made_at).await?;
    }
}

/// Makes one batch; none when nothing was fit for it.
async fn make(turn: &Turn, config: &FolderConfig, before: &Link, now: i64) -> Result<Option<Link>> {
    let bench = &turn.shared.bench;
    let (begun, link) = (config.clone(), before.clone());
    let mut batch = bench.run(move || Batch::begin(&begun, &link, now)).await??;
    let (mut safe, mut untaken) = (Vec::new(), Vec::new());
    let mut after = None;
    loop {
        let room = config.batch.max(1) as usize - batch.len().min(config.batch as usize);
        let page = match i64::try_from(room) {
            Ok(0) => break,
            Ok(room) => turn.page(after, room.min(PAGE_MAX)).await?,
            Err(_) => turn.page(after, PAGE_MAX).await?,
        };
        let Some(last) = page.last() else { break };
        after = Some(last.place());
        let mut ready = Vec::with_capacity(page.len());
        for copy in page {
            match turn.prepare(&copy).await {
                Ok(()) => ready.push(copy),
                Err(copy) => untaken.push(copy),
            }
        }
        let (job, held) = (turn.clone(), batch);
        let (back, added) = bench.run(move || add(&job, held, ready)).await?;
        batch = back;
        let added = added?;
        safe.extend(added.safe);
        untaken.extend(added.untaken);
        if turn.is_over() {
            // Not finished: the copies are still owed, and what lies there already is found again.
            return Ok(None);
        }
    }
    if safe.is_empty() {
        turn.commit(Vec::new(), untaken).await;
        return Ok(None);
    }
    let (link, manifest) = bench.run(move || batch.finish()).await??;
    commit(turn, safe, untaken, &link, manifest.made_at).await?;
    Ok(Some(link))
}

#[derive(Default)]
struct PageAdded {
    safe: Vec<Safe>,
    untaken: Vec<Untaken>,
}

/// Composes and writes one page on the archive's thread.
fn add(turn: &Turn, mut batch: Batch, page: Vec<Copy>) -> (Batch, Result<PageAdded>) {
    let mut added = PageAdded::default();
    for copy in page {
        let id = copy.message.id;
        let bytes = match turn.exact(&copy) {
            Ok(bytes) => bytes,
            Err(untaken) => {
                added.untaken.push(untaken);
                continue;
            }
        };
        match batch.add(id, copy.sent_at, &bytes) {
            Ok(Added::Yes) => {
                added.safe.push(Safe { id, octets: i64::try_from(bytes.len()).unwrap_or(i64::MAX) });
            }
            Ok(Added::Occupied) => {
                let name = files::name_of(id, copy.sent_at);
                let error = format!(
                    "a file {name} with other content is in the archive folder already; it was not overwritten. Move \
                     it away and try again"
                );
                added.untaken.push(Untaken { id, due: None, error, counts: false });
            }
            Err(error) => return (batch, Err(error)),
        }
    }
    (batch, Ok(added))
}

/// The copies first, the batch last: after a crash in between its manifest is found and the rest done.
async fn commit(
    turn: &Turn,
    safe: Vec<Safe>,
    untaken: Vec<Untaken>,
    link: &Link,
    made_at: i64,
) -> Result<()> {
    let count = i64::try_from(safe.len()).unwrap_or(i64::MAX);
    let mut untaken = Some(untaken);
    for step in safe.chunks(STEP) {
        turn.commit(step.to_vec(), untaken.take().unwrap_or_default()).await;
    }
    let link = link.clone();
    let store = turn.shared.queue.store();
    store.write(Lane::Bulk, move |tx| records::add_batch(tx, &link, made_at, count)).await
}

/// Deletes copies and manifests from before `before` (UTC microseconds).
async fn purge(turn: &Turn, config: &FolderConfig, before: i64) -> Result<()> {
    let bench = &turn.shared.bench;
    let path = config.path.clone();
    let deleted = bench.run(move || retention::purge(&path, before)).await??;
    if deleted > 0 {
        tracing::info!(files = deleted, "archived copies were deleted after their retention");
    }
    let store = turn.shared.queue.store();
    loop {
        let old = store.read(move |tx| records::old_batches(tx, before, PURGE_STEP)).await?;
        let Some(last) = old.last().copied() else { return Ok(()) };
        let path = config.path.clone();
        bench.run(move || delete_manifests(&path, &old)).await??;
        store.write(Lane::Bulk, move |tx| records::forget_batches(tx, last)).await?;
    }
}

fn delete_manifests(root: &std::path::Path, numbers: &[i64]) -> Result<()> {
    for number in numbers {
        let path = manifest::path(root, *number);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::at(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
