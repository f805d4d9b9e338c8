//! The arguments of `dnf`, and the command line that they make.

use crate::modules::{Args, Default, Opt, Rule, Spec, Type};
use crate::sh;

const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::Bool, help).default(Default::Bool(false))
}

const fn list(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Type::StrList, help).default(Default::EmptyList)
}

/// The arguments of `dnf`.
pub static SPEC: Spec = Spec {
    name: "dnf",
    fqcn: &[
        "ansible.builtin.dnf",
        "ansible.legacy.dnf",
        "dnf5",
        "ansible.builtin.dnf5",
        "ansible.legacy.dnf5",
        "yum",
        "ansible.builtin.yum",
        "ansible.legacy.yum",
    ],
    summary: "Installs, upgrades and removes packages with dnf 4 or 5.",
    options: &[
        list("name", "Packages: names, versions (`foo-1.0`, `foo >= 1.0`), `@groups`, paths, URLs.").aliases(&["pkg"]),
        Opt::new("state", Type::Str, "What is wanted.").choices(&[
            "absent",
            "installed",
            "latest",
            "present",
            "removed",
        ]),
        Opt::new(
            "list",
            Type::Str,
            "Lists `installed`, `updates`, `available`, `repos` or what matches, and does nothing.",
        ),
        flag("allow_downgrade", "Whether an older version that is asked for replaces a newer one."),
        flag("allowerasing", "Whether installed packages may be removed to solve conflicts."),
        flag("autoremove", "Whether dependencies that nothing needs any more are removed."),
        Opt::new("best", Type::Bool, "Whether only the newest versions will do."),
        Opt::new("nobest", Type::Bool, "The opposite of `best`."),
        flag("bugfix", "With `state: latest`: only updates that fix bugs."),
        flag("security", "With `state: latest`: only updates that fix security problems."),
        flag("cacheonly", "Whether to use only the metadata and packages that are on the target."),
        Opt::new("conf_file", Type::Str, "Another configuration file."),
        Opt::new("disable_excludes", Type::Str, "Excludes to ignore: `all`, `main` or a repository."),
        flag("disable_gpg_check", "Whether signatures are not checked."),
        list("disable_plugin", "Plugins to disable."),
        list("enable_plugin", "Plugins to enable."),
        list("disablerepo", "Repositories to disable."),
        list("enablerepo", "Repositories to enable."),
        flag("download_only", "Whether packages are downloaded and not installed."),
        Opt::new("download_dir", Type::Str, "Where they are downloaded to."),
        list("exclude", "Packages to leave out."),
        Opt::new("installroot", Type::Str, "Another root directory.").default(Default::Str("/")),
        Opt::new("install_repoquery", Type::Bool, "Without effect, as in Ansible.").default(Default::Bool(true)),
        Opt::new("install_weak_deps", Type::Bool, "Whether weak dependencies are installed.")
            .default(Default::Bool(true)),
        Opt::new("lock_timeout", Type::Int, "Without effect: dnf waits for its lock.").default(Default::Int(30)),
        Opt::new("releasever", Type::Str, "Another release to install from."),
        flag("skip_broken", "Whether packages that cannot be installed are left out."),
        Opt::new("sslverify", Type::Bool, "Whether certificates of repositories are checked.")
            .default(Default::Bool(true)),
        Opt::new("validate_certs", Type::Bool, "Whether certificates of URLs are checked.")
            .default(Default::Bool(true)),
        flag("update_cache", "Whether metadata is refreshed first.").aliases(&["expire-cache"]),
        flag("update_only", "With `state: latest`: whether packages that are not installed stay so."),
        Opt::new("use_backend", Type::Str, "Without effect: the target's own dnf is used.")
            .default(Default::Str("auto"))
            .choices(&["auto", "dnf", "dnf4", "dnf5", "yum", "yum4"]),
        Opt::new("auto_install_module_deps", Type::Bool, "Without effect: nothing is needed on the target.")
            .default(Default::Bool(true)),
    ],
    rules: &[
        Rule::OneOf(&["name", "list", "update_cache", "autoremove"]),
        Rule::Exclusive(&["name", "list"]),
        Rule::Exclusive(&["best", "nobest"]),
    ],
    differs: "Metadata is not refreshed by `update_cache` when the packages are as wanted already. Streams of modules are passed \
              on to dnf as groups are. Packages to install and packages to upgrade are two transactions.",
    ..Spec::NONE
};

