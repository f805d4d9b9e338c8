//! The commands that make an account what a task wants: shadow's, or BusyBox's where there are no others.

use std::collections::BTreeSet;

use super::{Seen, home, ssh_key};
use crate::modules::support::path;
use crate::modules::system::accounts::{Group, Passwd};
use crate::modules::{Args, Failure, Thing};
use crate::sh;

/// Which programs the host has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// `useradd`, `usermod`, `userdel`.
    Shadow,
    /// `adduser`, `deluser`.
    BusyBox,
}

/// Commands and what they are for.
#[derive(Default)]
pub struct Work {
    /// Shell lines; one that fails ends the script with its status.
    pub script: String,
    /// For people.
    pub summary: Vec<String>,
}

impl Work {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.script.is_empty()
    }

    fn run(&mut self, words: &[String], phrase: impl Into<String>) {
        self.script.push_str(&format!("{} || exit\n", words.join(" ")));
        self.summary.push(phrase.into());
    }
}

/// Removes the account.
pub fn remove(args: &Args, tools: Tools) -> Work {
    let name = sh::quote(args.text("name"));
    let mut words = vec![];
    match tools {
        Tools::Shadow => {
            words.push("userdel".to_owned());
            words.extend(args.bool("force").then(|| "-f".to_owned()));
            words.extend(args.bool("remove").then(|| "-r".to_owned()));
            words.push(name);
        }
        Tools::BusyBox => {
            words.extend(["deluser".to_owned()]);
            words.extend(args.bool("remove").then(|| "--remove-home".to_owned()));
            words.push(name);
        }
    }
    let mut work = Work::default();
    work.run(&words, "remove");
    work
}

/// Makes the account.
pub fn create(args: &Args, seen: &Seen) -> Result<Work, Failure> {
    let name = args.text("name");
    let mut work = Work::default();
    let groups = supplementary(args, seen, None)?;
    if let Some(group) = args.str("group") {
        find(seen, group)?;
    }
    let home = args.str("home").map(path::word);
    if args.bool("create_home")
        && seen.tools == Tools::Shadow
        && let Some(home) = &home
    {
        let parent = path::word(path::parent(args.text("home")));
        let function = home::function(args);
        work.script.push_str(&format!("{function}c=\nif [ ! -d {parent} ]; then mms_home {home} || exit; c=1; fi\n"));
    }
    match seen.tools {
        Tools::Shadow => work.run(&useradd(args, seen, &groups, home.as_deref()), "add"),
        Tools::BusyBox => work.run(&adduser(args, home.as_deref()), "add"),
    }
    if let Some(hash) = args.str("password") {
        let lock = if args.bool("password_lock") && seen.tools == Tools::Shadow { "!" } else { "" };
        work.script.push_str(&set_password(name, &format!("{lock}{hash}")));
    }
    if seen.tools == Tools::BusyBox {
        for group in &groups {
            work.script.push_str(&format!("adduser {} {} || exit\n", sh::quote(name), sh::quote(group)));
        }
    } else if let Some(home) = &home
        && args.bool("create_home")
    {
        work.script.push_str(&format!("if [ -n \"$c\" ]; then {} fi\n", home::own(args, home).replace('\n', ";")));
    }
    if args.bool("generate_ssh_key") {
        work.script.push_str(&ssh_key::make(args));
        work.summary.push("make an SSH key".into());
    }
    let ages = ages(args, None);
    if !ages.is_empty() {
        work.script.push_str(&format!("chage {} {} || exit\n", ages.join(" "), sh::quote(name)));
    }
    Ok(work)
}

fn useradd(args: &Args, seen: &Seen, groups: &BTreeSet<String>, home: Option<&str>) -> Vec<String> {
    let mut words = vec!["useradd".to_owned()];
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([flag.to_owned(), sh::quote(&value)]);
        }
    };
    add("-u", args.int("uid").map(|uid| uid.to_string()));
    add("-Z", args.str("seuser").map(str::to_owned));
    add("-g", args.str("group").map(str::to_owned));
    add("-G", (!groups.is_empty()).then(|| groups.iter().cloned().collect::<Vec<_>>().join(",")));
    add("-c", args.str("comment").map(str::to_owned));
    add("-e", args.float("expires").map(date));
    add("-f", args.int("password_expire_account_disable").map(|days| days.to_string()));
    if args.bool("create_home") {
        add("-k", args.str("skeleton").map(str::to_owned));
        add("-K", args.str("umask").map(|umask| format!("UMASK={umask}")));
    }
    add("-K", args.int("uid_min").map(|uid| format!("UID_MIN={uid}")));
    add("-K", args.int("uid_max").map(|uid| format!("UID_MAX={uid}")));
    for (flag, word) in [("-d", home.map(str::to_owned)), ("-s", args.str("shell").map(path::word))] {
        words.extend(word.into_iter().flat_map(|word| [flag.to_owned(), word]));
    }
    // A group of the account's name exists already: useradd must not try to make it.
    let named = args.get("group").is_none() && Group::find(&seen.groups, args.text("name")).is_some();
    for (flag, on) in [
        ("-o", args.int("uid").is_some() && args.bool("non_unique")),
        ("-N", named),
        ("-m", args.bool("create_home")),
        ("-M", !args.bool("create_home")),
        ("-r", args.bool("system")),
    ] {
        words.extend(on.then(|| flag.to_owned()));
    }
    words.push(sh::quote(args.text("name")));
    words
}

