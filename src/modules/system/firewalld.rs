//! `firewalld`: services, ports, sources, interfaces, rules and zones of firewalld.
//!
//! The probe asks the daemon over D-Bus (`busctl`, a few milliseconds) and falls back to `firewall-cmd`, which starts Python for every
//! question. When the daemon does not run, `firewall-offline-cmd` works on its files, as Ansible does.

mod item;

use crate::connection::Answer;
use crate::modules::{
    Args, Change, Context, Default, Failure, Kind, Module, Next, Opt, Probe, Rule, Spec, StateModule, Step, Type,
};
use crate::sh;
use crate::value::Fields;
use item::Item;

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Firewalld) };

static SPEC: Spec = Spec {
    name: "firewalld",
    fqcn: &["ansible.posix.firewalld"],
    summary: "Opens and closes what firewalld guards",
    options: &[
        Opt::new("service", Type::Str, "A service that firewalld knows"),
        Opt::new("port", Type::Str, "A port or range: `8080/tcp`"),
        Opt::new("protocol", Type::Str, "A protocol"),
        Opt::new("port_forward", Type::List, "One mapping with `port`, `proto`, `toport` and perhaps `toaddr`"),
        Opt::new("rich_rule", Type::Str, "A rule in firewalld's rich language"),
        Opt::new("source", Type::Str, "A network whose packets belong to the zone"),
        Opt::new("interface", Type::Str, "An interface that belongs to the zone"),
        Opt::new("icmp_block", Type::Str, "An ICMP type to block"),
        Opt::new("icmp_block_inversion", Type::Bool, "Whether the list of ICMP types is what passes"),
        Opt::new("forward", Type::Bool, "Forwarding within the zone"),
        Opt::new("masquerade", Type::Bool, "Masquerading"),
        Opt::new("target", Type::Str, "What happens to packets no rule is for").choices(&[
            "default",
            "ACCEPT",
            "DROP",
            "%%REJECT%%",
        ]),
        Opt::new("zone", Type::Str, "The zone; the default zone when it is not given"),
        Opt::new("permanent", Type::Bool, "Change what holds after a reload").default(Default::Bool(false)),
        Opt::new("immediate", Type::Bool, "Change what holds now").default(Default::Bool(false)),
        Opt::new("offline", Type::Bool, "Work without the daemon when it does not run").default(Default::Bool(false)),
        Opt::new("timeout", Type::Int, "Seconds after which an immediate change is undone").default(Default::Int(0)),
        Opt::new("state", Type::Str, "Whether it is there; `present` and `absent` are for zones")
            .required()
            .choices(&["absent", "disabled", "enabled", "present"]),
    ],
    rules: &[
        Rule::By("interface", &["zone"]),
        Rule::By("target", &["zone"]),
        Rule::By("source", &["permanent"]),
        Rule::Exclusive(&[
            "icmp_block",
            "icmp_block_inversion",
            "service",
            "protocol",
            "port",
            "port_forward",
            "rich_rule",
            "interface",
            "forward",
            "masquerade",
            "source",
            "target",
        ]),
    ],
    differs: "a port within a range that is open counts as open",
    ..Spec::NONE
};

struct Firewalld;

