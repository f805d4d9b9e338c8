//! `wait_for`: until a port, a file or the connections to a port are in a state.
//!
//! The target is asked again and again, so that the wait can be watched and broken off, and nothing is left running there.
//! Ports are tried with whatever the target has: bash, nc or curl.

mod drained;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::connection::{Answer, Frame};
use crate::modules::support::regex::{self, Flags};
use crate::modules::support::{Ask, FileState, path, result};
use crate::modules::{ActionModule, Args, Context, Default, Failure, Host, Opt, Outcome, Spec, Type};
use crate::sh;
use crate::value::{Fields, Value};

/// The arguments of `wait_for`.
pub static SPEC: Spec = Spec {
    name: "wait_for",
    fqcn: &["ansible.builtin.wait_for", "ansible.legacy.wait_for"],
    summary: "Waits for a port or a file.",
    options: &[
        Opt::new("host", Type::Str, "The host of the port, as the target names it.").default(Default::Str("127.0.0.1")),
        Opt::new("port", Type::Int, "The TCP port."),
        Opt::new("path", Type::Path, "The file."),
        Opt::new("search_regex", Type::Str, "What the file, or what the port says first, must match."),
        Opt::new("state", Type::Str, "What is waited for.")
            .default(Default::Str("started"))
            .choices(&["absent", "drained", "present", "started", "stopped"]),
        Opt::new("delay", Type::Int, "Seconds to wait before the first look.").default(Default::Int(0)),
        Opt::new("sleep", Type::Int, "Seconds between two looks.").default(Default::Int(1)),
        Opt::new("timeout", Type::Int, "Seconds after which it is given up.").default(Default::Int(300)),
        Opt::new("connect_timeout", Type::Int, "Seconds that one connection may take.").default(Default::Int(5)),
        Opt::new("msg", Type::Str, "The message when it is given up."),
        Opt::new("active_connection_states", Type::StrList, "Which connections are waited for with `drained`."),
        Opt::new("exclude_hosts", Type::StrList, "Hosts whose connections do not count with `drained`."),
    ],
    differs: "Needs bash, nc or curl on the target to try a port.",
    ..Spec::NONE
};

/// `wait_for`.
pub struct WaitFor;

impl ActionModule for WaitFor {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            if cx.check {
                let msg = "remote module (ansible.legacy.wait_for) does not support check mode";
                return Ok(Outcome::Skipped(Fields::from_iter([("msg".to_owned(), msg.into())])));
            }
            Task::new(args, host)?.run().await
        })
    }
}

struct Task<'a> {
    args: &'a Args,
    host: &'a dyn Host,
    state: &'a str,
    target: &'a str,
    port: Option<i64>,
    regex: Option<fancy_regex::Regex>,
    start: Instant,
    end: Instant,
}

/// What one look found.
#[derive(Default)]
struct Look {
    done: bool,
    groups: Vec<Value>,
    named: Vec<(String, Value)>,
}

impl<'a> Task<'a> {
    fn new(args: &'a Args, host: &'a dyn Host) -> Result<Self, Failure> {
        let fail = |msg: &str| Err(Failure::new(msg).field("elapsed", 0));
        let state = args.text("state");
        let (port, file) = (args.int("port"), args.str("path"));
        if port.is_some() && file.is_some() {
            return fail("port and path parameter can not both be passed to wait_for");
        }
        if file.is_some() && state == "stopped" {
            return fail("state=stopped should only be used for checking a port in the wait_for module");
        }
        if file.is_some() && state == "drained" {
            return fail("state=drained should only be used for checking a port in the wait_for module");
        }
        if args.get("exclude_hosts").is_some_and(|hosts| !hosts.is_none()) && state != "drained" {
            return fail("exclude_hosts should only be with state=drained");
        }
        let flags = Flags { multiline: true, ..Flags::default() };
        let regex = args.str("search_regex").map(|pattern| regex::compile(pattern, flags)).transpose()?;
        let start = Instant::now();
        let end = start + args.seconds("timeout");
        Ok(Self { args, host, state, target: args.text("host"), port, regex, start, end })
    }

