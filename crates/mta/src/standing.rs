//! The rules in force, as the engine holds them: sources that this node has, sites, and which source a message goes out
//! from. Replaced as a whole when rules change; whoever works holds the one it began with.

use std::net::SocketAddr;
use std::sync::Arc;

use routes::{DEFAULT_POOL, Overflow, Rules, SiteRules, WarmUp};

use crate::config::{Config, REROUTE_AFTER, Source, us};
use crate::exchange::{Path, Site, Way};
use crate::shape::{Candidate, choose};

/// The name of the relay as a site.
pub(crate) const RELAY_SITE: &str = "relay";

/// A source that this node may use.
#[derive(Debug)]
pub(crate) struct Origin {
    /// What tells its paths apart: the name, and another word once its address or name in EHLO have changed.
    pub tag: Arc<str>,
    /// Its name, as results carry it.
    pub name: Arc<str>,
    /// Address and name to say.
    pub source: Source,
    /// Whoever dials for it.
    pub proxy: Option<SocketAddr>,
    rule: routes::Source,
}

/// Rules and sources.
#[derive(Debug)]
pub(crate) struct Standing {
    pub rules: Arc<Rules>,
    pub origins: Vec<Arc<Origin>>,
    /// For paths on which nothing can be sent: the DNS is silent, or no source serves the domain.
    pub nobody: Arc<Origin>,
    relay: Option<Arc<SiteRules>>,
}

/// What a site is under the rules in force.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub name: String,
    pub known: bool,
    pub rules: Arc<SiteRules>,
}

/// A message in search of a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub pool: &'a str,
    /// The address domain.
    pub domain: &'a str,
    /// What goes to the same source for good.
    pub key: &'a [u8],
    /// The source that the receiver wants to see again.
    pub sticky: Option<&'a str>,
}

impl Standing {
    pub(crate) fn new(config: &Config, rules: Arc<Rules>, before: Option<&Standing>) -> Self {
        let here = |source: &&routes::Source| source.node.as_ref().is_none_or(|node| *node == config.node);
        let known = |name: &str| before.and_then(|b| b.origins.iter().find(|origin| *origin.name == *name));
        let origins = rules
            .sources
            .iter()
            .filter(|source| source.enabled)
            .filter(here)
            .map(|source| match known(&source.name) {
                Some(origin) if origin.rule == *source => Arc::clone(origin),
                Some(origin) if origin.sends_as(source) => {
                    Arc::new(Origin::new(source, Arc::clone(&origin.tag)))
                }
                Some(_) => {
                    let tag = format!("{}~{}", source.name, rules.generation);
                    Arc::new(Origin::new(source, tag.into()))
                }
                None => Arc::new(Origin::new(source, source.name.as_str().into())),
            })
            .collect();
        let nobody = routes::Source { name: String::new(), ..routes::Source::first("") };
        Self {
            origins,
            nobody: Arc::new(Origin::new(&nobody, "".into())),
            relay: config.relay.as_ref().map(|relay| {
                Arc::new(SiteRules {
                    connections: relay.connections.max(1),
                    messages_per_connection: relay.messages_per_connection.max(1),
                    // The operator's own relay has told its limits; beside them only a rest is obeyed.
                    adaptive: false,
                    idle_s: u32::try_from(config.idle.as_secs()).unwrap_or(u32::MAX),
                    breaker_percent: 101,
                    ..SiteRules::default()
                })
            }),
            rules,
        }
    }

    /// Sources that may carry mail of `pool` to `domain`.
    pub(crate) fn serving<'a>(
        &'a self,
        pool: &'a str,
        domain: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Origin>> {
        let pool = named(pool);
        self.origins.iter().filter(move |origin| origin.rule.serves(pool, domain))
    }

    /// Whether this node has a source of the pool at all.
    pub(crate) fn has_pool(&self, pool: &str) -> bool {
        let pool = named(pool);
        self.origins.iter().any(|origin| origin.rule.pools.iter().any(|own| own == pool))
    }

