//! `mount`: `/etc/fstab` and what is mounted.

mod fstab;
mod mounted;

use crate::connection::Answer;
use crate::modules::support::attrs::Plan;
use crate::modules::support::{Ask, FileState, path, result, stat, text, write::Write};
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, Value};
use fstab::{Entry, Fstab};
use mounted::Mounted;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Mount) };

static SPEC: Spec = Spec {
    name: "mount",
    fqcn: &["ansible.posix.mount"],
    summary: "Mounts file systems and edits `/etc/fstab`",
    options: &[
        Opt::new("path", Type::Path, "Where it is mounted").required().aliases(&["name"]),
        Opt::new("src", Type::Path, "What is mounted: a device, a share, a directory"),
        Opt::new("fstype", Type::Str, "The type of the file system"),
        Opt::new("opts", Type::Str, "The options"),
        Opt::new("opts_no_log", Type::Bool, "Whether the options are secret").default(Default::Bool(false)),
        Opt::new("dump", Type::Str, "The fifth field").default(Default::Str("0")),
        Opt::new("passno", Type::Str, "The order in which it is checked").default(Default::Str("0")),
        Opt::new("boot", Type::Bool, "Mount it at boot; otherwise `noauto` is added").default(Default::Bool(true)),
        Opt::new("fstab", Type::Str, "Another file than `/etc/fstab`"),
        Opt::new("backup", Type::Bool, "Keep the file as it was").default(Default::Bool(false)),
        Opt::new("state", Type::Str, "What is wanted").required().choices(&[
            "absent",
            "absent_from_fstab",
            "mounted",
            "present",
            "unmounted",
            "remounted",
            "ephemeral",
        ]),
    ],
    rules: &[
        Rule::If("state", "mounted", &["src", "fstype"]),
        Rule::If("state", "present", &["src", "fstype"]),
        Rule::If("state", "ephemeral", &["src", "fstype"]),
    ],
    ..Spec::NONE
};

/// The script ends with these when that part of the work failed.
const UMOUNT: i32 = 71;
const RMDIR: i32 = 72;
const MKDIR: i32 = 73;
const MOUNT: i32 = 74;
const REMOUNT: i32 = 75;
const REMOUNT_OPTIONS: i32 = 76;

struct Mount;

