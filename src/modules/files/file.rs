//! `ansible.builtin.file`: files, directories and links with their attributes, without content.

mod links;
mod times;
mod tree;

use serde_json::{Map, Value as Json};

use crate::connection::Answer;
use crate::modules::support::attrs::{self, Attrs, New, file_options};
use crate::modules::support::{Ask, FileState, path, result, stat};
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Spec, StateModule, Step, Thing, Type};
use crate::sh;
use crate::value::Fields;
use times::Times;

/// Its arguments.
pub static SPEC: Spec = Spec {
    name: "file",
    fqcn: &["ansible.builtin.file", "ansible.legacy.file"],
    summary: "Makes or removes files, directories and links, and sets their attributes.",
    options: file_options![
        Opt::new("path", Type::Path, "What is managed.").required().aliases(&["dest", "name"]),
        Opt::new("state", Type::Str, "What is to be there; what is there already when not given.").choices(&[
            "absent",
            "directory",
            "file",
            "hard",
            "link",
            "touch",
        ]),
        Opt::new("src", Type::Path, "What a link points to."),
        Opt::new("recurse", Type::Bool, "Whether what is in a directory gets the attributes as well.")
            .default(Default::Bool(false)),
        Opt::new("force", Type::Bool, "Whether a link may point to nothing and replace a file.")
            .default(Default::Bool(false)),
        Opt::new("follow", Type::Bool, "Whether links are followed.").default(Default::Bool(true)),
        Opt::new("modification_time", Type::Str, "preserve, now or a time."),
        Opt::new("modification_time_format", Type::Str, "How it is written.").default(Default::Str("%Y%m%d%H%M.%S")),
        Opt::new("access_time", Type::Str, "preserve, now or a time."),
        Opt::new("access_time_format", Type::Str, "How it is written.").default(Default::Str("%Y%m%d%H%M.%S")),
    ],
    differs: "The diff of a directory that is removed does not list what is in it.",
    ..Spec::NONE
};

/// The module.
pub struct File;

/// A task and what is at its path.
pub(super) struct Task<'a> {
    args: &'a Args,
    state: FileState,
    times: Times,
}

impl StateModule for File {
    fn makes(&self, args: &Args) -> Vec<Thing> {
        match args.str("state") {
            Some("absent") => vec![],
            _ => vec![Thing::Path(args.text("path").trim_end_matches('/').to_owned())],
        }
    }

    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let times = Times::new(args)?;
        let src = args.str("src").filter(|src| !src.is_empty());
        let ask = |at: &str| {
            let mut ask = Attrs::of(args).ask(Ask::new(at));
            ask.extra = times.script();
            match src {
                Some(src) => stat::probe(&[ask, Ask::new(links::absolute(at, src, args.text("state")))]),
                None => ask.probe(),
            }
        };
        let Some(first) = seen.first() else {
            return Ok(Next::Probe(ask(args.text("path"))));
        };
        let mut answers = &seen[1..];
        let mut state = FileState::parse(first)?;
        let mut from = first;
        if let (Some(src), true) = (src, state.is_dir() && args.text("state") == "hard") {
            // The link goes into the directory, as with `ln`.
            let inside = path::join(&state.path, path::basename(src));
            let Some((answer, rest)) = answers.split_first() else {
                return Ok(Next::Probe(ask(&inside)));
            };
            state = FileState::parse(answer)?;
            (from, answers) = (answer, rest);
        }
        let previous = state.state();
        let wanted = match args.str("state") {
            Some(wanted) => wanted,
            None if previous != "absent" => previous,
            None if args.bool("recurse") => "directory",
            None => "file",
        };
        let fail = |msg: &str| Err(Failure::new(msg).field("path", state.path.as_str()));
        if args.bool("recurse") && wanted != "directory" {
            return fail("recurse option requires state to be 'directory'");
        }
        if src.is_some() && !matches!(wanted, "link" | "hard") {
            return fail("src option requires state to be 'link' or 'hard'");
        }
        let task = Task { args, times: times.at(&state, wanted), state };
        match wanted {
            "absent" => task.absent(),
            "directory" => task.directory(answers),
            "link" => task.link(cx, stat::parse_many(from)?.get(1)),
            "hard" => task.hard(stat::parse_many(from)?.get(1)),
            "touch" => task.touch(),
            _ => task.file(),
        }
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        for answer in applied {
            result::check(answer)?;
        }
        result::finish(change, applied)
    }
}

