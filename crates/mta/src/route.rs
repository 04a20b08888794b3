//! route: from a domain to an exchange: hosts by the DNS, the source by pool, masks and weight. Answers are kept for a
//! while, and old ones serve while the DNS is asked again; questions about the tail never hold up a known provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use queue::FinalState;
use tokio::sync::Semaphore;

use crate::config::{
    HOSTS_MAX, KNOWN_LOOKUPS_MAX, LOOKUPS_MAX, PATH_REST, REROUTE_AFTER, ROUTE_KEPT, ROUTE_SERVES,
    ROUTES_MAX, us,
};
use crate::engine::Shared;
use crate::exchange::{Exchange, Site, Way};
use crate::load::Load;
use crate::standing::{Ask, Origin, Standing};
use crate::world::{Host, MailHosts};

/// A kept answer.
#[derive(Debug, Clone)]
enum Route {
    To(Arc<[Host]>),
    /// Mail to this domain fails at once: in our words, and as a reply would say it.
    Never(&'static str),
}

const NULL_MX: &str = "556 5.1.10 the domain takes no mail (null MX, RFC 7505)";
const NO_DOMAIN: &str = "550 5.1.2 the domain does not exist, or has neither MX nor address";

/// Kept answers by domain.
#[derive(Debug, Default)]
pub(crate) struct Routes(Mutex<HashMap<Arc<str>, Kept>>);

#[derive(Debug)]
struct Kept {
    route: Route,
    /// When it is asked for again.
    ask_us: i64,
    /// Until when it serves while the DNS has said nothing else.
    until_us: i64,
}

/// What is known of a domain.
enum Known {
    /// It serves.
    Fresh(Route),
    /// It serves, and is to be asked for again, by whoever is told so.
    Old(Route),
    Nothing,
}

impl Routes {
    fn get(&self, domain: &str, now: i64) -> Known {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.get_mut(domain) {
            Some(kept) if kept.ask_us > now => Known::Fresh(kept.route.clone()),
            Some(kept) if kept.until_us > now => {
                // Others use it meanwhile; without an answer it is asked for again in a minute.
                kept.ask_us = now + us(PATH_REST);
                Known::Old(kept.route.clone())
            }
            _ => Known::Nothing,
        }
    }

    /// Every domain that was asked for lately and has hosts, with these.
    fn known(&self) -> Vec<(Arc<str>, Arc<[Host]>)> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hosts = |(domain, kept): (&Arc<str>, &Kept)| match &kept.route {
            Route::To(hosts) => Some((Arc::clone(domain), Arc::clone(hosts))),
            Route::Never(_) => None,
        };
        routes.iter().filter_map(hosts).collect()
    }

    fn keep(&self, domain: &Arc<str>, route: Route, now: i64) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= ROUTES_MAX {
            routes.retain(|_, kept| kept.ask_us > now);
            if routes.len() >= ROUTES_MAX {
                routes.clear();
            }
        }
        let ask_us = now + us(ROUTE_KEPT);
        // That a domain takes no mail fails messages for good: an old answer is not enough for that.
        let until_us = if matches!(route, Route::To(_)) { now + us(ROUTE_SERVES) } else { ask_us };
        routes.insert(Arc::clone(domain), Kept { route, ask_us, until_us });
    }
}

/// Questions under way, in two kinds, so that silent name servers of the tail never hold up a provider.
#[derive(Debug)]
pub(crate) struct Lookups {
    known: Arc<Semaphore>,
    tail: Arc<Semaphore>,
}

impl Default for Lookups {
    fn default() -> Self {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Self { known: of(KNOWN_LOOKUPS_MAX), tail: of(LOOKUPS_MAX) }
    }
}

/// The domains whose mail goes to a site, as far as they were asked for. An answer that is too old to send by still tells
/// what waits for whom. Up to a second for [`ROUTES_MAX`] domains.
pub(crate) fn domains_of(shared: &Shared, site: &str) -> Vec<String> {
    let standing = shared.standing();
    let mut found: Vec<String> = shared
        .routes
        .known()
        .into_iter()
        .filter(|(domain, hosts)| standing.site(&Way::Hosts(Arc::clone(hosts)), domain).name == site)
        .map(|(domain, _)| domain.to_string())
        .collect();
    found.sort_unstable();
    found
}

