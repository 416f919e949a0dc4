//! Frames of a relayed stream: one byte that names the receiver, four bytes of length (big endian), the
//! message. A broker takes out what is addressed to it and passes the rest on unread.

use crate::channel::OVERHEAD_BYTES_MAX;
use crate::codec::CodecError;
use crate::message::MESSAGE_BYTES_MAX;

/// Longest message in a frame, in bytes.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + OVERHEAD_BYTES_MAX;
/// Bytes before the message.
pub const FRAME_HEADER_BYTES: usize = 5;

/// Who a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The broker: a receipt that it keeps as witness.
    Broker,
    /// The far end of the L–M channel.
    End,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who it is for.
    pub receiver: Receiver,
    /// The message.
    pub message: Vec<u8>,
}

impl Frame {
    /// A frame for the far end.
    pub fn end(message: Vec<u8>) -> Self {
        Self { receiver: Receiver::End, message }
    }

    /// A frame for the broker.
    pub fn broker(message: Vec<u8>) -> Self {
        Self { receiver: Receiver::Broker, message }
    }

    /// The frame's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len() + FRAME_HEADER_BYTES);
        out.push(match self.receiver {
            Receiver::Broker => 0,
            Receiver::End => 1,
        });
        let length = u32::try_from(self.message.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.message);
        out
    }
}

/// Takes chunks as they arrive and gives whole frames.
#[derive(Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameDecoder {
    /// Adds a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole frame, if there is one; an error for a frame that no honest peer sends.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that more chunks may come")]
    pub fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let Some((head, body)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let [kind, a, b, c, d] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(CodecError::TooLong { length, limit: FRAME_BYTES_MAX });
        }
        let receiver = match kind {
            0 => Receiver::Broker,
            1 => Receiver::End,
            other => return Err(CodecError::Malformed(format!("frame for receiver {other}"))),
        };
        let Some(message) = body.get(..length) else { return Ok(None) };
        let message = message.to_vec();
        self.start += FRAME_HEADER_BYTES + length;
        Ok(Some(Frame { receiver, message }))
    }

    /// Whether bytes of an unfinished frame remain.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.start
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_survive_any_chunking_and_nonsense_is_named() {
        let frames = [Frame::end(vec![1; 300]), Frame::broker(vec![]), Frame::end(vec![2; 70_000])];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        for size in [1, 7, 1000, bytes.len()] {
            let mut decoder = FrameDecoder::default();
            let mut got = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
            assert!(decoder.is_empty());
        }
        for bad in [[9, 0, 0, 0, 0], [1, 0xff, 0, 0, 0]] {
            let mut decoder = FrameDecoder::default();
            decoder.push(&bad);
            assert!(decoder.next().is_err());
        }
    }
}
