//! The two ends between the blocking reader and the connection's async streams. Both hold only what is under way.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::mpsc;

use super::pass;
use crate::error::Error;

/// How much is collected before it is sent.
const PIECE: usize = 256 << 10;

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
}

impl ChannelWriter {
    /// A writer to this queue.
    pub fn new(pieces: mpsc::Sender<Bytes>) -> Self {
        Self { pieces, piece: BytesMut::with_capacity(PIECE) }
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        if piece.is_empty() {
            return Ok(());
        }
        self.pieces.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
