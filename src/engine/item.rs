//! One task on one host: its loop, and for each item condition, arguments, attempts and verdict.

use std::sync::Arc;
use std::time::Instant;

use super::drive::{Site, Trouble};
use super::evaluate::{Verdict, failure_at, seconds};
use super::host::Host;
use super::result::Done;
use super::target::Around;
use super::workstation::TaskWorkstation;
use super::{Engine, Kind};
use crate::connection::ConnectionError;
use crate::event::{Event, Status, TaskLabel};
use crate::modules::{Args, Failure, FreeForm, validate};
use crate::playbook::{Loop, Task, Vars};
use crate::value::{Fields, Raw, Value, unknown_inside, unknown_why};
use crate::vars::{HostVars, PlayVars, TaskScope};

/// What a task came to on a host.
pub struct Ended {
    /// Its result; with a loop the sum of its items.
    pub done: Done,
    /// Whether `ignore_errors` holds for it.
    pub ignore: bool,
    /// Whether it failed in a way that `ignore_errors` does not cover, as in Ansible: what it brings in is not there.
    pub fatal: bool,
    /// Tasks to bring in: of `include_tasks` and `include_role`, one per item.
    pub includes: Vec<super::include::Include>,
    /// The connection broke.
    pub unreachable: Option<ConnectionError>,
    /// Who gets its facts: another host with `delegate_facts`.
    pub facts_to: Option<Arc<Host>>,
}

/// The items of a loop, or why a plan cannot tell them.
pub type Items = Vec<Value>;

impl Engine {
    /// The items of a loop; nothing when a plan cannot tell them.
    pub(super) async fn loop_items(&self, looping: &Loop, scope: &TaskScope) -> Result<Option<Items>, Trouble> {
        let (value, span) = match looping {
            Loop::List(node) => (self.value(node, scope).await?, &node.span),
            Loop::With { lookup, terms } => {
                let value = self.value(terms, scope).await?;
                let list =
                    matches!(value.kind(), minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable);
                if unknown_inside(&value).is_some() {
                    return Ok(None);
                }
                let terms_list: Vec<Value> = match value.try_iter() {
                    Ok(items) if list => items.collect(),
                    _ => vec![value],
                };
                let dynamic = Self::dynamic(scope);
                let call = || {
                    self.parts
                        .templar
                        .lookup(lookup, terms_list.clone(), &dynamic)
                        .map_err(|error| error.at(&terms.span))
                };
                (self.evaluate(scope, call).await?, &terms.span)
            }
        };
        if unknown_why(&value).is_some() {
            return Ok(None);
        }
        let is_list = matches!(value.kind(), minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable);
        match value.try_iter() {
            Ok(items) if is_list => Ok(Some(items.collect())),
            _ => {
                let failure = failure_at(&format!("a loop needs a list, this is `{value}`"), span);
                Err(failure.hint("`dict2items` makes a list of a mapping").into())
            }
        }
    }

    /// The scope of each item of a loop.
    pub(super) fn loop_scopes(&self, task: &Task, scope: &TaskScope, items: &[Value]) -> Vec<TaskScope> {
        let control = &task.loop_control;
        let name = control.loop_var.as_deref().unwrap_or("item");
        let scope_of = |(index, item): (usize, &Value)| {
            let mut locals = Vars::new();
            locals.insert(name.to_owned(), Raw::Value(item.clone()));
            locals.insert("ansible_loop_var".into(), Raw::Value(Value::from(name)));
            if let Some(index_var) = &control.index_var {
                locals.insert(index_var.clone(), Raw::Value(Value::from(index)));
                locals.insert("ansible_index_var".into(), Raw::Value(Value::from(index_var.as_str())));
            }
            if control.extended {
                locals.insert("ansible_loop".into(), Raw::Value(extended(items, index)));
            }
            scope.with_locals(locals)
        };
        items.iter().enumerate().map(scope_of).collect()
    }

