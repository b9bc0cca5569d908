# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that the roles, the units, the modules and the packages share: paths, units, accounts."""

from __future__ import annotations

from typing import Tuple

RUN_DIRECTORY = "/run/microvm-fleet"
"""Directory of locks and of the cached accelerator check; it is empty after each boot of the host."""

STATE_DIRECTORY = "/var/lib/microvms"
"""Parent of the MicroVMs' state directories with links, volumes and sockets (microvm.nix's ``stateDir``)."""

FLEET_DIRECTORY = "/var/lib/microvm-fleet"
"""Directory of the collection's own data on a host, such as its stores."""

CONFIGURATION_DIRECTORY = "/etc/microvm-fleet"
"""Directory of files that the collection's units read."""

BOOT_SETTINGS = CONFIGURATION_DIRECTORY + "/boot.env"
"""File with the number of MicroVMs that start at once when the host boots."""

HOST_SETTINGS = CONFIGURATION_DIRECTORY + "/host.json"
"""Settings of the host that modules and the command take from there: its directories."""

RESTRICTIONS = CONFIGURATION_DIRECTORY + "/restrictions.json"
"""Restrictions of declarations on the host, which only root reads and writes."""

BOOT_QUEUE_DIRECTORY = RUN_DIRECTORY + "/boot"
"""Entries and slots of the boot queue."""

SHARE_DIRECTORY = RUN_DIRECTORY + "/shares"
"""Links to the sources of running MicroVMs' shares, ``NAME/sources/TAG``, and the root directories of their daemons."""

SHARE_SOCKET_DIRECTORY = RUN_DIRECTORY + "/virtiofsd"
"""Sockets of the shares of module ``microvm_virtiofsd``, ``NAME.sock``, which belong to no MicroVM."""

SHARE_ROOT_DIRECTORY = RUN_DIRECTORY + "/virtiofsd-roots"
"""Root directories of the daemons of these shares, by name."""

RESTART_DIRECTORY = RUN_DIRECTORY + "/restarts"
"""Numbers of automatic starts, in a file for each MicroVM that has had some since it was started."""

LOST_SHARES_DIRECTORY = RUN_DIRECTORY + "/lost-shares"
"""Last starts that ended because a daemon of their shares did, in a file for each MicroVM that has had one."""

PACKAGE_STORE = FLEET_DIRECTORY + "/packages"
"""Runner packages, one directory for each, named ``DIGEST-NAME``."""

IMAGE_STORE = FLEET_DIRECTORY + "/images"
"""Guest images, one directory for each, named by digest."""

IMAGE_CACHE = "/var/cache/microvm-fleet"
"""Images and packages of the distribution that a build host keeps."""

SYSTEMS = ("x86_64-linux", "aarch64-linux")
"""Guests, as Nix calls their architecture and system."""

COMMAND = "/usr/local/bin/microvm"
"""The command, packed into one file."""

MANUAL_PAGE = "/usr/local/share/man/man1/microvm.1"
"""Manual page of the command."""

COMPLETION = "/usr/local/share/bash-completion/completions/microvm"
"""Completion of the command in bash."""

MODULES_LOAD = "/etc/modules-load.d/microvm-fleet.conf"
"""Kernel modules that are loaded with every start of the host (modules-load.d(5))."""

LIMITS = "/etc/security/limits.d/90-microvm-fleet.conf"
"""Memory that hypervisors may lock (limits.conf(5))."""

KSM_SETTINGS = "/etc/tmpfiles.d/microvm-fleet-ksm.conf"
"""Switches merging of equal pages on with every start of the host (tmpfiles.d(5))."""

HUGE_PAGES_SETTINGS = "/etc/tmpfiles.d/microvm-fleet-huge-pages.conf"
"""Sets huge pages aside with every start of the host (tmpfiles.d(5))."""

NIX_CONFIGURATION = "/etc/nix/nix.conf"
"""Settings of Nix, which are somebody else's but for one line that includes ours."""

NIX_CUSTOM_CONFIGURATION = "/etc/nix/nix.custom.conf"
"""Settings that the file above includes where an installer of Nix writes that file anew with every version."""

NIX_SETTINGS = "/etc/nix/microvm-fleet.conf"
"""Settings of Nix that role ``host`` has."""

NIX_GARBAGE_SERVICE = "microvm-fleet-nix-garbage.service"
"""Collects the garbage of Nix's store."""

NIX_GARBAGE_TIMER = "microvm-fleet-nix-garbage.timer"
"""Starts that service once a day."""

NIX_DAEMON = "nix-daemon.service"
"""Works on Nix's store for users other than root; whichever package has installed it."""

NIX_SOCKET = "nix-daemon.socket"
"""Starts it."""

TMPFILES_DIRECTORY = "/etc/tmpfiles.d"
"""Directory of files that say what is made with every start of the host (tmpfiles.d(5))."""

USER = "microvm"
"""User of MicroVMs without a user of their own, as in microvm.nix."""

GROUP = "microvm"
"""Group of that user alone: people are in the group of the devices, and have nothing to do with its files."""

