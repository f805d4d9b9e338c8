//! The lines of an `authorized_keys` file, edited as Ansible edits them: a key is known by its base64 text, lines that are not keys
//! stay as they are, new keys come last.

/// Every kind of key that OpenSSH has.
const KINDS: &[&str] = &[
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-dss",
    "ssh-rsa",
    "ssh-xmss@openssh.com",
    "ssh-xmss-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-512",
    "ssh-rsa-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "ssh-dss-cert-v01@openssh.com",
];

/// Options in order, each with its value if it has one.
pub type Options = Vec<(String, Option<String>)>;

/// One line.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's base64 text; the whole line of one that is not a key.
    pub id: String,
    kind: Option<&'static str>,
    /// What stands before the kind.
    pub options: Options,
    /// What stands after the key.
    pub comment: String,
    /// Where it stands among the others.
    pub rank: usize,
}

impl Entry {
    /// Reads a line that holds a key.
    pub fn parse(line: &str, rank: usize) -> Option<Self> {
        let line = line.replace(r"\#", "#");
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.first() == Some(&"#") {
            return Some(Self::other(&line, rank));
        }
        let (at, kind) = words.iter().enumerate().find_map(|(at, word)| {
            let kind = KINDS.iter().find(|kind| *kind == word)?;
            Some((at, *kind))
        })?;
        Some(Self {
            id: (*words.get(at + 1)?).to_owned(),
            kind: Some(kind),
            options: options(&words.get(..at)?.join(" ")),
            comment: words.get(at + 2..)?.join(" "),
            rank,
        })
    }

    fn other(line: &str, rank: usize) -> Self {
        Self { id: line.to_owned(), kind: None, options: vec![], comment: String::new(), rank }
    }

    /// Whether kind, options and comment are the same; the order of the options does not matter.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let sorted = |options: &Options| {
            let mut options = options.clone();
            options.sort_by(|a, b| a.0.cmp(&b.0));
            options
        };
        self.kind == other.kind && self.comment == other.comment && sorted(&self.options) == sorted(&other.options)
    }

    fn line(&self) -> String {
        let Some(kind) = self.kind else {
            return if self.id.ends_with('\n') { self.id.clone() } else { format!("{}\n", self.id) };
        };
        let option = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        let mut options = self.options.iter().map(option).collect::<Vec<_>>().join(",");
        if !options.is_empty() {
            options.push(' ');
        }
        format!("{options}{kind} {} {}\n", self.id, self.comment)
    }
}

/// Options split at the commas that stand outside quotes.
pub fn options(text: &str) -> Options {
    let (mut found, mut word, mut quote) = (vec![], String::new(), None);
    for c in text.chars().chain([',']) {
        match (quote, c) {
            (None, ',') => {
                if !word.is_empty() {
                    let word = std::mem::take(&mut word);
                    found.push(match word.split_once('=') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (word, None),
                    });
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        word.push(c);
    }
    found
}

/// The lines of a file. A key that occurs twice counts once, as its last line says.
#[derive(Debug, Default)]
pub struct Keys(Vec<Entry>);

impl Keys {
    /// Reads a file.
    pub fn parse(text: &str) -> Self {
        let mut keys = Self::default();
        for (rank, line) in text.split_inclusive('\n').enumerate() {
            let entry = Entry::parse(line, rank).unwrap_or_else(|| Entry::other(line, rank));
            match keys.0.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => keys.0.push(entry),
            }
        }
        keys
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The entry of a key.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.id == id)
    }

    /// Adds an entry whose key is not there.
    pub fn insert(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// Removes a key.
    pub fn remove(&mut self, id: &str) {
        self.0.retain(|entry| entry.id != id);
    }

    /// Removes everything but these keys; whether there was anything else.
    pub fn keep_only(&mut self, ids: &[String]) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| ids.contains(&entry.id));
        self.0.len() != before
    }

    /// The file's text.
    pub fn serialize(&self) -> String {
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        entries.sort_by_key(|entry| entry.rank);
        entries.into_iter().map(Entry::line).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_outside_quotes() {
        let entry = Entry::parse(r#"no-pty,command="a,b c",from="x" ssh-ed25519 AAAA me at home"#, 0).unwrap();
        assert_eq!(entry.id, "AAAA");
        assert_eq!(entry.comment, "me at home");
        assert_eq!(
            entry.options,
            [
                ("no-pty".to_owned(), None),
                ("command".to_owned(), Some("\"a,b c\"".to_owned())),
                ("from".to_owned(), Some("\"x\"".to_owned()))
            ]
        );
        assert_eq!(entry.line(), "no-pty,command=\"a,b c\",from=\"x\" ssh-ed25519 AAAA me at home\n");
    }

    #[test]
    fn lines_that_are_no_keys_stay() {
        let text = "# hello\n\nssh-rsa AAAA a\nnonsense\n";
        assert_eq!(Keys::parse(text).serialize(), text);
    }
}
