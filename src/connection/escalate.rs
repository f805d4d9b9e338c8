//! Becoming another user: `sudo`, `su` and `doas` started from the stage shell of the login user, with the password written to
//! their stdin only after they asked for it.

use std::time::Duration;

use super::process::{Process, Purpose, Transport};
use super::seen::Seen;
use super::{Become, BecomeMethod, ConnectionError, ConnectionErrorKind};
use crate::sh;

/// How long sudo and the like may take to answer. A wrong password costs 2 to 3 seconds, a slow directory service more.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of trying to become a user.
pub(crate) enum Entered {
    /// A stage shell (see [`super::process::STAGE`]) of that user, waiting for its line.
    Ready(Process),
    /// The login user is that user already.
    Same,
}

/// Starts a stage shell as the login user or as another one.
pub(crate) async fn enter(
    transport: &dyn Transport,
    become_user: Option<&Become>,
    purpose: Purpose,
) -> Result<Entered, ConnectionError> {
    let process = transport.spawn(purpose).await?;
    let Some(wanted) = become_user else { return Ok(Entered::Ready(process)) };
    let request = Request::new(wanted, transport)?;
    match tokio::time::timeout(PATIENCE, request.ask(process)).await {
        Ok(result) => result,
        Err(_) => Err(request
            .error(&format!("`{}` did not answer within {} s", request.program, PATIENCE.as_secs()))
            .hint("it may have asked something that mms does not understand; try the same command by hand")),
    }
}

struct Request<'a> {
    wanted: &'a Become,
    transport: &'a dyn Transport,
    program: &'a str,
    nonce: String,
}

impl<'a> Request<'a> {
    fn new(wanted: &'a Become, transport: &'a dyn Transport) -> Result<Self, ConnectionError> {
        let program = wanted.executable.as_deref().unwrap_or(match wanted.method {
            BecomeMethod::Sudo => "sudo",
            BecomeMethod::Su => "su",
            BecomeMethod::Doas => "doas",
        });
        let request = Self { wanted, transport, program, nonce: super::shell::nonce() };
        if wanted.user.is_empty() || wanted.user.starts_with('-') || wanted.user.contains(['\0', '\n']) {
            return Err(request.error("that is not a user name"));
        }
        Ok(request)
    }

    /// The line for the stage shell of the login user.
    fn line(&self) -> String {
        let Self { nonce, wanted, .. } = self;
        let user = sh::quote(&wanted.user);
        // `#1000` is sudo's way to name a uid; `id` does not know it.
        let check = if wanted.user.starts_with('#') {
            String::new()
        } else {
            format!(
                "__mms_u=$(id -u {user} 2>/dev/null)||{{ echo {nonce}nouser;exit 1;}};\
                 if [ \"$__mms_u\" = \"$(id -u)\" ];then echo {nonce}same;exit 0;fi;"
            )
        };
        let stage = format!("echo {nonce}ready;{}", super::process::STAGE);
        let shell = self.transport.shell();
        let mut words: Vec<&str> = vec![self.program];
        let prompt = self.prompt();
        let flags = wanted.flags.iter().map(String::as_str);
        match wanted.method {
            BecomeMethod::Sudo => {
                if wanted.flags.is_empty() {
                    words.push("-H");
                }
                words.extend(flags.filter(|flag| !matches!(*flag, "-n" | "-S")));
                words.push("-S");
                match wanted.password {
                    // With `-k` sudo does not remember that another password was accepted a moment ago.
                    Some(_) => words.extend(["-k", "-p", &prompt]),
                    None => words.push("-n"),
                }
                words.extend(["-u", &wanted.user, "--", shell, "-c", &stage]);
            }
            BecomeMethod::Su => {
                words.extend(flags);
                words.extend(["-s", shell, "-c", &stage, &wanted.user]);
            }
            BecomeMethod::Doas => {
                words.extend(flags.filter(|flag| *flag != "-n"));
                words.extend(["-n", "-u", &wanted.user, "--", shell, "-c", &stage]);
            }
        }
        format!("{check}exec {}\n", sh::join(words))
    }

    fn prompt(&self) -> String {
        format!("[{}] password: ", self.nonce)
    }

