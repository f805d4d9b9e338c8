//! File modes: octal and symbolic, with the meaning Ansible gives them.

use crate::modules::Failure;

/// Permission bits, set-id bits and the sticky bit.
pub const PERM_BITS: u32 = 0o7777;

/// What symbolic modes depend on.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    /// The mode before.
    pub mode: u32,
    /// Whether it is a directory (`X`).
    pub directory: bool,
    /// The umask of the user, for clauses that name nobody (`+x`).
    pub umask: u32,
}

/// The mode that `text` asks for. An octal number stands for itself; symbolic clauses change `base`.
pub fn resolve(text: &str, base: Base) -> Result<u32, Failure> {
    if let Some(mode) = octal(text) {
        return if mode & !PERM_BITS == 0 { Ok(mode) } else { Err(invalid(text)) };
    }
    let mut mode = base.mode & PERM_BITS;
    for clause in text.split(',') {
        mode = apply(clause, mode, base).ok_or_else(|| invalid(text))?;
    }
    Ok(mode)
}

/// The value of an octal mode (`0644`, `644`, `0o644`).
pub fn octal(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.strip_prefix("0o").unwrap_or(text);
    (!digits.is_empty()).then(|| u32::from_str_radix(digits, 8).ok())?
}

/// A mode as Ansible's results write it: `0644`.
pub fn show(mode: u32) -> String {
    format!("0{:03o}", mode & PERM_BITS)
}

/// Whether the mode is symbolic with a clause for nobody in particular, so that the umask matters.
pub fn needs_umask(text: &str) -> bool {
    octal(text).is_none() && text.split(',').any(|clause| clause.starts_with(['+', '-', '=']))
}

fn invalid(text: &str) -> Failure {
    Failure::new(format!("mode must be in octal or symbolic form, not `{text}`"))
        .hint("write it as text, such as `\"0644\"` or `u=rw,g=r,o=r`")
}

fn apply(clause: &str, mut mode: u32, base: Base) -> Option<u32> {
    let at = clause.find(['+', '-', '='])?;
    let (users, mut rest) = clause.split_at(at);
    let masked = users.is_empty();
    let users = if masked || users == "a" { "ugo" } else { users };
    if !users.chars().all(|user| "ugo".contains(user)) {
        return None;
    }
    while let Some(operator) = rest.chars().next() {
        let after = &rest[1..];
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let (perms, next) = after.split_at(end);
        for user in users.chars() {
            let shift = match user {
                'u' => 6,
                'g' => 3,
                _ => 0,
            };
            let bits =
                perms.chars().try_fold(0, |bits, perm| Some(bits | bit(perm, user, shift, mode, base, masked)?))?;
            mode = match operator {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => {
                    let special = match user {
                        'u' => 0o4000,
                        'g' => 0o2000,
                        _ => 0o1000,
                    };
                    (mode & !(0o7 << shift | special)) | bits
                }
            };
        }
        rest = next;
    }
    Some(mode)
}

fn bit(perm: char, user: char, shift: u32, mode: u32, base: Base, masked: bool) -> Option<u32> {
    let allowed = if masked { !base.umask } else { !0 };
    let plain = |value: u32| (value << shift) & allowed;
    Some(match perm {
        'r' => plain(4),
        'w' => plain(2),
        'x' => plain(1),
        'X' if base.directory || mode & 0o111 != 0 => 1 << shift,
        'X' => 0,
        's' if user == 'u' => 0o4000,
        's' if user == 'g' => 0o2000,
        't' if user == 'o' => 0o1000,
        's' | 't' => 0,
        'u' => (mode >> 6 & 7) << shift,
        'g' => (mode >> 3 & 7) << shift,
        'o' => (mode & 7) << shift,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(mode: u32) -> Base {
        Base { mode, directory: false, umask: 0o022 }
    }

    #[test]
    fn octal_and_symbolic() {
        for (text, base, want) in [
            ("0644", file(0), 0o644),
            ("644", file(0), 0o644),
            ("u=rw,g=r,o=r", file(0o777), 0o644),
            ("a+x", file(0o644), 0o755),
            ("+x", file(0o600), 0o711),
            ("+w", file(0o444), 0o644),
            ("u=rwX,g=rX,o=", file(0o644), 0o640),
            ("u=rwX,g=rX,o=", Base { directory: true, ..file(0o777) }, 0o750),
            ("u+x,g=u", file(0o600), 0o770),
            ("u=rw-x+X", file(0o744), 0o644),
            ("u=rw-x+X", file(0o755), 0o755),
            ("g+s,o+t", file(0o755), 0o3755),
            ("u=rwxs", file(0), 0o4700),
            ("ug-w", file(0o666), 0o446),
        ] {
            assert_eq!(resolve(text, base).unwrap(), want, "{text} on {:o}", base.mode);
        }
        assert!(resolve("99999", file(0)).is_err());
        assert!(resolve("u=q", file(0)).is_err());
        assert!(resolve("777777", file(0)).is_err());
    }
}
