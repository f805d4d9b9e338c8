//! Template files: the `template` module, the `template` lookup, `include`, `import` and `extends`.

use std::path::Path;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;

use super::FileOptions;
use super::ast::Unit;
use super::eval;
use super::lazy::{Context, finish};
use super::marker::{Eval, Stop, trip};
use super::parse::{Mode, SyntaxError, compile};
use super::place::Place;
use crate::diagnostic::{Diagnostic, Source, Span};
use crate::error::Error;
use crate::value::Value;

/// The first line of a template may change how it is read: `#jinja2: trim_blocks:False, lstrip_blocks:True`.
const HEADER: &str = "#jinja2:";

/// A template file rendered to text.
pub fn render(context: &Arc<Context>, source: &Arc<Source>, options: &FileOptions) -> Eval<Value> {
    let (options, before) = header(source, options)?;
    let (unit, place) = parse(source, &options, before)?;
    let value = eval::render(context, &unit, &place)?;
    let value = finish(value)?;
    if let Some(stop) = trip(&value) {
        return Err(stop);
    }
    let text = if value.is_none() { String::new() } else { super::py::text(&value)? };
    Ok(Value::from(text))
}

/// What is wrong with a template file, as far as that can be seen without variables.
pub fn check(source: &Arc<Source>, options: &FileOptions) -> Vec<Diagnostic> {
    match header(source, options)
        .and_then(|(options, before)| parse(source, &options, before).map(|unit| (unit.0, before)))
    {
        Ok((unit, before)) => {
            let span = Span::new(source, before, source.text.len());
            super::check::unknown_names(&unit, &span)
        }
        Err(Stop::Error(error)) => error.diagnostics().to_vec(),
        Err(_) => vec![],
    }
}

/// The template that `include` and the like name: beside the template it stands in, or in a `templates` directory.
pub fn load(context: &Arc<Context>, from: &Place, name: &str) -> Eval<Option<(Arc<Unit>, Place)>> {
    let beside = match from {
        Place::File(source, _) => Path::new(&source.name).parent().map(|dir| dir.join(name)),
        Place::Node(_) => None,
    };
    let found = beside
        .filter(|path| path.is_file())
        .or_else(|| context.engine.services.find_file(&*context.scope, "templates", name));
    let Some(path) = found else { return Ok(None) };
    let source = read(&path)?;
    let (options, before) = header(&source, &FileOptions::default())?;
    parse(&source, &options, before).map(Some)
}

/// A file as a source that errors point into.
pub fn read(path: &Path) -> Eval<Arc<Source>> {
    let text = std::fs::read_to_string(path).map_err(|error| Stop::Error(Error::io("read", path, &error)))?;
    Ok(Source::new(path.display().to_string(), text))
}

/// How a file is read, with the header's changes, and how many bytes the header takes.
fn header(source: &Arc<Source>, options: &FileOptions) -> Eval<(FileOptions, usize)> {
    let mut options = options.clone();
    let Some(rest) = source.text.strip_prefix(HEADER) else { return Ok((options, 0)) };
    let (line, _) = rest.split_once('\n').unwrap_or((rest, ""));
    let before = (HEADER.len() + line.len() + 1).min(source.text.len());
    for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once(':').unwrap_or((part, ""));
        let value = value.trim();
        let flag = || matches!(value.to_lowercase().as_str(), "true" | "yes" | "on" | "1");
        let text = || value.trim_matches(['"', '\'']).to_owned();
        match name.trim() {
            "trim_blocks" => options.trim_blocks = flag(),
            "lstrip_blocks" => options.lstrip_blocks = flag(),
            "variable_start_string" => options.variable.0 = text(),
            "variable_end_string" => options.variable.1 = text(),
            "block_start_string" => options.block.0 = text(),
            "block_end_string" => options.block.1 = text(),
            "comment_start_string" => options.comment.0 = text(),
            "comment_end_string" => options.comment.1 = text(),
            "newline_sequence" => options.newline = text().replace("\\n", "\n").replace("\\r", "\r"),
            other => {
                let known = [
                    "trim_blocks",
                    "lstrip_blocks",
                    "variable_start_string",
                    "variable_end_string",
                    "block_start_string",
                    "block_end_string",
                    "comment_start_string",
                    "comment_end_string",
                    "newline_sequence",
                ];
                let error = Diagnostic::error(format!("`{other}` is not an option of `#jinja2:`"))
                    .at(&Span::new(source, 0, before))
                    .did_you_mean(other, known);
                return Err(Stop::Error(error.into()));
            }
        }
    }
    Ok((options, before))
}

fn parse(source: &Arc<Source>, options: &FileOptions, before: usize) -> Eval<(Arc<Unit>, Place)> {
    let text: Arc<str> = source.text.get(before..).unwrap_or_default().into();
    let place = Place::File(Arc::clone(source), before);
    let syntax = syntax(options).map_err(|message| Stop::Error(Error::user(message)))?;
    let unit = compile(&text, &Mode::File(syntax, options.newline.clone())).map_err(|error: SyntaxError| {
        let span = error.at.clone().map_or_else(|| Span::new(source, before, before), |at| place.span(&text, &at));
        Stop::Error(super::check::syntax_diagnostic(&error, &text).at(&span).into())
    })?;
    Ok((Arc::new(unit), place))
}

fn syntax(options: &FileOptions) -> Result<SyntaxConfig, String> {
    let pair = |pair: &(String, String)| (pair.0.clone(), pair.1.clone());
    let (block, variable, comment) = (pair(&options.block), pair(&options.variable), pair(&options.comment));
    SyntaxConfig::builder()
        .block_delimiters(block.0, block.1)
        .variable_delimiters(variable.0, variable.1)
        .comment_delimiters(comment.0, comment.1)
        .trim_blocks(options.trim_blocks)
        .lstrip_blocks(options.lstrip_blocks)
        .build()
        .map_err(|error| format!("the template's markers do not work together: {error}"))
}