/// Which dnf the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// dnf 4: Fedora up to 40, Enterprise Linux up to 9, Debian.
    Dnf4,
    /// dnf 5: Fedora from 41.
    Dnf5,
}

/// A command line of dnf for a verb and its arguments. `assume` is `--assumeyes` or `--assumeno`.
pub(super) fn command(tool: Tool, args: &Args, assume: &str, verb: &str, names: &[String]) -> String {
    let five = tool == Tool::Dnf5;
    let mut words: Vec<String> = vec![if five { "dnf5" } else { "dnf" }.into(), assume.into()];
    let mut option = |name: &str, value: &str| words.push(format!("--{name}={value}"));
    for (name, option_name) in [("enablerepo", "enablerepo"), ("disablerepo", "disablerepo"), ("exclude", "exclude")] {
        for value in super::split_commas(&args.strings(name)) {
            option(option_name, &value);
        }
    }
    for (name, option_name) in [("enable_plugin", "enableplugin"), ("disable_plugin", "disableplugin")] {
        for value in args.strings(name) {
            option(
                if five {
                    if option_name == "enableplugin" { "enable-plugin" } else { "disable-plugin" }
                } else {
                    option_name
                },
                &value,
            );
        }
    }
    for (name, option_name) in [("conf_file", "config"), ("releasever", "releasever")] {
        if let Some(value) = args.str(name) {
            option(option_name, value);
        }
    }
    if let Some(root) = args.str("installroot").filter(|root| *root != "/") {
        option("installroot", root);
    }
    if let Some(which) = args.str("disable_excludes") {
        if five {
            option("setopt", &format!("disable_excludes={}", if which == "all" { "*" } else { which }));
        } else {
            option("disableexcludes", which);
        }
    }
    if let Some(best) = args.opt_bool("nobest").map(|nobest| !nobest).or(args.opt_bool("best")) {
        option("setopt", &format!("best={}", i32::from(best)));
    }
    for (name, setting, usual) in [
        ("install_weak_deps", "install_weak_deps", true),
        ("sslverify", "sslverify", true),
        ("validate_certs", "sslverify", true),
    ] {
        if args.opt_bool(name).is_some_and(|value| value != usual) {
            option("setopt", &format!("{setting}={}", i32::from(!usual)));
        }
    }
    let removing = matches!(verb, "remove" | "autoremove");
    option("setopt", &format!("clean_requirements_on_remove={}", i32::from(args.bool("autoremove"))));
    if args.bool("disable_gpg_check") {
        words.push(if five { "--no-gpgchecks" } else { "--nogpgcheck" }.into());
    }
    if args.bool("cacheonly") {
        words.push("--cacheonly".into());
    }
    if args.bool("update_cache") {
        words.push("--refresh".into());
    }
    // dnf 5 knows the rest only after the verb, and only for verbs that they mean something for.
    words.push(verb.into());
    if !removing && verb != "makecache" {
        for (name, flag) in [
            ("allowerasing", "--allowerasing"),
            ("skip_broken", "--skip-broken"),
            ("security", "--security"),
            ("bugfix", "--bugfix"),
        ] {
            if args.bool(name) {
                words.push(flag.into());
            }
        }
        if args.bool("download_only") {
            words.push("--downloadonly".into());
            if let Some(dir) = args.str("download_dir") {
                words.push(format!("{}={dir}", if five { "--destdir" } else { "--downloaddir" }));
            }
        }
    }
    words.extend(names.iter().cloned());
    sh::join(words)
}
