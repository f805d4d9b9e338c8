//! The help of every verb, as it is printed when nothing is a terminal.

use crate::project::Project;

#[test]
fn help_of_every_verb() {
    let project = Project::new();
    let verbs: &[&[&str]] = &[
        &[],
        &["deploy"],
        &["deploy-service"],
        &["update"],
        &["plan"],
        &["run"],
        &["check"],
        &["backup"],
        &["backup", "list"],
        &["backup", "prune"],
        &["backup", "verify"],
        &["backup", "drill"],
        &["status"],
        &["logs"],
        &["restore"],
        &["migrate"],
        &["vault"],
        &["vault", "init"],
        &["vault", "edit"],
        &["vault", "view"],
        &["vault", "get"],
        &["vault", "set"],
        &["vault", "encrypt"],
        &["vault", "decrypt"],
    ];
    for verb in verbs {
        let seen = project.mms(&[verb, &["-h"][..]].concat());
        assert_eq!((seen.code, seen.stderr.as_str()), (Some(0), ""), "{verb:?}");
        let name = verb.join("_").replace('-', "_");
        insta::assert_snapshot!(if name.is_empty() { "mms".to_owned() } else { name }, seen.stdout);
        // The long form is no error either.
        assert_eq!(project.mms(&[verb, &["--help"][..]].concat()).code, Some(0));
    }
}

/// A verb that is added must be added above, too.
#[test]
fn no_verb_is_forgotten() {
    let project = Project::new();
    let help = project.mms(&["-h"]).stdout;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = verbs
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert!(names.len() > 8, "{help}");
    let here = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/help.rs")).unwrap();
    for name in names {
        assert!(here.contains(&format!("\"{name}\"")), "add `{name}` to help_of_every_verb");
    }
}
