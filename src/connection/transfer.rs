//! Content too large for a frame: a command on a channel of its own with a local file at one end. Nothing is held in memory but
//! what is under way.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::sync::{mpsc, oneshot};

use super::escalate::{self, Entered};
use super::process::{Chunk, Process, Purpose, Transport};
use super::{Answer, Become, ConnectionError, ConnectionErrorKind, shell};
use crate::sh;

/// How much of a file is read at once.
const PIECE: usize = 256 << 10;

/// How much of a file is written at once: each write is a trip to another thread.
const WRITE: usize = 1 << 20;

/// How long words may still come after the command has ended, when a process it left behind holds its output open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the output of a command that has ended may stand still where every byte of it counts. A connection that is lost is
/// noticed sooner.
const LAST_BYTES: Duration = Duration::from_secs(90);

/// Runs a command with a local file as its stdin.
pub(crate) async fn send(
    transport: &dyn Transport,
    become_user: Option<&Become>,
    from: &Path,
    command: &str,
) -> Result<Answer, ConnectionError> {
    let file = tokio::fs::File::open(from).await.map_err(|error| local("read", from, &error))?;
    let length = file.metadata().await.map_err(|error| local("read", from, &error))?.len();
    let end = shell::nonce();
    let fed = fed(length, &end);
    let running = Running::start(transport, become_user, command, &fed).await?;
    let Running { input, mut output, guard } = running;
    let feeding = async {
        let mut file = file.take(length);
        let mut buffer = BytesMut::new();
        let mut missing = length;
        while missing > 0 {
            buffer.reserve(PIECE);
            match file.read_buf(&mut buffer).await? as u64 {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read")),
                count => missing -= count,
            }
            if input.send(buffer.split().freeze()).await.is_err() {
                // The command reads no further; its status tells whether that is wrong.
                return Ok(());
            }
        }
        let _ = input.send(format!("{end}\n").into()).await;
        drop(input);
        Ok::<_, io::Error>(())
    };
    let collecting = words(&mut output);
    tokio::pin!(feeding, collecting);
    let mut done = false;
    let answer = loop {
        tokio::select! {
            result = &mut feeding, if !done => {
                // The end mark was not sent, so the command is killed when the channel goes.
                result.map_err(|error| local("read", from, &error))?;
                done = true;
            }
            answer = &mut collecting => break answer,
        }
    };
    drop(guard);
    answer.ok_or_else(|| lost(transport))
}

/// Runs a command and writes its stdout to a local file, which appears only when the command succeeded.
pub(crate) async fn receive(
    transport: &dyn Transport,
    become_user: Option<&Become>,
    command: &str,
    to: &Path,
) -> Result<Answer, ConnectionError> {
    let failed = |error: &io::Error| local("write", to, error);
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tokio::fs::create_dir_all(directory).await.map_err(|error| failed(&error))?;
    // As any new file: what the umask leaves.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let temporary = tempfile::Builder::new()
        .prefix(".mms-")
        .permissions(mode)
        .tempfile_in(directory)
        .map_err(|error| failed(&error))?;
    let handle = temporary.as_file().try_clone().map_err(|error| failed(&error))?;
    let mut file = BufWriter::with_capacity(WRITE, tokio::fs::File::from_std(handle));

    let Running { input, mut output, guard } = Running::start(transport, become_user, command, "").await?;
    drop(input);
    let (mut answer, mut ending) = (Answer::default(), Ending::default());
    while let Some(said) = ending.next(&mut output, LAST_BYTES).await {
        match said {
            Said::Stdout(bytes) => file.write_all(&bytes).await.map_err(|error| failed(&error))?,
            Said::Stderr(bytes) => answer.stderr.extend_from_slice(&bytes),
        }
    }
    drop(guard);
    answer.rc = ending.of_whole_output().ok_or_else(|| lost(transport))?;
    if answer.ok() {
        file.flush().await.map_err(|error| failed(&error))?;
        temporary.persist(to).map_err(|error| failed(&error.error))?;
    }
    Ok(answer)
}

