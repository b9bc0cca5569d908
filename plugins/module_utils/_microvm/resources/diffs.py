# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diffs of what plans change, as Ansible shows them. Pure."""

from __future__ import annotations

from typing import Iterable, List, Mapping, TypedDict


class Diff(TypedDict):
    """Entry of a module's ``diff``."""

    before_header: str
    after_header: str
    before: str
    after: str


def difference(subject: str, before: str, after: str) -> Diff:
    """Return the diff of one subject."""
    return {"before_header": subject, "after_header": subject, "before": before, "after": after}


def differences(subjects: Iterable[str], before: Mapping[str, str], after: Mapping[str, str]) -> List[Diff]:
    """Return the diffs of some subjects, of two mappings to content; what is missing is empty."""
    return [difference(subject, before.get(subject, ""), after.get(subject, "")) for subject in subjects]