    /// Runs a task on a host.
    pub(super) async fn run_on_host(
        &self,
        task: &Arc<Task>,
        label: &Arc<TaskLabel>,
        host: &Arc<Host>,
        play: &Arc<PlayVars>,
        outer: &Vars,
    ) -> Ended {
        let scope = TaskScope::new(&self.parts.world, play, &host.vars, Some(&task.parent), &task.keywords.vars)
            .with_locals(outer.clone());
        let mut ended = Ended {
            done: Done::new(Status::Ok, Fields::new()),
            ignore: false,
            fatal: false,
            includes: vec![],
            unreachable: None,
            facts_to: None,
        };
        match &task.looping {
            None => {
                ended.done = self.settle(task, host, play, &scope, &mut ended).await;
                self.keep_facts(task, ended.facts_to.as_ref().unwrap_or(host), &ended.done.fields);
            }
            Some(looping) => self.run_loop(task, label, host, play, &scope, looping, &mut ended).await,
        }
        if ended.done.status == Status::Failed && !ended.fatal {
            ended.ignore =
                self.flag(task.nearest(|keywords| keywords.ignore_errors.as_ref()), &scope).await.ok().flatten()
                    == Some(true);
        }
        ended
    }

    #[expect(clippy::too_many_arguments, reason = "what a task on a host is made of")]
    async fn run_loop(
        &self,
        task: &Arc<Task>,
        label: &Arc<TaskLabel>,
        host: &Arc<Host>,
        play: &Arc<PlayVars>,
        scope: &TaskScope,
        looping: &Loop,
        ended: &mut Ended,
    ) {
        let items = match self.loop_items(looping, scope).await {
            Ok(Some(items)) => items,
            Ok(None) => {
                let conditions = task.gathered(|keywords| &keywords.when);
                ended.done = match self.conditions(&conditions, scope).await {
                    Ok(Verdict::No(condition)) => Done::skipped("Conditional result was False", Some(condition)),
                    _ => {
                        let why = "the items of its loop are not known yet";
                        blur_facts(task, host, why);
                        Done::unknown(why)
                    }
                };
                return;
            }
            Err(trouble) => {
                // A loop over something undefined is fine when the condition says that the task is not run.
                let conditions = task.gathered(|keywords| &keywords.when);
                ended.done = match self.conditions(&conditions, scope).await {
                    Ok(Verdict::No(condition)) => Done::skipped("Conditional result was False", Some(condition)),
                    _ => settle_trouble(trouble, ended),
                };
                return;
            }
        };
        if items.is_empty() {
            let mut done = Done::skipped("No items in the list", None);
            done.fields.shift_remove("skip_reason");
            done.fields.insert("skipped_reason".into(), Value::from("No items in the list"));
            done.fields.insert("results".into(), Value::from(Vec::<Value>::new()));
            ended.done = done;
            return;
        }
        let name = task.loop_control.loop_var.as_deref().unwrap_or("item");
        let mut results = vec![];
        for (index, scope) in self.loop_scopes(task, scope, &items).into_iter().enumerate() {
            let started = Instant::now();
            let mut done = self.settle(task, host, play, &scope, ended).await;
            if ended.unreachable.is_some() {
                ended.done = done;
                return;
            }
            // The next item sees what this one has set and registered.
            self.keep_facts(task, ended.facts_to.as_ref().unwrap_or(host), &done.fields);
            if let Some(name) = &task.register {
                host.vars.set(name, done.value());
            }
            let item = items.get(index).cloned().unwrap_or_default();
            done.fields.insert(name.to_owned(), item.clone());
            done.fields.insert("ansible_loop_var".into(), Value::from(name));
            if let Some(index_var) = &task.loop_control.index_var {
                done.fields.insert(index_var.clone(), Value::from(index));
                done.fields.insert("ansible_index_var".into(), Value::from(index_var.as_str()));
            }
            if task.loop_control.extended {
                done.fields.insert("ansible_loop".into(), extended(&items, index));
            }
            let shown = match &task.loop_control.label {
                Some(node) => self.text(Some(node), &scope).await.ok().flatten().unwrap_or_else(|| item.to_string()),
                None => item.to_string(),
            };
            let mut report = done.report(started.elapsed(), label.no_log);
            if report.status == Status::Failed && host.is_guarded() {
                report.status = Status::Rescued;
            }
            self.parts.sink.emit(Event::ItemFinished {
                task: Arc::clone(label),
                host: host.name().to_owned(),
                item: if label.no_log { "hidden by no_log".to_owned() } else { shown },
                report,
            });
            let stop = if task.loop_control.break_when.is_empty() {
                false
            } else {
                let scope = register_in(task, &scope, &done);
                let conditions: Vec<_> = task.loop_control.break_when.iter().collect();
                matches!(self.conditions(&conditions, &scope).await, Ok(Verdict::Yes))
            };
            results.push(done);
            if stop {
                break;
            }
            if index + 1 < items.len()
                && let Ok(Some(pause)) = self.number(task.loop_control.pause.as_ref(), &scope).await
            {
                tokio::time::sleep(seconds(pause)).await;
                self.changes.waited();
            }
        }
        ended.done = Done::of_items(&results);
    }

