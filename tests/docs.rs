//! The generated parts of the documentation are those of the code. `make docs` (`UPDATE_DOCS=1 cargo test --test docs`) writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::path::Path;

use mms::env_vars;
use mms::modules::{self, Default, FreeForm, Kind, Module, Opt, Rule, Type};
use mms::template::{known_filters, known_lookups, known_tests};

/// Compares a file with what it should be, or writes it.
fn same(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the code says; `make docs` writes it", path.display());
}

/// Replaces what stands between two comments in a page that people write.
fn same_between(path: &str, name: &str, wanted: &str) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (start, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
    let (before, rest) = text.split_once(&start).expect("the page has the comment that starts the generated part");
    let (_, after) = rest.split_once(end).expect("the page has the comment that ends the generated part");
    same(path, &format!("{before}{start}{wanted}{end}{after}"));
}

fn modules_by_name() -> Vec<&'static Module> {
    let mut modules: Vec<_> = modules::all().collect();
    modules.sort_by_key(|module| full_name(module));
    modules
}

/// The name that playbooks should use.
fn full_name(module: &Module) -> &'static str {
    module.spec.fqcn.first().copied().unwrap_or(module.spec.name)
}

/// A text as a sentence.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

fn anchor(name: &str) -> String {
    name.replace('.', "").to_lowercase()
}

fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn type_of(option: &Opt) -> &'static str {
    match option.kind {
        Type::Str => "text",
        Type::Bool => "boolean",
        Type::Int => "whole number",
        Type::Float => "number",
        Type::Path => "path",
        Type::Mode => "mode",
        Type::StrList => "list of texts",
        Type::List => "list",
        Type::Dict => "mapping",
        Type::Raw => "anything",
        Type::Json => "JSON",
    }
}

fn of_option(option: &Opt) -> String {
    let mut about = vec![type_of(option).to_owned()];
    match option.default {
        Default::None => {}
        Default::Required => about.push("**required**".to_owned()),
        Default::Str(text) => about.push(format!("default `{text}`")),
        Default::Bool(value) => about.push(format!("default `{value}`")),
        Default::Int(number) => about.push(format!("default `{number}`")),
        Default::EmptyList => about.push("default `[]`".to_owned()),
        Default::EmptyDict => about.push("default `{}`".to_owned()),
    }
    if !option.choices.is_empty() {
        about.push(format!("one of {}", code(option.choices)));
    }
    if !option.aliases.is_empty() {
        about.push(format!("also {}", code(option.aliases)));
    }
    if option.no_log {
        about.push("secret".to_owned());
    }
    format!("- `{}` ({}): {}\n", option.name, about.join("; "), sentence(option.help))
}

fn of_rule(rule: &Rule) -> String {
    match rule {
        Rule::Exclusive(names) => format!("At most one of {}.", code(names)),
        Rule::OneOf(names) => format!("At least one of {}.", code(names)),
        Rule::Together(names) => format!("All or none of {}.", code(names)),
        Rule::If(name, value, names) => format!("With `{name}: {value}`, {} must be given.", code(names)),
        Rule::By(name, names) => format!("With `{name}`, {} must be given.", code(names)),
    }
}

fn of_module(module: &Module) -> String {
    let spec = module.spec;
    let mut page = format!("\n## {}\n\n{}\n", full_name(module), sentence(spec.summary));
    let others: Vec<_> = spec.fqcn.iter().skip(1).copied().chain([spec.name]).collect();
    let others: Vec<_> = others.into_iter().filter(|name| *name != full_name(module)).collect();
    let mut about = vec![];
    if !others.is_empty() {
        about.push(format!("Also {}.", code(&others)));
    }
    match module.kind {
        Kind::State(_) => about.push("A plan foretells what it does.".to_owned()),
        Kind::Action(_) => about.push("It runs when it is reached.".to_owned()),
        Kind::Engine => about.push("It steers the run itself.".to_owned()),
    }
    if spec.facts {
        about.push("It reads facts of the host.".to_owned());
    }
    match spec.free_form {
        FreeForm::KeyValue => {}
        FreeForm::Option(name) => about
            .push(format!("Text instead of a mapping is `{name}`, besides `key=value` pairs of the other arguments.")),
        FreeForm::Verbatim(name) => about.push(format!("Text instead of a mapping is `{name}`.")),
        FreeForm::Any => about.push("Its keys are your own.".to_owned()),
    }
    if !about.is_empty() {
        write!(page, "\n{}\n", about.join(" ")).unwrap();
    }
    if !spec.options.is_empty() {
        page.push('\n');
    }
    for option in spec.options {
        page.push_str(&of_option(option));
    }
    if !spec.rules.is_empty() {
        write!(page, "\n{}\n", spec.rules.iter().map(of_rule).collect::<Vec<_>>().join(" ")).unwrap();
    }
    if !spec.differs.is_empty() {
        write!(page, "\nDiffers from Ansible: {}\n", sentence(spec.differs)).unwrap();
    }
    page
}

