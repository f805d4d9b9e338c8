//! What `ssh` itself would do for a host: asked of `ssh -G`, which knows every keyword, `Include`, `Match` and default. Without
//! an `ssh` binary the plain defaults are taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::super::{ConnectionError, ConnectionErrorKind, Target};

/// The settings of one host that mms uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to connect to.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Private keys, best first; tokens and `~` are resolved.
    pub identity_files: Vec<PathBuf>,
    pub certificate_files: Vec<PathBuf>,
    /// Only keys of `identity_files`, also from the agent.
    pub identities_only: bool,
    /// The agent's socket; `None` is no agent.
    pub identity_agent: Option<PathBuf>,
    /// Hosts to go through, as `-J` has them.
    pub proxy_jump: Vec<String>,
    /// A command that carries the connection.
    pub proxy_command: Option<String>,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    pub hash_known_hosts: bool,
    /// The name to look for in known_hosts instead of the host's.
    pub host_key_alias: Option<String>,
    pub strict: Strict,
    pub connect_timeout: Option<Duration>,
}

/// `StrictHostKeyChecking`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Strict {
    Yes,
    #[default]
    Ask,
    AcceptNew,
    No,
}

impl Config {
    /// The settings for an inventory host. What the inventory says wins over the user's configuration.
    pub(crate) async fn of_target(target: &Target) -> Result<Self, ConnectionError> {
        let host = target.address.as_deref().unwrap_or(&target.name);
        let mut words: Vec<String> = Vec::new();
        if let Some(port) = target.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &target.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(key) = &target.private_key_file {
            // `-i` of a file that does not exist would be dropped, and the error could not name it.
            words.extend([
                "-o".to_owned(),
                format!("IdentityFile=\"{}\"", expand_home(&key.to_string_lossy()).display()),
            ]);
        }
        words.extend(target.ssh_args.iter().cloned());
        match Self::ask_ssh(&target.name, &words, host).await? {
            Some(config) => Ok(config),
            None if !target.ssh_args.is_empty() => Err(ConnectionError::new(
                ConnectionErrorKind::Unreachable,
                format!(
                    "cannot apply the ssh arguments of {}: there is no `ssh` on this machine to read them",
                    target.name
                ),
            )
            .hint("install the OpenSSH client, or remove `ansible_ssh_common_args` and `ansible_ssh_extra_args`")),
            None => {
                let mut config = Self::plain(host);
                config.port = target.port.unwrap_or(22);
                config.user = target.user.clone().unwrap_or(config.user);
                if let Some(key) = &target.private_key_file {
                    config.identity_files = vec![expand_home(&key.to_string_lossy())];
                }
                Ok(config)
            }
        }
    }

    /// The settings of a host to go through, `[user@]host[:port]` or an `ssh://` address. As with `ssh`, of the arguments for the
    /// host behind it only `-F` is taken over.
    pub(crate) async fn of_jump(hop: &str, target: &Target) -> Result<Self, ConnectionError> {
        let (user, host, port) = split_hop(hop).ok_or_else(|| {
            ConnectionError::new(
                ConnectionErrorKind::Unreachable,
                format!("cannot reach {}: `{hop}` is no host to jump through", target.name),
            )
        })?;
        let mut words = config_file_words(&target.ssh_args);
        if let Some(port) = port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(config) = Self::ask_ssh(&target.name, &words, &host).await? {
            return Ok(config);
        }
        let mut config = Self::plain(&host);
        config.port = port.unwrap_or(22);
        config.user = user.unwrap_or(config.user);
        Ok(config)
    }