    /// One item, whatever happens to it.
    async fn settle(
        &self,
        task: &Arc<Task>,
        host: &Arc<Host>,
        play: &Arc<PlayVars>,
        scope: &TaskScope,
        ended: &mut Ended,
    ) -> Done {
        match self.run_item(task, host, play, scope, ended).await {
            Ok(done) => done,
            Err(trouble) => settle_trouble(trouble, ended),
        }
    }

    async fn run_item(
        &self,
        task: &Arc<Task>,
        host: &Arc<Host>,
        play: &Arc<PlayVars>,
        scope: &TaskScope,
        ended: &mut Ended,
    ) -> Result<Done, Trouble> {
        let conditions = task.gathered(|keywords| &keywords.when);
        match self.conditions(&conditions, scope).await? {
            Verdict::Yes => {}
            Verdict::No(condition) => return Ok(Done::skipped("Conditional result was False", Some(condition))),
            Verdict::Unknown(why) => {
                blur_facts(task, host, &why);
                return Ok(Done::unknown(format!("its condition is not known yet: {why}")));
            }
        }
        if super::include::is_include(task) {
            let args = self.arguments(task, scope).await?;
            if let Some(why) = args.fields().values().find_map(unknown_inside) {
                return Err(Trouble::Unknown(format!("what it brings in is known only after a change: {why}")));
            }
            match self.prepare_include(task, scope, play, &args).await {
                Ok(include) => ended.includes.push(include),
                Err(trouble) => {
                    ended.fatal = true;
                    return Err(trouble);
                }
            }
            return Ok(Done::new(Status::Ok, Fields::new()));
        }
        let site = self.site(Around::Task(task), scope, host, play).await?;
        let scope = &match &site.delegated {
            Some(vars) => {
                scope.with_locals(Vars::from_iter([("ansible_delegated_vars".into(), Raw::Value(vars.clone()))]))
            }
            None => scope.clone(),
        };
        let to_delegate = self.flag(task.nearest(|keywords| keywords.delegate_facts.as_ref()), scope).await?;
        ended.facts_to = (to_delegate == Some(true)).then(|| Arc::clone(&site.host));
        // `retries` alone means until it does not fail; `until` alone means three.
        let attempts = if task.until.is_empty() && task.retries.is_none() {
            1
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to a small whole number first"
            )]
            let retries =
                self.number(task.retries.as_ref(), scope).await?.map_or(3, |number| number.clamp(0.0, 1e6) as u64);
            retries + 1
        };
        let delay = seconds(self.number(task.delay.as_ref(), scope).await?.unwrap_or(5.0).clamp(0.0, 86_400.0));
        let until: Vec<_> = task.until.iter().collect();
        let mut attempt = 1;
        loop {
            let mut done = match self.attempt(task, &site, play, scope).await {
                Ok(done) => done,
                Err(Trouble::Failure(failure)) => Done::failed(failure),
                Err(other) => return Err(other),
            };
            if attempts > 1 {
                // `changed_when` and `failed_when` may ask for it.
                done.fields.insert("attempts".into(), Value::from(attempt));
            }
            self.judge(task, scope, &mut done).await?;
            if attempts == 1 || done.unknown.is_some() || done.status == Status::Skipped {
                return Ok(done);
            }
            let enough = if until.is_empty() {
                done.status != Status::Failed
            } else {
                matches!(self.conditions(&until, &register_in(task, scope, &done)).await?, Verdict::Yes)
            };
            if enough {
                return Ok(done);
            }
            if site.check && !until.is_empty() {
                // What it waits for may be what an earlier change of the plan sets off.
                return Ok(Done::unknown("the condition of `until` does not hold now"));
            }
            if attempt >= attempts || site.check {
                // Ansible counts the retries here, not the attempts.
                done.fields.insert("attempts".into(), Value::from(attempts - 1));
                // `failed_when` has the last word, as in Ansible.
                if done.status != Status::Failed && !done.fields.contains_key("failed_when_result") {
                    done.status = Status::Failed;
                    done.fields.insert("failed".into(), Value::from(true));
                    done.hints.push("the condition of `until` was never true".to_owned());
                }
                return Ok(done);
            }
            let line = format!("attempt {attempt} of {attempts}: waiting for `until`");
            self.parts.sink.emit(Event::Live { host: host.name().to_owned(), line });
            attempt += 1;
            tokio::time::sleep(delay).await;
            self.changes.waited();
        }
    }

    async fn attempt(
        &self,
        task: &Arc<Task>,
        site: &Site,
        play: &Arc<PlayVars>,
        scope: &TaskScope,
    ) -> Result<Done, Trouble> {
        let args = self.arguments(task, scope).await?;
        // Facts may be set to what is not known yet.
        if task.module.spec.name != "set_fact"
            && let Some(why) = args.fields().values().find_map(unknown_inside)
        {
            return Ok(Done::unknown(format!("an argument is not known yet: {why}")));
        }
        if let Kind::Engine = task.module.kind {
            return self.run_builtin(task, site, play, scope, &args).await;
        }
        if task.module.spec.facts && !site.host.vars.gathered() {
            self.gather_facts(&site.host).await?;
        }
        let workstation = self.workstation(task, scope, play, &site.host.vars);
        loop {
            let outcome = self.drive(task, site, &workstation, &args).await;
            // A template file may have asked for the facts of another host.
            if !matches!(outcome, Err(Trouble::Failure(_))) || !self.gather_wanted(scope).await? {
                return outcome;
            }
        }
    }

    /// The final arguments of a task.
    pub(super) async fn arguments(&self, task: &Task, scope: &TaskScope) -> Result<Args, Trouble> {
        let spec = task.module.spec;
        let mut fields = self.module_defaults(task, scope).await?;
        if let Some(template) = &task.arguments.template {
            let value = self.known(template, scope).await?;
            if let Ok(keys) = value.try_iter() {
                fields.extend(keys.filter_map(|key| Some((key.to_string(), value.get_item(&key).ok()?))));
            }
        }
        for (name, _, node) in &task.arguments.entries {
            if super::builtin::takes_expressions(spec.name, name) {
                // Evaluated by the module itself; validation only sees that it is there.
                fields.insert(name.clone(), Value::from(node.as_str().unwrap_or_default()));
                continue;
            }
            let value = self.value(node, scope).await?;
            let name = match name.contains("{{") && spec.free_form == FreeForm::Any {
                // `set_fact` may compute the name.
                true => {
                    let kind = crate::yaml::Kind::Str(name.as_str().into());
                    self.value(&crate::yaml::Node { kind, ..node.clone() }, scope).await?.to_string()
                }
                false => name.clone(),
            };
            if crate::value::is_omit(&value) {
                fields.shift_remove(&name);
            } else {
                fields.insert(name, value);
            }
        }
        if spec.free_form == FreeForm::Any {
            return Ok(Args::new(fields));
        }
        let args = validate::args(spec, fields).map_err(|problems| {
            let mut failure = validate::failure(&problems);
            failure.msg = format!("{} ({})", failure.msg, task.module_span);
            failure
        })?;
        for option in spec.options.iter().filter(|option| option.no_log) {
            if let Some(secret) = args.str(option.name) {
                self.parts.redactor.add(secret);
            }
        }
        Ok(args)
    }

    /// `module_defaults:` for this module, outermost first.
    async fn module_defaults(&self, task: &Task, scope: &TaskScope) -> Result<Fields, Trouble> {
        let spec = task.module.spec;
        let mut fields = Fields::new();
        for node in task.gathered(|keywords| &keywords.module_defaults) {
            let Some(map) = node.as_map() else { continue };
            for (key, value) in map.iter() {
                let named = key.as_str().is_some_and(|name| name == spec.name || spec.fqcn.contains(&name));
                if let (true, Some(defaults)) = (named, value.as_map()) {
                    // The inner ones of a module replace the outer ones as a whole, as in Ansible.
                    fields.clear();
                    for (name, value) in defaults.iter() {
                        fields.insert(name.as_str().unwrap_or_default().to_owned(), self.value(value, scope).await?);
                    }
                }
            }
        }
        Ok(fields)
    }

    /// `changed_when` and `failed_when`.
    async fn judge(&self, task: &Task, scope: &TaskScope, done: &mut Done) -> Result<(), Trouble> {
        if matches!(done.status, Status::Skipped | Status::Unknown) {
            return Ok(());
        }
        let failed = done.status == Status::Failed;
        if let Some(conditions) = task.changed_when.as_ref().filter(|conditions| !conditions.is_empty()) {
            let conditions: Vec<_> = conditions.iter().collect();
            let scope = register_in(task, scope, done);
            let status = match self.conditions(&conditions, &scope).await {
                Ok(Verdict::Yes) => Status::Changed,
                Ok(Verdict::No(_)) => Status::Ok,
                Ok(Verdict::Unknown(why)) => {
                    *done = Done::unknown(why);
                    return Ok(());
                }
                Err(trouble) => return no_verdict(done, "changed_when_result", trouble),
            };
            done.fields.insert("changed".into(), Value::from(status == Status::Changed));
            if !failed {
                done.status = status;
            }
        }
        // In a plan nothing has failed yet.
        if done.unknown.is_some() {
            return Ok(());
        }
        if let Some(conditions) = task.failed_when.as_ref().filter(|conditions| !conditions.is_empty()) {
            let conditions: Vec<_> = conditions.iter().collect();
            let scope = register_in(task, scope, done);
            let failed = match self.conditions(&conditions, &scope).await {
                Ok(verdict) => matches!(verdict, Verdict::Yes),
                Err(trouble) => return no_verdict(done, "failed_when_result", trouble),
            };
            done.fields.insert("failed_when_result".into(), Value::from(failed));
            done.fields.insert("failed".into(), Value::from(failed));
            if failed {
                done.status = Status::Failed;
            } else if done.status == Status::Failed {
                let changed = done.fields.get("changed").is_some_and(Value::is_true);
                done.status = if changed { Status::Changed } else { Status::Ok };
            }
        }
        Ok(())
    }

    pub(super) fn workstation<'a>(
        &'a self,
        task: &'a Task,
        scope: &TaskScope,
        play: &'a Arc<PlayVars>,
        on: &Arc<HostVars>,
    ) -> TaskWorkstation<'a> {
        TaskWorkstation::new(self, task, scope.clone(), play, Arc::clone(on))
    }
}

