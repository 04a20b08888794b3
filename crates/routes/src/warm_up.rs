//! Warm-up: how a source that a provider does not know yet is made known to it, by so many messages a day.

use serde::{Deserialize, Serialize};
use store::{Lane, Tx, binds};

use crate::changes::{Change, Kind, json, note};
use crate::domains::Routes;
use crate::error::{Error, Result};
use crate::limits::WARM_UP_DAYS_MAX;

/// The ramp in common use among large senders (2026): sixteen days to 100,000 a day at one provider.
pub const USUAL_DAYS: [u32; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 40_000, 55_000, 70_000,
    100_000,
];

/// A source that sent nothing to a provider for so many days is cold there again.
pub const IDLE_DAYS_COLD: i64 = 30;

/// Microseconds of a day.
const DAY_US: i64 = 86_400 * 1_000_000;

/// What becomes of messages beyond a day's allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// Warm sources of the pool take them.
    Warm,
    /// They wait for the next day.
    Wait,
}

/// A plan for one source at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The source.
    pub source: String,
    /// A site's name: `google`.
    pub provider: String,
    /// First day, in days since 1970-01-01 UTC.
    pub start_day: i64,
    /// Messages allowed on each day; afterwards the plan sets no limit.
    pub days: Vec<u32>,
    /// What becomes of the rest.
    pub overflow: Overflow,
}

/// The day of a moment, in days since 1970-01-01 UTC.
#[must_use]
pub fn day_of(at_us: i64) -> i64 {
    at_us.div_euclid(DAY_US)
}

impl WarmUp {
    /// How many messages may go on `day`; `None`: no limit, it is warm. `used` are the days on which the source sent to the
    /// provider, in any order.
    #[must_use]
    pub fn allowance(&self, day: i64, used: &[i64]) -> Option<u64> {
        if day < self.start_day {
            return Some(0);
        }
        self.days.get(self.position(day, used)).map(|messages| u64::from(*messages))
    }

    /// How far the plan is on `day`, from 0. Days without mail do not count, because reputation comes of mail; after
    /// [`IDLE_DAYS_COLD`] of them in a row the plan begins anew.
    #[must_use]
    pub fn position(&self, day: i64, used: &[i64]) -> usize {
        let mut used: Vec<i64> =
            used.iter().copied().filter(|one| (self.start_day..day).contains(one)).collect();
        used.sort_unstable();
        used.dedup();
        let (mut position, mut last) = (0, day);
        for one in used {
            position = if one - last > IDLE_DAYS_COLD { 1 } else { position + 1 };
            last = one;
        }
        if day - last > IDLE_DAYS_COLD { 0 } else { position }
    }

    /// The day on which the last of `messages` goes, when `sent_today` have gone on `from_day` already and nothing else
    /// is sent: what a page shows before confirm. Rates are not reckoned.
    #[must_use]
    pub fn ends(&self, messages: u64, from_day: i64, sent_today: u64, used: &[i64]) -> i64 {
        let mut day = from_day.max(self.start_day);
        let mut gone = if day == from_day { sent_today } else { 0 };
        let mut left = messages;
        for allowed in self.days.iter().skip(self.position(day, used)) {
            let today = u64::from(*allowed).saturating_sub(gone);
            if left <= today {
                return day;
            }
            left -= today;
            gone = 0;
            day += 1;
        }
        day
    }

    fn checked(self) -> Result<WarmUp> {
        let refused = |field, reason: &str| Err(Error::rule(&self.name(), field, reason));
        if self.provider.is_empty()
            || self.provider.len() > 253
            || self.provider != self.provider.to_ascii_lowercase()
        {
            return refused("provider", "must be the name of a provider or site");
        }
        if self.days.is_empty() || self.days.len() > WARM_UP_DAYS_MAX || self.days.contains(&0) {
            return refused("days", "must be 1 to 366 allowances of at least 1 message");
        }
        if !(0..=1_000_000).contains(&self.start_day) {
            return refused("start_day", "must be a day");
        }
        Ok(self)
    }

    fn name(&self) -> String {
        format!("{} {}", self.source, self.provider)
    }
}

impl Routes {
    /// Makes a plan, or replaces that of the same source and provider. Holds at once.
    ///
    /// # Errors
    /// `Rule` names the field; `Absent` when there is no such source; `Store`.
    pub async fn put_warm_up(&self, plan: WarmUp, who: &str, now_us: i64) -> Result<()> {
        let plan = plan.checked()?;
        let who = who.to_owned();
        self.store
            .write(Lane::Urgent, move |tx| -> Result<()> {
                let source = "SELECT 1 FROM source WHERE name = $1";
                if tx.query_opt::<_, Error>(source, &binds![&plan.source], |row| Ok(row.int(0)?))?.is_none() {
                    return Err(Error::Absent { kind: "source", name: plan.source });
                }
                let old = find(tx, &plan.source, &plan.provider)?;
                if old.as_ref() == Some(&plan) {
                    return Ok(());
                }
                let overflow = word(plan.overflow);
                tx.execute(
                    "INSERT INTO warm_up (source, provider, start_day, days, overflow) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (source, provider) DO UPDATE SET start_day = excluded.start_day, days = excluded.days,
                       overflow = excluded.overflow",
                    &binds![&plan.source, &plan.provider, plan.start_day, json(&plan.days), overflow],
                )?;
                let change = Change { at_us: now_us, who: &who, kind: Kind::WarmUp, name: &plan.name() };
                note(tx, &change, old.as_ref().map(json), Some(json(&plan)))
            })
            .await?;
        self.refresh_rules().await.map(|_| ())
    }

