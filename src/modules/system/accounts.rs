//! Entries of the account database, as `getent` prints them, and the shell functions that ask for them.

/// Defines `mms_entry database name`, which prints one entry, and `mms_groups`, which prints all groups.
pub const PRELUDE: &str = "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin\n\
mms_entry() {\n\
if command -v getent >/dev/null && [ \"$1\" != shadow ]; then getent \"$1\" \"$2\"; return; fi\n\
[ -r \"/etc/$1\" ] || return 0\n\
while IFS= read -r l; do case $l in \"$2:\"*) printf '%s\\n' \"$l\"; break ;; esac; done <\"/etc/$1\"\n\
}\n\
mms_groups() { if command -v getent >/dev/null; then getent group; else cat /etc/group; fi; }\n";

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passwd {
    /// Login name.
    pub name: String,
    /// `x` where the hash is in the shadow file.
    pub password: String,
    /// Number.
    pub uid: i64,
    /// Number of the primary group.
    pub gid: i64,
    /// Full name.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

impl Passwd {
    /// Reads one line.
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end_matches('\n').split(':').collect();
        let [name, password, uid, gid, gecos, home, shell] = fields[..] else { return None };
        Some(Self {
            name: name.to_owned(),
            password: password.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            gecos: gecos.to_owned(),
            home: home.to_owned(),
            shell: shell.to_owned(),
        })
    }
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Number.
    pub gid: i64,
    /// Who belongs to it beside those whose primary group it is.
    pub members: Vec<String>,
}

impl Group {
    /// Reads one line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _, gid, members) = (fields.next()?, fields.next()?, fields.next()?, fields.next().unwrap_or(""));
        let members = members.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some(Self { name: name.to_owned(), gid: gid.parse().ok()?, members })
    }

    /// The group of a name or number: a number is tried as a number first.
    pub fn find<'a>(groups: &'a [Self], wanted: &str) -> Option<&'a Self> {
        let by_number = wanted.parse::<i64>().ok().and_then(|gid| groups.iter().find(|group| group.gid == gid));
        by_number.or_else(|| groups.iter().find(|group| group.name == wanted))
    }
}

/// What of a line of `/etc/shadow` is looked at. Numbers are days; -1 where the field is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shadow {
    /// The hash, after `!` when it is locked.
    pub password: String,
    /// Days before it may be changed again.
    pub min: i64,
    /// Days after which it must be changed.
    pub max: i64,
    /// Days of warning before that.
    pub warn: i64,
    /// The day on which the account ends.
    pub expire: i64,
}

impl Shadow {
    /// Reads one line.
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end_matches('\n').split(':').collect();
        let number = |index: usize| fields.get(index).and_then(|text| text.parse().ok()).unwrap_or(-1);
        Some(Self {
            password: (*fields.get(1)?).to_owned(),
            min: number(3),
            max: number(4),
            warn: number(5),
            expire: number(7),
        })
    }
}