/// A condition about a result is wrong: the task fails, and its result is kept.
fn no_verdict(done: &mut Done, field: &str, trouble: Trouble) -> Result<(), Trouble> {
    let Trouble::Failure(failure) = trouble else { return Err(trouble) };
    done.status = Status::Failed;
    done.fields.insert("failed".into(), Value::from(true));
    done.hints.push(failure.msg.clone());
    done.fields.insert(field.to_owned(), Value::from(failure.msg));
    done.hints.extend(failure.hints);
    Ok(())
}

/// The scope with the result at hand under the name it is registered at.
fn register_in(task: &Task, scope: &TaskScope, done: &Done) -> TaskScope {
    match &task.register {
        Some(name) => scope.with_locals(Vars::from_iter([(name.clone(), Raw::Value(done.value()))])),
        None => scope.clone(),
    }
}

/// In a plan that cannot tell whether `set_fact` is run, the facts are not known either.
fn blur_facts(task: &Task, host: &Host, why: &str) {
    if task.module.spec.name == "set_fact" {
        for (name, ..) in task.arguments.entries.iter().filter(|(name, ..)| name != "cacheable") {
            host.vars.set(name, crate::value::unknown(why));
        }
    }
}

fn settle_trouble(trouble: Trouble, ended: &mut Ended) -> Done {
    match trouble {
        Trouble::Failure(failure) => Done::failed(failure),
        Trouble::Unknown(why) => Done::unknown(why),
        Trouble::Unreachable(error) => {
            let failure = Failure::new(error.message.clone());
            ended.unreachable = Some(error);
            let mut done = Done::failed(failure);
            done.fields.insert("unreachable".into(), Value::from(true));
            done
        }
    }
}

/// `ansible_loop` of `extended: true`.
fn extended(items: &[Value], index: usize) -> Value {
    let mut entries = vec![
        ("allitems", Value::from(items.to_vec())),
        ("index", Value::from(index + 1)),
        ("index0", Value::from(index)),
        ("first", Value::from(index == 0)),
        ("last", Value::from(index + 1 == items.len())),
        ("length", Value::from(items.len())),
        ("revindex", Value::from(items.len() - index)),
        ("revindex0", Value::from(items.len() - index - 1)),
    ];
    if let Some(next) = items.get(index + 1) {
        entries.push(("nextitem", next.clone()));
    }
    if let Some(before) = index.checked_sub(1).and_then(|before| items.get(before)) {
        entries.push(("previtem", before.clone()));
    }
    Value::from_pairs(entries)
}