    /// `None` when there is no `ssh`.
    async fn ask_ssh(name: &str, words: &[String], host: &str) -> Result<Option<Self>, ConnectionError> {
        let refused = |what: &str| {
            ConnectionError::new(
                ConnectionErrorKind::Unreachable,
                format!("cannot read the ssh settings of {name}: {what}"),
            )
            .hint("check `ansible_ssh_common_args`, `ansible_ssh_extra_args` and ~/.ssh/config")
        };
        if host.is_empty() || host.starts_with('-') {
            return Err(refused(&format!("`{host}` is no host name")));
        }
        let output =
            Command::new("ssh").arg("-G").args(words).arg("--").arg(host).stdin(std::process::Stdio::null()).output();
        let output = match output.await {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(&error.to_string())),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(refused(said.lines().find(|line| !line.trim().is_empty()).unwrap_or("`ssh -G` failed").trim()));
        }
        Ok(Some(Self::parse(&String::from_utf8_lossy(&output.stdout), host)))
    }

    /// Reads what `ssh -G` prints.
    pub(crate) fn parse(text: &str, asked: &str) -> Self {
        let mut config = Self::plain(asked);
        let mut identity_files = Vec::new();
        let mut agent: Option<String> = None;
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let files = || value.split(' ').filter(|word| !word.is_empty() && *word != "none").map(str::to_owned);
            match key {
                "hostname" => config.host = value.to_owned(),
                "port" => config.port = value.parse().unwrap_or(22),
                "user" => config.user = value.to_owned(),
                "identityfile" if value != "none" => identity_files.push(value.to_owned()),
                "certificatefile" if value != "none" => config.certificate_files.push(PathBuf::from(value)),
                "identitiesonly" => config.identities_only = value == "yes",
                "identityagent" => agent = Some(value.to_owned()),
                "proxyjump" if value != "none" => config.proxy_jump = value.split(',').map(str::to_owned).collect(),
                "proxycommand" if value != "none" => config.proxy_command = Some(value.to_owned()),
                "userknownhostsfile" => config.user_known_hosts = files().map(PathBuf::from).collect(),
                "globalknownhostsfile" => config.global_known_hosts = files().map(PathBuf::from).collect(),
                "hashknownhosts" => config.hash_known_hosts = value == "yes",
                "hostkeyalias" if value != "none" => config.host_key_alias = Some(value.to_owned()),
                "stricthostkeychecking" => {
                    config.strict = match value {
                        "true" | "yes" => Strict::Yes,
                        "false" | "no" | "off" => Strict::No,
                        "accept-new" => Strict::AcceptNew,
                        _ => Strict::Ask,
                    }
                }
                "connecttimeout" => {
                    config.connect_timeout = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs)
                }
                _ => {}
            }
        }
        config.identity_files = identity_files.into_iter().map(PathBuf::from).collect();
        for paths in [
            &mut config.identity_files,
            &mut config.certificate_files,
            &mut config.user_known_hosts,
            &mut config.global_known_hosts,
        ] {
            for path in paths {
                *path = expand_home(&tokens(&path.to_string_lossy(), asked, &config.host, config.port, &config.user));
            }
        }
        config.identity_agent = match agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => config.identity_agent,
            Some("none") => None,
            Some(value) => match value.strip_prefix('$') {
                Some(variable) => std::env::var_os(variable.trim_matches(['{', '}'])).map(PathBuf::from),
                None => Some(expand_home(&tokens(value, asked, &config.host, config.port, &config.user))),
            },
        };
        config.proxy_command =
            config.proxy_command.map(|command| tokens(&command, asked, &config.host, config.port, &config.user));
        config
    }

    /// What `ssh` does without any configuration.
    fn plain(host: &str) -> Self {
        let home = |name: &str| expand_home(&format!("~/.ssh/{name}"));
        Self {
            host: host.to_owned(),
            port: 22,
            user: std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
            identity_files: ["id_ed25519", "id_ecdsa", "id_rsa"].map(home).into(),
            certificate_files: Vec::new(),
            identities_only: false,
            identity_agent: std::env::var_os("SSH_AUTH_SOCK").filter(|value| !value.is_empty()).map(PathBuf::from),
            proxy_jump: Vec::new(),
            proxy_command: None,
            user_known_hosts: ["known_hosts", "known_hosts2"].map(home).into(),
            global_known_hosts: ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from).into(),
            hash_known_hosts: false,
            host_key_alias: None,
            strict: Strict::default(),
            connect_timeout: None,
        }
    }

    /// The host's name in known_hosts.
    pub(crate) fn known_as(&self) -> String {
        match &self.host_key_alias {
            Some(alias) => alias.to_lowercase(),
            None => super::known_hosts::name(&self.host, self.port),
        }
    }
}

