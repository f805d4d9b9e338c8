//! What the types cannot say: images are pinned, names are names, things referred to exist.

use std::collections::BTreeMap;

use super::super::read::{ReadError, Step};
use super::{Backup, Container, Origin, Service, Volume};

/// Tags that move by their nature.
const FLOATING: &[&str] =
    &["latest", "release", "stable", "edge", "nightly", "main", "master", "develop", "dev", "beta", "testing", "next"];

impl Service {
    /// Checks a definition. `single` says that the container's keys stand at the top level.
    pub(in super::super) fn validate(&self, single: bool) -> Result<(), ReadError> {
        if let Some(problem) = name_problem(&self.name) {
            return Err(at(["name"], format!("`{}` is not a service name: {problem}", self.name)));
        }
        if self.containers.is_empty() {
            return Err(at(["containers"], "there is no container in it"));
        }
        for (name, container) in &self.containers {
            let base: &[&str] = if single { &[] } else { &["containers", name] };
            if let Some(problem) = name_problem(name) {
                return Err(at(base.iter().copied(), format!("`{name}` is not a container name: {problem}")));
            }
            container.validate(name).map_err(|mut error| {
                error.path.splice(0..0, base.iter().map(|key| Step::Key((*key).to_owned())));
                error
            })?;
        }
        self.check_cycle()?;
        self.check_ports(single)?;
        self.check_host_side()
    }

    fn check_ports(&self, single: bool) -> Result<(), ReadError> {
        let ports: Vec<_> =
            self.containers.iter().flat_map(|(name, each)| each.ports.iter().map(move |port| (name, port))).collect();
        for (index, (name, port)) in ports.iter().enumerate() {
            if let Some((other, _)) = ports.iter().take(index).find(|(_, earlier)| earlier.collides(port)) {
                let base: &[&str] = if single { &["ports"] } else { &["containers", name, "ports"] };
                return Err(at(base.iter().copied(), format!("port {port} is published by `{other}` as well")));
            }
        }
        Ok(())
    }

    fn check_host_side(&self) -> Result<(), ReadError> {
        for (index, directory) in self.directories.iter().enumerate() {
            if !directory.path.starts_with('/') {
                return Err(item("directories", index, "path", format!("`{}` is not absolute", directory.path)));
            }
        }
        for (index, file) in self.ini.iter().enumerate() {
            if !file.path.starts_with('/') {
                return Err(item("ini", index, "path", format!("`{}` is not absolute", file.path)));
            }
            match &file.container {
                Some(name) if !self.containers.contains_key(name) => {
                    let message = format!("`{name}` is not a container of this service");
                    return Err(item("ini", index, "container", message));
                }
                None if self.containers.len() > 1 => {
                    let message = "`container` is missing: the service has several containers".to_owned();
                    return Err(ReadError::new(vec![Step::Key("ini".to_owned()), Step::Index(index)], message));
                }
                _ => {}
            }
        }
        if let Some(name) = self.backup.as_ref().and_then(|backup| backup.container.as_ref())
            && !self.containers.contains_key(name)
        {
            return Err(at(["backup", "container"], format!("`{name}` is not a container of this service")));
        }
        self.backup.as_ref().map_or(Ok(()), Backup::validate)?;
        self.migrate.as_ref().map_or(Ok(()), |migrate| migrate.validate(self))
    }

    /// Refuses containers that wait for each other.
    fn check_cycle(&self) -> Result<(), ReadError> {
        let mut waiting: BTreeMap<&str, Vec<&str>> = self
            .containers
            .iter()
            .map(|(name, container)| {
                let before = container.after.0.iter().chain(&container.requires.0);
                (name.as_str(), before.map(String::as_str).filter(|name| self.containers.contains_key(*name)).collect())
            })
            .collect();
        while let Some(name) = waiting.iter().find(|(_, before)| before.is_empty()).map(|(name, _)| *name) {
            waiting.remove(name);
            waiting.values_mut().for_each(|before| before.retain(|other| *other != name));
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let names = waiting.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Err(at(["containers"], format!("{names} wait for each other and would never start")))
    }
}

impl Container {
    fn validate(&self, name: &str) -> Result<(), ReadError> {
        self.check_image()?;
        for (key, value) in &self.environment {
            if key.is_empty() || key.contains(['=', '\n', '\0']) || key.contains(char::is_whitespace) {
                return Err(at(["environment", key], "this is not the name of an environment variable"));
            }
            if value.0.contains('\0') {
                return Err(at(["environment", key], "a value cannot hold a NUL"));
            }
        }
        for (key, secret) in &self.secrets {
            if let Some(problem) = name_problem(&key.to_ascii_lowercase()) {
                return Err(at(["secrets", key], format!("`{key}` is not the name of a secret: {problem}")));
            }
            if secret.env.is_some() && secret.file.is_some() {
                return Err(at(["secrets", key], "`env` and `file` exclude each other"));
            }
            if let Some(env) = &secret.env
                && self.environment.contains_key(env)
            {
                return Err(at(["environment", env], format!("the secret `{key}` sets this variable already")));
            }
        }
        for (list, names) in [("after", &self.after), ("requires", &self.requires)] {
            if let Some(index) = names.0.iter().position(|other| other == name) {
                let path = vec![Step::Key(list.to_owned()), Step::Index(index)];
                return Err(ReadError::new(path, format!("`{name}` cannot wait for itself")));
            }
        }
        for (index, path) in self.tmpfs.0.iter().enumerate() {
            if !path.starts_with('/') {
                let place = vec![Step::Key("tmpfs".to_owned()), Step::Index(index)];
                return Err(ReadError::new(place, format!("`{path}` is not an absolute path in the container")));
            }
        }
        self.check_targets()?;
        self.check_owner()
    }