/// Puts messages of one domain into their line, or fails them where the domain takes no mail.
pub(crate) fn send_off(shared: &Arc<Shared>, domain: Arc<str>, loads: Vec<Load>) {
    if shared.config.relay.is_some() {
        return put_all(shared, &domain, loads, &Way::Relay);
    }
    // The lane says which receiver analysis found.
    let tail = loads.first().is_none_or(|load| load.message().part.lane.starts_with(queue::TAIL_LANE));
    match shared.routes.get(&domain, shared.world.now_us()) {
        Known::Fresh(route) => follow(shared, &domain, loads, &route),
        Known::Old(route) => {
            follow(shared, &domain, loads, &route);
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                // No answer: the old one serves on.
                let _ = ask(&shared, &domain, tail, true).await;
            });
        }
        Known::Nothing => {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                let route = ask(&shared, &domain, tail, false).await;
                // It may have taken half a minute: what another epoch has claimed since is none of ours.
                let loads = Load::wanted(loads);
                match route {
                    Ok(route) => follow(&shared, &domain, loads, &route),
                    Err(why) => unanswered(&shared, &domain, loads, &why),
                }
            });
        }
    }
}

/// Asks the DNS, when its turn comes; the answer is kept. `again`: there is an answer, and it is old. An error is why there
/// is none.
async fn ask(shared: &Arc<Shared>, domain: &Arc<str>, tail: bool, again: bool) -> Result<Route, String> {
    let lookups = if tail { &shared.lookups.tail } else { &shared.lookups.known };
    // Never closed, so this cannot fail; and without the permit the question would only be asked too early.
    let _permit = Arc::clone(lookups).acquire_owned().await;
    let now = shared.world.now_us();
    // Others may have asked meanwhile.
    if !again && let Known::Fresh(route) = shared.routes.get(domain, now) {
        return Ok(route);
    }
    let (world, name) = (Arc::clone(&shared.world), Arc::clone(domain));
    // A task of its own, so that a panic in it loses no message.
    let asked = tokio::spawn(async move { world.mail_hosts(&name).await }).await;
    let found = asked.unwrap_or_else(|error| {
        tracing::error!(%error, "a look-up failed by a fault of ours");
        MailHosts::Unanswered("the question failed here".to_owned())
    });
    let route = match found {
        MailHosts::Hosts(mut hosts) => {
            hosts.truncate(HOSTS_MAX);
            Route::To(hosts.into())
        }
        MailHosts::NullMx => Route::Never(NULL_MX),
        MailHosts::NoDomain => Route::Never(NO_DOMAIN),
        MailHosts::Unanswered(why) => return Err(why),
    };
    shared.routes.keep(domain, route.clone(), now);
    Ok(route)
}

fn follow(shared: &Arc<Shared>, domain: &Arc<str>, loads: Vec<Load>, route: &Route) {
    match route {
        Route::To(hosts) => put_all(shared, domain, loads, &Way::Hosts(Arc::clone(hosts))),
        Route::Never(words) => {
            for load in loads {
                shared.settle_decided(load, domain, "invalid_domain", FinalState::Failed, Some(words));
            }
        }
    }
}

/// A DNS that does not answer is a path that rests: nothing is written about the messages.
fn unanswered(shared: &Arc<Shared>, domain: &Arc<str>, loads: Vec<Load>, why: &str) {
    let standing = shared.standing();
    let way = Way::Unresolved(Arc::clone(domain));
    wait(shared, &standing, &way, domain, loads, &format!("no answer from the DNS: {why}"));
}

/// Lines of messages that cannot go anywhere now; they are asked for again when the rest is over.
fn wait(shared: &Shared, standing: &Standing, way: &Way, domain: &str, loads: Vec<Load>, reason: &str) {
    let site = shared.site(standing, way, domain);
    let exchange = shared.exchange(standing, way, &site, &standing.nobody);
    exchange.waits(reason, shared.world.now_us());
    for load in loads {
        exchange.put(load);
    }
}