    /// Removes a plan: the source counts as warm there.
    ///
    /// # Errors
    /// `Absent`; `Store`.
    pub async fn remove_warm_up(&self, source: &str, provider: &str, who: &str, now_us: i64) -> Result<()> {
        let (source, provider, who) = (source.to_owned(), provider.to_owned(), who.to_owned());
        self.store
            .write(Lane::Urgent, move |tx| -> Result<()> {
                let name = format!("{source} {provider}");
                let Some(old) = find(tx, &source, &provider)? else {
                    return Err(Error::Absent { kind: "warm-up", name });
                };
                let sql = "DELETE FROM warm_up WHERE source = $1 AND provider = $2";
                tx.execute(sql, &binds![&source, &provider])?;
                let change = Change { at_us: now_us, who: &who, kind: Kind::WarmUp, name: &name };
                note(tx, &change, Some(json(&old)), None)
            })
            .await?;
        self.refresh_rules().await.map(|_| ())
    }
}

fn find(tx: &mut Tx<'_>, source: &str, provider: &str) -> Result<Option<WarmUp>> {
    let all = read_warm_ups(tx)?;
    Ok(all.into_iter().find(|plan| plan.source == source && plan.provider == provider))
}

fn word(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::Warm => "warm",
        Overflow::Wait => "wait",
    }
}

pub(crate) fn read_warm_ups(tx: &mut Tx<'_>) -> Result<Vec<WarmUp>> {
    let sql = "SELECT source, provider, start_day, days, overflow FROM warm_up ORDER BY source, provider";
    tx.query(sql, &[], |row| {
        let damaged =
            |field| Error::rule(row.str(0).unwrap_or_default(), field, "is damaged in the database");
        Ok(WarmUp {
            source: row.text(0)?,
            provider: row.text(1)?,
            start_day: row.int(2)?,
            days: serde_json::from_str(row.str(3)?).map_err(|_| damaged("days"))?,
            overflow: match row.str(4)? {
                "warm" => Overflow::Warm,
                "wait" => Overflow::Wait,
                _ => return Err(damaged("overflow")),
            },
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::room;

    fn plan() -> WarmUp {
        WarmUp {
            source: "default".into(),
            provider: "google".into(),
            start_day: 100,
            days: vec![50, 100, 250],
            overflow: Overflow::Wait,
        }
    }

    #[test]
    fn the_plan_goes_on_by_days_with_mail_and_begins_anew_after_a_month_without() {
        let plan = plan();
        assert_eq!(plan.allowance(99, &[]), Some(0));
        assert_eq!(plan.allowance(100, &[]), Some(50));
        assert_eq!(plan.allowance(105, &[]), Some(50), "nothing was sent yet");
        assert_eq!(plan.allowance(105, &[100]), Some(100));
        assert_eq!(plan.allowance(105, &[104, 100, 105]), Some(250), "today does not count");
        assert_eq!(plan.allowance(105, &[100, 101, 102]), None, "it is warm");
        assert_eq!(plan.allowance(132, &[100, 101, 102]), None);
        assert_eq!(plan.allowance(133, &[100, 101, 102]), Some(50), "cold again");
        assert_eq!(plan.allowance(134, &[100, 101, 102, 133]), Some(100));
        assert_eq!(plan.allowance(105, &[20, 21, 22, 23]), Some(50), "mail before the plan does not count");
    }

    #[test]
    fn the_end_is_reckoned_with_what_went_today() {
        let plan = plan();
        assert_eq!(plan.ends(50, 100, 0, &[]), 100);
        assert_eq!(plan.ends(51, 100, 0, &[]), 101);
        assert_eq!(plan.ends(51, 90, 40, &[]), 101, "it cannot begin before its start");
        assert_eq!(plan.ends(20, 100, 40, &[]), 101);
        assert_eq!(plan.ends(400, 100, 0, &[]), 102);
        assert_eq!(
            plan.ends(1_000_000, 100, 0, &[]),
            103,
            "what the plan does not bound goes on the day after it"
        );
        assert_eq!(plan.ends(300, 103, 60, &[101, 102]), 104);
    }

    #[test]
    fn days_are_whole_days_of_utc() {
        assert_eq!((day_of(0), day_of(DAY_US - 1), day_of(DAY_US), day_of(-1)), (0, 0, 1, -1));
        assert!(USUAL_DAYS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[tokio::test]
    async fn plans_are_kept_with_their_history() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            routes.put_warm_up(plan(), "ann", 7).await.expect("puts");
            routes.put_warm_up(plan(), "ann", 8).await.expect("again");
            assert_eq!(routes.rules().warm_up("default", "google"), Some(&plan()));
            let stranger = WarmUp { source: "none".into(), ..plan() };
            assert!(matches!(routes.put_warm_up(stranger, "ann", 7).await, Err(Error::Absent { .. })));
            for bad in [WarmUp { days: vec![], ..plan() }, WarmUp { days: vec![0], ..plan() }] {
                assert!(matches!(
                    routes.put_warm_up(bad, "ann", 7).await,
                    Err(Error::Rule { field: "days", .. })
                ));
            }
            routes.remove_warm_up("default", "google", "bob", 9).await.expect("removes");
            assert!(routes.remove_warm_up("default", "google", "bob", 9).await.is_err());
            assert!(routes.rules().warm_ups.is_empty());
            assert_eq!(routes.rule_changes(9, None).await.expect("reads").len(), 2);
        })
        .await;
    }
}
