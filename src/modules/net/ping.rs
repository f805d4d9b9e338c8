//! `ping`: whether a script runs on the target.

use crate::connection::Answer;
use crate::modules::{Args, Context, Default, Failure, Next, Opt, Probe, Spec, StateModule, Type};
use crate::value::Fields;

/// The arguments of `ping`.
pub static SPEC: Spec = Spec {
    name: "ping",
    fqcn: &["ansible.builtin.ping", "ansible.legacy.ping"],
    summary: "Looks whether the target answers.",
    options: &[Opt::new("data", Type::Str, "What to answer; `crash` fails.").default(Default::Str("pong"))],
    ..Spec::NONE
};

/// `ping`.
pub struct Ping;

impl StateModule for Ping {
    fn plan(&self, _cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure> {
        let Some(answer) = seen.first() else { return Ok(Next::Probe(Probe::new(":\n"))) };
        if !answer.ok() {
            return Err(Failure::of_answer("the target's shell cannot run a script", answer));
        }
        if args.text("data") == "crash" {
            return Err(Failure::new("boom"));
        }
        Ok(Next::Ok(Fields::from_iter([("ping".to_owned(), args.text("data").into())])))
    }
}
