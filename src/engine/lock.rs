//! One run at a time on a host: the lock that a run takes there before its first change.
//!
//! The lock is `~/.local/state/mms/lock` of the login user. It belongs to the persistent shell of that user on the target (process id,
//! start time, boot), so it ends with the connection however that ends: the next run sees that the shell is gone and breaks the
//! lock. A run that changes nothing takes none and pays nothing; one that changes something pays one round trip per host.
//!
//! A run that had to wait has seen the host as it was before the other run's changes, so it looks again ([`Held::Waited`]).

use std::time::{Duration, Instant};

use super::Engine;
use super::drive::{Site, Trouble};
use super::host::Host;
use crate::connection::{ConnectionError, ConnectionErrorKind, Frame};
use crate::diagnostic::Diagnostic;
use crate::event::Event;
use crate::sh;

/// How often a run that waits looks whether the other one has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// How long giving a lock back may take at the end of a run. One that stays is broken by the next run.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a run locks hosts.
#[derive(Debug, Clone)]
pub struct LockOptions {
    /// Who runs it: `user@workstation`.
    pub owner: String,
    /// What is run, for people. Holds no arguments: they may be secret.
    pub what: String,
    /// How long another run is waited for.
    pub patience: Duration,
}

/// What a lock says about the run that holds it.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct About {
    owner: String,
    what: String,
    since: String,
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known =
            |text: &'_ str, else_: &'static str| if text.is_empty() { else_.to_owned() } else { text.to_owned() };
        let (owner, what) = (known(&self.owner, "somebody"), known(&self.what, "a playbook"));
        write!(f, "{owner} runs {what} since {}", known(&self.since, "an unknown time"))
    }
}

/// How a lock was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It was free, or is this run's already, or none is needed.
    AtOnce,
    /// Another run had it: what was seen before may not hold any longer.
    Waited,
}

/// What the script that takes the lock answered.
enum Answered {
    Held,
    Busy(About),
    /// There is no place for a lock.
    Impossible(String),
}

impl Engine {
    /// Takes the lock of a host before a change, unless this run has it.
    pub(super) async fn hold(&self, site: &Site) -> Result<Held, Trouble> {
        let Some(options) = &self.parts.lock else { return Ok(Held::AtOnce) };
        if site.check {
            return Ok(Held::AtOnce);
        }
        let _one = site.host.locking.lock().await;
        if site.host.holds(&site.target) {
            return Ok(Held::AtOnce);
        }
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let about = About { owner: options.owner.clone(), what: options.what.clone(), since: now };
        let script = take(&self.run, &serde_json::to_string(&about).unwrap_or_default());
        let started = Instant::now();
        let mut waited = Held::AtOnce;
        loop {
            let answer = self.shell(site, None).await?.submit(Frame::new(script.as_str())).await?;
            match read(&answer.stdout_text()) {
                Answered::Held => break,
                Answered::Impossible(why) => {
                    let warning = Diagnostic::warning(format!("{} has no place for a lock: {why}", site.host.name()))
                        .hint("nothing keeps another run from working on it at the same time");
                    self.parts.sink.emit(Event::Warning(warning));
                    break;
                }
                Answered::Busy(other) if started.elapsed() >= options.patience => {
                    return Err(Trouble::Unreachable(refused(site.host.name(), &other, options.patience)));
                }
                Answered::Busy(other) => {
                    let host = site.owner.name().to_owned();
                    let text = format!("waiting for another run: {other}");
                    if waited == Held::AtOnce {
                        self.parts.sink.emit(Event::Message { host: host.clone(), text: text.clone() });
                    }
                    self.parts.sink.emit(Event::Live { host, line: text });
                    waited = Held::Waited;
                    tokio::time::sleep(PAUSE.min(options.patience.saturating_sub(started.elapsed()))).await;
                }
            }
        }
        site.host.note_held(&site.target);
        if waited == Held::Waited {
            self.changes.waited();
        }
        Ok(waited)
    }