impl Task<'_> {
    fn absent(&self) -> Result<Next, Failure> {
        let path = &self.state.path;
        let mut fields = Fields::from([("path".to_owned(), path.as_str().into())]);
        fields.insert("state".into(), "absent".into());
        let previous = self.state.state();
        if previous == "absent" {
            return Ok(Next::Ok(fields));
        }
        if path.split('/').all(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Failure::new(format!("refusing to remove `{path}`")));
        }
        let command = if previous == "directory" { "rm -rf" } else { "rm -f" };
        // A slash at the end would remove what a link points to.
        let word = sh::quote(path.trim_end_matches('/'));
        Ok(Next::Change(Change {
            summary: vec![format!("removed ({previous})")],
            diff: vec![self.diff("absent", &attrs::Plan::default())],
            steps: vec![step(format!("{command} -- {word}\n"))],
            result: fields,
        }))
    }

    fn file(&self) -> Result<Next, Failure> {
        let task = self.followed();
        let state = &task.state;
        if !matches!(state.state(), "file" | "hard") {
            let msg = format!("file ({}) is {}, cannot continue", state.path, state.state());
            let failure = if state.exists() { Failure::new(msg) } else { Failure::missing(msg) };
            return Err(failure
                .field("path", state.path.as_str())
                .field("state", state.state())
                .hint("`state: touch` makes an empty file; copy and template make one with content"));
        }
        task.adjust("path", "file", Fields::new(), vec![])
    }

    fn touch(&self) -> Result<Next, Failure> {
        if self.state.exists() {
            let task = self.followed();
            let fields = Fields::from([("dest".to_owned(), self.state.path.as_str().into())]);
            return task.adjust("", "touch", fields, vec![]);
        }
        self.needs_parent()?;
        let path = &self.state.path;
        let plan = self.attrs().plan(&self.state, None, New::file(self.state.umask))?;
        let word = sh::quote(path);
        let script = format!(
            "p={word}; d=\n: >>\"$p\" || exit 1\n{}{}{}",
            plan.script("\"$p\""),
            self.times.set("\"$p\""),
            plan.script_last("\"$p\"")
        );
        let mut summary = vec!["created".to_owned()];
        summary.extend(plan.summary.iter().cloned());
        Ok(Next::Change(Change {
            summary,
            diff: vec![self.diff("touch", &plan)],
            steps: vec![looking(&script)],
            result: Fields::from([("dest".to_owned(), path.as_str().into())]),
        }))
    }

    fn directory(&self, answers: &[Answer]) -> Result<Next, Failure> {
        let task = self.followed();
        let state = &task.state;
        match state.state() {
            "absent" => task.make_directory(),
            "directory" if task.args.bool("recurse") => tree::recurse(&task, answers),
            "directory" => task.adjust("path", "directory", Fields::new(), vec![]),
            other => {
                Err(Failure::new(format!("{} already exists as a {other}", state.path))
                    .field("path", state.path.as_str()))
            }
        }
    }

    /// Makes the directory and those above it that are missing; each new one gets the attributes, as in Ansible.
    fn make_directory(&self) -> Result<Next, Failure> {
        let path = &self.state.path;
        let plan = self.attrs().plan(&self.state, None, New::directory(self.state.umask))?;
        let mut script = format!(
            "mms_make() {{\n[ ! -d \"$1\" ] || return 0\nmkdir -- \"$1\" || [ -d \"$1\" ] || exit 1\n{}{}}}\n",
            plan.script("\"$1\""),
            plan.script_last("\"$1\"")
        );
        let trimmed = path.trim_matches('/');
        let root = if path.starts_with('/') { "/" } else { "" };
        let ends = trimmed.match_indices('/').map(|(at, _)| at).chain([trimmed.len()]);
        for end in ends {
            script.push_str(&format!("mms_make {}\n", sh::quote(&plain(&format!("{root}{}", &trimmed[..end])))));
        }
        script.push_str(&format!("p={}; d=\n{}", sh::quote(&plain(path)), self.times.set("\"$p\"")));
        let mut summary = vec!["created (directory)".to_owned()];
        summary.extend(plan.summary.iter().cloned());
        Ok(Next::Change(Change {
            summary,
            diff: vec![self.diff("directory", &plan)],
            steps: vec![looking(&script)],
            result: Fields::from([("path".to_owned(), path.as_str().into())]),
        }))
    }

    /// Sets the attributes and times of something that exists, beside the steps that a module has already.
    fn adjust(&self, key: &str, wanted: &str, mut fields: Fields, steps: Vec<Step>) -> Result<Next, Failure> {
        let state = &self.state;
        if !key.is_empty() {
            fields.insert(key.to_owned(), state.path.as_str().into());
        }
        result::add_path_info(&mut fields, state);
        let plan = self.attrs().plan(state, state.lstat.as_ref(), New::default()).map_err(|mut failure| {
            failure.fields.insert("path".into(), state.path.as_str().into());
            result::add_path_info(&mut failure.fields, state);
            failure
        })?;
        if plan.is_empty() && self.times.is_empty() && steps.is_empty() {
            return Ok(Next::Ok(fields));
        }
        let mut change = Change { result: fields, steps, ..Change::default() };
        foretell(&mut change.result, &plan);
        change.summary.extend(plan.summary.iter().cloned());
        change.summary.extend(self.times.summary());
        change.diff.push(self.diff(wanted, &plan));
        if let Some(mode) = plan.mode {
            change.result.insert("mode".into(), crate::modules::support::mode::show(mode).into());
        }
        let script = format!(
            "p={}; d=\n{}{}{}",
            sh::quote(&plain(&state.path)),
            plan.script("\"$p\""),
            self.times.set("\"$p\""),
            plan.script_last("\"$p\"")
        );
        change.steps.push(looking(&script));
        Ok(Next::Change(change))
    }

    fn attrs(&self) -> Attrs {
        Attrs::of(self.args)
    }

    /// The same task at what a link leads to, if links are followed.
    fn followed(&self) -> Task<'_> {
        let state = if self.args.bool("follow") { self.state.followed() } else { self.state.clone() };
        Task { args: self.args, state, times: self.times.clone() }
    }

    fn needs_parent(&self) -> Result<(), Failure> {
        if self.state.parent {
            return Ok(());
        }
        let parent = path::parent(&self.state.path);
        Err(Failure::missing(format!("the directory {parent} does not exist"))
            .needs(Thing::Path(parent.to_owned()))
            .field("path", self.state.path.as_str()))
    }

    /// Ansible's diff: path and state, and the attributes that differ.
    fn diff(&self, wanted: &str, plan: &attrs::Plan) -> crate::modules::Diff {
        let (mut before, mut after): (Map<String, Json>, Map<String, Json>) = (plan.before.clone(), plan.after.clone());
        let previous = self.state.state();
        if previous != wanted {
            before.insert("state".into(), previous.into());
            after.insert("state".into(), wanted.into());
        }
        self.times.diff(&mut before, &mut after);
        result::attribute_diff(&self.state.path, &before, &after)
    }
}

/// What is known of the result before the change is made.
fn foretell(fields: &mut Fields, plan: &attrs::Plan) {
    for (key, id) in [("uid", plan.uid), ("gid", plan.gid)] {
        if let Some(id) = id {
            fields.insert(key.to_owned(), id.into());
        }
    }
}

fn plain(path: &str) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path.to_owned() }
}

/// A step whose failure [`result::check`] explains.
fn step(script: String) -> Step {
    Step::judged(script)
}

/// A step that ends with what is at `$p` now.
fn looking(script: &str) -> Step {
    step(format!("{}{script}mms_look\nprintf '\\0'\n", stat::PRELUDE))
}
