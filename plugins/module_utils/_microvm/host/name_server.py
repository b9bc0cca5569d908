# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a DNS server for an address (RFC 1035), which the resolver of the C library would ask of the host's servers."""

from __future__ import annotations

import os
import socket
import struct

PORT = 53
_RECURSION_DESIRED, _ADDRESS, _INTERNET = 0x0100, 1, 1
_CODE = 0x0F
_LARGEST = 512
"""Bytes of a message by UDP."""


def resolves(server: str, name: str, address: str, patience: float) -> bool:
    """Return whether a server answers within some seconds that a name has an IPv4 address."""
    question = _question(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(patience)
        try:
            # Connected, so that a port at which nobody listens is an error at once.
            asker.connect((server, PORT))
            asker.send(question)
            return _gives(asker.recv(_LARGEST), question, address)
        except OSError:
            return False


def _question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    head = os.urandom(2) + struct.pack("!HHHHH", _RECURSION_DESIRED, 1, 0, 0, 0)
    return head + labels + b"\0" + struct.pack("!HH", _ADDRESS, _INTERNET)


def _gives(answer: bytes, question: bytes, address: str) -> bool:
    """Return whether a message is the answer to a question, without an error, and has an address in its records."""
    is_answer = len(answer) > len(question) and answer[:2] == question[:2] and not answer[3] & _CODE
    return is_answer and socket.inet_aton(address) in answer[len(question) :]
