//! What the template engine adds to Ansible's semantics: values that are not known yet, errors with places, static checks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;
use mms::diagnostic::{Diagnostic, Source, Span};
use mms::error::{Error, Result};
use mms::template::{FileOptions, Scope, Services, Templar, known_filters, known_lookups, known_tests};
use mms::value::{Raw, Value, to_json, unknown, unknown_inside, unknown_why};
use mms::yaml::{self, Node};

#[derive(Debug, Default)]
struct Vars(IndexMap<String, Raw>);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Raw> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

#[derive(Debug, Default)]
struct Files {
    dir: Option<PathBuf>,
    decrypted: AtomicUsize,
}

impl Services for Files {
    fn decrypt(&self, name: Option<&str>, ciphertext: &str, span: &Span) -> Result<String> {
        self.decrypted.fetch_add(1, Ordering::Relaxed);
        match ciphertext.trim() {
            "broken" => Err(Error::user("the secret is damaged").at(span)),
            text => Ok(format!("{}:{text}", name.unwrap_or("-"))),
        }
    }

    fn find_file(&self, _scope: &dyn Scope, _dir: &str, name: &str) -> Option<PathBuf> {
        let path = self.dir.as_ref()?.join(name);
        path.is_file().then_some(path)
    }
}

fn templar() -> Templar {
    Templar::new(Arc::new(Files::default()))
}

fn parsed(text: &str) -> Node {
    yaml::parse(&Source::new("vars.yml", text)).unwrap().node
}

fn scope_of(node: &Node) -> Vars {
    let entries = node.as_map().into_iter().flat_map(|map| map.iter());
    Vars(entries.map(|(key, value)| (key.as_str().unwrap().to_owned(), Raw::Node(value.clone()))).collect())
}

/// The variables of `vars`, and `r`: a registered result of which only some is known.
fn with_unknown(vars: &str) -> Arc<dyn Scope> {
    let mut scope = scope_of(&parsed(vars));
    let result = Value::from_pairs([
        ("changed", Value::from(true)),
        ("rc", unknown("`run it` was not run")),
        ("stdout", unknown("`run it` was not run")),
        ("results", Value::from(vec![Value::from(1), unknown("one item")])),
    ]);
    scope.0.insert("r".into(), Raw::Value(result));
    scope.0.insert("u".into(), Raw::Value(unknown("all of it")));
    Arc::new(scope)
}

#[test]
fn what_depends_on_an_unknown_value_is_unknown() {
    let scope = with_unknown("d: '{{ r.stdout }}/x'\nm: {a: '{{ r.rc }}', b: 1}\nok: '{{ r.changed }}'");
    let templar = templar();
    for text in [
        "u",
        "u.a.b",
        "u[0]",
        "r.rc",
        "r.rc == 0",
        "r.rc != 0",
        "0 == r.rc",
        "r.rc < 1",
        "r.rc in [0]",
        "0 in u",
        "not u",
        "u or true",
        "u and true",
        "true and u",
        "r.stdout | upper",
        "'x' | replace('x', r.stdout)",
        "[1, u] | join(',')",
        "[1, u] | max",
        "r.results | sum",
        "[u] | unique",
        "u | default('x')",
        "u ~ 'x'",
        "u + 1",
        "'%s' % u",
        "d",
        "d | length",
        "m.a",
        "m.a | int",
        "u is match('x')",
        "u is none",
        "'a' is match(u)",
        "u if u else 1",
        "1 if u else 2",
        "u is changed",
        "u | bool",
        "u()",
        "u.x()",
        "lookup('vars', 'd')",
        "{'a': u} | to_json",
        "[u] == [1]",
        "range(u)",
        "[[u]] | flatten | join",
        "u | list",
        "[1, 2] | select('eq', u) | list",
        "-u",
        "u[1:]",
        "'x'[u]",
        "[1][u]",
        "[u] | map('upper') | list",
        "lookup('env', u)",
        "'abc'.replace('a', u)",
        "[{'a': u}] | selectattr('a') | list",
    ] {
        let value = templar.expression(text, &parsed("x").span, &scope);
        assert!(value.as_ref().is_ok_and(|value| unknown_why(value).is_some()), "{text}: {value:?}");
    }
    for text in [
        "a {{ u }}",
        "{{ u }}",
        "{% if u %}x{% endif %}",
        "{% for i in u %}x{% endfor %}",
        "{{ d }}",
        "x{{ d }}",
        "{% set y = u %}{{ y }}",
        "{% set y = u %}{{ y == 1 }}",
        "{% for i in r.results %}{{ i }}{% endfor %}",
        "{% macro m(a) %}{{ a }}{% endmacro %}x{{ m(u) }}",
    ] {
        let value = templar.node(&parsed(&format!("{text:?}")), &scope);
        assert!(value.as_ref().is_ok_and(|value| unknown_why(value).is_some()), "{text}: {value:?}");
    }
}

