//! Words of a command line, written for a POSIX shell so that the target expands what Ansible would expand there (`~`, `$VAR`,
//! patterns of paths) and nothing else.

use crate::sh;

/// Variables that a shell has without their being in the environment, where Python would not find them.
const SHELL_OWN: &[&str] = &["IFS", "OPTIND", "PPID", "PS1", "PS2", "PS4", "LINENO", "_"];

/// A shell word that yields the text with a leading `~` or `~user` and every `$VAR` and `${VAR}` of the target's environment
/// expanded. As in Python, a variable that is not set stays as it is written, and results are not expanded again.
pub(in crate::modules) fn expand(text: &str) -> String {
    write(text, false)
}

/// The same for a path that may hold `*`, `?` and `[…]`: the shell expands them to the paths that exist.
pub(in crate::modules) fn expand_glob(text: &str) -> String {
    write(text, true)
}

fn write(text: &str, glob: bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~') {
        let user = after.split('/').next().unwrap_or_default();
        if user.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            out.push('~');
            out.push_str(user);
            rest = after.get(user.len()..).unwrap_or_default();
            if let Some(tail) = rest.strip_prefix('/') {
                out.push('/');
                rest = tail;
            }
            if rest.is_empty() {
                return out;
            }
        }
    }
    let mut literal = String::new();
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        if let Some((name, written)) = variable(rest) {
            flush(&mut out, &mut literal);
            // In `${…}` a closing brace must be escaped as well.
            out.push_str(&format!("\"${{{name}-\\{}}}\"", written.replace('}', "\\}")));
            rest = rest.get(written.len()..).unwrap_or_default();
        } else {
            if glob && "*?[]!-".contains(c) {
                flush(&mut out, &mut literal);
                out.push(c);
            } else {
                literal.push(c);
            }
            rest = tail;
        }
    }
    if out.is_empty() || !literal.is_empty() {
        out.push_str(&sh::quote(&literal));
    }
    out
}

fn flush(out: &mut String, literal: &mut String) {
    if !literal.is_empty() {
        out.push_str(&sh::quote(literal));
        literal.clear();
    }
}

/// The variable that a text starts with: its name, and how it is written.
fn variable(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix('$')?;
    let (name, length) = match after.strip_prefix('{') {
        Some(inner) => inner.split_once('}').map(|(name, _)| (name, name.len() + 3))?,
        None => {
            let end = after.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(after.len());
            after.get(..end).map(|name| (name, end + 1))?
        }
    };
    let identifier = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if !identifier || SHELL_OWN.contains(&name) {
        return None;
    }
    Some((name, text.get(..length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_what_python_expands() {
        assert_eq!(expand("plain/path"), "plain/path");
        assert_eq!(expand(""), "''");
        assert_eq!(expand("~"), "~");
        assert_eq!(expand("~/a b"), "~/'a b'");
        assert_eq!(expand("~bob/x"), "~bob/x");
        assert_eq!(expand("a~"), "'a~'");
        assert_eq!(expand("$HOME/x"), r#""${HOME-\$HOME}"/x"#);
        assert_eq!(expand("a ${B}c"), r#"'a '"${B-\${B\}}"c"#);
        assert_eq!(expand("{print $1}"), "'{print $1}'");
        assert_eq!(expand("$IFS ${x:-y} $$ $"), "'$IFS ${x:-y} $$ $'");
        assert_eq!(expand("*.txt"), "'*.txt'");
        assert_eq!(expand_glob("/a b/*.[ch]"), "'/a b/'*.[ch]");
    }
}