/// Runs a command with what comes from a queue as its stdin.
pub(crate) async fn send_pieces(
    transport: &dyn Transport,
    become_user: Option<&Become>,
    command: &str,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<Answer, ConnectionError> {
    let Running { input, mut output, guard } = Running::start(transport, become_user, command, "").await?;
    let feeding = async move {
        while let Some(piece) = pieces.recv().await {
            if input.send(piece).await.is_err() {
                // The command reads no further; its status tells whether that is wrong. The queue goes, so its sender ends.
                return;
            }
        }
    };
    let collecting = words(&mut output);
    tokio::pin!(feeding, collecting);
    let mut done = false;
    let answer = loop {
        tokio::select! {
            () = &mut feeding, if !done => done = true,
            answer = &mut collecting => break answer,
        }
    };
    drop(guard);
    answer.ok_or_else(|| lost(transport))
}

/// Runs a command and passes its stdout on.
pub(crate) async fn receive_pieces(
    transport: &dyn Transport,
    become_user: Option<&Become>,
    command: &str,
    pieces: mpsc::Sender<Bytes>,
) -> Result<Answer, ConnectionError> {
    let Running { input, mut output, guard } = Running::start(transport, become_user, command, "").await?;
    drop(input);
    let (mut answer, mut ending) = (Answer::default(), Ending::default());
    while let Some(said) = ending.next(&mut output, LAST_BYTES).await {
        match said {
            Said::Stdout(bytes) => {
                if pieces.send(bytes).await.is_err() {
                    // As a program whose reader is gone.
                    return Ok(Answer { rc: 141, ..answer });
                }
            }
            Said::Stderr(bytes) => answer.stderr.extend_from_slice(&bytes),
        }
    }
    drop(guard);
    answer.rc = ending.of_whole_output().ok_or_else(|| lost(transport))?;
    Ok(answer)
}

/// What is put before a command to give it so many bytes of the channel as its stdin. If the connection is cut before the end mark
/// came, the command must not take the part for the whole: the process group, which is the channel's own, is killed before the
/// command can see an end of file. A command that reads no further is no reason for that.
fn fed(length: u64, end: &str) -> String {
    let copy = shell::copy(length);
    format!(
        "dd count=0 iflag=fullblock </dev/null 2>/dev/null||kill -9 0;\
         {{ {{ {copy};}} 2>/dev/null&&{{ {{ IFS= read -r __mms_t&&[ \"$__mms_t\" = {end} ];}}||kill -9 0;}};}}|"
    )
}

/// A command that has a channel of its own.
struct Running {
    input: mpsc::Sender<Bytes>,
    output: mpsc::Receiver<Chunk>,
    guard: oneshot::Sender<()>,
}

impl Running {
    async fn start(
        transport: &dyn Transport,
        become_user: Option<&Become>,
        command: &str,
        fed: &str,
    ) -> Result<Self, ConnectionError> {
        let mut entered = escalate::enter(transport, become_user, Purpose::Transfer).await?;
        if matches!(entered, Entered::Same) {
            entered = escalate::enter(transport, None, Purpose::Transfer).await?;
        }
        let Entered::Ready(Process { input, output, guard }) = entered else { return Err(lost(transport)) };
        // The stage shell reads one line; the command may have more, so newlines are written in octal for `printf`.
        let text: String = command
            .chars()
            .map(|c| match c {
                '\\' => r"\\".to_owned(),
                '%' => "%%".to_owned(),
                '\n' => r"\n".to_owned(),
                c => c.to_string(),
            })
            .collect();
        let line =
            format!("__mms_l=$(printf {};echo x);{fed}(eval \"${{__mms_l%x}}\")\n", sh::quote(&format!(r"\n{text}")));
        // Whether it has gone already shows in what comes from it.
        let _ = input.send(line.into()).await;
        Ok(Self { input, output, guard })
    }
}

/// Something a command wrote.
enum Said {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// What is known of the end of a command: its exit status and the end of its output come in either order.
#[derive(Default)]
struct Ending {
    rc: Option<i32>,
    whole: bool,
}

impl Ending {
    /// What the command wrote next. `None` when there is nothing more to wait for; `patience` is for output after its end.
    async fn next(&mut self, output: &mut mpsc::Receiver<Chunk>, patience: Duration) -> Option<Said> {
        loop {
            let next = match self.rc {
                // Only that the channel closes is left to come: mms does not close it first.
                Some(_) if self.whole => tokio::time::timeout(LAST_WORDS, output.recv()).await.unwrap_or_default(),
                Some(_) => tokio::time::timeout(patience, output.recv()).await.unwrap_or_default(),
                None => output.recv().await,
            };
            match next? {
                Chunk::Stdout(bytes) => return Some(Said::Stdout(bytes)),
                Chunk::Stderr(bytes) => return Some(Said::Stderr(bytes)),
                Chunk::Exit(code) => self.rc = Some(code),
                Chunk::End => self.whole = true,
            }
        }
    }

    /// The exit status, of a command whose output must not be a part taken for the whole.
    fn of_whole_output(&self) -> Option<i32> {
        self.rc.filter(|&rc| self.whole || rc != 0)
    }
}

/// Takes everything that a command says whose exit status is the answer. `None` when the connection was lost before that came.
async fn words(output: &mut mpsc::Receiver<Chunk>) -> Option<Answer> {
    let (mut answer, mut ending) = (Answer::default(), Ending::default());
    while let Some(said) = ending.next(output, LAST_WORDS).await {
        match said {
            Said::Stdout(bytes) => answer.stdout.extend_from_slice(&bytes),
            Said::Stderr(bytes) => answer.stderr.extend_from_slice(&bytes),
        }
    }
    answer.rc = ending.rc?;
    Some(answer)
}

fn lost(transport: &dyn Transport) -> ConnectionError {
    ConnectionError::lost(format!("the connection to {} was lost during a file transfer", transport.place()))
}

fn local(verb: &str, path: &Path, error: &io::Error) -> ConnectionError {
    ConnectionError::new(ConnectionErrorKind::LocalFile, format!("cannot {verb} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    /// Starts processes that say what is written here, and keep their output open afterwards if they are `held`.
    struct Scripted {
        says: Vec<(u64, Chunk)>,
        held: bool,
    }

    /// A chunk and how long it lets wait, in milliseconds.
    fn scripted(says: impl IntoIterator<Item = (u64, Chunk)>) -> Scripted {
        Scripted { says: says.into_iter().collect(), held: false }
    }

    fn text(text: &'static str) -> (u64, Chunk) {
        (0, Chunk::Stdout(Bytes::from_static(text.as_bytes())))
    }

    const EXIT: (u64, Chunk) = (0, Chunk::Exit(0));
    const END: (u64, Chunk) = (0, Chunk::End);

    impl Transport for Scripted {
        fn spawn(&self, _: Purpose) -> BoxFuture<'_, Result<Process, ConnectionError>> {
            let (input, mut inbox) = mpsc::channel::<Bytes>(1);
            let (sender, output) = mpsc::channel(16);
            let (guard, dropped) = oneshot::channel::<()>();
            let says = self.says.clone();
            let held = self.held;
            tokio::spawn(async move {
                inbox.recv().await;
                for (pause, chunk) in says {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    sender.send(chunk).await.unwrap();
                }
                if held {
                    let _ = dropped.await;
                }
            });
            Box::pin(std::future::ready(Ok(Process { input, output, guard })))
        }

        fn shell(&self) -> &str {
            "/bin/sh"
        }

        fn place(&self) -> &str {
            "lab"
        }

        fn login_user(&self) -> Option<&str> {
            None
        }

        fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    /// What a file and a queue get of it. Of what failed the file is not there.
    async fn received(transport: &Scripted) -> Result<(i32, String), String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let of_file = receive(transport, None, "cat", &file).await;
        let (sender, mut pieces) = mpsc::channel(16);
        let of_pieces = receive_pieces(transport, None, "cat", sender).await;
        assert_eq!(of_file.as_ref().ok().map(|answer| answer.rc), of_pieces.ok().map(|answer| answer.rc));
        match of_file {
            Ok(answer) => {
                let mut all = vec![];
                while let Some(piece) = pieces.recv().await {
                    all.extend_from_slice(&piece);
                }
                let all = String::from_utf8(all).unwrap();
                assert_eq!(std::fs::read_to_string(&file).ok(), answer.ok().then(|| all.clone()));
                Ok((answer.rc, all))
            }
            Err(error) => {
                assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
                Err(error.message)
            }
        }
    }

    #[tokio::test]
    async fn the_whole_output_is_received_or_none() {
        let whole = Ok((0, "one two".to_owned()));
        assert_eq!(received(&scripted([text("one"), text(" two"), END, EXIT])).await, whole);
        // As sshd does where the network is slow.
        let late = (1200, Chunk::Stdout(Bytes::from_static(b" two")));
        assert_eq!(received(&scripted([text("one"), EXIT, late, END])).await, whole);

        let lost = Err("the connection to lab was lost during a file transfer".to_owned());
        assert_eq!(received(&scripted([text("one"), EXIT])).await, lost);
        assert_eq!(received(&scripted([text("one"), END])).await, lost);
        assert_eq!(received(&scripted([text("one")])).await, lost);
        assert_eq!(received(&scripted([text("one"), (0, Chunk::Exit(3))])).await, Ok((3, "one".to_owned())));
    }

    #[tokio::test]
    async fn a_command_that_takes_something_has_ended_when_its_status_is_known() {
        for says in [vec![text("done"), EXIT], vec![EXIT, text("done"), END]] {
            for held in [false, true] {
                let (sender, pieces) = mpsc::channel(1);
                drop(sender);
                let transport = Scripted { says: says.clone(), held };
                let answer = send_pieces(&transport, None, "cat", pieces).await.unwrap();
                assert_eq!((answer.rc, answer.stdout_text().as_ref()), (0, "done"));
            }
        }
    }
}
