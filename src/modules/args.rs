//! A task's arguments after validation and coercion by the module's [`super::Spec`].

use std::time::Duration;

use crate::value::{Fields, Value};

/// Final arguments: every option of the spec that has a value, under its own name (never an alias), coerced to its type.
#[derive(Debug, Clone, Default)]
pub struct Args {
    fields: Fields,
}

impl Args {
    /// Arguments that are already valid.
    pub fn new(fields: Fields) -> Self {
        Self { fields }
    }

    /// The value of an option, if it has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// All of them, in the order of the spec.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Text of a `Str`, `Path`, `Mode` or `Json` option.
    pub fn str(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    /// Text of an option that the spec requires or gives a default. Empty if the spec does neither.
    pub fn text(&self, name: &str) -> &str {
        self.str(name).unwrap_or_default()
    }

    /// Whether a `Bool` option is true; false when it has no value.
    pub fn bool(&self, name: &str) -> bool {
        self.opt_bool(name).unwrap_or(false)
    }

    /// A `Bool` option that may be absent.
    pub fn opt_bool(&self, name: &str) -> Option<bool> {
        self.fields.get(name).map(Value::is_true)
    }

    /// An `Int` option.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.fields.get(name).and_then(Value::as_i64)
    }

    /// An `Int` option that is a number of seconds; none when it has no value or is below zero. More than ten years are ten
    /// years, so that the time can be added to any moment.
    pub fn seconds(&self, name: &str) -> Duration {
        const MOST: i64 = 10 * 366 * 86_400;
        Duration::from_secs(self.int(name).unwrap_or(0).clamp(0, MOST).unsigned_abs())
    }

    /// A `Float` option.
    pub fn float(&self, name: &str) -> Option<f64> {
        self.fields.get(name).and_then(|value| f64::try_from(value.clone()).ok())
    }

    /// The items of a `StrList` option; none when it is absent.
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.list(name).iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
    }

    /// The items of a `List` option; none when it is absent.
    pub fn list(&self, name: &str) -> Vec<Value> {
        self.fields.get(name).and_then(|value| value.try_iter().ok()).map(Iterator::collect).unwrap_or_default()
    }

    /// The entries of a `Dict` option; none when it is absent.
    pub fn dict(&self, name: &str) -> Fields {
        let Some(value) = self.fields.get(name) else { return Fields::new() };
        let Ok(keys) = value.try_iter() else { return Fields::new() };
        keys.filter_map(|key| Some((key.to_string(), value.get_item(&key).ok()?))).collect()
    }
}
