//! Owner, group, mode, SELinux context and ext2 attributes: the arguments that all file modules share, what differs, and the
//! commands that make it so.

use serde_json::{Map, Value as Json, json};

use super::mode;
use super::stat::{Ask, FileState, FileType, Lookup, Stat};
use crate::modules::{Args, Default, Failure, Opt, Thing, Type};
use crate::sh;

/// `mode`.
pub const MODE: Opt = Opt::new("mode", Type::Mode, "The permissions, octal (quoted) or symbolic.");
/// `owner`.
pub const OWNER: Opt = Opt::new("owner", Type::Str, "The user that owns it, by name or number.");
/// `group`.
pub const GROUP: Opt = Opt::new("group", Type::Str, "The group that owns it, by name or number.");
/// `seuser`.
pub const SEUSER: Opt = Opt::new("seuser", Type::Str, "The user part of the SELinux context.");
/// `serole`.
pub const SEROLE: Opt = Opt::new("serole", Type::Str, "The role part of the SELinux context.");
/// `setype`.
pub const SETYPE: Opt = Opt::new("setype", Type::Str, "The type part of the SELinux context.");
/// `selevel`.
pub const SELEVEL: Opt = Opt::new("selevel", Type::Str, "The level part of the SELinux context.");
/// `attributes`.
pub const ATTRIBUTES: Opt =
    Opt::new("attributes", Type::Str, "Attributes for chattr, such as `+i`.").aliases(&["attr"]);
/// `unsafe_writes`.
pub const UNSAFE_WRITES: Opt =
    Opt::new("unsafe_writes", Type::Bool, "Write in place when the file cannot be replaced (a bind mount).")
        .default(Default::Bool(false));

/// The options of a file module: its own, then those that all file modules share.
#[macro_export]
#[doc(hidden)]
macro_rules! file_options {
    ($($option:expr),* $(,)?) => {
        &[
            $($option,)*
            $crate::modules::support::attrs::MODE,
            $crate::modules::support::attrs::OWNER,
            $crate::modules::support::attrs::GROUP,
            $crate::modules::support::attrs::SEUSER,
            $crate::modules::support::attrs::SEROLE,
            $crate::modules::support::attrs::SETYPE,
            $crate::modules::support::attrs::SELEVEL,
            $crate::modules::support::attrs::ATTRIBUTES,
            $crate::modules::support::attrs::UNSAFE_WRITES,
        ]
    };
}
pub use crate::file_options;

/// The attributes that a task asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attrs {
    /// Octal or symbolic; never `preserve`.
    pub mode: Option<String>,
    /// Name or number.
    pub owner: Option<String>,
    /// Name or number.
    pub group: Option<String>,
    /// User, role, type and level of the SELinux context; `_default` is the policy's.
    pub context: [Option<String>; 4],
    /// Attributes for chattr.
    pub attributes: Option<String>,
}

impl Attrs {
    /// The attributes among a task's arguments. A mode of `preserve` is left to the module.
    pub fn of(args: &Args) -> Self {
        let text = |name: &str| args.str(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            mode: text("mode").filter(|mode| mode != "preserve"),
            owner: text("owner"),
            group: text("group"),
            context: [text("seuser"), text("serole"), text("setype"), text("selevel")],
            attributes: text("attributes"),
        }
    }

    /// Adds to the question about a path what [`Attrs::plan`] needs to know.
    #[must_use]
    pub fn ask(&self, mut ask: Ask) -> Ask {
        ask.owner.clone_from(&self.owner);
        ask.group.clone_from(&self.group);
        ask.default_context = self.context.iter().flatten().any(|part| part == "_default");
        ask.attributes = self.attributes.is_some();
        ask
    }

