# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies between stores of Nix itself, over a program in place of SSH that runs a host's commands on this machine."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flakes import DeclaredFlake
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema import checks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.plugin_utils import flake_builds, nix_hosts
from ansible_collections.microvm.fleet.plugins.plugin_utils.flake_builds import Builds
from ansible_collections.microvm.fleet.plugins.plugin_utils.nix_hosts import CONTROLLER, NixHost

from ..module_utils._microvm.real_nix import RealNix, real_nix, remove_garbage, runner, shown_commands

__all__ = ["real_nix"]

ROOT = Path(__file__).resolve().parents[4]

# A host is a root directory with a store. As sshd does, it gives a line to a shell, whose environment is its own.
SSH = """\
#!/bin/sh
root=$1
shift
while [ "${1#-}" != "$1" ]; do shift; done
echo "$*" >> "$root/log"
[ -e "$root/refused" ] && { echo "host: Connection refused" >&2; exit 255; }
export NIX_REMOTE="local?root=$root" NIX_CONF_DIR="$root"
[ -e "$root/without" ] && PATH=/usr/sbin:/sbin
if [ -e "$root/cut" ]; then
    dd bs=1 count=100000 status=none | /bin/sh -c "$*"
    exit 255
fi
exec /bin/sh -c "$*"
"""

SETTINGS = "substituters =\nsandbox = false\nbuild-users-group =\nsandbox-paths = /bin /usr /lib /lib64\n"


@dataclass(frozen=True)
class Hosts:
    """Hosts of which each is a directory with a store."""

    directory: Path
    shown: list[str] = field(default_factory=list)

    def root(self, name: str) -> Path:
        """Return the directory of a host. Options of SSH have such characters too."""
        return self.directory / f"the {name}'s $HOME"

    def host(self, name: str, become: tuple[str, ...] = ()) -> NixHost:
        """Return a host, which is made if it is not there."""
        if not self.root(name).exists():
            self.root(name).mkdir()
            self.configure(name)
        return NixHost(name, ("ssh", str(self.root(name))), become)

    def configure(self, name: str, *settings: str) -> None:
        """Write the settings of Nix on a host."""
        (self.root(name) / "nix.conf").write_text("\n".join((SETTINGS, *settings)))

    def builds(self, target: NixHost) -> Builds:
        """Return builds for a host."""
        return Builds(target, self.host, self.shown.append)

    def has(self, name: str, path: str) -> bool:
        """Return whether the store of a host has a path, whose directory alone says nothing."""
        return NixHost(name, self.host(name).ssh).missing([path]).lines == ()

    def key(self, name: str) -> tuple[str, str]:
        """Make a key. Returns the file of its secret half, and the public one."""
        secret, public = self.directory / f"{name}.secret", self.directory / f"{name}.public"
        subprocess.run(["nix-store", "--generate-binary-cache-key", name, secret, public], check=True)
        return str(secret), public.read_text()


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Program in place of SSH, which is found as SSH is."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program.write_text(SSH)
    program.chmod(0o755)
    return Hosts(tmp_path)


def declared(flake: str, name: str = "web", build_on: str = "controller") -> DeclaredFlake:
    """Return what a MicroVM declares."""
    options: dict[str, Any] = {
        "name": name,
        "flake": flake,
        "attribute": None,
        "nix_arguments": [],
        "require_lock": False,
    }
    declaration: Any = {**options, "build_on": build_on}
    return DeclaredFlake(f"vms[{name}]", declaration, None)


def sign(key: str, path: str) -> None:
    """Sign a path on the controller."""
    subprocess.run(["nix", *nix.FEATURES, "store", "sign", "--key-file", key, path], check=True)


