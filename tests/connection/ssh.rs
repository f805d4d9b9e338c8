//! Logging in, trusting and using a real sshd.

use std::sync::Arc;
use std::time::Duration;

use mms::connection::{
    BecomeMethod, Connection, ConnectionError, ConnectionErrorKind, Frame, Target, UnknownHostKey, connect,
};

use super::sshd::{Sshd, keygen};
use super::{become_user, cases, support};

async fn fails(target: &Target) -> ConnectionError {
    connect(target, &support::options()).await.err().expect("connected")
}

async fn works(target: &Target) -> Arc<dyn Connection> {
    let connection = connect(target, &support::options()).await.unwrap();
    let shell = connection.shell(None).await.unwrap();
    assert_eq!(support::run(&shell, "echo here").await.stdout_text(), "here\n");
    connection
}

/// An error as people see it.
fn rendered(sshd: &Sshd, error: &ConnectionError) -> String {
    sshd.plain(&format!("{error}\n{}", error.hints.join("\n")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shell_keeps_the_protocol() {
    let Some(sshd) = Sshd::start("") else { return };
    let directory = tempfile::tempdir().unwrap();
    for (_, shell) in support::shells(directory.path()) {
        let target = Target { shell: Some(shell.display().to_string()), ..sshd.target() };
        cases::all(&connect(&target, &support::options()).await.unwrap()).await;
    }
}

#[tokio::test]
async fn login_shells_that_are_not_posix() {
    for login_shell in ["/usr/bin/fish", "/bin/csh", "/bin/tcsh", "/usr/bin/zsh"] {
        if !std::path::Path::new(login_shell).exists() {
            continue;
        }
        let command = format!("ForceCommand {login_shell} -c \"$SSH_ORIGINAL_COMMAND\"");
        let Some(sshd) = Sshd::start(&command) else { return };
        works(&sshd.target()).await;
    }
}

#[tokio::test]
async fn a_login_shell_that_runs_nothing_is_named() {
    let Some(sshd) = Sshd::start("ForceCommand echo This account is not available; exit 1") else { return };
    let connection = connect(&sshd.target(), &support::options()).await.unwrap();
    let error = connection.shell(None).await.err().unwrap();
    insta::assert_snapshot!(rendered(&sshd, &error));
}

/// sshd sends the exit status as soon as it knows it, and what the command wrote after it.
#[tokio::test]
async fn last_words_that_come_after_the_exit_status_are_told() {
    let Some(sshd) = Sshd::start(
        "ForceCommand (sleep 0.3; kill -CONT $PPID) >/dev/null 2>&1 & kill -STOP $PPID; echo This account is not available; exit 1",
    ) else {
        return;
    };
    let connection = connect(&sshd.target(), &support::options()).await.unwrap();
    let error = connection.shell(None).await.err().unwrap().to_string();
    assert!(error.contains("(This account is not available)"), "{error}");
}

#[tokio::test]
async fn noise_of_a_login_is_ignored() {
    let Some(sshd) = Sshd::start("ForceCommand echo welcome; echo careful >&2; eval \"$SSH_ORIGINAL_COMMAND\"") else {
        return;
    };
    works(&sshd.target()).await;
}

#[tokio::test]
async fn an_unknown_host_is_refused_or_learnt() {
    let Some(sshd) = Sshd::start("") else { return };
    std::fs::write(sshd.path("known_hosts"), "").unwrap();
    let error = fails(&sshd.target()).await;
    assert_eq!(error.kind, ConnectionErrorKind::HostKey);
    insta::assert_snapshot!(rendered(&sshd, &error));
    assert_eq!(sshd.read("known_hosts"), "", "a refused key was written");

    works(&Target { unknown_host_key: UnknownHostKey::AcceptNew, ..sshd.target() }).await;
    let learnt = sshd.read("known_hosts");
    assert!(learnt.starts_with(&format!("[127.0.0.1]:{} ssh-ed25519 ", sshd.port)), "{learnt}");
    works(&sshd.target()).await;
    assert_eq!(sshd.read("known_hosts"), learnt);
}

#[tokio::test]
async fn options_of_ssh_are_heeded() {
    let Some(sshd) = Sshd::start("") else { return };
    let none = sshd.path("none").display().to_string();
    let mut target = sshd.target();
    target.ssh_args.extend([
        "-o".into(),
        "StrictHostKeyChecking=no".into(),
        "-o".into(),
        format!("UserKnownHostsFile={none}"),
    ]);
    target.ssh_args.extend(["-o".into(), "HashKnownHosts=yes".into()]);
    works(&target).await;
    assert!(sshd.read("none").starts_with("|1|"));

    let mut target = Target { private_key_file: None, ..sshd.target() };
    target.ssh_args.extend(["-i".into(), sshd.path("user").display().to_string()]);
    works(&target).await;

    let mut target = sshd.target();
    target.ssh_args = vec!["-o".into(), "NoSuchOption=1".into()];
    let error = fails(&target).await;
    assert!(error.message.contains("cannot read the ssh settings of lab"), "{error}");
}

#[tokio::test]
async fn a_changed_host_key_is_refused_even_when_new_ones_are_not() {
    let Some(sshd) = Sshd::start("") else { return };
    sshd.know(&sshd.read("stranger.pub"));
    let mut target = Target { unknown_host_key: UnknownHostKey::AcceptNew, ..sshd.target() };
    target.ssh_args.extend(["-o".into(), "StrictHostKeyChecking=no".into()]);
    let error = fails(&target).await;
    assert_eq!(error.kind, ConnectionErrorKind::HostKey);
    insta::assert_snapshot!(rendered(&sshd, &error));
}

#[tokio::test]
async fn a_host_certificate_is_enough() {
    // The certificate must exist before sshd starts.
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    keygen(&["-t", "ed25519", "-N", "", "-f", &path("ca")]);
    keygen(&["-t", "ed25519", "-N", "", "-f", &path("key")]);
    keygen(&["-s", &path("ca"), "-I", "lab", "-h", "-n", "127.0.0.1", &path("key.pub")]);
    let more = format!("HostKey {}\nHostCertificate {}", path("key"), path("key-cert.pub"));
    let Some(sshd) = Sshd::start(&more) else { return };
    let authority = std::fs::read_to_string(path("ca.pub")).unwrap();
    std::fs::write(sshd.path("known_hosts"), format!("@cert-authority [127.0.0.1]:{} {authority}", sshd.port)).unwrap();
    works(&sshd.target()).await;
}

#[tokio::test]
async fn nobody_is_let_in_with_the_wrong_key() {
    let Some(sshd) = Sshd::start("") else { return };
    let error = fails(&Target { private_key_file: Some(sshd.path("stranger")), ..sshd.target() }).await;
    assert_eq!(error.kind, ConnectionErrorKind::Auth);
    insta::assert_snapshot!("wrong_key", rendered(&sshd, &error));

    let error = fails(&Target { private_key_file: Some(sshd.path("missing")), ..sshd.target() }).await;
    insta::assert_snapshot!("missing_key", rendered(&sshd, &error));

    let password = "correct horse battery";
    let target =
        Target { password: Some(password.into()), private_key_file: Some(sshd.path("stranger")), ..sshd.target() };
    let error = fails(&target).await;
    assert!(!format!("{error:?}").contains(password));
}

#[tokio::test]
async fn encrypted_keys_are_unlocked() {
    struct Person;
    impl mms::connection::Prompter for Person {
        fn line(&self, _prompt: &str, _echo: bool) -> Option<String> {
            None
        }

        fn confirm(&self, _: &str) -> Option<bool> {
            Some(true)
        }
        fn password(&self, prompt: &str) -> Option<String> {
            Some(if prompt.starts_with("wrong passphrase; ") { "open sesame" } else { "open seseme" }.into())
        }
    }
    let Some(sshd) = Sshd::start("") else { return };
    let key = sshd.path("locked").display().to_string();
    keygen(&["-t", "ed25519", "-N", "open sesame", "-f", &key]);
    std::fs::write(sshd.path("authorized"), format!("{}{}", sshd.read("user.pub"), sshd.read("locked.pub"))).unwrap();
    let target = Target { private_key_file: Some(sshd.path("locked")), ..sshd.target() };
    let mut options = support::options();
    options.prompter = Arc::new(Person);
    connect(&target, &options).await.unwrap();
    assert!(options.redactor.is_tainted("open sesame"));

    // Confirming a new host at the terminal.
    std::fs::write(sshd.path("known_hosts"), "").unwrap();
    let target = Target { unknown_host_key: UnknownHostKey::Ask, ..sshd.target() };
    connect(&target, &options).await.unwrap();
    assert!(sshd.read("known_hosts").contains("ssh-ed25519"));

    let other = sshd.path("other").display().to_string();
    keygen(&["-t", "ed25519", "-N", "open sesame", "-f", &other]);
    let error = fails(&Target { private_key_file: Some(sshd.path("other")), ..sshd.target() }).await;
    insta::assert_snapshot!(rendered(&sshd, &error));
}

#[tokio::test]
async fn user_certificates_and_rsa_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    keygen(&["-t", "ed25519", "-N", "", "-f", &path("ca")]);
    let Some(sshd) = Sshd::start(&format!("TrustedUserCAKeys {}", path("ca.pub"))) else { return };
    let key = sshd.path("stranger").display().to_string();
    keygen(&["-s", &path("ca"), "-I", "someone", "-n", &super::sshd::user(), &format!("{key}.pub")]);
    works(&Target { private_key_file: Some(key.into()), ..sshd.target() }).await;

    let rsa = sshd.path("rsa").display().to_string();
    keygen(&["-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM", "-f", &rsa]);
    std::fs::copy(sshd.path("rsa.pub"), sshd.path("authorized")).unwrap();
    works(&Target { private_key_file: Some(rsa.into()), ..sshd.target() }).await;
}

#[tokio::test]
async fn the_agent_is_asked() {
    let Some(sshd) = Sshd::start("") else { return };
    let socket = sshd.path("agent").display().to_string();
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let added = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let add = std::process::Command::new("ssh-add")
            .arg("-q")
            .arg(sshd.path("user"))
            .env("SSH_AUTH_SOCK", &socket)
            .output();
        add.unwrap().status.success()
    });
    assert!(added);
    let mut target = Target { private_key_file: None, ..sshd.target() };
    target
        .ssh_args
        .splice(0..0, ["-o".into(), format!("IdentityAgent={socket}"), "-o".into(), "IdentitiesOnly=no".into()]);
    std::fs::remove_file(sshd.path("user")).unwrap();
    let result = connect(&target, &support::options()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    result.unwrap();
}

#[tokio::test]
async fn through_other_hosts() {
    let (Some(first), Some(second), Some(last)) = (Sshd::start(""), Sshd::start(""), Sshd::start("")) else { return };
    let authorized = format!("{}{}{}", first.read("user.pub"), second.read("user.pub"), last.read("user.pub"));
    let known = format!("{}{}{}", first.read("known_hosts"), second.read("known_hosts"), last.read("known_hosts"));
    for sshd in [&first, &second, &last] {
        std::fs::write(sshd.path("authorized"), &authorized).unwrap();
    }
    std::fs::write(last.path("known_hosts"), &known).unwrap();
    let config = format!("{}  IdentityFile {}\n", last.read("ssh_config"), last.path("user").display());
    std::fs::write(last.path("ssh_config"), config).unwrap();
    let user = super::sshd::user();
    let mut target = last.target();
    target.ssh_args.extend(["-J".into(), format!("{user}@127.0.0.1:{},{user}@127.0.0.1:{}", first.port, second.port)]);
    let connection = works(&target).await;
    let shell = connection.shell(None).await.unwrap();
    // The last host sees the second one, not us: its client port belongs to an sshd.
    assert!(support::run(&shell, "echo \"$SSH_CONNECTION\"").await.stdout_text().contains("127.0.0.1"));

    // The host key of a hop is checked too.
    std::fs::write(last.path("known_hosts"), known.replace(&format!(":{}", second.port), ":1")).unwrap();
    let error = fails(&target).await;
    assert_eq!(error.kind, ConnectionErrorKind::HostKey);
    assert!(error.message.contains(&format!("127.0.0.1:{} on the way to lab", second.port)), "{error}");
}

#[tokio::test]
async fn through_a_command() {
    let Some(sshd) = Sshd::start("") else { return };
    let script = sshd.path("proxy");
    // Bash can open TCP connections by itself.
    std::fs::write(&script, "exec 3<>/dev/tcp/$1/$2; cat <&3 & exec cat >&3\n").unwrap();
    let mut target = sshd.target();
    target.ssh_args.extend(["-o".into(), format!("ProxyCommand=bash {} %h %p", script.display())]);
    works(&target).await;
}

#[tokio::test]
async fn hosts_that_cannot_be_reached() {
    let Some(sshd) = Sshd::start("") else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = fails(&Target { port: Some(free), ..sshd.target() }).await;
    assert_eq!(refused.kind, ConnectionErrorKind::Unreachable);
    insta::assert_snapshot!("refused", rendered(&sshd, &refused).replace(&free.to_string(), "FREE"));

    let unknown = fails(&Target { address: Some("no-such-host.invalid".into()), ..sshd.target() }).await;
    assert!(unknown.message.contains("the name `no-such-host.invalid` is not found"), "{unknown}");

    // Something that listens and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let timeout = Some(std::time::Duration::from_millis(300));
    let error = fails(&Target { port: Some(port), timeout, ..sshd.target() }).await;
    assert!(error.message.ends_with("no answer within 0.3 s"), "{error}");
}

/// Kills the session's sshd: the parent of the shell's first ancestor that is no shell.
const CUT: &str = "p=$PPID; while ! tr '\\0' ' ' </proc/$p/cmdline | grep -q ^sshd; do p=$(awk '{print $4}' /proc/$p/stat); done; kill -9 $p; sleep 5";

#[tokio::test]
async fn a_connection_lost_while_another_user_is_become_is_lost() {
    let Some(sshd) = Sshd::start("") else { return };
    let connection = works(&sshd.target()).await;
    let wanted = become_user::as_nobody(sshd.path("").as_path(), BecomeMethod::Sudo, CUT, None);
    let error = connection.shell(Some(&wanted)).await.err().expect("became");
    assert_eq!(error.kind, ConnectionErrorKind::Lost, "{error}");
    assert!(error.message.ends_with("was lost while becoming `nobody`"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_is_told_and_reset_brings_it_back() {
    let Some(sshd) = Sshd::start("") else { return };
    let connection = works(&sshd.target()).await;
    let shell = connection.shell(None).await.unwrap();
    let error = shell.submit(Frame::new(CUT)).await.unwrap_err();
    assert_eq!(error.kind, ConnectionErrorKind::Lost);
    assert_eq!(shell.submit(Frame::new("echo no")).await.unwrap_err().kind, ConnectionErrorKind::Lost);
    connection.reset().await.unwrap();
    assert_eq!(support::run(&shell, "echo back").await.stdout_text(), "back\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_at_once() {
    let Some(sshd) = Sshd::start("") else { return };
    let connection = works(&sshd.target()).await;
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let from = directory.path().join("from");
    std::fs::write(&from, &content).unwrap();
    let commands: Vec<String> = (0..12).map(|n| format!("cat >{}/{n}", directory.path().display())).collect();
    let sent =
        futures::future::join_all(commands.iter().map(|command| connection.send_file(None, &from, command))).await;
    for (n, answer) in sent.into_iter().enumerate() {
        assert_eq!(answer.unwrap().rc, 0);
        assert!(std::fs::read(directory.path().join(n.to_string())).unwrap() == content);
    }
}

/// sshd allows ten sessions: what nobody wants any longer must not keep the room of what comes after it.
#[tokio::test]
async fn transfers_that_are_given_up_take_no_room() {
    let Some(sshd) = Sshd::start("") else { return };
    let connection = connect(&sshd.target(), &support::options()).await.unwrap();
    for _ in 0..12 {
        let (sender, mut pieces) = tokio::sync::mpsc::channel(1);
        let one = async move { pieces.recv().await };
        let given_up = async { tokio::join!(connection.receive_pieces(None, "yes", sender), one) };
        let (answer, piece) = tokio::time::timeout(Duration::from_secs(20), given_up).await.expect("there is no room");
        assert_eq!((answer.unwrap().rc, piece.is_some()), (141, true));
    }
    let answer = connection.receive_file(None, "echo here", &sshd.path("to")).await.unwrap();
    assert_eq!((answer.rc, sshd.read("to").as_str()), (0, "here\n"));
}
