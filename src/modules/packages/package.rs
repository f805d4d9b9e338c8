//! `package`: the module of whatever package manager the target has.

use super::{apt, dnf};
use crate::connection::Answer;
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Spec, StateModule, Type, validate};
use crate::value::Fields;

/// The arguments of `package`: those that `apt` and `dnf` have alike, and the common ones of each, which are handed on.
pub static SPEC: Spec = Spec {
    name: "package",
    fqcn: &["ansible.builtin.package", "ansible.legacy.package"],
    summary: "Installs, upgrades and removes packages with the target's package manager.",
    options: &[
        Opt::new("name", Type::StrList, "Packages.").required().aliases(&["pkg"]),
        Opt::new(
            "state",
            Type::Str,
            "What is wanted: `present`, `absent`, `latest`, or what the package manager's module has.",
        )
        .required(),
        Opt::new("use", Type::Str, "The package manager; found by the fact `pkg_mgr` when not set.")
            .default(Default::Str("auto")),
        Opt::new("update_cache", Type::Bool, "As in `apt` and `dnf`."),
        Opt::new("cache_valid_time", Type::Int, "As in `apt`."),
        Opt::new("autoremove", Type::Bool, "As in `apt` and `dnf`."),
        Opt::new("lock_timeout", Type::Int, "As in `apt` and `dnf`."),
        Opt::new("allow_downgrade", Type::Bool, "As in `apt` and `dnf`."),
        Opt::new("install_recommends", Type::Bool, "As in `apt`."),
        Opt::new("default_release", Type::Str, "As in `apt`."),
        Opt::new("purge", Type::Bool, "As in `apt`."),
        Opt::new("force", Type::Bool, "As in `apt`."),
        Opt::new("only_upgrade", Type::Bool, "As in `apt`."),
        Opt::new("allow_unauthenticated", Type::Bool, "As in `apt`."),
        Opt::new("enablerepo", Type::StrList, "As in `dnf`."),
        Opt::new("disablerepo", Type::StrList, "As in `dnf`."),
        Opt::new("exclude", Type::StrList, "As in `dnf`."),
        Opt::new("disable_gpg_check", Type::Bool, "As in `dnf`."),
        Opt::new("allowerasing", Type::Bool, "As in `dnf`."),
        Opt::new("install_weak_deps", Type::Bool, "As in `dnf`."),
        Opt::new("nobest", Type::Bool, "As in `dnf`."),
        Opt::new("skip_broken", Type::Bool, "As in `dnf`."),
        Opt::new("update_only", Type::Bool, "As in `dnf`."),
        Opt::new("security", Type::Bool, "As in `dnf`."),
        Opt::new("bugfix", Type::Bool, "As in `dnf`."),
        Opt::new("validate_certs", Type::Bool, "As in `dnf`."),
        Opt::new("download_only", Type::Bool, "As in `dnf`."),
    ],
    facts: true,
    differs: "Knows apt and dnf (4 and 5).",
    ..Spec::NONE
};

/// `package`.
pub struct Package;

impl StateModule for Package {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let (module, args) = backend(cx, args)?;
        module.plan(cx, &args, seen)
    }

    fn finish(
        &self,
        cx: &Context<'_>,
        args: &Args,
        change: &Change,
        seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let (module, args) = backend(cx, args)?;
        module.finish(cx, &args, change, seen, applied)
    }
}

/// The module of the package manager, and the arguments for it.
fn backend(cx: &Context<'_>, args: &Args) -> Result<(&'static dyn StateModule, Args), Failure> {
    let mut manager = args.text("use").to_owned();
    if manager.is_empty() || manager == "auto" {
        let set = cx.workstation.variable("ansible_package_use")?.and_then(|value| value.as_str().map(str::to_owned));
        let fact = || cx.workstation.fact("pkg_mgr").as_str().map(str::to_owned);
        manager = set.filter(|set| set != "auto").or_else(fact).ok_or_else(|| {
            Failure::new("Could not detect a package manager. Try using the \"use\" option.")
                .hint("the target has neither apt nor dnf")
        })?;
    }
    let (module, spec): (&'static dyn StateModule, &Spec) = match manager.rsplit('.').next().unwrap_or_default() {
        "apt" => (&apt::Apt, &apt::SPEC),
        "dnf" | "dnf4" | "dnf5" | "yum" | "yum4" => (&dnf::Dnf, &dnf::SPEC),
        _ => {
            return Err(Failure::new(format!(
                "Could not find a matching action for the \"{manager}\" package manager."
            ))
            .hint("`package` knows apt and dnf"));
        }
    };
    let given: Fields = args
        .fields()
        .iter()
        .filter(|(name, _)| *name != "use")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let unknown = validate::names(spec, given.keys().map(String::as_str));
    if !unknown.is_empty() {
        return Err(validate::failure(&unknown));
    }
    let args = validate::args(spec, given).map_err(|problems| validate::failure(&problems))?;
    Ok((module, args))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::modules::commands::harness::{self, Desk};

    fn probe(fact: Option<&str>, args: serde_json::Value) -> Result<String, Failure> {
        let mut desk = Desk::default();
        desk.facts.extend(fact.map(|fact| ("pkg_mgr".to_owned(), fact.into())));
        let cx = Context { check: false, diff: false, user: None, workstation: &desk };
        match Package.plan(&cx, &harness::args(&SPEC, args), &[])? {
            Next::Probe(probe) => Ok(probe.script),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn chooses_by_argument_then_by_fact() {
        let args = serde_json::json!({"name": ["vim"], "state": "present"});
        assert!(probe(Some("apt"), args.clone()).unwrap().contains("dpkg-query"));
        assert!(probe(Some("dnf5"), args.clone()).unwrap().contains("rpm -q"));
        let used = serde_json::json!({"name": ["vim"], "state": "present", "use": "apt"});
        assert!(probe(Some("dnf5"), used).unwrap().contains("dpkg-query"));
        assert!(probe(None, args.clone()).unwrap_err().msg.starts_with("Could not detect a package manager"));
        assert!(probe(Some("pacman"), args).unwrap_err().msg.contains("pacman"));
    }

    #[test]
    fn refuses_arguments_that_the_package_manager_does_not_know() {
        let args = serde_json::json!({"name": ["vim"], "state": "present", "purge": true});
        assert!(probe(Some("dnf"), args).unwrap_err().msg.contains("purge"));
        let args = serde_json::json!({"name": ["vim"], "state": "installed"});
        assert!(probe(Some("apt"), args).unwrap_err().msg.contains("installed"));
    }
}
