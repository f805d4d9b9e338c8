//! `mms.toml`. It is read into the same nodes as YAML, so that its mistakes are told the same way.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned as TomlSpanned;
use toml::de::{DeTable, DeValue};

use super::{Color, Given, expand, expand_inventory};
use crate::connection::BecomeMethod;
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::Result;
use crate::project::Project;
use crate::yaml::{Kind, Map, Node, Spanned, from_node};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Manifest {
    inventory: Option<OneOrMany>,
    roles_path: Option<OneOrMany>,
    forks: Option<Spanned<i64>>,
    lock_timeout: Option<Spanned<i64>>,
    diff: Option<bool>,
    color: Option<Color>,
    ssh: Ssh,
    r#become: Become,
    vault: Vault,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ssh {
    user: Option<String>,
    private_key: Option<String>,
    timeout: Option<Spanned<i64>>,
    accept_new: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Become {
    enabled: Option<bool>,
    user: Option<String>,
    method: Option<Method>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Vault {
    identities: Option<OneOrMany>,
    recipients: Option<OneOrMany>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    Sudo,
    Su,
    Doas,
}

/// Text, or a list of it.
#[derive(Debug)]
struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let texts = match &node.kind {
            Kind::List(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => node.as_str().map(|text| vec![text.to_owned()]),
        };
        texts.map(Self).ok_or_else(|| serde::de::Error::custom("expected a string or a list of strings"))
    }
}

pub(super) fn given(project: &Project) -> Result<Given> {
    let Some(path) = project.manifest() else { return Ok(Given::default()) };
    let source = project.source(&path)?;
    let manifest: Manifest = from_node(&parse(&source)?)?;
    let base = project.root();
    let paths = |texts: OneOrMany| texts.0.iter().map(|text| expand(text, base)).collect::<Vec<_>>();
    Ok(Given {
        inventory: manifest.inventory.map(|texts| texts.0.iter().map(|text| expand_inventory(text, base)).collect()),
        roles_path: manifest.roles_path.map(paths),
        forks: manifest.forks.map(positive).transpose()?.and_then(|forks| usize::try_from(forks).ok()),
        lock_timeout: manifest.lock_timeout.map(positive).transpose()?.map(Duration::from_secs),
        diff: manifest.diff,
        color: manifest.color,
        remote_user: manifest.ssh.user,
        private_key: manifest.ssh.private_key.map(|text| expand(&text, base)),
        timeout: manifest.ssh.timeout.map(positive).transpose()?.map(Duration::from_secs),
        accept_new: manifest.ssh.accept_new,
        become_enabled: manifest.r#become.enabled,
        become_user: manifest.r#become.user,
        become_method: manifest.r#become.method.map(|method| match method {
            Method::Sudo => BecomeMethod::Sudo,
            Method::Su => BecomeMethod::Su,
            Method::Doas => BecomeMethod::Doas,
        }),
        identities: manifest.vault.identities.map(paths),
        recipients: manifest.vault.recipients.map(|texts| texts.0),
    })
}

fn positive(number: Spanned<i64>) -> Result<u64> {
    match u64::try_from(number.value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(Diagnostic::error("expected a number above zero").at(&number.span).into()),
    }
}

fn parse(source: &Arc<Source>) -> Result<Node> {
    let table = DeTable::parse(&source.text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Diagnostic::error(format!("this is not valid TOML: {}", error.message().replace('\n', ", ")))
            .at(&Span::new(source, span.start, span.end))
    })?;
    let span = Span::new(source, 0, source.text.len());
    Ok(Node::new(table_kind(table.get_ref(), source), span))
}

fn table_kind(table: &DeTable<'_>, source: &Arc<Source>) -> Kind {
    let entries = table.iter().map(|(key, value)| {
        let span = Span::new(source, key.span().start, key.span().end);
        (Node::new(Kind::Str(key.get_ref().as_ref().into()), span), node(value, source))
    });
    Kind::Map(Arc::new(Map::new(entries.collect())))
}

fn node(value: &TomlSpanned<DeValue<'_>>, source: &Arc<Source>) -> Node {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Str(text.as_ref().into()),
        DeValue::Integer(number) => match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
            Ok(value) => Kind::Int(value),
            Err(_) => Kind::Str(number.as_str().into()),
        },
        DeValue::Float(number) => match number.as_str().replace('_', "").parse() {
            Ok(value) => Kind::Float(value),
            Err(_) => Kind::Str(number.as_str().into()),
        },
        DeValue::Boolean(value) => Kind::Bool(*value),
        DeValue::Datetime(date) => Kind::Str(date.to_string().into()),
        DeValue::Array(items) => Kind::List(Arc::new(items.iter().map(|item| node(item, source)).collect())),
        DeValue::Table(table) => table_kind(table, source),
    };
    Node::new(kind, Span::new(source, value.span().start, value.span().end))
}