fn adduser(args: &Args, home: Option<&str>) -> Vec<String> {
    let mut words = vec!["adduser".to_owned(), "-D".into()];
    let mut add = |flag: &str, word: Option<String>| {
        words.extend(word.into_iter().flat_map(|word| [flag.to_owned(), word]));
    };
    add("-u", args.int("uid").map(|uid| uid.to_string()));
    add("-G", args.str("group").map(sh::quote));
    add("-g", args.str("comment").map(sh::quote));
    add("-h", home.map(str::to_owned));
    add("-s", args.str("shell").map(path::word));
    add("-k", args.str("skeleton").map(sh::quote));
    for (flag, on) in [("-H", !args.bool("create_home")), ("-S", args.bool("system"))] {
        words.extend(on.then(|| flag.to_owned()));
    }
    words.push(sh::quote(args.text("name")));
    words
}

/// Changes what differs.
pub fn modify(args: &Args, seen: &Seen, passwd: &Passwd) -> Result<Work, Failure> {
    let name = sh::quote(args.text("name"));
    let mut work = Work::default();
    let (flags, phrases) = differences(args, seen, passwd)?;
    let hash = args.str("password").filter(|hash| {
        args.text("update_password") == "always" && seen.hash().trim_start_matches('!') != hash.trim_start_matches('!')
    });
    if seen.tools == Tools::BusyBox {
        let current = membership(args, seen);
        let wanted = supplementary(args, seen, Some(passwd))?;
        if !wanted.is_empty() {
            for group in wanted.difference(&current) {
                work.run(&["adduser".into(), name.clone(), sh::quote(group)], format!("join {group}"));
            }
            if !args.bool("append") {
                for group in current.difference(&wanted) {
                    work.run(&["delgroup".into(), name.clone(), sh::quote(group)], format!("leave {group}"));
                }
            }
        }
    } else if !flags.is_empty() {
        let mut words = vec!["usermod".to_owned()];
        // Setting a hash and locking are one thing.
        words.extend(flags.into_iter().filter(|flag| hash.is_none() || (flag != "-L" && flag != "-U")));
        if words.len() > 1 {
            words.push(name.clone());
            work.script.push_str(&format!("{} || exit\n", words.join(" ")));
        }
        work.summary.extend(phrases);
    }
    if let Some(hash) = hash {
        let lock = if args.bool("password_lock") { "!" } else { "" };
        work.script.push_str(&set_password(args.text("name"), &format!("{lock}{hash}")));
        work.summary.push("password".into());
    }
    if args.bool("create_home") && !seen.home_exists {
        let home = sh::quote(args.str("home").unwrap_or(&passwd.home));
        work.script.push_str(&format!("{}mms_home {home} || exit\n{}", home::function(args), home::own(args, &home)));
        work.summary.push(format!("make {home}"));
    }
    if seen.key.as_ref().is_some_and(|key| key.wanted(args)) {
        work.script.push_str(&ssh_key::make(args));
        work.summary.push("make an SSH key".into());
    }
    let ages = ages(args, Some(seen));
    if !ages.is_empty() {
        work.run(&[vec!["chage".to_owned()], ages, vec![name]].concat(), "password ages");
    }
    Ok(work)
}