impl StateModule for Mount {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let job = Job::of(args);
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(job.look()))) };
        let (mounted, fstab) = read(answer)?;
        let before = fstab.content.as_deref().map(text::decode).unwrap_or_default();
        let mut table = Fstab::parse(&before);
        let mut change = Change::default();
        let mut script = String::from("LC_ALL=C; export LC_ALL\n");
        let wanted = job.entry();
        let edited = match job.state {
            "absent" | "absent_from_fstab" => table.remove(&wanted, args.get("src").is_some()),
            "present" | "mounted" => table.set(&wanted, args.get("src").is_some()),
            _ => false,
        };
        let name = sh::quote(&job.path);
        let mut stdin = None;
        if edited {
            let attrs = Plan::default();
            // A restore after a failed mount needs the table as it was.
            script.push_str(&format!("f={}\n", sh::quote(&fstab.path)));
            if job.state == "mounted" {
                script.push_str(
                    "w=$(mktemp) || exit\ntrap 'rm -f -- \"$w\"' EXIT\n[ ! -e \"$f\" ] || cat \"$f\" >\"$w\" || exit\n",
                );
            }
            script.push_str(&format!("mkdir -p -- {} || exit\n", sh::quote(path::parent(&fstab.path))));
            let write = Write { backup: args.bool("backup"), ..Write::new(&fstab, &attrs) };
            script.push_str(&format!("( {}\n) || exit\n", write.script("cat >\"$t\"")?));
            let after = text::encode(&table.text());
            change.diff.push(result::content_diff(&fstab.path, fstab.content.as_deref(), &after));
            change.summary.push(format!("{}: {}", fstab.path, job.path));
            stdin = Some(after);
        }
        let fine = match job.state {
            "absent" if edited => {
                if mounted.anything() {
                    script.push_str(&format!("umount {name} >&2 || exit {UMOUNT}\n"));
                    change.summary.push(format!("unmount {}", job.path));
                }
                script.push_str(&format!("[ ! -e {name} ] || rmdir -- {name} || exit {RMDIR}\n"));
                false
            }
            "unmounted" if mounted.anything() => {
                script.push_str(&format!("umount {name} >&2 || exit {UMOUNT}\n"));
                change.summary.push(format!("unmount {}", job.path));
                false
            }
            "mounted" => job.mount(&mut script, &mut change, mounted.is_from(&wanted.src), edited),
            "ephemeral" => job.ephemeral(&mut script, &mut change, &mounted)?,
            "remounted" => {
                script.push_str(&job.remount());
                change.summary.push(format!("remount {}", job.path));
                false
            }
            _ => !edited,
        };
        if fine {
            return Ok(Next::Ok(job.result("")));
        }
        change.steps.push(Step::Run { script, stdin, live: false, timeout: None, check: false });
        change.result = job.result("");
        Ok(Next::Change(change))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        _: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let job = Job::of(args);
        let mut backup = String::new();
        for answer in applied {
            let said = answer.stderr_text();
            let name = &job.path;
            let msg = match answer.rc {
                UMOUNT => format!("Error unmounting {name}: {said}"),
                RMDIR => format!("Error rmdir {name}: {said}"),
                MKDIR => format!("Error making dir {name}: {said}"),
                MOUNT => format!("Error mounting {name}: {said}"),
                REMOUNT => format!("Error remounting {name}: {said}"),
                REMOUNT_OPTIONS => "Options were specified with remounted, but the remount command failed. Failing in order to \
                                    prevent an unexpected mount result. Try replacing this command with a \"state: unmounted\" \
                                    followed by a \"state: mounted\" using the full desired mount options instead."
                    .to_owned(),
                _ => {
                    result::check(answer)?;
                    let start = answer.stdout.windows(5).position(|window| window == b"path=");
                    let state = start.and_then(|start| stat::parse_one(answer.stdout.get(start..)?));
                    backup = state.and_then(|(state, _)| state.backup).unwrap_or(backup);
                    continue;
                }
            };
            return Err(Failure::of_answer(msg, answer));
        }
        let keeps = matches!(job.state, "present" | "mounted");
        Ok(job.result(if keeps { &backup } else { "" }))
    }
}

/// What is mounted at the path, and the table.
fn read(answer: &Answer) -> Result<(Mounted, FileState), Failure> {
    let broken = || Failure::of_answer("cannot look at what is mounted", answer);
    let end = answer.stdout.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
    let (head, rest) = answer.stdout.split_at(end);
    let (state, _) = stat::parse_one(rest.get(1..).unwrap_or_default()).ok_or_else(broken)?;
    Ok((Mounted::parse(&String::from_utf8_lossy(head)), state))
}

/// What a task asks for.
struct Job<'a> {
    args: &'a Args,
    state: &'a str,
    path: String,
    opts: String,
}

impl<'a> Job<'a> {
    fn of(args: &'a Args) -> Self {
        let mut opts = args.str("opts").unwrap_or("defaults").to_owned();
        if !args.bool("boot") {
            opts.push_str(",noauto");
        }
        Self { args, state: args.text("state"), path: args.text("path").to_owned(), opts }
    }

    fn fstab(&self) -> &str {
        self.args.str("fstab").unwrap_or("/etc/fstab")
    }

    fn look(&self) -> String {
        let name = path::word(&self.path);
        format!(
            "LC_ALL=C; export LC_ALL; p={name}\nprintf '%s\\n' \"$p\"\nstat -c '%d %i' -- \"$p\" \"$p/..\" 2>/dev/null\n\
             echo\ncat /proc/self/mountinfo\nprintf '\\0'\n{}",
            Ask::new(self.fstab()).content().probe().script
        )
    }

    fn entry(&self) -> Entry {
        let text = |name: &str| self.args.text(name).to_owned();
        Entry {
            src: text("src"),
            name: self.path.clone(),
            fstype: text("fstype"),
            opts: self.opts.clone(),
            dump: text("dump"),
            passno: text("passno"),
        }
    }

    fn table_flag(&self) -> String {
        match self.args.str("fstab") {
            Some(file) if file != "/etc/fstab" && self.state != "ephemeral" => format!(" -T {}", sh::quote(file)),
            _ => String::new(),
        }
    }

