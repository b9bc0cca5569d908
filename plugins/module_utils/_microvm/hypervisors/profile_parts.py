# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts that the profiles of several hypervisors share."""

from __future__ import annotations

from ..schema import checks
from ..schema.options import ARGUMENTS, NAMESAKE, PROGRAM, Option
from .profile import ANY, Honours

BASICS: Honours = {
    "accel": ("auto", "kvm"),
    "guest_system": ("x86_64-linux", "aarch64-linux"),
    "vcpu": ANY,
    "mem": ANY,
    "socket": ANY,
    "kernel": ANY,
    "initrd_path": ANY,
    "kernel_params": ANY,
    "store_disk": ANY,
    # Lists: their elements' options are honoured or not one by one.
    "interfaces": ANY,
    "volumes": ANY,
    "shares": ANY,
    "devices": ANY,
    "interfaces[].id": ANY,
    "interfaces[].mac": ANY,
    "volumes[].image": ANY,
    "volumes[].read_only": ANY,
    "volumes[].image_type": ("raw",),
    "shares[].tag": ANY,
    "shares[].source": ANY,
    "shares[].socket": ANY,
    "devices[].path": ANY,
    "ready.check": ("auto", "ssh", "tcp", "none"),
}
"""Options that every hypervisor honours."""

ON_LINUX: Honours = {
    **BASICS,
    "vsock.cid": ANY,
    "register_with_machined": ANY,
    "credential_files": ANY,
    "guest.enable": ANY,
    "use_notify_sockets": ANY,
    "ready.check": ("auto", "ssh", "tcp", "vsock", "notify", "none"),
}
"""Options that every hypervisor honours whose hosts have Linux, with its vsock(7) and machined."""

WITH_VIRTIOFSD: Honours = {
    **ON_LINUX,
    "shares[].cache": ("auto", "always", "metadata", "never"),
    "shares[].posix_acl": ANY,
    "shares[].user": ANY,
    "shares[].translate_uid": ANY,
    "shares[].translate_gid": ANY,
    "shares[].extra_args": ANY,
}
"""Options that every hypervisor honours whose hosts have Linux, and whose shares virtiofsd serves."""

LINUX = ("x86_64-linux", "aarch64-linux")
"""Systems of hosts with Linux, as Nix calls them."""

EXITS = "exits"
ASKED = "The guest is asked over its vsock, if `vsock.cid` is set and its image is one of the collection"
BY_VSOCK = "a listener on vsock(7) that the guest's systemd notifies"
NOTIFIES = "the guest's systemd notifies over the vsock, if `vsock.cid` is set"

EXTRA_ARGS = Option(
    "extra_args",
    "list",
    "Additional arguments of the hypervisor, one per element.",
    elements="str",
    check=checks.argument,
    trust=ARGUMENTS,
)


def package(program: str) -> Option:
    """Return the option for the location of a hypervisor's program."""
    return Option(
        "package",
        "str",
        (
            f"Location of C({program}): a directory that contains it in C(bin), the path of the program in a "
            "directory called C(bin), C(sbin) or C(libexec), or its name.",
            "By default it is searched in C(PATH).",
        ),
        check=checks.package_path,
        trust=PROGRAM,
    )


def group(name: str, description: str, *options: Option) -> Option:
    """Return the group of a hypervisor's own options."""
    return Option(name, "dict", description, suboptions=options, honoured_by=NAMESAKE)
