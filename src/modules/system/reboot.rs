//! `reboot`: restarts the host and waits until it is back. That it is another boot is told by the kernel's boot id.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::connection::{Answer, Frame};
use crate::modules::{
    ActionModule, Args, Context, Default, Failure, Gate, Host, Kind, Module, Opt, Outcome, Spec, Type,
};
use crate::sh;
use crate::value::Fields;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::Action(&Reboot) };

static SPEC: Spec = Spec {
    name: "reboot",
    fqcn: &["ansible.builtin.reboot"],
    summary: "Restarts the host and waits until it is back",
    options: &[
        Opt::new("pre_reboot_delay", Type::Int, "Seconds to wait first; less than 60 are none")
            .aliases(&["pre_reboot_delay_sec"])
            .default(Default::Int(0)),
        Opt::new("post_reboot_delay", Type::Int, "Seconds to wait after the command")
            .aliases(&["post_reboot_delay_sec"])
            .default(Default::Int(0)),
        Opt::new("reboot_timeout", Type::Int, "Seconds the restart, and then the test command, may take")
            .aliases(&["reboot_timeout_sec"])
            .default(Default::Int(600)),
        Opt::new("connect_timeout", Type::Int, "Seconds one attempt to connect may take")
            .aliases(&["connect_timeout_sec"]),
        Opt::new("test_command", Type::Str, "What must succeed for the host to count as back")
            .default(Default::Str("whoami")),
        Opt::new("msg", Type::Str, "What logged-in users read").default(Default::Str("Reboot initiated by Ansible")),
        Opt::new("search_paths", Type::StrList, "Where `shutdown` is looked for"),
        Opt::new("boot_time_command", Type::Str, "Prints something that is another thing after a restart")
            .default(Default::Str("cat /proc/sys/kernel/random/boot_id")),
        Opt::new("reboot_command", Type::Str, "Another command than `shutdown -r`"),
    ],
    ..Spec::NONE
};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(12);

struct Reboot;

impl ActionModule for Reboot {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            let local = cx.workstation.variable("ansible_connection")?;
            if local.is_some_and(|kind| matches!(kind.as_str(), Some("local" | "ansible.builtin.local"))) {
                let msg = "Running reboot with local connection would reboot the control node.";
                return Err(Failure::new(msg).field("elapsed", 0).field("rebooted", false));
            }
            if host.change(&["restart the host".to_owned()], &[]).await == Gate::CheckOnly {
                return Ok(Outcome::Changed(result(0)));
            }
            let before = boot_id(args, &host.probe(Frame::new(args.text("boot_time_command"))).await?)?;
            restart(args, host).await?;
            let start = Instant::now();
            pause(args.seconds("post_reboot_delay")).await;
            let failed =
                |msg: String| Failure::new(msg).field("rebooted", true).field("elapsed", start.elapsed().as_secs());
            let mut wait = Wait::new(args);
            while !is_back(args, host, &before).await {
                if !wait.again().await {
                    return Err(failed(timed_out(args, "last boot time check"))
                        .hint("the host may still be starting; look at its console"));
                }
            }
            let mut wait = Wait::new(args);
            while !passes_test(args, host).await {
                if !wait.again().await {
                    return Err(failed(timed_out(args, "post-reboot test command")));
                }
            }
            Ok(Outcome::Changed(result(start.elapsed().as_secs())))
        })
    }
}

