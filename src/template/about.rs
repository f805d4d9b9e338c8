//! What a template file can say of itself: `template_path`, `ansible_managed` and the like.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::Scope;
use super::datetime::Moment;
use crate::value::{Raw, Value};

/// The names, `ansible_managed` excepted.
const NAMES: [&str; 7] = [
    "template_destpath",
    "template_fullpath",
    "template_host",
    "template_mtime",
    "template_path",
    "template_run_date",
    "template_uid",
];

/// A scope in which a template file knows of itself.
#[derive(Debug)]
struct About {
    own: IndexMap<String, Value>,
    under: Arc<dyn Scope>,
}

/// The scope in which a template file is rendered. `given` is the file as the task or lookup names it, `full` where it was found,
/// and `dest` what it is rendered to, if that is a file. `more` are variables for this template alone, above all others.
pub fn scope(
    under: &Arc<dyn Scope>,
    given: &str,
    full: &Path,
    dest: Option<&str>,
    more: IndexMap<String, Value>,
) -> Arc<dyn Scope> {
    let mut own: IndexMap<String, Value> =
        NAMES.map(|name| (name.to_owned(), value(name, given, full, dest))).into_iter().collect();
    own.extend(more);
    Arc::new(About { own, under: Arc::clone(under) })
}

impl Scope for About {
    fn get(&self, name: &str) -> Option<Raw> {
        if let Some(value) = self.own.get(name) {
            return Some(Raw::Value(value.clone()));
        }
        // One's own wins.
        self.under.get(name).or_else(|| (name == "ansible_managed").then(|| Raw::Value(Value::from("Ansible managed"))))
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.under.names();
        names.extend(self.own.keys().cloned());
        names.push("ansible_managed".to_owned());
        names.sort();
        names.dedup();
        names
    }

    fn is_speculative(&self) -> bool {
        self.under.is_speculative()
    }
}

fn value(name: &str, given: &str, full: &Path, dest: Option<&str>) -> Value {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(full);
    match name {
        "template_destpath" => Value::from(dest),
        "template_fullpath" => Value::from(full.to_string_lossy().into_owned()),
        "template_host" => Value::from(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim()),
        "template_mtime" => {
            let at = metadata.and_then(|metadata| metadata.modified()).ok().and_then(|at| Timestamp::try_from(at).ok());
            at.map_or_else(|| Value::from(()), Moment::here)
        }
        "template_path" => Value::from(given),
        "template_run_date" => Moment::here(Timestamp::now()),
        _ => {
            let uid = metadata.map(|metadata| metadata.uid()).unwrap_or_default();
            account(uid).map_or_else(|| Value::from(uid), Value::from)
        }
    }
}

/// The name of the account with a number.
fn account(uid: u32) -> Option<String> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
