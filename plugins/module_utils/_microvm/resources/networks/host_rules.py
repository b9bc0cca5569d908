# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables for what guests reach of their host: ``host_access`` and ``host_ports`` of any network. Pure."""

from __future__ import annotations

from typing import Iterator, Sequence

from ...declaration.networks.options import DNS_DHCP
from ...declaration.types import Network
from ...schema.quoting import nft_value

_ALL = """\
        {origin} accept
"""

_DNS = """\
        {origin} {target} meta l4proto {{ tcp, udp }} th dport 53 accept
"""

_ECHO = """\
        {origin} {target} {protocol} type echo-request accept
"""

_PORT = """\
        {origin} {target} {protocol} dport {port} accept
"""


def host_rules(network: Network, origin: str, target: str, echo: Sequence[str]) -> Iterator[str]:
    """Yield what guests reach of the host.

    Args:
        network: Network of the guests.
        origin: Condition for packets of its guests.
        target: Condition for packets to an address at which guests reach the host.
        echo: Protocols of echo requests that come under these conditions.
    """
    if network["host_access"] == "all":
        yield _ALL.format(origin=origin)
        return
    if network["host_access"] == DNS_DHCP:
        yield _DNS.format(origin=origin, target=target)
        for protocol in echo:
            yield _ECHO.format(origin=origin, target=target, protocol=nft_value(protocol))
    for text in network["host_ports"]:
        protocol, _slash, port = text.partition("/")
        yield _PORT.format(origin=origin, target=target, protocol=nft_value(protocol), port=nft_value(port))
