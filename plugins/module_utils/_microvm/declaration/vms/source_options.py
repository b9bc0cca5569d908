# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of where a MicroVM's package is from that was made elsewhere: a directory, or a flake."""

from __future__ import annotations

import re
from typing import List, Optional, Sequence

from ...schema import checks
from ...schema.credentials import has_credentials
from ...schema.options import EXTERNAL, HOST, LIVE, PLAIN, Option, Options
from ...schema.quoting import CONTROL
from ..names import RUNNER_ATTRIBUTE

ON_TARGET, ON_CONTROLLER = "target", "controller"
"""Words of ``build_on``; any other is the name of a host of the inventory."""

_WORD = re.compile(rf"[^\s{CONTROL}]+")
_OF_A_MACHINE = re.compile(r"/|~|path:|([a-z]+\+)?file:")
_RELATIVE = re.compile(r"[.~].*|(path|([a-z]+\+)?file):(?!/).*|(?![A-Za-z][A-Za-z0-9_-]*(/|\?|$)|/|[a-z][a-z0-9+]*:).*")
"""References that Nix looks for below the directory that it happens to be called in."""
_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9/.:+~_-]+")
_URL = re.compile(r"https?://[A-Za-z0-9\[][!-\"$-~]*")
_ATTRIBUTE = re.compile(rf"[^\s{CONTROL}#-][^{CONTROL}#]*")

_UNSIGNED = re.compile(r"--no-(check|require)-sigs(=.*)?|(--option=)?require-sigs([= ].*)?|.*[?&]trusted=.*", re.DOTALL)
"""Arguments of Nix by which it takes what nobody trusted has signed: its own, a setting, or a binary cache's."""

_TOKENS = re.compile(r"(--|--option=)?(extra-)?access-tokens([= ].*)?", re.DOTALL)
"""Arguments of Nix that pass on tokens."""

_OF_THE_RUN = frozenset(
    [
        "--derivation",
        "--dry-run",
        "--eval-store",
        "--expr",
        "--file",
        "--help",
        "--json",
        "--log-format",
        "--out-link",
        "--profile",
        "--rebuild",
        "--stdin",
        "--store",
        "--version",
        "-f",
        "-o",
    ]
)
"""Arguments of Nix by which it would evaluate, build or write something else than what a run asks for."""

_CREDENTIALS = (
    "contains a user, password or token, which everybody would read in reports and processes; remove it, and let Nix "
    "find it on the machine that evaluates: in a netrc file (netrc-file of nix.conf), or in access-tokens of "
    "nix.conf. Or use an SSH key, as git+ssh://git@git.example.org/machines does"
)


def flake_reference(value: object) -> Optional[str]:
    """Check a reference to a flake, which a host must find wherever Nix is called."""
    text = str(value)
    if has_credentials(text):
        return _CREDENTIALS
    if "#" in text:
        return f"{value!r} names an attribute; write it as `attribute`, or after --attribute of the command"
    if " " in text:
        return f"{value!r} contains a space; write it as %20 in a URL, such as path:/srv/my%20machines"
    if not _WORD.fullmatch(text) or text.startswith("-"):
        return f"{value!r} is no reference to a flake; write it as github:you/machines or /srv/machines"
    if _RELATIVE.fullmatch(text):
        return f"{value!r} is relative to a directory that nobody knows; write an absolute path or a URL"
    return None


def is_of_a_machine(reference: str) -> bool:
    """Return whether a reference to a flake is a path, which is something else, or nothing, on another machine."""
    return _OF_A_MACHINE.match(reference) is not None


def flakes_in_arguments(arguments: Sequence[str]) -> List[str]:
    """Return the references to flakes that further arguments of Nix name as inputs."""
    positions = {"--override-input": 2, "--override-flake": 2, "--inputs-from": 1}
    found = [index + positions[word] for index, word in enumerate(arguments) if word in positions]
    return [arguments[index] for index in found if index < len(arguments)]


def names_path(argument: str) -> bool:
    """Return whether an argument of Nix has a path, which is something else, or nothing, on another machine."""
    return any(is_of_a_machine(word) or word.startswith(".") for word in _BETWEEN_WORDS.split(argument))


def flake_attribute(value: object) -> Optional[str]:
    """Check the path of an attribute in a flake."""
    if _ATTRIBUTE.fullmatch(str(value)):
        return None
    return f"{value!r} is no attribute of a flake; write it as nixosConfigurations.web.config.microvm.declaredRunner"


def nix_argument(value: object) -> Optional[str]:
    """Check a further argument of Nix."""
    text = str(value)
    if _UNSIGNED.fullmatch(text):
        return (
            "would accept packages that nobody trusted has signed; declare the keys that sign them on the host instead"
        )
    if _TOKENS.fullmatch(text) or has_credentials(text):
        return _CREDENTIALS
    if text in _OF_THE_RUN:
        return (
            f"{text} changes what Nix evaluates, where results go or what it writes, which the run decides; remove it, "
            "and use `flake`, `attribute` and `build_on`"
        )
    return checks.argument(value)


def is_service(runner: object) -> bool:
    """Return whether a package is what a build service says, and not a directory of the host."""
    return str(runner).startswith(("http://", "https://"))


