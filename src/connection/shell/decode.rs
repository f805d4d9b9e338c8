//! The answers in the shell's two output streams.

use std::collections::VecDeque;

use memchr::memmem;
use tokio::sync::mpsc;

use super::encode::Marks;

/// What one frame has answered so far.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Known when stdout has ended.
    pub rc: Option<i32>,
    pub stderr_ended: bool,
}

/// A frame that was sent, as far as the decoder needs to know it.
#[derive(Debug)]
pub(super) struct Expected {
    pub marks: Marks,
    pub live: Option<mpsc::UnboundedSender<String>>,
    pub partial: Partial,
}

impl Expected {
    pub(super) fn new(marks: Marks, live: Option<mpsc::UnboundedSender<String>>) -> Self {
        Self { marks, live, partial: Partial::default() }
    }

    fn complete(&self) -> bool {
        self.partial.rc.is_some() && self.partial.stderr_ended
    }
}

/// Which stream bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Stdout,
    Stderr,
}

/// Cuts the streams into answers. The two streams may be at different frames.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The frames that were sent and are not answered in full, in order.
    pub expected: VecDeque<Expected>,
    stdout: Stream,
    stderr: Stream,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { expected: VecDeque::new(), stdout: Stream::new(Side::Stdout), stderr: Stream::new(Side::Stderr) }
    }

    /// Takes bytes from a stream; afterwards [`Self::pop`] gives the answers that became complete.
    pub(super) fn push(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Stdout => self.stdout.push(bytes, &mut self.expected),
            Side::Stderr => self.stderr.push(bytes, &mut self.expected),
        }
    }

    /// The oldest answer, if it is complete.
    pub(super) fn pop(&mut self) -> Option<Partial> {
        if !self.expected.front()?.complete() {
            return None;
        }
        let front = self.expected.pop_front()?;
        self.stdout.frame -= 1;
        self.stderr.frame -= 1;
        Some(front.partial)
    }

    /// Whether the oldest frame has begun to run.
    pub(super) fn front_begun(&self) -> bool {
        !self.expected.is_empty() && (self.stdout.inside || self.stdout.frame > 0)
    }
}

#[derive(Debug)]
struct Stream {
    side: Side,
    /// Which of the expected frames the stream is at.
    frame: usize,
    /// Between its begin and its end mark.
    inside: bool,
    /// Bytes that may be the start of a mark.
    pending: Vec<u8>,
    /// An unfinished line for the live display.
    line: Vec<u8>,
}

impl Stream {
    fn new(side: Side) -> Self {
        Self { side, frame: 0, inside: false, pending: Vec::new(), line: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8], expected: &mut VecDeque<Expected>) {
        self.pending.extend_from_slice(bytes);
        while let Some(frame) = expected.get_mut(self.frame) {
            let mark = if self.inside { &frame.marks.end } else { &frame.marks.begin };
            let Some(at) = memmem::find(&self.pending, mark.as_bytes()) else {
                let keep = overlap(&self.pending, mark.as_bytes());
                let rest = self.pending.split_off(self.pending.len() - keep);
                let known = std::mem::replace(&mut self.pending, rest);
                if self.inside {
                    self.take(&known, frame);
                }
                return;
            };
            // A mark stands on a line of its own, whose rest is the status.
            let after = at + mark.len();
            let Some(line_end) = memchr::memchr(b'\n', &self.pending[after..]).map(|length| after + length) else {
                let rest = self.pending.split_off(at);
                let known = std::mem::replace(&mut self.pending, rest);
                if self.inside {
                    self.take(&known, frame);
                }
                return;
            };
            let rest = self.pending.split_off(line_end + 1);
            let known = std::mem::replace(&mut self.pending, rest);
            if self.inside {
                let status = String::from_utf8_lossy(&known[after..line_end]).trim().parse().unwrap_or(1);
                self.take(&known[..at], frame);
                self.finish(frame, status);
            } else {
                self.inside = true;
            }
        }
        // Nothing is expected: a process left behind by an earlier script wrote this.
        self.pending.clear();
    }

    fn take(&mut self, bytes: &[u8], frame: &mut Expected) {
        match self.side {
            Side::Stdout => frame.partial.stdout.extend_from_slice(bytes),
            Side::Stderr => frame.partial.stderr.extend_from_slice(bytes),
        }
        let Some(live) = &frame.live else { return };
        self.line.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.line) {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            // Nobody may be watching any longer.
            let _ = live.send(String::from_utf8_lossy(&line[..end]).trim_end_matches('\r').to_owned());
        }
    }

    fn finish(&mut self, frame: &mut Expected, status: i32) {
        let line = std::mem::take(&mut self.line);
        if let Some(live) = frame.live.as_ref().filter(|_| !line.is_empty()) {
            let _ = live.send(String::from_utf8_lossy(&line).into_owned());
        }
        match self.side {
            Side::Stdout => frame.partial.rc = Some(status),
            Side::Stderr => frame.partial.stderr_ended = true,
        }
        self.inside = false;
        self.frame += 1;
    }
}

