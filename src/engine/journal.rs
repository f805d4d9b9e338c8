//! Handlers that are owed: noted on the target together with the change that notifies them, so that a run that dies in between
//! loses none.
//!
//! A note is a file in `~/.local/state/mms/handlers/` of the user who makes the change (nobody writes into another user's home).
//! It is written by the same script that makes the change, before it; it is removed when its handlers have run, or when it turns out
//! that nothing has changed. The next run asks for what is there with the first script of each shell, without waiting for the
//! answer, and takes it in where the play would have run the handlers ([`Engine::take_in_owed`]). A note names a play, a host, a
//! handler and a time, and nothing else.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::drive::Site;
use super::host::Host;
use super::play::Batch;
use crate::connection::{Answer, Become, ConnectionError, Frame, Shell, Target};
use crate::diagnostic::Diagnostic;
use crate::event::Event;
use crate::hex::hex;
use crate::playbook::Handler;
use crate::sh;
use crate::sync::lock;

const DIR: &str = "$HOME/.local/state/mms/handlers";

/// What one note says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Note {
    /// The play, as [`play_key`] names it.
    play: String,
    /// The inventory name of the host that runs the handler.
    host: String,
    /// What was notified: a handler's name, or a topic that handlers listen to.
    handler: String,
    /// Which of the play's lists notified it: 0 `pre_tasks`, 1 roles and tasks, 2 `post_tasks`.
    section: usize,
    /// When.
    since: String,
}

impl Note {
    /// Its file's name.
    fn id(&self) -> String {
        short_hash(&[&self.play, &self.host, &self.handler])
    }
}

/// The handlers that a task would notify, for the note that goes with its change.
#[derive(Debug, Clone)]
pub struct Intent {
    /// See [`Note::play`].
    pub play: String,
    /// See [`Note::section`].
    pub section: usize,
    /// What it notifies.
    pub names: Vec<String>,
}

/// Where a note lies.
#[derive(Clone)]
struct Place {
    host: Arc<Host>,
    target: Target,
    user: Option<Become>,
}

impl Place {
    fn is(&self, host: &Arc<Host>, target: &Target, user: Option<&Become>) -> bool {
        Arc::ptr_eq(&self.host, host) && self.target == *target && self.user.as_ref() == user
    }
}

/// A note that this run has written or taken in.
struct Kept {
    note: Note,
    place: Place,
    /// Handlers that have not run yet.
    owes: Vec<Arc<Handler>>,
    /// Whether the task that wrote it is still under way.
    fresh: bool,
}

type Answering = BoxFuture<'static, Result<Answer, ConnectionError>>;

/// What a run knows of notes.
#[derive(Default)]
pub struct Journal {
    /// Questions that were sent, in places that are asked once.
    asked: Mutex<Vec<(Place, Option<Answering>)>>,
    /// Answers of runs before that nothing was done about yet.
    found: Mutex<Vec<(Note, Place)>>,
    kept: Mutex<Vec<Kept>>,
    /// Every note of this run, by its file's name.
    own: Mutex<std::collections::HashSet<String>>,
    /// The plays of this run, each as often as it came.
    plays: Mutex<Vec<String>>,
    /// Removals that are under way.
    leaving: Mutex<Vec<Answering>>,
}

fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(hash.finalize().get(..10).unwrap_or_default())
}

/// What a play is known by on the target: the project's directory, the playbook and the play's name, so that it is the same from
/// every workstation.
pub fn play_key(root: &std::path::Path, file: &str, name: &str) -> String {
    let project = root.file_name().unwrap_or_default().to_string_lossy();
    format!("{project}/{file}: {name}")
}

impl Journal {
    /// The key of a play that begins. Plays of one playbook that are called the same are told apart by their order.
    pub(super) fn tell_apart(&self, key: String) -> String {
        let mut plays = lock(&self.plays);
        let before = plays.iter().filter(|known| **known == key).count();
        plays.push(key.clone());
        if before == 0 { key } else { format!("{key} ({})", before + 1) }
    }
}

impl Engine {
    fn journals(&self) -> bool {
        self.parts.journal
    }

