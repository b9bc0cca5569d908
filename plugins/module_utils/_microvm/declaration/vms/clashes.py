# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what two MicroVMs of a host must not share: names, addresses, identities, images, ports, devices."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from ...schema.errors import DeclarationError
from ..types import PackagedVm
from .claims import Claim, claims
from .disks import BY_SPELLING, Disks

_Claims = Dict[Tuple[str, str], List[Tuple[Claim, str]]]
"""Claims of each subject, with those who make them."""


def clashes(
    declarations: Sequence[PackagedVm],
    name: Callable[[int], str],
    installed: Sequence[PackagedVm] = (),
    disks: Disks = BY_SPELLING,
) -> Iterator[Tuple[int, DeclarationError]]:
    """Yield clashes by the index of the second MicroVM; ``name`` is how a MicroVM of an index is called."""
    earlier: _Claims = {}
    for vm in installed:
        for claim in claims(vm, disks):
            _add(earlier, claim, f"the MicroVM {vm['name']!r}, which is on the host")
    for index, declaration in enumerate(declarations):
        if declaration.get("state") != "absent":
            yield from ((index, DeclarationError(*problem)) for problem in disks.misplaced(declaration))
        for claim in claims(declaration, disks):
            other = next((owner for made, owner in _like(earlier, claim) if claim.excludes(made)), None)
            if other is None:
                _add(earlier, claim, f"{name(index)}.{claim.key}")
            else:
                message = f"the {claim.kind} {claim.value!r} is already used by {other}; {claim.rule}"
                yield index, DeclarationError(claim.key, message)


def _like(earlier: _Claims, claim: Claim) -> Sequence[Tuple[Claim, str]]:
    return earlier.get((claim.kind, claim.subject), ())


def _add(earlier: _Claims, claim: Claim, owner: str) -> None:
    earlier.setdefault((claim.kind, claim.subject), []).append((claim, owner))
