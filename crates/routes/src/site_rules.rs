//! What is allowed toward one receiving site, and a change of it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::{CONNECTIONS_MAX, MASKS_MAX, MESSAGES_PER_CONNECTION_MAX, RATES_MAX, RULE_SECONDS_MAX};
use crate::rate::Rate;

/// When mail to a site is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsPolicy {
    /// Never.
    None,
    /// When the site offers it.
    Opportunistic,
    /// Always; a site without it waits.
    Required,
}

/// One word for how fast a site is sent to: a factor on its message rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// Half.
    Slow,
    /// As the rates say.
    #[default]
    Normal,
    /// Twice.
    Fast,
    /// Four times.
    VeryFast,
    /// Eight times.
    Boost,
}

/// The limits of one site: the shipped value, changed by settings, file and overrides. A *path* is a source and a site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteRules {
    /// Open connections at once, per path. At least 1.
    pub connections: u32,
    /// Open connections at once over all sources of this node; `None`: no limit of its own.
    pub connections_all: Option<u32>,
    /// Messages before a connection is closed. At least 1.
    pub messages_per_connection: u32,
    /// New connections over time; all of them hold. Empty: no limit.
    pub connection_rates: Vec<Rate>,
    /// Messages over time, with `speed` applied; all of them hold. Empty: no limit.
    pub message_rates: Vec<Rate>,
    /// The factor that `message_rates` already contains.
    pub speed: Speed,
    /// Whether the rates count over all sources together; otherwise each source has its own.
    pub shared: bool,
    /// When mail is encrypted.
    pub tls: TlsPolicy,
    /// Opportunistic only: whether a site whose TLS is broken is spoken to in clear.
    pub clear_after_broken_tls: bool,
    /// Until a connection stands, in seconds.
    pub connect_timeout_s: u32,
    /// Until the greeting and the reply to a command, in seconds (RFC 5321 section 4.5.3.2: 300).
    pub command_timeout_s: u32,
    /// Until the reply to DATA, and for each block of a body, in seconds (RFC 5321: 120 and 180).
    pub data_timeout_s: u32,
    /// Until the reply to the final dot, in seconds (RFC 5321: 600). Less makes duplicates.
    pub dot_timeout_s: u32,
    /// How long an unused connection stays open, in seconds.
    pub idle_s: u32,
    /// Whether limits follow what the site says: down on push-back, up again while it takes mail.
    pub adaptive: bool,
    /// Connections that fail one after another before the path rests. At least 1.
    pub failures_before_rest: u32,
    /// The circuit breaker looks at a path after so many answers.
    pub breaker_messages: u32,
    /// It opens when so many per cent of them were failures of the path. 101: never.
    pub breaker_percent: u32,
    /// It stays open so long, in seconds.
    pub breaker_s: u32,
    /// Messages a second that one connection is expected to carry; for predictions only.
    pub per_connection_second: f64,
}

/// A change of rules: what is absent stays. The same shape in the shipped table, in `shaping.toml`, over REST and in the
/// database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleOverride {
    /// Only in a file's `[[provider]]`: its short name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Masks of MX host names (`*`, `?`) that make a site this provider: *every* MX host of a domain must match one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mx: Option<Vec<String>>,
    /// Masks of address domains. With `mx`: the hint by which an analysis fills lanes; without: they decide the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// See [`SiteRules`], as all below. 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_all: Option<u32>,
    /// 1 to 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_connection: Option<u32>,
    /// Empty: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_rates: Option<Vec<Rate>>,
    /// Empty: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_rates: Option<Vec<Rate>>,
    /// A factor on the message rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// Whether rates count over all sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// When mail is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsPolicy>,
    /// Clear text after broken TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_after_broken_tls: Option<bool>,
    /// 1 to 3,600, as all seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout_s: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_timeout_s: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_timeout_s: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dot_timeout_s: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u32>,
    /// Whether limits follow what the site says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<bool>,
    /// 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_before_rest: Option<u32>,
    /// 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_messages: Option<u32>,
    /// 1 to 101.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_percent: Option<u32>,
    /// 1 to 604,800.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_s: Option<u32>,
    /// For predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_connection_second: Option<f64>,
}

