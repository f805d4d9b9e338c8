//! The one thing of a zone that a task is about.

use crate::modules::{Args, Failure};
use crate::sh;
use crate::value::Value;

/// The one thing of a zone that a task is about.
pub enum Item {
    /// `service`, `protocol`, `source`, `interface`, `rich_rule`, `icmp_block`: a kind and its value.
    Named(&'static str, String),
    /// A port or range and its protocol.
    Port(String, String),
    /// `port`, `proto`, `toport`, `toaddr`.
    ForwardPort([String; 4]),
    /// `forward`, `masquerade`, `icmp_block_inversion`: on or off.
    Switch(&'static str, bool),
    /// The target of the zone.
    Target(String),
    /// The zone itself.
    Zone,
}

impl Item {
    /// What the arguments name.
    pub fn of(args: &Args) -> Result<Self, Failure> {
        let item = Self::find(args)?;
        let zone_state = matches!(args.text("state"), "absent" | "present");
        let counts = !matches!(item, Self::Zone | Self::Target(_) | Self::Switch(_, false));
        if counts && zone_state {
            return Err(Failure::new("absent and present state can only be used in zone level operations")
                .hint("use `enabled` or `disabled`"));
        }
        Ok(item)
    }

    fn find(args: &Args) -> Result<Self, Failure> {
        for kind in ["icmp_block", "service", "protocol", "source", "rich_rule", "interface"] {
            if let Some(value) = args.str(kind) {
                return Ok(Self::Named(kind, value.to_owned()));
            }
        }
        for kind in ["icmp_block_inversion", "forward", "masquerade"] {
            if let Some(on) = args.opt_bool(kind) {
                return Ok(Self::Switch(kind, on));
            }
        }
        if let Some(port) = args.str("port") {
            return match port.trim().split_once('/') {
                Some((port, protocol)) if !protocol.is_empty() => Ok(Self::Port(port.into(), protocol.into())),
                _ => Err(Failure::new("improper port format (missing protocol?)").hint("write it as `8080/tcp`")),
            };
        }
        if let Some(target) = args.str("target") {
            return Ok(Self::Target(target.to_owned()));
        }
        let forwards = args.list("port_forward");
        let Some(first) = forwards.first() else { return Ok(Self::Zone) };
        if forwards.len() > 1 {
            return Err(Failure::new("Only one port forward supported at a time"));
        }
        let text = |key: &str| -> Option<String> {
            let value = first.get_attr(key).ok().filter(|value| !value.is_undefined())?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let need = |key: &str, what: &str| {
            text(key).ok_or_else(|| Failure::new(format!("{what} must be specified for port forward")))
        };
        Ok(Self::ForwardPort([
            need("port", "port")?,
            need("proto", "proto udp/tcp")?,
            need("toport", "toport")?,
            text("toaddr").unwrap_or_default(),
        ]))
    }

    /// Whether it is to be there.
    pub fn wanted(&self, args: &Args) -> bool {
        let state = args.text("state");
        match self {
            Self::Switch(_, on) => (state == "enabled") == *on,
            _ => matches!(state, "enabled" | "present"),
        }
    }

    /// Whether it is the zone itself.
    pub fn is_zone(&self) -> bool {
        matches!(self, Self::Zone)
    }

    /// Whether it exists in the permanent configuration only.
    pub fn is_permanent_only(&self) -> bool {
        matches!(self, Self::Zone | Self::Target(_))
    }

    /// Whether firewalld can undo it after a time.
    pub fn has_timeout(&self) -> bool {
        !matches!(self, Self::Named("source" | "interface", _) | Self::Switch(..) | Self::Target(_) | Self::Zone)
    }

    fn option(&self) -> (String, String) {
        match self {
            Self::Named(kind, value) => (kind.replace('_', "-"), value.clone()),
            Self::Port(port, protocol) => ("port".into(), format!("{port}/{protocol}")),
            Self::ForwardPort([port, proto, toport, toaddr]) => {
                ("forward-port".into(), format!("port={port}:proto={proto}:toport={toport}:toaddr={toaddr}"))
            }
            Self::Switch(kind, _) => (kind.replace('_', "-"), String::new()),
            Self::Target(target) => ("target".into(), target.clone()),
            Self::Zone => ("zone".into(), String::new()),
        }
    }

    /// The option that asks for it, as a shell word.
    pub fn query(&self) -> String {
        let (option, value) = self.option();
        sh::quote(&if value.is_empty() { format!("--query-{option}") } else { format!("--query-{option}={value}") })
    }

    /// The D-Bus method that asks for it, the signature of its arguments after the zone, and these.
    pub fn bus(&self) -> Option<(&'static str, &'static str, Vec<String>)> {
        let one = |method, value: &String| Some((method, "s", vec![value.clone()]));
        match self {
            Self::Named("service", value) => one("queryService", value),
            Self::Named("protocol", value) => one("queryProtocol", value),
            Self::Named("source", value) => one("querySource", value),
            Self::Named("interface", value) => one("queryInterface", value),
            Self::Named("rich_rule", value) => one("queryRichRule", value),
            Self::Named("icmp_block", value) => one("queryIcmpBlock", value),
            Self::Port(port, protocol) => Some(("queryPort", "ss", vec![port.clone(), protocol.clone()])),
            Self::ForwardPort(parts) => Some(("queryForwardPort", "ssss", parts.to_vec())),
            Self::Switch("masquerade", _) => Some(("queryMasquerade", "", vec![])),
            Self::Switch("icmp_block_inversion", _) => Some(("queryIcmpBlockInversion", "", vec![])),
            _ => None,
        }
    }

    /// The option that adds or removes it.
    pub fn command(&self, zone: &str, wanted: bool) -> String {
        let (option, value) = self.option();
        let value = if value.is_empty() { value } else { format!("={value}") };
        match (self, wanted) {
            (Self::Target(_), true) => format!("--set-target{value}"),
            (Self::Target(_), false) => "--set-target=default".into(),
            (Self::Zone, true) => format!("--new-zone={zone}"),
            (Self::Zone, false) => format!("--delete-zone={zone}"),
            (Self::Named("interface", _), true) => format!("--change-interface{value}"),
            (_, true) => format!("--add-{option}{value}"),
            (_, false) => format!("--remove-{option}{value}"),
        }
    }

    /// For people.
    pub fn title(&self) -> String {
        let (option, value) = self.option();
        format!("{option} {value}").trim_end().to_owned()
    }

    /// What Ansible says after a change.
    pub fn messages(&self, args: &Args, zone: &str, wanted: bool) -> Vec<String> {
        let state = args.text("state");
        let (verb, preposition) = if wanted { ("Added", "to") } else { ("Removed", "from") };
        let python = |on: bool| if on { "True" } else { "False" };
        match self {
            Self::Named("source", value) => vec![format!("{verb} {value} {preposition} zone {zone}")],
            Self::Named("interface", value) if wanted => vec![format!("Changed {value} to zone {zone}")],
            Self::Named("interface", value) => vec![format!("Removed {value} from zone {zone}")],
            Self::Named(kind, value) => {
                let kind = if *kind == "icmp_block" { "icmp-block" } else { kind };
                vec![format!("Changed {kind} {value} to {state}")]
            }
            Self::Port(port, protocol) => vec![format!("Changed port {port}/{protocol} to {state}")],
            Self::ForwardPort(_) => vec![format!("Changed port_forward {} to {state}", self.option().1)],
            Self::Switch("icmp_block_inversion", on) => {
                vec![format!("Changed icmp-block-inversion {} to {state}", python(*on))]
            }
            Self::Switch(kind, _) => vec![format!("{verb} {kind} {preposition} zone {zone}")],
            Self::Target(target) if wanted => vec![format!("Set zone {zone} target to {target}")],
            Self::Target(_) => vec![format!("Reset zone {zone} target to default")],
            Self::Zone => {
                // Ansible names the argument here, not the zone it worked on.
                let named = args.get("zone").and_then(Value::as_str).unwrap_or("None");
                vec![format!("{verb} zone {zone}"), format!("Changed zone {named} to {state}")]
            }
        }
    }
}
