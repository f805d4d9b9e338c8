//! What is at many paths of the target, in a few processes for all of them.

use std::collections::HashMap;

use crate::connection::Answer;
use crate::modules::support::{Stat, mode, text};
use crate::modules::{Failure, Probe};

/// Looks at the paths it is given as arguments. Links are looked through, and told beside.
const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL; umask
xargs -0 sh -c '
for p do
  if [ -L "$p" ]; then printf "l %s\n//\n%s\n//\n" "$p" "$(readlink -n -- "$p")"; fi
  if [ -e "$p" ]; then set -- "$@" "$p"; fi
  shift
done
[ $# = 0 ] || stat -Lc "s %f %u %g %n
//" -- "$@"
for p do
  if [ -f "$p" ]; then set -- "$@" "$p"; fi
  shift
done
[ $# = 0 ] || { echo c; sha1sum -- "$@"; echo //; }' mms
:
"#;

/// What is at the paths.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The umask of the task's user.
    pub(super) umask: u32,
    /// What the paths lead to: type, mode and owner alone.
    pub(super) stats: HashMap<String, Stat>,
    /// What links say.
    pub(super) links: HashMap<String, String>,
    /// SHA-1 of regular files.
    pub(super) sums: HashMap<String, String>,
}

impl Listing {
    /// Asks about these absolute paths, which travel over stdin.
    pub(super) fn probe(paths: impl Iterator<Item = String>) -> Probe {
        let stdin = paths.flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect();
        Probe { script: SCRIPT.to_owned(), stdin: Some(stdin) }
    }

    /// Reads the answer. Records end with a line of two slashes, which no path without doubled slashes holds.
    pub(super) fn parse(answer: &Answer) -> Result<Self, Failure> {
        let bad = || Failure::of_answer("cannot list the destination", answer);
        let all = text::decode(&answer.stdout);
        let (umask, records) = all.split_once('\n').ok_or_else(bad)?;
        let mut listing = Self { umask: mode::octal(umask).ok_or_else(bad)?, ..Self::default() };
        let mut records = records.split_terminator("\n//\n");
        while let Some(record) = records.next() {
            if let Some(path) = record.strip_prefix("l ") {
                listing.links.insert(path.to_owned(), records.next().ok_or_else(bad)?.to_owned());
            } else if let Some(sums) = record.strip_prefix("c\n") {
                listing.sums.extend(sums.lines().filter_map(sum));
            } else if let Some(rest) = record.strip_prefix("s ") {
                let mut fields = rest.splitn(4, ' ');
                let mut next = || fields.next().ok_or_else(bad);
                let raw_mode = u32::from_str_radix(next()?, 16).map_err(|_| bad())?;
                let uid = next()?.parse().map_err(|_| bad())?;
                let gid = next()?.parse().map_err(|_| bad())?;
                listing.stats.insert(next()?.to_owned(), Stat { raw_mode, uid, gid, ..Stat::default() });
            }
        }
        Ok(listing)
    }
}

/// Path and checksum of a line of `sha1sum`. GNU's puts a backslash in front when it had to escape the name.
fn sum(line: &str) -> Option<(String, String)> {
    let (sum, name) = line.split_once("  ")?;
    Some(match sum.strip_prefix('\\') {
        Some(sum) => (name.replace("\\n", "\n").replace("\\\\", "\\"), sum.to_owned()),
        None => (name.to_owned(), sum.to_owned()),
    })
}
