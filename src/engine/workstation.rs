//! What a module sees of the workstation: local files searched as Ansible does, templates, facts and variables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Engine;
use super::evaluate::failure_of;
use crate::diagnostic::Source;
use crate::modules::{Failure, Workstation};
use crate::playbook::{Task, search_paths};
use crate::template::FileOptions;
use crate::value::Value;
use crate::vars::{HostVars, PlayVars, TaskScope};
use crate::yaml::Node;

/// The workstation for one task.
pub struct TaskWorkstation<'a> {
    engine: &'a Engine,
    task: &'a Task,
    scope: TaskScope,
    play: &'a Arc<PlayVars>,
    /// The host that the task runs on: another one with `delegate_to`.
    on: Arc<HostVars>,
}

impl<'a> TaskWorkstation<'a> {
    /// The workstation for a task with these variables.
    pub fn new(
        engine: &'a Engine,
        task: &'a Task,
        scope: TaskScope,
        play: &'a Arc<PlayVars>,
        on: Arc<HostVars>,
    ) -> Self {
        Self { engine, task, scope, play, on }
    }
}

impl Workstation for TaskWorkstation<'_> {
    fn find_file(&self, dir: &str, name: &str) -> Result<PathBuf, Failure> {
        let path = crate::fs::expand_home(name);
        if path.is_absolute() {
            return if path.exists() {
                Ok(path)
            } else {
                Err(Failure::new(format!("there is no local file `{name}`")))
            };
        }
        let places = search_paths(&self.task.parent, &self.play.dir, dir);
        places.iter().map(|place| place.join(&path)).find(|path| path.exists()).ok_or_else(|| {
            let files = self.engine.parts.loader.files();
            let looked = places.iter().map(|place| format!("`{}`", files.shown(place))).collect::<Vec<_>>().join(", ");
            Failure::new(format!("there is no local file `{name}`")).hint(format!("looked in {looked}"))
        })
    }

    fn read_file(&self, path: &Path, decrypt: bool) -> Result<Vec<u8>, Failure> {
        let content =
            std::fs::read(path).map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))?;
        if !decrypt {
            return Ok(content);
        }
        self.engine.parts.secrets.open(path, content).map_err(|error| failure_of(&error))
    }

    fn render_file(&self, path: &Path, given: &str, dest: &str, options: &FileOptions) -> Result<Value, Failure> {
        let content = self.read_file(path, true)?;
        let text =
            String::from_utf8(content).map_err(|_| Failure::new(format!("`{}` is not UTF-8 text", path.display())))?;
        let source = Source::new(self.engine.parts.loader.files().shown(path), text);
        let scope = crate::template::about(&Engine::dynamic(&self.scope), given, path, Some(dest));
        self.engine.parts.templar.file(&source, options, &scope).map_err(|error| failure_of(&error))
    }

    fn fact(&self, name: &str) -> Value {
        self.on.fact(name).unwrap_or(Value::UNDEFINED)
    }

    fn variable(&self, name: &str) -> Result<Option<Value>, Failure> {
        self.engine.parts.templar.variable(name, &Engine::dynamic(&self.scope)).map_err(|error| failure_of(&error))
    }

    fn project_file(&self, path: &str) -> Result<(Node, Value), Failure> {
        let files = self.engine.parts.loader.files();
        let file = files.root().join(path);
        if !file.is_file() {
            return Err(missing_file(&file, path));
        }
        let node = files.yaml(&file).map_err(|error| failure_of(&error))?;
        let scope = Engine::dynamic(&self.scope);
        let value = self.engine.parts.templar.node(&node, &scope).map_err(|error| failure_of(&error))?;
        Ok((node, value))
    }

    fn is_secret(&self, text: &str) -> bool {
        self.engine.parts.redactor.is_tainted(text)
    }
}

/// There is no such file; the files beside where it would be say what was probably meant.
fn missing_file(file: &Path, path: &str) -> Failure {
    let failure = Failure::new(format!("`{path}` does not exist in the project"));
    let entries = file.parent().and_then(|directory| std::fs::read_dir(directory).ok());
    let names: Vec<String> =
        entries.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match crate::diagnostic::nearest(&name, names.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    }
}
