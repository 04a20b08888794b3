//! What the system says of this process, from `/proc/self`. Elsewhere than on Linux there is nothing to tell.

/// Figures of the process, under the names that Prometheus' own clients use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Processor time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Memory in use, in octets.
    pub resident_bytes: f64,
    /// Open files and sockets.
    pub open_files: f64,
}

/// `/proc` counts time in ticks of 1/100 s towards programs, whatever the kernel's own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads them; none where the system does not tell.
pub fn read() -> Option<Process> {
    let (cpu_seconds, resident_bytes) = parse(
        &std::fs::read_to_string("/proc/self/stat").ok()?,
        &std::fs::read_to_string("/proc/self/status").ok()?,
    )?;
    let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(Process { cpu_seconds, resident_bytes, open_files: open_files as f64 })
}

/// Processor seconds from `stat`, octets in memory from `status`.
fn parse(stat: &str, status: &str) -> Option<(f64, f64)> {
    // The program's name stands in brackets and may hold spaces; after it come fields from the third on.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let (user, system) = (ticks(11)?, ticks(12)?);
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = kilobytes.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(((user + system) / TICKS_PER_SECOND, kilobytes * 1_024.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "17 (mail (wright) x) S 1 17 17 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 100 1 2";
        let status = "Name:\tmail\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        assert_eq!(parse(stat, status), Some((3.0, 2_097_152.0)));
        assert_eq!(parse("17 x", status), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory() {
        let found = read().unwrap();
        assert!(found.resident_bytes > 1_000_000.0 && found.open_files >= 3.0, "{found:?}");
    }
}
