#!/usr/bin/env python3
"""Writes what ansible-core makes of the cases in *.yml to *.json beside them.

Run it with the Python of an environment that ansible-core 2.19 is installed in:
    python oracle.py [file.yml …]
"""

import json
import pathlib
import sys

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

HERE = pathlib.Path(__file__).parent


def plain(value):
    """The value without Ansible's tagged types, as JSON has it."""
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else str(value)


def answer(loader, case):
    templar = Templar(loader=loader, variables=case.get("vars") or {})
    try:
        if "condition" in case:
            return {"want": templar.evaluate_conditional(case["condition"])}
        if "expression" in case:
            return {"want": plain(templar.evaluate_expression(case["expression"]))}
        return {"want": plain(templar.template(case["template"]))}
    except Exception as error:  # whatever it is, the case is an error
        return {"error": str(error).splitlines()[0]}


def main():
    init_plugin_loader([])
    files = [pathlib.Path(name) for name in sys.argv[1:]] or sorted(HERE.glob("*.yml"))
    for path in files:
        loader = DataLoader()
        cases = loader.load_from_file(str(path.resolve()), trusted_as_template=True)
        answers = [answer(loader, case) for case in cases]
        lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in answers)
        path.with_suffix(".json").write_text(f"[\n{lines}\n]\n")
        print(path.name, len(answers), "cases", sum("error" in each for each in answers), "errors")


main()