    async fn ask(&self, process: Process) -> Result<Entered, ConnectionError> {
        let Process { input, mut output, guard } = process;
        let lost = || {
            let place = self.transport.place();
            ConnectionError::lost(format!("the connection to {place} was lost while becoming `{}`", self.wanted.user))
        };
        // Whether it has gone already shows in what comes from it, which also says why.
        let _ = input.send(self.line().into()).await;
        let (ready, same, nouser) =
            (format!("{}ready\n", self.nonce), format!("{}same\n", self.nonce), format!("{}nouser\n", self.nonce));
        let mut seen = Seen::default();
        let mut sent = false;
        loop {
            let exited = seen.take(output.recv().await.ok_or_else(lost)?);
            if exited.is_some() {
                seen.drain(&mut output).await;
            }
            if exited.is_none() && seen.stdout.contains(&ready) {
                return Ok(Entered::Ready(Process { input, output, guard }));
            }
            if seen.stdout.contains(&same) {
                return Ok(Entered::Same);
            }
            if seen.stdout.contains(&nouser) {
                return Err(self.no_such_user());
            }
            if let Some(code) = exited {
                return Err(self.refused(code, &seen, sent));
            }
            if self.asks(&mut seen) {
                match &self.wanted.password {
                    Some(_) if sent => return Err(self.wrong_password()),
                    Some(password) => {
                        let _ = input.send(format!("{password}\n").into()).await;
                        sent = true;
                    }
                    None => return Err(self.needs_password()),
                }
            }
        }
    }

    /// Whether a password is being asked for; forgets the prompt.
    fn asks(&self, seen: &mut Seen) -> bool {
        match self.wanted.method {
            BecomeMethod::Sudo => match seen.stderr.find(&self.prompt()) {
                Some(at) => {
                    seen.stderr.replace_range(at..at + self.prompt().len(), "");
                    true
                }
                None => false,
            },
            // `su` asks in the user's language: an unfinished line that ends with a colon is a prompt.
            BecomeMethod::Su => [&mut seen.stdout, &mut seen.stderr].into_iter().any(|text| {
                let last = text.rsplit('\n').next().unwrap_or_default().trim_end();
                let asks = last.ends_with([':', '：']);
                if asks {
                    text.clear();
                }
                asks
            }),
            BecomeMethod::Doas => false,
        }
    }

    fn refused(&self, code: i32, seen: &Seen, sent: bool) -> ConnectionError {
        let said = seen.said(&self.nonce);
        let lower = said.to_lowercase();
        if code == 127 {
            return self
                .error(&format!("`{}` is not installed there", self.program))
                .hint("log in as the user itself, or set `become_method` to one that the host has");
        }
        if lower.contains("unknown user") || lower.contains("does not exist") {
            return self.no_such_user();
        }
        if sent && (lower.contains("incorrect password") || lower.contains("authentication failure")) {
            return self.wrong_password();
        }
        if lower.contains("password is required") || lower.contains("authentication required") {
            return self.needs_password();
        }
        let said = if said.is_empty() { format!("it ended with status {code}") } else { said };
        let error = self.error(&format!("`{}` refused: {said}", self.program));
        match self.wanted.method {
            BecomeMethod::Sudo if lower.contains("sudoers") || lower.contains("not allowed") => {
                error.hint("allow it in /etc/sudoers.d on the host (`visudo`)")
            }
            BecomeMethod::Doas => error.hint("allow it in /etc/doas.conf on the host"),
            _ => error,
        }
    }

    fn no_such_user(&self) -> ConnectionError {
        ConnectionError::new(
            ConnectionErrorKind::NoSuchUser,
            format!("cannot become `{}` on {}: there is no such user there", self.wanted.user, self.transport.place()),
        )
        .hint("create it first, with a `user` task that becomes root")
    }

    fn wrong_password(&self) -> ConnectionError {
        self.error(&format!("`{}` did not accept the password", self.program))
            .hint("check `ansible_become_password` (the password of the login user for sudo, of the other user for su)")
    }

    fn needs_password(&self) -> ConnectionError {
        match (self.wanted.method, &self.wanted.password) {
            (BecomeMethod::Doas, _) => self
                .error("`doas` wants a password, which it reads from a terminal only")
                .hint("use `permit nopass` in /etc/doas.conf, or `become_method: sudo`"),
            (_, Some(_)) => self.wrong_password(),
            (_, None) => self
                .error(&format!("`{}` wants a password", self.program))
                .hint("set `ansible_become_password` in the vault, or run with `--ask-become-pass`"),
        }
    }

    fn error(&self, what: &str) -> ConnectionError {
        ConnectionError::new(
            ConnectionErrorKind::Become,
            format!("cannot become `{}` on {}: {what}", self.wanted.user, self.transport.place()),
        )
    }
}
