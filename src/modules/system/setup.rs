//! `setup` and `gather_facts`: the facts as a result.

use crate::connection::Answer;
use crate::facts::{self, Request};
use crate::modules::{Args, Context, Default, Failure, Kind, Module, Next, Opt, Spec, StateModule, Type};
use crate::value::{Fields, from_fields};

pub const MODULE: Module = Module { spec: &SPEC, kind: Kind::State(&Setup) };

static SPEC: Spec = Spec {
    name: "setup",
    fqcn: &["ansible.builtin.setup", "gather_facts", "ansible.builtin.gather_facts"],
    summary: "Gathers facts about the host",
    options: &[
        Opt::new("gather_subset", Type::StrList, "Groups of facts to gather; `!` before a name leaves it out"),
        Opt::new("gather_timeout", Type::Int, "Seconds that file systems may take to tell their sizes")
            .default(Default::Int(10)),
        Opt::new("filter", Type::StrList, "Shell patterns of the facts to return").default(Default::EmptyList),
        Opt::new("fact_path", Type::Path, "Directory of local facts").default(Default::Str("/etc/ansible/facts.d")),
    ],
    differs: "there are no facts about Python, `facter`, `ohai` and `ethtool`; lists that Ansible returns in the order of a \
              directory are sorted",
    ..Spec::NONE
};

struct Setup;

impl StateModule for Setup {
    fn plan(&self, _: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else {
            let default = Request::default();
            let subset = args.strings("gather_subset");
            return facts::probe(&Request {
                subset: if subset.is_empty() { default.subset } else { subset },
                fact_path: args.str("fact_path").map_or(default.fact_path, str::to_owned),
                timeout: args
                    .int("gather_timeout")
                    .and_then(|seconds| seconds.try_into().ok())
                    .unwrap_or(default.timeout),
            })
            .map(Next::Probe);
        };
        let patterns = args.strings("filter");
        let named: Fields = facts::parse(answer)?
            .into_iter()
            .map(|(name, value)| match name.as_str() {
                "gather_subset" | "module_setup" => (name, value),
                _ => (format!("ansible_{name}"), value),
            })
            .filter(|(name, _)| patterns.is_empty() || patterns.iter().any(|pattern| selects(pattern, name)))
            .collect();
        Ok(Next::Ok(Fields::from_iter([("ansible_facts".to_owned(), from_fields(&named))])))
    }
}

/// Whether a pattern of `filter` selects a fact; `ansible_` may be left out.
fn selects(pattern: &str, name: &str) -> bool {
    let prefixed = ["ansible_", "facter", "ohai"].iter().any(|prefix| pattern.starts_with(prefix));
    pattern.is_empty()
        || matches(pattern, name)
        || (!prefixed && name.strip_prefix("ansible_").is_some_and(|short| matches(pattern, short)))
}

/// Shell patterns: `*`, `?`, `[a-z]`, `[!a-z]`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match (c, rest.find(']').filter(|at| *at > 0)) {
            ('*', _) => regex.push_str(".*"),
            ('?', _) => regex.push('.'),
            ('[', Some(end)) => {
                let class = rest.get(..end).unwrap_or_default().replace('\\', "\\\\").replace('[', "\\[");
                let class = class.strip_prefix('!').map_or(class.clone(), |class| format!("^{class}"));
                regex.push_str(&format!("[{class}]"));
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex::Regex::new(&(regex + "$")).is_ok_and(|regex| regex.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::selects;

    #[test]
    fn a_filter_may_leave_out_the_prefix() {
        for pattern in ["ansible_distribution", "distribution", "dist*", "ansible_d?stribution", "[a-e]*", "*"] {
            assert!(selects(pattern, "ansible_distribution"), "{pattern}");
        }
        for pattern in ["distro", "ansible_dist", "[!a-e]istribution", "facter_*"] {
            assert!(!selects(pattern, "ansible_distribution"), "{pattern}");
        }
    }
}
