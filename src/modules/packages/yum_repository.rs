//! `yum_repository`: a repository's section in a file of `/etc/yum.repos.d`.
//!
//! The file is written as Python's `configparser` writes it, with the options of the section in alphabetical order, so that a file that
//! Ansible wrote stays as it is.

use crate::connection::Answer;
use crate::modules::support::attrs::{Attrs, New, file_options};
use crate::modules::support::write::Write;
use crate::modules::support::{Ask, FileState, path, result, stat};
use crate::modules::{Args, Change, Context, Default, Diff, Failure, Next, Opt, Rule, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::Fields;

const fn text(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::Str, help)
}

const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::Bool, help)
}

/// The arguments of `yum_repository`.
pub static SPEC: Spec = Spec {
    name: "yum_repository",
    fqcn: &["ansible.builtin.yum_repository", "ansible.legacy.yum_repository"],
    summary: "Adds or removes a repository of dnf.",
    options: file_options![
        text("name", "The repository's id.").required(),
        text("state", "What is wanted.").default(Default::Str("present")).choices(&["present", "absent"]),
        text("description", "The repository's name for people."),
        text("file", "The file without `.repo`; the id when not set."),
        Opt::new("reposdir", Type::Path, "The directory of the file.").default(Default::Str("/etc/yum.repos.d")),
        flag("async", "As in dnf.conf(5)."),
        text("bandwidth", "As in dnf.conf(5)."),
        Opt::new("baseurl", Type::StrList, "URLs of the repository."),
        text("cost", "As in dnf.conf(5)."),
        flag("countme", "As in dnf.conf(5)."),
        text("deltarpm_metadata_percentage", "As in dnf.conf(5)."),
        text("deltarpm_percentage", "As in dnf.conf(5)."),
        flag("enabled", "Whether the repository is used."),
        flag("enablegroups", "As in dnf.conf(5)."),
        Opt::new("exclude", Type::StrList, "Packages to leave out.").aliases(&["excludepkgs"]),
        text("failovermethod", "As in yum.conf(5).").choices(&["roundrobin", "priority"]),
        text("gpgcakey", "As in yum.conf(5)."),
        flag("gpgcheck", "Whether signatures of packages are checked."),
        Opt::new("gpgkey", Type::StrList, "URLs of keys."),
        text("http_caching", "As in yum.conf(5).").choices(&["all", "packages", "none"]),
        text("include", "As in yum.conf(5)."),
        Opt::new("includepkgs", Type::StrList, "The only packages to take."),
        text("ip_resolve", "As in dnf.conf(5).").choices(&["4", "6", "IPv4", "IPv6", "whatever"]),
        flag("keepalive", "As in yum.conf(5)."),
        text("keepcache", "As in dnf.conf(5).").choices(&["0", "1"]),
        text("metadata_expire", "As in dnf.conf(5)."),
        text("metadata_expire_filter", "As in yum.conf(5).").choices(&[
            "never",
            "read-only:past",
            "read-only:present",
            "read-only:future",
        ]),
        text("metalink", "The URL of a metalink."),
        text("mirrorlist", "The URL of a list of mirrors."),
        text("mirrorlist_expire", "As in yum.conf(5)."),
        flag("module_hotfixes", "As in dnf.conf(5)."),
        text("password", "A password for the repository.").no_log(),
        text("priority", "As in dnf.conf(5)."),
        flag("protect", "As in yum.conf(5)."),
        text("proxy", "A proxy."),
        text("proxy_password", "The proxy's password.").no_log(),
        text("proxy_username", "The proxy's user."),
        flag("repo_gpgcheck", "Whether the signature of the metadata is checked."),
        text("retries", "As in dnf.conf(5)."),
        flag("s3_enabled", "As in yum.conf(5)."),
        flag("skip_if_unavailable", "As in dnf.conf(5)."),
        flag("ssl_check_cert_permissions", "As in yum.conf(5)."),
        text("sslcacert", "As in dnf.conf(5).").aliases(&["ca_cert"]),
        text("sslclientcert", "As in dnf.conf(5).").aliases(&["client_cert"]),
        text("sslclientkey", "As in dnf.conf(5).").aliases(&["client_key"]),
        flag("sslverify", "As in dnf.conf(5).").aliases(&["validate_certs"]),
        text("throttle", "As in dnf.conf(5)."),
        text("timeout", "As in dnf.conf(5)."),
        text("ui_repoid_vars", "As in yum.conf(5)."),
        text("username", "A user for the repository."),
    ],
    rules: &[Rule::If("state", "present", &["description"])],
    ..Spec::NONE
};

