//! The byte stream under an SSH connection: TCP tuned for round trips, or the process of a `ProxyCommand`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::super::{ConnectionError, ConnectionErrorKind};

/// What russh may run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to the first address of a host that answers. Says how long the answer took: a round trip.
pub(crate) async fn tcp(host: &str, port: u16, place: &str) -> Result<(Box<dyn Stream>, Duration), ConnectionError> {
    let unreachable = |what: String| ConnectionError::new(ConnectionErrorKind::Unreachable, what);
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(unreachable(format!(
                "cannot reach {place}: the name `{host}` is not found ({})",
                plain(&error)
            ))
            .hint("set `ansible_host` in the inventory, or check DNS and /etc/hosts"));
        }
    };
    let mut failure = format!("the name `{host}` has no address");
    for address in addresses {
        let began = Instant::now();
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let round_trip = began.elapsed();
                // Without this each small packet waits for the acknowledgement of the one before: 43 ms per new channel.
                let _ = stream.set_nodelay(true);
                return Ok((Box::new(QuickAck(BufReader::with_capacity(AT_ONCE, stream))), round_trip));
            }
            Err(error) => failure = plain(&error),
        }
    }
    Err(unreachable(format!("cannot reach {place}: {failure}"))
        .hint(format!("check that the host is up and that sshd listens on port {port}")))
}

/// An error of the operating system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// So many bytes are read at once, if they are there. russh reads the 4 bytes of a packet's length, and then the packet.
const AT_ONCE: usize = 128 << 10;

/// A TCP stream that acknowledges at once. sshd has Nagle's algorithm on until the first channel is open, so its small packets
/// wait for acknowledgements, which the kernel would hold back for 40 ms. The kernel forgets the option, so it is set again
/// after every read, but for those of so much that the kernel acknowledges it anyway.
struct QuickAck(BufReader<TcpStream>);

impl AsyncRead for QuickAck {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        #[cfg(target_os = "linux")]
        let fresh = self.0.buffer().is_empty();
        let polled = Pin::new(&mut self.0).poll_read(cx, buffer);
        #[cfg(target_os = "linux")]
        if fresh && polled.is_ready() && self.0.buffer().len() < AT_ONCE / 8 {
            // Only slower without it.
            let _ = rustix::net::sockopt::set_tcp_quickack(self.0.get_ref(), true);
        }
        polled
    }
}

impl AsyncWrite for QuickAck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Starts a `ProxyCommand` as `ssh` does.
pub(crate) fn command(text: &str, place: &str) -> Result<Box<dyn Stream>, ConnectionError> {
    let refused = |what: String| {
        ConnectionError::new(
            ConnectionErrorKind::Unreachable,
            format!("cannot reach {place}: the ProxyCommand does not start: {what}"),
        )
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("exec {text}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| refused(error.to_string()))?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(refused("it has no streams".to_owned()));
    };
    Ok(Box::new(Piped { input, output, child }))
}

struct Piped {
    input: ChildStdin,
    output: ChildStdout,
    child: Child,
}

impl Drop for Piped {
    fn drop(&mut self) {
        // With all that it started; it leads a group of its own.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
        }
    }
}

impl AsyncRead for Piped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Piped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
