# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identities that follow from a MicroVM's name, so that every controller derives the same ones.

But for the machine id, all are cut from SHA-256 over a purpose and the name; the purpose keeps one identity from
telling another.
"""

from __future__ import annotations

import base64
import hashlib
import uuid

TAP_PREFIX = "mv-"
"""Prefix of every derived tap name; hosts leave such interfaces to us (role ``network``)."""

ACCOUNT_PREFIX = "microvm-"
"""Prefix of every derived account name."""

_ACCOUNT_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-"
_ACCOUNT_LENGTH = 31 - len(ACCOUNT_PREFIX)

STORE_SERIAL = "microvm-store"
"""The virtio serial by which a guest finds its read-only root disk."""


def _hash(purpose: str, *parts: str) -> bytes:
    return hashlib.sha256("\0".join((purpose,) + parts).encode()).digest()


_NAMESPACE = uuid.UUID("6d696372-6f76-6d2e-666c-656574000000")
"""Namespace of derived UUIDs: the bytes of ``microvm.fleet``."""


def machine_id(name: str) -> str:
    """Return 32 hexadecimal digits for ``/etc/machine-id`` (machine-id(5)): a UUID of version 5 (RFC 9562)."""
    return uuid.uuid5(_NAMESPACE, name).hex


def as_uuid(machine_id: str) -> str:
    """Return a machine id as SMBIOS and machined write it."""
    return str(uuid.UUID(machine_id))


def mac_address(name: str, index: int) -> str:
    """Return a local unicast address (IEEE 802: second-lowest bit of the first octet set, lowest clear)."""
    octets = _hash("mac", name, str(index))[:5]
    return ":".join(["02"] + [f"{octet:02x}" for octet in octets])


LEAST_CONTEXT, MOST_CONTEXT = 1 << 16, (1 << 31) - 1
"""Range of derived context identifiers. Smaller ones are for people to choose; greater ones have the bit of the sign,
where a program takes them for signed."""


def derived_context(name: str) -> int:
    """Return a guest's address in vsock(7)."""
    return LEAST_CONTEXT + int.from_bytes(_hash("vsock", name)[:8], "big") % (MOST_CONTEXT - LEAST_CONTEXT + 1)


def tap_name(name: str, index: int) -> str:
    """Return at most 15 characters (the kernel's IFNAMSIZ): the prefix, what fits of the name, and 30 bits of hash."""
    letters = "".join(character for character in name.lower() if character.isalnum())[:5]
    code = base64.b32encode(_hash("tap", name, str(index))).decode().lower()[:6]
    return f"{TAP_PREFIX}{letters}-{code}"


def account_name(name: str) -> str:
    """Return the name of the MicroVM's own user and group.

    It has at most 31 characters (systemd-sysusers' limit), of which the last eight tell names apart that are too long
    or have other characters than lower-case letters, digits, ``_`` and ``-``.
    """
    plain = "".join(character if character in _ACCOUNT_CHARACTERS else "-" for character in name.lower())
    if plain == name and len(name) <= _ACCOUNT_LENGTH:
        return f"{ACCOUNT_PREFIX}{name}"
    code = base64.b32encode(_hash("account", name)).decode().lower()[:8]
    return f"{ACCOUNT_PREFIX}{plain[: _ACCOUNT_LENGTH - 9]}-{code}"


def volume_serial(image: str) -> str:
    """Return a virtio-blk serial (20 bytes at most) that stays with the image when volumes are reordered."""
    return "mv-" + _hash("serial", image).hex()[:16]
