//! The modules that steer the run itself: see `modules::control` for their arguments.

mod include_vars;
mod meta;

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::drive::{Site, Trouble};
use super::evaluate::{Verdict, failure_of};
use super::result::Done;
use crate::event::{Event, Status};
use crate::modules::{Args, Failure};
use crate::playbook::{Task, Vars, is_variable_name};
use crate::value::{Fields, Raw, Value, from_fields};
use crate::vars::{PlayVars, TaskScope};
use crate::yaml::{Kind, Node};

/// Whether an argument holds expressions, not templates.
pub fn takes_expressions(module: &str, argument: &str) -> bool {
    matches!((module, argument), ("assert", "that") | ("debug", "var"))
}

impl Engine {
    /// Runs a module of the engine for one item.
    pub(super) async fn run_builtin(
        &self,
        task: &Arc<Task>,
        site: &Site,
        play: &Arc<PlayVars>,
        scope: &TaskScope,
        args: &Args,
    ) -> Result<Done, Trouble> {
        match task.module.spec.name {
            "set_fact" => Self::set_fact(args),
            "debug" => self.debug(task, site, scope, args).await,
            "assert" => self.assert(task, scope, args).await,
            "fail" => Err(Failure::new(args.text("msg")).into()),
            "include_vars" => self.include_vars(task, play, scope, args),
            "group_by" => self.group_by(site, args),
            "add_host" => self.add_host(args),
            "pause" => self.pause(site, args).await,
            other => Err(Failure::new(format!("`{other}` cannot be used here")).into()),
        }
    }

    fn set_fact(args: &Args) -> Result<Done, Trouble> {
        let mut facts = Fields::new();
        for (name, value) in args.fields() {
            if name == "cacheable" {
                continue;
            }
            if !is_variable_name(name) {
                return Err(Failure::new(format!("`{name}` is not a valid variable name")).into());
            }
            facts.insert(name.clone(), value.clone());
        }
        if facts.is_empty() {
            return Err(Failure::new("`set_fact` needs at least one `name: value`").into());
        }
        Ok(Done::new(Status::Ok, Fields::from_iter([("ansible_facts".to_owned(), from_fields(&facts))])))
    }

    async fn debug(&self, task: &Task, site: &Site, scope: &TaskScope, args: &Args) -> Result<Done, Trouble> {
        let wanted = args.int("verbosity").unwrap_or(0);
        if i64::from(self.parts.world.options.verbosity) < wanted {
            let mut done = Done::skipped("Verbosity threshold not met.", None);
            done.fields.shift_remove("skip_reason");
            done.fields.insert("skipped_reason".into(), Value::from("Verbosity threshold not met."));
            return Ok(done);
        }
        let mut fields = Fields::new();
        if let Some(node) = task.arguments.get("var") {
            let name = node.as_str().unwrap_or_default().to_owned();
            let dynamic = Self::dynamic(scope);
            let value = match self.evaluate(scope, || self.parts.templar.expression(&name, &node.span, &dynamic)).await
            {
                // Not a failure: whoever debugs wants to see just that, in the words that Ansible has for it.
                Err(Trouble::Failure(failure)) if failure.msg.contains("is undefined") => {
                    let what = failure.msg.split(" (").next().unwrap_or_default().replace('`', "'");
                    Value::from(format!("<< error 1 - {what} >>"))
                }
                value => value?,
            };
            if let Some(why) = crate::value::unknown_inside(&value) {
                return Ok(Done::unknown(why));
            }
            fields.insert(name, value);
        } else {
            // An argument that is null counts as not given elsewhere; here null is shown.
            let msg = match (args.get("msg"), task.arguments.get("msg")) {
                (Some(msg), _) => Some(msg.clone()),
                (None, Some(node)) => Some(self.value(node, scope).await?).filter(Value::is_none),
                (None, None) => None,
            };
            fields.insert("msg".into(), msg.unwrap_or_else(|| Value::from("Hello world!")));
        }
        let text = match fields.first() {
            Some((name, value)) if name != "msg" => format!("{name}: {}", pretty(value)),
            Some((_, value)) => pretty(value),
            None => String::new(),
        };
        if !site.no_log {
            self.parts.sink.emit(Event::Message { host: site.owner.name().to_owned(), text });
        }
        Ok(Done::new(Status::Ok, fields))
    }

    async fn assert(&self, task: &Task, scope: &TaskScope, args: &Args) -> Result<Done, Trouble> {
        let conditions: Vec<&Node> = match task.arguments.get("that") {
            Some(Node { kind: Kind::List(items), .. }) => items.iter().collect(),
            Some(node) => vec![node],
            None => vec![],
        };
        for condition in conditions {
            match self.conditions(&[condition], scope).await? {
                Verdict::Yes => {}
                Verdict::Unknown(why) => return Ok(Done::unknown(why)),
                Verdict::No(assertion) => {
                    let mut failure = Failure::new("").field("assertion", assertion).field("evaluated_to", false);
                    let msg = args.get("fail_msg").cloned().unwrap_or_else(|| Value::from("Assertion failed"));
                    failure.fields.insert("msg".into(), msg);
                    return Err(failure.into());
                }
            }
        }
        let msg = args.get("success_msg").cloned().unwrap_or_else(|| Value::from("All assertions passed"));
        Ok(Done::new(Status::Ok, Fields::from_iter([("msg".to_owned(), msg)])))
    }

