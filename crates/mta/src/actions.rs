//! What operators see of paths, and do to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use routes::Verdict;

use crate::engine::Shared;
use crate::exchange::Path;
use crate::keep::{key_of, lift};
use crate::shape::Suspension;
use crate::watch::{Action, PathFigures};

/// Every path that has something to tell, by site and source.
pub(crate) fn figures(shared: &Shared) -> Vec<PathFigures> {
    let now = shared.world.now_us();
    let mut paths: Vec<PathFigures> = shared
        .all_paths()
        .iter()
        .map(|path| of(path, now))
        .filter(|path| {
            path.connections > 0
                || path.waiting > 0
                || path.suspended.is_some()
                || path.draining
                || path.accepted + path.deferred + path.refused > 0
        })
        .collect();
    paths.sort_by(|a, b| (&a.site, &a.source).cmp(&(&b.site, &b.source)));
    paths
}

fn of(path: &Path, now: i64) -> PathFigures {
    let shaper = &path.shaper;
    let (rate_reason, limit_reason) = shaper.reasons();
    let (accepted_per_second, lately) = shaper.lately(now);
    let total = shaper.counted();
    let waiting = path.waiting();
    let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let expected_end = (waiting > 0 && accepted_per_second > 0.0)
        .then(|| now + (waiting as f64 / accepted_per_second * 1_000_000.0) as i64);
    PathFigures {
        source: path.source.name.to_string(),
        site: path.site.name.to_string(),
        exchange: path.hosts(),
        known: path.site.is_known(),
        connections: shaper.open() as usize,
        connections_limit: shaper.connections_limit(),
        limit_reason,
        messages_per_connection: shaper.messages_limit(),
        rate: shaper.rate(),
        rate_reason,
        waiting,
        accepted_per_second,
        deferral_share: share(lately.deferred, lately.answers()),
        accepted: total.accepted,
        deferred: total.deferred,
        refused: total.refused,
        replies: shaper.top_replies(),
        suspended: path.suspension(now),
        draining: path.is_draining(),
        expected_end,
        warm_up: path
            .allowed()
            .and_then(|of| shaper.allowance().map(|left| (u64::try_from(left).unwrap_or(0).min(of), of))),
        secure_only: path.site.secure_only.load(Ordering::Acquire),
    }
}

/// Does it, and writes it down where there is somewhere to.
pub(crate) async fn act(shared: &Shared, action: Action) -> Result<(), String> {
    let now = shared.world.now_us();
    match action {
        Action::Suspend { source, site, until_us, reason, by } => {
            let rest = Suspension { until_us, reason, by };
            let verdict = verdict(source.as_deref(), &site, routes::Action::Suspend, &rest, now);
            let key = key_of(&verdict);
            put(shared, verdict, now).await?;
            for path in matching(shared, source.as_deref(), &site) {
                path.shaper.hold(&key, &rest);
                path.draining.store(shared.memory.drains(&path, now), Ordering::Release);
            }
        }
        Action::Drain { source, site, reason, by } => {
            let rest = Suspension { until_us: None, reason, by };
            let verdict = verdict(source.as_deref(), &site, routes::Action::Drain, &rest, now);
            let key = key_of(&verdict);
            put(shared, verdict, now).await?;
            for path in matching(shared, source.as_deref(), &site) {
                path.shaper.release(&key);
                path.draining.store(true, Ordering::Release);
            }
        }
        Action::Resume { source, site, by } => resume(shared, source.as_deref(), &site, &by, now).await?,
        Action::RetryNow { site } => {
            lift_ours(shared, &site, now).await?;
            for path in matching(shared, None, &site) {
                // What people hold goes on.
                path.shaper.resume();
                path.members().iter().for_each(|member| member.lift());
            }
            due_again(shared, &site, now).await?;
        }
        Action::Forget { source, site } => forget(shared, source.as_deref(), &site).await?,
    }
    shared.look_again();
    Ok(())
}

fn verdict(source: Option<&str>, site: &str, action: routes::Action, rest: &Suspension, now: i64) -> Verdict {
    let identity = source.map_or_else(|| format!("site:{site}"), |source| format!("source:{source}"));
    let provider = if source.is_some() { site.to_owned() } else { String::new() };
    Verdict {
        identity,
        provider,
        action,
        until_us: rest.until_us,
        reason: rest.reason.clone(),
        rule: String::new(),
        category: String::new(),
        by: rest.by.clone(),
        at_us: now,
    }
}

