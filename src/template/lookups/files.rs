//! Lookups on files and commands of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Lookup;
use crate::error::Error;
use crate::template::FileOptions;
use crate::template::marker::{Eval, Stop, is_undefined};
use crate::template::{about, filters};
use crate::template::{file as template_file, password as random, py};
use crate::value::Value;

impl Lookup<'_, '_> {
    fn find(&self, dir: &str, name: &str) -> Eval<PathBuf> {
        let context = self.call.context;
        let found = context.engine.services.find_file(&*context.scope, dir, name);
        found.ok_or_else(|| {
            let hint = format!("it is looked for in the role's `{dir}` directory and beside the playbook");
            Stop::hint(format!("there is no file `{name}`"), hint)
        })
    }
}

fn read(path: &Path) -> Eval<String> {
    let bytes = std::fs::read(path).map_err(|error| Stop::Error(Error::io("read", path, &error)))?;
    String::from_utf8(bytes).map_err(|_| Stop::error(format!("`{}` is not text", path.display())))
}

pub fn file(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let lstrip = lookup.flag("lstrip", false)?;
    let rstrip = lookup.flag("rstrip", true)?;
    let mut out = vec![];
    for name in lookup.texts()? {
        let text = read(&lookup.find("files", &name)?)?;
        let text = if lstrip { text.trim_start() } else { &text };
        out.push(Value::from(if rstrip { text.trim_end() } else { text }));
    }
    Ok(out)
}

pub fn template(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut options = FileOptions::default();
    options.trim_blocks = lookup.flag("trim_blocks", options.trim_blocks)?;
    options.lstrip_blocks = lookup.flag("lstrip_blocks", options.lstrip_blocks)?;
    for (name, marker) in [
        ("variable_start_string", &mut options.variable.0),
        ("variable_end_string", &mut options.variable.1),
        ("block_start_string", &mut options.block.0),
        ("block_end_string", &mut options.block.1),
        ("comment_start_string", &mut options.comment.0),
        ("comment_end_string", &mut options.comment.1),
    ] {
        if let Some(value) = lookup.call.named(name) {
            *marker = py::text(&value)?;
        }
    }
    let mut more = indexmap::IndexMap::new();
    if let Some(vars) = lookup.call.named("template_vars").filter(|vars| !vars.is_none()) {
        let pairs = py::pairs(&vars)
            .ok_or_else(|| Stop::error(format!("`template_vars` must be a mapping, not {}", py::described(&vars))))?;
        for (name, value) in pairs {
            more.insert(py::text(&name)?, value);
        }
    }
    lookup.call.named("convert_data");
    lookup.call.named("jinja2_native");
    let mut out = vec![];
    for name in lookup.texts()? {
        let path = lookup.find("templates", &name)?;
        let source = template_file::read(&path)?;
        let scope = about::scope(&lookup.call.context.scope, &name, &path, None, more.clone());
        let context = lookup.call.context.within(&scope);
        let rendered = template_file::render(&context, &source, &options);
        context.clear();
        out.push(rendered?);
    }
    Ok(out)
}

pub fn fileglob(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut out = vec![];
    for pattern in lookup.texts()? {
        let (dir, name) = pattern.rsplit_once('/').map_or(("", pattern.as_str()), |(dir, name)| (dir, name));
        let dir = match dir {
            "" if pattern.starts_with('/') => "/".to_owned(),
            dir if dir.starts_with('/') => dir.to_owned(),
            // The pattern's directory is found as a file of the role is.
            dir => match lookup.find("files", if dir.is_empty() { "." } else { dir }) {
                Ok(path) => path.display().to_string(),
                Err(_) => continue,
            },
        };
        let found = filters::glob(&format!("{}/{name}", dir.trim_end_matches('/')));
        out.extend(found.into_iter().filter(|path| Path::new(path).is_file()).map(Value::from));
    }
    Ok(out)
}

pub fn first_found(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut skip = lookup.flag("skip", false)?;
    let mut names: Vec<(String, Vec<String>)> = vec![];
    let mut terms = lookup.terms.clone();
    if let Some(files) = lookup.call.named("files") {
        let paths = lookup.call.named("paths").unwrap_or_else(|| Value::from(""));
        terms.push(Value::from_pairs([("files", files), ("paths", paths)]));
    }
    let mut queue: std::collections::VecDeque<Value> = terms.into();
    while let Some(term) = queue.pop_front() {
        if is_undefined(&term) {
            continue;
        }
        if py::is_list(&term) {
            for (index, item) in py::iterate(&term)?.into_iter().enumerate() {
                queue.insert(index.min(queue.len()), item);
            }
        } else if py::pairs(&term).is_some() {
            skip |= py::truth(&term.get_attr("skip")?)?;
            let paths = several(&term.get_attr("paths")?)?;
            for name in several(&term.get_attr("files")?)? {
                names.push((name, paths.clone()));
            }
        } else {
            names.push((py::text(&term)?, vec![]));
        }
    }
    for (name, paths) in &names {
        let candidates: Vec<String> = match paths.is_empty() {
            true => vec![name.clone()],
            false => paths.iter().map(|path| format!("{}/{name}", path.trim_end_matches('/'))).collect(),
        };
        for candidate in candidates {
            for dir in ["files", "templates", "vars"] {
                if let Ok(path) = lookup.find(dir, &candidate) {
                    return Ok(vec![Value::from(path.display().to_string())]);
                }
            }
        }
    }
    if skip {
        return Ok(vec![]);
    }
    let list: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    Err(Stop::hint(format!("none of these files exists: {}", list.join(", ")), "`skip=True` makes that an empty list"))
}

