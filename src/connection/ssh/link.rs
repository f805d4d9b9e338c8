//! One login: the chain of hosts to go through, the key exchange and the host-key check of each, the authentication.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{self, Handle};
use russh::{Preferred, cipher};

use super::super::{ConnectOptions, ConnectionError, ConnectionErrorKind, Target, UnknownHostKey};
use super::auth;
use super::config::{Config, Strict};
use super::host_key::{self, Client, Finding, HostCheck};
use super::stream::{self, Stream};
use crate::sync::lock;

/// How long connecting, and every step of logging in, may take when nobody says otherwise. Ansible's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many hosts a chain may have.
const LONGEST_CHAIN: usize = 8;

/// A login, and those it goes through.
pub(crate) struct Link {
    pub handle: Handle<Client>,
    /// Dropped after `handle`.
    _through: Option<Box<Link>>,
}

/// Where a connection goes and with what.
#[derive(Clone)]
pub(crate) struct Route {
    pub config: Config,
    /// The host for messages.
    pub place: String,
    /// The hosts before it, nearest to here first.
    pub hops: Vec<Config>,
}

impl Route {
    /// Resolves the way to a target.
    pub(crate) async fn of(target: &Target) -> Result<Self, ConnectionError> {
        let config = Config::of_target(target).await?;
        let mut hops = Vec::new();
        let mut names = config.proxy_jump.clone();
        while let Some(name) = names.pop() {
            let hop = Config::of_jump(&name, target).await?;
            // The first host of a chain may have a way of its own.
            if names.is_empty() && hop.proxy_command.is_none() {
                names.clone_from(&hop.proxy_jump);
            }
            hops.insert(0, hop);
            if hops.len() > LONGEST_CHAIN {
                return Err(ConnectionError::new(
                    ConnectionErrorKind::Unreachable,
                    format!("cannot reach {}: its ProxyJump goes through more than {LONGEST_CHAIN} hosts", target.name),
                )
                .hint("look for hosts in ~/.ssh/config that jump through each other"));
            }
        }
        let place = format!("{} ({})", target.name, address(&config));
        Ok(Self { config, place, hops })
    }
}

fn address(config: &Config) -> String {
    let host = if config.host.contains(':') { format!("[{}]", config.host) } else { config.host.clone() };
    format!("{}@{host}:{}", config.user, config.port)
}

/// Connects and logs in, host by host.
pub(crate) async fn connect(route: &Route, target: &Target, options: &ConnectOptions) -> Result<Link, ConnectionError> {
    let mut link: Option<Box<Link>> = None;
    for hop in &route.hops {
        let place = format!("{} on the way to {}", address(hop), target.name);
        link = Some(Box::new(step(link, hop, &place, None, target, options).await?));
    }
    step(link, &route.config, &route.place, target.password.as_deref(), target, options).await
}

/// One host of the chain. A new host key that is confirmed at the terminal leads to a second attempt, so that no time limit
/// runs while somebody thinks.
async fn step(
    through: Option<Box<Link>>,
    config: &Config,
    place: &str,
    password: Option<&str>,
    target: &Target,
    options: &ConnectOptions,
) -> Result<Link, ConnectionError> {
    let timeout = target.timeout.or(config.connect_timeout).unwrap_or(TIMEOUT);
    let mut confirmed = None;
    let mut handle = loop {
        let check = Arc::new(HostCheck::new(config, place, target.unknown_host_key, confirmed.clone()));
        let exchange = exchange(through.as_deref(), config, place, check);
        let exchanged = tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
            Err(ConnectionError::new(
                ConnectionErrorKind::Unreachable,
                format!("cannot reach {place}: no answer within {} s", timeout.as_secs_f64()),
            )
            .hint("check that the host is up and that no firewall is in the way"))
        })?;
        match exchanged {
            Exchanged::Handle(handle, new) => {
                if let Some(key) = new {
                    host_key::remember(config, &key)?;
                }
                break handle;
            }
            Exchanged::New(key) => {
                let asks = target.unknown_host_key == UnknownHostKey::Ask && config.strict != Strict::Yes;
                if !(asks && confirm(host_key::question(&key, place), options).await) {
                    return Err(host_key::unknown(&key, config, place));
                }
                confirmed = Some(key);
            }
        }
    };
    auth::log_in(&mut handle, config, password, options, place).await?;
    Ok(Link { handle, _through: through })
}

