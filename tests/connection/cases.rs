//! What every shell over every transport must do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mms::connection::{Connection, ConnectionErrorKind, Frame, Shell};
use tokio::sync::mpsc;

use super::support::{assert_gone, processes, run, with_stdin};

/// All cases, one after the other on one connection.
pub async fn all(connection: &Arc<dyn Connection>) {
    let shell = connection.shell(None).await.unwrap();
    streams_and_status(&shell).await;
    nothing_leaks(&shell).await;
    text_survives(&shell).await;
    stdin_of_every_size(&shell).await;
    broken_scripts(&shell).await;
    forged_marks(&shell).await;
    background_children(&shell).await;
    pipelined(&shell).await;
    live_lines(&shell).await;
    killed_shell(&shell).await;
    time_limit(&shell).await;
    files(connection).await;
    cut_short(connection).await;
    closing_kills(connection).await;
}

async fn streams_and_status(shell: &Arc<dyn Shell>) {
    let answer = run(shell, "echo out; echo err >&2; printf 'no newline'; exit 7").await;
    assert_eq!((answer.rc, &*answer.stdout_text(), &*answer.stderr_text()), (7, "out\nno newline", "err\n"));
    let answer = run(shell, "echo a >/dev/stdout; echo b >/dev/stderr; echo c | cat /dev/stdin").await;
    assert_eq!((answer.rc, &*answer.stdout_text(), &*answer.stderr_text()), (0, "a\nc\n", "b\n"));
    assert_eq!(run(shell, "").await.rc, 0);
    assert_eq!(run(shell, "sh -c 'kill -TERM $$'").await.rc, 143);
    assert_eq!(run(shell, "# only a comment").await.rc, 0);
}

async fn nothing_leaks(shell: &Arc<dyn Shell>) {
    let before = run(shell, "pwd; umask; env | sort; ls /proc/self/fd").await;
    run(shell, "cd /tmp; umask 077; X=1; export X; exec 9</dev/null; set -e; trap 'echo bye' EXIT; PATH=/none").await;
    let after = run(shell, "pwd; umask; env | sort; ls /proc/self/fd").await;
    assert_eq!(before.stdout_text(), after.stdout_text());
    assert!(!before.stdout_text().contains("__mms"), "{}", before.stdout_text());
    for name in ["HOME", "USER", "LOGNAME", "PATH"] {
        assert!(before.stdout_text().lines().any(|line| line.starts_with(&format!("{name}="))), "{name}");
    }
    let sbin = run(shell, "case :$PATH: in *:/usr/sbin:*) echo yes;; esac").await;
    assert_eq!(sbin.stdout_text(), "yes\n");
}

async fn text_survives(shell: &Arc<dyn Shell>) {
    // Every byte that may stand in UTF-8, at the places where shells keep markers of their own.
    let text: String = (1..0x800_u32)
        .filter_map(char::from_u32)
        .chain("\u{2028}\u{ffff}\u{1f600}\\ \\n '\"$x`y` !! * ~ \r\n\n".chars())
        .collect();
    for padding in [0, 10_000] {
        let script = format!("{}cat <<'MMS_END'\n{text}\nMMS_END\n", ":\n".repeat(padding));
        let answer = run(shell, &script).await;
        assert_eq!(answer.stdout_text(), format!("{text}\n"), "padding {padding}");
    }
    let answer = run(shell, "printf '%s' 'ends with newlines\n\n'").await;
    assert_eq!(answer.stdout_text(), "ends with newlines\n\n");
}

async fn stdin_of_every_size(shell: &Arc<dyn Shell>) {
    assert_eq!(run(shell, "wc -c").await.stdout_text().trim(), "0");
    assert_eq!(shell.submit(with_stdin("wc -c", "")).await.unwrap().stdout_text().trim(), "0");
    for size in [1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 300_000, 8 << 20] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
        let answer = shell.submit(with_stdin("cat", bytes.clone())).await.unwrap();
        assert!(answer.rc == 0 && answer.stdout == bytes, "{size} bytes: {} came back", answer.stdout.len());
    }
    // Text in the line, with everything a shell could take for something else.
    let text = "it's\n$HOME `x` \\ %s\n-n\n";
    assert_eq!(shell.submit(with_stdin("cat", text)).await.unwrap().stdout_text(), text);
    // Stdin that is read in part only leaves the shell in step.
    let unread = with_stdin("head -c 3 >/dev/null; echo ok", vec![b'\n'; 1 << 20]);
    assert_eq!(shell.submit(unread).await.unwrap().stdout_text(), "ok\n");
    assert_eq!(shell.submit(with_stdin("echo ok", vec![0; 200_000])).await.unwrap().stdout_text(), "ok\n");
    let both = Frame { stdin: Some(vec![7; 100_000]), ..Frame::new(format!("{}wc -c", ":\n".repeat(5_000))) };
    assert_eq!(shell.submit(both).await.unwrap().stdout_text().trim(), "100000");
}

