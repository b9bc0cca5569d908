# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network interfaces of the host by netlink: a small typed layer over pyroute2, 0.7.2 to 0.9.

pyroute2 is imported when it is needed: controllers, and hosts that no module asks, need not have it.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.metadata
import re
import socket
import sys
from dataclasses import dataclass, replace
from typing import (
    Dict,
    Iterable,
    Iterator,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    Union,
    cast,
)

from .commands import HostError

OLDEST = (0, 7, 2)
"""Version of pyroute2 that Debian 12 has."""

_ADVICE = (
    "on Debian and Ubuntu, role microvm.fleet.host installs it as the package python3-pyroute2, for /usr/bin/python3; "
    "elsewhere, or for another Python, install pyroute2 0.7.2 to 0.9, with pip if the distribution has none"
)

ARPHRD_ETHER = 1
IFF_UP = 0x1
IFF_ALLMULTI = 0x200
TAP = 2
"""Value of IFLA_TUN_TYPE for taps."""

_PASSING_GROUPS = range(0x7D000000, 0x7D000400)
"""Groups of interfaces, one of which those that are to be deleted at once are in for a moment."""

Value = Union[None, bool, int, str, Sequence[str]]


class Message(Protocol):
    """Message of netlink with attributes, as pyroute2 decodes it."""

    def get_attr(self, attribute: str) -> object:
        """Return the value of an attribute; ``None`` where the message has none."""

    def get_attrs(self, attribute: str) -> Sequence[object]:
        """Return the values of an attribute that a message may have several times."""

    def __getitem__(self, field: str) -> object:
        """Return a field of the header."""


class Connection(Protocol):
    """Part of pyroute2's IPRoute that is used here."""

    def link(self, command: str, **attributes: Value) -> object:
        """Add, change or delete a link."""

    def get_links(self) -> Iterable[Message]:
        """Return all links."""

    def close(self) -> None:
        """Close the socket."""


@dataclass(frozen=True)
class NetworkDevice:
    """A network interface as the kernel reports it."""

    name: str
    index: int
    kind: str = ""
    """Kind of a virtual interface: ``tap``, ``tun``, ``macvtap``, ``bridge``; empty for one of hardware."""
    mac: str = ""
    mtu: int = 1500
    is_up: bool = False
    all_multicast: bool = False
    has_ipv6: bool = False
    """True if the host itself has IPv6 on the interface, such as a link-local address."""
    master: Optional[int] = None
    """Index of the interface that this is a port of."""
    port_kind: str = ""
    """Kind of the master."""
    link: Optional[int] = None
    """Index of the interface that this is on top of, or of the other end of a pair; ``None`` if that is in another
    network namespace."""
    is_ethernet: bool = True
    """True if it passes Ethernet packets, which neither a loopback interface nor the tunnel of a VPN does."""
    group: int = 0
    altnames: Tuple[str, ...] = ()
    isolated: bool = False
    learning: bool = True
    neigh_suppress: bool = False
    mode: Optional[str] = None
    """Mode of a macvtap or macvlan."""
    owner: Optional[int] = None
    owner_group: Optional[int] = None
    multi_queue: bool = False
    vnet_hdr: bool = False
    packet_information: bool = False
    persistent: bool = True
    """False if the tap ends with the process that has made it."""
    is_attached: bool = False
    """True if a process has opened the tap. Not known of a macvtap."""

    @property
    def is_macvlan(self) -> bool:
        """Return whether it is of a kind that shares its link by addresses."""
        return self.kind in ("macvtap", "macvlan")


