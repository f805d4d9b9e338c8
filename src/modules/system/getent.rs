//! `getent`: entries of the host's databases as facts.

use crate::connection::Answer;
use crate::modules::{Args, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Spec, StateModule, Type};
use crate::sh;
use crate::value::{Fields, Value, from_fields};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Getent) };

static SPEC: Spec = Spec {
    name: "getent",
    fqcn: &["ansible.builtin.getent"],
    summary: "Reads entries of a database such as `passwd` as facts",
    options: &[
        Opt::new("database", Type::Str, "The database: `passwd`, `group`, `hosts`, …").required(),
        Opt::new("key", Type::Str, "The entry; all of them when it is not given"),
        Opt::new("service", Type::Str, "Ask only this service"),
        Opt::new("split", Type::Str, "What separates the fields"),
        Opt::new("fail_key", Type::Bool, "Fail when there is no such entry").default(Default::Bool(true)),
    ],
    ..Spec::NONE
};

struct Getent;

impl StateModule for Getent {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let (database, key) = (args.text("database"), args.str("key"));
        let Some(answer) = seen.first() else {
            let mut words = vec!["getent", database];
            words.extend(key);
            if let Some(service) = args.str("service") {
                words.extend(["-s", service]);
            }
            return Ok(Next::Probe(Probe::new(format!("LC_ALL=C {}\n", sh::join(words)))));
        };
        let split =
            args.str("split").or_else(|| ["passwd", "shadow", "group", "gshadow"].contains(&database).then_some(":"));
        let mut tree: Fields = Fields::new();
        let fact = |tree: &Fields| {
            let facts = Fields::from_iter([(format!("getent_{database}"), from_fields(tree))]);
            Fields::from_iter([("ansible_facts".to_owned(), from_fields(&facts))])
        };
        let message = match answer.rc {
            0 => {
                let mut repeated = std::collections::HashMap::<String, usize>::new();
                for line in answer.stdout_text().lines() {
                    let mut fields: Vec<&str> = match split {
                        Some(split) => line.split(split).collect(),
                        None => line.split_whitespace().collect(),
                    };
                    if fields.is_empty() {
                        continue;
                    }
                    let name = fields.remove(0).to_owned();
                    let record: Value = fields.into_iter().map(Value::from).collect();
                    let count = repeated.entry(name.clone()).or_default();
                    *count += 1;
                    let value = match (*count, tree.get(&name)) {
                        (1, _) | (_, None) => record,
                        (2, Some(first)) => Value::from(vec![first.clone(), record]),
                        (_, Some(list)) => list.try_iter().map_err(|_| unexpected())?.chain([record]).collect(),
                    };
                    tree.insert(name, value);
                }
                return Ok(Next::Ok(fact(&tree)));
            }
            1 => "Missing arguments, or database unknown.",
            2 => "One or more supplied key could not be found in the database.",
            3 => "Enumeration not supported on this database.",
            127 => "Failed to find required executable \"getent\" in paths",
            _ => return Err(unexpected()),
        };
        if answer.rc == 2 && !args.bool("fail_key") {
            tree.insert(key.unwrap_or_default().to_owned(), Value::from(()));
            let mut fields = fact(&tree);
            fields.insert("msg".into(), message.into());
            return Ok(Next::Ok(fields));
        }
        Err(if answer.rc == 2 { Failure::missing(message) } else { Failure::new(message) })
    }
}

fn unexpected() -> Failure {
    Failure::new("Unexpected failure!")
}