    /// The source for a message, given what is known of the paths to its site. `fits`: also by what is known of its hosts.
    pub(crate) fn pick(
        &self,
        ask: Ask<'_>,
        site: &Site,
        fits: impl Fn(&Arc<Origin>) -> bool,
        now_us: i64,
    ) -> Option<Arc<Origin>> {
        let serving: Vec<&Arc<Origin>> = self.serving(ask.pool, ask.domain).collect();
        let paths = site.paths();
        let path_of = |origin: &Arc<Origin>| paths.iter().find(|path| path.source.tag == origin.tag);
        let stays = |origin: &&&Arc<Origin>| path_of(origin).is_none_or(|path| !path.is_draining());
        if self.relay.is_some() || serving.len() < 2 {
            return serving.first().filter(stays).map(|origin| Arc::clone(origin));
        }
        let wanted = ask.sticky.and_then(|name| serving.iter().find(|origin| &*origin.name == name));
        if let Some(origin) = wanted.filter(stays) {
            return Some(Arc::clone(origin));
        }
        let open =
            |origin: &Arc<Origin>| path_of(origin).is_none_or(|path| takes_new(path, now_us)) && fits(origin);
        let chosen = |among: &dyn Fn(&Arc<Origin>) -> bool| {
            let candidates = serving.iter().map(|origin| Candidate {
                name: &origin.name,
                weight: if among(origin) { origin.rule.weight } else { 0 },
            });
            choose(ask.key, candidates).map(|at| Arc::clone(serving[at]))
        };
        // With every source resting a message waits for its own.
        chosen(&open).or_else(|| chosen(&|origin| stays(&&origin)))
    }

    /// The site that a way leads to.
    pub(crate) fn site(&self, way: &Way, domain: &str) -> Found {
        match (way, &self.relay) {
            (Way::Relay, Some(rules)) => {
                Found { name: RELAY_SITE.to_owned(), known: true, rules: Arc::clone(rules) }
            }
            (Way::Hosts(hosts), _) => {
                let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
                let site = self.rules.providers.site(domain, &names);
                Found { name: site.name, known: site.known, rules: site.rules }
            }
            _ => {
                Found { name: domain.to_owned(), known: false, rules: self.rules.providers.rules_of(domain) }
            }
        }
    }

    /// What holds at a site from a source, and whether its values are limits (a rule names the site) or where growth begins.
    pub(crate) fn rules_from(&self, site: &str, source: &str) -> (Arc<SiteRules>, bool) {
        match &self.relay {
            Some(rules) if site == RELAY_SITE => (Arc::clone(rules), true),
            _ => {
                let providers = &self.rules.providers;
                (providers.rules_from(site, source), providers.names(site, Some(source)))
            }
        }
    }

    /// Whether a rule names the site.
    pub(crate) fn knows(&self, site: &str) -> bool {
        (site == RELAY_SITE && self.relay.is_some()) || self.rules.providers.names(site, None)
    }

    /// The plan by which a source is made known to a site.
    pub(crate) fn warm_up(&self, source: &str, site: &str) -> Option<&WarmUp> {
        self.rules.warm_up(source, site)
    }

    /// Whether what a plan does not allow today waits for tomorrow.
    pub(crate) fn overflow_waits(&self, source: &str, site: &str) -> bool {
        self.warm_up(source, site).is_some_and(|plan| plan.overflow == Overflow::Wait)
    }
}

/// The pool of deliveries that name none.
fn named(pool: &str) -> &str {
    if pool.is_empty() { DEFAULT_POOL } else { pool }
}

/// A path that rests for long takes no message that another could take; for a moment its messages wait.
fn takes_new(path: &Path, now_us: i64) -> bool {
    !path.is_draining()
        && (path.keeps_waiting()
            || path.shaper.resting_until(now_us).is_none_or(|until| until - now_us <= us(REROUTE_AFTER)))
}

impl Origin {
    fn new(rule: &routes::Source, tag: Arc<str>) -> Self {
        Self {
            tag,
            name: rule.name.as_str().into(),
            source: Source { name: rule.name.clone(), bind: rule.address, ehlo: rule.ehlo.clone() },
            proxy: rule.proxy,
            rule: rule.clone(),
        }
    }

    /// Nothing about connections differs.
    fn sends_as(&self, rule: &routes::Source) -> bool {
        self.source.bind == rule.address && self.source.ehlo == rule.ehlo && self.proxy == rule.proxy
    }
}