    async fn run(&self) -> Result<Outcome, Failure> {
        sleep(self.args.seconds("delay")).await;
        let file = self.args.str("path");
        let mut look = Look::default();
        if self.port.is_none() && file.is_none() && self.state != "drained" {
            sleep(self.args.seconds("timeout")).await;
            look.done = true;
        }
        let mut seen = String::new();
        while !look.done {
            if Instant::now() >= self.end {
                return Err(self.gave_up());
            }
            look = match (self.port, file) {
                _ if self.state == "drained" => self.drained().await?,
                (Some(port), _) => self.port(port).await?,
                (None, Some(file)) => self.file(file, &mut seen).await?,
                (None, None) => Look { done: true, ..Look::default() },
            };
            if !look.done {
                let left = self.end.saturating_duration_since(Instant::now()).as_secs();
                self.host.progress(&format!("{}, {left} s left", self.what()));
                sleep(self.args.seconds("sleep")).await;
            }
        }
        let mut fields = Fields::from_iter([
            ("state".to_owned(), Value::from(self.state)),
            ("port".to_owned(), Value::from(self.port)),
            ("search_regex".to_owned(), Value::from(self.args.str("search_regex"))),
            ("match_groups".to_owned(), Value::from(look.groups)),
            ("match_groupdict".to_owned(), Value::from_pairs(look.named)),
            ("path".to_owned(), Value::from(file)),
            ("elapsed".to_owned(), self.start.elapsed().as_secs().into()),
        ]);
        if let Some(file) = file {
            let answer = self.host.probe(Frame::new(Ask::new(file).probe().script)).await?;
            let state = FileState::parse(&answer)?;
            fields.insert("path".into(), state.path.as_str().into());
            fields.insert("state".into(), "absent".into());
            result::add_path_info(&mut fields, &state);
        }
        Ok(Outcome::Ok(fields))
    }

    /// What is waited for, for people.
    fn what(&self) -> String {
        match (self.port, self.args.str("path")) {
            (Some(port), _) => format!("waiting for {}:{port} ({})", self.target, self.state),
            (None, Some(file)) => format!("waiting for {file} ({})", self.state),
            (None, None) => "waiting".to_owned(),
        }
    }

    fn gave_up(&self) -> Failure {
        let (host, regex) = (self.target, self.args.str("search_regex"));
        let msg = match (self.port, self.args.str("path"), self.state) {
            (port, _, "drained") => {
                let port = port.map_or_else(|| "None".to_owned(), |port| port.to_string());
                format!("Timeout when waiting for {host}:{port} to drain")
            }
            (Some(port), _, "absent" | "stopped") => format!("Timeout when waiting for {host}:{port} to stop."),
            (_, Some(file), "absent") => format!("Timeout when waiting for {file} to be absent."),
            (Some(port), ..) => match regex {
                Some(regex) => format!("Timeout when waiting for search string {regex} in {host}:{port}"),
                None => format!("Timeout when waiting for {host}:{port}"),
            },
            (_, file, _) => {
                let file = file.unwrap_or_default();
                match regex {
                    Some(regex) => format!("Timeout when waiting for search string {regex} in {file}"),
                    None => format!("Timeout when waiting for file {file}"),
                }
            }
        };
        Failure::new(self.args.str("msg").map_or(msg, str::to_owned)).field("elapsed", self.start.elapsed().as_secs())
    }

    /// Searches a text.
    fn search(&self, bytes: &[u8]) -> Result<Look, Failure> {
        let Some(regex) = &self.regex else { return Ok(Look { done: true, ..Look::default() }) };
        let text = String::from_utf8_lossy(bytes);
        let found = regex.captures(&text).map_err(|error| Failure::new(format!("the search failed: {error}")))?;
        let Some(captures) = found else { return Ok(Look::default()) };
        let group = |found: Option<fancy_regex::Match<'_>>| Value::from(found.map(|found| found.as_str().to_owned()));
        let named = regex.capture_names().flatten().map(|name| (name.to_owned(), group(captures.name(name))));
        Ok(Look { done: true, groups: captures.iter().skip(1).map(group).collect(), named: named.collect() })
    }

    async fn port(&self, port: i64) -> Result<Look, Failure> {
        let left = self.end.saturating_duration_since(Instant::now()).as_secs() + 1;
        let limit = self.args.int("connect_timeout").and_then(|n| u64::try_from(n).ok()).unwrap_or(5).clamp(1, left);
        let waits_for_stop = matches!(self.state, "absent" | "stopped");
        let banner = self.regex.is_some() && !waits_for_stop;
        let answer = self.host.probe(Frame::new(connect(self.target, port, limit, banner))).await?;
        match answer.rc {
            127 => Err(Failure::missing("cannot try a port: there is none of bash, nc and curl on the target")
                .hint("install one of them there")),
            rc if waits_for_stop => Ok(Look { done: rc != 0, ..Look::default() }),
            0 => self.search(&answer.stdout),
            _ => Ok(Look::default()),
        }
    }

