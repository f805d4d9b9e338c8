//! What a process has said before it is what it is to become: the words of a login shell, of `sudo` and the like.

use std::time::Duration;

use tokio::sync::mpsc;

use super::process::Chunk;

/// How long output may still come after the process has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What came so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub stdout: String,
    pub stderr: String,
}

impl Seen {
    /// Takes something. The exit status, if it is that.
    pub(crate) fn take(&mut self, chunk: Chunk) -> Option<i32> {
        match chunk {
            Chunk::Stdout(bytes) => self.stdout.push_str(&String::from_utf8_lossy(&bytes)),
            Chunk::Stderr(bytes) => self.stderr.push_str(&String::from_utf8_lossy(&bytes)),
            Chunk::Exit(code) => return Some(code),
            Chunk::End => {}
        }
        None
    }

    /// Takes what is still under way when the exit status has come.
    pub(crate) async fn drain(&mut self, output: &mut mpsc::Receiver<Chunk>) {
        let rest = async {
            while let Some(chunk) = output.recv().await {
                let end = matches!(chunk, Chunk::End);
                self.take(chunk);
                if end {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    }

    /// The last line that the program itself wrote: one without the nonce of what mms lets it print.
    pub(crate) fn said(&self, nonce: &str) -> String {
        let lines = self.stderr.lines().chain(self.stdout.lines());
        let own = lines.map(str::trim).rfind(|line| !line.is_empty() && !line.contains(nonce));
        own.unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
    }
}