/// The flags for `usermod`, quoted, and what they change.
fn differences(args: &Args, seen: &Seen, passwd: &Passwd) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut flags, mut phrases) = (vec![], vec![]);
    let mut differs = |words: &[String], phrase: String| {
        flags.extend(words.iter().cloned());
        phrases.push(phrase);
    };
    if let Some(uid) = args.int("uid").filter(|uid| *uid != passwd.uid) {
        let mut words = vec!["-u".to_owned(), uid.to_string()];
        words.extend(args.bool("non_unique").then(|| "-o".to_owned()));
        differs(&words, format!("number {} → {uid}", passwd.uid));
    }
    if let Some(group) = args.str("group") {
        let gid = find(seen, group)?.gid;
        if gid != passwd.gid {
            differs(&["-g".into(), gid.to_string()], format!("group {} → {gid}", passwd.gid));
        }
    }
    if args.get("groups").is_some() {
        let current = membership(args, seen);
        let wanted = named_groups(args, seen)?;
        let append = args.bool("append");
        let missing = wanted.difference(&current).next().is_some();
        if missing || (!append && wanted != current) {
            let list = wanted.iter().cloned().collect::<Vec<_>>().join(",");
            let mut words: Vec<String> = append.then(|| "-a".to_owned()).into_iter().collect();
            words.extend(["-G".to_owned(), sh::quote(&list)]);
            let before = current.iter().cloned().collect::<Vec<_>>().join(",");
            differs(&words, if append { format!("join {list}") } else { format!("groups {before} → {list}") });
        }
    }
    for (flag, option, current) in
        [("-c", "comment", &passwd.gecos), ("-d", "home", &passwd.home), ("-s", "shell", &passwd.shell)]
    {
        if let Some(wanted) = args.str(option).filter(|wanted| wanted != current) {
            let word = if option == "comment" { sh::quote(wanted) } else { path::word(wanted) };
            let mut words = vec![flag.to_owned(), word];
            words.extend((option == "home" && args.bool("move_home")).then(|| "-m".to_owned()));
            differs(&words, format!("{option} {current} → {wanted}"));
        }
    }
    if let Some(seconds) = args.float("expires") {
        let current = seen.shadow.as_ref().map_or(0, |shadow| shadow.expire);
        let wanted = date(seconds);
        let same = if wanted.is_empty() { current < 0 } else { current >= 0 && date_of_day(current) == wanted };
        if !same {
            differs(&["-e".into(), sh::quote(&wanted)], format!("expires {wanted}"));
        }
    }
    if let Some(days) = args.int("password_expire_account_disable") {
        differs(&["-f".into(), days.to_string()], format!("disabled {days} days after the password expires"));
    }
    match (args.opt_bool("password_lock"), seen.hash().starts_with('!')) {
        (Some(true), false) => differs(&["-L".into()], "lock the password".into()),
        (Some(false), true) => differs(&["-U".into()], "unlock the password".into()),
        _ => {}
    }
    Ok((flags, phrases))
}

/// The hash goes to `chpasswd` over a pipe: a builtin writes it, so no process has it as an argument.
fn set_password(name: &str, hash: &str) -> String {
    format!("printf '%s\\n' {} | chpasswd -e || exit\n", sh::quote(&format!("{name}:{hash}")))
}

fn ages(args: &Args, seen: Option<&Seen>) -> Vec<String> {
    let shadow = seen.and_then(|seen| seen.shadow.clone());
    let mut words = vec![];
    for (flag, option, current) in [
        ("-m", "password_expire_min", shadow.as_ref().map(|shadow| shadow.min)),
        ("-M", "password_expire_max", shadow.as_ref().map(|shadow| shadow.max)),
        ("-W", "password_expire_warn", shadow.as_ref().map(|shadow| shadow.warn)),
    ] {
        if let Some(days) = args.int(option).filter(|days| Some(*days) != current) {
            words.extend([flag.to_owned(), days.to_string()]);
        }
    }
    words
}

fn find<'a>(seen: &'a Seen, group: &str) -> Result<&'a Group, Failure> {
    Group::find(&seen.groups, group)
        .ok_or_else(|| Failure::missing(format!("Group {group} does not exist")).needs(Thing::Group(group.to_owned())))
}

/// The groups whose member lists name the account.
fn membership(args: &Args, seen: &Seen) -> BTreeSet<String> {
    let name = args.text("name");
    let groups = seen.groups.iter().filter(|group| group.members.iter().any(|member| member == name));
    groups.map(|group| group.name.clone()).collect()
}

fn written_groups(args: &Args) -> impl Iterator<Item = String> {
    let groups = args.strings("groups").into_iter();
    groups
        .flat_map(|text| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
        .filter(|name| !name.is_empty())
}

/// The wanted groups by name, the primary one included.
fn named_groups(args: &Args, seen: &Seen) -> Result<BTreeSet<String>, Failure> {
    written_groups(args).map(|group| Ok(find(seen, &group)?.name.clone())).collect()
}

/// The wanted groups as written, without the primary one.
fn supplementary(args: &Args, seen: &Seen, passwd: Option<&Passwd>) -> Result<BTreeSet<String>, Failure> {
    let mut groups = BTreeSet::new();
    for group in written_groups(args) {
        let gid = find(seen, &group)?.gid;
        if passwd.is_none_or(|passwd| passwd.gid != gid) {
            groups.insert(group);
        }
    }
    Ok(groups)
}

/// The day of an instant, for `-e`; empty for a negative one, which means never.
fn date(seconds: f64) -> String {
    if seconds < 0.0 {
        return String::new();
    }
    #[allow(clippy::cast_possible_truncation, reason = "an instant")]
    date_of_day((seconds / 86400.0).floor() as i64)
}

fn date_of_day(day: i64) -> String {
    let instant = day.checked_mul(86400).and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    instant.map(|instant| instant.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}
