# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's man page and its completion, from its parser."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from _microvm.cli.parser import DEFAULT_FLAKE, DESCRIPTION, VM, parser
from _microvm.declaration.names import FLEET_DIRECTORY, HOST_SETTINGS, STATE_DIRECTORY, UNIT_DIRECTORY

from .sources import body, constant

FILES = ("FILE", "DIR", "DIRECTORY")
"""Names of operands and options that are completed with files."""

SHORT_FORMS = {
    "-l": "microvm list",
    "-c NAME [-f FLAKE]": f"microvm create NAME --flake FLAKE; by default {DEFAULT_FLAKE}",
    "-u [-R] NAME…": "microvm update [--restart] NAME…",
    "-r NAME": "microvm run NAME",
    "-s NAME": "microvm ssh NAME",
}


@dataclass(frozen=True)
class Subcommand:
    """Command of the parser."""

    name: str
    title: str
    description: str
    options: tuple[argparse.Action, ...]
    operands: tuple[argparse.Action, ...]


def subcommands() -> Iterator[Subcommand]:
    """Return the commands in the parser's order."""
    (choices,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    titles = {action.dest: action.help or "" for action in choices._choices_actions}
    for name, subparser in choices.choices.items():
        options = tuple(action for action in subparser._actions if action.option_strings)
        operands = tuple(action for action in subparser._actions if not action.option_strings)
        yield Subcommand(name, titles[name], str(subparser.description), options, operands)


def _value(action: argparse.Action) -> str:
    """Return the placeholder of an option's or operand's value; empty if it takes none."""
    if action.nargs == 0:
        return ""
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default))


MANUAL_HEAD = r""".\" Copyright (c) 2026 microvm.fleet contributors
.\" SPDX-License-Identifier: GPL-3.0-or-later
.\" Written by `make generate` from the parser.
.TH MICROVM 1 "" "microvm.fleet" "User Commands"
.SH NAME
microvm \- MicroVMs on plain Linux hosts
.SH SYNOPSIS
.B microvm
.I COMMAND
.RI [ OPTION \&...]
"""

PLACES = {
    f"{STATE_DIRECTORY}/NAME": "state of a MicroVM: the links current, booted and old, its volumes",
    f"{FLEET_DIRECTORY}/packages": "packages, by digest and name",
    f"{FLEET_DIRECTORY}/vms/NAME.json": "what a MicroVM was given, and its generations",
    f"{FLEET_DIRECTORY}/known_hosts": "keys of guests that root has logged in to",
    f"{UNIT_DIRECTORY}/microvm@.service": "the unit that runs a MicroVM",
}


def manual() -> str:
    """``microvm(1)``, for man(7)."""
    text = MANUAL_HEAD + f".SH DESCRIPTION\n{paragraph(DESCRIPTION)}\n.SH COMMANDS\n"
    for subcommand in subcommands():
        text += "".join(_section(subcommand))
    text += ".SH SHORT FORMS\nAs in the handbook of microvm.nix.\n" + "".join(_entries(SHORT_FORMS))
    text += ".SH FILES\n" + "".join(_entries(PLACES))
    status = {"0": "done", "1": "something is wrong", "2": "wrong usage; of list: a restart is pending"}
    text += ".SH EXIT STATUS\n" + "".join(_entries(status))
    environment = {"NO_COLOR": "if it is set and not empty, nothing is coloured"}
    text += ".SH ENVIRONMENT\n" + "".join(_entries(environment))
    return text + ".SH SEE ALSO\n.BR systemctl (1),\n.BR journalctl (1),\n.BR ssh (1)\n"


def _section(subcommand: Subcommand) -> Iterator[str]:
    words = [_operand(action) for action in subcommand.operands]
    yield f'.SS "{roff(" ".join((subcommand.name, "[OPTION…]", *words)))}"\n{paragraph(subcommand.description)}\n'
    for action in subcommand.operands:
        if action.help:
            yield f".TP\n.I {roff(_value(action))}\n{paragraph(_help(action))}\n"
    for action in subcommand.options:
        if action.dest != "help":
            value = f" {_value(action)}" if _value(action) else ""
            yield f".TP\n.B {roff(', '.join(action.option_strings) + value)}\n{paragraph(_help(action))}\n"


def _operand(action: argparse.Action) -> str:
    value = _value(action)
    forms = {"?": f"[{value}]", "*": f"[{value}…]", "+": f"{value}…", argparse.REMAINDER: f"[{value}…]"}
    return forms.get(str(action.nargs), value)


def _entries(entries: dict[str, str]) -> Iterator[str]:
    for term, text in entries.items():
        yield f".TP\n.B {roff(term)}\n{paragraph(text)}\n"


def paragraph(text: str) -> str:
    """Return text in lines that are not too long."""
    return "\n".join(roff(line) for line in textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False))


def roff(text: str) -> str:
    """Text as it is: no escapes, no requests, hyphens that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\&...")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


COMPLETION_HEAD = """\
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Written by `make generate` from the parser. For bash; in zsh after `autoload -U bashcompinit && bashcompinit`.

"""


def completion() -> str:
    """Return a script for bash that completes commands, options, their values, and MicroVMs.

    It is the functions of ``completion.bash``, and one from the parser, which sets variables of theirs.
    """
    parsers = list(subcommands())
    # Words are separated by spaces and line breaks alike (compgen -W).
    commands = "\n            ".join(
        textwrap.wrap(" ".join((*(subcommand.name for subcommand in parsers), "--help")), 100)
    )
    operands = [f"'') options='{commands}'", *map(_operands, parsers), "-u | -r | -s) operands=vms"]
    values = [line for subcommand in parsers for line in _values(subcommand)]
    offers = "_microvm_offers() { # command or nothing, word before the current one; sets options, operands, places\n"
    offers += (
        f"    directory={STATE_DIRECTORY} settings={HOST_SETTINGS}\n"
        + _case("$1", operands)
        + _case("$1:$2", values)
        + "}\n"
    )
    return COMPLETION_HEAD + offers + body(Path(__file__).with_name("completion.bash"))


def _case(subject: str, branches: list[str]) -> str:
    return f"    case {subject} in\n" + "".join(f"        {branch} ;;\n" for branch in branches) + "    esac\n"


def _operands(subcommand: Subcommand) -> str:
    """Return the branch for what may follow a command."""
    options = " ".join(text for action in subcommand.options for text in action.option_strings if text.startswith("--"))
    kinds = {VM: "vms", **dict.fromkeys(FILES, "files")}
    operands = next((kinds[str(action.metavar)] for action in subcommand.operands if action.metavar in kinds), "")
    return f"{subcommand.name}) options='{options}' operands={operands}"


def _values(subcommand: Subcommand) -> Iterator[str]:
    """Yield a branch for each option that takes a value."""
    for action in subcommand.options:
        if _value(action):
            pattern = " | ".join(f"{subcommand.name}:{text}" for text in action.option_strings)
            choices = " ".join(map(str, action.choices or ()))
            operands = "files" if action.metavar in FILES else "none"
            yield f"{pattern}) options='{choices}' operands={operands}"


SOURCES_HEAD = '''\
# Written by `make generate` from the parser.

"""Manual page and completion of the command, as strings."""

from __future__ import annotations
'''


def sources() -> str:
    """Return the Python module that has the manual page and the completion, without its licence."""
    return SOURCES_HEAD + constant("manual", manual()) + constant("completion", completion())
