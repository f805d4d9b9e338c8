//! What all evaluations share: compiled templates, decrypted secrets, and the services behind lookups.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use minijinja::syntax::SyntaxConfig;

use super::Services;
use super::ast::Unit;
use super::parse::{Mode, SyntaxError, compile};
use crate::diagnostic::Span;
use crate::error::Result;
use crate::sync::lock;

/// The key a secret stands at, and its ciphertext.
type Secret = (Option<String>, Arc<str>);
type Compiled = std::result::Result<Arc<Unit>, SyntaxError>;

/// See the module text.
#[derive(Debug)]
pub struct Engine {
    pub services: Arc<dyn Services>,
    yaml: SyntaxConfig,
    units: RwLock<HashMap<Arc<str>, Compiled>>,
    expressions: RwLock<HashMap<Arc<str>, Compiled>>,
    secrets: Mutex<HashMap<Secret, Arc<str>>>,
}

impl Engine {
    /// An engine without anything compiled.
    pub fn new(services: Arc<dyn Services>) -> Self {
        // Delimiters are the default ones, so that this cannot fail.
        let yaml = SyntaxConfig::builder().trim_blocks(true).build().unwrap_or_default();
        Self { services, yaml, units: RwLock::default(), expressions: RwLock::default(), secrets: Mutex::default() }
    }

    /// A template string in YAML, compiled once.
    pub fn unit(&self, text: &Arc<str>) -> Compiled {
        remember(&self.units, text, || compile(text, &Mode::Yaml(self.yaml.clone())))
    }

    /// A bare expression, compiled once.
    pub fn expression(&self, text: &str) -> Compiled {
        remember(&self.expressions, &Arc::from(text), || compile(&Arc::from(text), &Mode::Expression))
    }

    /// The plaintext of a secret, decrypted once.
    pub fn decrypt(&self, name: Option<&str>, ciphertext: &Arc<str>, span: &Span) -> Result<Arc<str>> {
        let key = (name.map(str::to_owned), Arc::clone(ciphertext));
        if let Some(plain) = lock(&self.secrets).get(&key) {
            return Ok(Arc::clone(plain));
        }
        let plain: Arc<str> = self.services.decrypt(name, ciphertext, span)?.into();
        lock(&self.secrets).insert(key, Arc::clone(&plain));
        Ok(plain)
    }
}

fn remember(
    cache: &RwLock<HashMap<Arc<str>, Compiled>>,
    text: &Arc<str>,
    compile: impl FnOnce() -> std::result::Result<Unit, SyntaxError>,
) -> Compiled {
    if let Some(done) = cache.read().unwrap_or_else(PoisonError::into_inner).get(text) {
        return done.clone();
    }
    let unit = compile().map(Arc::new);
    cache.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(text), unit.clone());
    unit
}