class Links:
    """Interfaces of the host, through one socket."""

    def __init__(self, connection: Connection, failure: Type[Exception]) -> None:
        self._connection, self._failure = connection, failure

    def dump(self) -> Dict[str, NetworkDevice]:
        """Return all interfaces by name. Raises HostError."""
        with self._explained("list the interfaces of the host"):
            devices = [parse_link(message) for message in self._connection.get_links()]
        return {device.name: device for device in devices}

    def create_tap(
        self, name: str, owner: Optional[int], group: Optional[int], multi_queue: bool, vnet_hdr: bool
    ) -> None:
        """Create a persistent tap. Raises HostError, also if there is an interface of the name by now."""
        if find_index(name) is not None:
            raise HostError(f"another process has created an interface {name} meanwhile; run this again")
        self.set_tap(name, owner, group, multi_queue, vnet_hdr)

    def set_tap(self, name: str, owner: Optional[int], group: Optional[int], multi_queue: bool, vnet_hdr: bool) -> None:
        """Change a tap that no process uses: owner, group, flags; an owner or a group cannot be taken away so."""
        accounts = {"tun_owner": owner, "tun_group": group}
        with self._explained(f"set the owner and the flags of {name}"):
            self._connection.link(
                "add",
                ifname=name,
                kind="tun",
                tun_type=TAP,
                tun_pi=0,
                tun_vnet_hdr=int(vnet_hdr),
                tun_multi_queue=int(multi_queue),
                **{key: number for key, number in accounts.items() if number is not None},
            )

    def create_macvtap(self, name: str, link: str, mode: str, mac: Optional[str]) -> None:
        """Create a macvtap on an interface. Raises HostError."""
        attributes = {} if mac is None else {"address": mac}
        with self._explained(f"create {name} on {link}"):
            self._connection.link(
                "add", ifname=name, kind="macvtap", link=_index(link), macvtap_mode=mode, **attributes
            )

    def change(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Set attributes of an interface, in one message. Raises HostError."""
        with self._explained(f"change {name}"):
            self._connection.link("set", index=_index(name), **attributes)

    def attach(self, name: str, bridge: Optional[str], attributes: Mapping[str, Value]) -> None:
        """Set attributes of an interface, and the bridge that it is a port of. Raises HostError."""
        self.change(name, {**attributes, "master": 0 if bridge is None else _index(bridge)})

    def name_also(self, name: str, altnames: Sequence[str]) -> None:
        """Add alternative names. Raises HostError."""
        self._properties("property_add", name, altnames)

    def drop_names(self, name: str, altnames: Sequence[str]) -> None:
        """Remove alternative names. Raises HostError."""
        self._properties("property_del", name, altnames)

    def _properties(self, command: str, name: str, altnames: Sequence[str]) -> None:
        with self._explained(f"change the alternative names of {name}"):
            self._connection.link(command, index=_index(name), altname=list(altnames))

    def delete(self, devices: Sequence[NetworkDevice], groups: Iterable[int]) -> None:
        """Delete interfaces, if they are still there; ``groups`` are those that interfaces are in. Raises HostError.

        The kernel waits after each deletion, some 20 ms, but only once for a whole group of interfaces.
        """
        if len(devices) < 2 or not self._delete_together(devices, groups):
            for device in devices:
                with self._explained(f"delete {device.name}"):
                    self._send_unless_gone("del", index=device.index)

    def _delete_together(self, devices: Sequence[NetworkDevice], groups: Iterable[int]) -> bool:
        """Delete interfaces by a group of their own. Returns whether no other one was in it, or nothing is done."""
        taken = set(groups)
        passing = next(number for number in _PASSING_GROUPS if number not in taken)
        for device in devices:
            with self._explained(f"delete {device.name}"):
                self._send_unless_gone("set", index=device.index, group=passing)
        # Others may have been put into it after they were listed.
        members = {device.index for device in self.dump().values() if device.group == passing}
        if not members <= {device.index for device in devices}:
            return False
        if members:
            with self._explained("delete " + ", ".join(device.name for device in devices)):
                self._connection.link("del", group=passing)
        return True

    def _send_unless_gone(self, command: str, **attributes: Value) -> None:
        try:
            self._connection.link(command, **attributes)
        except self._failure as error:
            if error.args[:1] != (errno.ENODEV,):
                raise

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    @contextlib.contextmanager
    def _explained(self, work: str) -> Iterator[None]:
        """Turn errors of pyroute2 and of the kernel into a HostError that says what was tried."""
        try:
            yield
        except HostError:
            raise
        except (self._failure, OSError, ValueError) as error:
            raise HostError(f"cannot {work}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__


@contextlib.contextmanager
def opened_links() -> Iterator[Links]:
    """Yield the interfaces of the host. Raises HostError if there is no pyroute2, or one that is too old."""
    links = load_links()
    try:
        yield links
    finally:
        links.close()


def load_links(module: str = "pyroute2") -> Links:
    """Import pyroute2 and open a socket. Raises HostError with what to install."""
    try:
        pyroute2 = importlib.import_module(module)
    except ImportError as error:
        raise HostError(f"{sys.executable} on this host has no Python library {module}: {_ADVICE}") from error
    version = _version(module)
    if too_old(version):
        raise HostError(f"pyroute2 {version} is too old: {_ADVICE}")
    failure = cast(Type[Exception], pyroute2.NetlinkError)
    return Links(cast(Connection, pyroute2.IPRoute()), failure)


def _version(module: str) -> str:
    """Return the version of an installed library, which some do not know themselves; empty if it cannot be told."""
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        return ""


def too_old(version: str) -> bool:
    """Return whether a version of pyroute2 is older than supported; one that cannot be told is not."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) < OLDEST


def find_index(name: str) -> Optional[int]:
    """Return the index of an interface; ``None`` where there is none of the name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _index(name: str) -> int:
    index = find_index(name)
    if index is None:
        raise HostError(f"there is no interface {name} any more; run this again")
    return index


def parse_link(message: Message) -> NetworkDevice:
    """Return an interface from its message in a dump."""
    information = _nested(message, "IFLA_LINKINFO")
    flags = cast(int, message["flags"])
    device = NetworkDevice(
        name=_text(message, "IFLA_IFNAME"),
        index=cast(int, message["index"]),
        kind=_text(information, "IFLA_INFO_KIND"),
        mac=_text(message, "IFLA_ADDRESS"),
        mtu=_number(message, "IFLA_MTU") or 0,
        is_up=bool(flags & IFF_UP),
        all_multicast=bool(flags & IFF_ALLMULTI),
        has_ipv6=_has_ipv6(message),
        master=_number(message, "IFLA_MASTER"),
        port_kind=_text(information, "IFLA_INFO_SLAVE_KIND"),
        # Indices are those of a namespace.
        link=None if _number(message, "IFLA_LINK_NETNSID") is not None else _number(message, "IFLA_LINK"),
        is_ethernet=message["ifi_type"] == ARPHRD_ETHER,
        group=_number(message, "IFLA_GROUP") or 0,
        altnames=_altnames(message),
    )
    return _with_port(_with_kind(device, message, information), information)


def _with_kind(device: NetworkDevice, message: Message, information: Optional[Message]) -> NetworkDevice:
    """Add what only interfaces of a kind have."""
    data = _nested(information, "IFLA_INFO_DATA")
    if device.is_macvlan:
        return replace(device, mode=_text(data, f"IFLA_{device.kind.upper()}_MODE"))
    if device.kind != "tun" or data is None:
        return device
    queues = (_number(data, "IFLA_TUN_NUM_QUEUES") or 0) + (_number(data, "IFLA_TUN_NUM_DISABLED_QUEUES") or 0)
    return replace(
        device,
        kind="tap" if _number(data, "IFLA_TUN_TYPE") == TAP else "tun",
        owner=_number(data, "IFLA_TUN_OWNER"),
        owner_group=_number(data, "IFLA_TUN_GROUP"),
        multi_queue=bool(_number(data, "IFLA_TUN_MULTI_QUEUE")),
        vnet_hdr=bool(_number(data, "IFLA_TUN_VNET_HDR")),
        packet_information=bool(_number(data, "IFLA_TUN_PI")),
        persistent=bool(_number(data, "IFLA_TUN_PERSIST")),
        # The kernel counts the queues of taps with several only.
        is_attached=queues > 0 or _number(message, "IFLA_CARRIER") == 1,
    )


def _with_port(device: NetworkDevice, information: Optional[Message]) -> NetworkDevice:
    """Add what only ports of bridges have."""
    port = _nested(information, "IFLA_INFO_SLAVE_DATA")
    if device.port_kind != "bridge" or port is None:
        return device
    return replace(
        device,
        isolated=bool(_number(port, "IFLA_BRPORT_ISOLATED")),
        learning=bool(_number(port, "IFLA_BRPORT_LEARNING")),
        neigh_suppress=bool(_number(port, "IFLA_BRPORT_NEIGH_SUPPRESS")),
    )


def _altnames(message: Message) -> Tuple[str, ...]:
    properties = _nested(message, "IFLA_PROP_LIST")
    return () if properties is None else tuple(str(name) for name in properties.get_attrs("IFLA_ALT_IFNAME"))


def _has_ipv6(message: Message) -> bool:
    settings = _nested(_nested(message, "IFLA_AF_SPEC"), "AF_INET6")
    values = None if settings is None else settings.get_attr("IFLA_INET6_CONF")
    return isinstance(values, Mapping) and values.get("disable_ipv6") == 0


def _nested(message: Optional[Message], attribute: str) -> Optional[Message]:
    value = None if message is None else message.get_attr(attribute)
    return cast(Message, value) if hasattr(value, "get_attr") else None


def _number(message: Optional[Message], attribute: str) -> Optional[int]:
    value = None if message is None else message.get_attr(attribute)
    return value if isinstance(value, int) else None


def _text(message: Optional[Message], attribute: str) -> str:
    value = None if message is None else message.get_attr(attribute)
    return value if isinstance(value, str) else ""
