#!/usr/bin/env python3
"""Writes the reference results of the YAML tests with PyYAML (6.0, with libyaml). Not needed to run the tests.

    python3 tests/yaml/reference.py
"""
import json
import math
import pathlib
import random

import yaml

HERE = pathlib.Path(__file__).parent


class Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with Ansible's tags; dates stay text."""


def marked(name, recursive):
    def construct(loader, node):
        copy = type(node)(loader.resolve(type(node), node.value, (True, False)), node.value, node.start_mark, node.end_mark)
        value = loader.construct_object(copy, deep=True)
        return wrap(name, value) if recursive else {name: value}

    return construct


def wrap(name, value):
    if isinstance(value, dict):
        return {key: wrap(name, item) for key, item in value.items()}
    if isinstance(value, list):
        return [wrap(name, item) for item in value]
    return {name: value} if isinstance(value, str) else value


Loader.add_constructor("!unsafe", marked("$unsafe", True))
for tag in ("!vault", "!vault-encrypted", "!age"):
    Loader.add_constructor(tag, marked("$vault", False))
for tag in ("timestamp", "value"):
    Loader.add_constructor(f"tag:yaml.org,2002:{tag}", lambda loader, node: loader.construct_scalar(node))


def plain(value):
    """JSON for a value: pairs keep the types of keys, floats that JSON lacks are named."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else f"{type(key).__name__}:{key}": plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return {"$big": True}
    return value


def scalars():
    words = """yes Yes YES yEs no No NO on On ON off Off OFF true True TRUE false False FALSE y Y n N t f ~ null Null NULL nULL
    none None 0 00 07 08 09 0o17 017 -017 +017 0644 0899 0x1f 0X1F -0xff 0x_ 0b101 0b2 0b_ 1_000 _1 1__0 -1 +1 - + -- 1:30 1:60 1:5:9
    190:20:30 -1:30 01:30 1:30.5 190:20:30.15 1.0 1. .5 -.5 +.5 1.5e3 1.5e+3 1.5E-3 1e3 1e+3 1.e+3 1_0.5_0 ._5 .inf -.inf +.Inf .INF .nan
    .NaN .NAN -.nan .iNF inf nan 2001-12-14 2001-1-4 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z 20011214 = << < <= 0.0 -0.0 0_
    9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 0xFFFFFFFFFFFFFFFFF 1.2.3 1.2.3.4 10.0.0.1/8
    12:34:56:78:9a:bc 12:34:56 22:22 8080:80 127.0.0.1:80:80 1e5 0e0 1e 0x 0b 0.1.2 1,000 1..2 a:b a=b 3.10 1.10 07:30 7:30 12h""".split()
    rng = random.Random(7)
    for alphabet, count in (("0123456789_+-.:", 300), ("01789_+-.:eExbo", 300), ("01.:-TtZ +", 150)):
        words += ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 8))) for _ in range(count)]
    result = {}
    for word in words:
        try:
            result[word] = plain(yaml.load(f"- {word}\n", Loader)[0])
        except (yaml.YAMLError, ValueError, OverflowError):
            continue
        if not isinstance(result[word], (str, int, float, bool, type(None))) and set(result[word]) - {"$float", "$big"}:
            del result[word]
    return result


TEXTS = """yes no on y n null ~ true 123 0644 0o17 1_000 1:30 1.5 .5 1e3 1e+3 2001-12-14 = << - -- --- ... -a ? ?a : :a a: a:b a#b #a a,b [a]
{a} a]b &a *a !a @a `a %a >a |a "a" 'a' it's back\slash a{b http://x:80/y größe 日本語 💾""".split()
TEXTS += ["2001-12-14 10:00:00", "--- a", "... a", "- a", "? a", ": a", "a: b", "a #b", "say \"hi\"", "{{ x }}", "a b", "  a", "a  ", " ", "é: à"]
TEXTS += ["tab\there", "bell\x07", "nbsp\xa0x", "bom\ufeffx", "line\u2028sep", "nel\x85x", "del\x7f", "nul\x00", "a\u2029\nb"]
TEXTS += ["", "one\ntwo", "one\n", "\none", "one\n\ntwo\n", "one \ntwo", "one\n two", "a\n\n\nb", "it's\ntwo", "tab\tand\nbreak", "\n", "\r\n", "a\r\nb",
          "word " * 40, "word " * 40 + "end", "x" * 100 + " " + "y" * 100, "two  spaces " * 12 + "end", "it's a \"long\" one " * 8 + "end",
          "tab\t and words " * 10 + "end", "tab\t  and  words " * 10 + "end", "x" * 130, "key: " * 30 + "x", "größe " * 20 + "ende", "a long line " * 9 + "\nand another " * 9 + "end"]


def emitted():
    rng = random.Random(11)
    values = [*TEXTS, 1, -1, 0, 1.0, 0.1, 1e20, 1e-7, 1.5e300, 123456789.125, 1e16, 1e15, 0.0001, 0.00001, True, False, None, [], {}, [[]], [{}], {"a": []}, {"a": {}}]
    values += [[text] for text in TEXTS] + [{"key": text} for text in TEXTS] + [{text: 1} for text in TEXTS] + [{"a": [text, {"b": text}]} for text in TEXTS]
    values += [list(range(60)), {f"key{index}": "some text" for index in range(12)}, {"outer": list(range(60))}, [[1, 2], [3, [4, 5]]], [[[["x"]]]],
               {"services": {"web": {"image": "nginx", "ports": ["80:80", "443:443"], "env": {"A": "yes", "B": 1}}, "db": {"volumes": [{"src": "/a", "dst": "/b"}]}}},
               [{"a": 1, "b": [1, 2]}, {"c": {"d": [{"e": []}]}}], {"b": 1, "a": 2, "B": 3, "_": 4, "10": 5, "9": 6}]

    def any_value(depth):
        kind = rng.random()
        if depth == 0 or kind < 0.4:
            return rng.choice([*TEXTS, rng.randint(-99, 99), True, None, 1.5])
        if kind < 0.7:
            return [any_value(depth - 1) for _ in range(rng.randint(0, 4))]
        return {rng.choice(TEXTS[:90]): any_value(depth - 1) for _ in range(rng.randint(0, 4))}

    values += [any_value(4) for _ in range(120)]
    result = []
    for index, value in enumerate(values):
        variants = [{"indent": 4, "default_flow_style": False}, {"default_flow_style": None}]
        variants += [rng.choice([
            {"indent": 2, "default_flow_style": False, "sort_keys": False},
            {"indent": 8, "default_flow_style": False, "width": 40},
            {"indent": 2, "default_flow_style": False, "width": 1000},
            {"default_flow_style": True, "width": 30},
            {"default_flow_style": None, "width": 30, "explicit_start": True},
        ])]
        for options in variants:
            # A copy without shared parts: anchors are not written.
            text = yaml.dump(json.loads(json.dumps(value)), Dumper=yaml.CSafeDumper, allow_unicode=True, **options)
            result.append([value, options, text])
    return result


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def main():
    write(HERE / "scalars.json", scalars())
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in emitted())
    (HERE / "emitted.json").write_text(f"[\n{lines}\n]\n")
    for path in sorted((HERE / "documents").glob("*.yml")):
        write(path.with_suffix(".json"), [plain(node) for node in yaml.load_all(path.read_text(), Loader)])


if __name__ == "__main__":
    main()
