//! Bits into octets, the lowest bit first: as DEFLATE (RFC 1951) and GIF have them.

/// What was written so far.
#[derive(Default)]
pub(crate) struct Bits {
    octets: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of a number, at most 16.
    pub fn push(&mut self, value: u32, count: u32) {
        self.held |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.octets.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// The octets; the last one is filled with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.octets.push(self.held as u8);
        }
        self.octets
    }
}
