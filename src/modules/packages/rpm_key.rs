//! `rpm_key`: keys that rpm trusts.
//!
//! One script looks at the key (downloaded to a private file if it is at a URL) and at the keys that rpm has; both are read here.

use crate::connection::Answer;
use crate::modules::support::path;
use crate::modules::{Args, Change, Context, Default, Failure, Next, Opt, Probe, Spec, StateModule, Step, Type};
use crate::sh;
use crate::value::Fields;

/// The arguments of `rpm_key`.
pub static SPEC: Spec = Spec {
    name: "rpm_key",
    fqcn: &["ansible.builtin.rpm_key", "ansible.legacy.rpm_key"],
    summary: "Adds or removes a key that packages are signed with.",
    options: &[
        Opt::new("key", Type::Str, "A file on the target, a URL, or the key's id.").required(),
        Opt::new("state", Type::Str, "What is wanted.")
            .default(Default::Str("present"))
            .choices(&["absent", "present"]),
        Opt::new("fingerprint", Type::StrList, "Fingerprints that the key must have to be added."),
        Opt::new("validate_certs", Type::Bool, "Whether the certificate of a URL is checked.")
            .default(Default::Bool(true)),
    ],
    ..Spec::NONE
};

/// `rpm_key`.
pub struct RpmKey;

impl StateModule for RpmKey {
    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let key = args.text("key");
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(probe(args)))) };
        match answer.rc {
            0 => {}
            11 => return Err(Failure::missing("there is no rpm on the target")),
            12 => {
                return Err(Failure::missing("Failed to find required executable \"gpg2\"")
                    .hint("install gnupg2 on the target"));
            }
            13 => {
                let why = answer.stderr_text();
                return Err(Failure::missing(format!("failed to fetch key at {key} , error was: {}", why.trim())));
            }
            14 => return Err(Failure::new(format!("Not a public key: {key}"))),
            15 => return Err(Failure::missing(format!("Not a valid key {key}"))),
            _ => {
                let said = answer.stderr_text();
                let said = said.trim();
                return Err(Failure::of_answer(if said.is_empty() { "Unexpected gpg output" } else { said }, answer));
            }
        }
        let text = answer.stdout_text();
        let (wanted, installed) = text.split_once("installed=\n").unwrap_or((&text, ""));
        let id = match keys(wanted).into_iter().next() {
            Some(id) => id.to_owned(),
            None if is_id(key) => key.to_owned(),
            None => return Err(Failure::new("Unexpected gpg output")),
        };
        let id = id.trim().to_uppercase();
        let id = id.strip_prefix("0X").unwrap_or(&id);
        let is_installed = installed.lines().any(|line| line.split(':').nth(4).is_some_and(|found| found.contains(id)));
        let present = args.text("state") == "present";
        if present == is_installed {
            return Ok(Next::Ok(Fields::new()));
        }
        let script = if present {
            if is_id(key) && !key.contains("://") {
                return Err(Failure::new("When importing a key, a valid file must be given"));
            }
            check_fingerprints(args, wanted)?;
            format!("{}rpm --import \"$f\"\n", fetch(args))
        } else {
            let short = id.get(id.len().saturating_sub(8)..).unwrap_or(id).to_lowercase();
            format!("rpm --erase --allmatches gpg-pubkey-{}\n", sh::quote(&short))
        };
        let verb = if present { "add" } else { "remove" };
        Ok(Next::Change(Change {
            summary: vec![format!("{verb} key {id}")],
            steps: vec![Step::run(script)],
            ..Change::default()
        }))
    }
}

fn check_fingerprints(args: &Args, wanted: &str) -> Result<(), Failure> {
    let found: Vec<&str> =
        wanted.lines().filter(|line| line.starts_with("fpr:")).filter_map(|line| line.split(':').nth(9)).collect();
    let asked = args.strings("fingerprint");
    let asked: Vec<String> = asked.iter().map(|print| print.replace(' ', "").to_uppercase()).collect();
    if asked.iter().all(|print| found.contains(&print.as_str())) {
        return Ok(());
    }
    let set = |items: Vec<&str>| {
        format!("{{{}}}", items.iter().map(|item| format!("'{item}'")).collect::<Vec<_>>().join(", "))
    };
    Err(Failure::new(format!(
        "The specified fingerprint, '{}', does not match any key fingerprints in '{}'",
        set(asked.iter().map(String::as_str).collect()),
        set(found)
    )))
}

/// Shell text that puts the path of the key's file into `f`; nothing of it when the key is given by its id.
fn fetch(args: &Args) -> String {
    let key = args.text("key");
    if !key.contains("://") {
        return format!("f={}\n", path::word(key));
    }
    let url = sh::quote(key);
    let (curl, wget) = if args.bool("validate_certs") { ("", "") } else { (" -k", " --no-check-certificate") };
    format!(
        "f=$(mktemp) || exit 1; trap 'rm -f \"$f\"' EXIT\n\
         if command -v curl >/dev/null; then curl -q -fsSL{curl} -o \"$f\" -- {url}; else wget -q{wget} -O \"$f\" -- {url}; fi || exit 13\n\
         grep -q 'BEGIN PGP PUBLIC KEY BLOCK' \"$f\" || exit 14\n"
    )
}

fn probe(args: &Args) -> String {
    let key = args.text("key");
    let mut script = String::from(
        "LC_ALL=C; export LC_ALL\ncommand -v rpm >/dev/null || exit 11\n\
         g=gpg; command -v gpg >/dev/null || g=gpg2; command -v \"$g\" >/dev/null || exit 12\n\
         h=$(mktemp -d) || exit 1\ntrap 'rm -rf -- \"$h\"' EXIT\n\
         q=\"--homedir $h --no-tty --batch --with-colons --fixed-list-mode\"\n",
    );
    if key.contains("://") || !is_id(key) {
        script.push_str(&fetch(args));
        script.push_str(
            "[ -f \"$f\" ] || exit 15\n\"$g\" $q --import --import-options show-only --dry-run -- \"$f\" || exit 1\n",
        );
    }
    script.push_str("echo installed=\nif rpm -q gpg-pubkey >/dev/null; then rpm -q gpg-pubkey --qf '%{description}' | \"$g\" $q - 2>/dev/null; fi\n:\n");
    script
}

/// The ids of the keys in gpg's output.
fn keys(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("pub:")).filter_map(|line| line.split(':').nth(4)).collect()
}

/// Whether this is a key's id and not a file.
fn is_id(key: &str) -> bool {
    let digits = key.strip_prefix("0x").or_else(|| key.strip_prefix("0X")).unwrap_or(key);
    digits.len() >= 8 && digits.chars().take(8).all(|c| c.is_ascii_hexdigit())
}