def test_a_copy_arrives_if_a_trusted_key_has_signed_it(real_nix: RealNix, hosts: Hosts) -> None:
    target = hosts.host("target")
    builds = hosts.builds(target)
    packages = [declared(flake := real_nix.write({name: runner(name) for name in ("web", "db")}), "web")]
    packages.append(declared(flake, "db"))
    evaluated = flake_builds.evaluations(packages, hosts.shown.append)
    paths = [evaluated[name].path for name in ("web", "db")]
    assert builds.missing(packages, evaluated) == packages and not any(map(nix.is_valid, paths))
    secret, public = hosts.key("trusted")
    for key in (None, hosts.key("untrusted")[0]):
        for path in paths if key is not None else ():
            sign(key or "", path)
        with pytest.raises(HostError, match=r"(?s)the copy to target failed: .*signature.*microvm_nix_trusted_keys"):
            builds.build(packages, evaluated)
        assert builds.missing(packages, evaluated) == packages
    hosts.configure("target", f"trusted-public-keys = {public}")
    for path in paths:
        sign(secret, path)
    copies = Counter(_copies(hosts))
    builds.build(packages, evaluated)
    # Both by one process, and with nothing in the line that ssh(1) or another one would split.
    assert Counter(_copies(hosts)) - copies == Counter({"target": 1})
    assert builds.missing(packages, evaluated) == [] and hosts.has("target", paths[0])
    # Whether Nix names the host is a matter of its version.
    assert any(line.startswith(f"copying path '{paths[0]}' to 'ssh-ng://") for line in hosts.shown)
    assert not list(hosts.directory.glob("microvm-nix-*"))


def _copies(hosts: Hosts) -> list[str]:
    """Return the name of the host for each connection that Nix has opened."""
    logs = {name: hosts.root(name) / "log" for name in ("target", "builder") if (hosts.root(name) / "log").exists()}
    return [name for name, log in logs.items() for line in log.read_text().splitlines() if "--stdio" in line]


@pytest.mark.parametrize(
    "words",
    [
        "error: cannot add path '/nix/store/a' because it lacks a signature by a trusted key",
        "error: cannot add path '/nix/store/a' because it lacks a valid signature",
        "substituter 'https://a' does not have a valid signature for path '/nix/store/a'",
        "ignoring substitute for '/nix/store/a', as it's not signed by any of the keys in 'trusted-public-keys'",
    ],
)
def test_the_way_out_of_missing_signatures_follows_the_words_of_each_version_of_nix(words: str) -> None:
    assert "secret-key-files" in nix_hosts.with_advice(words)


def test_a_named_host_builds_and_its_key_is_verified_by_the_target(real_nix: RealNix, hosts: Hosts) -> None:
    hosts.host("builder")
    builds = hosts.builds(hosts.host("target"))
    web = declared(real_nix.write({"web": runner("web", script="echo the build >&2")}), build_on="builder")
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    path = evaluated["web"].path
    with pytest.raises(HostError, match="microvm_nix_trusted_keys"):
        builds.build([web], evaluated)
    assert hosts.has("builder", path) and "the build" in hosts.shown
    secret, public = hosts.key("builder-1")
    hosts.configure("target", f"trusted-public-keys = {public}")
    changed = declared(real_nix.write({"web": runner("web", mark="two")}), build_on="builder")
    evaluated = flake_builds.evaluations([changed], hosts.shown.append)
    # A key on the host that builds signs without being asked.
    hosts.configure("builder", f"secret-key-files = {secret}")
    builds.build([changed], evaluated)
    assert hosts.has("target", evaluated["web"].path) and not nix.is_valid(evaluated["web"].path)


def test_the_host_of_a_microvm_builds_what_nobody_has_to_sign(real_nix: RealNix, hosts: Hosts) -> None:
    builds = hosts.builds(hosts.host("target"))
    web = declared(real_nix.write({"web": runner("web")}), build_on="target")
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    builds.build([web], evaluated)
    assert builds.missing([web], evaluated) == [] and not nix.is_valid(evaluated["web"].path)


@pytest.mark.parametrize("place", ["controller", "target"])
def test_a_failing_build_leaves_the_target_as_it_was(real_nix: RealNix, hosts: Hosts, place: str) -> None:
    builds = hosts.builds(hosts.host("target"))
    web = declared(real_nix.write({"web": runner("web", script="echo the reason >&2; exit 3")}), build_on=place)
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    with pytest.raises(HostError, match="the reason"):
        builds.build([web], evaluated)
    assert builds.missing([web], evaluated) == [web]


