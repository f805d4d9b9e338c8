//! Paths in databases that lead nowhere on the new host.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{PathMap, RewriteError, map_path};
use crate::service::model::migrate::PathColumn;

/// A path that the application will not find in its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    pub path: String,
    /// Where the same directory is in the container, when that is known.
    pub now: Option<String>,
}

/// The paths of a column that are not there in the container, without those below another one of them, sorted. The database is opened
/// read-only and must have no writer. One without the table or column is of another version of the application: nothing is told of it.
pub fn stale_paths(database: &Path, column: &PathColumn, maps: &[PathMap]) -> Result<Vec<Stale>, RewriteError> {
    let wrong = |error: rusqlite::Error| RewriteError::Database(format!("cannot read its paths: {error}"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(wrong)?;
    let known: i64 = connection
        .query_row(
            "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2 COLLATE NOCASE",
            [&column.table, &column.column],
            |row| row.get(0),
        )
        .map_err(wrong)?;
    if known == 0 {
        return Ok(vec![]);
    }
    // Both are plain identifiers: the model takes no others.
    let sql =
        format!("SELECT DISTINCT \"{0}\" FROM \"{1}\" WHERE typeof(\"{0}\") = 'text'", column.column, column.table);
    let mut statement = connection.prepare(&sql).map_err(wrong)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    let mut paths = BTreeSet::new();
    while let Some(row) = rows.next().map_err(wrong)? {
        // What is not UTF-8 cannot be compared with the maps.
        let Ok(path) = row.get_ref(0).map_err(wrong)?.as_str() else { continue };
        let path = path.trim_end_matches('/');
        if path.starts_with('/') && map_path(maps, path).is_none_or(|mapped| mapped != path) {
            paths.insert(path.to_owned());
        }
    }
    let top = paths.iter().filter(|path| !above(path).any(|parent| paths.contains(parent)));
    Ok(top.map(|path| Stale { path: path.clone(), now: map_path(maps, path) }).collect())
}

/// The directories above a path, from the nearest on.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').rev().filter_map(move |(at, _)| path.get(..at)).filter(|parent| !parent.is_empty())
}