    /// Gives the locks of a run back.
    pub(super) async fn let_go(&self, host: &Host) {
        let script =
            format!("{DIR}\nIFS= read -r l <\"$d/lock\" && [ \"${{l##* }}\" = {} ] && rm -f \"$d/lock\"\n:", self.run);
        for target in host.take_locked() {
            // Not over a connection that would have to be made for it.
            if !host.is_connected(&target) {
                continue;
            }
            let give_back = async {
                let connection = host.connection(self.parts.connector.as_ref(), &target).await?.0;
                connection.shell(None).await?.submit(Frame::new(script.as_str())).await
            };
            // One that stays belongs to a shell that is gone: nobody waits for it.
            let _: Result<_, _> = tokio::time::timeout(FAREWELL, give_back).await;
        }
    }
}

const DIR: &str = "d=$HOME/.local/state/mms";

/// The script that takes the lock for the shell it runs in. Its first word is `held`, `busy` or `impossible`.
///
/// The lock comes into being whole, by a hard link. Whoever finds one whose shell is gone must first make a directory named after that
/// shell: of several, one succeeds, and what it removes is still the lock that it has looked at.
fn take(run: &str, about: &str) -> String {
    format!(
        r#"{DIR}
umask 077
stat() {{
    {{ IFS= read -r l <"/proc/$1/stat"; }} 2>/dev/null || return 1
    set -- ${{l##*) }}
    start=${{20}}
    [ "$1" != Z ] && [ "$1" != X ]
}}
# seen: reads the lock; `there` is empty when there is none.
seen() {{
    there= pid= since= where= other= about=
    {{ there=1; IFS=' ' read -r pid since where other; IFS= read -r about; }} <"$d/lock"
}} 2>/dev/null
alive() {{ [ "$where" = "$boot" ] && stat "$pid" && [ "$start" = "$since" ]; }}
mkdir -p "$d" || {{ echo impossible; exit; }}
IFS= read -r boot </proc/sys/kernel/random/boot_id && stat $$ || {{ echo impossible; echo "there is no /proc" >&2; exit; }}
new=$d/.lock.$$
printf '%s\n%s\n' "$$ $start $boot {run}" {about} >"$new" || {{ echo impossible; exit; }}
turns=0
while ! ln "$new" "$d/lock" 2>/dev/null; do
    turns=$((turns + 1))
    seen
    if [ -z "$there" ]; then
        # It has just gone; or no link can be made here.
        [ $turns -lt 20 ] && continue
        echo impossible; rm -f "$new"; exit
    fi
    # Of this run, over another connection. What a reboot has left of it is broken like any other.
    if [ "$other" = {run} ] && alive; then break; fi
    if alive || [ $turns -ge 20 ]; then rm -f "$new"; echo busy; printf '%s\n' "$about"; exit; fi
    claim=$d/.broken.$pid.$since
    if mkdir "$claim" 2>/dev/null; then
        was="$pid $since $where"
        seen
        [ -n "$there" ] && [ "$pid $since $where" = "$was" ] && rm -f "$d/lock"
        rmdir "$claim"
    fi
done
rm -f "$new"
echo held
"#,
        about = sh::quote(about),
    )
}

fn read(answer: &str) -> Answered {
    let (word, rest) = answer.split_once('\n').unwrap_or((answer, ""));
    match word.trim() {
        "held" => Answered::Held,
        "busy" => Answered::Busy(serde_json::from_str(rest.trim()).unwrap_or_default()),
        _ => Answered::Impossible("its state directory cannot be written".to_owned()),
    }
}

fn refused(host: &str, other: &About, patience: Duration) -> ConnectionError {
    let message = format!("{host} is locked: {other}");
    ConnectionError::new(ConnectionErrorKind::Unreachable, message)
        .hint(format!(
            "it was waited for {} s; `--lock-timeout`, `lock_timeout` in mms.toml and MMS_LOCK_TIMEOUT change that",
            patience.as_secs()
        ))
        .hint("a lock ends with its run, however that ends: look there for a run that still goes on")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_holder_said_is_told() {
        let Answered::Busy(about) = read("busy\n{\"owner\":\"a@b\",\"what\":\"x\",\"since\":\"now\"}\n") else {
            panic!("it is busy");
        };
        assert_eq!(refused("web1", &about, PAUSE).message, "web1 is locked: a@b runs x since now");
        let Answered::Busy(about) = read("busy\nnot json") else { panic!("it is busy") };
        assert_eq!(about.to_string(), "somebody runs a playbook since an unknown time");
    }
}
