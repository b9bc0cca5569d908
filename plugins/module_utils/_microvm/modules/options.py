# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option tables of the modules."""

from __future__ import annotations

from dataclasses import replace

from ..declaration.host_setup.options import HOST_SETUP_OPTIONS, HUGE_PAGE_OPTIONS
from ..declaration.images.options import HOST_IMAGE_OPTIONS, IMAGE_OPTIONS
from ..declaration.names import HOST_SETTINGS, IMAGE_CACHE, IMAGE_STORE, STATE_DIRECTORY
from ..declaration.networks.lan import RETURN_SECONDS
from ..declaration.networks.options import NETWORK_OPTIONS
from ..declaration.restrictions.options import RESTRICTION_OPTIONS
from ..declaration.taps.options import TAP_OPTIONS
from ..declaration.vfio.options import VFIO_OPTIONS
from ..declaration.virtiofsd.options import HOST_SHARE_OPTIONS
from ..declaration.vms.options import VM_OPTIONS
from ..schema import checks
from ..schema.options import PLAIN, Option, Options

STATES = ("started", "stopped", "restarted", "present", "absent")

_STATE_DIRECTORY = Option(
    "state_dir",
    "path",
    (
        "Directory that contains the state directories of the MicroVMs. Defaults to that of the host, which role "
        f"P(microvm.fleet.host#role) has recorded in C({HOST_SETTINGS}), or else to C({STATE_DIRECTORY}).",
        "If the host has recorded another one, the module fails, because its units run MicroVMs from there.",
    ),
    check=checks.plain_path,
)

DIFF_DETAIL = Option(
    "diff_detail",
    "str",
    "What diffs contain. V(declared) shows what was set and what follows from it. V(full) also shows options with "
    "default values, command lines of hypervisors, and the contents of files that are the same on all hosts.",
    default="declared",
    choices=("declared", "full"),
)

COMMON_OPTIONS: Options = (
    DIFF_DETAIL,
    Option(
        "images",
        "list",
        (
            "Images that are installed on the host, as reported by role P(microvm.fleet.images#role).",
            "An image of any other name is looked up among those that the host has; if it has several of one name, the "
            "newest is used.",
        ),
        elements="dict",
        suboptions=HOST_IMAGE_OPTIONS,
    ),
    _STATE_DIRECTORY,
    Option(
        "networks",
        "list",
        "Networks that the same run creates before, as declared for role P(microvm.fleet.network#role). Addresses of "
        "guests are compared with them, and with the networks that the host has already.",
        elements="dict",
        suboptions=NETWORK_OPTIONS,
    ),
    Option(
        "former_networks",
        "list",
        "Networks that the host has, and that the same run removes since they are no longer declared, as module "
        "M(microvm.fleet.microvm_network) returns them (RV(microvm.fleet.microvm_network#module:former)). An interface "
        "on one of them is refused.",
        elements="str",
        check=checks.interface_name,
    ),
    Option(
        "bridges",
        "list",
        "Bridges that need not exist yet in check mode, or with O(ignore:preflight), because the same run creates them "
        "before.",
        elements="str",
        check=checks.interface_name,
    ),
    Option(
        "pci_devices",
        "list",
        "PCI devices that need not exist yet in check mode, or with O(ignore:preflight), because the same run makes "
        "them before, as functions of cards, or takes them from the host's drivers with all of their IOMMU group.",
        elements="str",
        check=checks.pci_address,
    ),
    Option(
        "device_vms",
        "dict",
        (
            "MicroVMs that the same run hands devices over to before, by the addresses of PCI devices and the numbers "
            "of USB devices, as module M(microvm.fleet.microvm_vfio) returns them "
            "(RV(microvm.fleet.microvm_vfio#module:vms)), for check mode, or with O(ignore:preflight). A device of "
            "another MicroVM is refused.",
            "Without it, and where something is changed, it is what the host has handed over already.",
        ),
        values="str",
        nullable=True,
        trust=PLAIN,
    ),
    Option(
        "huge_pages",
        "list",
        "Huge pages that need not be set aside yet in check mode, or with O(ignore:preflight), because the same run "
        "does that before, as declared in O(microvm.fleet.microvm_host#module:huge_pages).",
        elements="dict",
        suboptions=HUGE_PAGE_OPTIONS,
    ),
    Option(
        "restrictions",
        "dict",
        (
            "Restrictions that the declarations must satisfy in addition to those that the host has, see "
            "O(microvm.fleet.microvm_host#module:restrictions).",
            "In check mode, and with O(ignore:preflight), those of the host are not considered if this option is set, "
            "because the same run is expected to write them first.",
        ),
        suboptions=RESTRICTION_OPTIONS,
        on_demand=True,
    ),
    Option(
        "check_builds",
        "bool",
        "Whether check mode may build packages of flakes, and copy those of build services, so that diffs show what is "
        "in them. Otherwise a diff only says that such a package is another one.",
        default=False,
    ),
    Option(
        "nix",
        "bool",
        "Whether Nix need not be installed yet in check mode, or with O(ignore:preflight), because the same run "
        "installs it before. Flakes that the host would evaluate are then not looked at.",
        default=False,
    ),
    Option(
        "built",
        "dict",
        "What the flakes of MicroVMs have been evaluated to, by the names of the MicroVMs: RV(evaluations) of an "
        "earlier call of the same run. Flakes that are not in it are evaluated.",
        trust=PLAIN,
    ),
)

