//! The case tables of `tests/migrate/rewrite`, and stale paths.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    rule: serde_json::Value,
    #[serde(default)]
    maps: Vec<(String, String)>,
    #[serde(default)]
    encoding: Option<String>,
    text: String,
    #[serde(default)]
    becomes: Option<String>,
    #[serde(default)]
    same: bool,
    #[serde(default)]
    changes: Vec<(String, String, String)>,
    #[serde(default)]
    unknown: Vec<(String, String)>,
    #[serde(default)]
    error: Option<String>,
}

impl Case {
    /// The rule of the case, or the one of a shipped service.
    fn rule(&self) -> Rule {
        let Some(service) = self.rule.get("service").and_then(|name| name.as_str()) else {
            return serde_json::from_value(self.rule.clone()).unwrap();
        };
        let text = std::fs::read_to_string(format!("services/{service}.yml")).unwrap();
        let definition: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let rules = definition.pointer("/migrate/rewrite").and_then(|rules| rules.as_array()).unwrap();
        let rule = rules.iter().find(|rule| rule.get("file") == self.rule.get("file"));
        serde_json::from_value(rule.unwrap().clone()).unwrap()
    }

    fn bytes(&self, text: &str) -> Vec<u8> {
        match self.encoding.as_deref() {
            None => text.as_bytes().to_vec(),
            Some("latin1") => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
            Some("utf16le") => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Some("utf16be") => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Some(other) => panic!("{other}"),
        }
    }

    fn run(&self) {
        let maps: Vec<_> = self.maps.iter().cloned().map(|(from, to)| PathMap { from, to }).collect();
        let rule = self.rule();
        let text = self.bytes(&self.text);
        let rewritten = match (apply(&rule, &maps, &text), &self.error) {
            (Err(error), Some(wanted)) => return assert_eq!(error.to_string(), *wanted, "{}", self.name),
            (result, None) => result.unwrap_or_else(|error| panic!("{}: {error}", self.name)),
            (Ok(_), Some(wanted)) => panic!("{}: no error, wanted: {wanted}", self.name),
        };
        assert_eq!(self.same, self.becomes.is_none(), "{}: the case says one of `same` and `becomes`", self.name);
        let wanted = self.bytes(self.becomes.as_ref().unwrap_or(&self.text));
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(shown(&rewritten.text), shown(&wanted), "{}", self.name);
        assert_eq!(rewritten.text, wanted, "{}", self.name);
        let changes = self.changes.iter().cloned().map(|(place, from, to)| Change { place, from, to });
        assert_eq!(rewritten.changes, changes.collect::<Vec<_>>(), "{}", self.name);
        let unknown = self.unknown.iter().cloned().map(|(place, path)| Unknown { place, path });
        assert_eq!(rewritten.unknown, unknown.collect::<Vec<_>>(), "{}", self.name);
        // What is rewritten already is not rewritten again: the maps of the new places are those of the container itself.
        let there: Vec<_> = maps.iter().map(|map| PathMap { from: map.to.clone(), to: map.to.clone() }).collect();
        let again = apply(&rule, &there, &rewritten.text).unwrap();
        assert_eq!((again.text, again.changes), (rewritten.text, vec![]), "{}: again", self.name);
    }
}

#[test]
fn cases() {
    for table in ["ini", "xml", "text", "shipped"] {
        let text = std::fs::read_to_string(format!("tests/migrate/rewrite/{table}.yml")).unwrap();
        let cases: Vec<Case> = serde_yaml::from_str(&text).unwrap();
        assert!(!cases.is_empty());
        cases.iter().for_each(Case::run);
    }
}

fn maps(pairs: &[(&str, &str)]) -> Vec<PathMap> {
    pairs.iter().map(|(from, to)| PathMap { from: (*from).to_owned(), to: (*to).to_owned() }).collect()
}

#[test]
fn paths_by_the_longest_directory_and_whole_names() {
    let maps = maps(&[("/mnt", "/host"), ("/mnt/media/", "/data/media"), ("/a", "/")]);
    let cases = [
        ("/mnt/media", Some("/data/media")),
        ("/mnt/media/", Some("/data/media/")),
        ("/mnt/media/x y", Some("/data/media/x y")),
        ("/mnt/media2/x", Some("/host/media2/x")),
        ("/mnt", Some("/host")),
        ("/mn", None),
        ("/a", Some("/")),
        ("/a/b", Some("/b")),
        ("mnt/media", None),
    ];
    for (path, wanted) in cases {
        assert_eq!(map_path(&maps, path).as_deref(), wanted, "{path}");
    }
}

#[test]
fn paths_in_a_database_that_lead_nowhere() {
    let paths = [
        "/data/media/tv/",
        "/mnt/media/movies/",
        "/mnt/media/movies/A Film (2001)",
        "/mnt/media/movies-4k",
        "/srv/anime",
        "/srv/anime",
        "relative/path",
        "%AppDataPath%/x",
        "",
    ];
    let maps = maps(&[("/data", "/data"), ("/mnt/media", "/data/media")]);
    let stale = stale_paths(paths, &maps);
    let told: BTreeMap<_, _> = stale.iter().map(|stale| (stale.path.as_str(), stale.now.as_deref())).collect();
    let wanted = [
        ("/mnt/media/movies", Some("/data/media/movies")),
        ("/mnt/media/movies-4k", Some("/data/media/movies-4k")),
        ("/srv/anime", None),
    ];
    assert_eq!(told, BTreeMap::from(wanted));
}