#[test]
fn what_does_not_depend_on_an_unknown_value_is_known() {
    let scope = with_unknown("ok: '{{ r.changed }}'\nm: {a: '{{ r.rc }}', b: 1}\noff_: false");
    let templar = templar();
    for (text, want) in [
        ("u is defined", "true"),
        ("r.rc is defined", "true"),
        ("r.rc is undefined", "false"),
        ("r is changed", "true"),
        ("r is not failed", "true"),
        ("r is skipped", "false"),
        ("ok", "true"),
        ("m.b", "1"),
        ("off_ and u", "false"),
        ("true or u", "true"),
        ("1 if true else u", "1"),
        ("r.results | length", "2"),
        ("r.results | first", "1"),
        ("[u, 1] | last", "1"),
        ("m | length", "2"),
        ("{'a': u, 'b': 2}.b", "2"),
        ("m | combine({'c': 3}) | list", r#"["a","b","c"]"#),
        ("nope | default(5)", "5"),
        ("r.nope | default(5)", "5"),
        ("u is mapping or true", "unknown"),
    ] {
        let value = templar.expression(text, &parsed("x").span, &scope).unwrap();
        let got = if unknown_why(&value).is_some() { "unknown".into() } else { to_json(&value).to_string() };
        assert_eq!(got, want, "{text}");
    }
    // A mapping keeps what is known of it.
    let value = templar.node(&parsed("{a: '{{ r.rc }}', b: '{{ 1 + 1 }}'}"), &scope).unwrap();
    assert_eq!(value.get_attr("b").unwrap(), Value::from(2));
    assert!(unknown_why(&value.get_attr("a").unwrap()).is_some());
    assert_eq!(unknown_inside(&value).unwrap(), "`run it` was not run");
}

fn problem(result: Result<Value>) -> Diagnostic {
    result.expect_err("an error").diagnostics().first().expect("a diagnostic").clone()
}

/// The message, the place, the text at the place, and the hints.
fn told(diagnostic: &Diagnostic) -> String {
    let span = diagnostic.span.as_ref().expect("a place");
    let text = span.source.text.get(span.start..span.end).unwrap();
    format!("{} | {span} `{text}` | {}", diagnostic.message, diagnostic.hints.join("; "))
}

#[test]
fn errors_name_the_variable_its_place_and_the_nearest_name() {
    for (document, want) in [
        (
            "users: [{name: al}]\nx: \"hi {{ users[0].nmae }}\"",
            "`users[0].nmae` is undefined | vars.yml:2:11 `users[0].nmae` | did you mean `name`?",
        ),
        ("users: []\nx: 'a {{ usres }}'", "`usres` is undefined | vars.yml:2:10 `usres` | did you mean `users`?"),
        (
            "x: |\n  one\n  {{ two }}\n",
            "`two` is undefined | vars.yml:3:6 `two` | set it in the inventory, in `vars:` or with `-e`, or give it a `default(…)`",
        ),
        // The place is that of the inner variable.
        (
            "a: '{{ nope }}'\nx: 'see {{ a }}'",
            "`nope` is undefined | vars.yml:1:8 `nope` | set it in the inventory, in `vars:` or with `-e`, or give it a `default(…)`",
        ),
        (
            "a: {b: '{{ 1 + \"x\" }}'}\nx: '{{ a.b }}'",
            "`+` does not work on a number and a string | vars.yml:1:12 `1 + \"x\"` | `~` joins as text; `int` makes a number of a string",
        ),
        ("x: '{{ 1 | uper }}'", "there is no filter `uper` | vars.yml:1:12 `uper` | did you mean `upper`?"),
        ("x: '{{ 1 is strin }}'", "there is no test `strin` | vars.yml:1:13 `strin` | did you mean `string`?"),
        (
            "x: '{{ lookup(\"fil\") }}'",
            "there is no lookup `fil` | vars.yml:1:8 `lookup(\"fil\")` | did you mean `file`?",
        ),
        ("x: '{{ 1 | default(nope=1) }}'", "`default` has no argument `nope` | vars.yml:1:12 `default(nope=1)` | "),
        ("x: '{{ looup(1) }}'", "`looup` is not a function | vars.yml:1:8 `looup` | did you mean `lookup`?"),
        ("x: '{{ 5 | b64decode }}'", "the text is not base64: its padding is wrong | vars.yml:1:12 `b64decode` | "),
        ("x: '{% for i in 5 %}{% endfor %}'", "a number cannot be iterated over | vars.yml:1:17 `5` | "),
        ("x: '{{ {\"a\": 1}.b }}'", "`{\"a\": 1}.b` is undefined | vars.yml:1:8 `{\"a\": 1}.b` | it has: a"),
        ("s: !vault broken\nx: '{{ s }}'", "the secret is damaged | vars.yml:1:4 `!vault broken` | "),
        (
            "a: '{{ b }}'\nb: '{{ c }}'\nc: '{{ a }}'\nx: '{{ a }}'",
            "recursive loop: a → b → c → a | vars.yml:1:4 `'{{ b }}'` | a variable cannot be made of itself; use another name",
        ),
    ] {
        let vars = parsed(document);
        let x = vars.as_map().unwrap().get("x").unwrap().clone();
        let scope: Arc<dyn Scope> = Arc::new(scope_of(&vars));
        let diagnostic = problem(templar().node(&x, &scope));
        assert_eq!(told(&diagnostic), want, "{document}");
    }
}

#[test]
fn a_syntax_error_points_at_the_words() {
    let scope: Arc<dyn Scope> = Arc::new(Vars::default());
    let diagnostic = problem(templar().node(&parsed("a {{ x | }}"), &scope));
    assert!(diagnostic.message.starts_with("this is not a template: "), "{}", diagnostic.message);
    assert_eq!(diagnostic.span.unwrap().line_col(), (1, 10));
    let diagnostic = problem(templar().node(&parsed("a {{ x"), &scope));
    assert_eq!(diagnostic.hints, ["every `{{` needs its `}}`"]);
}

#[test]
fn secrets_are_decrypted_once_and_bound_to_their_key() {
    let services = Arc::new(Files::default());
    let templar = Templar::new(Arc::<Files>::clone(&services));
    let vars = parsed("s: !vault abc\nm: {key: !vault def}\nx: '{{ s }} {{ s }} {{ m.key }}'");
    let scope: Arc<dyn Scope> = Arc::new(scope_of(&vars));
    for _ in 0..2 {
        assert_eq!(templar.variable("x", &scope).unwrap().unwrap(), Value::from("s:abc s:abc key:def"));
    }
    assert_eq!(services.decrypted.load(Ordering::Relaxed), 2);
}

#[test]
fn template_files_are_rendered_with_their_options() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("part.j2"), "part {{ who }}\n").unwrap();
    fs::write(dir.path().join("bad.j2"), "one\ntwo {{ nope }}\n").unwrap();
    let templar = Templar::new(Arc::new(Files { dir: Some(dir.path().to_owned()), ..Files::default() }));
    let scope: Arc<dyn Scope> = Arc::new(scope_of(&parsed("who: me\nitems: [a, b]\nflag: true")));
    let render = |text: &str, options: &FileOptions| {
        let path = dir.path().join("main.j2").display().to_string();
        let scope = mms::template::about(&scope, "main.j2", std::path::Path::new(&path), Some("/etc/main"));
        templar.file(&Source::new(path, text), options, &scope)
    };
    let plain = FileOptions::default();
    for (text, want) in [
        ("# {{ ansible_managed }}\n", "# Ansible managed\n"),
        ("{{ template_path }} {{ template_destpath }}\n", "main.j2 /etc/main\n"),
        ("{% if flag %}\nyes\n{% endif %}\nend\n", "yes\nend\n"),
        ("a\n{% raw %}\n{{ x }}\n{% endraw %}\nb\n", "a\n\n{{ x }}\nb\n"),
        ("a\n{% raw -%}\n{{ x }}\n{%- endraw %}\nb\n", "a\n{{ x }}b\n"),
        ("{% raw %}\n{% endraw %}{% if flag %}\nx{% endif %}", "\nx"),
        ("#jinja2: trim_blocks:False\n{% if flag %}\nyes\n{% endif %}\n", "\nyes\n"),
        ("#jinja2: lstrip_blocks: True\n  {% if flag %}\nx\n  {% endif %}\n", "x\n"),
        ("#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ who ]] {{ x }}\n", "me {{ x }}\n"),
        ("a {% include 'part.j2' %}z", "a part mez"),
        ("{{ items }}", "['a', 'b']"),
        ("{{ flag }}\n", "True"),
        ("a\r\nb {{ who }}\r\n", "a\nb me\n"),
        ("{{ 'a\\tb' }}", "a\tb"),
        ("", ""),
        ("no template\n\n", "no template\n\n"),
    ] {
        assert_eq!(render(text, &plain).unwrap(), Value::from(want), "{text:?}");
    }
    let crlf = FileOptions { newline: "\r\n".into(), ..FileOptions::default() };
    assert_eq!(render("a\n{{ who }}\n", &crlf).unwrap(), Value::from("a\r\nme\r\n"));

    let diagnostic = problem(render("x\n{% include 'bad.j2' %}", &plain));
    assert_eq!(diagnostic.message, "`nope` is undefined");
    let span = diagnostic.span.unwrap();
    assert!(span.to_string().ends_with("bad.j2:2:8"), "{span}");
    let diagnostic = problem(render("#jinja2: trim_blocks:False\n\n  {{ who.nope }}", &plain));
    assert!(diagnostic.span.unwrap().to_string().ends_with("main.j2:3:6"));
    let diagnostic = problem(render("#jinja2: trim_block:False\n", &plain));
    assert_eq!(diagnostic.hints, ["did you mean `trim_blocks`?"]);
    let unknown_scope = with_unknown("");
    let value = templar.file(&Source::new("t", "x {{ u }}"), &plain, &unknown_scope).unwrap();
    assert!(unknown_why(&value).is_some());
}

