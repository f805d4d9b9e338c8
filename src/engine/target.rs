//! Where and as whom a task runs: connection and `become` variables over keywords over settings.

use std::sync::Arc;
use std::time::Duration;

use super::drive::{Site, Trouble};
use super::evaluate::failure_at;
use super::{Engine, Host};
use crate::connection::{Become, BecomeMethod, Target, TransportKind, UnknownHostKey};
use crate::modules::Failure;
use crate::playbook::{Keywords, Parent, Task};
use crate::template::Scope as _;
use crate::value::{Raw, Value};
use crate::vars::{PlayVars, TaskScope};
use crate::yaml::Node;

/// How hosts are reached when neither their variables nor keywords say.
#[derive(Debug, Clone, Default)]
pub struct TargetDefaults {
    /// `--user`.
    pub user: Option<String>,
    /// `--private-key`.
    pub private_key: Option<std::path::PathBuf>,
    /// `--ask-pass`.
    pub password: Option<String>,
    /// Words for `ssh -G`.
    pub ssh_args: Vec<String>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--accept-new`.
    pub unknown_host_key: UnknownHostKey,
    /// `--become`.
    pub r#become: bool,
    /// `--become-user`.
    pub become_user: Option<String>,
    /// `--become-method`.
    pub become_method: Option<String>,
    /// `--ask-become-pass`.
    pub become_password: Option<String>,
}

/// The variables that say a host's port.
const PORT: &[&str] = &["ansible_port", "ansible_ssh_port"];
/// Those that say how many seconds connecting may take.
const TIMEOUT: &[&str] = &["ansible_timeout", "ansible_ssh_timeout"];

/// What is wrong with a variable of the connection, at the place where the first of these names that is set was written.
fn told(message: &str, names: &[&str], scope: &TaskScope) -> Failure {
    match names.iter().find_map(|name| scope.get(name)) {
        Some(Raw::Node(node)) => failure_at(message, &node.span),
        Some(Raw::Value(_)) | None => Failure::new(message),
    }
}

/// The keywords around a task, nearest first.
#[derive(Clone, Copy)]
pub enum Around<'a> {
    /// Of a task.
    Task(&'a Task),
    /// Of what tasks stand in.
    Parent(&'a Arc<Parent>),
}

impl<'a> Around<'a> {
    /// The nearest value of a keyword.
    pub fn nearest<T>(self, get: impl Fn(&'a Keywords) -> Option<&'a T>) -> Option<&'a T> {
        match self {
            Self::Task(task) => task.nearest(get),
            Self::Parent(parent) => parent.chain().find_map(|outer| get(&outer.keywords)),
        }
    }
}

impl Engine {
    /// The final value of the first of these variables that is set, as text.
    async fn variable(&self, names: &[&str], scope: &TaskScope) -> Result<Option<Value>, Trouble> {
        let dynamic: Arc<dyn crate::template::Scope> = Arc::new(scope.clone());
        for name in names {
            let value = self.evaluate(scope, || self.parts.templar.variable(name, &dynamic)).await?;
            if let Some(why) = value.as_ref().and_then(crate::value::unknown_inside) {
                return Err(Trouble::Unknown(format!("`{name}` is known only after a change: {why}")));
            }
            if let Some(value) =
                value.filter(|value| !value.is_none() && !value.is_undefined() && !crate::value::is_omit(value))
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    async fn variable_text(&self, names: &[&str], scope: &TaskScope) -> Result<Option<String>, Trouble> {
        let value = self.variable(names, scope).await?;
        Ok(value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    }

    /// How to reach a host. `scope` is that of the host itself, also when the task is another's (`delegate_to`).
    async fn target(&self, around: Around<'_>, scope: &TaskScope, host: &Host) -> Result<Target, Trouble> {
        let defaults = &self.parts.target;
        let text = |names: &'static [&'static str]| self.variable_text(names, scope);
        let kind = match text(&["ansible_connection"]).await? {
            Some(kind) => Some(kind),
            None => self.text(around.nearest(|keywords| keywords.connection.as_ref()), scope).await?,
        };
        let local = matches!(host.name(), "localhost" | "127.0.0.1" | "::1")
            && !self.parts.world.hosts.contains_key(host.name());
        let kind = match kind.as_deref() {
            None if local => TransportKind::Local,
            None | Some("ssh" | "smart" | "ansible.builtin.ssh" | "paramiko" | "paramiko_ssh") => TransportKind::Ssh,
            Some("local" | "ansible.builtin.local") => TransportKind::Local,
            Some(other) => {
                let message = format!("the connection `{other}` is not supported");
                return Err(told(&message, &["ansible_connection"], scope).hint("mms has `ssh` and `local`").into());
            }
        };
        let user = match text(&["ansible_user", "ansible_ssh_user"]).await? {
            Some(user) => Some(user),
            None => self
                .text(around.nearest(|keywords| keywords.remote_user.as_ref()), scope)
                .await?
                .or(defaults.user.clone()),
        };
        let port = match text(PORT).await? {
            Some(port) => Some(port),
            None => self.text(around.nearest(|keywords| keywords.port.as_ref()), scope).await?,
        };
        let port = match port.map(|port| port.trim().parse::<u16>().map_err(|_| port)) {
            None => None,
            Some(Ok(port)) => Some(port),
            Some(Err(port)) => {
                return Err(told(&format!("`{port}` is not a port of `{}`", host.name()), PORT, scope).into());
            }
        };
        let password = text(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])
            .await?
            .or(defaults.password.clone());
        if let Some(password) = &password {
            self.parts.redactor.add(password);
        }
        let mut ssh_args = defaults.ssh_args.clone();
        for name in ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"] {
            if let Some(args) = self.variable_text(&[name], scope).await? {
                let words = shlex::split(&args)
                    .ok_or_else(|| told(&format!("a quote in `{name}` is not closed"), &[name], scope))?;
                ssh_args.extend(words);
            }
        }
        let timeout = match text(TIMEOUT).await?.map(|text| text.trim().parse::<u64>().map_err(|_| text)) {
            None => None,
            Some(Ok(seconds)) => Some(seconds),
            Some(Err(text)) => {
                let message = format!("`{text}` is not a number of seconds, which the timeout of `{}` is", host.name());
                return Err(told(&message, TIMEOUT, scope).into());
            }
        };
        Ok(Target {
            name: host.name().to_owned(),
            kind,
            address: text(&["ansible_host", "ansible_ssh_host"]).await?,
            port,
            user,
            password,
            private_key_file: text(&["ansible_private_key_file", "ansible_ssh_private_key_file"])
                .await?
                .map(|path| crate::fs::expand_home(&path))
                .or(defaults.private_key.clone()),
            ssh_args,
            shell: text(&["ansible_shell_executable"]).await?,
            timeout: timeout.map(Duration::from_secs).or(defaults.timeout),
            unknown_host_key: defaults.unknown_host_key,
        })
    }

    /// Whom to become, if anybody.
    async fn becoming(&self, around: Around<'_>, scope: &TaskScope) -> Result<Option<Become>, Trouble> {
        let defaults = &self.parts.target;
        let wanted = match self.variable(&["ansible_become"], scope).await? {
            Some(value) => crate::modules::validate::boolean(&value)
                .map_err(|problem| Failure::new(format!("ansible_become: {problem}")))?,
            None => {
                let keyword = around.nearest(|keywords| keywords.r#become.as_ref());
                self.flag(keyword, scope).await?.unwrap_or(defaults.r#become)
            }
        };
        if !wanted {
            return Ok(None);
        }
        let user = match self.variable_text(&["ansible_become_user"], scope).await? {
            Some(user) => Some(user),
            None => self.text(around.nearest(|keywords| keywords.become_user.as_ref()), scope).await?,
        };
        let method = match self.variable_text(&["ansible_become_method"], scope).await? {
            Some(method) => Some(method),
            None => self.text(around.nearest(|keywords| keywords.become_method.as_ref()), scope).await?,
        };
        let method = match method
            .or(defaults.become_method.clone())
            .as_deref()
            .map(|name| name.rsplit('.').next().unwrap_or(name))
        {
            None | Some("sudo") => BecomeMethod::Sudo,
            Some("su") => BecomeMethod::Su,
            Some("doas") => BecomeMethod::Doas,
            Some(other) => {
                let message = format!("the become method `{other}` is not supported");
                let failure = told(&message, &["ansible_become_method"], scope);
                return Err(failure.hint("mms has `sudo`, `su` and `doas`").into());
            }
        };
        let password = self
            .variable_text(&["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"], scope)
            .await?
            .or(defaults.become_password.clone());
        if let Some(password) = &password {
            self.parts.redactor.add(password);
        }
        let executable = match self.variable_text(&["ansible_become_exe"], scope).await? {
            Some(path) => Some(path),
            None => self.text(around.nearest(|keywords| keywords.become_exe.as_ref()), scope).await?,
        };
        let flags = match self.variable_text(&["ansible_become_flags"], scope).await? {
            Some(flags) => Some(flags),
            None => self.text(around.nearest(|keywords| keywords.become_flags.as_ref()), scope).await?,
        };
        Ok(Some(Become {
            method,
            user: user.or(defaults.become_user.clone()).unwrap_or_else(|| "root".to_owned()),
            password,
            executable,
            flags: flags.and_then(|flags| shlex::split(&flags)).unwrap_or_default(),
        }))
    }

    /// Where a task of `owner` runs, and as whom.
    pub(super) async fn site(
        &self,
        around: Around<'_>,
        scope: &TaskScope,
        owner: &Arc<Host>,
        play: &Arc<PlayVars>,
    ) -> Result<Site, Trouble> {
        let options = &self.parts.world.options;
        let delegate = self.text(around.nearest(|keywords| keywords.delegate_to.as_ref()), scope).await?;
        let host = match delegate.as_deref() {
            Some(name) if name != owner.name() => self.host(name),
            _ => Arc::clone(owner),
        };
        // The host's variables, with those of the task on top, as in Ansible.
        let own = match around {
            Around::Task(task) => {
                TaskScope::new(&self.parts.world, play, &host.vars, Some(&task.parent), &task.keywords.vars)
                    .with_locals((**scope.locals()).clone())
            }
            Around::Parent(_) => TaskScope::new(&self.parts.world, play, &host.vars, None, &Arc::default()),
        };
        let delegated = delegate.map(|name| crate::vars::delegated(&name, owner.name(), &self.parts.world, &own));
        let host_scope = if Arc::ptr_eq(&host, owner) { scope } else { &own };
        let target = self.target(around, host_scope, &host).await?;
        let user = self.becoming(around, if Arc::ptr_eq(&host, owner) { scope } else { host_scope }).await?;
        let check =
            self.flag(around.nearest(|keywords| keywords.check_mode.as_ref()), scope).await?.unwrap_or(options.check);
        let diff = self.flag(around.nearest(|keywords| keywords.diff.as_ref()), scope).await?.unwrap_or(options.diff);
        let limit = self.number(around.nearest(|keywords| keywords.timeout.as_ref()), scope).await?;
        let no_log = self.flag(around.nearest(|keywords| keywords.no_log.as_ref()), scope).await?.unwrap_or(false);
        Ok(Site {
            host,
            owner: Arc::clone(owner),
            delegated,
            target,
            user,
            environment: self.environment(around, scope).await?,
            check,
            diff,
            no_log,
            time_limit: limit.filter(|seconds| *seconds > 0.0).map(super::evaluate::seconds),
        })
    }

    /// `environment:` of the task and everything around it, as shell text that exports it.
    async fn environment(&self, around: Around<'_>, scope: &TaskScope) -> Result<String, Trouble> {
        let nodes: Vec<&Node> = match around {
            Around::Task(task) => task.gathered(|keywords| &keywords.environment),
            Around::Parent(parent) => {
                let mut chain: Vec<_> = parent.chain().collect();
                chain.reverse();
                chain.into_iter().flat_map(|outer| &outer.keywords.environment).collect()
            }
        };
        let mut text = String::new();
        for node in nodes {
            let value = self.known(node, scope).await?;
            let Ok(keys) = value.try_iter() else { continue };
            for key in keys {
                let Ok(item) = value.get_item(&key) else { continue };
                let item = match (item.kind(), item.as_str()) {
                    // Python's names of them.
                    (minijinja::value::ValueKind::Bool, _) => if item.is_true() { "True" } else { "False" }.to_owned(),
                    (_, Some(text)) => text.to_owned(),
                    _ => item.to_string(),
                };
                text.push_str(&format!("export {}={}\n", key, crate::sh::quote(&item)));
            }
        }
        Ok(text)
    }
}