    /// What is to be done so that `of` (nothing: a new thing, of which `new` holds the mode it gets by itself) has these
    /// attributes. `state` has the answers to [`Attrs::ask`].
    pub fn plan(&self, state: &FileState, of: Option<&Stat>, new: New) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        let directory = of.map_or(new.directory, |stat| stat.file_type() == FileType::Directory);
        self.plan_context(state, of, &mut plan);
        if let Some(owner) = &self.owner {
            let uid = id(owner, &state.owner, "user")?;
            plan.id(of.map(|stat| (stat.uid, &stat.owner)), uid, owner, "owner");
            plan.uid = Some(uid);
        }
        if let Some(group) = &self.group {
            let gid = id(group, &state.group, "group")?;
            plan.id(of.map(|stat| (stat.gid, &stat.group)), gid, group, "group");
            plan.gid = Some(gid);
        }
        if let Some(text) = &self.mode {
            let before = of.map_or(new.mode, Stat::mode);
            let after = mode::resolve(text, mode::Base { mode: before, directory, umask: state.umask })?;
            // Links have no mode of their own on Linux.
            let link = of.is_some_and(|stat| stat.file_type() == FileType::Link);
            if (of.is_none() || before != after) && !link {
                plan.differs("mode", of.map(|_| mode::show(before).into()), mode::show(after).into());
                let from = if of.is_some() { format!("{} → ", mode::show(before)) } else { String::new() };
                plan.summary.push(format!("mode {from}{}", mode::show(after)));
                plan.new_mode = Some(after);
            }
            plan.mode = Some(after);
        }
        self.plan_attributes(state, &mut plan);
        Ok(plan)
    }

    fn plan_context(&self, state: &FileState, of: Option<&Stat>, plan: &mut Plan) {
        // Without SELinux there is no context to compare with and nothing to do; a new file is given what was asked.
        let Some(current) = of.and_then(|stat| stat.context.as_deref()) else {
            if of.is_none() && self.context.iter().any(Option::is_some) {
                plan.chcon = self.chcon_flags();
            }
            return;
        };
        let split = |context: &str| context.splitn(4, ':').map(str::to_owned).collect::<Vec<_>>();
        let before = split(current);
        let default = state.default_context.as_deref().map(split).unwrap_or_default();
        let mut after = before.clone();
        for ((slot, wanted), default) in
            after.iter_mut().zip(&self.context).zip(default.iter().map(Some).chain(std::iter::repeat(None)))
        {
            match wanted.as_deref() {
                Some("_default") => {
                    if let Some(default) = default {
                        slot.clone_from(default);
                    }
                }
                Some(part) => part.clone_into(slot),
                None => {}
            }
        }
        if after != before {
            plan.differs("secontext", Some(json!(before)), json!(after));
            plan.summary.push(format!("SELinux context {current} → {}", after.join(":")));
            plan.chcon = Some(sh::quote(&after.join(":")));
        }
    }

    fn chcon_flags(&self) -> Option<String> {
        let words: Vec<_> = ["-u", "-r", "-t", "-l"]
            .iter()
            .zip(&self.context)
            .filter_map(|(flag, part)| {
                part.as_ref().filter(|part| *part != "_default").map(|part| format!("{flag} {}", sh::quote(part)))
            })
            .collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    fn plan_attributes(&self, state: &FileState, plan: &mut Plan) {
        let Some(wanted) = &self.attributes else { return };
        let (operator, flags) = match wanted.chars().next() {
            Some(sign @ ('+' | '-' | '=')) => (sign, &wanted[1..]),
            _ => ('=', wanted.as_str()),
        };
        // `lsattr -v` writes version, flags, path.
        let current: String = state
            .lsattr
            .as_deref()
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or_default()
            .replace('-', "");
        let has = |flag: char| current.contains(flag);
        let differs = match operator {
            '+' => !flags.chars().all(has),
            '-' => flags.chars().any(has),
            _ => {
                let sorted = |text: &str| {
                    // `e` (extents) is set by the file system itself.
                    let mut flags: Vec<char> = text.chars().filter(|flag| *flag != 'e').collect();
                    flags.sort_unstable();
                    flags
                };
                sorted(flags) != sorted(&current)
            }
        };
        if differs {
            plan.differs("attributes", Some(current.into()), json!(wanted));
            plan.summary.push(format!("attributes {wanted}"));
            plan.chattr = Some(format!("{operator}{flags}"));
        }
    }
}

