# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that say what a host does with a MicroVM's package: states, restarts, stops, limits, removal."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import HOST, HYPERVISOR, LIVE, Option, Options
from ..names import ARCHIVE_DIRECTORY

_READY: Options = (
    Option(
        "check",
        "str",
        (
            "What tells that the guest is up.",
            "V(ssh) waits for the greeting of an SSH server, V(tcp) for a connection, V(hypervisor) for the hypervisor "
            "to say that the guest runs, V(vsock) for the guest to accept a connection at its vsock, V(none) for "
            "nothing but the unit.",
            "V(notify) waits for the unit, which waits for the guest's own word; see O(ignore:use_notify_sockets).",
            "V(auto) is V(ssh) where the guest has a static address and an authorized key, else V(hypervisor), or "
            "V(none) for a hypervisor that cannot tell.",
        ),
        default="auto",
        choices=("auto", "ssh", "tcp", "vsock", "notify", "hypervisor", "none"),
        cost=LIVE,
        honoured_by=HYPERVISOR,
    ),
    Option(
        "address",
        "str",
        "Address that V(ssh) and V(tcp) connect to from the host. By default the guest's first static address.",
        check=checks.ip_address,
        cost=LIVE,
    ),
    Option(
        "port", "int", "Port that V(ssh), V(tcp) and V(vsock) connect to.", default=22, check=checks.port, cost=LIVE
    ),
    Option("timeout", "int", "Seconds to wait at most.", default=300, check=checks.positive, cost=LIVE),
)

_LIMITS: Options = (
    Option(
        "memory_max",
        "raw",
        (
            "Memory of the host that the MicroVM's processes get at most. V(0) is no limit.",
            "By default the guest's memory and what a hypervisor needs beside it: 512 MiB and an eighth, and 1 GiB "
            "more where the guest's instructions are translated (V(tcg)).",
        ),
        check=checks.size_or_none,
        cost=LIVE,
        parsed=checks.mebibytes,
    ),
    Option("tasks_max", "int", "Threads and processes at most.", default=1024, check=checks.positive, cost=LIVE),
    Option(
        "cpu_quota",
        "int",
        "Processor time at most, in percent of one processor: V(200) are two. By default no limit.",
        check=checks.positive,
        cost=LIVE,
    ),
    Option(
        "cpu_weight",
        "int",
        "Share of the processors when they are scarce, 1 to 10000. systemd's default is 100.",
        check=checks.weight,
        cost=LIVE,
    ),
    Option(
        "io_weight",
        "int",
        "Share of the disks when they are scarce, 1 to 10000. systemd's default is 100.",
        check=checks.weight,
        cost=LIVE,
    ),
)

_ON_ABSENT: Options = (
    Option(
        "volumes",
        "str",
        (
            "What happens to the volumes that were created for the MicroVM when its O(ignore:state) is V(absent).",
            f"V(keep) leaves them where they are. V(archive) moves them to C({ARCHIVE_DIRECTORY}). "
            "V(delete) needs each of them named in O(ignore:on_absent.confirm).",
        ),
        default="keep",
        choices=("keep", "archive", "delete"),
        cost=LIVE,
    ),
    Option(
        "confirm",
        "list",
        "The images, as they were declared, that may be deleted.",
        elements="str",
        cost=LIVE,
    ),
)

_STARTING: Options = (
    Option("autostart", "bool", "Start the MicroVM with the host.", default=True, cost=LIVE, honoured_by=HOST),
    Option(
        "autostart_order",
        "int",
        "Which MicroVMs the host starts first: those with the lower number, 0 to 99.",
        default=50,
        check=checks.order,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option("ready", "dict", "When a start counts as done.", suboptions=_READY, cost=LIVE, honoured_by=HOST),
    Option(
        "startup_timeout",
        "int",
        "Seconds that systemd gives the unit to start.",
        default=150,
        check=checks.positive,
        cost=LIVE,
        honoured_by=HOST,
    ),
)

_RESTARTING: Options = (
    Option(
        "restart_policy",
        "str",
        (
            "When a running MicroVM is restarted for a changed package, with O(ignore:state=started).",
            "V(if_changed) does it at once, V(never) leaves it to somebody else, V(window) does it only in "
            "O(ignore:restart_window). Until then the restart is pending, and results say so.",
            "V(always) restarts with every run.",
        ),
        default="if_changed",
        choices=("never", "if_changed", "always", "window"),
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "restart_window",
        "str",
        "Time of day in which V(window) restarts, in the host's time zone: V(22:00-04:30).",
        check=checks.time_window,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "rollback_on_failure",
        "bool",
        (
            "A MicroVM whose new package does not come up is started again with the package before, and the new one is "
            "marked bad. The run fails all the same.",
        ),
        default=False,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "keep_generations",
        "int",
        "How many of the last packages are kept to roll back to, the current one included.",
        default=3,
        check=checks.positive,
        cost=LIVE,
        honoured_by=HOST,
    ),
)

_ENDING: Options = (
    Option(
        "stop_timeout",
        "int",
        (
            "Seconds that a guest has to end when it is asked to. Then the hypervisor is told to end, and ten seconds "
            "later it is killed.",
        ),
        default=90,
        check=checks.positive,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "on_reboot",
        "str",
        "What follows when the guest reboots: a start with the package that is then current, or nothing.",
        default="restart",
        choices=("restart", "stop"),
        cost=LIVE,
    ),
    Option(
        "on_poweroff",
        "str",
        (
            "What follows when the guest powers off by itself.",
            "Only QEMU tells a reboot from a poweroff; what the end of another hypervisor counts as stands in "
            "docs/hypervisors.md.",
        ),
        default="stop",
        choices=("restart", "stop"),
        cost=LIVE,
    ),
    Option(
        "on_crash",
        "str",
        "What follows when the hypervisor fails or is killed.",
        default="restart",
        choices=("restart", "stop"),
        cost=LIVE,
        honoured_by=HOST,
    ),
)

HOST_OPTIONS: Options = (
    Option(
        "state",
        "str",
        (
            "V(started) installs, starts, restarts as O(ignore:restart_policy) says, and waits until the guest is up.",
            "V(stopped) installs and stops. V(restarted) is V(started) with one restart in any case.",
            "V(present) installs and leaves the running MicroVM alone: a changed package waits for the next start.",
            "V(absent) stops and removes everything but volumes.",
        ),
        choices=("started", "stopped", "restarted", "present", "absent"),
        cost=LIVE,
        honoured_by=HOST,
    ),
    *_STARTING,
    *_RESTARTING,
    *_ENDING,
    Option(
        "limits",
        "dict",
        "What the MicroVM's processes get of the host.",
        suboptions=_LIMITS,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option("on_absent", "dict", "What a removal does.", suboptions=_ON_ABSENT, cost=LIVE, honoured_by=HOST),
)