/// Rules made of the configuration alone, where nothing else gives them.
pub(crate) fn plain_rules(config: &Config) -> Arc<Rules> {
    let mut rules = Rules::plain(config.providers.clone(), "");
    rules.sources = config
        .sources
        .iter()
        .map(|source| routes::Source {
            name: source.name.clone(),
            address: source.bind,
            ..routes::Source::first(&source.ehlo)
        })
        .collect();
    Arc::new(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::InForce;
    use crate::shape::shaper::Limits;
    use crate::shape::{Shaper, Suspension};

    fn source(name: &str, change: impl FnOnce(&mut routes::Source)) -> routes::Source {
        let mut source =
            routes::Source { name: name.to_owned(), ..routes::Source::first("mail.shop.example") };
        change(&mut source);
        source
    }

    fn standing(sources: Vec<routes::Source>) -> Standing {
        let config = Config::direct("mail.shop.example");
        let mut rules = Rules::plain(config.providers.clone(), "mail.shop.example");
        rules.sources = sources;
        Standing::new(&config, Arc::new(rules), None)
    }

    fn ask<'a>(pool: &'a str, domain: &'a str) -> Ask<'a> {
        Ask { pool, domain, key: domain.as_bytes(), sticky: None }
    }

    fn site() -> Arc<Site> {
        Arc::new(Site::new("google", true, &SiteRules::default()))
    }

    fn path(standing: &Standing, site: &Arc<Site>, name: &str) -> Arc<Path> {
        let origin = standing.origins.iter().find(|origin| &*origin.name == name).unwrap();
        let (rules, bounded) = standing.rules_from(&site.name, name);
        let limits = Arc::new(Limits::of(&rules, bounded));
        let shaper = Shaper::new(&rules, bounded, Arc::clone(&limits), None);
        let in_force = InForce { rules, limits, generation: 0 };
        let path = Arc::new(Path::new(Arc::clone(origin), Arc::clone(site), shaper, in_force));
        site.join(&path);
        path
    }

    fn name(found: Option<Arc<Origin>>) -> String {
        found.map(|origin| origin.name.to_string()).unwrap_or_default()
    }

    #[test]
    fn pools_masks_nodes_and_switches_decide_who_may() {
        let standing = standing(vec![
            source("a", |s| s.exclude = vec!["*.test".into()]),
            source("b", |s| s.pools = vec!["news".into()]),
            source("c", |s| s.node = Some("elsewhere".into())),
            source("d", |s| s.enabled = false),
        ]);
        let site = site();
        assert_eq!(name(standing.pick(ask("", "shop.example"), &site, |_| true, 0)), "a");
        assert_eq!(name(standing.pick(ask("news", "shop.test"), &site, |_| true, 0)), "b");
        assert_eq!(name(standing.pick(ask("default", "shop.test"), &site, |_| true, 0)), "");
        assert!(standing.has_pool("news") && standing.has_pool("") && !standing.has_pool("warm"));
    }

    #[test]
    fn a_domain_stays_with_its_source_moves_when_it_rests_and_comes_back() {
        let standing = standing(vec![source("a", |_| ()), source("b", |_| ()), source("c", |_| ())]);
        let site = site();
        let pick = |now| name(standing.pick(ask("", "shop.example"), &site, |_| true, now));
        let own = pick(0);
        assert_eq!(pick(1), own);
        let path = path(&standing, &site, &own);
        let rest = |until_us| Suspension { until_us, reason: "421".into(), by: String::new() };
        path.shaper.hold("site:google|", &rest(Some(20_000_000)));
        assert_eq!(pick(0), own, "for twenty seconds it waits");
        path.shaper.hold("site:google|", &rest(Some(7_200_000_000)));
        let other = pick(0);
        assert_ne!(other, own);
        let sticky = Ask { sticky: Some(&own), ..ask("", "shop.example") };
        assert_eq!(
            name(standing.pick(sticky, &site, |_| true, 0)),
            own,
            "the receiver wants to see it again"
        );
        assert_eq!(pick(7_200_000_001), own);
        path.draining.store(true, std::sync::atomic::Ordering::Release);
        assert_ne!(name(standing.pick(sticky, &site, |_| true, 0)), own);
    }

    #[test]
    fn with_all_sources_resting_a_message_waits_for_its_own() {
        let standing = standing(vec![source("a", |_| ()), source("b", |_| ())]);
        let site = site();
        let own = name(standing.pick(ask("", "shop.example"), &site, |_| true, 0));
        let long = Suspension { until_us: None, reason: "no".into(), by: "ann".into() };
        // Paths live only while somebody holds them, as exchanges do.
        let paths = ["a", "b"].map(|source| path(&standing, &site, source));
        paths.iter().for_each(|path| path.shaper.hold("site:google|", &long));
        assert_eq!(name(standing.pick(ask("", "shop.example"), &site, |_| true, 0)), own);
    }

    #[test]
    fn a_changed_address_makes_other_paths_and_another_weight_does_not() {
        let before = standing(vec![source("a", |_| ())]);
        let config = Config::direct("mail.shop.example");
        let again = |change: fn(&mut routes::Source)| {
            let mut rules = Rules::clone(&before.rules);
            rules.generation = 4;
            change(&mut rules.sources[0]);
            Standing::new(&config, Arc::new(rules), Some(&before)).origins[0].tag.to_string()
        };
        assert_eq!(again(|s| s.weight = 7), "a");
        assert_eq!(again(|s| s.address = Some("192.0.2.7".parse().unwrap())), "a~4");
    }

    #[test]
    fn only_named_sites_have_limits_that_hold() {
        let standing = standing(vec![source("a", |_| ())]);
        assert!(standing.rules_from("google", "a").1);
        assert!(!standing.rules_from("shop.example", "a").1);
    }
}
