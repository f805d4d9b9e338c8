#!/usr/bin/env python3
"""Writes the reference results of the inventory tests with ansible-core (2.19). Not needed to run the tests.

    python3 tests/inventory/reference.py
"""
import json
import os
import pathlib
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


def main():
    init_plugin_loader()
    for case in sorted(HERE.iterdir()):
        if (case / "case.json").exists():
            text = json.dumps(result(case), indent=1, ensure_ascii=False, default=str)
            (case / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
