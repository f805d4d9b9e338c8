#!/usr/bin/env python3
"""Writes the reference results of the inventory tests with ansible-core (2.19). Not needed to run the tests.

    python3 tests/inventory/reference.py
"""
import json
import os
import pathlib
import random
import warnings

from ansible.inventory.group import Group
from ansible.inventory.helpers import sort_groups
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.vars.manager import VariableManager

HERE = pathlib.Path(__file__).parent
warnings.simplefilter("ignore")

# Ansible walks sets of groups, in an order that changes from run to run; here it is the order in which groups were made.
NUMBERS = {}
Group.__hash__ = lambda group: NUMBERS.setdefault(id(group), (len(NUMBERS), group))[0]

# What Ansible adds to the variables by itself.
MAGIC = {
    "ansible_check_mode", "ansible_config_file", "ansible_diff_mode", "ansible_forks", "ansible_inventory_sources", "ansible_limit",
    "ansible_run_tags", "ansible_skip_tags", "ansible_verbosity", "ansible_version", "ansible_playbook_python", "ansible_python_interpreter",
    "ansible_facts", "group_names", "groups", "inventory_dir", "inventory_file", "inventory_hostname", "inventory_hostname_short", "omit",
    "playbook_dir", "environment", "hostvars", "vars",
}


def result(case):
    os.chdir(case)
    config = json.loads(pathlib.Path("case.json").read_text())
    loader = DataLoader()
    if config.get("playbook_dir"):
        loader.set_basedir(os.path.abspath(config["playbook_dir"]))
    else:
        loader.set_basedir("/nonexistent")
    inventory = InventoryManager(loader=loader, sources=config["sources"])
    manager = VariableManager(loader=loader, inventory=inventory)
    hosts = {}
    for name in [*inventory.hosts, *config.get("extra_hosts", [])]:
        host = inventory.get_host(name)
        variables = manager.get_vars(host=host, include_hostvars=False, stage="all")
        hosts[name] = {
            "groups": ["all", *[group.name for group in sort_groups(host.get_groups()) if group.name != "all"]],
            "vars": {key: value for key, value in sorted(variables.items()) if key not in MAGIC},
        }
    groups = {
        name: {"hosts": [host.name for host in group.get_hosts()], "children": [child.name for child in group.child_groups],
               "depth": group.depth, "priority": group.priority}
        for name, group in inventory.groups.items()
    }
    patterns = []
    for pattern, limit in config.get("patterns", []):
        try:
            inventory.subset(limit)
            selected = [host.name for host in inventory.get_hosts(pattern)]
        except Exception as error:
            selected = None
        patterns.append([pattern, limit, selected])
    inventory.subset(None)
    return {"hosts": hosts, "groups": groups, "patterns": patterns}


def literals():
    """An inventory with values that are, or nearly are, Python literals."""
    rng = random.Random(3)
    atoms = r"""1|0|00|01|0x1F|0o7|0b1|1_0|1__0|_1|1.5|1.|.5|1e3|1E-2|1e|-1|+1|--1|- 1|True|true|None|none|'a'|"b"|'it\'s'|'a\n'|r'\n'|u'x'|b'x'|f'x'
'a' 'b'|''|x|a b|'|[|]|{|}|(|)|,|:|...|# c| # c|0.0|1 + 1|'\x41'|'\101'|'\q'|é|'é'|'\u00e9'|"it's"|1.e5|1_000.5|0777|1 2""".replace("\n", "|").split("|")

    def value(depth):
        kind = rng.random()
        if depth == 0 or kind < 0.4:
            return rng.choice(atoms)
        items = [value(depth - 1) for _ in range(rng.randint(0, 3))]
        tail = rng.choice(["", "", "", ",", " "])
        if kind < 0.6:
            return "[" + ", ".join(items) + tail + "]"
        if kind < 0.75:
            return "(" + ",".join(items) + tail + ")"
        if kind < 0.8:
            # What a set cannot hold makes Ansible give the file up, and the order of a set changes from run to run.
            return "{" + ", ".join([item for item in items if item[0] not in "[{("][:1]) + "}"
        return "{" + ", ".join(f"'k{index}': {item}" for index, item in enumerate(items)) + tail + "}"

    values = atoms + [value(2) for _ in range(500)]
    lines = [f"v{index:03} = {value}" for index, value in enumerate(values)]
    (HERE / "literals/hosts.ini").write_text("\n".join(["host", "[all:vars]", *lines]) + "\n")


def main():
    init_plugin_loader()
    literals()
    for case in sorted(HERE.iterdir()):
        if (case / "case.json").exists():
            text = json.dumps(result(case), indent=1, ensure_ascii=False, default=str)
            (case / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
