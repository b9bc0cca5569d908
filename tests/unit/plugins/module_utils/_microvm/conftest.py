# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests of the collection's code."""

from __future__ import annotations

from .fake_host import host

__all__ = ["host"]