#[test]
fn modules_page() {
    let modules = modules_by_name();
    let mut page = format!(
        "# Modules\n\nWhat tasks can ask of a host: {} modules. Generated from the code by `make docs`; what stands here is what \
         `mms check` accepts. Any other module or argument is an error before anything runs.\n\n",
        modules.len()
    );
    for module in &modules {
        let name = full_name(module);
        writeln!(page, "- [{name}](#{}): {}", anchor(name), sentence(module.spec.summary)).unwrap();
    }
    for module in &modules {
        page.push_str(&of_module(module));
    }
    same("docs/modules.md", &page);
}

#[test]
fn templates_page() {
    let list = |mut names: Vec<&'static str>| {
        names.sort_unstable();
        names.dedup();
        code(&names)
    };
    let page = format!(
        "# Templates\n\nWhat `{{{{ … }}}}`, `when:` and template files can use. Generated from the code by `make docs`. A name that is \
         not here is an error with its place, before anything runs. All answer to `ansible.builtin.` names as well.\n\n\
         ## Filters\n\n{}\n\n## Tests\n\n{}\n\n## Lookups\n\n{}\n",
        list(known_filters()),
        list(known_tests()),
        list(known_lookups())
    );
    same("docs/templates.md", &page);
}

/// The keys of an object of a JSON schema.
fn keys(schema: &serde_json::Value) -> String {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let mut list = String::new();
    for (name, property) in schema["properties"].as_object().unwrap() {
        let help = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let needed = if required.contains(&name.as_str()) { " (**required**)" } else { "" };
        writeln!(list, "- `{name}`{needed}: {help}").unwrap();
    }
    list
}

#[test]
fn keys_of_services() {
    let schema = mms::service::schema::service();
    let definitions = schema["$defs"].as_object().unwrap();
    let container = &definitions["Container"];
    let mut service = schema.clone();
    // The keys of a single container may stand at the top as well; they are told once.
    let names = container["properties"].as_object().unwrap();
    service["properties"].as_object_mut().unwrap().retain(|name, _| !names.contains_key(name));
    let mut text = format!("### A service\n\n{}\n### A container\n\n{}", keys(&service), keys(container));
    for (name, definition) in definitions {
        if name != "Container" && definition.get("properties").is_some() {
            write!(text, "\n### {name}\n\n{}", keys(definition)).unwrap();
        }
    }
    same_between("docs/services.md", "keys", &text);
}

#[test]
fn environment_variables() {
    let mut table = "| variable | Ansible's | what it does |\n|---|---|---|\n".to_owned();
    for variable in env_vars::ALL {
        let ansible = variable.ansible.map(|name| format!("`{name}`")).unwrap_or_default();
        writeln!(table, "| `{}` | {ansible} | {} |", variable.name, variable.help).unwrap();
    }
    same_between("docs/settings.md", "environment variables", &table);
}

#[test]
fn everything_says_what_it_is_for() {
    for module in modules::all() {
        let spec = module.spec;
        assert!(!spec.summary.is_empty(), "{} has no summary", spec.name);
        for option in spec.options {
            assert!(!option.help.is_empty(), "`{}` of {} has no help", option.name, spec.name);
        }
    }
}
