# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that the modules have beside a MicroVM's own."""

from __future__ import annotations

from ..declaration.images.options import HOST_IMAGE_OPTIONS, IMAGE_OPTIONS
from ..declaration.names import STATE_DIRECTORY
from ..declaration.networks.options import NETWORK_OPTIONS
from ..declaration.vms.options import VM_OPTIONS
from ..schema import checks
from ..schema.options import Option, Options

STATES = ("started", "stopped", "restarted", "present", "absent")

_STATE_DIRECTORY = Option(
    "state_dir",
    "path",
    "Directory with the MicroVMs' state directories. The same that role P(microvm.fleet.host#role) was given.",
    default=STATE_DIRECTORY,
    check=checks.plain_path,
)

COMMON_OPTIONS: Options = (
    Option(
        "images",
        "list",
        "Images that the host was given, as role P(microvm.fleet.images#role) reports them.",
        elements="dict",
        suboptions=HOST_IMAGE_OPTIONS,
    ),
    _STATE_DIRECTORY,
)

VM_MODULE_OPTIONS: Options = VM_OPTIONS + COMMON_OPTIONS

VMS_MODULE_OPTIONS: Options = (
    Option(
        "vms",
        "list",
        "The MicroVMs of the host.",
        required=True,
        elements="dict",
        suboptions=VM_OPTIONS,
    ),
    Option(
        "state",
        "str",
        "State of every MicroVM that has no state of its own, see O(vms[].state).",
        default="started",
        choices=STATES,
    ),
    Option(
        "parallel",
        "int",
        "How many MicroVMs are started or stopped at the same time.",
        default=4,
        check=checks.positive,
    ),
    Option(
        "purge",
        "str",
        (
            "What becomes of MicroVMs that this collection has installed in O(state_dir) and that are not in O(vms).",
            "V(report) only names them, as RV(undeclared). V(stop) stops them, and they no longer start with the host. "
            "V(remove) removes them, but for their volumes.",
        ),
        default="report",
        choices=("report", "stop", "remove"),
    ),
    Option(
        "preflight",
        "bool",
        "Only look whether the declarations are right and the host can run them; change nothing, never be changed.",
        default=False,
    ),
    Option(
        "bridges",
        "list",
        "Bridges that need not be there yet with O(preflight), since the same run will make them.",
        elements="str",
        check=checks.interface_name,
    ),
) + COMMON_OPTIONS

NETWORK_MODULE_OPTIONS: Options = (
    Option(
        "networks",
        "list",
        "All networks of the host. One that is no longer declared is removed as soon as no MicroVM is on its bridge.",
        required=True,
        elements="dict",
        suboptions=NETWORK_OPTIONS,
    ),
)

INFO_MODULE_OPTIONS: Options = (
    Option(
        "names",
        "list",
        "The MicroVMs to tell of; what the host does not have is left out. By default all of O(state_dir).",
        elements="str",
        check=checks.name,
    ),
    _STATE_DIRECTORY,
)

IMAGE_MODULE_OPTIONS: Options = (
    Option(
        "state",
        "str",
        (
            "V(built) builds the image on this host unless it is there; in check mode says whether it would.",
            "V(installed) verifies a copy in O(staging) by the sums in its manifest and moves it into the store.",
            "V(absent) removes O(digest) from the store, and what killed runs have left of it.",
        ),
        default="built",
        choices=("built", "installed", "absent"),
    ),
    Option("image", "dict", "The image to build.", suboptions=IMAGE_OPTIONS),
    Option("store", "path", "Directory that holds the images, one directory for each.", required=True),
    Option("cache", "path", "Directory that keeps downloaded packages. By default none are kept."),
    Option("digest", "str", "Digest of the image to install or remove.", check=checks.digest),
    Option("staging", "path", "Directory of the copy to install."),
)
