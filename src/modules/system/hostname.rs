//! `hostname`: the host's name, now and after a reboot.

use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Diff, Failure, Kind, Module, Next, Opt, Probe, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::{Fields, from_fields};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Hostname) };

static SPEC: Spec = Spec {
    name: "hostname",
    fqcn: &["ansible.builtin.hostname"],
    summary: "Sets the host's name",
    options: &[
        Opt::new("name", Type::Str, "The name").required(),
        Opt::new("use", Type::Str, "How it is set; found out when not given")
            .choices(&["systemd", "generic", "alpine"]),
    ],
    differs: "hosts without systemd keep the name in `/etc/hostname`, whatever their distribution",
    ..Spec::NONE
};

/// Prints the current name, the permanent one, whether systemd runs, and the full name as the resolver knows it.
const LOOK: &str = "LC_ALL=C; export LC_ALL; h=; s=\nread -r h </proc/sys/kernel/hostname\n\
if [ -r /etc/hostname ]; then while read -r s; do case $s in ''|'#'*) s= ;; *) break ;; esac; done </etc/hostname; fi\n\
printf '%s\\0%s\\0' \"$h\" \"$s\"\n\
if [ -d /run/systemd/system ] && command -v hostnamectl >/dev/null; then printf systemd; fi\nprintf '\\0'\n\
if command -v getent >/dev/null; then\nset -- $(getent ahosts \"$h\")\n[ -z \"$1\" ] || getent hosts \"$1\"\n\
else hostname -f 2>/dev/null; fi\nexit 0\n";

struct Hostname;

struct Seen {
    current: String,
    permanent: String,
    systemd: bool,
    fqdn: String,
}

impl Seen {
    fn parse(text: &str) -> Self {
        let mut parts = text.split('\0');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (current, permanent, systemd, resolved) = (next(), next(), next() == "systemd", next());
        let mut names: Vec<&str> = resolved.lines().next().unwrap_or_default().split_whitespace().collect();
        if names.len() > 1 {
            names.remove(0);
        }
        let full = names.iter().find(|name| name.contains('.')).or(names.first());
        let fqdn = full.map_or(current.clone(), |name| (*name).to_owned());
        Self { current, permanent, systemd, fqdn }
    }

    fn result(&self, name: &str) -> Fields {
        let facts = Fields::from_iter([
            ("ansible_hostname".to_owned(), name.split('.').next().unwrap_or_default().into()),
            ("ansible_nodename".to_owned(), name.into()),
            ("ansible_fqdn".to_owned(), self.fqdn.as_str().into()),
            ("ansible_domain".to_owned(), self.fqdn.split_once('.').map_or("", |(_, domain)| domain).into()),
        ]);
        Fields::from_iter([("name".to_owned(), name.into()), ("ansible_facts".to_owned(), from_fields(&facts))])
    }
}

impl StateModule for Hostname {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(LOOK))) };
        let name = args.text("name");
        let seen = Seen::parse(&answer.stdout_text());
        let (now, later) = (seen.current != name, seen.permanent != name);
        if !now && !later {
            return Ok(Next::Ok(seen.result(name)));
        }
        let systemd = args.str("use").map_or(seen.systemd, |way| way == "systemd");
        if systemd && name.len() > 64 {
            return Err(Failure::new(
                "name cannot be longer than 64 characters on systemd servers, try a shorter name",
            ));
        }
        let word = sh::quote(name);
        let mut script = String::new();
        // The permanent name comes first: NetworkManager would complain otherwise.
        if later {
            script.push_str(&if systemd {
                format!("hostnamectl --pretty --static set-hostname {word} || exit\n")
            } else {
                format!("printf '%s\\n' {word} >/etc/hostname || exit\n")
            });
        }
        if now {
            script.push_str(&if systemd {
                format!("hostnamectl --transient set-hostname {word} || exit\n")
            } else {
                format!("hostname {word} || exit\n")
            });
        }
        script.push_str(LOOK);
        let before = if now { &seen.current } else { &seen.permanent };
        let diff =
            Diff { before: format!("hostname = {before}\n"), after: format!("hostname = {name}\n"), ..Diff::default() };
        let step = Step::judged(script);
        let summary = vec![format!("host name {before} → {name}")];
        Ok(Next::Change(Change { summary, diff: vec![diff], steps: vec![step], result: seen.result(name) }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        _: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let Some(answer) = applied.first() else { return Ok(change.result.clone()) };
        if !answer.ok() {
            let (out, err) = (answer.stdout_text(), answer.stderr_text());
            return Err(Failure::new(format!("Command failed rc={}, out={out}, err={err}", answer.rc)));
        }
        Ok(Seen::parse(&answer.stdout_text()).result(args.text("name")))
    }
}
