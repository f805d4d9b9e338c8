//! `modprobe`: kernel modules, loaded now and at boot.

use regex::Regex;

use super::output;
use crate::connection::Answer;
use crate::modules::support::words;
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::Fields;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Modprobe) };

static SPEC: Spec = Spec {
    name: "modprobe",
    fqcn: &["community.general.modprobe"],
    summary: "Loads and unloads kernel modules",
    options: &[
        Opt::new("name", Type::Str, "The module").required(),
        Opt::new("state", Type::Str, "Whether it is loaded")
            .choices(&["absent", "present"])
            .default(Default::Str("present")),
        Opt::new("params", Type::Str, "Parameters for the module").default(Default::Str("")),
        Opt::new("persistent", Type::Str, "Whether it is loaded at boot; `disabled` leaves that alone")
            .choices(&["disabled", "present", "absent"])
            .default(Default::Str("disabled")),
    ],
    differs: "lines that are commented out get no blank lines after them",
    ..Spec::NONE
};

const LOAD: &str = "/etc/modules-load.d";
const OPTIONS: &str = "/etc/modprobe.d";
/// The script ends with this when the kernel did not do it.
const REFUSED: i32 = 71;

struct Modprobe;

/// What the host says: whether the module is loaded or built in, and the lines of the configuration files.
struct Seen {
    loaded: bool,
    /// Path and line, without its newline.
    lines: Vec<(String, String)>,
}

impl Seen {
    fn parse(text: &str) -> Self {
        let (loaded, files) = text.split_once('\0').unwrap_or((text, ""));
        let lines = files.lines().filter_map(|line| line.split_once(':'));
        Self {
            loaded: loaded.contains("loaded"),
            lines: lines.map(|(path, line)| (path.to_owned(), line.to_owned())).collect(),
        }
    }

    /// The files of a directory in which a line matches, with these lines commented out.
    fn disable(&self, directory: &str, matches: &impl Fn(&str) -> bool) -> Vec<(&str, String)> {
        let mut paths: Vec<&str> = vec![];
        for (path, line) in &self.lines {
            if path.starts_with(directory) && matches(line) && !paths.contains(&path.as_str()) {
                paths.push(path);
            }
        }
        let text = |path: &str| {
            let own = self.lines.iter().filter(|(other, _)| other == path);
            own.map(|(_, line)| format!("{}{line}\n", if matches(line) { "#" } else { "" })).collect()
        };
        paths.into_iter().map(|path| (path, text(path))).collect()
    }
}

impl StateModule for Modprobe {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let name = args.text("name");
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(look(name)))) };
        let seen = Seen::parse(&answer.stdout_text());
        let params = words::split(args.text("params"))?;
        let mut script = String::from("LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin\n");
        let mut summary = vec![];
        match (args.text("state"), seen.loaded) {
            ("present", false) => {
                let command = sh::join(["modprobe", name].into_iter().chain(params.iter().map(String::as_str)));
                script.push_str(&format!("{command} || exit {REFUSED}\n"));
                summary.push(format!("load {name}"));
            }
            ("absent", true) => {
                script.push_str(&format!("{} || exit {REFUSED}\n", sh::join(["modprobe", "-r", name])));
                summary.push(format!("unload {name}"));
            }
            _ => {}
        }
        self.at_boot(args, &seen, &mut script, &mut summary)?;
        let result = result(args);
        if summary.is_empty() {
            return Ok(Next::Ok(result));
        }
        let step = Step::judged(script);
        Ok(Next::Change(Change { summary, diff: vec![], steps: vec![step], result }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let Some(answer) = applied.iter().find(|answer| !answer.ok()) else { return Ok(change.result.clone()) };
        let mut failure = Failure::new(answer.stderr_text()).field("rc", 1);
        failure.fields.extend(result(args));
        output::add(&mut failure.fields, &answer.stdout_text(), &answer.stderr_text());
        Err(failure)
    }
}

impl Modprobe {
    fn at_boot(&self, args: &Args, seen: &Seen, script: &mut String, summary: &mut Vec<String>) -> Result<(), Failure> {
        let name = args.text("name");
        let escaped = regex::escape(name);
        let pattern = |text: String| Regex::new(&text).map_err(|error| Failure::new(error.to_string()));
        let named = pattern(format!(r"^ *{escaped} *(?:[#;].*)?$"))?;
        let option = pattern(format!(r"^options {escaped} (\w+=\S+) *(?:[#;].*)?$"))?;
        let is_named = |line: &str| named.is_match(line);
        let is_option = |line: &str| option.is_match(line);
        let listed = seen.lines.iter().any(|(path, line)| path.starts_with(LOAD) && is_named(line));
        let set = |values: Vec<&str>| -> std::collections::BTreeSet<String> {
            values.into_iter().map(str::to_owned).collect()
        };
        let option_lines = seen.lines.iter().filter(|(path, _)| path.starts_with(OPTIONS));
        let current = set(option_lines.filter_map(|(_, line)| Some(option.captures(line)?.get(1)?.as_str())).collect());
        let wanted = set(args.text("params").split_whitespace().collect());
        let mut write = |path: &str, text: &str| {
            let (path, text) = (sh::quote(path), sh::quote(text));
            script.push_str(&format!(
                "t=$(mktemp {path}.XXXXXX) && printf '%s' {text} >\"$t\" && chmod 644 \"$t\" && mv -f \"$t\" {path} || exit\n"
            ));
        };
        match args.text("persistent") {
            "present" => {
                if !listed {
                    write(&format!("{LOAD}/{name}.conf"), &format!("{name}\n"));
                    summary.push(format!("load {name} at boot"));
                }
                if current != wanted {
                    for (path, text) in seen.disable(OPTIONS, &is_option) {
                        write(path, &text);
                    }
                    let lines: Vec<String> = args
                        .text("params")
                        .split_whitespace()
                        .map(|param| format!("options {name} {param}\n"))
                        .collect();
                    let text = if lines.is_empty() { "\n".to_owned() } else { lines.concat() };
                    write(&format!("{OPTIONS}/{name}.conf"), &text);
                    summary.push(format!("parameters of {name}"));
                }
            }
            "absent" => {
                if listed {
                    for (path, text) in seen.disable(LOAD, &is_named) {
                        write(path, &text);
                    }
                    summary.push(format!("do not load {name} at boot"));
                }
                if !current.is_empty() {
                    for (path, text) in seen.disable(OPTIONS, &is_option) {
                        write(path, &text);
                    }
                    summary.push(format!("no parameters for {name}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn result(args: &Args) -> Fields {
    ["name", "params", "state"].into_iter().map(|key| (key.to_owned(), args.text(key).into())).collect()
}

fn look(name: &str) -> String {
    let own = sh::quote(&format!("^{} ", name.replace('-', "_")));
    let built_in = sh::quote(&format!("/{name}.ko"));
    format!(
        "LC_ALL=C; export LC_ALL; read -r k </proc/sys/kernel/osrelease\n\
         if grep -qs {own} /proc/modules || grep -qsF {built_in} \"/lib/modules/$k/modules.builtin\"; then printf loaded; fi\n\
         printf '\\0'\ngrep -sH '' {LOAD}/* {OPTIONS}/*\nexit 0\n"
    )
}
