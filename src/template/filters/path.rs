//! Paths, as Python's `os.path` sees them. Those that look at the disk look at this machine's.

use std::path::Path;

use minijinja::value::Tuple;

use super::{Filter, all};
use crate::fnmatch::Pattern;
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::template::py;
use crate::value::Value;

pub const FILTERS: &[Filter] = &[
    all("basename", |call| Ok(Value::from(basename(&call.input_text()?)))),
    all("dirname", |call| Ok(Value::from(dirname(&call.input_text()?)))),
    all("expanduser", |call| Ok(Value::from(expand_user(&call.input_text()?)))),
    all("expandvars", |call| Ok(Value::from(expand_vars(&call.input_text()?)))),
    all("realpath", |call| Ok(Value::from(real_path(&call.input_text()?)))),
    all("relpath", relpath),
    all("splitext", splitext),
    all("path_join", path_join),
    all("normpath", |call| Ok(Value::from(normal(&call.input_text()?)))),
    all("commonpath", common_path),
    all("fileglob", fileglob),
];

fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn dirname(path: &str) -> &str {
    let Some(at) = path.rfind('/') else { return "" };
    let head = path.get(..=at).unwrap_or_default();
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

/// `~` and `~user` as the home directory.
pub fn expand_user(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (user, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = match user {
        "" => std::env::var("HOME").ok(),
        user => std::fs::read_to_string("/etc/passwd").ok().and_then(|users| {
            let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
            line.split(':').nth(5).map(str::to_owned)
        }),
    };
    home.map_or_else(|| path.to_owned(), |home| format!("{}{rest}", home.trim_end_matches('/')))
}

fn expand_vars(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail, written) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, tail)) => (name, tail, format!("${{{name}}}")),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                let (name, tail) = after.split_at(end);
                (name, tail, format!("${name}"))
            }
        };
        out.push_str(&std::env::var(name).unwrap_or(written));
        rest = tail;
    }
    out + rest
}

/// Without `.`, `..` and doubled slashes.
fn normal(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    // POSIX gives a path with exactly two slashes at its start a meaning of its own.
    let root = if path.starts_with("//") && !path.starts_with("///") { "//" } else { "/" };
    match (absolute, parts.is_empty()) {
        (true, _) => format!("{root}{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        return normal(path);
    }
    let here = std::env::current_dir().unwrap_or_default();
    normal(&format!("{}/{path}", here.display()))
}

/// With links resolved as far as the path exists.
fn real_path(path: &str) -> String {
    let path = absolute(path);
    let mut known = Path::new(&path);
    let mut rest = vec![];
    loop {
        if let Ok(real) = known.canonicalize() {
            return rest.iter().rev().fold(real, |path, part| path.join(part)).display().to_string();
        }
        match (known.parent(), known.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                known = parent;
            }
            _ => return path,
        }
    }
}

fn relpath(call: &mut Call<'_>) -> Eval<Value> {
    let start = absolute(&call.text("start")?.unwrap_or_else(|| ".".to_owned()));
    let path = absolute(&call.input_text()?);
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (parts(&start), parts(&path));
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - same);
    let steps: Vec<String> = up.chain(to.into_iter().skip(same)).collect();
    Ok(Value::from(if steps.is_empty() { ".".to_owned() } else { steps.join("/") }))
}

fn splitext(call: &mut Call<'_>) -> Eval<Value> {
    let path = call.input_text()?;
    let base = path.len() - basename(&path).len();
    let name = path.get(base..).unwrap_or_default();
    let dots = name.len() - name.trim_start_matches('.').len();
    let cut = name.rfind('.').filter(|at| *at >= dots.max(1)).map_or(path.len(), |at| base + at);
    let (root, extension) = path.split_at(cut);
    Ok(Value::from(Tuple::from(vec![Value::from(root), Value::from(extension)])))
}

fn path_join(call: &mut Call<'_>) -> Eval<Value> {
    if call.input.as_str().is_some() {
        return Ok(call.input.clone());
    }
    let mut out = String::new();
    for part in call.input_items()? {
        let part = py::text(&part)?;
        if part.starts_with('/') || out.is_empty() {
            out = part;
        } else if out.ends_with('/') {
            out.push_str(&part);
        } else {
            out = format!("{out}/{part}");
        }
    }
    Ok(Value::from(out))
}

fn common_path(call: &mut Call<'_>) -> Eval<Value> {
    let paths = call.input_items()?.iter().map(py::text).collect::<Eval<Vec<_>>>()?;
    let Some(first) = paths.first() else { return Err(Stop::error("`commonpath` needs at least one path")) };
    if paths.iter().any(|path| path.starts_with('/') != first.starts_with('/')) {
        return Err(Stop::error("`commonpath` cannot mix absolute and relative paths"));
    }
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
    };
    let mut common = parts(first);
    for path in &paths {
        let other = parts(path);
        let same = common.iter().zip(&other).take_while(|(a, b)| a == b).count();
        common.truncate(same);
    }
    Ok(Value::from(format!("{}{}", if first.starts_with('/') { "/" } else { "" }, common.join("/"))))
}

fn fileglob(call: &mut Call<'_>) -> Eval<Value> {
    let mut found = glob(&call.input_text()?);
    found.retain(|path| Path::new(path).is_file());
    Ok(found.into_iter().map(Value::from).collect())
}

/// The local paths that a shell pattern names, sorted.
pub fn glob(pattern: &str) -> Vec<String> {
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/".to_owned(), rest),
        None => (String::new(), pattern),
    };
    let mut paths = vec![root];
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let mut next = vec![];
        for dir in paths {
            let join = |name: &str| {
                if dir.is_empty() || dir.ends_with('/') { format!("{dir}{name}") } else { format!("{dir}/{name}") }
            };
            if !part.contains(['*', '?', '[']) {
                let path = join(part);
                if Path::new(&path).symlink_metadata().is_ok() {
                    next.push(path);
                }
                continue;
            }
            let entries = std::fs::read_dir(if dir.is_empty() { "." } else { &dir }).into_iter().flatten().flatten();
            let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            names.sort();
            let (hidden, pattern) = (part.starts_with('.'), Pattern::new(part));
            next.extend(
                names
                    .iter()
                    .filter(|name| hidden || !name.starts_with('.'))
                    .filter(|name| pattern.matches(name))
                    .map(|name| join(name)),
            );
        }
        paths = next;
    }
    paths.retain(|path| !path.is_empty());
    paths
}
