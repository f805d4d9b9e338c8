//! Every shell over a child process.

use mms::connection::{Become, BecomeMethod, ConnectionErrorKind};

use super::{cases, support};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shell_keeps_the_protocol() {
    let directory = tempfile::tempdir().unwrap();
    for (_, path) in support::shells(directory.path()) {
        let connection = support::local(Some(&path)).await;
        cases::all(&connection).await;
    }
}

#[tokio::test]
async fn a_missing_shell_is_named() {
    let connection = support::local(Some("/nonexistent/sh".as_ref())).await;
    let error = connection.shell(None).await.err().unwrap();
    assert_eq!(error.kind, ConnectionErrorKind::Unreachable);
    assert!(error.message.contains("/nonexistent/sh"), "{error}");
}

#[tokio::test]
async fn a_user_who_does_not_exist_is_told_apart() {
    let connection = support::local(None).await;
    let wanted = Become {
        method: BecomeMethod::Sudo,
        user: "mms-no-such-user".into(),
        password: None,
        executable: None,
        flags: vec![],
    };
    let error = connection.shell(Some(&wanted)).await.err().unwrap();
    assert_eq!(error.kind, ConnectionErrorKind::NoSuchUser);
    assert_eq!(error.message, "cannot become `mms-no-such-user` on here (this machine): there is no such user there");
}