    fn group_by(&self, site: &Site, args: &Args) -> Result<Done, Trouble> {
        let name = args.text("key").replace(' ', "-");
        let mut parents: Vec<String> = args.strings("parents").iter().map(|name| name.replace(' ', "-")).collect();
        if parents.is_empty() {
            parents.push("all".to_owned());
        }
        let added = self.parts.world.add_to_group(site.owner.name(), &name, &parents);
        let status = if added.map_err(|error| failure_of(&error))? { Status::Changed } else { Status::Ok };
        Ok(Done::new(
            status,
            Fields::from_iter([
                ("add_group".to_owned(), Value::from(name)),
                ("parent_groups".to_owned(), Value::from(parents)),
            ]),
        ))
    }

    fn add_host(&self, args: &Args) -> Result<Done, Trouble> {
        let first = |names: &[&str]| names.iter().find_map(|name| args.get(name)).cloned();
        let Some(name) =
            first(&["name", "hostname", "host"]).map(|name| name.to_string()).filter(|name| !name.is_empty())
        else {
            return Err(Failure::new("`add_host` needs the `name` of a host").into());
        };
        let groups: Vec<String> = match first(&["groups", "group", "groupname"]) {
            None => vec![],
            Some(value) => match value.as_str() {
                Some(text) => text.split(',').map(|group| group.trim().to_owned()).collect(),
                None => {
                    value.try_iter().map(|groups| groups.map(|group| group.to_string()).collect()).unwrap_or_default()
                }
            },
        };
        let own = ["name", "hostname", "host", "groups", "group", "groupname"];
        let mut vars = Fields::new();
        for (key, value) in args.fields().iter().filter(|(key, _)| !own.contains(&key.as_str())) {
            vars.insert(key.clone(), value.clone());
        }
        let own = vars.iter().map(|(key, value)| (key.clone(), Raw::Value(value.clone()))).collect::<Vars>();
        let new = self.parts.world.add_host(&name, &groups, own).map_err(|error| failure_of(&error))?;
        let added = Fields::from_iter([
            ("host_name".to_owned(), Value::from(name)),
            ("groups".to_owned(), Value::from(groups)),
            ("host_vars".to_owned(), from_fields(&vars)),
        ]);
        let status = if new { Status::Changed } else { Status::Ok };
        Ok(Done::new(status, Fields::from_iter([("add_host".to_owned(), from_fields(&added))])))
    }

    async fn pause(&self, site: &Site, args: &Args) -> Result<Done, Trouble> {
        let seconds = args.float("seconds").or_else(|| args.float("minutes").map(|minutes| minutes * 60.0));
        let prompt = args.str("prompt");
        let started = Instant::now();
        let clock = || jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let start = clock();
        let mut typed = String::new();
        let unit = if args.get("minutes").is_some() { "minutes" } else { "seconds" };
        match seconds {
            Some(seconds) => {
                let text = prompt.map_or_else(|| format!("pausing for {seconds} seconds"), str::to_owned);
                self.parts.sink.emit(Event::Live { host: site.owner.name().to_owned(), line: text });
                tokio::time::sleep(super::evaluate::seconds(seconds)).await;
            }
            None => {
                let prompter = Arc::clone(&self.parts.prompter);
                let question = prompt.unwrap_or("Press enter to continue, Ctrl-C to interrupt").to_owned();
                let echo = args.bool("echo");
                let answer = tokio::task::spawn_blocking(move || prompter.line(&question, echo)).await;
                typed = answer.ok().flatten().unwrap_or_default();
            }
        }
        // Whatever people did meanwhile, mms has not seen it.
        self.changes.waited();
        let elapsed = started.elapsed();
        let amount = if unit == "minutes" { elapsed.as_secs_f64() / 60.0 } else { elapsed.as_secs_f64() };
        Ok(Done::new(
            Status::Ok,
            Fields::from_iter([
                ("delta".to_owned(), Value::from(elapsed.as_secs())),
                ("start".to_owned(), Value::from(start)),
                ("stop".to_owned(), Value::from(clock())),
                ("stdout".to_owned(), Value::from(format!("Paused for {amount:.2} {unit}"))),
                ("stderr".to_owned(), Value::from("")),
                ("rc".to_owned(), Value::from(0)),
                ("echo".to_owned(), Value::from(args.bool("echo"))),
                ("user_input".to_owned(), Value::from(typed)),
            ]),
        ))
    }
}

/// A value for people: text as it is, structures as indented JSON.
fn pretty(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string_pretty(&crate::value::to_json(value)).unwrap_or_else(|_| value.to_string()),
    }
}