/// The tokens that ssh_config(5) allows in paths and `ProxyCommand`.
fn tokens(text: &str, asked: &str, host: &str, port: u16, user: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some('h') => out.push_str(host),
            Some('n') => out.push_str(asked),
            Some('p') => out.push_str(&port.to_string()),
            Some('r') => out.push_str(user),
            Some('u') => out.push_str(&std::env::var("USER").unwrap_or_default()),
            Some('d') => out.push_str(&expand_home("~").to_string_lossy()),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

/// A path with a leading `~` replaced by the home directory.
fn expand_home(path: &str) -> PathBuf {
    let rest = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => return PathBuf::from(path),
    };
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    match rest.strip_prefix('/') {
        Some(rest) => home.join(rest),
        None => home,
    }
}

/// `[user@]host[:port]`, `[user@][v6 address]:port` or `ssh://…`.
fn split_hop(hop: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let hop = hop.trim().strip_prefix("ssh://").unwrap_or(hop.trim()).trim_end_matches('/');
    let (user, place) = match hop.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, hop),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            // More than one colon: an address without a port.
            Some((_, rest)) if rest.contains(':') => (place, None),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then(|| (user, host.to_owned(), port))
}

/// The `-F file` among the words, in both spellings.
fn config_file_words(words: &[String]) -> Vec<String> {
    let at = words.iter().position(|word| word.starts_with("-F"));
    match at.and_then(|at| words.get(at).map(|word| (at, word))) {
        Some((at, word)) if word == "-F" => words.get(at..at + 2).map(<[String]>::to_vec).unwrap_or_default(),
        Some((_, word)) => vec![word.clone()],
        None => Vec::new(),
    }
}

/// Whether a file is there to be written: `/dev/null` is how people say "nowhere".
pub(crate) fn is_nowhere(path: &Path) -> bool {
    path == Path::new("/dev/null")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ssh_prints() {
        let text = "user deploy\nhostname 10.0.0.9\nport 2222\nidentitiesonly yes\nhashknownhosts yes\nidentityfile /k/%r@%h\n\
                    identityfile /k/two\nuserknownhostsfile /a /b\nglobalknownhostsfile none\nproxyjump a@b:22,c\nstricthostkeychecking accept-new\n\
                    connecttimeout 7\nidentityagent none\nproxycommand nc %h %p\nhostkeyalias Alias\n";
        let config = Config::parse(text, "web1");
        assert_eq!((config.host.as_str(), config.port, config.user.as_str()), ("10.0.0.9", 2222, "deploy"));
        assert_eq!(config.identity_files, [PathBuf::from("/k/deploy@10.0.0.9"), PathBuf::from("/k/two")]);
        assert_eq!(config.user_known_hosts, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.global_known_hosts, Vec::<PathBuf>::new());
        assert_eq!(config.proxy_jump, ["a@b:22", "c"]);
        assert_eq!(config.proxy_command.as_deref(), Some("nc 10.0.0.9 2222"));
        assert_eq!((config.strict, config.identity_agent.clone()), (Strict::AcceptNew, None));
        assert_eq!(config.connect_timeout, Some(Duration::from_secs(7)));
        assert!(config.identities_only && config.hash_known_hosts);
        assert_eq!(config.known_as(), "alias");
    }

    #[test]
    fn hops_are_split() {
        let split = |hop| split_hop(hop).unwrap();
        assert_eq!(split("host"), (None, "host".into(), None));
        assert_eq!(split("me@host:2222"), (Some("me".into()), "host".into(), Some(2222)));
        assert_eq!(split("ssh://me@host:22/"), (Some("me".into()), "host".into(), Some(22)));
        assert_eq!(split("[fe80::1]:22"), (None, "fe80::1".into(), Some(22)));
        assert_eq!(split("fe80::1"), (None, "fe80::1".into(), None));
        assert_eq!(split_hop("me@:22"), None);
        assert_eq!(split_hop("host:port"), None);
    }
}
