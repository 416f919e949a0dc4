//! Reads a fuzzer's bytes as a script: small numbers first, whatever is left as content. A script that ends too
//! early goes on with zeros, so that every input means something.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Reads from the beginning.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A number of two bytes, big endian.
    pub fn short(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    /// A number below `end`, from two bytes; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.short().checked_rem(end).unwrap_or_default()
    }

    /// A number of eight bytes. Its first byte chooses among the numbers that overflow, and any.
    pub fn number(&mut self) -> u64 {
        let choice = self.byte();
        let small = u64::from(self.byte());
        match choice % 8 {
            0 => small,
            1 => u64::MAX - small,
            2 => (1 << 32) - 128 + small,
            3 => (1 << 63) - 128 + small,
            4 => 4096 - 128 + small,
            _ => (0..7).fold(small, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.byte()) % values.len()]
    }

    /// At most 255 bytes, their count first.
    pub fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
