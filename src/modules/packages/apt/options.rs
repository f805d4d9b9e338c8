//! The arguments of `apt`, and the command lines that they make: word for word Ansible's, because its failures quote them.

use crate::modules::{Args, Default, Failure, Opt, Rule, Spec, Type};

const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::Bool, help).default(Default::Bool(false))
}

/// The arguments of `apt`.
pub static SPEC: Spec = Spec {
    name: "apt",
    fqcn: &["ansible.builtin.apt", "ansible.legacy.apt"],
    summary: "Installs, upgrades and removes packages with apt-get.",
    options: &[
        Opt::new("package", Type::StrList, "Packages: names, versions (`foo=1.0*`, `foo>=1.0`), patterns of names.")
            .aliases(&["name", "pkg"]),
        Opt::new("state", Type::Str, "What is wanted.").default(Default::Str("present")).choices(&[
            "absent",
            "build-dep",
            "fixed",
            "latest",
            "present",
        ]),
        Opt::new("update_cache", Type::Bool, "Whether `apt-get update` is run first.").aliases(&["update-cache"]),
        Opt::new("cache_valid_time", Type::Int, "For how many seconds after the last update it is not run again.")
            .default(Default::Int(0)),
        Opt::new("update_cache_retries", Type::Int, "How often an update is tried.").default(Default::Int(5)),
        Opt::new("update_cache_retry_max_delay", Type::Int, "The longest wait between two tries, in seconds.")
            .default(Default::Int(12)),
        flag("purge", "Whether configuration files are removed too."),
        Opt::new("deb", Type::Path, "A deb file on the target, or its URL; several with commas between them."),
        Opt::new("default_release", Type::Str, "The release to take packages from.").aliases(&["default-release"]),
        Opt::new("install_recommends", Type::Bool, "Whether recommended packages are installed.")
            .aliases(&["install-recommends"]),
        flag("force", "Whether apt-get goes on in the face of danger (`--force-yes`)."),
        Opt::new("upgrade", Type::Str, "Upgrades everything.")
            .default(Default::Str("no"))
            .choices(&["dist", "full", "no", "safe", "yes"]),
        Opt::new("dpkg_options", Type::Str, "Options for dpkg, with commas between them.")
            .default(Default::Str("force-confdef,force-confold")),
        flag("autoremove", "Whether dependencies that nothing needs any more are removed."),
        flag("autoclean", "Whether package files that can no longer be downloaded are deleted."),
        flag("clean", "Whether all downloaded package files are deleted."),
        flag("fail_on_autoremove", "Whether it is an error if something has to be removed."),
        Opt::new(
            "policy_rc_d",
            Type::Int,
            "The answer to packages that ask whether they may start services (101: no).",
        ),
        flag("only_upgrade", "Whether packages that are not installed stay so."),
        flag("force_apt_get", "Without effect: apt-get is always used."),
        flag("allow_unauthenticated", "Whether packages without a valid signature are installed.")
            .aliases(&["allow-unauthenticated"]),
        flag("allow_downgrade", "Whether an older version replaces a newer one.").aliases(&[
            "allow-downgrade",
            "allow_downgrades",
            "allow-downgrades",
        ]),
        flag("allow_change_held_packages", "Whether held packages are changed."),
        Opt::new("lock_timeout", Type::Int, "How many seconds to wait for another apt or dpkg.")
            .default(Default::Int(60)),
        Opt::new("auto_install_module_deps", Type::Bool, "Without effect: nothing is needed on the target.")
            .default(Default::Bool(true)),
    ],
    rules: &[Rule::Exclusive(&["deb", "package"])],
    differs: "Upgrades are made with apt-get even where aptitude is installed. Deb files are installed with apt-get, which brings \
              their dependencies. A virtual package counts as installed when any package that provides it is. \
              Package lists that were read twice in a second have changed twice, and a time of theirs that lies in the future does not keep \
              `update_cache` without `cache_valid_time` from reading them.",
    ..Spec::NONE
};

/// `-o "Dpkg::Options::=--…"` for each option, and the lock's timeout.
fn dpkg(args: &Args) -> String {
    let options: Vec<String> =
        args.text("dpkg_options").split(',').map(|option| format!("-o \"Dpkg::Options::=--{option}\"")).collect();
    format!("{} -o DPkg::Lock::Timeout={}", options.join(" "), args.int("lock_timeout").unwrap_or(60))
}

fn given<'a>(args: &Args, name: &str, text: &'a str) -> &'a str {
    if args.bool(name) { text } else { "" }
}

