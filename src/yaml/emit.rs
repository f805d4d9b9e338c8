//! Values as YAML text, laid out and quoted as PyYAML's `yaml.dump` does it: what `to_yaml` and `to_nice_yaml` yield, and what
//! other programs that read YAML 1.1 understand.

mod scalar;
mod writer;

use minijinja::value::{Value, ValueKind};
use serde_json::Value as Json;

use writer::{Style, Writer};

/// How text is laid out: the arguments of Ansible's `to_yaml` and `to_nice_yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Columns per level, 2 to 9; PyYAML takes any other number as 2.
    pub indent: usize,
    /// Lines are broken at the first space after this column.
    pub width: usize,
    /// Whether keys are sorted; Ansible does unless told otherwise.
    pub sort_keys: bool,
    /// `default_flow_style`.
    pub flow: Flow,
    /// Whether the text starts with `---`.
    pub explicit_start: bool,
}

/// PyYAML's `default_flow_style`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// `False`: everything in block style (`to_nice_yaml`).
    Never,
    /// `None`: collections without collections in them in flow style (`to_yaml`).
    Leaves,
    /// `True`: everything in flow style.
    Always,
}

impl Options {
    /// What `to_yaml` does without arguments.
    pub fn terse() -> Self {
        Self { indent: 2, width: 80, sort_keys: true, flow: Flow::Leaves, explicit_start: false }
    }

    /// What `to_nice_yaml` does without arguments.
    pub fn nice() -> Self {
        Self { indent: 4, flow: Flow::Never, ..Self::terse() }
    }
}

/// The YAML text of a JSON value, with a newline at the end.
pub fn emit(json: &Json, options: &Options) -> String {
    Writer::document(&Tree::from_json(json, options), options)
}

/// The YAML text of a template value, with a newline at the end. Objects are written as what they render to.
pub fn emit_value(value: &Value, options: &Options) -> String {
    Writer::document(&Tree::from_value(value, options), options)
}

/// What is to be written, every scalar's text decided.
enum Tree {
    Scalar(Scalar),
    List(Vec<Tree>),
    Map(Vec<(Scalar, Tree)>),
}

/// A scalar: what is not a string is always written as it stands.
struct Scalar {
    text: String,
    is_string: bool,
    /// Where it stands among keys: numbers before text.
    order: Option<f64>,
}

impl Scalar {
    fn string(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_string: true, order: None }
    }

    fn bare(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_string: false, order: None }
    }

    fn number(text: String, value: f64) -> Self {
        Self { text, is_string: false, order: Some(value) }
    }

    fn float(value: f64) -> Self {
        Self::number(scalar::float(value), value)
    }
}

impl Tree {
    fn from_json(json: &Json, options: &Options) -> Self {
        match json {
            Json::Null => Self::Scalar(Scalar::bare("null")),
            Json::Bool(value) => Self::Scalar(Scalar::bare(value.to_string())),
            Json::Number(number) if number.is_f64() => Self::Scalar(Scalar::float(number.as_f64().unwrap_or(f64::NAN))),
            Json::Number(number) => Self::Scalar(Scalar::bare(number.to_string())),
            Json::String(text) => Self::Scalar(Scalar::string(text.as_str())),
            Json::Array(items) => Self::List(items.iter().map(|item| Self::from_json(item, options)).collect()),
            Json::Object(map) => Self::map(
                map.iter()
                    .map(|(key, value)| (Scalar::string(key.as_str()), Self::from_json(value, options)))
                    .collect(),
                options,
            ),
        }
    }

    fn from_value(value: &Value, options: &Options) -> Self {
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
                Self::List(items.iter().map(|item| Self::from_value(item, options)).collect())
            }
            ValueKind::Map => {
                let keys = value.try_iter().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
                let entries = keys.into_iter().map(|key| {
                    let item = value.get_item(&key).unwrap_or_default();
                    (Self::scalar(&key), Self::from_value(&item, options))
                });
                Self::map(entries.collect(), options)
            }
            _ => Self::Scalar(Self::scalar(value)),
        }
    }

    fn scalar(value: &Value) -> Scalar {
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => Scalar::bare("null"),
            ValueKind::Bool => Scalar::bare(value.is_true().to_string()),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(number) if !value.is_integer() => Scalar::float(number),
                Ok(number) => Scalar::number(value.to_string(), number),
                Err(_) => Scalar::bare(value.to_string()),
            },
            _ => Scalar::string(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        }
    }

    /// Python sorts keys of one kind; where kinds are mixed it fails and PyYAML leaves the order as it is.
    fn map(mut entries: Vec<(Scalar, Self)>, options: &Options) -> Self {
        if options.sort_keys {
            if entries.iter().all(|(key, _)| key.is_string) {
                entries.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
            } else if entries.iter().all(|(key, _)| key.order.is_some()) {
                entries.sort_by(|(a, _), (b, _)| a.order.partial_cmp(&b.order).unwrap_or(std::cmp::Ordering::Equal));
            }
        }
        Self::Map(entries)
    }

    fn is_collection(&self) -> bool {
        !matches!(self, Self::Scalar(_))
    }

    fn style(&self, options: &Options) -> Style {
        let flow = match (options.flow, self) {
            (Flow::Always, _) => true,
            (Flow::Never, _) => false,
            (Flow::Leaves, Self::List(items)) => !items.iter().any(Self::is_collection),
            (Flow::Leaves, Self::Map(entries)) => !entries.iter().any(|(_, value)| value.is_collection()),
            (Flow::Leaves, Self::Scalar(_)) => false,
        };
        if flow { Style::Flow } else { Style::Block }
    }
}
