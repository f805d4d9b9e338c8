//! What a service's containers wrote: the command line of `mms logs`.

use crate::sh;

/// Which lines.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// How many lines from the end; all when not set.
    pub lines: Option<u32>,
    /// Keep showing new lines.
    pub follow: bool,
    /// Only lines since then, as journalctl understands it: `1 hour ago`, `today`, `2026-01-31 12:00`.
    pub since: Option<String>,
}

/// A script that prints the journal of containers, to be run as the login user who may become root (`as_root`), or as the
/// containers' user. Root reads the system's journal, which works also where users have no journal of their own.
pub fn script(containers: &[String], uid: u32, options: &LogOptions, as_root: bool) -> String {
    let mut words: Vec<String> = ["journalctl", "--no-pager", "--output=short-iso"].map(str::to_owned).to_vec();
    words.extend(options.lines.map(|lines| format!("--lines={lines}")));
    words.extend(options.since.as_ref().map(|since| format!("--since={since}")));
    if options.follow {
        words.push("--follow".to_owned());
    }
    if !as_root {
        words.push("--user".to_owned());
    }
    words.extend(matches(containers, uid));
    format!("exec {}", sh::join(words))
}

/// The journal's lines of containers: what they wrote (`CONTAINER_NAME`), and what `podman run` said when it could not start them,
/// which Quadlet gives the unit's name. Podman's own events are under another name and left out.
pub(super) fn matches<S: AsRef<str>>(containers: &[S], uid: u32) -> Vec<String> {
    let mut words = vec![];
    for name in containers {
        for field in ["CONTAINER_NAME", "SYSLOG_IDENTIFIER"] {
            if !words.is_empty() {
                words.push("+".to_owned());
            }
            words.extend([format!("_UID={uid}"), format!("{field}={}", name.as_ref())]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_users_type() {
        let options = LogOptions { lines: Some(5), follow: true, since: Some("1 hour ago".to_owned()) };
        assert_eq!(
            script(&["radarr".to_owned()], 1100, &options, true),
            "exec journalctl --no-pager --output=short-iso --lines=5 '--since=1 hour ago' --follow _UID=1100 \
             CONTAINER_NAME=radarr + _UID=1100 SYSLOG_IDENTIFIER=radarr"
        );
    }
}
