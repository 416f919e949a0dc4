//! Secrets that one process tells another without keeping them: each under a mask that only the two know, taken byte
//! by byte from where it lies.

/// The mask that goes over every 32 bytes of a secret.
pub type Mask = [u8; 32];

/// A secret under a mask, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// What it is.
    pub name: String,
    bytes: Vec<u8>,
}

impl Masked {
    /// Puts a secret under the mask.
    pub fn new(name: &str, secret: &[u8], mask: &Mask) -> Self {
        let bytes = secret.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        Self { name: name.to_owned(), bytes }
    }

    /// The line that tells it: hexadecimal digits, then the name.
    pub fn to_line(&self) -> String {
        format!("{} {}", hex::encode(&self.bytes), self.name)
    }

    /// Reads a line; `None` for one that tells none.
    pub fn from_line(line: &str) -> Option<Self> {
        let (bytes, name) = line.split_once(' ')?;
        Some(Self { name: name.to_owned(), bytes: hex::decode(bytes).ok()? })
    }

    /// The secret itself, for who searches for it in another process.
    pub fn unmask(&self, mask: &Mask) -> Vec<u8> {
        Self::new("", &self.bytes, mask).bytes
    }
}