#[test]
fn references_are_the_names_that_are_not_set_inside() {
    let templar = templar();
    for (text, expression, want) in [
        ("a.b.c and d[e] is defined", true, vec!["a", "d", "e"]),
        (
            "{{ x | default(y) }} {% for i in l %}{{ i }}{{ loop.index }}{{ k }}{% endfor %}",
            false,
            vec!["x", "y", "l", "k"],
        ),
        ("{% set s = a %}{{ s }}{{ omit }}{{ now() }}{{ lookup('vars', 'v') }}", false, vec!["a", "v"]),
        ("{% macro m(p) %}{{ p }}{{ q }}{% endmacro %}{{ m(r) }}", false, vec!["q", "r"]),
        ("plain", false, vec![]),
        ("a ===", true, vec![]),
    ] {
        assert_eq!(templar.references(text, expression), want, "{text}");
    }
}

#[test]
fn unknown_names_are_found_without_running() {
    let node = parsed("'{{ x | upper | lowr }} {{ y is defned }} {{ lookup(\"flie\", z) }} {{ l | map(\"uper\") }}'");
    let found = templar().check(node.as_str().unwrap(), false, &node.span);
    let told: Vec<String> = found.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "there is no filter `lowr` | vars.yml:1:17 `lowr` | did you mean `lower`?",
            "there is no test `defned` | vars.yml:1:33 `defned` | did you mean `defined`?",
            "there is no lookup `flie` | vars.yml:1:53 `\"flie\"` | did you mean `file`?",
            "there is no filter `uper` | vars.yml:1:78 `\"uper\"` | did you mean `upper`?",
        ]
    );
    assert!(templar().check("a | ansible.builtin.upper and b is ansible.builtin.defined", true, &node.span).is_empty());
    assert_eq!(templar().check("a |", true, &node.span).len(), 1);
    assert!(
        known_filters().contains(&"combine") && known_tests().contains(&"version") && known_lookups().contains(&"vars")
    );
}

