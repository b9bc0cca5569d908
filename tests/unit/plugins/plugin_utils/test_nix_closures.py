# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Differences between closures are those that Nix itself names of two closures in one store."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation
from ansible_collections.microvm.fleet.plugins.plugin_utils.nix_closures import closure_difference
from ansible_collections.microvm.fleet.plugins.plugin_utils.nix_hosts import CONTROLLER

from ..module_utils._microvm.real_nix import OWN_SYSTEM, RealNix, real_nix, runner

__all__ = ["real_nix"]


DEPENDENCY = """\
echo ${{derivation {{
  name = "{name}"; system = "{system}"; builder = "/bin/sh"; args = [ "-c" "/usr/bin/head -c {size} /dev/zero > $out" ];
}}}} >> $out/needed
"""


def needed(*packages: tuple[str, int]) -> str:
    """Return a script of a build whose result refers to packages with names and sizes."""
    system = OWN_SYSTEM
    words = (DEPENDENCY.format(name=name, size=size, system=system) for name, size in packages)
    return "/bin/mkdir -p $out\n" + "".join(words)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([("linux-6.1", 100), ("same-1", 9)], [("linux-6.12", 100_000), ("same-1", 9)]),
        ([("zlib-1.2-dev", 9), ("zlib-1.2-bin", 9)], [("zlib-1.2", 9), ("zlib-1.3-lib32", 9)]),
        ([("unit-web.service", 9), ("a-b-2c-3", 9)], [("unit-db.service", 90_000), ("a-b-2c", 9)]),
        ([("small", 9), ("gone", 9), ("many-1", 9), ("many-2", 9)], [("small", 99), ("many-2", 9), ("many-10", 9)]),
        ([("shrunk-1", 70_000), ("with?mark-1", 9)], [("shrunk-1", 9), ("with?mark-2", 9)]),
    ],
)
def test_they_are_those_that_nix_names(
    real_nix: RealNix, before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    paths = []
    for packages in (before, after):
        flake = real_nix.write({"web": runner("web", script=needed(*packages))})
        evaluation = flakes.evaluate(flake, {"web": "nixosConfigurations.web.config.microvm.declaredRunner"})["web"]
        assert isinstance(evaluation, Evaluation), evaluation
        paths.append(flakes.build_evaluated(evaluation, None))
    old, new = map(CONTROLLER.closure, paths)
    command = ["nix", *nix.FEATURES, "store", "diff-closures", *paths]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    expected = said.replace("\x1b[31;1m", "").replace("\x1b[32;1m", "").replace("\x1b[0m", "")
    assert len(old) == len(before) + 1 and expected != "" and closure_difference(old, new) == expected


def test_equal_closures_differ_in_nothing() -> None:
    closure = {"/nix/store/x-web-1": 9}
    assert closure_difference(closure, closure) == "" == closure_difference({}, {})
