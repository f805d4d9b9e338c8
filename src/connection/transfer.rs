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

/// How long output may still come after the command has ended, when a process it left behind holds its output open.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    let collecting = collect(&mut output, None);
    tokio::pin!(feeding, collecting);
    let mut done = false;
    let answer = loop {
        tokio::select! {
            result = &mut feeding, if !done => {
                // The end mark was not sent, so the command is killed when the channel goes.
                result.map_err(|error| local("read", from, &error))?;
                done = true;
            }
            answer = &mut collecting => break answer.map_err(|error| local("read", from, &error))?,
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
    let answer = collect(&mut output, Some(&mut file)).await.map_err(|error| failed(&error))?;
    drop(guard);
    let answer = answer.ok_or_else(|| lost(transport))?;
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
    let collecting = collect(&mut output, None);
    tokio::pin!(feeding, collecting);
    let mut done = false;
    let answer = loop {
        tokio::select! {
            () = &mut feeding, if !done => done = true,
            answer = &mut collecting => break answer.unwrap_or_default(),
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
    let mut answer = Answer::default();
    let mut ended = false;
    loop {
        let next = if ended {
            tokio::time::timeout(LAST_WORDS, output.recv()).await.unwrap_or_default()
        } else {
            output.recv().await
        };
        match next {
            Some(Chunk::Stdout(bytes)) => {
                if pieces.send(bytes).await.is_err() {
                    // As a program whose reader is gone.
                    return Ok(Answer { rc: 141, ..answer });
                }
            }
            Some(Chunk::Stderr(bytes)) => answer.stderr.extend_from_slice(&bytes),
            Some(Chunk::Exit(code)) => (answer.rc, ended) = (code, true),
            None => {
                drop(guard);
                return if ended { Ok(answer) } else { Err(lost(transport)) };
            }
        }
    }
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
        input.send(line.into()).await.map_err(|_| lost(transport))?;
        Ok(Self { input, output, guard })
    }
}

/// Takes everything a command says, stdout into a file if there is one. `None` when the connection was lost before the exit
/// status came.
async fn collect(
    output: &mut mpsc::Receiver<Chunk>,
    mut file: Option<&mut BufWriter<tokio::fs::File>>,
) -> io::Result<Option<Answer>> {
    let mut answer = Answer::default();
    let mut ended = false;
    loop {
        let next = if ended {
            tokio::time::timeout(LAST_WORDS, output.recv()).await.unwrap_or_default()
        } else {
            output.recv().await
        };
        match (next, &mut file) {
            (Some(Chunk::Stdout(bytes)), Some(file)) => file.write_all(&bytes).await?,
            (Some(Chunk::Stdout(bytes)), None) => answer.stdout.extend_from_slice(&bytes),
            (Some(Chunk::Stderr(bytes)), _) => answer.stderr.extend_from_slice(&bytes),
            (Some(Chunk::Exit(code)), _) => (answer.rc, ended) = (code, true),
            (None, _) => return Ok(ended.then_some(answer)),
        }
    }
}

fn lost(transport: &dyn Transport) -> ConnectionError {
    ConnectionError::lost(format!("the connection to {} was lost during a file transfer", transport.place()))
}

fn local(verb: &str, path: &Path, error: &io::Error) -> ConnectionError {
    ConnectionError::new(ConnectionErrorKind::LocalFile, format!("cannot {verb} `{}`: {error}", path.display()))
}
