# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparisons of MicroVMs with their flakes, which Nix itself evaluates in a store of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import install
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import runner_attribute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flake_states import flake_states
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Plan

from ..real_nix import OWN_SYSTEM, RealNix, real_nix, runner

__all__ = ["real_nix"]

SYSTEM = """\
{runner};
nixosConfigurations."sys".config.system.build.toplevel = derivation {{
  name = "nixos-system-sys-25.11"; system = "{system}"; builder = "/bin/sh";
}}"""


def evaluated(flake: str, name: str) -> str:
    """Return the path of the package that a flake has for a MicroVM."""
    found = flakes.evaluate(flake, {name: runner_attribute(name)})[name]
    assert isinstance(found, Evaluation)
    return found.path


def vm(places: Places, name: str, flake: str, current: str, booted: str | None, pending: bool = False) -> Any:
    """Return what is known of a MicroVM that was built from a flake."""
    directory = Path(places.state(name))
    directory.mkdir(parents=True)
    if flake:
        (directory / "flake").write_text(flake)
    return {"name": name, "current": current, "booted": booted, "restart_pending": pending, "foreign": False}


def test_each_microvm_is_compared_with_its_flake_and_one_that_fails_hides_no_other(
    real_nix: RealNix, tmp_path: Path
) -> None:
    places = Places(str(tmp_path / "vms"))
    system = SYSTEM.format(runner=runner("sys"), system=OWN_SYSTEM)
    names = ("web", "new", "off", "old")
    first = real_nix.write({**{name: runner(name) for name in names}, "bad": 'throw "no such thing"'})
    second = real_nix.write({"sys": system}, "second")
    paths = {name: evaluated(first, name) for name in names}
    former = f"{real_nix.store}/{'0' * 32}-microvm-qemu-sys"
    states = flake_states(
        [
            vm(places, "web", first, paths["web"], paths["web"]),
            vm(places, "new", first, paths["new"], former, pending=True),
            vm(places, "off", first, paths["off"], None),
            vm(places, "old", first, former, former),
            vm(places, "bad", first, former, former),
            vm(places, "sys", second, former, former),
            vm(places, "lone", "", former, former),
        ],
        places,
    )
    assert {name: state["state"] for name, state in states.items()} == {
        "web": "current",
        "new": "stale",
        "off": "not booted",
        "old": "outdated",
        "bad": "unknown",
        "sys": "outdated",
    }
    assert "no such thing" in (states["bad"]["error"] or "") and states["web"]["error"] is None
    assert (states["sys"]["system"], states["sys"]["new_system"]) == ("microvm-qemu-sys", "nixos-system-sys-25.11")
    assert (states["old"]["new_system"], states["old"]["package"]) == ("microvm-old", paths["old"])
    assert not any(Path(path).exists() for path in paths.values())


def test_an_update_says_which_packages_differ(real_nix: RealNix, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for version in ("1.0", "2.0"):
        flake = real_nix.write({"web": runner(f"web-{version}")})
        found = flakes.evaluate(flake, {"web": runner_attribute("web")})["web"]
        assert isinstance(found, Evaluation)
        paths.append(nix.realise(found.derivation, None))
    capsys.readouterr()
    install.print_closures(Plan("web", (), paths[1], paths[0]))
    assert "microvm-web: 1.0 → 2.0" in capsys.readouterr().out
    install.print_closures(Plan("web", (), paths[1], paths[1]))
    install.print_closures(Plan("web", (), paths[1], "8036e47c17d40a1f21eb16074a649559-web"))
    assert capsys.readouterr().out == ""
