//! What keeping hosts safe costs a run that changes nothing: not one round trip.

use crate::bench::{Bench, Told};
use crate::write;

fn run(dir: &std::path::Path, guarded: bool) -> Told {
    let bench = Bench {
        hosts: vec!["a".to_owned()],
        dir: dir.to_path_buf(),
        guarded,
        // Each task waits for its own answers, so that the number of round trips does not depend on how fast they come.
        window: Some(0),
        ..Bench::default()
    };
    let told = bench.run();
    assert_eq!(told.changed(), 0, "{}", told.lines);
    told
}

#[test]
fn a_run_without_changes_pays_no_round_trip_for_lock_and_handlers() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "play.yml",
        r#"
- hosts: a
  tasks:
    - {name: one, file: {path: "{{ dir }}", state: directory}, notify: told}
    - {name: two, stat: {path: "{{ dir }}"}}
    - {name: three, file: {path: "{{ dir }}/none", state: absent}, notify: "{{ ansible_facts.system | default('told') }}"}
  handlers:
    - {name: told, debug: {msg: told}}
"#,
    );
    let (plain, guarded) = (run(dir.path(), false), run(dir.path(), true));
    assert_eq!(plain.rounds, 3, "{}", plain.lines);
    assert_eq!(guarded.rounds, plain.rounds);
    // The one script more asks for what is owed, together with the first probe; no lock is taken.
    assert_eq!(guarded.frames, plain.frames + 1);
}
