//! Copying directories from the old host into the staging places of the new one: what differs, and nothing else; and the proof
//! that a copy is one.
//!
//! Names and content go through this machine's memory, a piece at a time, or straight from host to host when the new one can log in to
//! the old one.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::journal::Part;
use super::listing::{self, Difference, Filter, Listing};
use super::{source, target};
use crate::connection::Answer;
use crate::error::{Error, ErrorKind, Result};
use crate::restore::journal::{Journal, Place};
use crate::restore::{Site, Talk};
use crate::sh;
use crate::size;

/// How content gets from one host to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Through this machine.
    Workstation,
    /// The new host fetches it.
    Direct {
        /// The words that run a shell command on the old one.
        ssh: Vec<String>,
        /// Whether that needs sudo for being root.
        sudo: bool,
    },
}

/// The two hosts, and what is copied between them.
pub struct Copy<'a> {
    /// The old host, as root.
    pub source: &'a Site<'a>,
    /// The new host, as the containers' user.
    pub target: &'a Site<'a>,
    /// The journal of the migration.
    pub journal: &'a Journal,
    /// Whether the old host's tar is GNU's.
    pub gnu: bool,
    /// Take what backups leave out, too.
    pub everything: bool,
    /// How content gets across.
    pub way: &'a Way,
    /// Who is told.
    pub talk: &'a dyn Talk,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Files, directories and links that were sent.
    pub sent: usize,
    /// Bytes that went over the line.
    pub bytes: u64,
    /// Bytes of all files that there are now.
    pub total: u64,
}

impl std::ops::AddAssign for Passed {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.bytes += other.bytes;
        self.total += other.total;
    }
}

/// A directory of the old host and its copy.
struct Pair<'a> {
    part: &'a Part,
    /// The directory here.
    here: String,
}

