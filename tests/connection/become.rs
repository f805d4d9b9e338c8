//! Becoming another user. The programs are stand-ins that ask and refuse as the real ones do, so that no user and no rule has to be
//! made on the machine that runs the tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use mms::connection::{Become, BecomeMethod, ConnectionError, ConnectionErrorKind, Frame};

use super::support::{self, assert_gone, processes, run};

const PASSWORD: &str = "p4ss 'word' $HOME";

/// Asks for the password as sudo does, three times, and goes on as the user it is.
const SUDO: &str = r#"
prompt= batch=
while [ $# -gt 0 ]; do
    case $1 in
        -p) prompt=$2; shift;;
        -n) batch=1;;
        -u) shift;;
        --) shift; break;;
    esac
    shift
done
if [ -z "$batch" ]; then
    for attempt in 1 2 3; do
        printf '%s' "$prompt" >&2
        IFS= read -r given || exit 1
        [ "$given" != "$(cat "$0.password")" ] || { HOME=/var; export HOME; exec "$@"; }
        echo "Sorry, try again." >&2
    done
    echo "sudo: 3 incorrect password attempts" >&2
    exit 1
fi
[ ! -e "$0.nopasswd" ] || exec "$@"
echo "sudo: a password is required" >&2
exit 1
"#;

/// Asks in another language.
const SU: &str = r#"
while [ "$1" != -c ]; do shift; done
printf 'Passwort: ' >&2
IFS= read -r given
echo >&2
[ "$given" = "$(cat "$0.password")" ] && exec /bin/sh -c "$2"
echo "su: Fehler bei Authentifizierung" >&2
exit 1
"#;

/// `nobody` is another user than whoever runs this, and exists everywhere.
pub fn as_nobody(directory: &Path, method: BecomeMethod, script: &str, password: Option<&str>) -> Become {
    let program = directory.join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(directory.join("program.password"), PASSWORD).unwrap();
    Become {
        method,
        user: "nobody".into(),
        password: password.map(str::to_owned),
        executable: Some(program.display().to_string()),
        flags: vec![],
    }
}

async fn refused(wanted: &Become) -> ConnectionError {
    let error = support::local(None).await.shell(Some(wanted)).await.err().expect("became");
    assert_eq!(error.kind, ConnectionErrorKind::Become, "{error}");
    assert!(!format!("{error:?}").contains(PASSWORD));
    error
}

#[tokio::test]
async fn the_password_goes_to_the_prompt_and_nowhere_else() {
    for (method, script) in [(BecomeMethod::Sudo, SUDO), (BecomeMethod::Su, SU)] {
        let directory = tempfile::tempdir().unwrap();
        let wanted = as_nobody(directory.path(), method, script, Some(PASSWORD));
        let connection = support::local(None).await;
        let shell = connection.shell(Some(&wanted)).await.unwrap();
        let answer = run(&shell, "echo in; echo $USER $LOGNAME; set; env").await;
        let said = answer.stdout_text().into_owned();
        assert!(said.starts_with("in\nnobody nobody\n"), "{said}");
        assert!(!said.contains("p4ss") && processes("p4ss").is_empty());
        // The same shell is given out again.
        let again = connection.shell(Some(&wanted)).await.unwrap();
        assert_eq!(run(&shell, "echo $$").await.stdout, run(&again, "echo $$").await.stdout);
        connection.close().await;
    }
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let mut wanted = as_nobody(directory.path(), BecomeMethod::Sudo, SUDO, Some("wrong"));
    let error = refused(&wanted).await;
    assert!(error.message.ends_with("did not accept the password"), "{error}");

    wanted.password = None;
    let error = refused(&wanted).await;
    assert!(error.message.ends_with("wants a password"), "{error}");

    std::fs::write(directory.path().join("program.nopasswd"), "").unwrap();
    assert!(support::local(None).await.shell(Some(&wanted)).await.is_ok());

    let wanted = as_nobody(directory.path(), BecomeMethod::Su, SU, Some("wrong"));
    assert!(refused(&wanted).await.message.contains("Fehler bei Authentifizierung"));
}

