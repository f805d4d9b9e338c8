//! Where local files that tasks name are looked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Parent, ParentKind};

/// The directory that a task's relative names start from: of the file it stands in, of its role's tasks, of the playbook.
pub fn task_dir(parent: &Arc<Parent>, playbook_dir: &Path) -> PathBuf {
    parent
        .chain()
        .find_map(|outer| match &outer.kind {
            ParentKind::File { dir, .. } => Some(dir.clone()),
            ParentKind::Role(used) => Some(used.role.path.join("tasks")),
            ParentKind::Block | ParentKind::Play => None,
        })
        .unwrap_or_else(|| playbook_dir.to_path_buf())
}

/// The first of the files that an entry of `vars_files` names: each in `vars/` beside the playbook, or beside the playbook itself.
pub fn find_vars_file<'a>(playbook_dir: &Path, names: impl IntoIterator<Item = &'a str>) -> Option<PathBuf> {
    names
        .into_iter()
        .flat_map(|name| [playbook_dir.join("vars").join(name), playbook_dir.join(name)])
        .find(|path| path.is_file())
}

/// Where a local file may be: in each role around the task, beside its file, beside the playbook; first under `dir`, then directly.
pub fn search_paths(parent: &Arc<Parent>, playbook_dir: &Path, dir: &str) -> Vec<PathBuf> {
    let mut bases: Vec<PathBuf> = parent
        .chain()
        .filter_map(|outer| match &outer.kind {
            ParentKind::Role(used) => Some(used.role.path.clone()),
            _ => None,
        })
        .collect();
    bases.push(task_dir(parent, playbook_dir));
    bases.push(playbook_dir.to_path_buf());
    let mut places: Vec<PathBuf> = vec![];
    for place in bases.into_iter().flat_map(|base| [base.join(dir), base]) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}
