# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of a network's guests: their options, and what must be true of them."""

from __future__ import annotations

import re

from ...schema import checks
from ...schema.errors import DeclarationError
from ...schema.options import Option, Options
from ..types import Network
from .ipv6 import is_open

HOST_NAME = "host"
"""Name of the host in the domain of each of its networks."""

DNS_NAMES_OPTIONS: Options = (
    Option(
        "domain",
        "str",
        "Domain of the names. Defaults to the name of the network in the domain V(internal), such as "
        "V(microvm0.internal).",
        check=checks.hostname,
        derived=True,
    ),
    Option(
        "servers",
        "list",
        "DNS servers that are asked for all other names. Defaults to those of the host; on a network whose guests "
        "reach no other networks, to none, so that nothing leaves it by DNS.",
        elements="str",
        check=checks.address_without_zone,
    ),
    Option(
        "host",
        "bool",
        "Whether programs of the host resolve the names with their domain too, by systemd-resolved, which must serve "
        "the host.",
        default=False,
    ),
)

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NO_DOMAIN = {
    "local": "is resolved by multicast DNS",
    "localhost": "always means the machine itself",
    "arpa": "is that of the names of addresses",
}


def is_label(text: str) -> bool:
    """Return whether a name may be a part of a domain name, which has no upper and lower case."""
    return _LABEL.fullmatch(text.lower()) is not None


def reaches_outside(network: Network) -> bool:
    """Return whether guests reach other networks by any protocol."""
    return network["nat"] or is_open(network)


def complete_dns_names(network: Network, path: str) -> None:
    """Fill in the domain, and refuse what guests could not use. Raises DeclarationError."""
    options = network["dns_names"]
    if options is None:
        return
    place = f"{path}.dns_names"
    if not options["domain"] and not is_label(network["name"]):
        raise DeclarationError(
            f"{place}.domain",
            f"the name of the network, {network['name']!r}, is no part of a domain name; give a domain",
        )
    options["domain"] = (options["domain"] or f"{network['name']}.internal").lower()
    reason = _NO_DOMAIN.get(options["domain"].rpartition(".")[2])
    if reason is not None:
        raise DeclarationError(
            f"{place}.domain", f"{options['domain']!r} {reason}; use another domain, such as guests.internal"
        )
    _check_access(network, path)


def _check_access(network: Network, path: str) -> None:
    if network["host_access"] == "none":
        raise DeclarationError(
            f"{path}.dns_names",
            "guests ask the host for names, which they do not reach with host_access: none; leave dns_names out, or "
            "set host_access to dns_dhcp",
        )
    for key, announced in (("dhcp_server", network["dhcp_server"]), ("ipv6", network["ipv6"])):
        if announced is not None and announced["dns"]:
            raise DeclarationError(
                f"{path}.{key}.dns",
                "with dns_names the host is the DNS server that is announced; leave it out, and write servers that "
                "other names are asked of into dns_names.servers",
            )


def refuse_same_domain(network: Network, other: Network, path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, where two networks of a host have the same domain."""
    options, other_options = network["dns_names"], other["dns_names"]
    if options is not None and other_options is not None and options["domain"] == other_options["domain"]:
        raise DeclarationError(
            f"{path}.dns_names.domain",
            f"{options['domain']!r} is also the domain of network {other['name']!r}; use a domain for each",
        )
