//! Fields of results: what Ansible adds to the result of every module that names a file, and diffs of attributes.

use serde_json::{Map, Value as Json};

use super::stat::{self, FileState};
use super::write::{INVALID, MOVED};
use super::{mode, text};
use crate::connection::Answer;
use crate::modules::{Change, Diff, Failure};
use crate::value::{Fields, Value};

/// Puts `uid`, `gid`, `owner`, `group`, `mode`, `state`, `size` (and `secontext` with SELinux) of what is at the path into the
/// result, as Ansible does for every module whose result has a `path` or `dest`. Nothing for what does not exist.
pub fn add_path_info(fields: &mut Fields, state: &FileState) {
    let (Some(stat), Some(_)) = (&state.lstat, &state.stat) else { return };
    let name = |name: &Option<String>, id: u32| Value::from(name.clone().unwrap_or_else(|| id.to_string()));
    let mut add = |key: &str, value: Value| {
        fields.insert(key.to_owned(), value);
    };
    add("uid", stat.uid.into());
    add("gid", stat.gid.into());
    add("owner", name(&stat.owner, stat.uid));
    add("group", name(&stat.group, stat.gid));
    add("mode", mode::show(stat.mode()).into());
    add("state", state.state().into());
    add("size", stat.size.into());
    if let Some(context) = &stat.context {
        add("secontext", context.as_str().into());
    }
}

/// The result of a change whose last step printed what is at the path now (as [`super::write::Write`] does): the foretold
/// fields, the path's own, and `backup_file`.
pub fn finish(change: &Change, applied: &[Answer]) -> Result<Fields, Failure> {
    let mut fields = change.result.clone();
    let Some(answer) = applied.last() else { return Ok(fields) };
    check(answer)?;
    let start = answer.stdout.windows(5).position(|window| window == b"path=").unwrap_or(answer.stdout.len());
    if let Some((state, _)) = stat::parse_one(&answer.stdout[start..]) {
        add_path_info(&mut fields, &state);
        if let Some(backup) = state.backup {
            fields.insert("backup_file".into(), backup.into());
        }
    }
    Ok(fields)
}

/// Fails with what a step's script said when it failed.
pub fn check(answer: &Answer) -> Result<(), Failure> {
    let said = answer.stderr_text();
    let said = said.trim();
    match answer.rc {
        0 => Ok(()),
        INVALID => Err(refused(answer)),
        MOVED => Err(Failure::of_answer(said, answer).hint("run it again to see what would change now")),
        _ => {
            let msg = said.lines().last().unwrap_or("a command failed without saying why");
            Err(Failure::of_answer(msg, answer))
        }
    }
}

/// The `validate` command refused: its own exit status and output.
fn refused(answer: &Answer) -> Failure {
    let text = answer.stdout_text();
    let (status, stdout) = text.split_once('\0').unwrap_or(("1", &*text));
    let own = Answer { rc: status.parse().unwrap_or(1), stdout: stdout.as_bytes().to_vec(), ..answer.clone() };
    let mut failure = Failure::of_answer("failed to validate", &own).field("exit_status", own.rc);
    failure.fields.shift_remove("rc");
    failure.fields.insert("stderr".into(), answer.stderr_text().as_ref().into());
    failure
}

/// A diff of attributes: the path and what differs, as JSON with sorted keys, as Ansible prints it.
pub fn attribute_diff(path: &str, before: &Map<String, Json>, after: &Map<String, Json>) -> Diff {
    Diff {
        before_header: path.to_owned(),
        after_header: path.to_owned(),
        before: pretty(path, before),
        after: pretty(path, after),
    }
}

fn pretty(path: &str, fields: &Map<String, Json>) -> String {
    let mut entries: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    entries.push(("path".into(), path.into()));
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let object: Map<String, Json> = entries.into_iter().collect();
    serde_json::to_string_pretty(&object).map(|text| text + "\n").unwrap_or_default()
}

/// A diff of content.
pub fn content_diff(path: &str, before: Option<&[u8]>, after: &[u8]) -> Diff {
    Diff {
        before_header: path.to_owned(),
        after_header: path.to_owned(),
        before: before.map(text::for_diff).unwrap_or_default(),
        after: text::for_diff(after),
    }
}