async fn broken_scripts(shell: &Arc<dyn Shell>) {
    for script in ["if then", "echo 'unfinished", "(", "}", "echo $((", "case x in", "$(", "exec /nonexistent/program"]
    {
        let answer = run(shell, script).await;
        assert!(answer.rc != 0 && !answer.stderr.is_empty(), "{script}: {answer:?}");
    }
    assert_eq!(run(shell, "set -u; echo \"$nothing\"; echo not reached").await.stdout_text(), "");
    assert_eq!(run(shell, "exec echo replaced").await.stdout_text(), "replaced\n");
    assert_eq!(run(shell, "echo still here").await.stdout_text(), "still here\n");
}

async fn forged_marks(shell: &Arc<dyn Shell>) {
    // Everything the script can find out about its shell, printed several times.
    let answer =
        run(shell, "set; set >&2; printf '%s\\n' \"$__mms_l\" \"$__mms_k\"; set; printf '%s' \"$__mms_l\"; exit 9")
            .await;
    assert_eq!(answer.rc, 9);
    assert!(answer.stdout_text().matches("__mms_k=").count() >= 2);
    let fake = "mms00000000000000000000000000000000";
    let answer = run(shell, &format!("echo {fake} 0; echo {fake} >&2; exit 4")).await;
    assert_eq!((answer.rc, &*answer.stdout_text()), (4, &*format!("{fake} 0\n")));
}

async fn background_children(shell: &Arc<dyn Shell>) {
    // A child that keeps stdout open does not hold the answer back, and what it says later is in no other answer.
    let started = std::time::Instant::now();
    let answer = run(shell, "(sleep 0.4; echo late; echo late >&2) & echo now").await;
    assert_eq!(answer.stdout_text(), "now\n");
    assert!(started.elapsed() < Duration::from_millis(350), "the answer waited for the child");
    tokio::time::sleep(Duration::from_millis(700)).await;
    let answer = run(shell, "echo next").await;
    assert_eq!((&*answer.stdout_text(), &*answer.stderr_text()), ("next\n", ""));
}

async fn pipelined(shell: &Arc<dyn Shell>) {
    let answers: Vec<_> = (0..1_000).map(|n| shell.submit(Frame::new(format!("echo {n}; exit {}", n % 200)))).collect();
    for (n, answer) in join_all(answers).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!((answer.rc, &*answer.stdout_text()), ((n % 200) as i32, &*format!("{n}\n")));
    }
    // Large ones among small ones.
    let large: Vec<_> =
        (0..6_u8).map(|n| shell.submit(with_stdin("cat; cat >&2 </dev/null", vec![n; 1 << 20]))).collect();
    for (n, answer) in join_all(large).await.into_iter().enumerate() {
        assert!(answer.unwrap().stdout == vec![n as u8; 1 << 20]);
    }
}

async fn live_lines(shell: &Arc<dyn Shell>) {
    let (live, mut lines) = mpsc::unbounded_channel();
    let script = "echo one; echo two >&2; read -r wait <\"$MMS_FIFO\"; echo three";
    let fifo = tempfile::tempdir().unwrap();
    let path = fifo.path().join("fifo");
    run(shell, &format!("mkfifo -m 666 {} && chmod 755 {}", path.display(), fifo.path().display())).await;
    let script = format!("MMS_FIFO={}\n{script}", path.display());
    let answer = shell.submit(Frame { live: Some(live), ..Frame::new(script) });
    // The script cannot end before the test has seen its lines.
    let mut seen = vec![lines.recv().await.unwrap(), lines.recv().await.unwrap()];
    seen.sort();
    assert_eq!(seen, ["one", "two"]);
    tokio::fs::write(&path, "go\n").await.unwrap();
    assert_eq!(lines.recv().await.unwrap(), "three");
    assert_eq!(answer.await.unwrap().stdout_text(), "one\nthree\n");
}

async fn killed_shell(shell: &Arc<dyn Shell>) {
    let before = shell.submit(Frame::new("echo before"));
    let killer = shell.submit(Frame::new("kill -9 $$; sleep 5"));
    let behind = shell.submit(Frame::new("echo behind"));
    assert_eq!(before.await.unwrap().stdout_text(), "before\n");
    let error = killer.await.unwrap_err();
    assert_eq!(error.kind, ConnectionErrorKind::Lost);
    assert!(error.message.contains("its shell ended with status 137"), "{error}");
    assert_eq!(behind.await.unwrap().stdout_text(), "behind\n");
    assert_eq!(run(shell, "echo again").await.stdout_text(), "again\n");
}

