//! Who gets a message, as one bit for each recipient's id: two analyses are compared exactly, in 125 KB per million.

/// Ids above it are not kept (25 MB of bits); a comparison then says nothing of who came and went.
const ID_MAX: i64 = 200_000_000;
/// Level of compression: bits of a whole list are long runs, and time matters more.
const ZSTD_LEVEL: i32 = 1;

/// A set of recipients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    words: Vec<u64>,
    /// An id did not fit.
    over: bool,
}

impl Members {
    /// Adds a recipient. Ids of seeds are negative and stay out.
    pub fn add(&mut self, recipient: i64) {
        if recipient > ID_MAX {
            self.over = true;
            return;
        }
        let Ok(id) = usize::try_from(recipient) else { return };
        let word = id / 64;
        if word >= self.words.len() {
            // By an eighth at once: ids come in no order.
            self.words.resize(word + 1 + word / 8, 0);
        }
        self.words[word] |= 1 << (id % 64);
    }

    /// As kept in the database; `None` when an id did not fit.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        if self.over {
            return None;
        }
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        zstd::bulk::compress(&bytes, ZSTD_LEVEL).ok()
    }

    /// Reads what [`Members::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Members> {
        let largest = ID_MAX as usize / 8 * 9 / 8 + 16;
        let plain = zstd::bulk::decompress(bytes, largest).ok()?;
        let words = plain.chunks_exact(8).map(|chunk| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        Some(Members { words: words.collect(), over: false })
    }

    /// How many are here and not there, and the first of them.
    pub fn without(&self, other: &Members, first: usize) -> (u64, Vec<i64>) {
        let (mut count, mut named) = (0, Vec::new());
        for (place, word) in self.words.iter().enumerate() {
            let mut left = word & !other.words.get(place).copied().unwrap_or(0);
            count += u64::from(left.count_ones());
            while left != 0 && named.len() < first {
                named.push((place * 64) as i64 + i64::from(left.trailing_zeros()));
                left &= left - 1;
            }
        }
        (count, named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[i64]) -> Members {
        let mut members = Members::default();
        ids.iter().for_each(|id| members.add(*id));
        members
    }

    #[test]
    fn who_came_and_who_went() {
        let (before, after) = (of(&[1, 63, 64, 900]), of(&[64, 1_000, 2, 900]));
        assert_eq!(after.without(&before, 10), (2, vec![2, 1_000]));
        assert_eq!(before.without(&after, 1), (2, vec![1]));
        assert_eq!(before.without(&before, 5), (0, vec![]));
    }

    #[test]
    fn kept_and_read_again() {
        let members = of(&[5, 70, 123_456]);
        let read = Members::from_bytes(&members.to_bytes().unwrap()).unwrap();
        assert_eq!(read.without(&Members::default(), 9), (3, vec![5, 70, 123_456]));
        assert_eq!(Members::from_bytes(b"no"), None);
        assert!(of(&[ID_MAX + 1]).to_bytes().is_none());
        assert_eq!(of(&[-4]).without(&Members::default(), 9), (0, vec![]));
    }
}
