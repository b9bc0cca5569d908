# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of all properties, before any of them is read: those of Hypothesis itself have time limits."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Deterministic, as every test here: the same declarations on every machine, however busy it is.
settings.register_profile(
    "ours",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
settings.load_profile("ours")
