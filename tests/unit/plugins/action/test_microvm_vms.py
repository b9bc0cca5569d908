# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller does before the module runs, with Nix itself; the host has the controller's store."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

import pytest
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible_collections.microvm.fleet.plugins.action.microvm_vm import ActionModule as OneAction
from ansible_collections.microvm.fleet.plugins.action.microvm_vms import ActionModule
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import runner_attribute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.plugin_utils import flake_action
from ansible_collections.microvm.fleet.plugins.plugin_utils.flake_builds import Builds

from ..module_utils._microvm.real_nix import RealNix, real_nix, runner

__all__ = ["real_nix"]

MODULE = "microvm.fleet.microvm_vms"


class Controller:
    """The action, and a fake of the modules that it runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: List[Dict[str, Any]] = []
        """Arguments of each call of a module, and whether it was in check mode."""
        self.refuses = False
        self.errors: List[str] = []
        """MicroVMs with an error of their own."""
        self.installed: Dict[str, str] = {}
        self.bad: Dict[str, str] = {}
        """Packages that are marked bad, by MicroVM."""
        self.unusable: Dict[str, Dict[str, Any]] = {}
        """Answers of microvm_info for MicroVMs whose package is lost or somebody else's."""
        self.rendered: List[str] = []
        """MicroVMs whose package records what it was made from."""
        self.evaluated: List[str] = []
        """The flake of each evaluation."""
        evaluate = flakes.evaluate

        def counted(flake: str, *arguments: Any) -> Any:
            self.evaluated.append(flake)
            return evaluate(flake, *arguments)

        monkeypatch.setattr(flakes, "evaluate", counted)

    def run(self, arguments: Dict[str, Any], check_mode: bool = False, action: Any = ActionModule) -> Dict[str, Any]:
        """Run the action."""
        task: Any = Task()
        task.args, task.check_mode, task.action = arguments, check_mode, MODULE
        connection = SimpleNamespace(transport="local", has_native_async=False, _shell=SimpleNamespace(tmpdir=None))
        module = action(task, connection, SimpleNamespace(), None, None, None)

        variables = {"inventory_hostname": "east", "hostvars": {}}

        def execute(*values: Any, **options: Any) -> Dict[str, Any]:
            # Called as Ansible's own method is, which needs the variables by their name.
            given = inspect.signature(ActionBase._execute_module).bind(module, *values, **options).arguments
            assert given["task_vars"] is variables and "tmp" not in given
            module_name = given.get("module_name", MODULE)
            module_args: Any = given.get("module_args")
            if module_name == "microvm.fleet.microvm_info":
                names = module_args["names"]
                return {"vms": [self.information(name) for name in names if name in self.installed]}
            self.calls.append({**(task.args if module_args is None else module_args), "check": task.check_mode})
            if self.refuses:
                return {"failed": True, "msg": "refused"}
            vms = [{"name": name, "failed": True} for name in self.errors]
            return {"changed": bool(vms), "failed": bool(vms), "vms": vms}

        module._execute_module = execute
        result: Dict[str, Any] = module.run(None, variables)
        assert task.args is arguments and task.check_mode is check_mode
        return result

    def information(self, name: str) -> Dict[str, Any]:
        """Return what microvm_info says of a MicroVM."""
        current, bad = self.installed[name], self.bad.get(name)
        generations = [{"package": current, "bad": False}, {"package": bad, "bad": True}]
        declaration = {"name": name} if name in self.rendered else None
        return {
            "name": name,
            "current": current,
            "declaration": declaration,
            "error": None,
            "foreign": False,
            "generations": generations[: 2 if bad else 1],
            **self.unusable.get(name, {}),
        }

    def built(self) -> Dict[str, bool]:
        """Return whether the host had each package when the module was run at last."""
        return {name: entry["is_built"] for name, entry in self.calls[-1]["built"].items()}


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    return Controller(monkeypatch)


def declared(flake: str, name: str = "web", **options: Any) -> Dict[str, Any]:
    """Return a MicroVM whose flake the controller builds."""
    return {"name": name, "flake": flake, "build_on": "controller", **options}


