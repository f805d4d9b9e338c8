//! `seboolean`: switches of the SELinux policy.
//!
//! The running value is a file of the kernel. The one that survives a reboot stands in the policy store's list of local settings; only
//! when it is not there is `semanage`, which is slow, asked for the policy's own default.

use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::Fields;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Seboolean) };

static SPEC: Spec = Spec {
    name: "seboolean",
    fqcn: &["ansible.posix.seboolean"],
    summary: "Sets switches of the SELinux policy",
    options: &[
        Opt::new("name", Type::Str, "The boolean").required(),
        Opt::new("state", Type::Bool, "Its value").required(),
        Opt::new("persistent", Type::Bool, "Keep it over a reboot").default(Default::Bool(false)),
        Opt::new("ignore_selinux_state", Type::Bool, "Set it even where SELinux is disabled")
            .default(Default::Bool(false)),
    ],
    ..Spec::NONE
};

struct Seboolean;

impl StateModule for Seboolean {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let (name, wanted, persistent) = (args.text("name"), args.bool("state"), args.bool("persistent"));
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(look(name, persistent)))) };
        let text = answer.stdout_text();
        let get =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
        let enabled = get("enabled") == "yes";
        if !enabled && !args.bool("ignore_selinux_state") {
            return Err(Failure::new("SELinux is disabled on this host."));
        }
        let result = Fields::from_iter([
            ("name".to_owned(), name.into()),
            ("persistent".to_owned(), persistent.into()),
            ("state".to_owned(), wanted.into()),
        ]);
        let current = match get(if persistent { "stored" } else { "active" }) {
            "1" | "on" => true,
            "0" | "off" => false,
            _ if !persistent && !enabled => return Ok(Next::Ok(result)),
            _ if persistent => {
                return Err(Failure::missing(format!("SELinux boolean {name} is not defined in persistent policy")));
            }
            _ => return Err(Failure::missing(format!("Failed to determine current state for boolean {name}"))),
        };
        if current == wanted {
            return Ok(Next::Ok(result));
        }
        let flag = if persistent { "-P " } else { "" };
        let value = if wanted { "on" } else { "off" };
        let script = format!("PATH=$PATH:/usr/sbin:/sbin setsebool {flag}{} {value}\n", sh::quote(name));
        let step = Step::judged(script);
        let summary = vec![format!("{name} → {value}{}", if persistent { ", also after a reboot" } else { "" })];
        Ok(Next::Change(Change { summary, diff: vec![], steps: vec![step], result }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        match applied.iter().find(|answer| !answer.ok()) {
            Some(answer) => {
                let value = i32::from(args.bool("state"));
                Err(Failure::of_answer(format!("Failed to set boolean {} to {value}", args.text("name")), answer))
            }
            None => Ok(change.result.clone()),
        }
    }
}

fn look(name: &str, persistent: bool) -> String {
    let name = sh::quote(name);
    let mut script = format!(
        "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; n={name}\n\
         [ ! -r /sys/fs/selinux/policyvers ] || echo enabled=yes\n\
         if [ -r \"/sys/fs/selinux/booleans/$n\" ]; then read -r a _ <\"/sys/fs/selinux/booleans/$n\"; echo \"active=$a\"; fi\n"
    );
    if persistent {
        script.push_str(
            "t=targeted; v=\n\
             [ ! -r /etc/selinux/config ] || while IFS='= ' read -r k x _; do [ \"$k\" != SELINUXTYPE ] || t=$x; done </etc/selinux/config\n\
             f=/var/lib/selinux/$t/active/booleans.local\n\
             [ ! -r \"$f\" ] || while IFS='= ' read -r k x _; do [ \"$k\" != \"$n\" ] || v=$x; done <\"$f\"\n\
             if [ -z \"$v\" ] && command -v semanage >/dev/null; then\n\
             v=$(semanage boolean -l -n 2>/dev/null | while read -r k rest; do [ \"$k\" = \"$n\" ] || continue; rest=${rest#*,}; set -- ${rest%%)*}; echo \"$1\"; done)\n\
             elif [ -z \"$v\" ]; then v=$a; fi\n\
             echo \"stored=$v\"\n",
        );
    }
    script + "exit 0\n"
}
