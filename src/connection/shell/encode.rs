//! Frames as text for the shell on the target.

use bytes::Bytes;

use super::super::Frame;
use crate::sh;

/// What the shell runs for its whole life. The first line it reads is its key.
pub(super) const LOOP: &str = r#"IFS= read -r __mms_k;while IFS= read -r __mms_l;do case $__mms_l in "$__mms_k"*)eval "${__mms_l#"$__mms_k"}";;esac;done"#;

/// What the shell knows beside: the marks before and after a frame, on both streams.
pub(super) const FUNCTIONS: &str =
    "__mms_b(){ echo $1;echo $1 >&2;};__mms_e(){ echo $1 $__mms_r;echo $1 >&2;unset __mms_s;};";

/// Scripts and stdin up to this many bytes stand in the line itself. A shell reads a line byte by byte (0.3 to 0.7 µs each);
/// beyond about this size starting `dd` is cheaper.
const INLINE: usize = 4 << 10;

/// What `dd` reads at once.
const BLOCK: u64 = 64 << 10;

/// The line that makes a stage shell (see [`super::super::process::STAGE`]) into the persistent one.
///
/// The output of the shell goes through two `cat`s: sshd gives a command sockets, and on a socket `/dev/stdout` and `/dev/stderr`
/// cannot be opened; on a pipe made by another user they cannot either. With pipes of its own a script can, as it can under
/// Ansible. When the shell ends, the epitaph is written past the `cat`s, which may live on for as long as a process that the
/// shell left behind holds a pipe open.
pub(super) fn plumbing(shell: &str, epitaph: &str) -> String {
    format!(
        "exec 5>&1 6>&2;\
         {{ {{ {shell} -c {script} 5>&- 6>&- 7>&-;echo {epitaph} $? >&5;}} 2>&1 >&7|cat >&6 5>&- 6>&- 7>&-;}} 7>&1|cat >&5 5>&- 6>&-\n",
        shell = sh::quote(shell),
        script = sh::quote(LOOP),
    )
}

/// The marks of one frame.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    pub begin: String,
    pub end: String,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self { begin: super::nonce(), end: super::nonce() }
    }
}

/// A frame as bytes for the shell's stdin.
pub(super) fn frame(frame: &Frame, marks: &Marks, key: &str) -> Bytes {
    let script = frame.script.as_bytes();
    let stdin = frame.stdin.as_deref().filter(|stdin| !stdin.is_empty());
    let Marks { begin, end } = marks;
    let mut text = Vec::with_capacity(script.len() + stdin.map_or(0, <[u8]>::len) + 512);
    // An empty line first ends whatever may stand before it.
    text.extend_from_slice(format!("\n{key}__mms_b {begin};").as_bytes());
    let mut payloads: Vec<&[u8]> = Vec::new();
    let body = if script.len() <= INLINE && !script.contains(&0) {
        format!("(eval {})", line(&frame.script))
    } else {
        payloads.push(script);
        // The `x` keeps the script's last newlines.
        text.extend_from_slice(format!("__mms_s=$({};echo x);", exactly(script.len(), "$$")).as_bytes());
        "(eval \"${__mms_s%x}\")".to_owned()
    };
    let body = match stdin {
        None => format!("{body} </dev/null"),
        Some(stdin) => {
            match std::str::from_utf8(stdin).ok().filter(|text| text.len() <= INLINE && !text.contains('\0')) {
                Some(text) => format!("printf %s {} 2>/dev/null|{body}", line(text)),
                None => {
                    payloads.push(stdin);
                    // A script may leave some of its stdin unread; the second `cat` reads it, so that `dd` always reads all.
                    // `0` is the shell with the script that would take what came for the whole.
                    format!("{}|{{ cat;cat >/dev/null;}} 2>/dev/null|{body}", exactly(stdin.len(), "0"))
                }
            }
        }
    };
    text.extend_from_slice(body.as_bytes());
    text.extend_from_slice(b";__mms_r=$?\n");
    for payload in payloads {
        text.extend_from_slice(payload);
        text.extend_from_slice(format!("{key}\n").as_bytes());
    }
    text.extend_from_slice(format!("\n{key}__mms_e {end}\n").as_bytes());
    text.into()
}

/// A command that copies exactly so many bytes from the shell's stdin to stdout and reads the key behind them. Without the key
/// the connection was cut under way: nobody may take the part for the whole, so whoever waits for it is killed.
fn exactly(bytes: usize, victim: &str) -> String {
    let copy = copy(bytes as u64);
    format!("{{ {{ {copy}&&IFS= read -r __mms_t&&[ \"$__mms_t\" = \"$__mms_k\" ];}} 2>/dev/null||kill -9 {victim};}}")
}

/// A command that copies exactly so many bytes. `dd` with whole blocks never reads more than it was told to, neither GNU's nor
/// BusyBox's (`head -c` does).
pub(crate) fn copy(bytes: u64) -> String {
    let (blocks, rest) = (bytes / BLOCK, bytes % BLOCK);
    let whole = (blocks > 0).then(|| format!("dd bs={BLOCK} count={blocks} iflag=fullblock"));
    let rest = (rest > 0).then(|| format!("dd bs={rest} count=1 iflag=fullblock"));
    let copy: Vec<String> = whole.into_iter().chain(rest).collect();
    if copy.is_empty() { ":".to_owned() } else { copy.join("&&") }
}

/// A text of any number of lines as one shell word on one line.
fn line(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    for c in text.chars() {
        match c {
            '\'' => word.push_str(r"'\''"),
            '\n' => word.push_str("'\"$__mms_n\"'"),
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(line("it's\ntwo"), r#"'it'\''s'"$__mms_n"'two'"#);
    }

    #[test]
    fn payloads_are_copied_to_the_byte() {
        assert_eq!(copy(0), ":");
        assert_eq!(copy(5), "dd bs=5 count=1 iflag=fullblock");
        assert_eq!(copy(65_536), "dd bs=65536 count=1 iflag=fullblock");
        assert_eq!(copy(3 * BLOCK + 7), "dd bs=65536 count=3 iflag=fullblock&&dd bs=7 count=1 iflag=fullblock");
    }

    #[test]
    fn the_end_mark_comes_after_the_script() {
        let marks = Marks::new();
        let text = frame(&Frame::new("set"), &marks, "key");
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 2);
        assert!(!lines[0].contains(&marks.end) && lines[1].contains(&marks.end));
    }
}
