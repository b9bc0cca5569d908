# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of roles' variables, from their argument specs: the page of all, and the part of each README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .pages import WRITTEN, between, cell, kind, plain, shown_default

BEGIN, END = "<!-- variables: written by `make generate` -->\n", "<!-- end of variables -->\n"

HEAD = """\
# Variables

All variables of the playbooks and roles. They are set in the inventory, for all hosts or for some of them
(`group_vars`, `host_vars`). `ansible-doc -t role microvm.fleet.ROLE` shows them on a terminal.

| variable of playbooks | default | meaning |
|---|---|---|
| `microvm_hosts` | `microvm_hosts` | Pattern of the hosts that a playbook works on, passed with `-e`. |
| `microvm_remove_confirmed` | `false` | Whether playbook `remove` may remove everything but volumes. |
| `microvm_lans` | `{}` | LANs of interfaces of a host, see [validation](validation.md#microvms-that-meet-on-a-lan). |
| `microvm_move` | | MicroVM that playbook `move` moves, see [moving](lifecycle.md#move-to-another-host). |
| `microvm_move_to` | | Host that it comes to, whose `microvm_vms` declares it. |
| `microvm_move_from` | the host that has it | Host that it leaves. |
| `microvm_move_back` | `false` | Whether playbook `move` gives a move up. |
| `microvm_move_address` | `ansible_host` | Address at which the old host reaches the SSH server of the new one. |
| `microvm_move_port` | `ansible_port` | Port of that SSH server. |
| `microvm_move_volumes` | `archive` | Fate of the volumes on the old host: `archive`, `keep` or `delete`. |
| `microvm_move_confirm` | `[]` | Images of the volumes that may be deleted. |
| `microvm_rebuild` | | MicroVMs of playbook `rebuild`, see [switch and rebuild](nix.md#switch-and-rebuild). |
| `microvm_rebuild_action` | `switch` | Its action in running guests: `switch`, `test`, `boot` or `dry-activate`. |
"""

PAGES = {
    "microvm_vms": "The options of a MicroVM are on [a page of their own](options.md).",
    "microvm_restrictions": "See [trust](trust.md#restrictions).",
}
"""Variables whose options another page lists."""

COLUMNS = "| variable | type | default | meaning |\n|---|---|---|---|"


def variables(specifications: Mapping[str, Mapping[str, Any]]) -> str:
    """Return docs/variables.md, given the options of each role by its name."""
    text = WRITTEN + HEAD
    for role, options in specifications.items():
        text += f"\n## Role `{role}`\n\n" + "\n".join([COLUMNS, *_rows(options, "", True)]) + "\n"
    return text


def with_variables(readme: str, options: Mapping[str, Any]) -> str:
    """Return the README of a role with the table of its variables between its marks."""
    return between(readme, BEGIN, [COLUMNS, *_rows(options, "", False)], END)


def _rows(options: Mapping[str, Any], prefix: str, is_deep: bool) -> Iterator[str]:
    """Yield a row for each variable; and, for a page that is deep, for each option of its elements."""
    for name, option in options.items():
        more = PAGES.get(name, "") if is_deep else ""
        yield _row(prefix + name, option, more)
        if is_deep and name not in PAGES:
            inner = f"{prefix}{name}[]." if option["type"] == "list" else f"{prefix}{name}."
            yield from _rows(option.get("options", {}), inner, is_deep)


def _row(name: str, option: Mapping[str, Any], more: str) -> str:
    default = "required" if option.get("required") else shown_default(option.get("default"))
    choices = [f"One of {', '.join(f'`{choice}`' for choice in option['choices'])}."] if "choices" in option else []
    sentences = [*(plain(paragraph) for paragraph in option["description"]), *choices, *([more] if more else [])]
    of_elements = f"{option['type']} of {option['elements']}" if "elements" in option else option["type"]
    cells = (f"`{name}`", kind(of_elements), default, " ".join(sentences))
    return "| " + " | ".join(map(cell, cells)) + " |"
