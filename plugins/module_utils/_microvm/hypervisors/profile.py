# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of a hypervisor: what it can do, as data, which checks, options, documentation and roles are derived from.

Profiles are closed by default: what a profile does not name is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple, Union

from ..schema.options import Option, Options

Value = Union[str, bool]
Values = Optional[Tuple[Value, ...]]
"""Values of an option that a hypervisor honours; ``ANY`` are all of them."""

ANY: Values = None

Honours = Mapping[str, Values]
"""Options that a hypervisor honours, by path. Of one that has choices, the values are listed."""


@dataclass(frozen=True)
class KernelNeed:
    """Setting of a guest kernel's configuration without which an option does not work."""

    setting: str
    """Name of the setting (``CONFIG_…``)."""
    option: str
    """Option that needs it, by path."""
    value: Optional[Value]
    """Value of the option that needs it; ``None`` if it is not set."""
    reason: str
    """What the guest uses it for, as a clause."""
    remedy: str
    """What to declare instead."""
    architectures: Tuple[str, ...] = ("x86_64", "aarch64")
    """Architectures of guests that need it."""
    besides: Mapping[str, Tuple[Optional[Value], ...]] = field(default_factory=dict)
    """Values of other options, by path, that a declaration must have one of each to need it."""


@dataclass(frozen=True)
class Profile:
    """Facts of one hypervisor, from its documentation and sources."""

    name: str
    """Name of the hypervisor as microvm.nix writes it."""
    order: int
    """Place in tables and messages; the first hypervisor is the default one."""
    group: Option
    """Options of its own; they have no effect on others."""
    honours: Honours
    """Options of all hypervisors that it honours."""
    systems: Tuple[str, ...]
    """Systems of hosts, as Nix calls them."""
    vcpus: int
    """Number of virtual processors that its machine has place for."""
    serials: bool
    """True if guests can find disks by their serial."""
    credentials: Optional[str]
    """Channel of systemd credentials: ``fw_cfg`` (read from files) or ``initrd`` (appended to it in memory)."""
    stop: str
    """Way in which a guest is asked to end, and what it needs for that."""
    ready: str
    """Sign that the guest is up."""
    on_poweroff: str
    on_reboot: str
    """Behaviour of the hypervisor's process when the guest powers off or reboots."""
    clean_end: str = "poweroff"
    """Meaning of an end without failure or reason: ``poweroff`` or ``reboot``."""
    statuses: Mapping[int, str] = field(default_factory=dict)
    """Meaning of exit statuses other than 0: ``reboot``, ``poweroff``, or a word for a crash, such as ``panic``. Any
    other status is a crash."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Debian packages by the programs in them."""
    additions: Mapping[str, Options] = field(default_factory=dict)
    """Options that it adds to groups which all hypervisors have, by the group's path."""
    needs_virtiofsd: bool = True
    """True if virtiofs shares are served by virtiofsd, not by the hypervisor itself."""
    asks_virtiofsd_for_tag: bool = False
    """True if the tag of a virtiofs share is an argument of virtiofsd, not of the hypervisor."""
    huge_pages: Optional[int] = 0
    """KiB of the huge pages that ``hugepage_mem`` takes, 0 for the host's default size; ``None`` if it needs no pages
    that are set aside."""
    leaves: Tuple[str, ...] = ()
    """Files and directories besides sockets that its process leaves in the working directory; ``{socket}`` in a name
    stands for its control socket."""
    kernel_needs: Tuple[KernelNeed, ...] = ()
    """Settings of the guest's kernel that it cannot do without."""
    makes_huge_page_files: bool = False
    """True if the guest's huge pages are a file of its own, which it makes in a directory of the MicroVM's user."""
    reports_free_pages: bool = False
    """True if the guest's balloon gives back to the host, by itself, what the guest has freed (free page reporting)."""
    has_kernel_vsock: bool = True
    """True if the guest's vsock is that of the host's kernel, whose context identifiers no two guests share; otherwise
    it is a Unix socket of the hypervisor."""
    needs_internet_sockets: bool = True
    """True if an Internet socket is opened to configure a tap, not the tap's own file."""

    def claims(self, path: str, value: Value) -> bool:
        """Return whether the profile names a value of the option with this path."""
        values = self.honours.get(path, ())
        return values is None or value in values

    @property
    def reports_status(self) -> bool:
        """Return whether the hypervisor reports over its control socket that its guest runs (QEMU Machine Protocol)."""
        return self.claims("ready.check", "hypervisor")

    @property
    def emulates(self) -> bool:
        """Return whether the hypervisor translates instructions: it runs without KVM, and other architectures."""
        return self.claims("accel", "tcg")
