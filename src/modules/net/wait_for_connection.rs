//! `wait_for_connection`: until the target can be logged in to again.

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::modules::{ActionModule, Args, Context, Default, Failure, Host, Opt, Outcome, Spec, Type};
use crate::value::Fields;

/// The arguments of `wait_for_connection`.
pub static SPEC: Spec = Spec {
    name: "wait_for_connection",
    fqcn: &["ansible.builtin.wait_for_connection", "ansible.legacy.wait_for_connection"],
    summary: "Waits until the target can be reached and used.",
    options: &[
        Opt::new("connect_timeout", Type::Int, "Without effect: the connection's own timeout is used.")
            .default(Default::Int(5)),
        Opt::new("delay", Type::Int, "Seconds to wait before the first try.").default(Default::Int(0)),
        Opt::new("sleep", Type::Int, "Seconds between two tries.").default(Default::Int(1)),
        Opt::new("timeout", Type::Int, "Seconds after which it is given up.").default(Default::Int(600)),
    ],
    ..Spec::NONE
};

/// `wait_for_connection`.
pub struct WaitForConnection;

impl ActionModule for WaitForConnection {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(run(cx, args, host))
    }
}

async fn run(cx: &Context<'_>, args: &Args, host: &dyn Host) -> Result<Outcome, Failure> {
    if cx.check {
        return Ok(Outcome::Skipped(Fields::new()));
    }
    let start = Instant::now();
    sleep(args.seconds("delay")).await;
    let end = Instant::now() + args.seconds("timeout");
    let mut last: Option<Failure> = None;
    while Instant::now() < end {
        match host.reconnect().await {
            Ok(()) => return Ok(Outcome::Ok(elapsed(start))),
            Err(failure) => {
                host.progress(&format!("not reachable yet after {} s", start.elapsed().as_secs()));
                last = Some(failure);
            }
        }
        sleep(args.seconds("sleep")).await;
    }
    let why = last.as_ref().map_or("", |failure| failure.msg.as_str());
    let mut failure = Failure::new(format!("timed out waiting for ping module test: {why}"));
    failure.hints = last.map(|failure| failure.hints).unwrap_or_default();
    failure.fields = elapsed(start);
    Err(failure)
}

fn elapsed(start: Instant) -> Fields {
    Fields::from_iter([("elapsed".to_owned(), start.elapsed().as_secs().into())])
}
