//! SSH as a transport: one TCP connection per host, one channel per process.

mod auth;
mod config;
mod host_key;
mod keys;
mod known_hosts;
mod link;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Disconnect, Sig};
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore, mpsc, oneshot};

use self::link::{Link, Route};
use super::process::{Chunk, INPUT_QUEUE, OUTPUT_QUEUE, Process, Purpose, STAGE, Transport};
use super::{ConnectOptions, ConnectionError, Target};
use crate::sh;

/// How many files are transferred at once. sshd allows ten sessions and frees ended ones late; above this, opening one fails now
/// and then.
const TRANSFERS: usize = 4;

/// How often a channel that sshd refuses for want of room is asked for again, and how long the first pause is.
const RETRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How long opening a channel may take.
const OPENING: Duration = Duration::from_secs(30);

/// A host over SSH.
pub(crate) struct Ssh {
    target: Target,
    options: ConnectOptions,
    route: Route,
    shell: String,
    link: RwLock<Option<Arc<Link>>>,
    transfers: Arc<Semaphore>,
}

impl Ssh {
    /// Connects and logs in.
    pub(crate) async fn connect(target: &Target, options: &ConnectOptions) -> Result<Self, ConnectionError> {
        let route = Route::of(target).await?;
        let link = link::connect(&route, target, options).await?;
        Ok(Self {
            target: target.clone(),
            options: options.clone(),
            route,
            shell: target.shell.clone().unwrap_or_else(|| "/bin/sh".to_owned()),
            link: RwLock::new(Some(Arc::new(link))),
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
        })
    }

    async fn start(&self, purpose: Purpose) -> Result<Process, ConnectionError> {
        let permit = match purpose {
            Purpose::Shell => None,
            // The semaphore is never closed.
            Purpose::Transfer => Arc::clone(&self.transfers).acquire_owned().await.ok(),
        };
        let Some(link) = self.link.read().await.clone() else { return Err(self.lost("it was closed")) };
        let channel = match tokio::time::timeout(OPENING, self.channel(&link)).await {
            Ok(channel) => channel?,
            Err(_) => return Err(self.lost("the host opened no channel within 30 s")),
        };
        // The user's login shell reads this; `exec` spares a process.
        let command = format!("exec {} -c '{STAGE}'", sh::quote(&self.shell));
        channel.exec(false, command).await.map_err(|_| self.lost("it ended"))?;
        Ok(serve(channel, link, permit))
    }

    async fn channel(&self, link: &Link) -> Result<Channel<Msg>, ConnectionError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..RETRIES {
            match link.handle.channel_open_session().await {
                Ok(channel) => return Ok(channel),
                Err(russh::Error::ChannelOpenFailure(
                    ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage,
                )) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(russh::Error::ChannelOpenFailure(reason)) => {
                    return Err(self.lost(&format!("the host refuses a session ({reason:?})")));
                }
                Err(_) => return Err(self.lost("it ended")),
            }
        }
        Err(self
            .lost("the host refuses another session")
            .hint("raise `MaxSessions` in the host's sshd_config (at least 10)"))
    }

    fn lost(&self, why: &str) -> ConnectionError {
        ConnectionError::lost(format!("the connection to {} is lost: {why}", self.route.place))
    }
}

impl Transport for Ssh {
    fn spawn(&self, purpose: Purpose) -> BoxFuture<'_, Result<Process, ConnectionError>> {
        Box::pin(self.start(purpose))
    }

    fn shell(&self) -> &str {
        &self.shell
    }

    fn place(&self) -> &str {
        &self.route.place
    }

    fn login_user(&self) -> Option<&str> {
        Some(&self.route.config.user)
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), ConnectionError>> {
        Box::pin(async {
            let mut current = self.link.write().await;
            if let Some(old) = current.take() {
                end(&old).await;
            }
            *current = Some(Arc::new(link::connect(&self.route, &self.target, &self.options).await?));
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(old) = self.link.write().await.take() {
                end(&old).await;
            }
        })
    }
}

async fn end(link: &Link) {
    // The host may be gone already.
    let _ =
        tokio::time::timeout(Duration::from_secs(1), link.handle.disconnect(Disconnect::ByApplication, "", "en")).await;
}

/// Connects a channel with a [`Process`]. The channel is read at all times: one that is not read stops all others.
fn serve(channel: Channel<Msg>, link: Arc<Link>, permit: Option<OwnedSemaphorePermit>) -> Process {
    let (reader, writer) = channel.split();
    let writer = Arc::new(writer);
    let (input, inbox) = mpsc::channel(INPUT_QUEUE);
    let (sender, output) = mpsc::channel(OUTPUT_QUEUE);
    let (guard, dropped) = oneshot::channel();
    let feeding = tokio::spawn(feed(Arc::clone(&writer), inbox));
    tokio::spawn(async move {
        read(reader, &writer, sender, dropped).await;
        // It may be waiting for room that never comes.
        feeding.abort();
        drop((link, permit));
    });
    Process { input, output, guard }
}

async fn feed(writer: Arc<ChannelWriteHalf<Msg>>, mut inbox: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = inbox.recv().await {
        if writer.data_bytes(bytes).await.is_err() {
            return;
        }
    }
    // A channel that has ended needs no end of file.
    let _ = writer.eof().await;
}

async fn read(
    mut reader: ChannelReadHalf,
    writer: &ChannelWriteHalf<Msg>,
    output: mpsc::Sender<Chunk>,
    mut dropped: oneshot::Receiver<()>,
) {
    loop {
        let message = tokio::select! {
            message = reader.wait() => message,
            _ = &mut dropped => break,
        };
        let chunk = match message {
            Some(ChannelMsg::Data { data }) => Chunk::Stdout(data),
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => Chunk::Stderr(data),
            Some(ChannelMsg::ExitStatus { exit_status }) => Chunk::Exit(i32::try_from(exit_status).unwrap_or(255)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => Chunk::Exit(128 + number(&signal_name)),
            Some(ChannelMsg::Eof) => Chunk::End,
            // Not every server says that the output has ended before it closes the channel.
            Some(ChannelMsg::Close) => {
                tokio::select! {
                    _ = output.send(Chunk::End) => {}
                    _ = &mut dropped => {}
                }
                return;
            }
            None => return,
            Some(_) => continue,
        };
        // A full queue holds the sender back until the receiver has caught up or gone.
        tokio::select! {
            sent = output.send(chunk) => if sent.is_err() { break },
            _ = &mut dropped => break,
        }
    }
    // Nothing of a channel that is closed here comes through russh afterwards, not even that it is closed there.
    let _ = writer.close().await;
}

/// The number of a signal that SSH sends by name.
fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        _ => 15,
    }
}