impl StateModule for Firewalld {
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let item = Item::of(args)?;
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(look(args, &item)))) };
        let state = State::parse(answer);
        let layers = Layers::of(args, &item, &state)?;
        if !layers.permanent && !layers.immediate {
            return Ok(Next::Ok(Fields::from_iter([("msg".to_owned(), "".into())])));
        }
        let wanted = item.wanted(args);
        let mut script = String::from("LC_ALL=C; export LC_ALL\n");
        let mut summary = vec![];
        let zone = args.str("zone").map_or_else(|| state.zone.clone(), str::to_owned);
        for (on, name, found) in
            [(layers.permanent, "permanent", &state.permanent), (layers.immediate, "now", &state.immediate)]
        {
            if on && state.known(found)? != wanted {
                let command = if state.running { "firewall-cmd" } else { "firewall-offline-cmd" };
                let mut words = vec![command.to_owned()];
                words.extend((name == "permanent" && state.running).then(|| "--permanent".to_owned()));
                words.extend((!item.is_zone()).then(|| format!("--zone={zone}")));
                words.push(item.command(&zone, wanted));
                let timeout = args.int("timeout").unwrap_or(0);
                words.extend(
                    (name == "now" && wanted && timeout > 0 && item.has_timeout())
                        .then(|| format!("--timeout={timeout}")),
                );
                script.push_str(&format!("{} >/dev/null || exit\n", sh::join(words)));
                let verb = if wanted { "add" } else { "remove" };
                summary.push(format!("{verb} {} in zone {zone} ({name})", item.title()));
            }
        }
        let changed = !summary.is_empty();
        let mut msgs = vec![layers.title().to_owned()];
        msgs.extend(changed.then(|| item.messages(args, &zone, wanted)).into_iter().flatten());
        msgs.extend((!state.running).then(|| "(offline operation: only on-disk configs were altered)".to_owned()));
        let result = Fields::from_iter([("msg".to_owned(), msgs.join(", ").into())]);
        if !changed {
            return Ok(Next::Ok(result));
        }
        let result = if cx.check { Fields::new() } else { result };
        let step = Step::judged(script);
        Ok(Next::Change(Change { summary, diff: vec![], steps: vec![step], result }))
    }

    fn finish(
        &self,
        _: &Context<'_>,
        args: &Args,
        change: &Change,
        seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        match applied.iter().find(|answer| !answer.ok()) {
            Some(answer) => {
                let running = seen.first().is_some_and(|answer| State::parse(answer).running);
                let layers = Layers { permanent: args.bool("permanent"), immediate: args.bool("immediate") };
                Err(caught(&answer.stderr_text(), running, Some(layers.title())))
            }
            None => Ok(change.result.clone()),
        }
    }
}

/// Which of the two configurations is looked at and changed.
struct Layers {
    permanent: bool,
    immediate: bool,
}

impl Layers {
    fn of(args: &Args, item: &Item, state: &State) -> Result<Self, Failure> {
        let permanent = args.bool("permanent");
        let mut immediate = args.bool("immediate");
        if args.bool("offline") {
            if !permanent {
                return Err(Failure::new("offline cannot be enabled unless permanent changes are allowed"));
            }
            immediate &= state.running;
        }
        immediate |= !permanent;
        if immediate && !state.running {
            return Err(Failure::missing(
                "firewall is not currently running, unable to perform immediate actions without a running firewall daemon",
            )
            .hint("start `firewalld` first, or set `permanent: true` and `offline: true`"));
        }
        if immediate && item.is_permanent_only() {
            return Err(Failure::new(
                "Zone operations must be permanent. Make sure you didn't set the 'permanent' flag to 'false' or the \
                 'immediate' flag to 'true'.",
            ));
        }
        // `enabled` and `disabled` mean nothing to a zone itself.
        if item.is_zone() && !matches!(args.text("state"), "present" | "absent") {
            return Ok(Self { permanent: false, immediate: false });
        }
        Ok(Self { permanent, immediate })
    }

    fn title(&self) -> &'static str {
        match (self.permanent, self.immediate) {
            (true, true) => "Permanent and Non-Permanent(immediate) operation",
            (true, false) => "Permanent operation",
            _ => "Non-permanent operation",
        }
    }
}

/// What the host says.
struct State {
    running: bool,
    installed: bool,
    zone: String,
    permanent: String,
    immediate: String,
    trouble: String,
}

impl State {
    fn parse(answer: &Answer) -> Self {
        let text = answer.stdout_text();
        let get = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        Self {
            running: get("running") == "yes",
            installed: get("running") != "missing",
            zone: get("zone"),
            permanent: get("permanent"),
            immediate: get("immediate"),
            trouble: answer.stderr_text().into_owned(),
        }
    }

    /// A yes or no; anything else is what went wrong.
    fn known(&self, said: &str) -> Result<bool, Failure> {
        match said {
            _ if !self.installed => Err(Failure::missing("firewalld is not installed on this host")
                .hint("install and start it before this task")),
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(caught(&self.trouble, self.running, None)),
        }
    }
}