/// Finds the epitaph in stdout and takes it out: it comes past everything else, so it may stand in the middle of an answer.
#[derive(Debug)]
pub(super) struct Epitaph {
    mark: String,
    pending: Vec<u8>,
}

impl Epitaph {
    pub(super) fn new(mark: String) -> Self {
        Self { mark, pending: Vec::new() }
    }

    /// The bytes without the epitaph, and the status in it once it has come.
    pub(super) fn strip(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        self.pending.extend_from_slice(bytes);
        let mark = self.mark.as_bytes();
        let Some(at) = memmem::find(&self.pending, mark) else {
            let keep = overlap(&self.pending, mark);
            let rest = self.pending.split_off(self.pending.len() - keep);
            return (std::mem::replace(&mut self.pending, rest), None);
        };
        let after = at + mark.len();
        let Some(line_end) = memchr::memchr(b'\n', &self.pending[after..]).map(|length| after + length) else {
            let rest = self.pending.split_off(at);
            return (std::mem::replace(&mut self.pending, rest), None);
        };
        let status = String::from_utf8_lossy(&self.pending[after..line_end]).trim().to_owned();
        self.pending.drain(at..=line_end);
        (std::mem::take(&mut self.pending), Some(status))
    }
}

/// How many bytes at the end of the text are the start of the mark.
fn overlap(text: &[u8], mark: &[u8]) -> usize {
    let longest = text.len().min(mark.len() - 1);
    (0..=longest).rev().find(|length| text.ends_with(&mark[..*length])).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn expect(decoder: &mut Decoder, name: &str) {
        let marks = Marks { begin: format!("<b{name}>"), end: format!("<e{name}>") };
        decoder.expected.push_back(Expected::new(marks, None));
    }

    #[test]
    fn cuts_answers_wherever_the_pieces_break() {
        let stdout = b"noise<b1>\none\ntwo<e1> 3\nlate output of a child<b2>\n<e1> forged\n<e2> 0\ntail";
        let stderr = b"<b1>\noops<e1>\n<b2>\n<e2>\n";
        for size in 1..stdout.len() {
            let mut decoder = Decoder::new();
            expect(&mut decoder, "1");
            expect(&mut decoder, "2");
            for piece in stderr.chunks(size) {
                decoder.push(Side::Stderr, piece);
            }
            for piece in stdout.chunks(size) {
                decoder.push(Side::Stdout, piece);
            }
            let first = decoder.pop().unwrap();
            assert_eq!((first.rc, &first.stdout[..], &first.stderr[..]), (Some(3), &b"one\ntwo"[..], &b"oops"[..]));
            let second = decoder.pop().unwrap();
            assert_eq!((second.rc, &second.stdout[..]), (Some(0), &b"<e1> forged\n"[..]));
            assert!(decoder.pop().is_none());
        }
    }

    #[test]
    fn the_epitaph_is_taken_out_of_the_middle() {
        let text = b"one two<D> 137\nthree <D";
        for size in 1..text.len() {
            let mut epitaph = Epitaph::new("<D>".into());
            let (mut rest, mut status) = (Vec::new(), None);
            for piece in text.chunks(size) {
                let (known, found) = epitaph.strip(piece);
                rest.extend(known);
                status = status.or(found);
            }
            assert_eq!((&rest[..11], status.as_deref()), (&b"one twothre"[..], Some("137")));
        }
    }

    #[test]
    fn sends_whole_lines_while_they_come() {
        let mut decoder = Decoder::new();
        let (live, mut lines) = mpsc::unbounded_channel();
        let marks = Marks { begin: "<b>".into(), end: "<e>".into() };
        decoder.expected.push_back(Expected::new(marks, Some(live)));
        decoder.push(Side::Stdout, b"<b>\nfirst\nsec");
        assert_eq!(lines.try_recv().unwrap(), "first");
        assert!(lines.try_recv().is_err());
        decoder.push(Side::Stdout, b"ond\r\nlast<e> 0\n");
        assert_eq!(lines.try_recv().unwrap(), "second");
        assert_eq!(lines.try_recv().unwrap(), "last");
    }
}