fn result(elapsed: u64) -> Fields {
    Fields::from_iter([("rebooted".to_owned(), true.into()), ("elapsed".to_owned(), elapsed.into())])
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn timed_out(args: &Args, what: &str) -> String {
    format!("Timed out waiting for {what} (timeout={})", args.int("reboot_timeout").unwrap_or(0))
}

fn boot_id(args: &Args, answer: &Answer) -> Result<String, Failure> {
    if answer.ok() {
        return Ok(answer.stdout_text().trim().to_owned());
    }
    let (out, err) = (answer.stdout_text(), answer.stderr_text());
    let rc = answer.rc;
    Err(Failure::new(format!("reboot: failed to get host boot time info, rc: {rc}, stdout: {out}, stderr: {err}"))
        .hint(format!("`{}` must succeed on the host", args.text("boot_time_command"))))
}

/// Starts the restart. A connection that breaks while the command runs is what was asked for.
async fn restart(args: &Args, host: &dyn Host) -> Result<(), Failure> {
    let Ok(answer) = host.run(Frame::new(command(args))).await else { return Ok(()) };
    if answer.ok() {
        return Ok(());
    }
    let (out, err) = (answer.stdout_text(), answer.stderr_text());
    let msg = format!("Reboot command failed. Error was: '{}, {}'", out.trim(), err.trim());
    Err(Failure::new(msg).field("rebooted", false).field("elapsed", 0))
}

/// `shutdown -r`, or `reboot` where there is none (Alpine).
fn command(args: &Args) -> String {
    let mut paths = args.strings("search_paths");
    if paths.is_empty() {
        paths = ["/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(str::to_owned).to_vec();
    }
    let path = sh::quote(&paths.join(":"));
    if let Some(command) = args.str("reboot_command") {
        return format!("PATH=$PATH:{path}\n{command}\n");
    }
    let minutes = args.int("pre_reboot_delay").unwrap_or(0).max(0) / 60;
    format!(
        "PATH={path}:$PATH\n\
         if command -v shutdown >/dev/null; then shutdown -r {minutes} {}; \
         elif command -v reboot >/dev/null; then sleep {}; reboot; \
         else echo 'Unable to find command \"shutdown\"' >&2; exit 127; fi\n",
        sh::quote(args.text("msg")),
        minutes * 60
    )
}

async fn connect(args: &Args, host: &dyn Host) -> Result<(), Failure> {
    match args.int("connect_timeout").and_then(|seconds| seconds.try_into().ok()).filter(|seconds| *seconds > 0) {
        Some(limit) => tokio::time::timeout(Duration::from_secs(limit), host.reconnect())
            .await
            .unwrap_or_else(|_| Err(Failure::new("connecting took too long"))),
        None => host.reconnect().await,
    }
}

/// Whether the host answers from another boot.
async fn is_back(args: &Args, host: &dyn Host, before: &str) -> bool {
    host.progress("waiting for the host to come back");
    if connect(args, host).await.is_err() {
        return false;
    }
    let Ok(answer) = host.probe(Frame::new(args.text("boot_time_command"))).await else { return false };
    boot_id(args, &answer).is_ok_and(|now| !now.is_empty() && now != before)
}

/// Whether the test command succeeds.
async fn passes_test(args: &Args, host: &dyn Host) -> bool {
    if let Ok(answer) = host.probe(Frame::new(args.text("test_command"))).await {
        return answer.ok();
    }
    // Another restart may have cut the connection; if it cannot be made anew, the next attempt says so.
    let _ = connect(args, host).await;
    false
}

/// Pauses of 1, 2, 4, 8, 12, 12, … seconds until `reboot_timeout` is over.
struct Wait {
    end: Instant,
    next: Duration,
}

impl Wait {
    fn new(args: &Args) -> Self {
        Self { end: Instant::now() + args.seconds("reboot_timeout"), next: Duration::from_secs(1) }
    }

    /// Pauses; false when the time is over.
    async fn again(&mut self) -> bool {
        pause(self.next).await;
        self.next = after(self.next);
        Instant::now() < self.end
    }
}

/// The pause that follows a pause.
fn after(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use super::*;
    use crate::modules::{Diff, Workstation};
    use crate::template::FileOptions;
    use crate::value::Value;

    /// A host that is in its next boot as soon as it was told to restart.
    #[derive(Default)]
    struct Machine {
        check: bool,
        refuses: bool,
        boots: Mutex<u32>,
        asked: Mutex<Vec<String>>,
    }

    impl Machine {
        fn answer(&self, script: Frame) -> Answer {
            let boots = *self.boots.lock().unwrap();
            let stdout = if script.script.contains("boot_id") { format!("boot {boots}\n") } else { String::new() };
            self.asked.lock().unwrap().push(script.script);
            Answer { rc: 0, stdout: stdout.into_bytes(), stderr: vec![] }
        }
    }

    impl Host for Machine {
        fn probe(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
            Box::pin(async { Ok(self.answer(script)) })
        }

        fn probe_as<'a>(&'a self, _: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
            self.probe(script)
        }

        fn change<'a>(&'a self, _: &'a [String], _: &'a [Diff]) -> BoxFuture<'a, Gate> {
            Box::pin(async { if self.check { Gate::CheckOnly } else { Gate::Go } })
        }

        fn run(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>> {
            Box::pin(async move {
                if self.refuses {
                    return Ok(Answer { rc: 1, stdout: vec![], stderr: b"no\n".to_vec() });
                }
                *self.boots.lock().unwrap() += 1;
                self.asked.lock().unwrap().push(script.script);
                Err(Failure::new("the connection was lost"))
            })
        }

        fn run_as<'a>(&'a self, _: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>> {
            self.run(script)
        }

        fn upload<'a>(&'a self, _: &'a Path, _: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
            Box::pin(async { Err(Failure::new("nothing is uploaded")) })
        }

        fn progress(&self, _: &str) {}

        fn reconnect(&self) -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }
    }

    struct Nothing;

    impl Workstation for Nothing {
        fn find_file(&self, _: &str, name: &str) -> Result<PathBuf, Failure> {
            Err(Failure::new(name))
        }

        fn read_file(&self, path: &Path, _: bool) -> Result<Vec<u8>, Failure> {
            Err(Failure::new(path.display().to_string()))
        }

        fn render_file(&self, path: &Path, _: &str, _: &str, _: &FileOptions) -> Result<Value, Failure> {
            Err(Failure::new(path.display().to_string()))
        }

        fn fact(&self, _: &str) -> Value {
            Value::UNDEFINED
        }

        fn variable(&self, _: &str) -> Result<Option<Value>, Failure> {
            Ok(None)
        }
    }

    fn run(machine: &Machine) -> Result<Outcome, Failure> {
        let cx = Context { check: machine.check, diff: false, user: None, workstation: &Nothing };
        let args = crate::modules::validate::args(&SPEC, Fields::new()).unwrap();
        futures::executor::block_on(Reboot.run(&cx, &args, machine))
    }

    #[test]
    fn another_boot_and_a_passed_test_end_it() {
        let machine = Machine::default();
        let Ok(Outcome::Changed(result)) = run(&machine) else { panic!("not changed") };
        assert!(result.get("rebooted").is_some_and(Value::is_true));
        let asked = machine.asked.lock().unwrap();
        assert!(asked.iter().any(|script| script.contains("shutdown -r 0 'Reboot initiated by Ansible'")));
        assert_eq!(asked.last().map(String::as_str), Some("whoami"));
    }

    #[test]
    fn pauses_grow_up_to_the_longest_however_many_there_are() {
        let pauses: Vec<u64> = std::iter::successors(Some(Duration::from_secs(1)), |pause| Some(after(*pause)))
            .take(100)
            .map(|p| p.as_secs())
            .collect();
        assert_eq!(pauses.get(..6), Some([1, 2, 4, 8, 12, 12].as_slice()));
        assert!(pauses.iter().all(|pause| *pause <= 12));
    }

    #[test]
    fn a_plan_restarts_nothing() {
        let machine = Machine { check: true, ..Machine::default() };
        assert!(matches!(run(&machine), Ok(Outcome::Changed(_))));
        assert!(machine.asked.lock().unwrap().is_empty());
    }

    #[test]
    fn a_command_that_is_refused_is_a_failure() {
        let machine = Machine { refuses: true, ..Machine::default() };
        let failure = run(&machine).unwrap_err();
        assert_eq!(failure.msg, "Reboot command failed. Error was: ', no'");
    }
}