def runner_place(value: object) -> Optional[str]:
    """Check where a package is: a directory of the host, or a build of a build service."""
    if not is_service(value):
        return checks.absolute_path(value)
    if "@" in str(value).split("/")[2] or has_credentials(str(value)):
        return (
            "contains a user, password or token, which everybody would read in reports; use an address that needs none"
        )
    if not _URL.fullmatch(str(value)):
        return (
            f"{value!r} is not a URL of a build, such as https://hydra.example.com/job/vms/main/web/latest; other "
            "characters than those of ASCII are written as %C3%A4 in paths, and as xn--… in names of hosts"
        )
    return None


SOURCE_OPTIONS: Options = (
    Option(
        "runner",
        "str",
        (
            "Absolute path, on the host, of a runner package that was made elsewhere: a directory that "
            "C(microvm render) wrote, one in C(/nix/store), or any other with the same layout.",
            "Or the URL of a build of a build service, such as V(https://hydra.example.com/job/vms/main/web/latest), "
            "whose JSON names a path in C(/nix/store) (C(buildoutputs.out.path), or C(path)). The host copies it from "
            "its binary caches, and Nix verifies the signatures.",
            "The package decides everything that concerns the guest and its hypervisor, so only options of the host "
            "may be declared beside this one. Other values of O(ignore:defaults) do not apply.",
            "A package in C(/nix/store) stays there. Others are copied, and the copy is replaced when the directory "
            "has other contents.",
            "Only root may be able to change the package and the directories above it, since it is executed as root.",
        ),
        check=runner_place,
        cost=LIVE,
        honoured_by=HOST,
        trust=EXTERNAL,
    ),
    Option(
        "runner_key",
        "str",
        "Public key of Nix that must have signed the package of a build service, whatever else the host trusts. It is "
        "required with C(http), where anybody on the way could name another package: then at least one of these. The "
        "host need not trust the key otherwise.",
        check=checks.nix_key,
        cost=LIVE,
        honoured_by=HOST,
        trust=PLAIN,
        no_log=False,
    ),
    Option(
        "flake",
        "str",
        (
            "Reference to a flake that has the MicroVM's runner package, such as V(github:you/machines).",
            "A run evaluates it, and builds the package if the host does not have it. As with O(ignore:runner), the "
            "package decides everything that concerns the guest.",
            "A relative path is refused, since the reference is used on several machines and by later updates, and so "
            "is a user with a password or token, since reports and processes show the reference.",
        ),
        check=flake_reference,
        cost=LIVE,
        honoured_by=HOST,
        trust=EXTERNAL,
    ),
    Option(
        "attribute",
        "str",
        f"Attribute of O(ignore:flake) that is the package. Defaults to C({RUNNER_ATTRIBUTE.format(name='NAME')}) with "
        "the name of the MicroVM.",
        check=flake_attribute,
        cost=LIVE,
        honoured_by=HOST,
        trust=PLAIN,
    ),
    Option(
        "nix_arguments",
        "list",
        "Further arguments of Nix when it evaluates and builds O(ignore:flake), such as V(--override-input). Arguments "
        "that concern the evaluation alone are left out of the build.",
        elements="str",
        check=nix_argument,
        cost=LIVE,
        honoured_by=HOST,
        trust=EXTERNAL,
    ),
    Option(
        "require_lock",
        "bool",
        "Whether to refuse O(ignore:flake) unless its lock file has all of its inputs. Otherwise an input that it "
        "lacks is the newest one of each run. A run never writes a lock file.",
        default=False,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "build_on",
        "str",
        (
            "Where O(ignore:flake) is evaluated and built.",
            f"V({ON_TARGET}) is the host of the MicroVM, which needs Nix and whatever access the flake needs. "
            f"V({ON_CONTROLLER}) is the machine that runs Ansible. The name of a host of the inventory lets the "
            "controller evaluate and that host build. The package is then copied to the host of the MicroVM.",
        ),
        default=ON_TARGET,
        check=checks.label,
        cost=LIVE,
        honoured_by=HOST,
        trust=PLAIN,
    ),
    Option(
        "update_flake",
        "str",
        "Reference to the flake that C(microvm update) builds from, if that is another one than O(ignore:flake), such "
        "as a branch instead of the commit that was tested. Without it, updates build from O(ignore:flake), unless "
        "that is a path of the controller (O(ignore:build_on)). They build O(ignore:attribute) with "
        "O(ignore:nix_arguments).",
        check=flake_reference,
        cost=LIVE,
        honoured_by=HOST,
        trust=EXTERNAL,
    ),
    Option(
        "manage",
        "str",
        (
            "Whether runs keep the package of O(ignore:flake) or O(ignore:runner) up to date.",
            "V(always) installs what is declared in every run. V(once) installs it if the MicroVM has no package yet, "
            "and leaves later ones to C(microvm update): a run neither evaluates the flake, nor does it restart the "
            "MicroVM for another package.",
        ),
        default="always",
        choices=("always", "once"),
        cost=LIVE,
        honoured_by=HOST,
    ),
)

FLAKE_OPTIONS = ("flake", "attribute", "nix_arguments", "require_lock", "build_on", "update_flake")
"""Options of MicroVMs whose package a flake has."""