/// Arguments that are not options of the repository.
const OWN: [&str; 14] = [
    "name",
    "state",
    "description",
    "file",
    "reposdir",
    "mode",
    "owner",
    "group",
    "seuser",
    "serole",
    "setype",
    "selevel",
    "attributes",
    "unsafe_writes",
];

/// `yum_repository`.
pub struct YumRepository;

impl StateModule for YumRepository {
    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let present = args.text("state") == "present";
        if present && !["baseurl", "mirrorlist", "metalink"].iter().any(|name| args.get(name).is_some()) {
            return Err(Failure::new(
                "state is present but any of the following are missing: baseurl, mirrorlist, metalink",
            ));
        }
        let id = args.text("name");
        let file = format!("{}.repo", args.str("file").unwrap_or(id));
        let attrs = Attrs::of(args);
        let Some(answer) = seen.first() else {
            let directory = Ask::new(args.text("reposdir"));
            let ask = attrs.ask(Ask::new(path::join(args.text("reposdir"), &file)).content());
            return Ok(Next::Probe(stat::probe(&[directory, ask])));
        };
        let states = stat::parse_many(answer)?;
        let [directory, state] = &states[..] else {
            return Err(Failure::of_answer("the target's answer makes no sense", answer));
        };
        if !directory.is_dir() {
            return Err(Failure::missing(format!("Repo directory '{}' does not exist.", args.text("reposdir"))));
        }
        let old = state.content.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let mut repositories = Repositories::parse(old.as_deref().unwrap_or_default())?;
        let before = repositories.dump();
        repositories.sections.retain(|section| section.name != id);
        if present {
            repositories.sections.push(Section { name: id.to_owned(), options: options(args) });
        }
        let after = repositories.dump();
        let mut result =
            Fields::from_iter([("repo".to_owned(), id.into()), ("state".to_owned(), args.text("state").into())]);
        let diff = Diff { before_header: state.path.clone(), after_header: state.path.clone(), before, after };
        let fields = [
            ("before_header", &diff.before_header),
            ("before", &diff.before),
            ("after_header", &diff.after_header),
            ("after", &diff.after),
        ];
        let shown = fields.map(|(name, text)| (name, crate::value::Value::from(text.as_str())));
        result.insert("diff".into(), crate::value::Value::from_pairs(shown));
        if diff.before == diff.after {
            return attributes_alone(&attrs, state, result);
        }
        let verb = if present { "write" } else { "remove" };
        let mut summary = vec![format!("{verb} repository {id} in {}", state.path)];
        let step = if repositories.sections.is_empty() {
            Step::run(format!("rm -f -- {}\n", sh::quote(&state.path)))
        } else {
            let plan = attrs.plan(state, state.stat.as_ref(), New::file(state.umask))?;
            summary.extend(plan.summary.iter().cloned());
            Write { unsafe_writes: args.bool("unsafe_writes"), ..Write::new(state, &plan) }
                .step(repositories.write().into_bytes())?
        };
        Ok(Next::Change(Change { summary, diff: vec![diff], steps: vec![step], result }))
    }

    fn finish(
        &self,
        _cx: &Context<'_>,
        _args: &Args,
        change: &Change,
        _seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        applied.iter().try_for_each(result::check)?;
        Ok(change.result.clone())
    }
}

fn attributes_alone(attrs: &Attrs, state: &FileState, result: Fields) -> Result<Next, Failure> {
    let Some(stat) = &state.stat else { return Ok(Next::Ok(result)) };
    let plan = attrs.plan(state, Some(stat), New::file(state.umask))?;
    if plan.is_empty() {
        return Ok(Next::Ok(result));
    }
    let place = sh::quote(&state.path);
    let script = format!("{}{}", plan.script(&place), plan.script_last(&place));
    let diff = result::attribute_diff(&state.path, &plan.before, &plan.after);
    Ok(Next::Change(Change { summary: plan.summary, diff: vec![diff], steps: vec![Step::run(script)], result }))
}