#[test]
fn a_chain_of_variables_has_an_end() {
    let chain = |length: usize| {
        let links = (0..length).map(|n| format!("v{n}: 'x{{{{ v{} }}}}'\n", n + 1)).collect::<String>();
        scope_of(&parsed(&format!("{links}v{length}: end")))
    };
    let scope: Arc<dyn Scope> = Arc::new(chain(40));
    assert!(templar().variable("v0", &scope).unwrap().unwrap().as_str().unwrap().ends_with("xend"));
    let scope: Arc<dyn Scope> = Arc::new(chain(100));
    let diagnostic = problem(templar().variable("v0", &scope).map(Option::unwrap));
    assert!(diagnostic.message.contains("more than 60 variables inside one another"), "{}", diagnostic.message);
}

#[test]
fn text_from_a_host_is_never_evaluated() {
    let mut vars = scope_of(&parsed("written: 1 == 1\nname: secret\nsecret: leaked"));
    let result = Value::from_pairs([("stdout", "{{ secret }}"), ("word", "secret")]);
    vars.0.insert("r".into(), Raw::Value(result));
    let scope: Arc<dyn Scope> = Arc::new(vars);
    let span = parsed("x").span;
    for (text, want) in [
        ("{{ written }}", Value::from(true)),
        ("{{ r.stdout }}", Value::from("{{ secret }}")),
        ("{{ r.word }}", Value::from("secret")),
        ("query('items', r.stdout)", Value::from(vec!["{{ secret }}"])),
        ("query('items', '{{ secret }}')", Value::from(vec!["leaked"])),
        ("r.stdout | upper", Value::from("{{ SECRET }}")),
    ] {
        assert_eq!(templar().expression(text, &span, &scope).unwrap(), want, "{text}");
    }
}