impl Copy<'_> {
    fn pairs(&self) -> Vec<Pair<'_>> {
        let origin = self.journal.origin.iter().flat_map(|origin| &origin.places);
        let places = self.journal.places.iter().zip(origin);
        places
            .flat_map(|(Place { staged, .. }, parts)| {
                parts.iter().map(move |part| {
                    let here = if part.into.is_empty() { staged.clone() } else { format!("{staged}/{}", part.into) };
                    Pair { part, here }
                })
            })
            .collect()
    }

    /// What is in a directory of the old host, as far as it is moved.
    pub async fn list_source(&self, part: &Part) -> Result<Listing> {
        let answer = self.source.must("list the files", listing::script(&part.from)).await?;
        Ok(Filter::of(part, self.everything)?.apply(listing::parse(&answer.stdout)?))
    }

    async fn list_copy(&self, pair: &Pair<'_>) -> Result<Listing> {
        let script = target::unshared(&listing::script(&pair.here));
        let answer = self.target.must("list the copied files", script).await?;
        let mut listing = listing::parse(&answer.stdout)?;
        // What another part puts into this one is not this one's.
        let others = self.inside(pair);
        listing.retain(|path, _| !others.iter().any(|other| is_at(path, other.as_bytes())));
        Ok(listing)
    }

    /// What other parts put into a directory: paths relative to it.
    fn inside(&self, pair: &Pair<'_>) -> Vec<String> {
        let below = format!("{}/", pair.here);
        self.pairs().into_iter().filter_map(|other| other.here.strip_prefix(&below).map(str::to_owned)).collect()
    }

    /// What makes a copy what its original is. Directories on the way to another part stay.
    fn difference(&self, pair: &Pair<'_>, source: &Listing, copy: &Listing) -> Difference {
        let mut difference = Difference::between(source, copy);
        let others = self.inside(pair);
        difference.remove.retain(|path| !others.iter().any(|other| is_at(other.as_bytes(), path)));
        difference
    }

    /// Makes the copies what their originals are now.
    pub async fn pass(&self, what: &str) -> Result<Passed> {
        let mut passed = Passed::default();
        for pair in self.pairs() {
            self.talk.progress(
                &self.target.name,
                &format!("{}: {what}: looking at {}", self.journal.service, pair.part.from),
            );
            let source = self.list_source(pair.part).await?;
            let copy = self.list_copy(&pair).await?;
            let difference = self.difference(&pair, &source, &copy);
            let mut bytes = 0;
            if !difference.is_empty() {
                self.remove(&pair, &difference.remove).await?;
                bytes = self.send(&pair, &difference.send, difference.bytes, what).await?;
            }
            passed += Passed { sent: difference.send.len(), bytes, total: listing::bytes(&source) };
        }
        Ok(passed)
    }

    async fn remove(&self, pair: &Pair<'_>, paths: &[Vec<u8>]) -> Result<()> {
        let script = format!("[ -d {0} ] || exit 0; cd -- {0} && exec xargs -0 -r rm -rf --", sh::quote(&pair.here));
        if paths.is_empty() {
            return Ok(());
        }
        self.feed(self.target, "remove what is gone", &target::unshared(&script), &names(paths, 0)).await.map(drop)
    }

    /// Runs a command with this as its stdin.
    async fn feed(&self, site: &Site<'_>, what: &str, command: &str, content: &[u8]) -> Result<Answer> {
        let (sender, pieces) = mpsc::channel(4);
        let feeding = async {
            for piece in content.chunks(256 << 10) {
                if sender.send(Bytes::copy_from_slice(piece)).await.is_err() {
                    break;
                }
            }
            drop(sender);
        };
        let (answer, ()) = futures::future::join(site.send(command, pieces), feeding).await;
        site.checked(what, answer?)
    }

    /// Keeps a list on the old host, where its commands read it.
    async fn list_on_source(&self, paths: &[Vec<u8>], end: u8) -> Result<String> {
        let state = source::state(&self.journal.service);
        let list = format!("{state}/list");
        let command = format!("umask 077; mkdir -p {0} && rm -f {0}/unread && cat >{0}/list", sh::quote(&state));
        self.feed(self.source, "keep the list of files", &command, &names(paths, end)).await?;
        Ok(list)
    }

    /// Takes the list away again. Gives the files that tar could not read: path, and why.
    async fn clean(&self, part: &Part) -> Result<Vec<(Vec<u8>, String)>> {
        let script = source::clean(&self.journal.service, &part.from, self.gnu);
        let answer = self.source.must("remove the list of files", script).await?;
        Ok(source::parse_unread(&answer.stdout))
    }

    /// Sends files, directories and links. Gives the bytes that went over the line.
    async fn send(&self, pair: &Pair<'_>, paths: &[Vec<u8>], expected: u64, what: &str) -> Result<u64> {
        if paths.is_empty() {
            return Ok(0);
        }
        self.list_on_source(paths, if self.gnu { 0 } else { b'\n' }).await?;
        let read = source::archive(&self.journal.service, &pair.part.from, self.gnu);
        let (wide, here) = (sh::WIDE_TAR, sh::quote(&pair.here));
        let write = format!("umask 022; {wide}mkdir -p -- {here} && cd -- {here} && exec tar -x -o -p -f -");
        let sent = match self.way {
            Way::Workstation => self.through(&read, &target::unshared(&write), expected, what).await,
            Way::Direct { ssh, sudo } => self.straight(ssh, *sudo, &read, &write, expected).await,
        };
        let unread = self.clean(pair.part).await;
        if let Ok(unread) = &unread {
            // tar fills them with zeros: the next pass must not take them for the same because they look the same.
            let paths: Vec<Vec<u8>> = unread.iter().map(|(path, _)| path.clone()).collect();
            self.remove(pair, &paths).await?;
        }
        let bytes = sent?;
        self.all_read(pair.part, &unread?)?;
        Ok(bytes)
    }

    /// Refuses to go on when files cannot be read: better now than when the service has been stopped.
    fn all_read(&self, part: &Part, unread: &[(Vec<u8>, String)]) -> Result<()> {
        let Some((path, why)) = unread.first() else { return Ok(()) };
        let more = match unread.len() {
            1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        let path = String::from_utf8_lossy(path);
        let said = format!("{}: `{}/{path}` cannot be read{more}: {why}", self.source.name, part.from);
        Err(Error::new(ErrorKind::Failed, said)
            .hint("put it right there, or remove it; what `backup.excludes` of the service names is not moved"))
    }

    async fn through(&self, read: &str, write: &str, expected: u64, what: &str) -> Result<u64> {
        const OFTEN: u64 = 8 << 20;
        let (from, mut taken) = mpsc::channel::<Result<Bytes>>(8);
        let (to, pieces) = mpsc::channel::<Bytes>(8);
        let passing = async move {
            let (mut bytes, mut shown) = (0_u64, 0);
            loop {
                match taken.recv().await {
                    Some(Ok(piece)) if piece.is_empty() => return Ok(bytes),
                    Some(Ok(piece)) => {
                        bytes += piece.len() as u64;
                        if bytes / OFTEN != shown {
                            shown = bytes / OFTEN;
                            let text = format!(
                                "{}: {what}: {} of {}",
                                self.journal.service,
                                size::human(bytes),
                                size::human(expected)
                            );
                            self.talk.progress(&self.target.name, &text);
                        }
                        if to.send(piece).await.is_err() {
                            // The new host's own words say why.
                            return Ok(bytes);
                        }
                    }
                    Some(Err(error)) => return Err(error),
                    None => return Err(Error::new(ErrorKind::Failed, "the old host's files ended too soon")),
                }
            }
        };
        let receiving = self.source.receive("read the files", read, from);
        let ((), passed, unpacked) = tokio::join!(receiving, passing, self.target.send(write, pieces));
        let unpacked = unpacked.and_then(|answer| self.target.checked("unpack the files", answer));
        match (passed, unpacked) {
            (Ok(bytes), Ok(_)) => Ok(bytes),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    }

    async fn straight(&self, ssh: &[String], sudo: bool, read: &str, write: &str, expected: u64) -> Result<u64> {
        // POSIX sh has no pipefail, so the reader leaves its status in a file descriptor of its own.
        let there = format!("{}sh -c {}", if sudo { "sudo -n " } else { "" }, sh::quote(read));
        let fetch = format!("{} {}", sh::join(ssh), sh::quote(&there));
        let command = format!(
            "{}exec 4>&1; status=$( {{ {{ {fetch} 3>&-; echo $? >&3; }} | podman unshare sh -c {} 1>&2; echo \"and $?\" >&3; }} 3>&1 ); \
             case $(echo $status) in '0 and 0') exit 0 ;; *) echo \"ssh and tar ended with $(echo $status)\" >&2; exit 1 ;; esac",
            crate::service::observe::PRELUDE,
            sh::quote(write)
        );
        self.talk.progress(&self.target.name, &format!("{}: fetching {}", self.journal.service, size::human(expected)));
        self.target.must("fetch the files", command).await?;
        Ok(expected)
    }

    /// Compares every file by its SHA-256 on both sides. Gives those that differ; when there are none, the copy is one.
    pub async fn verify(&self) -> Result<Vec<String>> {
        let mut differing = vec![];
        for pair in self.pairs() {
            self.talk.progress(&self.target.name, &format!("{}: comparing {}", self.journal.service, pair.part.from));
            let source = self.list_source(pair.part).await?;
            let copy = self.list_copy(&pair).await?;
            let difference = self.difference(&pair, &source, &copy);
            if !difference.is_empty() {
                let all = difference.send.iter().chain(&difference.remove);
                differing.extend(all.map(|path| format!("{}/{}", pair.part.from, String::from_utf8_lossy(path))));
                continue;
            }
            let files: Vec<Vec<u8>> = listing::files(&source).map(|(path, _)| path.clone()).collect();
            let links: Vec<Vec<u8>> = source
                .iter()
                .filter(|(_, entry)| entry.kind == listing::Kind::Link)
                .map(|(path, _)| path.clone())
                .collect();
            for (paths, command) in [(files, HASH), (links, LINK)] {
                let (there, here) = tokio::join!(
                    self.hashes_there(pair.part, &paths, command),
                    self.hashes_here(&pair, &paths, command)
                );
                let (there, here) = (there?, here?);
                let wrong = paths.iter().zip(there.iter().zip(&here)).filter(|(_, (there, here))| there != here);
                let wrong: Vec<&Vec<u8>> = wrong.map(|(path, _)| path).collect();
                // The next pass must not take it for the same because it looks the same.
                let owned: Vec<Vec<u8>> = wrong.iter().map(|path| (*path).clone()).collect();
                self.remove(&pair, &owned).await?;
                differing
                    .extend(wrong.iter().map(|path| format!("{}/{}", pair.part.from, String::from_utf8_lossy(path))));
            }
        }
        Ok(differing)
    }

    async fn hashes_there(&self, part: &Part, paths: &[Vec<u8>], command: &str) -> Result<Vec<String>> {
        if paths.is_empty() {
            return Ok(vec![]);
        }
        let list = self.list_on_source(paths, 0).await?;
        let script = format!(
            "LC_ALL=C; export LC_ALL; cd -- {} || exit 1\n{{ {command}; }} <{}",
            sh::quote(&part.from),
            sh::quote(&list)
        );
        let answer = self.source.must("hash the files", script).await;
        let cleaned = self.clean(part).await;
        let hashes = read_hashes(self.source, &answer?, paths.len())?;
        cleaned?;
        Ok(hashes)
    }

    async fn hashes_here(&self, pair: &Pair<'_>, paths: &[Vec<u8>], command: &str) -> Result<Vec<String>> {
        if paths.is_empty() {
            return Ok(vec![]);
        }
        self.feed(self.target, "keep the list of files", &target::keep_list(self.journal), &names(paths, 0)).await?;
        let script = target::with_list(self.journal, &pair.here, command);
        let answer = self.target.must("hash the copied files", script).await?;
        read_hashes(self.target, &answer, paths.len())
    }

    /// The SQLite databases that are not well on the old host, where that can be asked.
    pub async fn databases_there(&self) -> Result<Checked> {
        let mut checked = Checked::default();
        for pair in self.pairs() {
            let files: Vec<Vec<u8>> =
                listing::files(&self.list_source(pair.part).await?).map(|(path, _)| path.clone()).collect();
            let answer = self.ask_with(self.source, &source::check_databases(&pair.part.from), &files).await?;
            checked.take(&answer, &pair.part.from);
        }
        Ok(checked)
    }

    /// The SQLite databases of the copy that are not well.
    pub async fn databases_here(&self) -> Result<Checked> {
        let mut checked = Checked::default();
        for pair in self.pairs() {
            let files: Vec<Vec<u8>> =
                listing::files(&self.list_copy(&pair).await?).map(|(path, _)| path.clone()).collect();
            let answer = self.ask_with(self.target, &target::check_databases(&pair.here), &files).await?;
            checked.take(&answer, &pair.here);
        }
        Ok(checked)
    }

    /// A script with names on its stdin, and what it printed.
    async fn ask_with(&self, site: &Site<'_>, script: &str, paths: &[Vec<u8>]) -> Result<String> {
        let answer = self.feed(site, "check the databases", script, &names(paths, 0)).await?;
        Ok(answer.stdout_text().into_owned())
    }
}

/// Whether a path is a directory or below it.
fn is_at(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// What was found out about databases.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many are well.
    pub good: usize,
    /// Those that are damaged: path and what SQLite says.
    pub damaged: Vec<(String, String)>,
    /// There is no `sqlite3` to ask.
    pub without: bool,
}

impl Checked {
    fn take(&mut self, answer: &str, directory: &str) {
        self.without |= answer.lines().any(|line| line == "@without");
        for (said, path) in target::parse_databases(answer) {
            match said.as_str() {
                "ok" => self.good += 1,
                "unknown" => {}
                _ => self.damaged.push((format!("{directory}/{path}"), said)),
            }
        }
    }

    /// Refuses what is damaged.
    pub fn require(&self, host: &str) -> Result<()> {
        let Some((path, said)) = self.damaged.first() else { return Ok(()) };
        let more = match self.damaged.len() {
            1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        Err(Error::new(ErrorKind::Failed, format!("{host}: the database `{path}` is damaged{more}: {said}")).hint(
            "`sqlite3 FILE .recover` gets out of it what can be had; backups of the old host may hold a good one",
        ))
    }
}

/// One line for each name that comes by stdin. The hash is all that goes over the line; `sha256sum` begins the line of a strange
/// name with a backslash.
pub(super) const HASH: &str =
    "{ xargs -0 sha256sum; echo \"@status $?\"; } | sed -e 's/^\\\\//' -e '/^@status /!s/ .*//'";

/// Where links lead to.
pub(super) const LINK: &str = "{ xargs -0 sh -c 'for f do readlink -- \"$f\" | sha256sum; done' sh; echo \"@status $?\"; } | sed '/^@status /!s/ .*//'";

fn read_hashes(site: &Site<'_>, answer: &Answer, count: usize) -> Result<Vec<String>> {
    let text = answer.stdout_text();
    let (status, hashes): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('@'));
    if status != ["@status 0"] || hashes.len() != count {
        let stderr = answer.stderr_text();
        let why = stderr.lines().find(|line| !line.trim().is_empty());
        let why = why.map(|why| format!(": {}", why.trim())).unwrap_or_default();
        return Err(Error::new(
            ErrorKind::Failed,
            format!("{}: not all files could be read for comparing them{why}", site.name),
        ));
    }
    Ok(hashes.into_iter().map(str::to_owned).collect())
}

/// Names for a command, each ended by a byte, and none looking like an option.
fn names(paths: &[Vec<u8>], end: u8) -> Vec<u8> {
    let mut all = vec![];
    for path in paths {
        all.extend_from_slice(b"./");
        all.extend_from_slice(path);
        all.push(end);
    }
    all
}