/// One name, or several in a list or separated by commas.
fn several(value: &Value) -> Eval<Vec<String>> {
    if value.is_undefined() || value.is_none() {
        return Ok(vec![]);
    }
    match value.as_str() {
        Some(text) => {
            Ok(text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        None => py::iterate(value)?.iter().map(py::text).collect(),
    }
}

fn shell(command: &str) -> Eval<String> {
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .output()
        .map_err(|error| Stop::error(format!("`{command}` cannot be run: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        return Err(Stop::error(format!("`{command}` failed ({status}): {}", stderr.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

pub fn pipe(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    lookup.texts()?.iter().map(|command| shell(command).map(Value::from)).collect()
}

pub fn lines(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut out = vec![];
    for command in lookup.texts()? {
        out.extend(shell(&command)?.lines().map(|line| Value::from(line.trim_end())));
    }
    Ok(out)
}

/// A longer password is a slip.
const LONGEST: usize = 1 << 16;

/// `lookup('password', 'path length=20 chars=ascii_letters,digits')`: made once, kept in the file.
pub fn password(lookup: &mut Lookup<'_, '_>) -> Eval<Vec<Value>> {
    let mut out = vec![];
    let named = std::mem::take(&mut lookup.call.kwargs);
    for term in lookup.texts()? {
        let mut words = term.split_whitespace();
        let path = words.next().unwrap_or_default().to_owned();
        let (mut length, mut chars) = (20, "ascii_letters,digits,.,_,:,-".to_owned());
        let mut options: Vec<(String, String)> = vec![];
        options.extend(words.filter_map(|word| word.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
        for (key, value) in &named {
            let value = if py::is_list(value) {
                py::iterate(value)?.iter().map(py::text).collect::<Eval<Vec<_>>>()?.join(",")
            } else {
                py::text(value)?
            };
            options.push((key.clone(), value));
        }
        for (name, value) in options {
            match name.as_str() {
                "length" => {
                    let fits = value.parse().ok().filter(|length| *length <= LONGEST);
                    length = fits.ok_or_else(|| Stop::error(format!("`length` must be a number up to {LONGEST}")))?;
                }
                "chars" => chars = value,
                other => {
                    let hint = "use the filter `password_hash` for a hash";
                    return Err(Stop::hint(format!("the lookup `password` has no option `{other}`"), hint));
                }
            }
        }
        let path = PathBuf::from(filters::expand_user(&path));
        if path == Path::new("/dev/null") {
            out.push(Value::from(random::random_text(length, &alphabet(&chars))));
            continue;
        }
        out.push(Value::from(kept(&path, length, &chars)?));
    }
    Ok(out)
}

fn alphabet(chars: &str) -> String {
    const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let parts = chars.split(',').map(|part| match part {
        "ascii_letters" => format!("{}{UPPER}", UPPER.to_lowercase()),
        "ascii_lowercase" => UPPER.to_lowercase(),
        "ascii_uppercase" => UPPER.to_owned(),
        "digits" => "0123456789".to_owned(),
        "hexdigits" => "0123456789abcdefABCDEF".to_owned(),
        "octdigits" => "01234567".to_owned(),
        "punctuation" => "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".to_owned(),
        other => other.to_owned(),
    });
    parts.collect::<String>() + if chars.contains(",,") { "," } else { "" }
}

/// The password in a file, which is made when it is not there. Only one run makes it.
fn kept(path: &Path, length: usize, chars: &str) -> Eval<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if path.exists() {
        let text = read(path)?;
        let line = text.lines().next().unwrap_or_default();
        return Ok(line.split(" salt=").next().unwrap_or_default().to_owned());
    }
    let io = |verb: &str, error: &std::io::Error| Stop::Error(Error::io(verb, path, error));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| io("make", &error))?;
    }
    let made = random::random_text(length, &alphabet(chars));
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(format!("{made}\n").as_bytes()).map_err(|error| io("write", &error))?;
            Ok(made)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok(read(path)?.lines().next().unwrap_or_default().to_owned())
        }
        Err(error) => Err(io("write", &error)),
    }
}
