//! `state: link` and `state: hard`.

use super::{Task, looking, plain};
use crate::modules::support::attrs::{Attrs, New};
use crate::modules::support::{FileState, path, result};
use crate::modules::{Args, Change, Context, Failure, Next};
use crate::sh;
use crate::value::Fields;

/// Where a link's target is: relative to the directory of a symbolic link, to the working directory for a hard one.
pub(super) fn absolute(at: &str, src: &str, state: &str) -> String {
    if state == "hard" || src.starts_with(['/', '~', '$']) {
        return src.to_owned();
    }
    path::join(path::parent(at), src)
}

impl Task<'_> {
    pub(super) fn link(&self, cx: &Context<'_>, target: Option<&FileState>) -> Result<Next, Failure> {
        let state = &self.state;
        let (at, previous, force) = (&state.path, state.state(), self.args.bool("force"));
        // `~` and variables are expanded on the target; a relative source is kept as it was written.
        let src = self.args.str("src").filter(|src| !src.is_empty()).map(|src| match target {
            Some(target) if src.starts_with(['~', '$']) => target.path.clone(),
            _ => src.to_owned(),
        });
        let src = match (src, &state.link) {
            (None, Some(link)) if state.stat.is_some() && self.args.bool("follow") => Some(link.clone()),
            (src, _) => src,
        };
        let fail = |msg: String| {
            Err(Failure::new(msg).field("path", at.as_str()).field("src", src.clone().unwrap_or_default()))
        };
        if let Some(target) = target.filter(|target| target.stat.is_none() && !force) {
            let msg = format!(
                "src file does not exist, use 'force=yes' if you really want to create the link: {}",
                target.path
            );
            return Err(Failure::missing(msg).field("path", at.as_str()).field("src", src.unwrap_or_default()));
        }
        if matches!(previous, "directory" | "file" | "hard") && !force {
            let mut failure = Failure::new(format!("refusing to convert from {previous} to symlink for {at}"))
                .field("path", at.as_str());
            result::add_path_info(&mut failure.fields, state);
            return Err(failure);
        }
        let mut fields = Fields::from([("dest".to_owned(), at.as_str().into())]);
        let Some(src) = src else {
            if previous == "link" {
                return self.link_attributes(fields);
            }
            return fail("src is required for creating new symlinks".to_owned());
        };
        fields.insert("src".into(), src.as_str().into());
        if state.link.as_deref() == Some(&src) {
            return self.link_attributes(fields);
        }
        if previous == "absent" {
            self.needs_parent()?;
        }
        let word = sh::quote(&plain(at.trim_end_matches('/')));
        let quoted = sh::quote(&src);
        let mut script = format!("p={word}; d=\n");
        if previous == "absent" {
            script.push_str(&format!("ln -s -- {quoted} \"$p\" || exit 1\n"));
        } else {
            if previous == "directory" {
                script.push_str("rmdir -- \"$p\" || exit 1\n");
            }
            // Renamed over, so that there is no moment without it. `mv -T` is not everywhere; a link to a directory
            // would be moved into, so such a link goes first.
            script.push_str(&format!(
                "t=${{p%/*}}/.mms.$$; [ \"${{p%/*}}\" != \"$p\" ] || t=.mms.$$\nln -s -- {quoted} \"$t\" || exit 1\n\
                 mv -fT -- \"$t\" \"$p\" 2>/dev/null || {{ [ ! -d \"$p\" ] || rm -f -- \"$p\"; mv -f -- \"$t\" \"$p\"; }} || \
                 {{ rm -f -- \"$t\"; exit 1; }}\n"
            ));
        }
        let mut diff_before = self.diff("link", &crate::modules::support::attrs::Plan::default());
        if let Some(old) = &state.link {
            let pair = |src: &str| serde_json::Map::from_iter([("src".to_owned(), src.into())]);
            diff_before = result::attribute_diff(at, &pair(old), &pair(&src));
        }
        // Attributes are set on what the link leads to, when it leads somewhere; owner and group on the link otherwise.
        let follow = self.args.bool("follow");
        let (of, new) = match target {
            Some(target) if follow => (target.stat.as_ref(), New::default()),
            _ => (None, New { mode: 0o777, directory: false }),
        };
        let skip = follow && of.is_none();
        let wanted = if follow { self.attrs() } else { Attrs { mode: None, ..self.attrs() } };
        let plan = wanted.plan(state, of, new)?;
        if !skip {
            script.push_str(&match (follow, target) {
                (true, Some(target)) => plan.script(&sh::quote(&plain(target.real_path()))),
                _ => plan.script("\"$p\""),
            });
        }
        let from = state.link.as_ref().map(|old| format!("{old} → ")).unwrap_or_default();
        let mut summary = vec![format!("link to {from}{src}")];
        if !skip {
            summary.extend(plan.summary.iter().cloned());
        }
        if cx.check && previous != "absent" {
            result::add_path_info(&mut fields, state);
        }
        Ok(Next::Change(Change { summary, diff: vec![diff_before], steps: vec![looking(&script)], result: fields }))
    }

    /// The link is as wanted: what is left are the attributes, of what it leads to or of itself.
    fn link_attributes(&self, fields: Fields) -> Result<Next, Failure> {
        let mut all = fields.clone();
        result::add_path_info(&mut all, &self.state);
        if self.args.bool("follow") && self.state.stat.is_none() {
            return Ok(Next::Ok(all));
        }
        match self.followed().adjust("", "link", fields, vec![])? {
            Next::Ok(_) => Ok(Next::Ok(all)),
            Next::Change(mut change) => {
                // The result tells of the link itself.
                change.steps.push(looking(&format!("p={}; d=\n", sh::quote(&plain(&self.state.path)))));
                change.result = all;
                Ok(Next::Change(change))
            }
            other => Ok(other),
        }
    }

    pub(super) fn hard(&self, target: Option<&FileState>) -> Result<Next, Failure> {
        let state = &self.state;
        let (at, previous) = (&state.path, state.state());
        let src = text(self.args, "src");
        let fail = |msg: String| Failure::new(msg).field("dest", at.as_str()).field("src", src.clone());
        let Some(target) = target else {
            return if previous == "hard" {
                self.adjust("", "hard", Fields::from([("dest".to_owned(), at.as_str().into())]), vec![])
            } else {
                Err(Failure::new("src is required for creating new hardlinks"))
            };
        };
        let Some(inode) = &target.stat else {
            return Err(Failure { missing: true, ..fail("src does not exist".to_owned()) });
        };
        let mut fields = Fields::from([("dest".to_owned(), at.as_str().into())]);
        fields.insert("src".into(), target.path.as_str().into());
        if state.lstat.as_ref().is_some_and(|stat| stat.ino == inode.ino && stat.dev == inode.dev) {
            return self.adjust("", "hard", fields, vec![]);
        }
        if !self.args.bool("force") {
            match previous {
                "hard" => return Err(fail("Cannot link, different hard link exists at destination".to_owned())),
                "file" => return Err(fail("Cannot link, file exists at destination".to_owned())),
                "directory" => return Err(fail("Cannot link: different hard link exists at destination".to_owned())),
                _ => {}
            }
        }
        if previous == "directory" {
            return Err(fail(format!("the directory {at} is not replaced by a hard link")));
        }
        if previous == "absent" {
            self.needs_parent()?;
        }
        let from = if self.args.bool("follow") { target.real_path() } else { &target.path };
        let plan = self.attrs().plan(state, Some(inode), New::default())?;
        let script = format!(
            "p={}; d=\nt=${{p%/*}}/.mms.$$; [ \"${{p%/*}}\" != \"$p\" ] || t=.mms.$$\nln -- {} \"$t\" && mv -f -- \"$t\" \"$p\" || {{ rm -f -- \"$t\"; exit 1; }}\n{}{}",
            sh::quote(&plain(at)),
            sh::quote(&plain(from)),
            plan.script("\"$p\""),
            plan.script_last("\"$p\""),
        );
        let mut summary = vec![format!("hard link to {}", target.path)];
        summary.extend(plan.summary.iter().cloned());
        let diff = vec![self.diff("hard", &plan)];
        Ok(Next::Change(Change { summary, diff, steps: vec![looking(&script)], result: fields }))
    }
}

fn text(args: &Args, name: &str) -> String {
    args.text(name).to_owned()
}