def test_packages_are_built_after_the_module_has_verified_all(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    arguments = {"vms": [declared(flake), declared(flake, "db"), {"name": "other", "kernel": "/boot/vmlinuz"}]}
    controller.refuses = True
    assert controller.run(arguments)["msg"] == "refused"
    assert [call["check"] for call in controller.calls] == [True]
    package = controller.calls[0]["built"]["web"]
    assert controller.built() == {"web": False, "db": False} and not nix.is_valid(package["path"])
    controller.refuses = False
    assert not controller.run(arguments)["failed"]
    assert [call["check"] for call in controller.calls[1:]] == [True, False]
    assert nix.is_valid(package["path"]) and "web" in controller.calls[-1]["built"]
    # Once for both MicroVMs in each run.
    assert controller.evaluated == [flake, flake]
    assert package["installable"] == f"{flake}#nixosConfigurations.web.config.microvm.declaredRunner"
    # What the host has is neither built nor verified twice.
    controller.calls.clear()
    controller.run(arguments)
    assert len(controller.calls) == 1 and controller.built() == {"web": True, "db": True}


def test_a_fork_that_outlives_ansible_installs_nothing(
    real_nix: RealNix, controller: Controller, tmp_path: Path
) -> None:
    started, released, answer = tmp_path / "started", tmp_path / "released", tmp_path / "answer"
    script = f"/bin/touch {started}; until [ -e {released} ]; do /bin/sleep 0.05; done"
    arguments = {"vms": [declared(real_nix.write({"web": runner("web", script=script)}))]}
    ansible = os.fork()
    if ansible == 0:
        try:
            if os.fork() != 0:
                time.sleep(600)
            result = controller.run(arguments)
            written = [str(result.get("msg")), [call["check"] for call in controller.calls]]
            answer.with_suffix(".new").write_text(json.dumps(written))
            answer.with_suffix(".new").rename(answer)
        finally:
            os._exit(0)
    try:
        _wait_for(started)
    finally:
        os.kill(ansible, signal.SIGKILL)
        os.waitpid(ansible, 0)
        released.touch()
    _wait_for(answer)
    message, checks = json.loads(answer.read_text())
    # The module has verified the declarations, and was not run.
    assert message == "Ansible was killed while packages were built or copied, so none is installed"
    assert checks == [True]


def test_a_run_that_another_one_has_overtaken_installs_nothing(
    real_nix: RealNix, controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Builds.build
    newer: List[str] = ["/nix/store/newer"]

    def overtaken(*values: Any, **options: Any) -> None:
        build(*values, **options)
        controller.installed["web"] = newer[0]

    monkeypatch.setattr(Builds, "build", overtaken)
    controller.installed["web"] = "/nix/store/old"
    result = controller.run({"vms": [declared(real_nix.write({"web": runner("web")}))]})
    assert result["msg"].startswith("web: another package, /nix/store/newer, was installed while this run built")
    assert [call["check"] for call in controller.calls] == [True]
    # By one that has installed the same.
    flake = real_nix.write({"web": runner("web", "two")}, "other")
    evaluation = flakes.evaluate(flake, {"web": runner_attribute("web")})["web"]
    assert isinstance(evaluation, flakes.Evaluation)
    newer[0] = evaluation.path
    assert not controller.run({"vms": [declared(flake)]})["failed"]
    assert [call["check"] for call in controller.calls] == [True, True, False]


def test_a_host_without_nix_is_refused_unless_the_same_run_installs_it_before(
    real_nix: RealNix, controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = nix.find_program
    monkeypatch.setattr(nix, "find_program", lambda name: None if name == "nix-daemon" else find(name))
    arguments = {"vms": [declared(real_nix.write({"web": runner("web")}), build_on="east")]}
    for options, check_mode in (({}, False), ({}, True), ({"preflight": True}, False), ({"nix": True}, False)):
        assert "Nix is not installed on east" in controller.run({**arguments, **options}, check_mode)["msg"]
    assert controller.calls == []
    controller.run({**arguments, "nix": True}, check_mode=True)
    controller.run({**arguments, "nix": True, "preflight": True})
    assert len(controller.calls) == 2 and controller.built() == {"web": False}


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.05)


def test_what_was_evaluated_in_the_same_run_is_not_evaluated_again(real_nix: RealNix, controller: Controller) -> None:
    vms = [declared(real_nix.write({"web": runner("web")}))]
    controller.run({"vms": vms, "preflight": True})
    assert len(controller.calls) == 1 and controller.built() == {"web": False}
    evaluations = controller.calls[0]["built"]
    assert not nix.is_valid(evaluations["web"]["path"])
    controller.run({"vms": vms, "built": evaluations})
    assert len(controller.evaluated) == 1 and nix.is_valid(evaluations["web"]["path"])
    # Another attribute is another package.
    other = [declared(real_nix.write({"web": runner("web", mark="two")}, "other"))]
    controller.run({"vms": other, "built": evaluations})
    assert len(controller.evaluated) == 2 and controller.calls[-1]["built"]["web"] != evaluations["web"]


def test_check_mode_builds_on_request_alone(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"web": runner("web")})
    controller.run({"vms": [declared(flake)]}, check_mode=True)
    old = controller.calls[0]["built"]["web"]["path"]
    assert [call["check"] for call in controller.calls] == [True] and not nix.is_valid(old)
    controller.run({"vms": [declared(flake)], "check_builds": True}, check_mode=True)
    assert nix.is_valid(old) and controller.calls[-1]["built"]["web"]["diff"] == ""
    # The first call only verifies: nobody builds in it.
    assert [call.get("check_builds") for call in controller.calls[1:]] == [False, True]
    controller.installed["web"] = old
    script = "export PATH=/bin:/usr/bin; mkdir $out; head -c 200000 /dev/zero > $out/large"
    changed = real_nix.write({"web": runner("web", script=script)})
    controller.run({"vms": [declared(changed)], "check_builds": True}, check_mode=True)
    assert controller.calls[-1]["built"]["web"]["diff"].startswith("microvm: ")


def test_what_the_host_is_left_with_is_not_evaluated(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    vms = [declared(flake, manage="once"), declared(flake, "db", state="absent"), {"name": "own", "flake": flake}]
    controller.installed["web"] = "/nix/store/old"
    controller.run({"vms": vms})
    assert controller.evaluated == [] and "built" not in controller.calls[0]
    del controller.installed["web"]
    controller.run({"vms": vms})
    assert list(controller.calls[-1]["built"]) == ["web"]
    controller.run({"vms": [declared(flake)], "state": "absent"})
    assert len(controller.evaluated) == 1


def test_what_has_another_name_from_now_on_is_left_with_its_package(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"shop": runner("shop")})
    vms = [declared(flake, "shop", renamed_from="web", manage="once")]
    controller.installed["web"] = str(real_nix.store / "package")
    controller.run({"vms": vms})
    assert controller.evaluated == [] and "built" not in controller.calls[-1]
    controller.run({"vms": [declared(flake, "shop", renamed_from="web")]}, check_mode=True)
    assert controller.evaluated == [flake]
    # A package with a name is of no other MicroVM.
    controller.rendered.append("web")
    controller.run({"vms": vms}, check_mode=True)
    controller.rendered.clear()
    controller.installed["web"] = "/srv/packages/web"
    controller.run({"vms": vms}, check_mode=True)
    assert len(controller.evaluated) == 3 and "shop" in controller.calls[-1]["built"]


@pytest.mark.parametrize("said", [{"error": "the package is damaged"}, {"foreign": True}])
def test_a_lost_package_is_not_what_the_host_is_left_with(
    real_nix: RealNix, controller: Controller, said: Dict[str, Any]
) -> None:
    flake = real_nix.write({"web": runner("web"), "shop": runner("shop")})
    controller.installed["web"], controller.unusable["web"] = str(real_nix.store / "lost"), said
    controller.run({"vms": [declared(flake, manage="once")]})
    assert nix.is_valid(controller.calls[-1]["built"]["web"]["path"])
    controller.run({"vms": [declared(flake, "shop", renamed_from="web", manage="once")]})
    assert nix.is_valid(controller.calls[-1]["built"]["shop"]["path"])


def test_the_module_refuses_what_is_wrong(controller: Controller) -> None:
    for vms in ("web", 7, [declared("path:/f", mem="much")], [declared("path:/f", nix_arguments=["--no-check-sigs"])]):
        controller.run({"vms": vms})
        assert controller.calls[-1] == {"vms": vms, "check": False}
    assert controller.evaluated == []


def test_an_evaluation_that_fails_is_an_error_before_the_module_runs(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"web": 'throw "no such thing"'})
    result = controller.run({"vms": [declared(flake)]})
    assert result["failed"] and "no such thing" in result["msg"] and result["msg"].startswith("vms[0] (web).flake: ")
    assert controller.calls == []
    shutil.rmtree(os.path.join(real_nix.root, "flake"))


