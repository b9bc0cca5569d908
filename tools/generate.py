# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what repeats the tables, the parser and the scripts: documentation fragments of modules, argument specs and
defaults of roles, types, pages, the JSON Schema, man page and completion of the command, shell scripts as Python
strings, and the units and scripts of hosts likewise.

``python tools/generate.py`` writes, ``python tools/generate.py --check`` only says what is out of date.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
# The collection's code, without Ansible and without an ansible_collections tree around it.
sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))
# The table of the examination, which says what was seen of hypervisors.
sys.path.insert(1, str(ROOT / "tests"))

from generating.registries import registries, write

if __name__ == "__main__" and "--check" not in sys.argv:
    write(ROOT)

from generating.types import TYPES, TYPES_FILE, types, write_types

if __name__ == "__main__" and "--check" not in sys.argv:
    # What is imported below may already use types that the tables are about to have.
    write_types()

from _microvm.declaration.host_setup.options import HOST_SETUP_OPTIONS
from _microvm.declaration.images.options import IMAGE_OPTIONS
from _microvm.declaration.networks.options import NETWORK_OPTIONS
from _microvm.declaration.restrictions.options import RESTRICTION_OPTIONS
from _microvm.declaration.restrictions.uses import KEYS as RESTRICTION_KEYS
from _microvm.declaration.vfio.options import VFIO_OPTIONS
from _microvm.declaration.vms.options import VM_OPTIONS
from _microvm.modules.options import (
    HOST_MODULE_OPTIONS,
    IMAGE_MODULE_OPTIONS,
    INFO_MODULE_OPTIONS,
    MOVE_MODULE_OPTIONS,
    NETWORK_MODULE_OPTIONS,
    PACKAGE_LOCK_MODULE_OPTIONS,
    TAP_MODULE_OPTIONS,
    VFIO_MODULE_OPTIONS,
    VIRTIOFSD_MODULE_OPTIONS,
    VM_MODULE_OPTIONS,
    VMS_MODULE_OPTIONS,
)
from _microvm.schema.options import Option, Options, documentation
from generating import command, pages, variables
from generating.handbook import with_handbook
from generating.headers import HEADER, LICENCE
from generating.roles import role_files
from generating.schema import schema
from generating.sources import mapping, sources
from generating.support import with_support
from generating.yaml_text import to_yaml

FRAGMENT = (
    HEADER
    + '''
from __future__ import annotations


class ModuleDocFragment:
    """Options of {subject}."""

    DOCUMENTATION = r"""
{options}"""
'''
)


def fragment(subject: str, options: Options) -> str:
    """A file for ``plugins/doc_fragments``."""
    return FRAGMENT.format(subject=subject, options=to_yaml({"options": documentation(options)}))


def host_variable(option: Option) -> Option:
    """Return the variable of role ``host`` for an option of the module.

    A default of a role would be a value that the roles after it see, and these take the state directory from the host.
    """
    is_recorded = option.name == "state_dir"
    more = (f"Defaults to that of the host, and at first to C({option.default}).",) if is_recorded else ()
    default = None if is_recorded else option.default
    return replace(option, name=f"microvm_{option.name}", description=(*option.paragraphs, *more), default=default)


