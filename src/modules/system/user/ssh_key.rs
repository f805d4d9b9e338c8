//! The SSH key of an account.

use crate::modules::Args;
use crate::modules::support::path;
use crate::sh;
use crate::value::{Fields, Value};

/// What was seen of the key.
pub struct Key {
    file: String,
    private_exists: bool,
    public_exists: bool,
    fingerprint: String,
    public: Option<String>,
}

/// The shell lines that print what [`Key::parse`] reads; `$e` holds the account's entry.
pub fn look(args: &Args) -> String {
    format!(
        "{}printf 'key\\0%s\\0' \"$k\"\n\
         if [ -e \"$k\" ]; then printf private; fi\nprintf '\\0'\n\
         if [ -e \"$k.pub\" ]; then printf public; fi\nprintf '\\0'\n\
         if [ -e \"$k\" ]; then ssh-keygen -l -f \"$k\" 2>&1; fi\nprintf '\\0'\n\
         if [ -r \"$k.pub\" ]; then cat \"$k.pub\"; fi\nprintf '\\0'\n",
        locate(args)
    )
}

/// Sets `$k` to the key's path.
fn locate(args: &Args) -> String {
    let file = args
        .str("ssh_key_file")
        .map_or_else(|| sh::quote(&format!(".ssh/id_{}", args.text("ssh_key_type"))), path::word);
    format!("k={file}; d=${{e#*:*:*:*:*:}}; case $k in /*) ;; *) k=${{d%%:*}}/$k ;; esac\n")
}

impl Key {
    /// Reads the part of the answer that is about the key.
    pub fn parse(parts: &[&str]) -> Option<Self> {
        let ["key", file, private, public, fingerprint, content, ..] = parts else { return None };
        Some(Self {
            file: (*file).to_owned(),
            private_exists: *private == "private",
            public_exists: *public == "public",
            fingerprint: fingerprint.trim().to_owned(),
            public: (*public == "public").then(|| content.trim().to_owned()),
        })
    }

    /// Whether one is to be made.
    pub fn wanted(&self, args: &Args) -> bool {
        args.bool("force") || !(self.private_exists || self.public_exists)
    }

    /// The result's fields. Where there is no key Ansible puts nothing that `ssh-keygen` said into the fingerprint.
    pub fn describe(&self, fields: &mut Fields) {
        fields.insert("ssh_fingerprint".into(), self.fingerprint.as_str().into());
        fields.insert("ssh_key_file".into(), self.file.as_str().into());
        let public = self.public.as_deref().map_or(Value::from(()), Value::from);
        fields.insert("ssh_public_key".into(), public);
    }
}

/// Makes the key, as the account's own. A passphrase reaches `ssh-keygen` through its askpass program.
pub fn make(args: &Args) -> String {
    let mut words = vec!["ssh-keygen".to_owned(), "-q".into(), "-t".into(), args.text("ssh_key_type").into()];
    if let Some(bits) = args.int("ssh_key_bits").filter(|bits| *bits > 0) {
        words.extend(["-b".into(), bits.to_string()]);
    }
    let comment = args.str("ssh_key_comment").map_or_else(|| "\"ansible-generated on $n\"".to_owned(), sh::quote);
    let command = format!("{} -C {comment} -f \"$k\"", sh::join(words));
    let run = match args.str("ssh_key_passphrase") {
        None => format!("{command} -N '' </dev/null || exit\n"),
        Some(passphrase) => format!(
            "a=$(mktemp) || exit; chmod 700 \"$a\"\n\
             printf '#!/bin/sh\\nprintf \"%%s\\\\n\" \"$MMS_PASSPHRASE\"\\n' >\"$a\"\n\
             MMS_PASSPHRASE={} SSH_ASKPASS=$a SSH_ASKPASS_REQUIRE=force {command} </dev/null; r=$?\n\
             rm -f \"$a\"; [ $r = 0 ] || exit $r\n",
            sh::quote(passphrase)
        ),
    };
    let name = sh::quote(args.text("name"));
    format!(
        "e=$(mms_entry passwd {name}); o=${{e#*:*:}}; g=${{o#*:}}; o=${{o%%:*}}:${{g%%:*}}\n\
         {}read -r n </proc/sys/kernel/hostname\n\
         d=${{k%/*}}; [ -d \"$d\" ] || {{ mkdir -m 700 \"$d\" && chown \"$o\" \"$d\"; }} || exit\n\
         rm -f -- \"$k\" \"$k.pub\"\n{run}chown \"$o\" \"$k\" \"$k.pub\" || exit\n",
        locate(args)
    )
}
