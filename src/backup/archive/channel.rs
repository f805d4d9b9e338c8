//! The two ends between the blocking reader and the connection's async streams. Both hold only what is under way.

use std::io::{self, Read, Write};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::sync::mpsc;

use super::pass;
use crate::error::Error;

/// How much is collected before it is sent: with less, the threads wait for one another more often.
const PIECE: usize = 512 << 10;

/// The most that a block of a zstd frame may hold (RFC 8878, section 3.1.1.2.3).
const BLOCK: usize = 128 << 10;

/// Reads what comes from an async task. The sender says how it ended: a queue that just stops is a source that was lost.
pub struct ChannelReader {
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    piece: Bytes,
    ended: bool,
}

impl ChannelReader {
    /// A reader of these pieces. An empty piece is the end.
    pub fn new(pieces: mpsc::Receiver<Result<Bytes, Error>>) -> Self {
        Self { pieces, piece: Bytes::new(), ended: false }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) if piece.is_empty() => self.ended = true,
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(pass(error)),
                None => return Err(pass(Error::internal("the source of a backup went away"))),
            }
        }
        let count = self.piece.len().min(buffer.len());
        let (part, _) = buffer.split_at_mut(count);
        part.copy_from_slice(self.piece.get(..count).unwrap_or_default());
        self.piece.advance(count);
        Ok(count)
    }
}

/// Writes to an async task, in large pieces.
pub struct ChannelWriter {
    pieces: mpsc::Sender<Bytes>,
    piece: BytesMut,
    packer: Option<zstd::bulk::Compressor<'static>>,
}

impl ChannelWriter {
    /// A writer to this queue.
    pub fn new(pieces: mpsc::Sender<Bytes>) -> Self {
        Self { pieces, piece: BytesMut::with_capacity(PIECE), packer: None }
    }

    /// A writer of zstd frames, one for each piece. They are compressed while the queue is more than half full, which is when the
    /// connection is what everything waits for; a fast one gets them as they are, which costs next to nothing on both sides.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn packed(pieces: mpsc::Sender<Bytes>) -> io::Result<Self> {
        Ok(Self { packer: Some(zstd::bulk::Compressor::new(1)?), ..Self::new(pieces) })
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        let behind = 2 * self.pieces.capacity() < self.pieces.max_capacity();
        let piece = match &mut self.packer {
            Some(packer) if behind => packer.compress(&piece)?.into(),
            Some(_) => stored(&piece),
            None => piece,
        };
        self.pieces.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// A zstd frame (RFC 8878) that holds this as it is, in raw blocks.
fn stored(piece: &[u8]) -> Bytes {
    let blocks = piece.len().div_ceil(BLOCK);
    let mut frame = BytesMut::with_capacity(9 + 3 * blocks + piece.len());
    // The magic number; then that the size takes 4 bytes and that there is no window (a single segment).
    frame.put_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000]);
    frame.put_u32_le(u32::try_from(piece.len()).unwrap_or(u32::MAX));
    for (at, block) in piece.chunks(BLOCK).enumerate() {
        let last = u64::from(at + 1 == blocks);
        // 3 bytes: whether it is the last one, 2 bits for the type (0: raw), the size.
        frame.put_uint_le((block.len() as u64) << 3 | last, 3);
        frame.put_slice(block);
    }
    frame.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn sent(count: usize, mut writer: ChannelWriter, pieces: &mut mpsc::Receiver<Bytes>) -> (Vec<u8>, Vec<Bytes>) {
        let content: Vec<u8> = (0..count).map(|at| b"some words "[at % 11]).collect();
        writer.write_all(&content).unwrap();
        writer.flush().unwrap();
        drop(writer);
        (content, std::iter::from_fn(|| pieces.blocking_recv()).collect())
    }

    #[test]
    fn frames_are_those_of_zstd_and_small_only_when_the_connection_is_slow() {
        for count in [1, BLOCK, BLOCK + 1, PIECE - 1, 6 * PIECE + 7] {
            let (sender, mut pieces) = mpsc::channel(8);
            let (content, frames) = sent(count, ChannelWriter::packed(sender).unwrap(), &mut pieces);
            assert_eq!(zstd::decode_all(frames.concat().as_slice()).unwrap(), content);
            // Nobody has taken any: from the sixth on, more than half of the queue is full.
            let stored: Vec<bool> = frames.iter().map(|frame| frame.len() > 9 && frame[4] == 0b1010_0000).collect();
            let small = |frame: &Bytes| frame.len() < PIECE / 10;
            assert!(frames.iter().take(5).zip(&stored).all(|(_, stored)| *stored), "{stored:?}");
            assert!(frames.iter().skip(5).all(small));
        }
    }

    #[test]
    fn pieces_are_what_was_written() {
        let (sender, mut pieces) = mpsc::channel(8);
        let (content, sent) = sent(2 * PIECE + 7, ChannelWriter::new(sender), &mut pieces);
        assert_eq!(sent.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, PIECE, 7]);
        assert_eq!(sent.concat(), content);
    }
}