def generated() -> dict[Path, str]:
    """Every generated file and what should stand in it."""
    supported = with_support(VM_OPTIONS)
    vms = Option("microvm_vms", "list", "The MicroVMs of the host.", elements="dict", suboptions=supported)
    images = Option("microvm_images", "list", "Guest images.", elements="dict", suboptions=IMAGE_OPTIONS)
    networks = Option(
        "microvm_networks", "list", "The bridges of the host.", elements="dict", suboptions=NETWORK_OPTIONS
    )
    of_module = {option.name: option for option in NETWORK_MODULE_OPTIONS}
    return_seconds = replace(of_module["return_seconds"], name="microvm_network_return_seconds")
    confirm = Option(
        "microvm_network_confirm",
        "bool",
        "Whether this run confirms what an earlier one has changed of the host's own connection. Only for hosts with a "
        "local connection, by which Ansible cannot tell whether a host is reached: first make sure of it from another "
        "machine.",
        default=of_module["confirm"].default,
    )
    devices = Option(
        "microvm_vfio",
        "list",
        "Devices that the host hands over to MicroVMs. Without it, the host keeps what it has; an empty list hands all "
        "devices back.",
        elements="dict",
        suboptions=VFIO_OPTIONS,
    )
    fragments, roles = ROOT / "plugins" / "doc_fragments", ROOT / "roles"
    host = tuple(host_variable(option) for option in HOST_SETUP_OPTIONS)
    restrictions = tuple(option for option in host if option.name == "microvm_restrictions")
    tables: dict[str, Options] = {
        "host": (*host, devices),
        "vms": (vms, *restrictions),
        "images": (images,),
        "network": (networks, return_seconds, confirm),
    }
    of_roles = {
        path: text
        for role, options in tables.items()
        for path, text in role_files(roles / role, HEADER, options).items()
    }
    specifications = {
        role: _options(of_roles[roles / role / "meta" / "argument_specs.yml"])
        for role in ("host", "network", "images", "vms")
    }
    docs = ROOT / "docs"
    code = ROOT / "plugins" / "module_utils" / "_microvm"
    host_setup = code / "resources" / "host_setup"
    package_scripts, image_scripts = code / "runner" / "scripts", code / "resources" / "images" / "scripts"
    network_scripts = code / "resources" / "networks" / "scripts"
    guest_scripts = code / "host" / "scripts"
    device_scripts = code / "resources" / "vfio" / "scripts"
    parity = ROOT / "tests" / "parity"
    deviations = yaml.safe_load((parity / "deviations.yml").read_text())
    handbook = docs / "coming-from-microvm-nix.md"
    return {
        TYPES_FILE: types(*TYPES),
        docs / "options.md": pages.options(VM_OPTIONS),
        docs / "hypervisors.md": pages.hypervisors(),
        docs / "parity.md": pages.with_deviations((docs / "parity.md").read_text(), deviations),
        handbook: with_handbook(
            handbook.read_text(),
            json.loads((parity / "handbook.json").read_text()),
            yaml.safe_load((parity / "handbook.yml").read_text()),
            VM_OPTIONS,
            {name for options in specifications.values() for name in options},
        ),
        docs / "trust.md": pages.with_restrictions(
            (docs / "trust.md").read_text(), VM_OPTIONS, RESTRICTION_OPTIONS, RESTRICTION_KEYS
        ),
        docs / "microvm.schema.json": schema(VM_OPTIONS),
        package_scripts / "sources.py": LICENCE + sources(package_scripts, "Shell functions of packages' scripts"),
        image_scripts / "sources.py": LICENCE + sources(image_scripts, "Scripts that build and start guest images"),
        network_scripts / "sources.py": LICENCE + sources(network_scripts, "Shell functions of networks' units"),
        guest_scripts / "sources.py": LICENCE + sources(guest_scripts, "Scripts that hosts run in guests"),
        device_scripts / "sources.py": LICENCE + sources(device_scripts, "Shell functions of the unit of devices"),
        host_setup / "units" / "sources.py": LICENCE + mapping(host_setup / "units", "Units of MicroVMs"),
        host_setup / "scripts" / "sources.py": LICENCE + mapping(host_setup / "scripts", "Scripts that units run"),
        host_setup / "command" / "sources.py": LICENCE + command.sources(),
        host_setup / "command" / "microvm.bash": command.completion(),
        docs / "microvm.1": command.manual(),
        fragments / "vm.py": fragment("one MicroVM", with_support(VM_MODULE_OPTIONS)),
        fragments / "vms.py": fragment("all MicroVMs of a host", with_support(VMS_MODULE_OPTIONS)),
        fragments / "host.py": fragment("the setup of a host", HOST_MODULE_OPTIONS),
        fragments / "network.py": fragment("the networks of a host", NETWORK_MODULE_OPTIONS),
        fragments / "virtiofsd.py": fragment("directories that a host serves by virtiofs", VIRTIOFSD_MODULE_OPTIONS),
        fragments / "tap.py": fragment("tap and macvtap devices of a host", TAP_MODULE_OPTIONS),
        fragments / "vfio.py": fragment("the devices that a host hands over", VFIO_MODULE_OPTIONS),
        fragments / "info.py": fragment("what is known of MicroVMs", INFO_MODULE_OPTIONS),
        fragments / "package_lock.py": fragment("waiting for the package manager", PACKAGE_LOCK_MODULE_OPTIONS),
        fragments / "move.py": fragment("one host's part in a move", MOVE_MODULE_OPTIONS),
        fragments / "image.py": fragment("a guest image", IMAGE_MODULE_OPTIONS),
        **of_roles,
        **{roles / role / "README.md": _readme(roles / role, specifications[role]) for role in tables},
        docs / "variables.md": variables.variables(specifications),
        **registries(ROOT),
    }


def _options(specification: str) -> dict[str, Any]:
    """Return the variables of a role, given its argument spec."""
    return dict(yaml.safe_load(specification)["argument_specs"]["main"]["options"])


def _readme(role: Path, options: dict[str, Any]) -> str:
    return variables.with_variables((role / "README.md").read_text(), options)


def main(arguments: list[str]) -> int:
    """Write or compare; the exit status says whether all is current."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `make generate`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(generated()[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
