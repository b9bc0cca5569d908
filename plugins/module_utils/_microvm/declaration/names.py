# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that the roles, the units, the modules and the packages share: paths, units, accounts."""

from __future__ import annotations

from typing import Tuple

RUN_DIRECTORY = "/run/microvm-fleet"
"""What is forgotten when the host restarts: locks, what the accelerator was found to be."""

STATE_DIRECTORY = "/var/lib/microvms"
"""One directory for each MicroVM: its links, volumes and sockets (microvm.nix's ``stateDir``)."""

FLEET_DIRECTORY = "/var/lib/microvm-fleet"
"""What the collection itself keeps on a host: the stores below."""

CONFIGURATION_DIRECTORY = "/etc/microvm-fleet"
"""What the units of the collection itself read."""

BOOT_SETTINGS = CONFIGURATION_DIRECTORY + "/boot.env"
"""How many MicroVMs start at once with the host."""

PACKAGE_STORE = FLEET_DIRECTORY + "/packages"
"""Runner packages, one directory for each, named ``DIGEST-NAME``."""

IMAGE_STORE = FLEET_DIRECTORY + "/images"
"""Guest images, one directory for each, named by digest."""

IMAGE_CACHE = "/var/cache/microvm-fleet"
"""Images and packages of the distribution that a build host keeps."""

SYSTEMS = ("x86_64-linux", "aarch64-linux")
"""Guests, as Nix calls their architecture and system."""

USER = "microvm"
"""The account of every hypervisor that has none of its own, and of microvm.nix."""

GROUP = "kvm"
"""The group of that account; it owns ``/dev/kvm`` and ``/dev/vhost-*`` on every distribution."""

SCRIPT_DIRECTORY = "/usr/local/lib/microvm-fleet"
"""Scripts that the units run."""

RECORD_DIRECTORY = FLEET_DIRECTORY + "/vms"
"""What the host was made to give each MicroVM, one file for each: ``NAME.json``."""

ARCHIVE_DIRECTORY = FLEET_DIRECTORY + "/archive"
"""Volumes of MicroVMs that are gone."""

KNOWN_HOSTS = FLEET_DIRECTORY + "/known_hosts"
"""Host keys of guests, by their MicroVMs' names (ssh(1))."""

GARBAGE_ROOTS = FLEET_DIRECTORY + "/gcroots"
"""Links that keep packages from Nix's garbage collection, by MicroVM."""

SETTINGS_DIRECTORY = CONFIGURATION_DIRECTORY + "/vms"
"""What the units' scripts are told of a MicroVM, one environment file for each: ``NAME.env``."""

CONSOLE_DIRECTORY = "/run/microvms"
"""One directory for each MicroVM that runs: ``console.log``, the end of what the guest said, and ``console.in``."""

TARGET = "microvms.target"
"""Pulls in every MicroVM that starts with the host."""

UNIT_DIRECTORY = "/etc/systemd/system"

NETWORK_UNIT = "microvm-fleet-network.service"
"""Loads the rules of the networks with every start of the host."""

CURRENT_LINK = "current"
"""In a state directory: the package that the next start runs."""

BOOTED_LINK = "booted"
"""In a state directory: the package that the running MicroVM was started from."""

PROCESS_FILE = "microvm.pid"
"""In a state directory: number and start time of the hypervisor's process, for ``microvm-shutdown``."""

EVENTS_PIPE = "microvm.events"
"""In a state directory: what QEMU is told and tells, in two FIFOs ``.in`` and ``.out``."""

EVENTS_FIFOS = (f"{EVENTS_PIPE}.in", f"{EVENTS_PIPE}.out")

ENDED_FILE = "microvm.ended"
"""In a state directory: QEMU's word for the reason of its end, for ``microvm-start``."""

OLD_LINK = "old"
"""In a state directory: the package that ``current`` pointed to before."""

FLAKE_FILE = "flake"
"""In a state directory: the flake that a MicroVM of Nix is built from."""

OWN_ENTRIES = (CURRENT_LINK, BOOTED_LINK, OLD_LINK, PROCESS_FILE, *EVENTS_FIFOS, ENDED_FILE, FLAKE_FILE)
"""What we make in a state directory, besides sockets; no volume has such a name."""


def unit_name(name: str) -> str:
    """The service of the MicroVM ``name``, as microvm.nix calls it."""
    return f"microvm@{name}.service"


VIRTIOFSD = "microvm-virtiofsd"
"""Template unit that serves a MicroVM's virtiofs shares."""

HELPERS = (
    "microvm-tap-interfaces",
    "microvm-macvtap-interfaces",
    "microvm-pci-devices",
    VIRTIOFSD,
    "microvm-set-booted",
    "microvm-boot-queue",
)
"""Template units that come and go with ``microvm@``."""


def unit_names(name: str) -> Tuple[str, ...]:
    """All units of the MicroVM ``name``, its service first."""
    return (unit_name(name), *(f"{helper}@{name}.service" for helper in HELPERS))
