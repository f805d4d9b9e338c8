//! What a module may know and ask beside its arguments.

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;

use super::{Diff, Failure};
use crate::connection::{Answer, Frame};
use crate::template::FileOptions;
use crate::value::Value;
use crate::yaml::Node;

/// What a module knows of the task beside its arguments.
pub struct Context<'a> {
    /// `--check`, `mms plan` or `check_mode: true`: nothing is changed.
    pub check: bool,
    /// Whether somebody will look at the diff; computing an expensive one can be left out otherwise.
    pub diff: bool,
    /// The user the task runs as on the target: the become user, or the login user where it is known.
    pub user: Option<&'a str>,
    /// The `environment:` of the task is put around every script by the engine; modules need not care.
    pub workstation: &'a dyn Workstation,
}

/// What a module may ask of the workstation. All of it is local and read-only.
pub trait Workstation: Send + Sync {
    /// A local file that an argument such as `src` names, searched as Ansible does: the role's `files` or `templates` (`dir`), the
    /// role, beside the task file, beside the playbook.
    fn find_file(&self, dir: &str, name: &str) -> Result<PathBuf, Failure>;

    /// The content of a local file, decrypted if it is a vault file and `decrypt` is set.
    fn read_file(&self, path: &Path, decrypt: bool) -> Result<Vec<u8>, Failure>;

    /// A template file rendered with the task's variables; unknown when it depends on an unknown value. `given` is how the task
    /// names it and `dest` what becomes of it: templates may use both.
    fn render_file(&self, path: &Path, given: &str, dest: &str, options: &FileOptions) -> Result<Value, Failure>;

    /// A fact of the host by its name without `ansible_`. Only for modules whose [`super::Spec::facts`] is set: the engine has
    /// gathered them. Undefined when there is no such fact.
    fn fact(&self, name: &str) -> Value;

    /// The final value of any variable of the task; nothing when it is not defined.
    fn variable(&self, name: &str) -> Result<Option<Value>, Failure>;

    /// A YAML file of the project (`services/radarr.yml`, relative to its root): as it is written, and with every string in it
    /// templated with the task's variables. A variable that is missing is an error at its place in the file. There is none
    /// where there is no project.
    fn project_file(&self, path: &str) -> Result<(Node, Value), Failure> {
        Err(Failure::new(format!("`{path}` does not exist: there is no project here")))
    }

    /// Whether a text holds a secret that is in play: then it must not be written where others can read it.
    fn is_secret(&self, text: &str) -> bool {
        let _ = text;
        false
    }
}

/// Whether a change may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Make it.
    Go,
    /// Check mode: return what would have been.
    CheckOnly,
}

/// The host, for an [`super::ActionModule`]. A connection that is lost for good surfaces as a failure the engine recognises.
pub trait Host: Send + Sync {
    /// Runs a read-only script as the task's user.
    fn probe(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>>;

    /// Runs a read-only script as another user of the host.
    fn probe_as<'a>(&'a self, user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Announces a change (what, and its diff) and says whether it may be made.
    fn change<'a>(&'a self, summary: &'a [String], diff: &'a [Diff]) -> BoxFuture<'a, Gate>;

    /// Runs a script that changes something, as the task's user. An error unless [`Host::change`] said [`Gate::Go`].
    fn run(&self, script: Frame) -> BoxFuture<'_, Result<Answer, Failure>>;

    /// The same as another user of the host.
    fn run_as<'a>(&'a self, user: &'a str, script: Frame) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// A local file, whatever its size, as the stdin of a script that changes something, as the task's user.
    fn upload<'a>(&'a self, from: &'a Path, script: &'a str) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// A line that tells people what is going on; replaces the one before in a live display.
    fn progress(&self, line: &str);

    /// Whether the host answers a trivial script over a new connection.
    fn reconnect(&self) -> BoxFuture<'_, Result<(), Failure>>;
}