/// What a thing that does not exist yet gets by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct New {
    /// Its mode, before any that was asked for.
    pub mode: u32,
    /// Whether it will be a directory.
    pub directory: bool,
}

impl New {
    /// A regular file made with a umask.
    pub fn file(umask: u32) -> Self {
        Self { mode: 0o666 & !umask, directory: false }
    }

    /// A directory made with a umask.
    pub fn directory(umask: u32) -> Self {
        Self { mode: 0o777 & !umask, directory: true }
    }
}

/// What is to be done about attributes.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The user number that was asked for.
    pub uid: Option<u32>,
    /// The group number that was asked for.
    pub gid: Option<u32>,
    /// The mode that was asked for.
    pub mode: Option<u32>,
    /// Phrases for people.
    pub summary: Vec<String>,
    /// What differs, as Ansible's diff has it.
    pub before: Map<String, Json>,
    /// The same after the change.
    pub after: Map<String, Json>,
    new_uid: Option<u32>,
    new_gid: Option<u32>,
    new_mode: Option<u32>,
    chcon: Option<String>,
    chattr: Option<String>,
}

impl Plan {
    fn differs(&mut self, key: &str, before: Option<Json>, after: Json) {
        if let Some(before) = before {
            self.before.insert(key.to_owned(), before);
        }
        self.after.insert(key.to_owned(), after);
    }

    fn id(&mut self, current: Option<(u32, &Option<String>)>, wanted: u32, name: &str, what: &str) {
        if current.is_some_and(|(id, _)| id == wanted) {
            return;
        }
        self.differs(what, current.map(|(id, _)| id.into()), wanted.into());
        let from = current.map(|(id, name)| format!("{} → ", name.clone().unwrap_or_else(|| id.to_string())));
        self.summary.push(format!("{what} {}{name}", from.unwrap_or_default()));
        if what == "owner" {
            self.new_uid = Some(wanted);
        } else {
            self.new_gid = Some(wanted);
        }
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.new_uid.is_none()
            && self.new_gid.is_none()
            && self.new_mode.is_none()
            && self.chcon.is_none()
            && self.chattr.is_none()
    }

    /// Shell lines that make it so at `path` (a shell word); each ends the script with a message when it fails. The mode comes
    /// after the owner, because a change of owner clears set-id bits.
    pub fn script(&self, path: &str) -> String {
        let owner = match (self.new_uid, self.new_gid) {
            (Some(uid), Some(gid)) => Some(format!("chown -h {uid}:{gid}")),
            (Some(uid), None) => Some(format!("chown -h {uid}")),
            (None, Some(gid)) => Some(format!("chgrp -h {gid}")),
            (None, None) => None,
        };
        let cleared = self.mode.filter(|mode| owner.is_some() && mode & 0o6000 != 0);
        let mode = self.new_mode.or(cleared).map(|mode| format!("chmod {mode:04o}"));
        let context =
            self.chcon.as_ref().map(|context| format!("[ ! -e /sys/fs/selinux/enforce ] || chcon -h {context}"));
        [context, owner, mode].into_iter().flatten().fold(String::new(), |mut script, command| {
            script.push_str(&format!("{command} -- {path} || exit 1\n"));
            script
        })
    }

    /// The shell line for ext2 attributes, which may forbid every further change and so come last.
    pub fn script_last(&self, path: &str) -> String {
        self.chattr
            .as_ref()
            .map_or_else(String::new, |flags| format!("chattr {} -- {path} || exit 1\n", sh::quote(flags)))
    }

    /// Whether the SELinux context is set.
    pub fn sets_context(&self) -> bool {
        self.chcon.is_some()
    }
}

fn id(name: &str, lookup: &Lookup, what: &str) -> Result<u32, Failure> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    match lookup {
        Lookup::Id(id) => Ok(*id),
        Lookup::Missing | Lookup::NotAsked => {
            let (verb, thing) = match what {
                "user" => ("chown", Thing::User(name.to_owned())),
                _ => ("chgrp", Thing::Group(name.to_owned())),
            };
            Err(Failure::missing(format!("{verb} failed: failed to look up {what} {name}")).needs(thing))
        }
    }
}
