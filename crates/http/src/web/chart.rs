//! Charts, drawn as SVG on the server. Colours come from classes of the style sheet, so that no style attribute is
//! needed and dark mode works. Each chart has its figures as text beside it; the drawing itself is hidden from readers.

use std::collections::VecDeque;

/// A part of a meter: its class (`ok`, `warn`, `bad`, `info`, `idle`, `accent`) and its amount.
pub type Share = (&'static str, i64);

/// Width of a meter's own coordinates.
const WIDTH: f64 = 1_000.0;

/// A bar of shares of a whole. Shares that are not nothing are at least a sliver wide.
pub fn meter(shares: &[Share], whole: i64, class: &str) -> String {
    let mut out = format!(
        "<svg class=\"meter {class}\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"f-track\" width=\"1000\" height=\"10\"/>"
    );
    let mut at = 0.0;
    for (tone, amount) in shares.iter().filter(|(_, amount)| *amount > 0) {
        let width = (*amount as f64 / whole.max(1) as f64 * WIDTH).max(4.0).min(WIDTH - at);
        if width <= 0.0 {
            break;
        }
        out.push_str(&format!("<rect class=\"f-{tone}\" x=\"{at:.1}\" width=\"{width:.1}\" height=\"10\"/>"));
        at += width;
    }
    out.push_str("</svg>");
    out
}

/// A line over the last values, oldest first, from zero to their highest. Fewer than two values draw nothing.
pub fn spark(values: &[f64]) -> String {
    if values.len() < 2 {
        return String::new();
    }
    let peak = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = WIDTH / (values.len() - 1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            format!("{:.1},{:.1}", index as f64 * step, 78.0 - value.max(0.0) / peak * 70.0)
        })
        .collect();
    let line = points.join(" ");
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 1000 80\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <line class=\"g\" x1=\"0\" y1=\"78\" x2=\"1000\" y2=\"78\"/><line class=\"g\" x1=\"0\" y1=\"8\" x2=\"1000\" y2=\"8\"/>\
         <polygon class=\"a\" points=\"0,78 {line} 1000,78\"/><polyline class=\"l\" points=\"{line}\"/></svg>"
    )
}

/// Speeds that are kept: five minutes of a look each second.
const SPEEDS_MAX: usize = 300;

/// The speeds of the last minutes, as long as a page is open.
#[derive(Default)]
pub struct Speeds(VecDeque<f64>);

impl Speeds {
    /// Adds the newest; the oldest goes when there are enough.
    pub fn keep(&mut self, speed: f64) {
        if self.0.len() == SPEEDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(speed);
    }

    /// The line over them; nothing while all are nothing, because a line along the ground says nothing.
    pub fn drawn(&self) -> String {
        if self.peak() <= 0.0 {
            return String::new();
        }
        spark(&self.0.iter().copied().collect::<Vec<_>>())
    }

    /// The highest.
    pub fn peak(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

/// A column for each pair of amounts, the second on top of the first, from zero to the highest sum. Nothing where all are
/// nothing.
pub fn columns(values: &[(i64, i64)]) -> String {
    let peak = values.iter().map(|(first, second)| first + second).max().unwrap_or(0);
    if peak <= 0 {
        return String::new();
    }
    let step = WIDTH / values.len() as f64;
    let mut out =
        "<svg class=\"spark\" viewBox=\"0 0 1000 80\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <line class=\"g\" x1=\"0\" y1=\"78\" x2=\"1000\" y2=\"78\"/>"
            .to_owned();
    for (index, (first, second)) in values.iter().enumerate() {
        let mut top = 78.0;
        for (tone, amount) in [("accent", *first), ("idle", *second)] {
            if amount > 0 {
                let height = (amount as f64 / peak as f64 * 76.0).max(1.0);
                top -= height;
                out.push_str(&format!(
                    "<rect class=\"f-{tone}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                    index as f64 * step,
                    step * 0.8
                ));
            }
        }
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_inside_the_bar() {
        let drawn = meter(&[("ok", 999_999), ("bad", 1), ("warn", 0), ("idle", 500)], 1_000_000, "");
        assert!(drawn.contains("f-ok") && drawn.contains("f-bad") && !drawn.contains("f-warn"));
        assert!(!drawn.contains("width=\"-"), "{drawn}");
        assert!(meter(&[("ok", 5)], 0, "").contains("f-ok"));
    }

    #[test]
    fn columns_stand_on_each_other() {
        assert_eq!(columns(&[(0, 0), (0, 0)]), "");
        let drawn = columns(&[(1, 1), (0, 0)]);
        assert!(drawn.contains("y=\"40.0\"") && drawn.contains("y=\"2.0\""), "{drawn}");
    }

    #[test]
    fn speeds_are_kept_for_some_minutes() {
        let mut speeds = Speeds::default();
        (0..3).for_each(|_| speeds.keep(0.0));
        assert_eq!(speeds.drawn(), "");
        speeds.keep(9.0);
        assert_eq!(speeds.peak(), 9.0);
        assert!(speeds.drawn().contains("polyline"));
        (0..SPEEDS_MAX).for_each(|_| speeds.keep(1.0));
        assert_eq!((speeds.0.len(), speeds.peak()), (SPEEDS_MAX, 1.0));
    }

    #[test]
    fn a_line_needs_two_values() {
        assert_eq!(spark(&[1.0]), "");
        let drawn = spark(&[0.0, 50.0, 100.0]);
        assert!(drawn.contains("1000.0,8.0"), "{drawn}");
    }
}
