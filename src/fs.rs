//! Local paths and files, with errors that name them.

use std::path::PathBuf;

/// A path that a user wrote: `~` and `~/…` are the home directory.
pub fn expand_home(path: &str) -> PathBuf {
    let home = || etcetera::home_dir().ok();
    match path.strip_prefix('~') {
        Some("") => home().unwrap_or_else(|| PathBuf::from(path)),
        Some(rest) if rest.starts_with('/') => {
            home().map_or_else(|| PathBuf::from(path), |home| home.join(rest.trim_start_matches('/')))
        }
        _ => PathBuf::from(path),
    }
}