HUGE_PAGES = "/dev/hugepages"
"""Directory where systemd mounts huge pages (dev-hugepages.mount)."""

HUGE_PAGES_PREFIX = HUGE_PAGES + "/microvm-"
"""Begins the directories of MicroVMs whose hypervisors make files of huge pages, which only root can do above them."""

KVM_GROUP = "kvm"
"""Group that owns ``/dev/kvm`` and ``/dev/vhost-*`` on every distribution."""

HOST_GROUPS = (GROUP, KVM_GROUP)
"""Groups that role ``host`` creates where they are missing."""

SCRIPT_DIRECTORY = "/usr/local/lib/microvm-fleet"
"""Scripts that the units run."""

RECORD_DIRECTORY = FLEET_DIRECTORY + "/vms"
"""Directory of the records of what each MicroVM owns on the host, in ``NAME.json``."""

MOVE_DIRECTORY = FLEET_DIRECTORY + "/moves"
"""Directory of the holds of MicroVMs that are being moved to or from this host, in ``NAME.hold``: their units do not
start meanwhile."""

MOVE_SOURCE = "source"
"""Side of a move that a MicroVM leaves."""

MOVE_TARGET = "target"
"""Side of a move that a MicroVM comes to."""

ARCHIVE_DIRECTORY = FLEET_DIRECTORY + "/archive"
"""Directory of archived volumes of removed MicroVMs."""

PARTIAL_SUFFIX = ".partial"
"""Ends the name of what is being made, before it takes its place; a killed run may leave it."""

GUEST_PORT = 901
"""Port of vsock(7) at which guests of our images take words of their host; below 1024 only root can listen there."""

SSH_DIRECTORY = FLEET_DIRECTORY + "/ssh"
"""Directory of the host's own key for SSH."""
SSH_KEY = SSH_DIRECTORY + "/id_ed25519"
SSH_PUBLIC_KEY = SSH_KEY + ".pub"
KNOWN_HOSTS = FLEET_DIRECTORY + "/known_hosts"
"""Host keys of guests, by their MicroVMs' names (ssh(1))."""

HOST_KEY_DIRECTORY = FLEET_DIRECTORY + "/host-keys"
"""Directory of the private SSH host keys that the host has made for guests, by their MicroVMs' names."""

HOST_KEY_CREDENTIAL = "microvm.ssh_host_key"
"""Name of the credential that gives a guest its private SSH host key."""

NIX_STORE = "/nix/store"
"""Store of Nix, on hosts and in guests."""

NIX_STORE_CREDENTIAL = "microvm.nix_store"
"""Name of the credential that says of what a guest makes its store of Nix."""

REGISTRATION_CREDENTIAL = "microvm.nix_registration"
"""Name of the credential with the path of the file, in the host's store, that a guest's Nix database is loaded from."""

GARBAGE_ROOTS = FLEET_DIRECTORY + "/gcroots"
"""Links that keep packages from Nix's garbage collection, by MicroVM."""

RUNNER_ATTRIBUTE = "nixosConfigurations.{name}.config.microvm.declaredRunner"
"""Attribute of a flake that is microvm.nix's runner of a MicroVM."""

SETTINGS_DIRECTORY = CONFIGURATION_DIRECTORY + "/vms"
"""Directory of the environment files of the units' scripts, ``NAME.env`` for each MicroVM."""

CONSOLE_DIRECTORY = "/run/microvms"
"""Parent of the running MicroVMs' console directories: ``console.log``, the latest output, and ``console.in``."""

TARGET = "microvms.target"
"""Pulls in every MicroVM that starts with the host."""

UNIT_DIRECTORY = "/etc/systemd/system"

NETWORK_UNIT = "microvm-fleet-network.service"
"""Loads the rules of the networks with every start of the host."""

NETWORK_WATCH_UNIT = "microvm-fleet-network-watch.service"
"""Loads the rules of the networks again when somebody has deleted them."""

NETWORK_DOCKER_UNIT = "microvm-fleet-network-docker.service"
"""Runs with Docker, and keeps the rules in its chain by which packets of the networks pass."""

NAMES_UNIT_PREFIX = "microvm-fleet-names-"
"""Begins the names of the units that answer what guests of networks ask of DNS."""

SHARE_UNIT_PREFIX = "microvm-fleet-share-"
"""Begins the names of the units of shares that belong to no MicroVM."""

NAMES_SETTINGS_DIRECTORY = CONFIGURATION_DIRECTORY + "/names"
"""Directory of the settings of these units, ``NETWORK.conf`` for each."""

NETWORK_LIST = CONFIGURATION_DIRECTORY + "/networks.list"
"""Networks and their leases, for the script that binds taps to their guests."""

NETWORK_SETTINGS = "/etc/sysctl.d/50-microvm-fleet.conf"
"""Parameters of the kernel for our networks, by their paths below /proc/sys."""

TAP_RULES_DIRECTORY = RUN_DIRECTORY + "/taps"
"""Rules of the taps that are on our networks, ``TAP.nft`` for each, which are loaded with the rules of the networks.

Who changes them, or the elements of taps, holds a lock (flock(2)) of the directory, and so does who loads the rules.
"""