def test_a_host_that_is_not_in_the_inventory_is_refused_by_preflight(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"web": runner("web")})
    result = controller.run({"vms": [declared(flake, build_on="nowhere")], "preflight": True})
    assert result["failed"] and "`build_on: nowhere` names no host of the inventory" in result["msg"]
    assert controller.calls == []


def test_one_microvm_is_brought_as_several_are(real_nix: RealNix, controller: Controller) -> None:
    arguments = declared(real_nix.write({"web": runner("web")}))
    controller.run(arguments, action=OneAction)
    assert nix.is_valid(controller.calls[-1]["built"]["web"]["path"])
    assert [call["check"] for call in controller.calls] == [True, False]


def test_a_package_of_a_directory_is_not_evaluated_for_a_flake_that_others_have(controller: Controller) -> None:
    # As the role merges them with `microvm_defaults`.
    own = declared("path:/absent", runner="/srv/package")
    controller.run({"vms": [own]})
    assert controller.evaluated == [] and controller.calls == [{"vms": [own], "check": False}]


def test_it_is_not_evaluated_beside_one_of_a_flake(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"db": runner("db")})
    controller.run({"vms": [declared(flake, runner="/srv/package"), declared(flake, "db")]})
    assert list(controller.calls[-1]["built"]) == ["db"]


