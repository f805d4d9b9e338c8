//! Paths that an application keeps in its database, and that lead nowhere on the new host.

use std::collections::BTreeSet;

use super::{PathMap, map_path};

/// A path that the application will not find in its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    pub path: String,
    /// Where the same directory is in the container, when that is known.
    pub now: Option<String>,
}

/// Those of these paths that are not there in the container, without those below another one of them, sorted.
pub fn stale_paths<'a>(paths: impl IntoIterator<Item = &'a str>, maps: &[PathMap]) -> Vec<Stale> {
    let nowhere = |path: &&str| path.starts_with('/') && map_path(maps, path).is_none_or(|mapped| mapped != *path);
    let paths: BTreeSet<&str> = paths.into_iter().map(|path| path.trim_end_matches('/')).filter(nowhere).collect();
    let top = paths.iter().filter(|path| !above(path).any(|parent| paths.contains(parent)));
    top.map(|path| Stale { path: (*path).to_owned(), now: map_path(maps, path) }).collect()
}

/// The directories above a path, from the nearest on.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').rev().filter_map(move |(at, _)| path.get(..at)).filter(|parent| !parent.is_empty())
}