    /// Sends the question for what is owed with the first script for a shell; the answer waits until handlers are flushed.
    pub(super) fn ask_owed(&self, host: &Arc<Host>, target: &Target, user: Option<&Become>, shell: &Arc<dyn Shell>) {
        if !self.journals() {
            return;
        }
        let mut asked = lock(&self.journal.asked);
        if asked.iter().any(|(place, _)| place.is(host, target, user)) {
            return;
        }
        let place = Place { host: Arc::clone(host), target: target.clone(), user: user.cloned() };
        let script = format!("for f in \"{DIR}\"/*; do [ -f \"$f\" ] && cat \"$f\"; done; :");
        asked.push((place, Some(shell.submit(Frame::new(script)))));
    }

    /// Shell text that notes what the task at hand will owe if it changes something, to stand before the change.
    pub(super) fn note_owed(&self, site: &Site) -> Option<String> {
        if !self.journals() || site.check {
            return None;
        }
        let intent = site.owner.intent()?;
        let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let mut kept = lock(&self.journal.kept);
        let mut text = String::new();
        for name in intent.names.into_iter().filter(|name| !self.parts.redactor.is_tainted(name)) {
            let place = |kept: &Kept| kept.place.is(&site.host, &site.target, site.user.as_ref());
            let note = Note {
                play: intent.play.clone(),
                host: site.owner.name().to_owned(),
                handler: name,
                section: intent.section,
                since: since.clone(),
            };
            let id = note.id();
            if kept.iter().any(|kept| kept.note.id() == id && place(kept)) {
                continue;
            }
            let Ok(line) = serde_json::to_string(&note) else { continue };
            // An older note stays: what it tells the time of was never done.
            text.push_str(&format!(
                "[ -e \"$d/{id}\" ]||{{ printf '%s\\n' {} >\"$d/.{id}.$$\"&&mv \"$d/.{id}.$$\" \"$d/{id}\";}};",
                sh::quote(&line)
            ));
            lock(&self.journal.own).insert(id);
            let place = Place { host: Arc::clone(&site.host), target: site.target.clone(), user: site.user.clone() };
            kept.push(Kept { note, place, owes: vec![], fresh: true });
        }
        let write = |text| format!("(umask 077;d={DIR};mkdir -p \"$d\"&&{{ {text}}}) </dev/null >/dev/null 2>&1\n");
        (!text.is_empty()).then(|| write(text))
    }

    /// Says which handlers a notified name stands for.
    pub(super) fn owe(&self, batch: &Batch, host: &Host, name: &str, handlers: &[Arc<Handler>]) {
        let key = batch.key.as_str();
        for kept in lock(&self.journal.kept).iter_mut() {
            let note = &kept.note;
            if note.play == key && note.host == host.name() && note.handler == name {
                kept.fresh = false;
                for handler in handlers {
                    if !kept.owes.iter().any(|known| Arc::ptr_eq(known, handler)) {
                        kept.owes.push(Arc::clone(handler));
                    }
                }
            }
        }
    }

    /// A task has its result: what it noted but did not notify is not owed.
    pub(super) async fn settle_owed(&self, host: &Host) {
        self.forget_owed(|kept| kept.fresh && kept.note.host == host.name()).await;
    }

    /// A handler has run on a host.
    pub(super) async fn paid(&self, host: &Host, handler: &Arc<Handler>) {
        self.forget_owed(|kept| {
            if kept.note.host != host.name() || kept.owes.is_empty() {
                return false;
            }
            kept.owes.retain(|owed| !Arc::ptr_eq(owed, handler));
            kept.owes.is_empty()
        })
        .await;
    }

    async fn forget_owed(&self, which: impl FnMut(&mut Kept) -> bool) {
        let gone: Vec<Kept> = lock(&self.journal.kept).extract_if(.., which).collect();
        for Kept { note, place, .. } in gone {
            self.remove_note(&note, &place).await;
        }
    }