    /// Looks at a file; its content is sent only when it has changed since the last look.
    async fn file(&self, file: &str, seen: &mut String) -> Result<Look, Failure> {
        let word = path::word(file);
        if self.state == "absent" {
            let answer = self.host.probe(Frame::new(format!("[ ! -e {word} ]\n"))).await?;
            return Ok(Look { done: answer.ok(), ..Look::default() });
        }
        if self.regex.is_none() {
            let answer = self.host.probe(Frame::new(format!("[ -e {word} ]\n"))).await?;
            return Ok(Look { done: answer.ok(), ..Look::default() });
        }
        let script = format!(
            "f={word}; [ -f \"$f\" ] || exit 1\ns=$(stat -Lc '%i %s %Y' -- \"$f\")\nprintf '%s\\n' \"$s\"\n\
             [ \"$s\" = {} ] || cat -- \"$f\"\n",
            sh::quote(seen)
        );
        let Answer { rc, stdout, .. } = self.host.probe(Frame::new(script)).await?;
        let end = stdout.iter().position(|byte| *byte == b'\n').unwrap_or(stdout.len());
        if rc != 0 {
            return Ok(Look::default());
        }
        *seen = String::from_utf8_lossy(stdout.get(..end).unwrap_or_default()).into_owned();
        self.search(stdout.get(end + 1..).unwrap_or_default())
    }

    async fn drained(&self) -> Result<Look, Failure> {
        let count = drained::count(self.args, self.host, self.port).await?;
        Ok(Look { done: count == 0, ..Look::default() })
    }
}

/// Shell text that succeeds when a connection is made; with `banner` it prints what the port says within the limit. Ends with
/// 127 when the target has nothing to connect with.
fn connect(host: &str, port: i64, limit: u64, banner: bool) -> String {
    let address = format!("{} {port}", sh::quote(host));
    let quoted = sh::quote(&if host.contains(':') {
        format!("telnet://[{host}]:{port}")
    } else {
        format!("telnet://{host}:{port}")
    });
    // BusyBox's nc has no -z. That nc or curl was ended by the limit after it had connected is no failure.
    let nc = format!("timeout {} nc -w {limit} {address} </dev/null; [ $? -ne 1 ]", limit + 1);
    let (bash, curl) = if banner {
        (
            "exec 3<>\"/dev/tcp/$0/$1\" && { cat <&3; :; }",
            format!("sleep {limit} | curl -q -s -m {limit} {quoted}; case $? in 0 | 28) ;; *) false ;; esac"),
        )
    } else {
        (
            "exec 3<>\"/dev/tcp/$0/$1\"",
            format!(
                "t=$(curl -q -s -o /dev/null -w '%{{time_connect}}' -m {limit} {quoted} </dev/null)\n\
                 case $t in '' | 0 | 0[.,]000000) false ;; esac"
            ),
        )
    };
    let ended =
        if banner { "rc=$?; [ \"$rc\" -ne 124 ] && [ \"$rc\" -ne 143 ] || rc=0; exit \"$rc\"" } else { "exit \"$?\"" };
    format!(
        "exec 2>/dev/null\nif command -v bash >/dev/null && command -v timeout >/dev/null; then\n\
         timeout {limit} bash -c {} {address}; {ended}\n\
         elif command -v nc >/dev/null && command -v timeout >/dev/null; then {nc}\n\
         elif command -v curl >/dev/null; then {curl}\nelse exit 127; fi\n",
        sh::quote(bash)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::modules::commands::harness;

    /// A directory with nothing but these programs, for the `PATH` of a target that has no others.
    fn only(programs: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for program in programs {
            let place = ["/bin", "/usr/bin"].iter().map(|bin| format!("{bin}/{program}"));
            let found = place.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap();
            std::os::unix::fs::symlink(found, dir.path().join(program)).unwrap();
        }
        dir
    }

    #[test]
    fn any_tool_tells_an_open_port_from_a_closed_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = i64::from(listener.local_addr().unwrap().port());
        let closed = {
            let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            i64::from(other.local_addr().unwrap().port())
        };
        for tools in [["bash", "timeout"], ["curl", "sleep"]] {
            let dir = only(&tools);
            for (port, up) in [(open, true), (closed, false)] {
                let script = format!("PATH={}\n{}", dir.path().display(), connect("127.0.0.1", port, 1, false));
                assert_eq!(harness::answer(&["/bin/sh"], &script, None).ok(), up, "{tools:?} {port}");
            }
        }
        let script = format!("PATH=/no/such\n{}", connect("127.0.0.1", open, 1, false));
        assert_eq!(harness::answer(&["/bin/sh"], &script, None).rc, 127);
    }

    #[test]
    fn what_a_port_says_is_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = i64::from(listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, b"SSH-2.0-x\r\n").unwrap();
        });
        let answer = harness::answer(&["/bin/sh"], &connect("127.0.0.1", port, 5, true), None);
        server.join().unwrap();
        assert_eq!((answer.rc, &*answer.stdout_text()), (0, "SSH-2.0-x\r\n"));
    }
}
