//! Paths on the target: expanding `~` and `$VAR` there, and taking paths apart here.

use crate::sh;

/// A shell word that expands to the path as Ansible's `path` type does: a leading `~` or `~user`, `$NAME` and `${NAME}` are
/// expanded on the target (a variable that is not set stays as written), everything else is literal. A path that starts with a dash
/// gets `./` in front, so that no tool takes it for an option.
pub fn word(path: &str) -> String {
    let mut word = String::with_capacity(path.len() + 2);
    let mut rest = path;
    if let Some(tail) = path.strip_prefix('~') {
        let end = tail.find('/').unwrap_or(tail.len());
        let (user, after) = tail.split_at(end);
        if user.is_empty() {
            word.push_str("\"${HOME:-$(cd ~ && pwd)}\"");
            rest = after;
        } else if user.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            word.push('~');
            word.push_str(user);
            rest = after;
        }
    } else if path.starts_with('-') {
        word.push_str("./");
    }
    while let Some(at) = rest.find('$') {
        push_literal(&mut word, &rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = match after.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) => (&inner[..end], end + 2),
                None => ("", 0),
            },
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            // In `${…}` a closing brace must be escaped as well.
            word.push_str(&format!("\"${{{name}-\\${}}}\"", after[..length].replace('}', "\\}")));
            rest = &after[length..];
        } else {
            word.push_str("'$'");
            rest = after;
        }
    }
    push_literal(&mut word, rest);
    if word.is_empty() { "''".to_owned() } else { word }
}

fn push_literal(word: &mut String, text: &str) {
    if !text.is_empty() {
        word.push_str(&sh::quote(text));
    }
}

/// The directory that holds a path: `/` for `/a`, `.` for `a`, whatever number of slashes ends it.
pub fn parent(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rfind('/') {
        Some(0) => "/",
        Some(at) => trimmed[..at].trim_end_matches('/'),
        None if trimmed.is_empty() && path.starts_with('/') => "/",
        None => ".",
    }
}

/// The last part of a path; empty when it ends with a slash, as Python's `os.path.basename` has it.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Two paths joined as Python's `os.path.join` does: an absolute second path wins.
pub fn join(dir: &str, name: &str) -> String {
    if name.starts_with('/') || dir.is_empty() {
        name.to_owned()
    } else if dir.ends_with('/') {
        format!("{dir}{name}")
    } else {
        format!("{dir}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_only_what_ansible_expands() {
        assert_eq!(word("/etc/hosts"), "/etc/hosts");
        assert_eq!(word("~/a b"), "\"${HOME:-$(cd ~ && pwd)}\"'/a b'");
        assert_eq!(word("~joe/x"), "~joe/x");
        assert_eq!(word("$HOME/x"), "\"${HOME-\\$HOME}\"/x");
        assert_eq!(word("/a/${X}b"), "/a/\"${X-\\${X\\}}\"b");
        assert_eq!(word("/a$"), "/a'$'");
        assert_eq!(word("-rf"), "./-rf");
        assert_eq!(word("a~"), "'a~'");
    }

    #[test]
    fn takes_paths_apart() {
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a/b/"), "/a");
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("a"), ".");
        assert_eq!(parent("/"), "/");
        assert_eq!(basename("/a/b"), "b");
        assert_eq!(basename("/a/b/"), "");
        assert_eq!(join("/a", "b"), "/a/b");
        assert_eq!(join("/a/", "/b"), "/b");
    }
}
