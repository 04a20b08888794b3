//! route: from a domain to an exchange. Answers are kept for a while; questions never hold up anybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use queue::FinalState;

use crate::config::{HOSTS_MAX, ROUTE_KEPT, ROUTES_MAX, us};
use crate::engine::Shared;
use crate::exchange::{Exchange, Way};
use crate::load::Load;
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
pub(crate) struct Routes(Mutex<HashMap<Arc<str>, (i64, Route)>>);

impl Routes {
    fn get(&self, domain: &str, now: i64) -> Option<Route> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(domain).filter(|(until, _)| *until > now).map(|(_, route)| route.clone())
    }

    fn keep(&self, domain: &Arc<str>, route: Route, now: i64) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= ROUTES_MAX {
            routes.retain(|_, (until, _)| *until > now);
            if routes.len() >= ROUTES_MAX {
                routes.clear();
            }
        }
        routes.insert(Arc::clone(domain), (now + us(ROUTE_KEPT), route));
    }
}

/// Puts messages of one domain into their line, or fails them where the domain takes no mail.
pub(crate) fn send_off(shared: &Arc<Shared>, domain: Arc<str>, loads: Vec<Load>) {
    if shared.config.relay.is_some() {
        return put_all(shared, &domain, loads, &Way::Relay);
    }
    if let Some(route) = shared.routes.get(&domain, shared.world.now_us()) {
        return follow(shared, &domain, loads, &route);
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // Never closed, so this cannot fail; and without the permit the question would only be asked too early.
        let _permit = Arc::clone(&shared.lookups).acquire_owned().await;
        let now = shared.world.now_us();
        let route = match shared.routes.get(&domain, now) {
            Some(route) => route,
            None => match shared.world.mail_hosts(&domain).await {
                MailHosts::Hosts(mut hosts) => {
                    hosts.truncate(HOSTS_MAX);
                    Route::To(hosts.into())
                }
                MailHosts::NullMx => Route::Never(NULL_MX),
                MailHosts::NoDomain => Route::Never(NO_DOMAIN),
                MailHosts::Unanswered(why) => return unanswered(&shared, &domain, loads, &why),
            },
        };
        shared.routes.keep(&domain, route.clone(), now);
        follow(&shared, &domain, loads, &route);
    });
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
    let exchange = shared.exchange(Way::Unresolved(Arc::clone(domain)), domain, None);
    exchange.failed(&format!("no answer from the DNS: {why}"), None, shared.world.now_us());
    for load in loads {
        exchange.put(load);
    }
}

fn put_all(shared: &Arc<Shared>, domain: &str, loads: Vec<Load>, way: &Way) {
    let now = shared.world.now_us();
    let mut common: Option<Arc<Exchange>> = None;
    for load in loads {
        let exchange = match wanted_source(shared, &load, now) {
            Some(source) => shared.exchange(way.clone(), domain, Some(source)),
            None => Arc::clone(common.get_or_insert_with(|| shared.exchange(way.clone(), domain, None))),
        };
        shared.put(&exchange, load);
    }
}

/// The source that a receiver asked this message to come back from. With one source there is nothing to choose.
fn wanted_source(shared: &Shared, load: &Load, now: i64) -> Option<usize> {
    let past = &load.message().past;
    let name = past.source.as_deref().filter(|_| past.sticky_until.is_some_and(|until| until > now))?;
    let sources = &shared.config.sources;
    if sources.len() < 2 { None } else { sources.iter().position(|source| source.name == name) }
}