    fn ephemeral_flags(&self) -> String {
        if self.state != "ephemeral" {
            return String::new();
        }
        let opts = if self.opts == "defaults" { String::new() } else { format!(" -o {}", sh::quote(&self.opts)) };
        format!(" -t {}{opts} {}", sh::quote(self.args.text("fstype")), sh::quote(self.args.text("src")))
    }

    fn mount_command(&self) -> String {
        format!("mount{}{} {}", self.table_flag(), self.ephemeral_flags(), sh::quote(&self.path))
    }

    /// Remounts, or mounts anew where that cannot be done. Ends with [`REMOUNT`] when neither works.
    fn remount(&self) -> String {
        let asked = self.state == "remounted" && self.opts != "defaults";
        let opts = if asked { format!("remount,{}", self.opts) } else { "remount".to_owned() };
        let command = format!(
            "mount -o {}{}{} {}",
            sh::quote(&opts),
            self.table_flag(),
            self.ephemeral_flags(),
            sh::quote(&self.path)
        );
        if asked {
            return format!("{command} >&2 || exit {REMOUNT_OPTIONS}\n");
        }
        let (undo, code) = match self.state {
            "remounted" => ("", REMOUNT),
            "mounted" => ("undo; ", MOUNT),
            _ => ("", MOUNT),
        };
        format!(
            "{command} >/dev/null 2>&1 || {{ umount {} >&2 && {} >&2; }} || {{ {undo}exit {code}; }}\n",
            sh::quote(&self.path),
            self.mount_command()
        )
    }

    /// Whether there is nothing to do; otherwise adds it.
    fn mount(&self, script: &mut String, change: &mut Change, mounted: bool, edited: bool) -> bool {
        if mounted && !edited {
            return true;
        }
        let name = sh::quote(&self.path);
        let restore = if edited { "cat \"$w\" >\"$f\"; " } else { "" };
        let mut made = format!(
            "undo() {{ {restore}[ -z \"$made\" ] || ( cd / && rmdir -p -- \"$made\" ) 2>/dev/null; }}\nmade=\n\
             if [ ! -e {name} ]; then mkdir -p -- {name} || exit {MKDIR}; made={name}; fi\n"
        );
        // The table, which the script so far writes, comes between making the directory and mounting.
        made.push_str(script);
        *script = made;
        if mounted {
            script.push_str(&self.remount());
            change.summary.push(format!("remount {}", self.path));
        } else {
            script.push_str(&format!("{} >&2 || {{ undo; exit {MOUNT}; }}\n", self.mount_command()));
            change.summary.push(format!("mount {}", self.path));
        }
        false
    }

    fn ephemeral(&self, script: &mut String, change: &mut Change, mounted: &Mounted) -> Result<bool, Failure> {
        let source = self.args.text("src");
        let name = sh::quote(&self.path);
        if mounted.is_from(source) {
            if !mounted.same_source(source) {
                return Err(Failure::new(
                    "Ephemeral mount point is already mounted with a different source than the specified one. Failing in \
                     order to prevent an unwanted unmount or override operation. Try replacing this command with a \"state: \
                     unmounted\" followed by a \"state: ephemeral\", or use a different destination path.",
                ));
            }
            script.push_str(&self.remount());
            change.summary.push(format!("remount {}", self.path));
        } else {
            script.push_str(&format!(
                "if [ ! -e {name} ]; then mkdir -p -- {name} || exit {MKDIR}; fi\n{} >&2 || exit {MOUNT}\n",
                self.mount_command()
            ));
            change.summary.push(format!("mount {}", self.path));
        }
        Ok(false)
    }

    fn result(&self, backup: &str) -> Fields {
        let mut fields = Fields::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("name", self.path.as_str().into());
        set("opts", self.opts.as_str().into());
        for name in ["dump", "passno"] {
            set(name, self.args.text(name).into());
        }
        for name in ["src", "fstype"] {
            if let Some(text) = self.args.str(name) {
                set(name, text.into());
            }
        }
        set("fstab", self.fstab().into());
        let named = self.args.str("opts").is_some_and(|opts| opts.split(',').any(|opt| opt == "noauto"));
        set("boot", if self.args.bool("boot") { "yes" } else { "no" }.into());
        set("backup_file", backup.into());
        if self.args.bool("boot") && named {
            set("warnings", Value::from(vec!["Ignore the 'boot' due to 'opts' contains 'noauto'."]));
        }
        fields
    }
}
