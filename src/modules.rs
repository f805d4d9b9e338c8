//! The modules: what a task can ask of a host. Nothing here prints, connects or knows of playbooks.
//!
//! A [`StateModule`] is a pure state machine: [`StateModule::plan`] is called with the answers of the read-only probes seen so far
//! and returns the next probe, or that nothing is to be done, or the change to make. The engine sends probes, shows
//! diffs, honours check mode, runs the steps and calls [`StateModule::finish`]; so probing ahead, check mode and diff work
//! for every module alike, and a module is tested with data files and no host. An [`ActionModule`] is for the few whose work is
//! a conversation (`reboot`, `wait_for`, `mms.service`). Modules that steer the run itself (`set_fact`, `include_tasks`) belong to
//! the engine and have only a [`Spec`] here.

mod args;
mod commands;
mod context;
mod control;
mod files;
mod net;
mod outcome;
mod packages;
mod registry;
mod spec;
pub mod support;
mod system;
pub mod validate;

pub use args::Args;
pub use context::{Context, Gate, Host, Workstation};
pub use outcome::{Change, Diff, Failure, Next, Outcome, Probe, Step, Thing};
pub use registry::{Kind, Module, all, find};
pub use spec::{Default, FreeForm, Opt, Rule, Spec, Type};

use futures::future::BoxFuture;

use crate::connection::Answer;
use crate::value::Fields;

/// A module that brings one thing into a state; see the module text.
pub trait StateModule: Send + Sync {
    /// What comes next, given the answers to every probe returned so far for this task, oldest first. Pure: the same input
    /// gives the same output; it is called again with more answers until it returns no probe.
    fn plan(&self, cx: &Context<'_>, args: &Args, seen: &[Answer]) -> Result<Next, Failure>;

    /// The result of a change that was made: `applied` holds one answer per step. Not called in check mode, where
    /// [`Change::result`] is the result.
    fn finish(
        &self,
        cx: &Context<'_>,
        args: &Args,
        change: &Change,
        seen: &[Answer],
        applied: &[Answer],
    ) -> Result<Fields, Failure> {
        let _ = (cx, args, seen, applied);
        Ok(change.result.clone())
    }

    /// What the result tells of, for modules that only look: in a plan it is not known once an earlier change makes that.
    fn tells_of(&self, args: &Args) -> Vec<Thing> {
        let _ = args;
        vec![]
    }

    /// What a change with these arguments makes, that later tasks of a plan may need.
    fn makes(&self, args: &Args) -> Vec<Thing> {
        let _ = args;
        vec![]
    }
}

/// A module whose work is a conversation with the host.
pub trait ActionModule: Send + Sync {
    /// Does the work. Nothing may be changed before [`Host::change`] returned [`Gate::Go`].
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>>;
}
