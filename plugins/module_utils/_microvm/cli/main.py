# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``microvm``: who does what is asked."""

from __future__ import annotations

import importlib
import os
import sys
from typing import List, Optional

from ..schema.errors import DeclarationError
from .output import complain
from .parser import parser
from .short_forms import translate
from .source import SourceError


def main(arguments: Optional[List[str]] = None) -> int:
    """Do what is asked; returns the exit status."""
    parsed = parser().parse_args(translate(sys.argv[1:] if arguments is None else arguments))
    # Hypervisors must be able to read the files written here, whatever root's umask is.
    os.umask(0o022)
    from ..host.commands import HostError

    try:
        # Only the modules that the command needs are imported, so that small commands are quick.
        module, _colon, function = parsed.run.partition(":")
        return int(getattr(importlib.import_module(f".commands.{module}", __package__), function)(parsed))
    except (SourceError, HostError, DeclarationError) as error:
        complain(f"microvm: {error}")
    except BrokenPipeError:
        # The reader of a pipe has closed it; the interpreter would complain when it flushes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        complain(f"microvm: {error}")
    except KeyboardInterrupt:
        complain("microvm: interrupted; the same command completes what it has begun")
        return 130
    return 1