fn put_all(shared: &Arc<Shared>, domain: &Arc<str>, loads: Vec<Load>, way: &Way) {
    let now = shared.world.now_us();
    let standing = shared.standing();
    let site = shared.site(&standing, way, domain);
    let toward = Toward { standing: &standing, site: &site, way, domain };
    let mut last: Option<(Choice, Arc<Exchange>)> = None;
    let mut homeless: Vec<Load> = Vec::new();
    for load in loads {
        let choice = Choice::of(&load, &site, now);
        if let Some((known, exchange)) = &last
            && *known == choice
        {
            shared.put(exchange, load);
            continue;
        }
        match choose(shared, toward, &choice, now) {
            Some(exchange) => {
                shared.put(&exchange, load);
                last = Some((choice, exchange));
            }
            None => homeless.push(load),
        }
    }
    if let Some(load) = homeless.first() {
        let pool = load.gate().run().spec.pool.clone();
        // Sources there are: what stops them is an operator.
        let reason = if standing.serving(&pool, domain).next().is_some() {
            format!("every source of the pool \"{pool}\" is drained toward {}", site.name)
        } else {
            format!("no source of the pool \"{pool}\" carries mail to {domain} here")
        };
        wait(shared, &standing, &Way::NoSource(Arc::clone(domain)), domain, homeless, &reason);
    }
}

/// What a message's source depends on: messages in a row mostly share it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    pool: String,
    key: Key,
    sticky: Option<String>,
}

/// What goes to the same source for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// A small receiver knows its senders by address and may greylist: one source for the domain.
    Domain,
    /// A provider is where weights matter, and one domain of it may be half of a delivery: one source for the part, which
    /// a message keeps through all its tries, and which is given back as a whole when its source rests.
    Part(i64),
}

impl Choice {
    fn of(load: &Load, site: &Site, now: i64) -> Self {
        let message = load.message();
        let past = &message.past;
        let sticky = past.source.as_ref().filter(|_| past.sticky_until.is_some_and(|until| until > now));
        Self {
            pool: load.gate().run().spec.pool.clone(),
            key: if site.is_known() { Key::Part(message.part.first_id) } else { Key::Domain },
            sticky: sticky.cloned(),
        }
    }
}

/// Where messages of a domain go.
#[derive(Clone, Copy)]
struct Toward<'a> {
    standing: &'a Standing,
    site: &'a Arc<Site>,
    way: &'a Way,
    domain: &'a str,
}

fn choose(shared: &Shared, toward: Toward<'_>, choice: &Choice, now: i64) -> Option<Arc<Exchange>> {
    let Toward { standing, site, way, domain } = toward;
    let part;
    let key = match choice.key {
        Key::Domain => domain.as_bytes(),
        Key::Part(first_id) => {
            part = first_id.to_be_bytes();
            &part[..]
        }
    };
    let ask = Ask { pool: &choice.pool, domain, key, sticky: choice.sticky.as_deref() };
    // Hosts that a source does not reach another one may reach.
    let fits = |origin: &Arc<Origin>| {
        shared.exchange_there_is(site, way, origin).is_none_or(|there| {
            there.hosts_resting_until(now).is_none_or(|until| until - now <= us(REROUTE_AFTER))
        })
    };
    let origin = standing.pick(ask, site, fits, now)?;
    Some(shared.exchange(standing, way, site, &origin))
}

/// Another exchange for a message whose own rests, where there is one that does not.
pub(crate) fn other_way(
    shared: &Shared,
    standing: &Standing,
    from: &Exchange,
    load: &Load,
    now: i64,
) -> Option<Arc<Exchange>> {
    let site = &from.path.site;
    let choice = Choice::of(load, site, now);
    if choice.sticky.is_some() && !from.path.is_draining() {
        return None;
    }
    let toward = Toward { standing, site, way: &from.way(), domain: &load.message().domain };
    let found = choose(shared, toward, &choice, now)?;
    let better =
        !std::ptr::eq(&*found, from) && found.resting_until(now).is_none() && !found.path.is_draining();
    better.then_some(found)
}