/// A number that no other test in any process uses: how long a `sleep` is to be found by.
fn token(start: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(10);
    format!("{start}{}{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn time_limit(shell: &Arc<dyn Shell>) {
    let token = token("10");
    // A child, a child of a child, one that ignores SIGTERM, and one whose parent has gone.
    let script = format!(
        "sleep {token}1 & sh -c 'sleep {token}2; echo no' & (trap '' TERM; sleep {token}3; sleep {token}5) & (sleep {token}4 &); sleep {token}6; echo not reached"
    );
    let frame = Frame { timeout: Some(Duration::from_millis(300)), ..Frame::new(script) };
    // Left on purpose by an earlier script: it stays.
    run(shell, &format!("sleep 0.{token}7 & sleep 8{token} >/dev/null 2>&1 &")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late = shell.submit(frame);
    let behind = shell.submit(Frame::new("echo behind"));
    let error = late.await.unwrap_err();
    assert_eq!(error.kind, ConnectionErrorKind::TimedOut);
    assert!(error.message.contains("ran longer than 0.3 s"), "{error}");
    assert_eq!(behind.await.unwrap().stdout_text(), "behind\n");
    assert_gone(&format!("sleep {token}")).await;
    assert_eq!(processes(&format!("sleep 8{token}")).len(), 1);
    run(shell, &format!("for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline 2>/dev/null) in \"sleep 8{token} \") kill ${{p#/proc/}};; esac; done")).await;
    let quick = Frame { timeout: Some(Duration::from_secs(20)), ..Frame::new("echo in time") };
    assert_eq!(shell.submit(quick).await.unwrap().stdout_text(), "in time\n");
}

async fn files(connection: &Arc<dyn Connection>) {
    let directory = tempfile::tempdir().unwrap();
    let (from, to, back) = ["from", "to", "sub/back"].map(|name| directory.path().join(name)).into();
    let bytes: Vec<u8> = (0..5_000_003_usize).map(|at| (at.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    std::fs::write(&from, &bytes).unwrap();
    let to_text = to.to_str().unwrap();
    let script = format!("umask 077\ncat > '{to_text}.tmp' &&\n  mv '{to_text}.tmp' '{to_text}'\necho 100%\\\\ >&2");
    let answer = connection.send_file(None, &from, &script).await.unwrap();
    assert_eq!((answer.rc, &*answer.stderr_text()), (0, "100%\\\n"));
    assert!(std::fs::read(&to).unwrap() == bytes);
    let answer = connection.receive_file(None, &format!("cat '{to_text}'"), &back).await.unwrap();
    assert!(answer.rc == 0 && std::fs::read(&back).unwrap() == bytes);

    let answer = connection.send_file(None, &from, "head -c 10 >/dev/null; echo enough; exit 3").await.unwrap();
    assert_eq!((answer.rc, &*answer.stdout_text()), (3, "enough\n"));
    let missing = directory.path().join("missing");
    let answer = connection.receive_file(None, "echo half; echo why >&2; exit 1", &missing).await.unwrap();
    assert_eq!((answer.rc, &*answer.stderr_text(), missing.exists()), (1, "why\n", false));
    let error = connection.send_file(None, Path::new("/nonexistent/file"), "cat").await.unwrap_err();
    assert_eq!(error.kind, ConnectionErrorKind::LocalFile);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "a temporary file was left");
}

/// What was cut under way is never taken for the whole.
async fn cut_short(connection: &Arc<dyn Connection>) {
    let directory = tempfile::tempdir().unwrap();
    let (from, done, begun) = ["from", "done", "begun"].map(|name| directory.path().join(name)).into();
    std::fs::File::create(&from).unwrap().set_len(3 << 30).unwrap();
    let script = format!("touch '{}'; cat >/dev/null; touch '{}'", begun.display(), done.display());
    let wait_for_begun = async || {
        while !begun.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::fs::remove_file(&begun).unwrap();
    };
    tokio::select! {
        _ = connection.send_file(None, &from, &script) => panic!("3 GiB were faster than one touch"),
        () = wait_for_begun() => {}
    }
    let shell = connection.shell(None).await.unwrap();
    let big = shell.submit(with_stdin(&script, vec![0; 64 << 20]));
    wait_for_begun().await;
    connection.reset().await.unwrap();
    assert_eq!(big.await.unwrap_err().kind, ConnectionErrorKind::Lost);
    assert_gone(directory.path().to_str().unwrap()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!done.exists(), "a part was taken for the whole");
    assert_eq!(run(&shell, "echo again").await.stdout_text(), "again\n");
}

async fn closing_kills(connection: &Arc<dyn Connection>) {
    let token = token("20");
    let shell = connection.shell(None).await.unwrap();
    let (live, mut lines) = mpsc::unbounded_channel();
    let running = shell.submit(Frame {
        live: Some(live),
        ..Frame::new(format!(
            "(sleep {token}1 &) ; sh -c 'sleep {token}2' & echo started; sleep {token}3; sleep {token}4"
        ))
    });
    let behind = shell.submit(Frame::new(format!("sleep {token}5")));
    assert_eq!(lines.recv().await.unwrap(), "started");
    connection.close().await;
    assert_eq!(running.await.unwrap_err().kind, ConnectionErrorKind::Lost);
    assert_eq!(behind.await.unwrap_err().kind, ConnectionErrorKind::Lost);
    assert_gone(&format!("sleep {token}")).await;
    assert_eq!(shell.submit(Frame::new("echo no")).await.unwrap_err().kind, ConnectionErrorKind::Lost);
}