/// What stands below every layer; the shipped table says all of it again, with comments.
impl Default for SiteRules {
    fn default() -> SiteRules {
        SiteRules {
            connections: 10,
            connections_all: None,
            messages_per_connection: 100,
            connection_rates: Vec::new(),
            message_rates: Vec::new(),
            speed: Speed::Normal,
            shared: false,
            tls: TlsPolicy::Opportunistic,
            clear_after_broken_tls: true,
            connect_timeout_s: 60,
            command_timeout_s: 300,
            data_timeout_s: 180,
            dot_timeout_s: 600,
            idle_s: 10,
            adaptive: true,
            failures_before_rest: 3,
            breaker_messages: 300,
            breaker_percent: 90,
            breaker_s: 10_800,
            per_connection_second: 3.0,
        }
    }
}

impl Speed {
    /// What message rates are multiplied by.
    #[must_use]
    pub fn factor(self) -> f64 {
        match self {
            Speed::Slow => 0.5,
            Speed::Normal => 1.0,
            Speed::Fast => 2.0,
            Speed::VeryFast => 4.0,
            Speed::Boost => 8.0,
        }
    }
}

impl SiteRules {
    /// The base with each change on top of the one before.
    pub(crate) fn layered<'a>(
        base: &SiteRules,
        changes: impl Iterator<Item = &'a RuleOverride>,
    ) -> SiteRules {
        let mut rules = base.clone();
        // The base's rates contain its speed already; a change of the speed starts from what they were without it.
        let undo = 1.0 / rules.speed.factor();
        rules.message_rates.iter_mut().for_each(|rate| *rate = rate.scaled(undo));
        for change in changes {
            change.apply(&mut rules);
        }
        let factor = rules.speed.factor();
        rules.message_rates.iter_mut().for_each(|rate| *rate = rate.scaled(factor));
        rules
    }

    /// The slowest of the message rates, a second; none when there is no limit.
    #[must_use]
    pub fn messages_per_second(&self) -> Option<f64> {
        self.message_rates.iter().map(|rate| rate.per_second()).reduce(f64::min)
    }
}

macro_rules! apply_each {
    ($change:expr, $rules:expr, $($field:ident),* $(,)?) => {
        $(if let Some(value) = &$change.$field {
            $rules.$field = value.clone();
        })*
    };
}

impl RuleOverride {
    fn apply(&self, rules: &mut SiteRules) {
        apply_each!(
            self,
            rules,
            connections,
            messages_per_connection,
            connection_rates,
            message_rates,
            speed,
            shared,
            tls,
            clear_after_broken_tls,
            connect_timeout_s,
            command_timeout_s,
            data_timeout_s,
            dot_timeout_s,
            idle_s,
            adaptive,
            failures_before_rest,
            breaker_messages,
            breaker_percent,
            breaker_s,
            per_connection_second,
        );
        if let Some(all) = self.connections_all {
            rules.connections_all = (all > 0).then_some(all);
        }
    }

    /// Whether it says which sites it is about, beside what holds there.
    #[must_use]
    pub fn names_sites(&self) -> bool {
        self.mx.is_some() || self.domains.is_some()
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == RuleOverride { name: self.name.clone(), ..RuleOverride::default() }
    }

