//! `deb822_repository`: a repository of apt in a file of its own, and the key it is signed with.

use crate::connection::Answer;
use crate::modules::support::attrs::{Attrs, New};
use crate::modules::support::write::{Write, attributes_step};
use crate::modules::support::{Ask, FileState, result, stat, text};
use crate::modules::{Args, Change, Context, Default, Diff, Failure, Next, Opt, Probe, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::{Fields, Value};

const KEYRINGS: &str = "/etc/apt/keyrings";

const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::Bool, help)
}

const fn list(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::StrList, help)
}

/// The arguments of `deb822_repository`.
pub static SPEC: Spec = Spec {
    name: "deb822_repository",
    fqcn: &["ansible.builtin.deb822_repository", "ansible.legacy.deb822_repository"],
    summary: "Adds or removes a repository of apt.",
    options: &[
        Opt::new("name", Type::Str, "The repository's name.").required(),
        Opt::new("state", Type::Str, "What is wanted.")
            .default(Default::Str("present"))
            .choices(&["present", "absent"]),
        Opt::new("mode", Type::Mode, "The permissions of the file.").default(Default::Str("0644")),
        flag("allow_downgrade_to_insecure", "As in sources.list(5)."),
        flag("allow_insecure", "As in sources.list(5)."),
        flag("allow_weak", "As in sources.list(5)."),
        list("architectures", "Architectures to take packages of."),
        flag("by_hash", "As in sources.list(5)."),
        flag("check_date", "As in sources.list(5)."),
        flag("check_valid_until", "As in sources.list(5)."),
        list("components", "Components such as `main`."),
        Opt::new("date_max_future", Type::Int, "As in sources.list(5)."),
        flag("enabled", "Whether the repository is used."),
        Opt::new("inrelease_path", Type::Str, "As in sources.list(5)."),
        list("languages", "As in sources.list(5)."),
        flag("pdiffs", "As in sources.list(5)."),
        Opt::new("signed_by", Type::Str, "The key: a path on the target, a URL, a fingerprint, or the key itself."),
        list("suites", "Suites such as `stable`."),
        list("targets", "As in sources.list(5)."),
        flag("trusted", "As in sources.list(5)."),
        list("types", "`deb`, `deb-src`."),
        list("uris", "URLs of the repository."),
        flag("install_python_debian", "Without effect: nothing is needed on the target."),
    ],
    ..Spec::NONE
};

/// Arguments that are not fields of the file.
const OWN: [&str; 3] = ["state", "mode", "install_python_debian"];

/// `deb822_repository`.
pub struct Deb822Repository;

impl StateModule for Deb822Repository {
    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let slug = slug(args.text("name"));
        let dest = format!("/etc/apt/sources.list.d/{slug}.sources");
        let keys = ["asc", "gpg"].map(|extension| format!("{KEYRINGS}/{slug}.{extension}"));
        let signed_by = args.str("signed_by");
        let Some(answer) = seen.first() else {
            let mut asks: Vec<Ask> = keys.iter().map(|key| Ask::new(key.as_str()).sha1()).collect();
            // The path that the key may be at; the file of the repository comes last, with its content.
            asks.push(Ask::new(signed_by.filter(|key| key.starts_with('/') && !key.contains('\n')).unwrap_or("/")));
            asks.push(Ask::new(dest.as_str()).content());
            return Ok(Next::Probe(stat::probe(&asks)));
        };
        let states = stat::parse_many(answer)?;
        let [asc, gpg, key_path, file] = &states[..] else {
            return Err(Failure::of_answer("the target's answer makes no sense", answer));
        };
        if args.text("state") == "absent" {
            return Ok(absent(&[file, asc, gpg], &dest, &keys[1]));
        }
        let mut steps = vec![];
        let mut summary = vec![];
        let mut key_filename = None;
        let mut signed = signed_by.map(str::to_owned);
        if let Some(key) = signed_by {
            if key_path.is_file() {
                key_filename = Some(key.to_owned());
            } else if key.contains("://") && !key.contains('\n') {
                let Some(answer) = seen.get(1) else { return Ok(Next::Probe(fetch(key))) };
                if !answer.ok() {
                    let why = answer.stderr_text();
                    return Err(Failure::missing(format!("Could not fetch signed_by key: {}", why.trim())));
                }
                let armored = String::from_utf8_lossy(&answer.stdout).contains("-----BEGIN PGP PUBLIC KEY BLOCK-----");
                let (path, state) = if armored { (&keys[0], asc) } else { (&keys[1], gpg) };
                let wanted = Attrs { mode: Some("0644".into()), ..Attrs::default() };
                let attrs = wanted.plan(state, state.stat.as_ref(), New::file(state.umask))?;
                if state.sum.as_deref() != Some(&text::sha1_hex(&answer.stdout)) {
                    summary.push(format!("write key {path}"));
                    steps.push(Step::run(format!("[ -d {KEYRINGS} ] || mkdir -m 0755 {KEYRINGS}\n")));
                    steps.push(Write::new(state, &attrs).step(answer.stdout.clone())?);
                } else if !attrs.is_empty() {
                    summary.extend(attrs.summary.iter().map(|change| format!("{path}: {change}")));
                    steps.push(Step::run(attrs.script(&sh::quote(path))));
                }
                key_filename = Some(path.clone());
                signed = key_filename.clone();
            }
        }
        let content = content(args, signed.as_deref());
        let attrs = Attrs { mode: args.str("mode").map(str::to_owned), ..Attrs::default() };
        let attrs = attrs.plan(file, file.stat.as_ref(), New::file(file.umask))?;
        let mut diff = vec![];
        let mut result = fields(Value::from(content.clone()), &dest, Value::from(key_filename));
        if file.content.as_deref() != Some(content.as_bytes()) {
            summary.push(format!("write {dest}"));
            diff.push(result::content_diff(&dest, file.content.as_deref(), content.as_bytes()));
            steps.push(Write::new(file, &attrs).step(content.into_bytes())?);
        } else if !attrs.is_empty() {
            summary.extend(attrs.summary.iter().cloned());
            diff.push(result::attribute_diff(&dest, &attrs.before, &attrs.after));
            steps.push(attributes_step(&dest, &attrs));
        } else {
            // At most the key changes.
            result::add_path_info(&mut result, file);
        }
        if steps.is_empty() {
            return Ok(Next::Ok(result));
        }
        Ok(Next::Change(Change { summary, diff, steps, result }))
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
        if change.result.contains_key("state") {
            return Ok(change.result.clone());
        }
        let mut fields = result::finish(change, applied)?;
        // What is told is the file of the repository, which is not kept beside the new one.
        fields.shift_remove("backup_file");
        Ok(fields)
    }
}

