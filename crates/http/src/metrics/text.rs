//! The text format of Prometheus, version 0.0.4: a family's help and type, then its samples.

use std::fmt::Write;

/// What a family's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a value was at most so much.
    Histogram,
}

/// A family of samples.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, as dashboards write it.
    pub name: &'static str,
    /// What its values mean.
    pub kind: Kind,
    /// What it counts, in one line.
    pub help: &'static str,
    /// Names of its labels, in their order.
    pub labels: &'static [&'static str],
}

/// The text being written.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Writes a family with its samples: the values of its labels, and the value. A family without samples is left out,
    /// as the format wants it.
    pub fn family<'a>(&mut self, family: &Family, samples: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
        let mut headed = false;
        for (values, value) in samples {
            debug_assert_eq!(values.len(), family.labels.len(), "{}", family.name);
            if !headed {
                self.head(family);
                headed = true;
            }
            self.0.push_str(family.name);
            for (at, (name, value)) in family.labels.iter().zip(values).enumerate() {
                self.0.push(if at == 0 { '{' } else { ',' });
                self.0.push_str(name);
                self.0.push_str("=\"");
                escape(&mut self.0, value);
                self.0.push('"');
            }
            if !family.labels.is_empty() {
                self.0.push('}');
            }
            // Writing to a String does not fail.
            let _ = writeln!(self.0, " {value}");
        }
    }

    /// Writes a family that has one sample and no labels.
    pub fn one(&mut self, family: &Family, value: f64) {
        self.family(family, [(Vec::new(), value)]);
    }

    /// Writes a histogram without labels: its buckets with their upper ends, each counted alone, the last without an end.
    pub fn histogram(&mut self, family: &Family, buckets: &[(Option<f64>, u64)], sum: f64) {
        self.head(family);
        let mut count = 0;
        for (end, values) in buckets {
            count += values;
            let name = family.name;
            // Writing to a String does not fail.
            let _ = match end {
                Some(end) => writeln!(self.0, "{name}_bucket{{le=\"{end}\"}} {count}"),
                None => writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {count}"),
            };
        }
        let _ = writeln!(self.0, "{name}_sum {sum}\n{name}_count {count}", name = family.name);
    }

    fn head(&mut self, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {kind}",
            name = family.name,
            help = family.help
        );
    }

    /// The whole text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// A label's value: backslash, quote and line break are escaped.
fn escape(out: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family =
        Family { name: "a_total", kind: Kind::Counter, help: "Things.", labels: &["x", "y"] };

    #[test]
    fn a_family_is_written_as_the_format_wants_it() {
        let mut text = Text::default();
        text.family(&FAMILY, [(vec!["1", "q\"\\\n"], 2.0), (vec!["2", ""], 0.5)]);
        let wanted = "# HELP a_total Things.\n# TYPE a_total counter\n\
                      a_total{x=\"1\",y=\"q\\\"\\\\\\n\"} 2\na_total{x=\"2\",y=\"\"} 0.5\n";
        assert_eq!(text.into_string(), wanted);
    }

    #[test]
    fn buckets_of_a_histogram_contain_those_below_them() {
        let mut text = Text::default();
        let family = Family { name: "wait_seconds", kind: Kind::Histogram, help: "Waits.", labels: &[] };
        text.histogram(&family, &[(Some(0.005), 3), (Some(1.0), 2), (None, 1)], 9.5);
        let wanted = "# HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\n\
                      wait_seconds_bucket{le=\"0.005\"} 3\nwait_seconds_bucket{le=\"1\"} 5\n\
                      wait_seconds_bucket{le=\"+Inf\"} 6\nwait_seconds_sum 9.5\nwait_seconds_count 6\n";
        assert_eq!(text.into_string(), wanted);
    }

    #[test]
    fn a_family_without_samples_is_left_out() {
        let mut text = Text::default();
        text.family(&FAMILY, []);
        assert_eq!(text.into_string(), "");
    }
}
