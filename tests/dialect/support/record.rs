//! What a tool did, task by task, read from its own output and made comparable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value as Json};

/// How a task ended on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// `file:line` of the task, relative to `tests/dialect`.
    pub place: String,
    /// Its name.
    pub name: String,
    /// The short name of its module.
    pub module: String,
    /// `ok`, `changed`, `skipped`, `failed`, `unreachable`; ` (ignored)` after a failure that was ignored.
    pub status: String,
    /// The registered result.
    pub result: Json,
}

/// Per host, in order.
pub type Records = BTreeMap<String, Vec<Record>>;

/// Texts that differ between the twins, and what stands for them in both.
pub type Names = Vec<(String, &'static str)>;

/// Puts the same names for what differs between the twins by nature, and between two runs: the process and the time in
/// the name of a backup (`conf.192.2026-11-21@03:15:54~`).
pub fn neutral(text: &str, names: &Names) -> String {
    static BACKUP: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~").expect("a constant expression"));
    let text = names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    BACKUP.replace_all(&text, ".{backup}~").into_owned()
}

/// Tasks that steer the run leave no result in Ansible's output, or only when they are skipped or fail.
fn steers(module: &str, status: &str) -> bool {
    module == "meta"
        || (matches!(module, "include_tasks" | "include_role" | "import_tasks" | "import_role" | "include_vars_")
            && !status.starts_with("failed"))
}

/// The lines of the callback plugin.
pub fn of_ansible(output: &str, root: &Path) -> Result<Records, String> {
    let mut records = Records::new();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let json: Json = serde_json::from_str(line).map_err(|error| format!("ansible wrote `{line}`: {error}"))?;
        let mut status = text(&json, "status");
        if json["ignored"] == true {
            status += " (ignored)";
        }
        let module = short(&text(&json, "module"));
        let name = text(&json, "name");
        if (name == "Gathering Facts" && module == "gather_facts") || steers(&module, &status) {
            continue;
        }
        // `role : name`, as mms has it in two fields.
        let record = Record {
            place: place(&text(&json, "place"), root),
            name: name.split_once(" : ").map_or(name.as_str(), |(_, name)| name).to_owned(),
            module,
            result: result(&json["result"], &status),
            status,
        };
        records.entry(text(&json, "host")).or_default().push(record);
    }
    Ok(records)
}

/// The lines of `mms run --json`.
pub fn of_mms(output: &str, root: &Path) -> Result<Records, String> {
    let mut records = Records::new();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let json: Json = serde_json::from_str(line).map_err(|error| format!("mms wrote `{line}`: {error}"))?;
        if json["event"] == "unreachable" {
            let host = text(&json, "host");
            let record = Record {
                place: String::new(),
                name: "(connection)".to_owned(),
                module: String::new(),
                status: "unreachable".to_owned(),
                result: serde_json::json!({"msg": json["message"]}),
            };
            records.entry(host).or_default().push(record);
        }
        if json["event"] != "task" {
            continue;
        }
        let task = &json["task"];
        let status = match text(&json, "status").as_str() {
            "ignored" => "failed (ignored)".to_owned(),
            "rescued" => "failed".to_owned(),
            other => other.to_owned(),
        };
        let module = text(task, "module");
        if steers(&module, &status) {
            continue;
        }
        let record = Record {
            place: place(&text(task, "place"), root),
            name: text(task, "name"),
            module,
            result: result(&json["result"], &status),
            status,
        };
        records.entry(text(&json, "host")).or_default().push(record);
    }
    Ok(records)
}

fn text(json: &Json, field: &str) -> String {
    json[field].as_str().unwrap_or_default().to_owned()
}

fn short(module: &str) -> String {
    let name = module.rsplit('.').next().unwrap_or(module);
    // The names that mms knows by another.
    match name {
        "dnf5" | "yum" => "dnf",
        "systemd_service" => "systemd",
        other => other,
    }
    .to_owned()
}

/// `/…/tests/dialect/file.yml:3:5` → `file.yml:3`.
fn place(text: &str, root: &Path) -> String {
    let text = text.strip_prefix(root.to_str().unwrap_or_default()).unwrap_or(text);
    let text = text.trim_start_matches('/');
    let text = text.strip_prefix("tests/dialect/").unwrap_or(text);
    text.split(':').take(2).collect::<Vec<_>>().join(":")
}

/// `changed`, `failed` and `skipped` are always there; Ansible's callbacks do not see `failed` and `skipped`.
fn result(json: &Json, status: &str) -> Json {
    let mut json = json.clone();
    if let Json::Object(fields) = &mut json {
        for field in ["failed", "skipped"] {
            if status.starts_with(field) {
                fields.entry(field).or_insert(Json::Bool(true));
            }
        }
        complete(fields);
        if let Some(Json::Array(items)) = fields.get_mut("results") {
            for item in items {
                if let Json::Object(fields) = item {
                    complete(fields);
                }
            }
        }
    }
    json
}

fn complete(fields: &mut Map<String, Json>) {
    for field in ["changed", "failed", "skipped"] {
        fields.entry(field).or_insert(Json::Bool(false));
    }
}