#[test]
fn what_would_take_all_memory_is_an_error() {
    let scope: Arc<dyn Scope> = Arc::new(Vars::default());
    for text in [
        "'x' * 1000000000000",
        "range(10 ** 12)",
        "[1] | batch(10 ** 12, 0)",
        "'x' | comment(prefix_count=9223372036854775807)",
        "'x' | comment(postfix_count=10 ** 12)",
        "lookup('password', '/dev/null length=9223372036854775807')",
        "'%99999999d' % 1 | length > 70000",
        "{% set l = [] %}{{ l.append(l) }}",
        "{% set d = {} %}{{ d.update(a=[d]) }}",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] | permutations | list",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    ] {
        let result = match text.starts_with("{%") {
            true => templar().node(&parsed(&format!("{text:?}")), &scope),
            false => templar().expression(text, &parsed("x").span, &scope),
        };
        assert!(result.as_ref().map_or(true, |value| *value == Value::from(false)), "{text}: {result:?}");
    }
}

#[test]
fn lookups_serve_the_loops_of_tasks() {
    let scope = with_unknown("");
    let list = |items: &[i64]| Value::from(items.to_vec());
    let nested = templar().lookup("nested", vec![list(&[1, 2]), list(&[3])], &scope).unwrap();
    assert_eq!(to_json(&nested).to_string(), "[[1,3],[2,3]]");
    assert!(unknown_why(&templar().lookup("items", vec![unknown("x")], &scope).unwrap()).is_some());
    let diagnostic = templar().lookup("nestd", vec![], &scope).unwrap_err().diagnostics().first().unwrap().clone();
    assert_eq!(diagnostic.hints, ["did you mean `nested`?"]);
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    /// Words that templates are made of, in any order.
    fn words() -> impl Strategy<Value = String> {
        // Thousands of rounds of a hash take too long here.
        let filters = || known_filters().into_iter().filter(|name| *name != "password_hash").collect::<Vec<_>>();
        let filter = proptest::sample::select(filters()).prop_map(|name| format!(" | {name} "));
        let called = proptest::sample::select(filters()).prop_map(|name| format!(" | {name}(l, -1, 'é')"));
        let test = proptest::sample::select(known_tests()).prop_map(|name| format!(" is {name} "));
        let fixed = proptest::sample::select(vec![
            "{{ ",
            " }}",
            "{% ",
            " %}",
            "l",
            "m",
            "s",
            "n",
            "none",
            "u",
            "'é\\1'",
            "-1",
            "2.5",
            "[1, 's']",
            "{'a': l}",
            "()",
            " + ",
            " % ",
            " ~ ",
            " ** ",
            " // ",
            " == ",
            " < ",
            " in ",
            " and ",
            " not ",
            " if ",
            " else ",
            ".a",
            "[0]",
            "[-9:]",
            "[::-1]",
            "(",
            ")",
            "(1, *l)",
            "for x in l",
            "endfor",
            "if s",
            "endif",
            "set x = ",
            ".append(l)",
            ".format(l)",
            ".split('')",
            "range(3)",
            "{# ",
            " #}",
            "text é ",
            "\n",
            "loop.index",
            "nope",
            "x",
            "9223372036854775807",
        ])
        .prop_map(str::to_owned);
        proptest::collection::vec(prop_oneof![3 => fixed, 1 => filter, 1 => called, 1 => test], 1..9)
            .prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ends_with_a_value_or_an_error_that_has_a_place(text in words()) {
            let scope = with_unknown("l: [1, two, '{{ n }}']\nm: {a: '{{ l }}', é: 1}\ns: 'aé\n b'\nn: -3");
            let templar = templar();
            let source = Source::new("any.yml", text.as_str());
            let span = Span::new(&source, 0, text.len());
            let node = Node::new(yaml::Kind::Str(text.as_str().into()), span.clone());
            let results = [
                templar.expression(&text, &span, &scope),
                templar.expression(&format!("l{text}"), &span, &scope),
                templar.node(&node, &scope),
                templar.file(&source, &FileOptions::default(), &scope),
            ];
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                let diagnostic = error.diagnostics().first().unwrap();
                let span = diagnostic.span.as_ref().expect("a place");
                prop_assert!(span.source.text.get(span.start..span.end).is_some(), "{diagnostic:?}");
            }
            templar.references(&text, false);
            templar.check(&text, false, &span);
        }
    }
}