    fn check_image(&self) -> Result<(), ReadError> {
        let wrong = |message: String, hint: String| {
            let mut error = at(["image"], message);
            error.hint = Some(hint);
            Err(error)
        };
        let image = &self.image;
        if image.is_empty() || image.contains(char::is_whitespace) {
            return wrong(format!("`{image}` is not an image"), "write `registry/name:version`".to_owned());
        }
        let (registry, rest) = image.split_once('/').unwrap_or(("", image));
        if !registry.contains(['.', ':']) && registry != "localhost" {
            let hint = format!("write `docker.io/{}{image}`", if image.contains('/') { "" } else { "library/" });
            return wrong(format!("image `{image}` does not name its registry"), hint);
        }
        if self.allow_floating || rest.contains("@sha256:") {
            return Ok(());
        }
        let tag = rest.rsplit_once(':').map(|(_, tag)| tag);
        match tag {
            None => wrong(
                format!("image `{image}` has no version"),
                "pin it (`:1.2.3`), so that a deploy always means the same, or set `allow_floating: true`".to_owned(),
            ),
            Some(tag) if FLOATING.contains(&tag) => wrong(
                format!("image `{image}` is not pinned: the tag `{tag}` moves"),
                "pin a version (`:1.2.3`), so that a deploy always means the same, or set `allow_floating: true`"
                    .to_owned(),
            ),
            Some(_) => Ok(()),
        }
    }

    fn check_targets(&self) -> Result<(), ReadError> {
        for (index, volume) in self.volumes.iter().enumerate() {
            let place = || vec![Step::Key("volumes".to_owned()), Step::Index(index)];
            if self.volumes.iter().take(index).any(|earlier| earlier.target == volume.target) {
                return Err(ReadError::new(place(), format!("something is mounted at `{}` already", volume.target)));
            }
            let Volume { source: Origin::Path(path), options, .. } = volume else { continue };
            let top = path.trim_end_matches('/').matches('/').count() < 2;
            if options.iter().any(|option| option == "Z") && top {
                let message = format!("`:Z` would give everything below `{path}` a label private to this container");
                return Err(ReadError::new(place(), message));
            }
        }
        Ok(())
    }

    /// Data owned by a user in the container that is nobody on the host is the commonest trap of rootless containers.
    fn check_owner(&self) -> Result<(), ReadError> {
        let kept = self.userns.as_deref().is_some_and(|mode| mode.starts_with("keep-id"));
        match self.puid {
            Some(puid) if puid != 0 && !kept => {
                let mut error = at(
                    ["puid"],
                    format!("user {puid} in the container is not user {puid} of the host in a rootless container"),
                );
                error.hint = Some("set `userns: keep-id`, which maps the user to itself, or `puid: 0`".to_owned());
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

fn at<'a>(path: impl IntoIterator<Item = &'a str>, message: impl Into<String>) -> ReadError {
    ReadError::new(path.into_iter().map(|key| Step::Key(key.to_owned())).collect(), message)
}

fn item(list: &str, index: usize, key: &str, message: String) -> ReadError {
    ReadError::new(vec![Step::Key(list.to_owned()), Step::Index(index), Step::Key(key.to_owned())], message)
}

/// Names become unit, container and host names, so they are what all of these allow.
fn name_problem(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if name.is_empty() {
        Some("it is empty")
    } else if !name.chars().all(allowed) {
        Some("only lower-case letters, digits, `-` and `_` are allowed")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some("it must start with a letter or a digit")
    } else if name.len() > 63 {
        Some("it is longer than 63 characters")
    } else {
        None
    }
}