/// What firewalld complains about, as Ansible words it. `done`: what had been said before.
fn caught(said: &str, running: bool, done: Option<&str>) -> Failure {
    let last = said.trim().lines().last().unwrap_or_default();
    let what = last.trim_start_matches("Error: ");
    let known =
        "Services are defined by port/tcp relationship and named as they are in /etc/services (on most systems)";
    let origin = if running { "org.fedoraproject.FirewallD1.Exception: " } else { "" };
    let said: Vec<&str> = done.into_iter().chain(what.contains("INVALID_SERVICE").then_some(known)).collect();
    let said = if said.is_empty() { String::new() } else { format!(" {}", said.join(", ")) };
    let msg = format!("ERROR: Exception caught: {origin}{what}{said}");
    if what.contains("INVALID_ZONE") { Failure::missing(msg) } else { Failure::new(msg) }
}

/// The question: whether the daemon runs, the default zone, and whether the item is there, permanently and now.
fn look(args: &Args, item: &Item) -> String {
    let zone = args.str("zone").map_or_else(String::new, sh::quote);
    let query = item.query();
    let immediate = !item.is_permanent_only() && (args.bool("immediate") || !args.bool("permanent"));
    let permanent = args.bool("permanent");
    let mut script = format!(
        "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; z={zone}; F=org.fedoraproject.FirewallD1; O=/org/fedoraproject/FirewallD1\n\
         bus() {{ busctl --timeout=5 call \"$F\" \"$@\" 2>/dev/null; }}\n\
         said() {{ case $1 in 'b true') echo yes ;; 'b false') echo no ;; *) return 1 ;; esac; }}\n\
         ask() {{ e=$(\"$@\" 2>&1 >/dev/null); case $? in 0) echo yes ;; 1) echo no ;; *) printf '%s\\n' \"$e\" >&2; echo error ;; esac; }}\n\
         command -v firewall-cmd >/dev/null || {{ echo running=missing; exit 0; }}\n\
         c=firewall-cmd; p=--permanent; d=\n\
         if command -v busctl >/dev/null && d=$(bus $O $F getDefaultZone); then d=${{d#s \\\"}}; d=${{d%\\\"}}; b=1\n\
         elif firewall-cmd --state >/dev/null 2>&1; then d=$(firewall-cmd --get-default-zone); b=\n\
         else c=firewall-offline-cmd; p=; b=; d=$(firewall-offline-cmd --get-default-zone); fi\n\
         [ \"$c\" = firewall-offline-cmd ] && echo running=no || echo running=yes\n\
         : \"${{z:=$d}}\"; echo \"zone=$z\"\n"
    );
    if immediate {
        let bus = item.bus().map(|(method, signature, words)| {
            format!("[ -n \"$b\" ] && said \"$(bus $O $F.zone {method} s{signature} \"$z\" {})\" || ", sh::join(words))
        });
        script.push_str(&format!(
            "if [ $c = firewall-cmd ]; then printf 'immediate='; {}ask $c --zone=\"$z\" {query}; fi\n",
            bus.unwrap_or_default()
        ));
    }
    if permanent {
        script.push_str("printf 'permanent='\n");
        if item.is_zone() {
            script.push_str("case \" $($c $p --get-zones) \" in *\" $z \"*) echo yes ;; *) echo no ;; esac\n");
        } else if let Item::Target(target) = item {
            script.push_str(&format!(
                "t=$($c $p --zone=\"$z\" --get-target); case $? in 0) [ \"$t\" = {} ] && echo yes || echo no ;; *) echo error ;; esac\n",
                sh::quote(target)
            ));
        } else {
            let bus = item.bus().map(|(method, signature, words)| {
                let signature = if signature.is_empty() { String::new() } else { format!(" {signature}") };
                format!(
                    "[ -n \"$b\" ] && o=$(bus $O/config $F.config getZoneByName s \"$z\") && o=${{o#o \\\"}} && \
                     said \"$(bus \"${{o%\\\"}}\" $F.config.zone {method}{signature} {})\" || ",
                    sh::join(words)
                )
            });
            script.push_str(&format!("{}ask $c $p --zone=\"$z\" {query}\n", bus.unwrap_or_default()));
        }
    }
    script.push_str("exit 0\n");
    script
}
