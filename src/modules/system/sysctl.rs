//! `sysctl`: kernel parameters, in a file and in the running kernel.

use crate::connection::Answer;
use crate::modules::support::attrs::Plan;
use crate::modules::support::{Ask, FileState, result, stat, text, write::Write};
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::Fields;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Sysctl) };

static SPEC: Spec = Spec {
    name: "sysctl",
    fqcn: &["ansible.posix.sysctl"],
    summary: "Sets kernel parameters",
    options: &[
        Opt::new("name", Type::Str, "The parameter, with dots").required().aliases(&["key"]),
        Opt::new("value", Type::Str, "Its value").aliases(&["val"]),
        Opt::new("state", Type::Str, "Whether the file sets it")
            .choices(&["present", "absent"])
            .default(Default::Str("present")),
        Opt::new("reload", Type::Bool, "Load the file after a change").default(Default::Bool(true)),
        Opt::new("sysctl_set", Type::Bool, "Set the parameter in the kernel directly").default(Default::Bool(false)),
        Opt::new("ignoreerrors", Type::Bool, "Ignore parameters that the kernel does not know")
            .default(Default::Bool(false)),
        Opt::new("sysctl_file", Type::Path, "The file").default(Default::Str("/etc/sysctl.conf")),
    ],
    rules: &[Rule::If("state", "present", &["value"])],
    ..Spec::NONE
};

/// The script ends with these when the kernel did not take a value.
const SET: i32 = 71;
const RELOAD: i32 = 72;

struct Sysctl;

impl StateModule for Sysctl {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let name = args.text("name").trim();
        let present = args.text("state") == "present";
        let value = normal(args.text("value"));
        if name.is_empty() {
            return Err(Failure::new("name cannot be blank"));
        }
        if present && args.text("value").is_empty() {
            return Err(Failure::new("value cannot be blank"));
        }
        let Some(answer) = seen.first() else {
            let kernel = format!(
                "PATH=$PATH:/usr/sbin:/sbin LC_ALL=C sysctl -e -n {} 2>/dev/null; printf '\\0%s\\0' $?\n",
                sh::quote(name)
            );
            return Ok(Next::Probe(Probe::new(kernel + &Ask::new(args.text("sysctl_file")).content().probe().script)));
        };
        let (kernel, state) = read(answer)?;
        let content = state.content.as_deref().map(text::decode).unwrap_or_default();
        let file = File::read(&content, name, present.then_some(&value));
        let in_kernel = kernel.as_deref().is_some_and(|kernel| kernel.split_whitespace().eq(value.split_whitespace()));
        let write = match (&file.value, present) {
            (None, present) => present,
            (Some(current), false) => !current.is_empty(),
            (Some(current), true) => *current != value,
        };
        let nothing_to_remove = file.value.is_none() && !present;
        let stale = !write && !nothing_to_remove && args.bool("reload") && !in_kernel;
        let set = args.bool("sysctl_set") && present && !in_kernel;
        if !(write || stale || set) {
            return Ok(Next::Ok(Fields::new()));
        }
        let mut change = Change::default();
        let mut script = String::from("PATH=$PATH:/usr/sbin:/sbin; LC_ALL=C; export LC_ALL\n");
        let ignore = if args.bool("ignoreerrors") { "-e " } else { "" };
        let refused = "*'sysctl: setting key \"'*'\": Invalid argument'* | *'sysctl: setting key \"'*'\": Read-only file system'*";
        let run = |command: String, code: i32| {
            format!(
                "o=$({command} 2>&1 </dev/null) || {{ printf '%s\\n' \"$o\" >&2; exit {code}; }}\n\
                 case $o in {refused}) printf '%s\\n' \"$o\" >&2; exit {code} ;; esac\n"
            )
        };
        if set && kernel.is_some() {
            script.push_str(&run(format!("sysctl {ignore}-w {}", sh::quote(&format!("{name}={value}"))), SET));
            let before = kernel.as_deref().unwrap_or_default().trim();
            change.summary.push(format!("kernel: {name} {before} → {value}"));
        }
        let mut stdin = None;
        if write {
            let attrs = Plan::default();
            script.push_str(&format!("( {}\n) || exit\n", Write::new(&state, &attrs).script("cat >\"$t\"")?));
            let after = text::encode(&file.text);
            change.diff.push(result::content_diff(&state.path, state.content.as_deref(), &after));
            change.summary.push(format!("{}: {name}", state.path));
            stdin = Some(after);
        }
        if args.bool("reload") {
            script.push_str(&run(format!("sysctl {ignore}-p {}", sh::quote(&state.path)), RELOAD));
            change.summary.extend(stale.then(|| format!("load {}", state.path)));
        }
        change.steps.push(Step::Run { script, stdin, live: false, timeout: None, check: false });
        Ok(Next::Change(change))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        for answer in applied {
            let said = answer.stderr_text();
            match answer.rc {
                SET => return Err(Failure::new(format!("setting {} failed: {said}", args.text("name").trim()))),
                RELOAD => return Err(Failure::new(format!("Failed to reload sysctl: {said}"))),
                _ => result::check(answer)?,
            }
        }
        Ok(change.result.clone())
    }
}

/// What the kernel says (nothing when it cannot), and the file.
fn read(answer: &Answer) -> Result<(Option<String>, FileState), Failure> {
    let broken = || Failure::of_answer("cannot look at the parameter", answer);
    let mut parts = answer.stdout.splitn(3, |byte| *byte == 0);
    let (kernel, code, rest) = (parts.next(), parts.next(), parts.next());
    let (kernel, code, rest) = (kernel.ok_or_else(broken)?, code.ok_or_else(broken)?, rest.ok_or_else(broken)?);
    if code == b"127" {
        return Err(Failure::new("Failed to find required executable \"sysctl\" in paths"));
    }
    let (state, _) = stat::parse_one(rest).ok_or_else(broken)?;
    Ok(((code == b"0").then(|| String::from_utf8_lossy(kernel).into_owned()), state))
}

/// Booleans in every spelling are 1 and 0.
fn normal(value: &str) -> String {
    match value.to_lowercase().as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => "1".into(),
        "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => "0".into(),
        _ => value.trim().to_owned(),
    }
}

/// A file of `key=value` lines.
struct File {
    /// What it sets the parameter to; the last line counts.
    value: Option<String>,
    /// The text with the parameter set once, or not at all.
    text: String,
}

impl File {
    fn read(content: &str, name: &str, wanted: Option<&String>) -> Self {
        let mut value = None;
        let mut text = String::new();
        let mut seen: Vec<&str> = vec![];
        for line in content.lines().map(str::trim) {
            let pair = line.split_once('=').filter(|_| !line.starts_with(['#', ';']));
            let Some((key, set)) = pair.map(|(key, set)| (key.trim(), set.trim())) else {
                text.push_str(line);
                text.push('\n');
                continue;
            };
            if key == name {
                value = Some(set.to_owned());
            }
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            match wanted {
                _ if key != name => text.push_str(&format!("{key}={set}\n")),
                Some(wanted) => text.push_str(&format!("{key}={wanted}\n")),
                None => {}
            }
        }
        if let Some(wanted) = wanted.filter(|_| !seen.contains(&name)) {
            text.push_str(&format!("{name}={wanted}\n"));
        }
        Self { value, text }
    }
}
