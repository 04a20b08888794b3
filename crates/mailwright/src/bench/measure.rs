//! Medians, ratios and memory.

use std::time::Duration;

use crate::output::{Done, Failure, Output};

/// Runs of each side; the median is printed.
pub const RUNS: usize = 5;

/// `MAILWRIGHT_BENCH_SCALE` shrinks the work (0.01: a hundredth), to try a measurement out. The goals are stated for 1.
pub fn scaled(n: usize) -> usize {
    let scale =
        std::env::var("MAILWRIGHT_BENCH_SCALE").ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    ((n as f64 * scale) as usize).max(100)
}

/// Is there a PostgreSQL to measure on: a server named by `MAILWRIGHT_TEST_POSTGRES`, or Debian's package, of which one
/// is started for the measurement?
pub fn has_postgres() -> bool {
    let named = std::env::var(store::testing::SERVER_VARIABLE).is_ok_and(|url| !url.is_empty());
    let installed =
        std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some());
    named || installed
}

/// Both sides of one measurement, in seconds.
#[derive(Default)]
pub struct Sides {
    ours: Vec<f64>,
    bare: Vec<f64>,
    peak: u64,
}

impl Sides {
    pub fn ours(&mut self, took: Duration, peak_bytes: u64) {
        self.ours.push(took.as_secs_f64());
        self.peak = self.peak.max(peak_bytes);
    }

    pub fn bare(&mut self, took: Duration) {
        self.bare.push(took.as_secs_f64());
    }

    /// Prints medians, rates and how many times the bare work's time ours takes.
    pub fn print(&mut self, out: &mut Output, rows: usize, goal: &str) -> Done {
        let (ours, bare) = (median(&mut self.ours), median(&mut self.bare));
        if ours <= 0.0 || bare <= 0.0 {
            return Err(Failure::refused("nothing was measured"));
        }
        let peak = if self.peak > 0 { format!("; peak {} MB", self.peak >> 20) } else { String::new() };
        out.line(format_args!(
            "  ours {:.2} s ({:.0}/s), bare {:.2} s ({:.0}/s): {:.2} times its time, {:.0} % of its rate; medians of {}{peak}",
            ours,
            rows as f64 / ours,
            bare,
            rows as f64 / bare,
            ours / bare,
            100.0 * bare / ours,
            self.ours.len()
        ))?;
        out.line(format_args!("  goal: {goal}"))?;
        Ok(())
    }
}

/// The middle one; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Forgets the peak of resident memory (Linux); best effort.
pub fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak of resident memory since [`reset_peak`], in bytes; 0 where it cannot be had.
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&mut [3.0, 9.0, 1.0, 2.0, 100.0]), 3.0);
    }
}