VM_MODULE_OPTIONS: Options = VM_OPTIONS + COMMON_OPTIONS

VMS_MODULE_OPTIONS: Options = (
    Option(
        "vms",
        "list",
        "MicroVMs of the host.",
        required=True,
        elements="dict",
        suboptions=VM_OPTIONS,
    ),
    Option(
        "defaults",
        "dict",
        "Options that every element of O(vms) has received already, such as C(microvm_defaults) of role "
        "P(microvm.fleet.vms#role). A mistake in them is reported once and not as one of each MicroVM. Elements with "
        "O(ignore:vms[].runner) may have them, although they do not apply there.",
        trust=PLAIN,
    ),
    Option(
        "state",
        "str",
        "Default of O(vms[].state), for MicroVMs that do not set their own.",
        default="started",
        choices=STATES,
    ),
    Option(
        "parallel",
        "int",
        (
            "Maximum number of MicroVMs that are started or stopped at the same time.",
            "All that stop have stopped before the first one starts, so that it can use what they had.",
        ),
        default=4,
        check=checks.positive,
    ),
    Option(
        "purge",
        "str",
        (
            "What to do with MicroVMs that this collection has installed in O(state_dir) and that are not listed in "
            "O(vms).",
            "V(report) only returns their names as RV(undeclared). V(stop) stops them and keeps them from starting "
            "when the host boots. V(remove) removes them, but not their volumes.",
        ),
        default="report",
        choices=("report", "stop", "remove"),
    ),
    Option(
        "preflight",
        "bool",
        (
            "Whether to only verify the declarations and the ability of the host to run them. Nothing is changed, and "
            "the result is never C(changed).",
            "The same is verified as in check mode and in a run. Images, bridges, the setup of the host and packages "
            "of the distribution that the roles bring before the MicroVMs may be missing.",
        ),
        default=False,
    ),
) + COMMON_OPTIONS

NETWORK_MODULE_OPTIONS: Options = (
    Option(
        "networks",
        "list",
        "All networks of the host. A network that is no longer listed is removed once no MicroVM uses its bridge.",
        required=True,
        elements="dict",
        suboptions=NETWORK_OPTIONS,
    ),
    Option(
        "confirm",
        "bool",
        "Whether this run confirms what an earlier one has changed of the host's own connection, by a connection that "
        "was made since. Without it, such a change is taken back after O(return_seconds). A local connection says "
        "nothing about how the host is reached.",
        default=False,
    ),
    Option(
        "return_seconds",
        "int",
        "Time after which a change of the host's own connection that nobody has confirmed is taken back.",
        default=RETURN_SECONDS,
        check=checks.positive,
    ),
)

TAP_MODULE_OPTIONS: Options = (
    Option(
        "taps",
        "list",
        "Devices to create, to change or to remove. Devices that are not listed are left alone.",
        required=True,
        elements="dict",
        suboptions=TAP_OPTIONS,
    ),
    Option(
        "replace_in_use",
        "bool",
        (
            "Whether a device may be removed or replaced while a process uses it, and changed while the MicroVM to "
            "which it belongs runs. The module fails otherwise, before anything is changed.",
            "The process keeps the removed device, which nothing reaches, until it opens the new one.",
        ),
        default=False,
    ),
    Option(
        "bridges",
        "list",
        "Bridges that need not exist yet in check mode, because the same run creates them before.",
        elements="str",
        check=checks.interface_name,
    ),
)

VFIO_MODULE_OPTIONS: Options = (
    Option(
        "devices",
        "list",
        "All devices that the host hands over. A device that is no longer listed is handed back to the host's driver, "
        "which is refused while a process uses it.",
        required=True,
        elements="dict",
        suboptions=VFIO_OPTIONS,
    ),
    _STATE_DIRECTORY,
)

VIRTIOFSD_MODULE_OPTIONS: Options = (
    Option(
        "shares",
        "list",
        "Directories to serve, or to serve no longer. Shares that are not listed are left alone.",
        required=True,
        elements="dict",
        suboptions=HOST_SHARE_OPTIONS,
    ),
    Option(
        "replace_in_use",
        "bool",
        "Whether a share may be changed or removed while a hypervisor is connected to it, whose guest then loses the "
        "files until the hypervisor connects again, mostly by a restart. The module fails otherwise, before anything "
        "is changed.",
        default=False,
    ),
)