/// What stands after the packages of an `install`.
fn tail(args: &Args) -> String {
    let mut tail = String::new();
    if let Some(release) = args.str("default_release") {
        tail.push_str(&format!(" -t '{}'", release.replace('\'', "")));
    }
    match args.opt_bool("install_recommends") {
        Some(true) => tail.push_str(" -o APT::Install-Recommends=yes"),
        Some(false) => tail.push_str(" -o APT::Install-Recommends=no"),
        None => {}
    }
    for (name, text) in [
        ("allow_unauthenticated", " --allow-unauthenticated"),
        ("allow_downgrade", " --allow-downgrades"),
        ("allow_change_held_packages", " --allow-change-held-packages"),
    ] {
        tail.push_str(given(args, name, text));
    }
    tail
}

/// `apt-get install` (or `build-dep`) of words that are quoted already.
pub(super) fn install(args: &Args, words: &str, simulate: bool) -> String {
    let dpkg = dpkg(args);
    let simulate = if simulate { "--simulate" } else { "" };
    let only_upgrade = given(args, "only_upgrade", "--only-upgrade");
    let fixed = if args.text("state") == "fixed" { "--fix-broken" } else { "" };
    let force = given(args, "force", "--force-yes");
    let autoremove = given(args, "autoremove", "--auto-remove");
    let keep = given(args, "fail_on_autoremove", "--no-remove");
    let tail = tail(args);
    if args.text("state") == "build-dep" {
        format!("/usr/bin/apt-get -y {dpkg} {only_upgrade} {fixed} {force} {keep} {simulate} build-dep {words}{tail}")
    } else {
        format!(
            "/usr/bin/apt-get -y {dpkg} {only_upgrade} {fixed} {force} {autoremove} {keep} {simulate} install {words}{tail}"
        )
    }
}

/// `apt-get remove` of words that are quoted already.
pub(super) fn remove(args: &Args, words: &str, simulate: bool) -> String {
    format!(
        "/usr/bin/apt-get -q -y {} {} {} {} {} {} remove {words}",
        dpkg(args),
        given(args, "purge", "--purge"),
        given(args, "force", "--force-yes"),
        given(args, "autoremove", "--auto-remove"),
        if simulate { "--simulate" } else { "" },
        given(args, "allow_change_held_packages", "--allow-change-held-packages"),
    )
}

/// The upgrade command's words after the options.
pub(super) fn upgrade_verb(args: &Args) -> String {
    let autoremove = given(args, "autoremove", "--auto-remove");
    match args.text("upgrade") {
        "dist" | "full" => format!("dist-upgrade {autoremove}"),
        _ => format!("upgrade --with-new-pkgs {autoremove}"),
    }
}

/// `apt-get upgrade` or `dist-upgrade`.
pub(super) fn upgrade(args: &Args, simulate: bool) -> String {
    let release = args.str("default_release").map(|release| format!(" -t '{}'", release.replace('\'', "")));
    format!(
        "/usr/bin/apt-get -y {} {} {} {} {} {} {}{}",
        dpkg(args),
        given(args, "force", "--force-yes"),
        given(args, "fail_on_autoremove", "--no-remove"),
        given(args, "allow_unauthenticated", "--allow-unauthenticated"),
        given(args, "allow_downgrade", "--allow-downgrades"),
        if simulate { "--simulate" } else { "" },
        upgrade_verb(args),
        release.unwrap_or_default(),
    )
}

/// `apt-get autoremove` or `autoclean`.
pub(super) fn cleanup(args: &Args, verb: &str, simulate: bool) -> String {
    format!(
        "/usr/bin/apt-get -y {} {} {} {verb} {}",
        dpkg(args),
        given(args, "purge", "--purge"),
        given(args, "force", "--force-yes"),
        if simulate { "--simulate" } else { "" },
    )
}

/// A package as apt-get takes it, in the quotes that Ansible puts around it.
pub(super) fn word(text: &str) -> Result<String, Failure> {
    if text.chars().any(|c| c == '\'' || c.is_control()) {
        return Err(Failure::new(format!("invalid package spec: {text}")));
    }
    Ok(format!("'{text}'"))
}

/// The command with the environment that keeps it from asking, and with `policy-rc.d` in place if that is wanted.
pub(super) fn script(args: &Args, command: &str) -> String {
    let environment =
        "export DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical LANG=C.UTF-8 LC_ALL=C.UTF-8 LANGUAGE=C.UTF-8\n";
    let Some(code) = args.int("policy_rc_d") else { return format!("{environment}{command}\n") };
    format!(
        "{environment}p=/usr/sbin/policy-rc.d; k=\n\
         if [ -e \"$p\" ]; then k=$(mktemp -d)/policy-rc.d && mv \"$p\" \"$k\" || exit 1; fi\n\
         trap 'if [ -n \"$k\" ]; then mv \"$k\" \"$p\"; rmdir \"${{k%/*}}\"; else rm -f \"$p\"; fi' EXIT\n\
         printf '#!/bin/sh\\nexit {code}\\n' >\"$p\" && chmod 0755 \"$p\" || exit 1\n{command}\n"
    )
}
