# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the networks of a host into the declared state: observes, plans, applies."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ...declaration.names import CONFIGURATION_DIRECTORY, FLEET_DIRECTORY, NETWORK_UNIT
from ...declaration.networks.parse import Network, parse_networks
from ...host import files, systemd
from ...host.commands import HostError, run
from ...host.locks import locked
from .configuration import NETWORKD_DIRECTORY, RECORD, RULES, SYSCTLS, TABLE, UNIT, is_ours, rules_digest
from .plan import NETWORKD, Action, Link, Observed, Plan, has_address, plan

MARK = f"{FLEET_DIRECTORY}/network.changing"
"""There while files and what systemd has read of them may differ; what a killed run leaves for the next one."""

FORWARDING = "/proc/sys/net/ipv4/ip_forward"
WAIT_SECONDS = 30
LOCK = "@networks"
"""Not the name of any MicroVM."""


def reconcile_networks(raw: Sequence[Mapping[str, Any]], check_mode: bool) -> Dict[str, Any]:
    """Returns ``changed``, ``actions``, ``kept`` and ``diff``.

    Raises DeclarationError, before anything has changed, and HostError.
    """
    networks = parse_networks(raw)
    with contextlib.nullcontext() if check_mode else locked([LOCK]):
        observed = observe()
        planned = plan(observed, networks)
        if not check_mode:
            apply(planned, networks)
    return {
        "changed": planned.changed,
        "actions": [str(step) for step in planned.steps],
        "kept": sorted(planned.kept),
        "diff": _diff(observed, planned),
    }


def observe() -> Observed:
    """One look at our files, one question to systemd, one listing of bridges, one of our table."""
    paths = [*glob.glob(f"{NETWORKD_DIRECTORY}/*-microvm-*"), RECORD, RULES, SYSCTLS, UNIT]
    texts = {path: files.read_text(path) for path in sorted(paths) if is_ours(path)}
    units = systemd.show([NETWORKD, NETWORK_UNIT])
    return Observed(
        files={path: text for path, text in texts.items() if text is not None},
        interrupted=os.path.exists(MARK),
        links=_links(),
        rules=_loaded_rules(),
        forwarding=(files.read_text(FORWARDING) or "").strip() == "1",
        networkd=units[NETWORKD],
        unit=units[NETWORK_UNIT],
    )


def _links() -> Dict[str, Link]:
    links = {}
    for link in json.loads(run(["ip", "-json", "address", "show"])):
        name = link["ifname"]
        addresses = [f"{address['local']}/{address['prefixlen']}" for address in link["addr_info"]]
        is_bridge = os.path.isdir(f"/sys/class/net/{name}/bridge")
        ports = sorted(os.listdir(f"/sys/class/net/{name}/brif")) if is_bridge else []
        links[name] = Link(is_bridge, tuple(addresses), tuple(ports))
    return links


def _loaded_rules() -> Optional[str]:
    try:
        return rules_digest(run(["nft", "list", "table", "ip", TABLE]))
    except HostError:
        # There is no such table, or no nftables yet.
        return None


def apply(planned: Plan, networks: Sequence[Network]) -> None:
    """Carry a plan out and wait until the bridges have their addresses. Raises HostError."""
    changes_files = bool(planned.targets(Action.WRITE, Action.REMOVE))
    if changes_files:
        os.makedirs(FLEET_DIRECTORY, exist_ok=True)
        files.replace_file(MARK, b"")
    for step in planned.steps:
        _WORK[step.action](step.target, planned)
    if planned.changed:
        _wait(networks)
    files.remove(MARK)


def _write(path: str, planned: Plan) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.replace_file(path, planned.files[path].encode())


def _remove(path: str, _planned: Plan) -> None:
    files.remove(path)
    if os.path.dirname(path) == CONFIGURATION_DIRECTORY and not os.listdir(CONFIGURATION_DIRECTORY):
        os.rmdir(CONFIGURATION_DIRECTORY)


Work = Callable[[str, Plan], object]
"""Given a step's target."""


def _command(*words: str) -> Work:
    """A command to which the target is added."""
    return lambda target, _planned: run([*words, target])


_WORK: Dict[Action, Work] = {
    Action.UNLOAD_RULES: _command("systemctl", "disable", "--now", "--quiet"),
    Action.WRITE: _write,
    Action.REMOVE: _remove,
    Action.DELETE_BRIDGE: _command("ip", "link", "delete", "dev"),
    Action.RELOAD_SYSTEMD: lambda _target, _planned: systemd.daemon_reload(),
    # Without what its [Install] section also enables: on a host that had its network from elsewhere,
    # systemd-networkd-wait-online would hold up every start.
    Action.ENABLE: _command("systemctl", "add-wants", "--quiet", "multi-user.target"),
    Action.START_NETWORKD: lambda target, _planned: systemd.start(target),
    Action.RELOAD_NETWORKD: lambda _target, _planned: run(["networkctl", "reload"]),
    Action.RECONFIGURE: _command("networkctl", "reconfigure"),
    Action.FORWARD: _command("sysctl", "--quiet", "-p"),
    Action.LOAD_RULES: _command("systemctl", "reload-or-restart"),
}


def _wait(networks: Sequence[Network]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        links = _links() if networks else {}
        missing = [one for one in networks if one["name"] not in links or not has_address(links[one["name"]], one)]
        if not missing:
            return
        if time.monotonic() > deadline:
            seen = "; ".join(f"{one['name']}: {_seen(links.get(one['name']))}" for one in missing)
            raise systemd.explain(NETWORKD, f"bridges are not up after {WAIT_SECONDS} s. {seen}")
        time.sleep(0.2)


def _seen(link: Optional[Link]) -> str:
    return "is not there" if link is None else f"has the addresses {', '.join(link.addresses) or 'none'}"


def _diff(observed: Observed, planned: Plan) -> List[Dict[str, str]]:
    """Every file that changes, and what is done beside."""
    diffs = [
        _entry(path, observed.files.get(path, ""), planned.files.get(path, ""))
        for path in planned.targets(Action.WRITE, Action.REMOVE)
    ]
    steps = [f"{step}\n" for step in planned.steps if step.action not in (Action.WRITE, Action.REMOVE)]
    return diffs + ([_entry("steps", "", "".join(steps))] if steps else [])


def _entry(subject: str, before: str, after: str) -> Dict[str, str]:
    return {"before_header": subject, "after_header": subject, "before": before, "after": after}