fn fields(repo: Value, dest: &str, key: Value) -> Fields {
    Fields::from_iter([("repo".to_owned(), repo), ("dest".to_owned(), dest.into()), ("key_filename".to_owned(), key)])
}

fn absent(states: &[&FileState], dest: &str, key: &str) -> Next {
    let there: Vec<&str> = states.iter().filter(|state| state.exists()).map(|state| state.path.as_str()).collect();
    let result = fields(Value::from(()), dest, key.into());
    if there.is_empty() {
        return Next::Ok(result);
    }
    let diff = states.iter().filter_map(|state| {
        let content = state.content.as_deref()?;
        Some(Diff { before_header: state.path.clone(), before: text::for_diff(content), ..Diff::default() })
    });
    Next::Change(Change {
        summary: there.iter().map(|path| format!("remove {path}")).collect(),
        diff: diff.collect(),
        steps: vec![Step::run(format!("rm -f -- {}\n", sh::join(&there)))],
        result,
    })
}

/// Writes what is at a URL to stdout.
fn fetch(url: &str) -> Probe {
    let url = sh::quote(url);
    Probe::new(format!("if command -v curl >/dev/null; then curl -q -fsSL -- {url}; else wget -q -O - -- {url}; fi\n"))
}

/// The name of the repository's files.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c == '_' || c.is_whitespace() {
            if !slug.ends_with(' ') {
                slug.push(' ');
            }
        } else {
            slug.push(c);
        }
    }
    slug.chars()
        .map(|c| if c == ' ' { '-' } else { c })
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .collect()
}

/// The file's content: fields in the order of the arguments' names.
fn content(args: &Args, signed_by: Option<&str>) -> String {
    let mut entries = vec![];
    for option in SPEC.options.iter().filter(|option| !OWN.contains(&option.name)) {
        let given = args.get(option.name).filter(|value| !value.is_none());
        let value = match (option.name, option.kind) {
            ("signed_by", _) => signed_by.map(str::to_owned),
            ("types", _) if given.is_none() => Some("deb".to_owned()),
            (_, Type::Bool) => given.map(|value| if value.is_true() { "yes" } else { "no" }.to_owned()),
            (_, Type::StrList) => given.map(|_| args.strings(option.name).join(" ")),
            _ => given.map(ToString::to_string),
        };
        entries.extend(value.map(|value| (option.name, value)));
    }
    entries.sort();
    entries.into_iter().fold(String::new(), |mut text, (name, value)| {
        let name = field_name(name);
        if value.contains('\n') {
            let lines = value.trim().lines().map(|line| if line.trim().is_empty() { "." } else { line.trim() });
            let lines: Vec<String> = lines.map(|line| format!("    {line}")).collect();
            text.push_str(&format!("{name}:\n{}\n", lines.join("\n")));
        } else {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    })
}

fn field_name(name: &str) -> String {
    match name {
        "name" => "X-Repolib-Name".to_owned(),
        "uris" => "URIs".to_owned(),
        name => {
            let words = name.split('_').map(|word| {
                let mut chars = word.chars();
                chars
                    .next()
                    .map(|first| format!("{}{}", first.to_ascii_uppercase(), chars.as_str()))
                    .unwrap_or_default()
            });
            words.collect::<Vec<_>>().join("-")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::commands::harness;
    use serde_json::json;

    #[test]
    fn writes_fields_as_ansible_does() {
        let args = json!({
            "name": "My  Repo_1 (x)", "uris": ["http://a", "http://b"], "suites": "stable", "components": ["main", "contrib"],
            "enabled": true, "check_valid_until": false, "date_max_future": 5, "signed_by": "-----BEGIN\n\n x\n-----END\n",
        });
        let args = harness::args(&SPEC, args);
        assert_eq!(slug(args.text("name")), "my-repo-1-x");
        let expected = "Check-Valid-Until: no\nComponents: main contrib\nDate-Max-Future: 5\nEnabled: yes\nX-Repolib-Name: My  Repo_1 (x)\n\
                        Signed-By:\n    -----BEGIN\n    .\n    x\n    -----END\nSuites: stable\nTypes: deb\nURIs: http://a http://b\n";
        let args = {
            let mut fields = args.fields().clone();
            fields.insert("suites".into(), vec!["stable"].into());
            Args::new(fields)
        };
        assert_eq!(content(&args, args.str("signed_by")), expected);
    }
}
