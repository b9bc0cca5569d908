# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's playbooks and roles with fake modules, which record what they are called with and change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]

MODULE = """\
#!/usr/bin/python
# WANT_JSON
import json, os, sys

with open(sys.argv[1]) as file:
    arguments = json.load(file)
with open("{log}", "a") as log:
    log.write(json.dumps({{"module": "{name}", **arguments}}) + "\\n")
result = {{"changed": not arguments["_ansible_check_mode"], "vms": [], "undeclared": []}}
unsure = [network["name"] for network in arguments.get("networks", ()) if network["name"].startswith("unsure")]
result["unconfirmed"], result["waiting"] = ([] if arguments.get("confirm") else unsure), []
image = arguments.get("image")
if isinstance(image, dict):
    result.update(name=image["name"], digest="0" * 32, path="/images/" + "0" * 32, files=[], store_disk_type="erofs")
    result["kernel_lacks"], result["uses_host_key"], result["nix"] = ["CONFIG_NET_9P_VIRTIO"], True, True
if arguments.get("state") == "installed":
    result["actions"] = []
result["kept"] = ["former"] if any(each["name"] == "follows" for each in arguments.get("networks", ())) else []
declared = [*arguments.get("networks", ()), *arguments.get("vms", ()), *([image] if image else ())]
if arguments.get("preflight"):
    # Hosts have a MicroVM that they do not declare, except some.
    names = [vm["name"] for vm in arguments.get("vms", ())]
    result["vms"] = [{{"name": name}} for name in names if name != "kept"]
    flakes = {{vm["name"]: vm["flake"] for vm in arguments.get("vms", ()) if vm.get("flake")}}
    result["evaluations"] = {{name: {{"path": "/nix/store/" + name, "installable": flakes[name]}} for name in flakes}}
    result["undeclared"] = [] if {{"idle", "left"}} & set(names) else ["left", "kept"]
if "{name}" == "microvm_info":
    result["vms"] = [
        {{"name": name, "state": "active" if name.startswith("up") else "inactive"}} for name in arguments["names"]
    ]
elif not arguments.get("preflight"):
    result["vms"] = [
        {{"name": vm["name"], "failed": vm["name"].startswith("broken")}} for vm in arguments.get("vms", ())
    ]
    result["summary"] = [
        vm["name"] + (" failed" if vm["failed"] else " changed") for vm in result["vms"] if vm["name"] != "idle"
    ]
    if any(vm["name"] == "moved" for vm in result["vms"]):
        result["summary"].append("Installed on the host but not declared (microvm_purge: report): own")
    result["failed"] = any(vm["failed"] for vm in result["vms"])
refused = [entry["name"] for entry in declared if entry["name"].startswith("wrong")]
if refused:
    result.update(failed=True, msg=" ".join(refused) + " cannot be")
print(json.dumps(result))
"""

UNREACHABLE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
"""Variables of a host whose SSH port nobody listens on."""

HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
"""Variables of a host that is this machine."""

BECOME = {"ansible_become": True, "ansible_become_user": "daemon", "ansible_become_exe": "/bin/false"}
"""Variables of a user who may not become another."""


@dataclass(frozen=True)
class Run:
    """Outcome of a playbook."""

    status: int
    output: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Arguments of the calls of fake modules, in order."""

    def changing(self) -> list[dict[str, Any]]:
        """Return the calls outside of check mode and preflight."""
        return [call for call in self.calls if not call["_ansible_check_mode"] and not call.get("preflight")]


def run(directory: Path, hosts: Mapping[str, Any], *arguments: str, common: Mapping[str, Any] | None = None) -> Run:
    """Run a playbook, by default ``site``, for hosts with their variables; ``common`` are those of all."""
    log = directory / "calls"
    log.write_text("")
    (directory / "ansible.cfg").write_text("")
    _lay_out(directory, log)
    inventory = {"all": {"vars": dict(common or {}), "children": {"microvm_hosts": {"hosts": dict(hosts)}}}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(directory),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "LC_ALL": "C.UTF-8",
    }
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = [program, "-i", str(directory / "hosts.yml"), *(arguments or ("microvm.fleet.site",))]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=directory, timeout=120, check=False
    )
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    return Run(result.returncode, result.stdout + result.stderr, calls)


def _lay_out(directory: Path, log: Path) -> None:
    collection = directory / "ansible_collections" / "microvm" / "fleet"
    modules = collection / "plugins" / "modules"
    modules.mkdir(parents=True, exist_ok=True)
    for name in (
        "meta",
        "playbooks",
        "roles",
        "plugins/action",
        "plugins/filter",
        "plugins/lookup",
        "plugins/module_utils",
        "plugins/plugin_utils",
    ):
        if not (collection / name).exists():
            (collection / name).symlink_to(ROOT / name)
    for path in (ROOT / "plugins" / "modules").glob("microvm_*.py"):
        (modules / path.name).write_text(MODULE.format(name=path.stem, log=log))