    /// Refuses what is out of range, in words that name `site` and the field.
    pub(crate) fn check(&self, site: &str) -> Result<()> {
        let seconds = (1, RULE_SECONDS_MAX);
        let ranges = [
            ("connections", self.connections, (1, CONNECTIONS_MAX)),
            ("connections_all", self.connections_all, (0, CONNECTIONS_MAX * 100)),
            ("messages_per_connection", self.messages_per_connection, (1, MESSAGES_PER_CONNECTION_MAX)),
            ("connect_timeout_s", self.connect_timeout_s, seconds),
            ("command_timeout_s", self.command_timeout_s, seconds),
            ("data_timeout_s", self.data_timeout_s, seconds),
            ("dot_timeout_s", self.dot_timeout_s, seconds),
            ("idle_s", self.idle_s, seconds),
            ("failures_before_rest", self.failures_before_rest, (1, 1_000)),
            ("breaker_messages", self.breaker_messages, (1, 1_000_000)),
            ("breaker_percent", self.breaker_percent, (1, 101)),
            ("breaker_s", self.breaker_s, (1, 604_800)),
        ];
        for (field, value, (least, most)) in ranges {
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                return Err(Error::rule(site, field, format!("must be {least} to {most}")));
            }
        }
        if self.per_connection_second.is_some_and(|speed| !(0.001..=10_000.0).contains(&speed)) {
            return Err(Error::rule(site, "per_connection_second", "must be 0.001 to 10000"));
        }
        for (field, rates) in
            [("connection_rates", &self.connection_rates), ("message_rates", &self.message_rates)]
        {
            if rates.as_ref().is_some_and(|rates| rates.len() > RATES_MAX) {
                return Err(Error::rule(site, field, format!("may hold {RATES_MAX} rates")));
            }
        }
        for (field, masks) in [("mx", &self.mx), ("domains", &self.domains)] {
            check_masks(site, field, masks.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Masks as host names are written: letters, digits, hyphens, underscores, dots, and `*` and `?`.
pub(crate) fn check_masks(site: &str, field: &'static str, masks: &[String]) -> Result<()> {
    if masks.len() > MASKS_MAX {
        return Err(Error::rule(site, field, format!("may hold {MASKS_MAX} masks")));
    }
    for mask in masks {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.*?".contains(c);
        if mask.is_empty() || mask.len() > 253 || !mask.chars().all(fits) {
            return Err(Error::rule(site, field, format!("has the mask `{mask}`, which no host name fits")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Option<Vec<Rate>> {
        Some(text.split_whitespace().map(|one| one.parse().expect("a rate")).collect())
    }

    #[test]
    fn layers_change_what_they_name_and_speed_is_a_factor() {
        let first =
            RuleOverride { message_rates: rates("100/min"), connections_all: Some(4), ..Default::default() };
        let faster = RuleOverride { speed: Some(Speed::Fast), ..Default::default() };
        let rules = SiteRules::layered(&SiteRules::default(), [&first, &faster].into_iter());
        assert_eq!(
            (rules.message_rates[0].to_string().as_str(), rules.connections_all),
            ("200/min", Some(4))
        );
        let normal =
            RuleOverride { speed: Some(Speed::Normal), connections_all: Some(0), ..Default::default() };
        let back = SiteRules::layered(&rules, [&normal].into_iter());
        assert_eq!((back.message_rates[0].to_string().as_str(), back.connections_all), ("100/min", None));
        assert_eq!(back.messages_per_second(), Some(100.0 / 60.0));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let bad = |change: RuleOverride| change.check("google").expect_err("refused").to_string();
        let connections = |n| RuleOverride { connections: Some(n), ..Default::default() };
        assert!(
            connections(1).check("google").is_ok() && connections(CONNECTIONS_MAX).check("google").is_ok()
        );
        for n in [0, CONNECTIONS_MAX + 1] {
            assert!(bad(connections(n)).contains("connections of `google` must be 1 to"));
        }
        assert!(bad(RuleOverride { mx: Some(vec!["a b".into()]), ..Default::default() }).contains("a b"));
        assert!(bad(RuleOverride { breaker_percent: Some(102), ..Default::default() }).contains("101"));
        let many = Some(vec!["1/s".parse().expect("a rate"); RATES_MAX + 1]);
        assert!(bad(RuleOverride { message_rates: many, ..Default::default() }).contains("message_rates"));
    }
}