INFO_MODULE_OPTIONS: Options = (
    Option(
        "names",
        "list",
        "Names of the MicroVMs to return. Names that do not exist on the host are ignored. Defaults to all MicroVMs in "
        "O(state_dir).",
        elements="str",
        check=checks.name,
    ),
    _STATE_DIRECTORY,
)

_STATE_DIRECTORY_OF_SETUP = next(option for option in HOST_SETUP_OPTIONS if option.name == "state_dir")

HOST_MODULE_OPTIONS: Options = (
    replace(
        _STATE_DIRECTORY_OF_SETUP,
        description=(
            *_STATE_DIRECTORY_OF_SETUP.paragraphs,
            f"Defaults to the recorded one, and to C({STATE_DIRECTORY}) on a host without. It cannot change while "
            "MicroVMs are installed.",
        ),
        default=None,
    ),
    *(option for option in HOST_SETUP_OPTIONS if option is not _STATE_DIRECTORY_OF_SETUP),
    DIFF_DETAIL,
    Option(
        "state",
        "str",
        (
            "V(present) prepares the host for MicroVMs.",
            "V(absent) removes what that has created, and all packages and records of MicroVMs. Volumes stay, and so "
            "does the user C(microvm) as long as it owns files in O(state_dir). "
            "Remove MicroVMs, images and networks first.",
        ),
        default="present",
        choices=("present", "absent"),
    ),
)

IMAGE_MODULE_OPTIONS: Options = (
    Option(
        "state",
        "str",
        (
            "V(built) builds the image on this host unless O(store) already contains it.",
            "V(installed) verifies a copy in O(staging) by the checksums in its manifest and moves it to O(store).",
            "V(absent) removes the image with this O(digest) from O(store), including incomplete copies.",
        ),
        default="built",
        choices=("built", "installed", "absent"),
    ),
    Option("image", "dict", "Image to build. Required if O(state=built).", suboptions=IMAGE_OPTIONS),
    Option(
        "store",
        "path",
        (
            "Directory that contains the images, each in a directory of its own.",
            f"By default, a build host has it in C({IMAGE_CACHE}/images) if root builds, and in "
            "C(~/.cache/microvm-fleet/images) of any other user. Images are installed to, and removed from, the "
            f"store of the host, by default C({IMAGE_STORE}).",
        ),
    ),
    Option(
        "cache",
        "path",
        f"Directory in which downloaded packages are cached. Defaults to C({IMAGE_CACHE}/archives) if root builds, and "
        "to C(~/.cache/microvm-fleet/archives) of any other user.",
    ),
    Option(
        "digest",
        "str",
        "Digest of the image to install or remove. Required if O(state) is V(installed) or V(absent).",
        check=checks.digest,
    ),
    Option("staging", "path", "Directory of the copy to install. Required if O(state=installed)."),
)

PACKAGE_LOCK_MODULE_OPTIONS: Options = (
    Option(
        "timeout",
        "int",
        "Maximum number of seconds to wait for other processes that change the packages of the host.",
        default=600,
        check=checks.positive,
    ),
)

MOVE_MODULE_OPTIONS: Options = (
    Option("name", "str", "Name of the MicroVM.", required=True, check=checks.name),
    Option(
        "state",
        "str",
        (
            "Stage of the move on this host. V(examined) only returns what is there.",
            "V(held) stops the MicroVM on the source and keeps it from starting there. V(released) takes that back and "
            "starts the MicroVM if it was running.",
            "V(incoming) keeps the MicroVM from starting on the target and creates the directory for its volumes; "
            "volumes that were in place already are moved there. V(accepted) puts the volumes into place and lets it "
            "start.",
            "V(discarded) deletes what has arrived on the target of a move that was taken back.",
            "V(finished) removes what a complete move has left on either host.",
        ),
        default="examined",
        choices=("examined", "held", "incoming", "accepted", "released", "discarded", "finished"),
    ),
    Option("peer", "str", "Name of the other host. Required unless O(state=examined).", check=checks.label),
    Option(
        "images",
        "list",
        "Volumes that must have arrived if O(state=accepted).",
        elements="str",
        check=checks.state_path,
    ),
    Option(
        "renamed_from",
        "str",
        "Former name in the declaration. With O(state=incoming), the module fails if this host has a MicroVM of that "
        "name, whose place the moved one would take.",
        check=checks.name,
    ),
    Option(
        "guest_keys",
        "list",
        "Types and public SSH host keys of the guest, which the source has returned. With O(state=accepted), this host "
        "records them, so that its users and C(microvm ssh) know the guest as before.",
        elements="str",
        check=checks.authorized_key,
        no_log=False,
    ),
    Option("digests", "bool", "Whether to return the SHA-256 of each volume, which reads all of them.", default=False),
    _STATE_DIRECTORY,
)