/// The repository's options in alphabetical order, as they are written.
fn options(args: &Args) -> Vec<(String, String)> {
    let mut options = vec![("name".to_owned(), args.text("description").to_owned())];
    for option in SPEC.options.iter().filter(|option| !OWN.contains(&option.name)) {
        let Some(value) = args.get(option.name).filter(|value| !value.is_none()) else { continue };
        let text = match (option.kind, option.name) {
            (Type::Bool, _) => i32::from(value.is_true()).to_string(),
            (Type::StrList, "baseurl" | "gpgkey") => args.strings(option.name).join("\n"),
            (Type::StrList, _) => args.strings(option.name).join(" "),
            _ => value.to_string(),
        };
        options.push((option.name.to_owned(), text));
    }
    options.sort();
    options
}

/// A file of repositories.
#[derive(Debug, PartialEq)]
struct Repositories {
    sections: Vec<Section>,
}

#[derive(Debug, PartialEq)]
struct Section {
    name: String,
    options: Vec<(String, String)>,
}

impl Repositories {
    /// Reads a file as Python's `configparser` does: comments are lost, indented lines go on, names of options are lower-case.
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut sections: Vec<Section> = vec![];
        let mut open = false;
        for (number, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                // An empty line ends no value: what is indented after it belongs to it still.
                if trimmed.is_empty()
                    && open
                    && let Some((_, value)) = sections.last_mut().and_then(|section| section.options.last_mut())
                {
                    value.push('\n');
                }
                continue;
            }
            if line.starts_with([' ', '\t'])
                && open
                && let Some((_, value)) = sections.last_mut().and_then(|section| section.options.last_mut())
            {
                value.push('\n');
                value.push_str(trimmed);
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
                sections.push(Section { name: name.to_owned(), options: vec![] });
                open = false;
                continue;
            }
            let split = trimmed.find(['=', ':']).map(|at| trimmed.split_at(at));
            let (Some((name, value)), Some(section)) = (split, sections.last_mut()) else {
                return Err(Failure::new(format!(
                    "line {} of the repository file is no option: {trimmed}",
                    number + 1
                ))
                .hint("mend the file by hand; it is written anew as a whole"));
            };
            let value = value.get(1..).unwrap_or_default().trim().to_owned();
            section.options.push((name.trim().to_lowercase(), value));
            open = true;
        }
        for (_, value) in sections.iter_mut().flat_map(|section| &mut section.options) {
            value.truncate(value.trim_end().len());
        }
        Ok(Self { sections })
    }

    /// The file as `configparser` writes it.
    fn write(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            text.push_str(&format!("[{}]\n", section.name));
            for (name, value) in &section.options {
                text.push_str(&format!("{name} = {}\n", value.replace('\n', "\n\t")));
            }
            text.push('\n');
        }
        text
    }

    /// Everything in alphabetical order: what Ansible compares and shows.
    fn dump(&self) -> String {
        let mut sections: Vec<&Section> = self.sections.iter().collect();
        sections.sort_by(|a, b| a.name.cmp(&b.name));
        let mut text = String::new();
        for section in sections {
            text.push_str(&format!("[{}]\n", section.name));
            let mut options: Vec<_> = section.options.iter().collect();
            options.sort();
            for (name, value) in options {
                text.push_str(&format!("{name} = {value}\n"));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_as_configparser_does() {
        let text = "# lost\n[b]\nName=B: x\nbaseurl = http://1\n\thttp://2\n\n[a]\nenabled: 1\n";
        let repositories = Repositories::parse(text).unwrap();
        assert_eq!(repositories.write(), "[b]\nname = B: x\nbaseurl = http://1\n\thttp://2\n\n[a]\nenabled = 1\n\n");
        assert_eq!(repositories.dump(), "[a]\nenabled = 1\n\n[b]\nbaseurl = http://1\nhttp://2\nname = B: x\n\n");
        assert!(Repositories::parse("enabled=1\n").is_err());
    }
}