    async fn remove_note(&self, note: &Note, place: &Place) {
        let Place { host, target, user } = place;
        // Not over a connection that would have to be made for it: the note stays, and the handler runs once more.
        if !host.is_connected(target) {
            return;
        }
        let Ok((connection, _)) = host.connection(self.parts.connector.as_ref(), target).await else { return };
        let Ok(shell) = connection.shell(user.as_ref()).await else { return };
        let leaving = shell.submit(Frame::new(format!("rm -f \"{DIR}/{}\"", note.id())));
        lock(&self.journal.leaving).push(leaving);
    }

    /// Waits for the removals that are under way.
    pub(super) async fn settle_journal(&self) {
        let leaving = std::mem::take(&mut *lock(&self.journal.leaving));
        let all = futures::future::join_all(leaving);
        // A note that stays costs a handler that runs once more.
        let _: Result<_, _> = tokio::time::timeout(std::time::Duration::from_secs(5), all).await;
    }

    /// Takes in what runs before have left to do for the play, as far as it has come: those handlers are notified.
    pub(super) async fn take_in_owed(&self, batch: &Batch, hosts: &[Arc<Host>]) {
        if !self.journals() {
            return;
        }
        let asked: Vec<(Place, Answering)> = lock(&self.journal.asked)
            .iter_mut()
            .filter_map(|(place, answer)| Some((place.clone(), answer.take()?)))
            .collect();
        for (place, answer) in asked {
            let Ok(answer) = answer.await else { continue };
            let notes =
                answer.stdout_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Note>>();
            // What this run has written itself meanwhile is no news.
            let own = lock(&self.journal.own);
            let news = notes.into_iter().filter(|note| !own.contains(&note.id()));
            lock(&self.journal.found).extend(news.map(|note| (note, place.clone())));
        }
        let section = batch.section();
        for host in hosts.iter().filter(|host| host.is_active()) {
            let due: Vec<(Note, Place)> = lock(&self.journal.found)
                .extract_if(.., |(note, _)| {
                    note.play == batch.key && note.host == host.name() && note.section <= section
                })
                .collect();
            for (note, place) in due {
                self.take_in(batch, host, note, place).await;
            }
        }
    }

    async fn take_in(&self, batch: &Batch, host: &Arc<Host>, note: Note, place: Place) {
        let handlers = self.handlers_called(batch, host, &note.handler);
        let check = self.parts.world.options.check;
        if handlers.is_empty() {
            // A role that the play includes later may bring it.
            if !batch.is_last_section() {
                lock(&self.journal.found).push((note, place));
                return;
            }
            let warning = Diagnostic::warning(format!(
                "{}: a run that did not finish owes `{}` since {}, but the play has no such handler any longer",
                host.name(),
                note.handler,
                note.since
            ))
            .hint(if check { "a run will forget it" } else { "it is forgotten" });
            self.parts.sink.emit(Event::Warning(warning));
            if !check {
                self.remove_note(&note, &place).await;
            }
            return;
        }
        self.parts.sink.emit(Event::Message {
            host: host.name().to_owned(),
            text: format!("`{}` is pending since {}, from a run that did not finish", note.handler, note.since),
        });
        self.note_handlers(host, &handlers, true);
        if !check {
            lock(&self.journal.own).insert(note.id());
            lock(&self.journal.kept).push(Kept { note, place, owes: handlers, fresh: false });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_told_from_every_other() {
        let note = |play: &str, host: &str, handler: &str| {
            let text = |text: &str| text.to_owned();
            Note { play: text(play), host: text(host), handler: text(handler), section: 1, since: text("now") }.id()
        };
        assert_eq!(note("p", "h", "x"), note("p", "h", "x"));
        assert_ne!(note("p", "hx", ""), note("p", "h", "x"));
        assert!(note("p", "h", "x").bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn a_play_is_the_same_in_every_checkout() {
        let key = |root: &str| play_key(std::path::Path::new(root), "playbooks/site.yml", "Web");
        assert_eq!(key("/home/a/media"), "media/playbooks/site.yml: Web");
        assert_eq!(key("/home/a/media"), key("/srv/ci/media"));
        let journal = Journal::default();
        assert_eq!([1, 2, 3].map(|_| journal.tell_apart("k".into())), ["k", "k (2)", "k (3)"]);
    }
}