/// A shell that the right password has opened is not for somebody who comes with another one, by the same or another way.
#[tokio::test]
async fn every_password_is_verified() {
    for (method, script) in [(BecomeMethod::Sudo, SUDO), (BecomeMethod::Su, SU)] {
        let directory = tempfile::tempdir().unwrap();
        let right = as_nobody(directory.path(), method, script, Some(PASSWORD));
        let connection = support::local(None).await;
        let pid = run(&connection.shell(Some(&right)).await.unwrap(), "echo $$").await.stdout;
        for password in [Some("wrong"), None] {
            let other = Become { password: password.map(str::to_owned), ..right.clone() };
            let error = connection.shell(Some(&other)).await.err().expect("became");
            assert_eq!(error.kind, ConnectionErrorKind::Become, "{error}");
        }
        // Neither does the refusal spoil the shell that is open.
        assert_eq!(run(&connection.shell(Some(&right)).await.unwrap(), "echo $$").await.stdout, pid);
        let flagged = Become { flags: vec!["-E".into()], ..right.clone() };
        assert_ne!(run(&connection.shell(Some(&flagged)).await.unwrap(), "echo $$").await.stdout, pid);
        connection.close().await;
    }
}

/// sudo itself remembers a password that was accepted; it is told not to.
#[tokio::test]
async fn sudo_is_told_to_forget() {
    let directory = tempfile::tempdir().unwrap();
    let remembering = format!(
        "for word; do [ \"$word\" != -k ] || forget=1; done\n[ -n \"$forget\" ] || {{ while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"; }}\n{SUDO}"
    );
    let wanted = as_nobody(directory.path(), BecomeMethod::Sudo, &remembering, Some("wrong"));
    assert!(refused(&wanted).await.message.ends_with("did not accept the password"));
}

#[tokio::test]
async fn other_refusals_say_what_was_said() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = "echo 'me is not in the sudoers file.' >&2; exit 1";
    let wanted = as_nobody(directory.path(), BecomeMethod::Sudo, refusal, None);
    let error = refused(&wanted).await;
    assert!(error.message.ends_with("refused: me is not in the sudoers file."), "{error}");
    assert_eq!(error.hints, ["allow it in /etc/sudoers.d on the host (`visudo`)"]);

    let missing = Become { executable: Some("/nonexistent/sudo".into()), ..wanted };
    assert!(refused(&missing).await.message.ends_with("`/nonexistent/sudo` is not installed there"));
}

#[tokio::test]
async fn many_tasks_open_one_shell() {
    let directory = tempfile::tempdir().unwrap();
    let counting = format!("echo x >>\"$0.count\"\n{SUDO}");
    let wanted = as_nobody(directory.path(), BecomeMethod::Sudo, &counting, Some(PASSWORD));
    let connection = support::local(None).await;
    let shells = futures::future::join_all((0..20).map(|_| connection.shell(Some(&wanted)))).await;
    assert!(shells.iter().all(Result::is_ok));
    assert_eq!(std::fs::read_to_string(directory.path().join("program.count")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn what_runs_too_long_is_killed_as_its_own_user() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = as_nobody(directory.path(), BecomeMethod::Sudo, SUDO, Some(PASSWORD));
    let connection = support::local(None).await;
    let shell = connection.shell(Some(&wanted)).await.unwrap();
    let token = format!("30{}", std::process::id());
    let frame = Frame { timeout: Some(Duration::from_millis(200)), ..Frame::new(format!("sleep {token}; echo no")) };
    assert_eq!(shell.submit(frame).await.unwrap_err().kind, ConnectionErrorKind::TimedOut);
    assert_gone(&format!("sleep {token}")).await;
}

#[tokio::test]
async fn the_login_user_is_not_become() {
    let connection = support::local(None).await;
    let user = super::sshd::user();
    // Would fail if it were run.
    let wanted = Become {
        method: BecomeMethod::Sudo,
        user,
        password: None,
        executable: Some("/nonexistent/sudo".into()),
        flags: vec![],
    };
    let own = connection.shell(None).await.unwrap();
    let same = connection.shell(Some(&wanted)).await.unwrap();
    assert_eq!(run(&own, "echo $$").await.stdout, run(&same, "echo $$").await.stdout);
}

#[tokio::test]
async fn files_go_through_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = as_nobody(directory.path(), BecomeMethod::Sudo, SUDO, Some(PASSWORD));
    let connection = support::local(None).await;
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    std::fs::write(&from, vec![9; 200_000]).unwrap();
    let answer = connection.send_file(Some(&wanted), &from, &format!("cat >'{}'", to.display())).await.unwrap();
    assert!(answer.ok() && std::fs::read(&to).unwrap() == vec![9; 200_000]);
}
