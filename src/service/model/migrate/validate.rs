//! What the types of `migrate:` cannot say.

use super::super::super::read::{ReadError, Step};
use super::{Format, Migrate, PathColumn, Place, Rule};
use crate::diagnostic::nearest;
use crate::service::model::{Names, Service};

impl Migrate {
    /// Checks the key of a service.
    pub(in super::super) fn validate(&self, service: &Service) -> Result<(), ReadError> {
        for name in self.names.keys() {
            if !service.containers.contains_key(name) {
                let mut error = wrong(vec![key("names"), key(name)], "this is not a container of this service");
                error.hint = nearest(name, service.containers.keys().map(String::as_str))
                    .map(|name| format!("did you mean `{name}`?"));
                error.key = true;
                return Err(error);
            }
        }
        let plain = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
        each(&self.units, &[key("units")], plain, "is not the name of a unit")?;
        each(&self.packages, &[key("packages")], plain, "is not the name of a package")?;
        each(&self.version_files, &[key("version_files")], absolute, "is not an absolute path")?;
        for (index, place) in self.places.iter().enumerate() {
            place.validate(service).map_err(|error| under("places", index, error))?;
            if self.places.iter().take(index).any(|earlier| earlier.path == place.path) {
                let path = vec![key("places"), Step::Index(index), key("path")];
                return Err(wrong(path, format!("`{}` is listed twice", place.path)));
            }
        }
        for (index, rule) in self.rewrite.iter().enumerate() {
            rule.validate().map_err(|error| under("rewrite", index, error))?;
        }
        for (index, column) in self.paths_in.iter().enumerate() {
            column.validate().map_err(|error| under("paths_in", index, error))?;
        }
        Ok(())
    }
}

impl Place {
    fn validate(&self, service: &Service) -> Result<(), ReadError> {
        if !absolute(&self.path) {
            return Err(wrong_inside("path", format!("`{}` is not an absolute path", self.path)));
        }
        if service.inside(&self.path).is_none() {
            let mut error = wrong_inside("path", format!("no container mounts `{}`", self.path));
            error.hint = Some("name a directory of the host that is in `volumes`, or one below it".to_owned());
            return Err(error);
        }
        each(&self.marks, &[key("marks")], relative, "is not a path below the directory")?;
        each(&self.files, &[key("files")], relative, "is not a path below the directory")?;
        each(&self.container_paths, &[key("container_paths")], absolute, "is not an absolute path in a container")?;
        each(&self.directories, &[key("directories")], absolute, "is not an absolute path")?;
        let option = |text: &str| text.len() > 1 && text.starts_with('-') && !text.contains(['=', ' ', '\n']);
        each(&self.options, &[key("options")], option, "is not an option of a command line")?;
        let variable = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
            text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        };
        each(&self.environment, &[key("environment")], variable, "is not the name of an environment variable")
    }
}

impl Rule {
    fn validate(&self) -> Result<(), ReadError> {
        if !relative(&self.file) {
            return Err(wrong_inside("file", format!("`{}` is not a path below a place", self.file)));
        }
        if self.format == Format::Text {
            if let Some(name) = [("set", !self.set.is_empty()), ("paths", !self.paths.0.is_empty())]
                .into_iter()
                .find_map(|(name, there)| there.then_some(name))
            {
                return Err(wrong_inside(name, "a file of the format `text` is one path, and has no options"));
            }
            return Ok(());
        }
        if self.set.is_empty() && self.paths.0.is_empty() {
            let mut error = wrong(vec![], "there is nothing to rewrite");
            error.hint = Some("write `set`, `paths`, or both".to_owned());
            return Err(error);
        }
        let shape = |text: &str| text.split('/').all(|step| !step.is_empty()) && !text.contains(['\n', '\0']);
        if let Some(name) = self.set.keys().find(|name| !shape(name)) {
            let mut error = wrong(vec![key("set"), key(name)], format!("`{name}` does not name an option"));
            error.hint = Some("write the names from the outermost on, with `/` between them".to_owned());
            error.key = true;
            return Err(error);
        }
        each(&self.paths, &[key("paths")], shape, "does not name an option")?;
        match self.set.keys().find(|name| self.paths.0.contains(name)) {
            Some(name) => Err(wrong(vec![key("set"), key(name)], "it is in `paths` as well")),
            None => Ok(()),
        }
    }
}

impl PathColumn {
    fn validate(&self) -> Result<(), ReadError> {
        if !relative(&self.database) {
            return Err(wrong_inside("database", format!("`{}` is not a path below a place", self.database)));
        }
        let identifier = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        for (name, text) in [("table", &self.table), ("column", &self.column)] {
            if !identifier(text) {
                return Err(wrong_inside(name, format!("`{text}` is not the name of a {name}")));
            }
        }
        Ok(())
    }
}

fn absolute(path: &str) -> bool {
    path.starts_with('/') && !path.trim_end_matches('/').is_empty() && tidy(path)
}

fn relative(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && tidy(path)
}

fn tidy(path: &str) -> bool {
    !path.contains(['\n', '\0']) && !path.split('/').any(|part| part == ".." || part == ".")
}

fn each(names: &Names, path: &[Step], allowed: impl Fn(&str) -> bool, message: &str) -> Result<(), ReadError> {
    match names.0.iter().enumerate().find(|(_, name)| name.is_empty() || !allowed(name)) {
        Some((index, name)) => {
            let path = path.iter().cloned().chain([Step::Index(index)]).collect();
            Err(wrong(path, format!("`{name}` {message}")))
        }
        None => Ok(()),
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn wrong_inside(name: &str, message: impl Into<String>) -> ReadError {
    wrong(vec![key(name)], message)
}

/// Paths start at `migrate`; [`under`] puts the item of a list in between.
fn wrong(mut path: Vec<Step>, message: impl Into<String>) -> ReadError {
    path.insert(0, key("migrate"));
    ReadError::new(path, message)
}

fn under(list: &str, index: usize, mut error: ReadError) -> ReadError {
    error.path.splice(1..1, [key(list), Step::Index(index)]);
    error
}
