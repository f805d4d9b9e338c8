//! Names of services on the command line.

use super::Session;
use crate::diagnostic::Diagnostic;
use crate::error::Result;
use crate::playbook::Vars;
use crate::value::{Raw, Value};

/// The names of every service of the project, from `services/*.yml`.
pub fn known(session: &Session) -> Result<Vec<String>> {
    let files = session.project.yaml_files(&session.project.services())?;
    Ok(files.iter().filter_map(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned()).collect())
}

/// The extra variables that select these services. No names select all.
pub fn variables(session: &Session, names: &[String]) -> Result<Vars> {
    let known = known(session)?;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let has = match known.as_slice() {
            [] => format!("`{}` holds no services", session.project.services().display()),
            _ => format!("the project has: {}", known.join(", ")),
        };
        return Err(Diagnostic::error(format!("there is no service `{name}`"))
            .did_you_mean(name, known.iter().map(String::as_str))
            .hint(has)
            .into());
    }
    let mut vars = Vars::new();
    if !names.is_empty() {
        let list: Value = names.iter().map(String::as_str).collect();
        vars.insert("service_names".into(), Raw::Value(list));
        vars.insert(
            "service_name".into(),
            Raw::Value(names.iter().map(String::as_str).next().map_or(Value::UNDEFINED, Value::from)),
        );
    }
    Ok(vars)
}