GUEST_NAMES_DIRECTORY = TAP_RULES_DIRECTORY + "/names"
"""Names and addresses of running guests, in files ``NETWORK/TAP`` in the form of hosts(5).

The lock of the directory above is for these files too.
"""

DEVICES_UNIT = "microvm-fleet-devices.service"
"""Hands devices of the host over to vfio-pci with every start of the host."""

VFIO_DRIVER = "vfio-pci"
"""Driver that hands devices over to processes."""

DEVICE_LIST = CONFIGURATION_DIRECTORY + "/devices.list"
"""Devices of the host that are handed over, for that unit and for those of MicroVMs, which leave them to it."""

DEVICE_RULES = "/etc/udev/rules.d/90-microvm-fleet-devices.rules"
"""Rules of udev that let users of MicroVMs open devices."""

CURRENT_LINK = "current"
"""Link in a state directory to the package that the next start runs."""

BOOTED_LINK = "booted"
"""Link in a state directory to the package that the running MicroVM was started from."""

WORK_DIRECTORY = "work"
"""Directory in a state directory that the hypervisor works in, which is its user's: root trusts nothing in it."""

SOCKET_DIRECTORY = "sockets"
"""Directory of root's in a state directory with the sockets of the daemons that serve its shares."""

PROCESS_FILE = "microvm.pid"
"""File in a working directory with the PID and start time of the hypervisor, for ``microvm-shutdown``."""

EVENTS_PIPE = "microvm.events"
"""Prefix of two FIFOs in a working directory, ``.in`` for commands to QEMU and ``.out`` for its events."""

EVENTS_FIFOS = (f"{EVENTS_PIPE}.in", f"{EVENTS_PIPE}.out")

ENDED_FILE = "microvm.ended"
"""File in a working directory with the reason that QEMU gives for its exit, for ``microvm-start``."""

NOTIFICATION_SOCKET = "microvm.notify"
"""Socket in a working directory at which a MicroVM's unit takes that notification."""

TERMINAL_LINK = "microvm.terminal"
"""Link in a working directory to the terminal that a hypervisor is about to have as its standard input."""

OLD_LINK = "old"
"""Link in a state directory to the package that ``current`` pointed to before."""

FLAKE_FILE = "flake"
"""File in a state directory with the flake that a MicroVM of Nix is built from."""

STATE_ENTRIES = (CURRENT_LINK, BOOTED_LINK, OLD_LINK, FLAKE_FILE)
"""Links and files of root's in a state directory."""

WORK_ENTRIES = (PROCESS_FILE, *EVENTS_FIFOS, ENDED_FILE, NOTIFICATION_SOCKET, TERMINAL_LINK)
"""Entries that packages create in a working directory, besides sockets; no volume may have such a name."""


def runner_attribute(name: str) -> str:
    """Return the attribute of a flake that is microvm.nix's runner of a MicroVM."""
    return RUNNER_ATTRIBUTE.format(name=f'"{name}"' if "." in name else name)


def unit_name(name: str) -> str:
    """Return the name of a MicroVM's service, as in microvm.nix."""
    return f"microvm@{name}.service"


def instance_of(unit: str) -> str:
    """Return the name of the MicroVM that a unit belongs to."""
    return unit.partition("@")[2].rpartition(".")[0]


VIRTIOFSD = "microvm-virtiofsd"
"""Template unit that serves a MicroVM's virtiofs shares."""

NOTIFY = "microvm-notify"
"""Template unit that waits for the guest's notification over vsock(7) that it is up."""

WAIT = "microvm-wait"
"""Template unit that waits, before all others, for what a MicroVM needs and others make."""

HELPERS = (
    WAIT,
    "microvm-tap-interfaces",
    "microvm-macvtap-interfaces",
    "microvm-pci-devices",
    VIRTIOFSD,
    NOTIFY,
    "microvm-set-booted",
    "microvm-boot-queue",
)
"""Template units that come and go with ``microvm@``."""


def unit_names(name: str) -> Tuple[str, ...]:
    """Return the names of all units of a MicroVM, its service first."""
    return (unit_name(name), *(f"{helper}@{name}.service" for helper in HELPERS))


def names_unit(network: str) -> str:
    """Return the name of the unit that answers what guests of a network ask of DNS."""
    return f"{NAMES_UNIT_PREFIX}{network}.service"


def named_network(unit: str) -> str:
    """Return the network whose guests' names a unit answers for."""
    return unit[len(NAMES_UNIT_PREFIX) : -len(".service")]


def share_socket_unit(share: str) -> str:
    """Return the name of the unit that listens for the hypervisor of a share that belongs to no MicroVM."""
    return f"{SHARE_UNIT_PREFIX}{share}.socket"


def share_service_unit(share: str) -> str:
    """Return the name of the unit that serves such a share while a hypervisor is connected."""
    return f"{SHARE_UNIT_PREFIX}{share}.service"