async fn put(shared: &Shared, verdict: Verdict, now: i64) -> Result<(), String> {
    if let Some(routes) = &shared.config.routes {
        routes.put_verdict(verdict.clone(), now).await.map_err(|error| error.to_string())?;
    }
    shared.memory.learn(verdict);
    Ok(())
}

async fn resume(shared: &Shared, source: Option<&str>, site: &str, by: &str, now: i64) -> Result<(), String> {
    let paths = matching(shared, source, site);
    if let Some(routes) = &shared.config.routes {
        let verdicts = routes.verdicts(now).await.map_err(|error| error.to_string())?;
        let about = |verdict: &&Verdict| {
            let (kind, name) = verdict.identity.split_once(':').unwrap_or_default();
            let here = *verdict.provider == *site || (kind == "site" && name == site);
            here && (source.is_none() || source.is_some_and(|source| kind == "source" && name == source))
        };
        for verdict in verdicts.iter().filter(about) {
            let lifted = routes.lift_verdict(&verdict.identity, &verdict.provider, by, now).await;
            lifted.map_err(|error| error.to_string())?;
            shared.memory.unlearn(verdict);
            paths.iter().for_each(|path| lift(&shared.memory, verdict, path, now));
        }
    }
    for path in paths {
        path.draining.store(false, Ordering::Release);
        path.shaper.resume();
        for identity in [format!("site:{site}|"), format!("source:{}|{site}", path.source.name)] {
            path.shaper.release(&identity);
        }
        path.members().iter().for_each(|member| member.lift());
        if source.is_none() {
            path.site.unblock_all();
            path.site.secure_only.store(false, Ordering::Release);
        }
    }
    due_again(shared, site, now).await
}

/// What was given back because the site did not take it is due now, as fast as its paths may go.
pub(crate) async fn due_again(shared: &Shared, site: &str, now: i64) -> Result<(), String> {
    let rates: Vec<Option<f64>> =
        matching(shared, None, site).iter().map(|path| path.shaper.rate()).collect();
    // Without a limit on one of them there is none on all together.
    let rate = rates.iter().copied().sum::<Option<f64>>().filter(|_| !rates.is_empty());
    let moved = shared.queue.resume_waiting(site, rate, now).await.map_err(|error| error.to_string())?;
    if moved > 0 {
        tracing::info!(site, messages = moved, "what waited for a path is due again");
    }
    Ok(())
}

/// Takes the engine's own verdicts on a site back.
async fn lift_ours(shared: &Shared, site: &str, now: i64) -> Result<(), String> {
    let Some(routes) = &shared.config.routes else { return Ok(()) };
    let verdicts = routes.verdicts(now).await.map_err(|error| error.to_string())?;
    for verdict in verdicts.iter().filter(|verdict| verdict.by.is_empty() && verdict.provider == site) {
        let lifted = routes.lift_verdict(&verdict.identity, &verdict.provider, "", now).await;
        lifted.map_err(|error| error.to_string())?;
        shared.memory.unlearn(verdict);
    }
    Ok(())
}

async fn forget(shared: &Shared, source: Option<&str>, site: &str) -> Result<(), String> {
    if let Some(routes) = &shared.config.routes {
        routes.forget_learned(source, site).await.map_err(|error| error.to_string())?;
    }
    let standing = shared.standing();
    for path in matching(shared, source, site) {
        let (rules, bounded) = standing.rules_from(&path.site.name, &path.source.name);
        shared.memory.forget(&path.source.name, &path.site.name);
        if source.is_none() {
            path.site.secure_only.store(false, Ordering::Release);
        }
        path.shaper.forget(&rules, bounded);
    }
    Ok(())
}

fn matching(shared: &Shared, source: Option<&str>, site: &str) -> Vec<Arc<Path>> {
    let mut paths = shared.all_paths();
    paths.retain(|path| *path.site.name == *site && source.is_none_or(|source| *path.source.name == *source));
    paths
}
