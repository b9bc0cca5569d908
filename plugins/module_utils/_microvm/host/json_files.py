# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON files of ours on a host, which may be damaged: by a disk, by hand, by another version."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from ..schema.compaction import read_record
from ..schema.options import Options
from . import files
from .files import UnreadableFile


def read_json_record(path: str, options: Options) -> Optional[Dict[str, Any]]:
    """Return the record in a JSON file, completed by its option table; ``None`` where there is no file.

    Raises UnreadableFile.
    """
    text = files.read_text(path)
    return None if text is None else parse_json_record(path, text, options)


def parse_json_record(path: str, text: str, options: Options) -> Dict[str, Any]:
    """Return the record in the content of a JSON file. Raises UnreadableFile."""
    if not text.strip("\0 \n"):
        raise UnreadableFile(path, "is empty")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableFile(path, "is not JSON") from None
    try:
        return read_record(options, value)
    except ValueError as error:
        raise UnreadableFile(path, f"is not what a version of this collection writes: {error}") from None
