//! CPU time by thread: who pays for a message. Linux says so in nanoseconds; elsewhere nothing is printed.

use std::collections::BTreeMap;
use std::path::Path;

/// CPU seconds by the names of this process's threads, numbers at the end of a name left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cpu(BTreeMap<String, f64>);

impl Cpu {
    /// What all threads that live now have used.
    pub fn now() -> Cpu {
        let mut used = BTreeMap::new();
        for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
            *used.entry(name).or_default() += seconds(&thread.path().join("schedstat"));
        }
        Cpu(used)
    }

    /// What was used since an earlier look.
    pub fn since(&self, earlier: &Cpu) -> Cpu {
        let spent = |(name, used): (&String, &f64)| {
            (name.clone(), (used - earlier.0.get(name).copied().unwrap_or_default()).max(0.0))
        };
        Cpu(self.0.iter().map(spent).collect())
    }

    /// Of the threads whose names begin so.
    pub fn of(&self, start: &str) -> f64 {
        self.0.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, used)| used).sum()
    }

    /// Of all threads but those whose names begin so.
    pub fn without(&self, starts: &[&str]) -> f64 {
        self.0.values().sum::<f64>() - starts.iter().map(|start| self.of(start)).sum::<f64>()
    }
}

/// What the calling thread has used.
pub fn of_this_thread() -> f64 {
    seconds(Path::new("/proc/thread-self/schedstat"))
}

fn seconds(path: &Path) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

/// What a process and all that it started have used, those that have ended included, in CPU seconds. Two looks at the
/// same processes tell what lies between.
pub fn of_family(root: u32) -> f64 {
    let mut parents = BTreeMap::new();
    let mut used = BTreeMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may hold blanks.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|word| word.parse::<u32>().ok()).unwrap_or_default();
        parents.insert(id, number(1));
        // utime, stime, and those of children that were waited for; hundredths of a second.
        used.insert(id, f64::from(number(11) + number(12) + number(13) + number(14)) / 100.0);
    }
    let belongs = |mut id: u32| {
        while id > 1 && id != root {
            id = parents.get(&id).copied().unwrap_or_default();
        }
        id == root
    };
    used.iter().filter(|(id, _)| belongs(**id)).map(|(_, seconds)| seconds).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_thread_is_counted_once() {
        let (before, all) = (of_this_thread(), Cpu::now());
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(30) {
            std::hint::black_box(begun);
        }
        let spent = of_this_thread() - before;
        assert!(spent > 0.001 && spent < 1.0, "{spent}");
        let all = Cpu::now().since(&all);
        assert!(all.without(&["no such thread"]) >= spent * 0.9, "{all:?}");
    }
}
