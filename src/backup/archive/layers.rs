//! The layers around the tar stream: the file itself, age, zstd. Each says of itself what is wrong, so that a message names the
//! layer and the place in the file.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, mpsc};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::hex::hex;
use crate::sync::lock;
use crate::vault::Keyring;

/// How much is handed from thread to thread at once: with less, they wait for one another more often.
const PIECE: usize = 512 << 10;

/// How much is read to see what a file is. Whoever reads more than that at once gets it without its being copied.
const START: usize = 16 << 10;

/// The first bytes of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An error that a layer has put its name on, as the payload of an [`io::Error`].
#[derive(Debug)]
pub struct Told(pub Error);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Told {}

/// The error inside of an [`io::Error`], which decoders may have wrapped; `None` when no layer spoke.
pub fn told(error: &io::Error) -> Option<Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = next {
        if let Some(told) = inner.downcast_ref::<Told>() {
            return Some(told.0.clone());
        }
        next = match inner.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref().map(|inner| inner as _),
            None => inner.source(),
        };
    }
    None
}

/// What is known of the bytes that went by.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<(u64, Sha256)>>);

impl Tally {
    /// How many.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).0
    }

    /// Their SHA-256 in hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&lock(&self.0).1.clone().finalize())
    }
}

/// The file as it comes, counted.
struct Raw {
    inner: Box<dyn Read + Send>,
    tally: Tally,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut tally = lock(&self.tally.0);
        tally.0 += count as u64;
        tally.1.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// A layer that puts its name on errors.
struct Layer<R> {
    inner: R,
    name: &'static str,
    tally: Tally,
}

impl<R: Read> Read for Layer<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match told(&error) {
            Some(_) => error,
            None => {
                let at = self.tally.bytes();
                let why = error.to_string();
                let error = damaged(format!("its {} cannot be read near byte {at}: {why}", self.name));
                io::Error::new(io::ErrorKind::InvalidData, Told(error))
            }
        })
    }
}

/// A backup that is not what was written.
pub fn damaged(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Failed, format!("the backup is damaged: {what}"))
}

/// The tar stream of a backup, and what is left to be said of the file at its end.
pub struct Opened {
    /// The tar stream.
    pub plain: Box<dyn Read>,
    /// The bytes of the file.
    pub tally: Tally,
    /// Whether it was encrypted.
    pub encrypted: bool,
}

/// Opens the layers of a backup. `sealed` says that it must be encrypted: a file that is called `.age` and is not would be one
/// that somebody else put there.
pub fn open(source: Box<dyn Read + Send>, sealed: Option<bool>, keyring: &Keyring) -> Result<Opened> {
    let tally = Tally::default();
    let raw = Raw { inner: source, tally: tally.clone() };
    let mut file = BufReader::with_capacity(START, Layer { inner: raw, name: "content", tally: tally.clone() });
    let start = file.fill_buf().map_err(|error| of_io(&error))?;
    let is_age = crate::vault::is_age(start);
    let is_zstd = start.starts_with(&ZSTD);
    if start.is_empty() {
        return Err(damaged("it is empty"));
    }
    let encrypted = match sealed {
        Some(true) if is_zstd => {
            return Err(damaged("it is called `.age` but is not encrypted").hint("somebody may have put it there"));
        }
        Some(sealed) => sealed,
        None if is_age || is_zstd => is_age,
        None => return Err(damaged("it begins neither like an age file nor like a zstd file")),
    };
    let compressed = if encrypted {
        let inner = keyring.open_stream(file)?;
        Ahead::of(Layer { inner, name: "encryption", tally: tally.clone() })
    } else {
        Ahead::of(file)
    };
    let inner = zstd::stream::read::Decoder::with_buffer(compressed).map_err(|error| of_io(&error))?;
    Ok(Opened { plain: Box::new(Layer { inner, name: "compression", tally: tally.clone() }), tally, encrypted })
}

/// Reads ahead on a thread of its own, so that decrypting and decompressing have a core each.
struct Ahead {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Ahead {
    fn of<R: Read + Send + 'static>(mut inner: R) -> Self {
        let (sender, pieces) = mpsc::sync_channel(4);
        std::thread::spawn(move || {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = inner.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                let last = piece.is_empty() || read.is_err();
                // A reader that has seen enough has gone. An empty piece is the end.
                if sender.send(read.map(|_| piece)).is_err() || last {
                    return;
                }
            }
        });
        Self { pieces, piece: io::Cursor::default(), ended: false }
    }
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.fill_buf()?.is_empty() && !self.ended {
            let piece = self.pieces.recv().map_err(|_| io::Error::other("the thread that reads ahead has ended"))??;
            self.ended = piece.is_empty();
            self.piece = io::Cursor::new(piece);
        }
        self.piece.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.piece.consume(count);
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// An error of reading as an error of mms.
pub fn of_io(error: &io::Error) -> Error {
    told(error).unwrap_or_else(|| damaged(error))
}
