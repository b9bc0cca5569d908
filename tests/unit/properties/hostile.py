# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile declarations, made of the option tables: a new option is attacked as soon as it is in its table."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema import checks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Option, Options

CANARY = "canary"
"""Program that no declaration may run; the fakes have it on PATH."""

INJECTIONS = (
    "$(canary)",
    "`canary`",
    "${x:-$(canary)}",
    "a[$(canary)]",
    "<(canary)",
    "; canary;",
    "& canary &",
    "| canary",
    "&& canary",
    "|| canary",
    "\ncanary\n",
    "\r\ncanary\r\n",
    "' ; canary ; '",
    '" ; canary ; "',
    "'\"$(canary)\"'",
    "\\$(canary)",
    "\\'; canary; #",
    "\\\\' ; canary ; '",
    "$'; canary; '",
    "> pwned",
    "$(> pwned)",
    "${IFS}canary",
    "!canary",
    "{{ lookup('pipe', 'canary') }}",
    "{canary,canary}",
    "-e canary",
    "--canary=canary",
    "* ; canary",
    "~+; canary",
)
"""Texts that run a program where a shell, in any kind of quotes, reads them."""

SETTINGS = (
    "\\",
    "\\\\",
    "x\\",
    "a b\\",
    "\\\nExecStartPre=canary",
    "\nExecStartPre=canary",
    "\n[Service]\nExecStartPre=canary",
    "\u2028ExecStartPre=canary",
    "\u0085ExecStartPre=canary",
    '" ExecStartPre=canary "',
    "%n%i%h%%",
    "%",
    "%%",
    "100%",
    " x ",
    "x ",
    "\tx",
    "x:y:/z",
    "#x",
    ";x",
    "-x",
    "+/x",
    "fe80::1%x\nDNS=192.0.2.66",
    "fe80::1%eth0",
    "10.0.0.1\nDNS=192.0.2.66",
    "a,b=c",
    "a,,b",
    ",server=on",
    '"',
    "'",
    "''",
    "[]",
    "x=y",
    "\0",
    "x\0y",
    "\x1b[2J",
    "\x7f",
    "\u202egnp.exe",
    "\ud800",
    "\u00a0",
    "äöü😀",
    "..",
    "../..",
    "../../etc/passwd",
    "/../x",
    "//x",
    ".",
    "",
    "x" * 256,
    "x" * 5000,
    "/" + "x/" * 2500,
    "9" * 400,
)
"""Texts that end a value, or change what a line means, where a program other than a shell reads them."""

VALID = (
    *("vm1", "a", "data.img", "8", "64", "256M", "max", "quiet", 'x="a b"', "lo", "eth0", "ext4", "x.sock", "1.5"),
    *("/srv/x", "/srv/a b/c", "/dev/null", "0000:01:00.0", "02:00:00:00:00:01", "10.9.0.2", "10.9.0.2/24"),
    *("2001:db8::2", "2001:db8::2/64", "22:00-04:30", "0x1f", "nproc", "1" * 32, "microvm", "0644"),
    "ssh-ed25519 AAAAC3Nz a comment",
    "https://deb.example.org/debian",
)
"""Values, of which each option accepts some."""

MOST_TRIES = 12
"""Texts that are tried until an option accepts one."""


def problem(option: Option, value: object) -> str | None:
    """Return what an option's own check says of a value."""
    if option.check is None:
        return None
    return option.check(("x", value)) if option.values is not None else option.check(value)


def is_shell(option: Option) -> bool:
    """Return whether an option is commands of a shell, which run by design."""
    return option.check in (checks.shell_commands, checks.bin_scripts)


class Attacker:
    """Makes declarations of a seed, the same on every machine."""

    def __init__(self, seed: int, accepted: Mapping[str, tuple[str, ...]]) -> None:
        """``accepted`` are values of options that reach further than a value of ``VALID``, by name."""
        self._chance = random.Random(seed)
        self._accepted = accepted

    def declaration(self, options: Options, required: Mapping[str, Any]) -> dict[str, Any]:
        """Return required values, some of which are hostile, and some other options."""
        chosen = self._chance.sample(options, k=min(len(options), self._chance.randint(2, 6)))
        values = {option.name: self._value(option) for option in chosen}
        return {**values, **{name: value for name, value in required.items() if self._chance.random() < 0.98}}

    def _group(self, options: Options) -> dict[str, Any]:
        chosen = [option for option in options if option.required or self._chance.random() < 0.4]
        return {option.name: self._value(option) for option in chosen}

    def _value(self, option: Option) -> Any:
        if option.type == "list":
            count = self._chance.choice((1, 1, 2))
            return [
                self._group(option.suboptions) if option.suboptions else self._scalar(option)
                for _number in range(count)
            ]
        if option.suboptions:
            return self._group(option.suboptions)
        if option.type == "dict":
            return self._mapping(option)
        return self._scalar(option)

    def _mapping(self, option: Option) -> dict[str, Any]:
        if option.values is None:
            return {self._text(option): [self._text(option), {self._text(option): self._chance.random()}]}
        keys = ("token", "tap-up", "a.b", "pic", self._payload())
        return {self._chance.choice(keys): self._string(option)}

    def _scalar(self, option: Option) -> Any:
        if option.choices:
            return self._chance.choice(option.choices) if self._chance.random() < 0.95 else self._payload()
        if option.type == "bool":
            return self._chance.random() < 0.5
        if option.type == "int":
            return self._chance.choice((1, 2, 3, 5, 22, 64) if self._chance.random() < 0.95 else (0, -1, 10**20))
        return self._string(option)

    def _string(self, option: Option) -> str:
        if is_shell(option):
            return self._chance.choice(("true", ": 'x'\n: y\n", "# x\\", *SETTINGS))
        candidates = [self._text(option) for _number in range(MOST_TRIES)]
        accepted = [text for text in candidates if problem(option, text) is None]
        return accepted[0] if accepted and self._chance.random() < 0.75 else candidates[0]

    def _text(self, option: Option) -> str:
        """Return a valid value, hostile text, or both in one."""
        valid = self._accepted.get(option.name) or [value for value in VALID if problem(option, value) is None] or VALID
        base = self._chance.choice(list(valid))
        if self._chance.random() < 0.3:
            return base
        payload = self._payload()
        place = self._chance.choice((0, len(base), self._chance.randint(0, len(base))))
        return self._chance.choice((payload, base[:place] + payload + base[place:], base + payload))

    def _payload(self) -> str:
        first, second = (self._chance.choice(self._chance.choice((INJECTIONS, SETTINGS))) for _number in range(2))
        return first + second if self._chance.random() < 0.2 else first
