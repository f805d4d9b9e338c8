//! What lies on the target: the program, the units that run it, and where their files are.

/// Where the parts of the program are kept, readable for everybody.
pub const LIBRARY: &str = "/usr/local/libexec";

/// The program itself.
pub const PROGRAM: &str = "/usr/local/libexec/mms-backup";

/// The files of the configuration, below the home directory of the containers' user.
pub const CONFIG: &str = ".config/mms/backup";

/// The units, below the same.
pub const UNITS: &str = ".config/systemd/user";

/// The parts of the program: name below [`LIBRARY`] and content.
pub const PARTS: [(&str, &str); 8] = [
    ("mms-backup", include_str!("target/mms-backup")),
    ("mms-backup-archive", include_str!("target/mms-backup-archive")),
    ("mms-backup-kept", include_str!("target/mms-backup-kept")),
    ("mms-backup-mirror", include_str!("target/mms-backup-mirror")),
    ("mms-backup-notify", include_str!("target/mms-backup-notify")),
    ("mms-backup-start", include_str!("target/mms-backup-start")),
    ("mms-backup-stream.pl", include_str!("target/mms-backup-stream.pl")),
    ("mms-backup-retention.awk", include_str!("target/mms-backup-retention.awk")),
];

/// The units that are enabled, and whether they are started as well.
pub const ENABLED: [(&str, bool); 3] =
    [("mms-backup.timer", true), ("mms-backup-weekly.timer", true), ("mms-backup-recover.service", false)];

/// The names of all units.
pub fn unit_names() -> Vec<String> {
    units("", "").into_iter().map(|(name, _)| name).collect()
}

/// The units of the containers' user: name and text. The times are those of systemd.time(7).
pub fn units(daily: &str, weekly: &str) -> Vec<(String, String)> {
    // A backup may take as long as it needs and gives way to what people wait for. ExecStopPost runs however it ended. Whoever
    // mends what is wrong may try again at once: nothing starts these units in a circle.
    let work = |what: &str, verb: &str| {
        format!(
            "# mms wrote this.\n[Unit]\nDescription={what} of %i\nStartLimitIntervalSec=0\n\n[Service]\nType=oneshot\nExecStart={PROGRAM} {verb} %i\n\
             ExecStopPost={PROGRAM} recover %i\nTimeoutStartSec=infinity\nTimeoutStopSec=15min\nNice=10\nIOSchedulingClass=best-effort\n\
             IOSchedulingPriority=7\n"
        )
    };
    let all = |what: &str, which: &str| {
        format!(
            "# mms wrote this.\n[Unit]\nDescription={what} of all services\nStartLimitIntervalSec=0\n\n[Service]\nType=oneshot\nExecStart={PROGRAM} all {which}\n\
             TimeoutStartSec=infinity\n"
        )
    };
    let timer = |what: &str, when: &str| {
        format!(
            "# mms wrote this.\n[Unit]\nDescription={what} of all services\n\n[Timer]\nOnCalendar={when}\nPersistent=true\n\n[Install]\n\
             WantedBy=timers.target\n"
        )
    };
    let recover = format!(
        "# mms wrote this.\n[Unit]\nDescription=Start what a backup had stopped when the machine went down\n\n[Service]\nType=oneshot\n\
         ExecStart={PROGRAM} recover\n\n[Install]\nWantedBy=default.target\n"
    );
    [
        ("mms-backup@.service", work("Backup", "run")),
        ("mms-backup-mirror@.service", work("Mirror", "mirror")),
        ("mms-backup-return@.service", work("Return of what a mirror has", "return")),
        ("mms-backup.service", all("Backups", "daily")),
        ("mms-backup.timer", timer("Backups", daily)),
        ("mms-backup-weekly.service", all("Mirrors", "weekly")),
        ("mms-backup-weekly.timer", timer("Mirrors", weekly)),
        ("mms-backup-recover.service", recover),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}
