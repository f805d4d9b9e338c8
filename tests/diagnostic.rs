//! How diagnostics look.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use insta::assert_snapshot;
use mms::diagnostic::{Diagnostic, Source, Span, render};

#[test]
fn shows_the_line_a_caret_related_places_and_hints() {
    let source = Source::new("inventory/group_vars/all.yml", "a: 1\nport: 80\nb: 2\n# c\n# d\n# e\n# f\nport: 81\n");
    let diagnostic = Diagnostic::warning("the key `port` is written twice")
        .at(&Span::new(&source, 35, 39))
        .label("this one counts")
        .related(&Span::new(&source, 5, 9), "this one is ignored")
        .hint("remove one of them")
        .hint("keys are unique");
    assert_snapshot!(render(&diagnostic, false));
}

#[test]
fn shows_related_places_in_other_files() {
    let here = Source::new("playbooks/site.yml", "- hosts: web\n");
    let there = Source::new("inventory/hosts.yml", "all:\n  hosts:\n    wep:\n");
    let diagnostic = Diagnostic::error("no host or group is called `web`")
        .at(&Span::new(&here, 9, 12))
        .related(&Span::new(&there, 18, 21), "a host with a similar name")
        .hint("did you mean `wep`?");
    assert_snapshot!(render(&diagnostic, false));
}

#[test]
fn keeps_carets_in_place_with_tabs_and_wide_characters() {
    let source = Source::new("x.yml", "\t\"größe 💾 漢字\":\tbad\r\n");
    let at = source.text.find("bad").unwrap();
    let diagnostic = Diagnostic::error("no").at(&Span::new(&source, at, at + 3)).label("here");
    assert_snapshot!(render(&diagnostic, false));
}

#[test]
fn shows_no_text_of_a_source_without_one() {
    let source = Source::hidden("vault.yml", "a: 1\nsecret: x\n");
    let diagnostic = Diagnostic::error("no such key").at(&Span::new(&source, 7, 9)).hint("look into it");
    assert_snapshot!(render(&diagnostic, false));
    assert_snapshot!(render(&Diagnostic::error("no place at all"), false), @"error: no place at all");
}

#[test]
fn underlines_only_the_first_line_and_survives_odd_offsets() {
    let source = Source::new("x.yml", "a:\n  ü: |\n    text\nlast");
    for (start, end) in [(5, 18), (6, 7), (100, 200), (21, 22), (3, 3)] {
        let text = render(&Diagnostic::error("x").at(&Span::new(&source, start, end)), false);
        assert!(text.contains("x.yml:"), "{text}");
        assert_eq!(text.matches('^').count().min(1), 1, "{text}");
    }
    assert_snapshot!(render(&Diagnostic::error("x").at(&Span::new(&source, 5, 18)), false));
}

#[test]
fn colours_only_when_asked_to() {
    let source = Source::new("x.yml", "a: 1\n");
    let diagnostic = Diagnostic::error("no").at(&Span::new(&source, 0, 1)).hint("yes");
    assert!(render(&diagnostic, true).contains('\u{1b}'));
    assert!(!render(&diagnostic, false).contains('\u{1b}'));
}