def test_a_copy_that_is_cut_leaves_nothing_and_is_repeated(real_nix: RealNix, hosts: Hosts) -> None:
    secret, public = hosts.key("trusted")
    builds = hosts.builds(hosts.host("target"))
    hosts.configure("target", f"trusted-public-keys = {public}")
    script = "PATH=/usr/bin:/bin; mkdir -p $out; head -c 1000000 /dev/zero > $out/large"
    web = declared(real_nix.write({"web": runner("web", script=script)}))
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    builds.build([web], evaluated, copies=False)
    sign(secret, evaluated["web"].path)
    (hosts.root("target") / "cut").touch()
    with pytest.raises(HostError, match="the copy to target failed"):
        builds.build([web], evaluated)
    (hosts.root("target") / "cut").unlink()
    assert builds.missing([web], evaluated) == [web]
    builds.build([web], evaluated)
    assert hosts.has("target", evaluated["web"].path)


@pytest.mark.parametrize("place", ["controller", "target"])
def test_what_has_come_to_a_host_is_kept_until_the_module_runs(
    real_nix: RealNix, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    secret, public = hosts.key("trusted")
    builds = hosts.builds(hosts.host("target"))
    hosts.configure("target", f"trusted-public-keys = {public}")
    vms = [
        declared(real_nix.write({name: runner(name) for name in ("web", "db")}), name, place) for name in ("web", "db")
    ]
    evaluated = flake_builds.evaluations(vms, hosts.shown.append)
    if place == "controller":
        builds.build(vms, evaluated, copies=False)
        for evaluation in evaluated.values():
            sign(secret, evaluation.path)
    root = hosts.root("target")
    environment = {**os.environ, "NIX_REMOTE": f"local?root={root}", "NIX_CONF_DIR": str(root)}
    keep, calls = NixHost.keep, []

    def after_a_collector(host: NixHost, packages: list[tuple[str, str]]) -> None:
        calls.append(packages)
        if len(calls) == 1:
            remove_garbage("nix-store", "--gc", environment=environment)
            assert builds.missing(vms, evaluated) == vms
        keep(host, packages)

    monkeypatch.setattr(NixHost, "keep", after_a_collector)
    builds.build(vms, evaluated)
    assert len(calls) == 2
    remove_garbage("nix-store", "--gc", environment=environment)
    assert builds.missing(vms, evaluated) == []
    assert nix.kept_packages("web") == [evaluated["web"].path]


def test_a_link_that_cannot_be_made_is_an_error_of_the_host(real_nix: RealNix, hosts: Hosts) -> None:
    builds = hosts.builds(hosts.host("target"))
    web = declared(real_nix.write({"web": runner("web")}), build_on="target")
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    (real_nix.root / "gcroots").touch()
    with pytest.raises(HostError, match=r"keeping packages on target failed: .*gcroots"):
        builds.build([web], evaluated)


def test_a_build_alone_copies_nothing(real_nix: RealNix, hosts: Hosts) -> None:
    builds = hosts.builds(hosts.host("target"))
    web = declared(real_nix.write({"web": runner("web")}))
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    builds.build([web], evaluated, copies=False)
    assert nix.is_valid(evaluated["web"].path) and builds.missing([web], evaluated) == [web]


@pytest.mark.parametrize("place", ["controller", "builder"])
def test_closures_in_stores_of_two_hosts_are_compared_where_they_are(
    real_nix: RealNix, hosts: Hosts, place: str
) -> None:
    builds = hosts.builds(hosts.host("target"))
    old = declared(real_nix.write({"web": runner("web-1.0")}), build_on="target")
    before = flake_builds.evaluations([old], hosts.shown.append)["web"]
    builds.build([old], {"web": before})
    script = "PATH=/usr/bin:/bin; mkdir -p $out; head -c 100000 /dev/zero > $out/large"
    web = declared(real_nix.write({"web": runner("web-1.1", script=script)}), build_on=place)
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    new = evaluated["web"].path
    assert builds.difference(web, before.path, new) == ""
    builds.build([web], evaluated, copies=False)
    copies = _copies(hosts)
    assert builds.difference(web, before.path, new).startswith("microvm-web: 1.0 \u2192 1.1, +97.")
    assert _copies(hosts) == copies and builds.missing([web], evaluated) == [web] and not nix.is_valid(before.path)
    (hosts.root("target") / "without").touch()
    assert builds.difference(web, before.path, new) == ""


def test_the_commands_of_the_documentation_make_a_key(real_nix: RealNix, tmp_path: Path) -> None:
    section = (ROOT / "docs/nix.md").read_text().partition("### Signatures of copies\n")[2]
    commands = section.partition("```console\n")[2].partition("```")[0].splitlines()
    home = tmp_path / "home"
    home.mkdir()
    for command in commands:
        subprocess.run(["sh", "-c", command.removeprefix("$ ")], env={**os.environ, "HOME": str(home)}, check=True)
    settings = home / ".config/nix"
    assert checks.nix_key((settings / "public").read_text().strip()) is None
    assert (settings / "nix.conf").read_text() == f"secret-key-files = {settings}/secret\n"
    assert stat.S_IMODE((settings / "secret").stat().st_mode) == 0o600


def test_thousands_of_packages_pass_through_ssh(real_nix: RealNix, hosts: Hosts) -> None:
    target = hosts.host("target")
    builds = hosts.builds(target)
    web = declared(flake := real_nix.write({"web": runner("web")}), build_on="target")
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    builds.build([web], evaluated)
    log = hosts.root("target") / "log"
    log.unlink()
    others = [declared(flake, f"web-{number}") for number in range(5000)]
    for number, vm in enumerate(others):
        evaluated[vm.name] = replace(evaluated["web"], path=f"{nix.STORE}{number:032d}-microvm-{vm.name}")
    assert builds.missing([*others[:2500], web, *others[2500:]], evaluated) == others
    derivation = evaluated["web"].derivation
    target.realise([derivation] * 5000, [], hosts.shown.append)
    text = log.read_text()
    assert text.count(derivation) == 5000 and text.count("--realise") > 1 and text.count("--print-invalid") > 1


def test_any_number_of_links_is_made_through_ssh(
    real_nix: RealNix, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = hosts.host("target")
    web = declared(real_nix.write({"web": runner("web")}), build_on="target")
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    hosts.builds(target).build([web], evaluated)
    (hosts.root("target") / "log").unlink()
    monkeypatch.setattr(nix_hosts, "_MOST_BYTES", 300)
    names = [f"web-{number}" for number in range(7)]
    target.keep([(name, evaluated["web"].path) for name in names])
    assert [nix.kept_packages(name) for name in names] == [[evaluated["web"].path]] * 7
    assert (hosts.root("target") / "log").read_text().count("--add-root") > 2


def test_a_host_without_nix_is_named(real_nix: RealNix, hosts: Hosts) -> None:
    builds = hosts.builds(hosts.host("target"))
    web = declared(real_nix.write({"web": runner("web")}))
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    (hosts.root("target") / "without").touch()
    # The same run may install it before.
    assert builds.missing([web], evaluated) == [web]
    with pytest.raises(HostError, match="Nix is not installed on target; install it there"):
        builds.build([web], evaluated)
    (hosts.root("target") / "refused").touch()
    with pytest.raises(HostError, match="the store of Nix on target cannot be used: host: Connection refused"):
        builds.missing([web], evaluated)


def test_hosts_without_nix_are_refused_before_anything_is_built(hosts: Hosts) -> None:
    builds = hosts.builds(hosts.host("target"))
    vms = [declared("path:/flake"), declared("path:/flake", "db", "builder")]
    builds.verify(vms, vms, False)
    (hosts.root("builder") / "without").touch()
    with pytest.raises(DeclarationError, match=r"installed on builder; install it there.* or name another host$") as no:
        builds.verify(vms, vms, False)
    assert no.value.path == "vms[db].build_on"
    builds.verify(vms, vms[:1], False)
    (hosts.root("target") / "without").touch()
    with pytest.raises(HostError, match=r"Nix is not installed on target; install it there \(.*\)$"):
        builds.verify(vms, vms[:1], False)
    # The same run installs it.
    builds.verify(vms, vms[:1], True)
    builds.verify(vms, [], False)


def test_root_is_reached_without_a_password(real_nix: RealNix, hosts: Hosts) -> None:
    sudo = hosts.directory / "my sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift && BECOME=yes exec "$@"\n')
    sudo.chmod(0o755)
    web = declared(real_nix.write({"web": runner("web")}), build_on="target")
    evaluated = flake_builds.evaluations([web], hosts.shown.append)
    target = hosts.host("target", (str(sudo), "-n"))
    hosts.builds(target).build([web], evaluated)
    assert hosts.builds(target).missing([web], evaluated) == []
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    with pytest.raises(HostError, match=r"(?s)a password is required.*without one.*build_on: target"):
        hosts.builds(target).missing([web], evaluated)
    # A shell answers for it as it does for Nix.
    sudo.unlink()
    with pytest.raises(HostError, match=r"the store of Nix on target cannot be used: .*my sudo.*not found"):
        hosts.builds(target).missing([web], evaluated)


def test_another_system_is_refused_before_anything_is_built(real_nix: RealNix, hosts: Hosts) -> None:
    flake = real_nix.write({name: runner(name, system="riscv64-linux") for name in ("web", "db")})
    vms = [declared(flake), declared(flake, "db")]
    evaluated = flake_builds.evaluations(vms, hosts.shown.append)
    expected = (
        r"(?s)^vms\[web\].flake: path:.*: it is built for riscv64-linux, and target is .*\nvms\[db\].flake: path:"
    )
    with pytest.raises(DeclarationError, match=expected):
        hosts.builds(hosts.host("target")).missing(vms, evaluated)


def test_all_that_cannot_be_evaluated_is_named(real_nix: RealNix, hosts: Hosts) -> None:
    flake = real_nix.write({"web": 'throw "the first"', "db": 'throw "the second"', "ok": runner("ok")})
    expected = r"(?s)vms\[web\].flake: path:.*#nixosConfigurations.web.*the first.*vms\[db\].flake: .*the second"
    with pytest.raises(DeclarationError, match=expected):
        flake_builds.evaluations([declared(flake, name) for name in ("web", "db", "ok")], hosts.shown.append)


def test_forks_of_ansible_evaluate_a_flake_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flake_builds, "RUN_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(nix, "find_program", lambda name: name)
    vms = [declared("path:/b"), declared("path:/a"), declared("path:/b", "db")]
    locked: list[bool] = []

    def evaluate(_vms: object, _show: object) -> list[Any]:
        locked.extend(map(_is_locked, tmp_path.iterdir()))
        return []

    monkeypatch.setattr(flake_builds, "evaluate_groups", evaluate)
    flake_builds.evaluations(vms, print)
    assert locked == [True, True] and not any(map(_is_locked, tmp_path.iterdir()))


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_controller_builds_all_by_one_process(
    real_nix: RealNix, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    flake = real_nix.write({name: runner(name) for name in ("web", "db")})
    vms = [declared(flake), declared(flake, "db")]
    evaluated = flake_builds.evaluations(vms, hosts.shown.append)
    commands = shown_commands(monkeypatch)
    hosts.builds(hosts.host("target")).build(vms, evaluated, copies=False)
    assert len(commands) == 1 and all(nix.is_valid(evaluation.path) for evaluation in evaluated.values())


def test_a_controller_without_nix_is_named(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix, "find_program", lambda name: None)
    expected = r"vms\[web\].build_on: controller lets the controller evaluate .*Nix is not installed on the controller"
    with pytest.raises(DeclarationError, match=expected):
        flake_builds.evaluations([declared("path:/flake")], hosts.shown.append)


def test_a_copy_within_one_store_is_none(hosts: Hosts) -> None:
    nix_hosts.copy(["/nix/store/none"], CONTROLLER, NixHost("local"), hosts.shown.append)
    assert hosts.shown == []