/// Asks the person at the terminal, one question at a time, on a thread that may wait.
async fn confirm(question: String, options: &ConnectOptions) -> bool {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let prompter = Arc::clone(&options.prompter);
    tokio::task::spawn_blocking(move || prompter.confirm(&question)).await.ok().flatten() == Some(true)
}

/// What came of a key exchange.
enum Exchanged {
    /// A trusted host, and its key if it is new.
    Handle(Handle<Client>, Option<russh::keys::PublicKey>),
    /// A host whose key is in no file.
    New(russh::keys::PublicKey),
}

async fn exchange(
    through: Option<&Link>,
    config: &Config,
    place: &str,
    check: Arc<HostCheck>,
) -> Result<Exchanged, ConnectionError> {
    let (stream, round_trip): (Box<dyn Stream>, _) = match (through, &config.proxy_command) {
        (Some(link), _) => {
            let opened = link
                .handle
                .channel_open_direct_tcpip(config.host.clone(), u32::from(config.port), "127.0.0.1", 0)
                .await;
            let channel = opened.map_err(|error| {
                ConnectionError::new(
                    ConnectionErrorKind::Unreachable,
                    format!(
                        "cannot reach {place}: the host before it does not connect to it ({})",
                        auth::lower(&error.to_string())
                    ),
                )
                .hint("check that the jump host allows TCP forwarding and that the target is up")
            })?;
            (Box::new(channel.into_stream()), None)
        }
        (None, Some(command)) => (stream::command(command, place)?, None),
        (None, None) => {
            let (stream, round_trip) = stream::tcp(&config.host, config.port, place).await?;
            (stream, Some(round_trip))
        }
    };
    let finding = Arc::new(Mutex::new(None));
    let settings = Arc::new(settings(&check, round_trip));
    let client = Client { check, finding: Arc::clone(&finding) };
    let connected = client::connect_stream(settings, stream, client).await;
    let finding = lock(&finding).take();
    match (connected, finding) {
        (_, Some(Finding::Refused(error))) => Err(error),
        (_, Some(Finding::New(key))) => Ok(Exchanged::New(key)),
        (Ok(handle), Some(Finding::Trusted(new))) => Ok(Exchanged::Handle(handle, new)),
        (Ok(_), None) => Err(not_ssh(place, "the host showed no key")),
        (Err(error), _) => Err(not_ssh(place, &auth::lower(&error.to_string()))),
    }
}

fn not_ssh(place: &str, why: &str) -> ConnectionError {
    ConnectionError::new(ConnectionErrorKind::Unreachable, format!("cannot start SSH with {place}: {why}"))
        .hint("check that sshd, and nothing else, listens there")
}

/// How much sshd may send that was not taken yet, in bytes. The default of 2 MiB allows 37 MB/s at 25 ms. Near, where sshd reads faster than
/// this end takes what comes, it would only keep that much in memory and move it about: 2 s of its processor for each GB with 16 MiB.
fn window(round_trip: Option<Duration>) -> u32 {
    let near = round_trip.is_some_and(|time| time < Duration::from_millis(3));
    if near { 4 << 20 } else { 16 << 20 }
}

/// What was measured to be fastest; see the names. The round trip is known where this machine connects by itself.
fn settings(check: &HostCheck, round_trip: Option<Duration>) -> client::Config {
    let algorithms = check.algorithms(&Preferred::DEFAULT.key);
    client::Config {
        window_size: window(round_trip),
        maximum_packet_size: 65_535,
        nodelay: true,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 3,
        preferred: Preferred {
            // AES has instructions of its own nearly everywhere.
            cipher: Cow::Borrowed(&[
                cipher::AES_256_GCM,
                cipher::AES_128_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_192_CTR,
                cipher::AES_128_CTR,
            ]),
            host_key_certificates: if check.has_authorities() {
                Cow::Owned(algorithms.clone())
            } else {
                Cow::Borrowed(&[])
            },
            key: Cow::Owned(algorithms),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_near_gets_the_small_window() {
        let window = |milliseconds: Option<u64>| window(milliseconds.map(Duration::from_millis)) >> 20;
        assert_eq!([Some(0), Some(2), Some(3), Some(25), None].map(window), [4, 4, 16, 16, 16]);
    }
}