def test_an_error_of_one_microvm_does_not_stop_the_others(real_nix: RealNix, controller: Controller) -> None:
    controller.errors = ["web"]
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    result = controller.run({"vms": [declared(flake), declared(flake, "db")]})
    assert result["failed"] and result["changed"] and [call["check"] for call in controller.calls] == [True, False]
    assert nix.is_valid(controller.calls[-1]["built"]["db"]["path"])


def test_a_package_that_is_marked_bad_is_not_built(real_nix: RealNix, controller: Controller) -> None:
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    vms = [declared(flake), declared(flake, "db")]
    controller.run({"vms": vms, "preflight": True})
    paths = {name: entry["path"] for name, entry in controller.calls[-1]["built"].items()}
    controller.installed, controller.bad = {"web": "/nix/store/old", "db": "/nix/store/old"}, {"web": paths["web"]}
    controller.run({"vms": vms})
    assert not nix.is_valid(paths["web"]) and nix.is_valid(paths["db"])
    # The module refuses it only on a host that has another one.
    controller.installed["web"] = paths["web"]
    controller.run({"vms": vms})
    assert nix.is_valid(paths["web"])


def test_a_flake_that_every_user_of_the_controller_can_change_is_named(
    real_nix: RealNix, controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(flake_action._display, "warning", warnings.append)
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    place = real_nix.root / "flake"
    # As a team has its files, whose owner need not be who runs Ansible.
    os.chown(place, 65534, 65534)
    place.chmod(0o775)
    controller.run({"vms": [declared(flake), declared(flake, "db")], "preflight": True})
    assert warnings == [] and "web" in controller.calls[-1]["built"]
    place.chmod(0o777)
    controller.run({"vms": [declared(flake), declared(flake, "db")], "preflight": True})
    assert "web" in controller.calls[-1]["built"]
    assert len(warnings) == 1 and f"every user of the controller can change {place}, " in warnings[0]


def test_what_nix_does_is_shown_without_advice_that_nobody_can_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: List[str] = []
    monkeypatch.setattr(
        flake_action, "_display", SimpleNamespace(display=shown.append, v=lambda line: shown.append("v"))
    )
    connection: Any = SimpleNamespace()
    action = ActionModule(Task(), connection, *[connection] * 4)
    for line in (
        "building '/nix/store/x.drv'...",
        "hello from the build",
        "warning: you did not specify '--add-root'; the result might be removed by the garbage collector",
        "warning: Git tree is dirty",
    ):
        action._show(line)
    assert shown == ["nix: building '/nix/store/x.drv'...", "v", "nix: warning: Git tree is dirty"]
