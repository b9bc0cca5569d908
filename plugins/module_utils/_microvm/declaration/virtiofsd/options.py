# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a directory that a host serves by virtiofs, to any virtual machine."""

from __future__ import annotations

from dataclasses import replace

from ...schema import checks
from ...schema.options import Option, Options
from ..names import SHARE_SOCKET_DIRECTORY
from ..vms.device_options import SHARES
from ..vms.hypervisor_options import VIRTIOFSD

_SHARED = {option.name: option for option in (*SHARES, *VIRTIOFSD)}

HOST_SHARE_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the share. Its units are C(microvm-fleet-share-NAME.socket) and C(microvm-fleet-share-NAME.service).",
        required=True,
        check=checks.name,
    ),
    Option(
        "state",
        "str",
        "Whether the directory is served. With V(absent), all options but O(shares[].name) are ignored. The directory "
        "and its files stay.",
        default="present",
        choices=("present", "absent"),
    ),
    Option(
        "source",
        "path",
        (
            "Absolute path of the directory on the host. Required unless O(shares[].state=absent).",
            "The directories above it must be root's, so that nobody else can put another one in its place, unless "
            "O(shares[].user) is set.",
            "It is created if it does not exist. The owner and the mode of one that exists are left alone.",
        ),
        check=checks.plain_path,
    ),
    Option(
        "source_owner",
        "str",
        "Name or number of the user who owns a directory that is created. By default O(shares[].user).",
        check=checks.account,
    ),
    Option(
        "source_group",
        "str",
        "Name or number of the group of a directory that is created. By default that of O(shares[].source_owner).",
        check=checks.account,
    ),
    Option("source_mode", "str", "Mode of a directory that is created.", default="0755", check=checks.mode),
    Option(
        "socket",
        "path",
        (
            "Path of the socket that the hypervisor connects to.",
            "In the default, C({name}) stands for O(shares[].name). Only root can create files in that directory, "
            "which should be true of any other one.",
        ),
        default=f"{SHARE_SOCKET_DIRECTORY}/{{name}}.sock",
        check=checks.share_socket,
    ),
    Option(
        "group",
        "str",
        "Name or number of the group whose members may connect to the socket, such as C(libvirt-qemu). Without it, "
        "only root may.",
        check=checks.account,
    ),
    Option(
        "user",
        "str",
        (
            "Name or number of the user who serves the directory.",
            "With V(root), files have the owners that the guest gives them, and root of the guest can read and change "
            "everything in O(shares[].source).",
            "With any other user, the daemon has no privileges: the guest can do what that user can do, and all files "
            "that it creates are the user's, see O(shares[].translate_uid).",
        ),
        default="root",
        check=checks.account,
    ),
    _SHARED["read_only"],
    _SHARED["cache"],
    Option(
        "posix_acl",
        "bool",
        "Whether the guest may use POSIX access control lists. By default it may, unless identities are translated, "
        "which excludes them.",
    ),
    replace(
        _SHARED["inode_file_handles"],
        description="Whether virtiofsd uses file handles instead of open file descriptors: V(never), V(prefer) or "
        "V(mandatory). Requires O(shares[].user=root).",
        default=None,
        nullable=False,
    ),
    Option(
        "thread_pool_size",
        "int",
        "Number of threads that serve requests beside the main one.",
        default=0,
        check=checks.not_negative,
    ),
    *(
        Option(
            f"translate_{letter}id",
            "list",
            (
                f"How virtiofsd translates numbers of {kind}s between guest and host, as its option "
                f"C(--translate-{letter}id) takes them, such as V(map:0:100000:65536).",
                f"By default they are the same, if O(shares[].user=root). Otherwise all {kind}s of the guest are that "
                f"{'user' if letter == 'u' else 'group of the user'}, and the guest sees all files as those of root.",
            ),
            elements="str",
            check=checks.identity_map,
        )
        for letter, kind in (("u", "user"), ("g", "group"))
    ),
    Option(
        "tag",
        "str",
        "Tag of the share, for hypervisors that ask virtiofsd for it, such as crosvm. Others have it as an option of "
        "their own.",
        check=checks.tag,
    ),
    Option(
        "extra_args",
        "list",
        "Additional arguments of virtiofsd, but for those that other options and the units determine.",
        elements="str",
        check=checks.argument,
    ),
    Option(
        "package",
        "str",
        "Path of virtiofsd, or its name if it is in C(PATH) or C(/usr/libexec).",
        default="virtiofsd",
        check=checks.package_path,
    ),
)
