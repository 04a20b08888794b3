//! Which source a message goes out from: weighted rendezvous hashing. The same key goes to the same source for as long as
//! that source may be used, on every node and after every restart, and nothing has to be remembered for it. A source that
//! goes moves only what was its own; one that comes takes a fair part from all.

/// A source that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name; what is hashed.
    pub name: &'a str,
    /// Its weight; 0 counts as never.
    pub weight: u32,
}

/// The place of the chosen candidate. `None`: none has a weight.
#[must_use]
pub fn choose<'a>(key: &[u8], candidates: impl IntoIterator<Item = Candidate<'a>>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, candidate) in candidates.into_iter().enumerate() {
        if candidate.weight == 0 {
            continue;
        }
        let score = score(key, candidate);
        if best.is_none_or(|(_, found)| score > found) {
            best = Some((at, score));
        }
    }
    best.map(|(at, _)| at)
}

/// The candidate's weight over the logarithm of a number that key and name draw: the largest wins with the probability
/// of its weight's share (Schindelhauer and Schomaker's logarithmic method).
fn score(key: &[u8], candidate: Candidate<'_>) -> f64 {
    let hash = mixed(fnv(candidate.name.as_bytes(), fnv(key, 0xcbf2_9ce4_8422_2325) ^ 0x2d));
    // 53 bits are what a double holds; half a step keeps 0 and 1 out.
    let drawn = ((hash >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
    -f64::from(candidate.weight) / drawn.ln()
}

fn fnv(bytes: &[u8], from: u64) -> u64 {
    bytes.iter().fold(from, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// FNV's upper bits change little with the last octets; a finalizer (splitmix64's) spreads them.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sources: &[(&str, u32)]) -> Vec<f64> {
        let mut counts = vec![0.0; sources.len()];
        for n in 0..20_000 {
            let candidates = sources.iter().map(|(name, weight)| Candidate { name, weight: *weight });
            counts[choose(format!("shop{n}.example").as_bytes(), candidates).unwrap()] += 1.0;
        }
        counts.into_iter().map(|count| count / 20_000.0).collect()
    }

    #[test]
    fn weights_are_shares() {
        let found = shares(&[("a", 5), ("b", 5), ("c", 1)]);
        for (share, wanted) in found.iter().zip([5.0 / 11.0, 5.0 / 11.0, 1.0 / 11.0]) {
            assert!((share - wanted).abs() < 0.015, "{found:?}");
        }
        let without = shares(&[("b", 5), ("c", 1)]);
        assert!((without[0] - 5.0 / 6.0).abs() < 0.015, "{without:?}");
    }

    #[test]
    fn a_source_that_goes_moves_only_its_own() {
        let all = [("a", 2), ("b", 1), ("c", 1)];
        let pick = |key: &str, gone: &str| {
            let candidates = all
                .iter()
                .map(|(name, weight)| Candidate { name, weight: if *name == gone { 0 } else { *weight } });
            all[choose(key.as_bytes(), candidates).unwrap()].0
        };
        for n in 0..2_000 {
            let key = format!("d{n}.example");
            let before = pick(&key, "");
            if before != "b" {
                assert_eq!(pick(&key, "b"), before);
            }
        }
    }

    #[test]
    fn the_choice_is_the_same_for_good_and_none_is_none() {
        let two = || [Candidate { name: "one", weight: 1 }, Candidate { name: "two", weight: 1 }];
        // Stored nowhere, so a change of the hash would send greylisted mail from another address.
        let picked: Vec<usize> =
            (0..12).map(|n| choose(format!("d{n}.example").as_bytes(), two()).unwrap()).collect();
        assert_eq!(picked, FIXED);
        assert_eq!(choose(b"x", [Candidate { name: "one", weight: 0 }]), None);
        assert_eq!(choose(b"x", []), None);
    }

    const FIXED: [usize; 12] = [1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1];
}
