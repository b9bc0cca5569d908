# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of how a host runs a MicroVM: states, restarts, stops, limits and removal."""

from __future__ import annotations

from typing import Optional

from ...schema import checks
from ...schema.options import HOST, HYPERVISOR, LIVE, PLAIN, UNIT, Option, Options
from ..names import ARCHIVE_DIRECTORY, TARGET
from ..switch_actions import ACTIONS
from .source_options import SOURCE_OPTIONS


def unit_of_host(value: object) -> Optional[str]:
    """Check the name of a unit that a MicroVM can be ordered after while the host starts."""
    if value in _AFTER_MICROVMS:
        return f"{value!r} is reached after the MicroVMs have started; name the unit that the MicroVM needs"
    return checks.unit_name(value)


_AFTER_MICROVMS = (TARGET, "multi-user.target", "graphical.target", "default.target")

_READY: Options = (
    Option(
        "check",
        "str",
        (
            "Check that determines when the guest is up.",
            "V(ssh) waits for the banner of an SSH server, V(tcp) for a TCP connection, V(vsock) for a connection to "
            "the guest's vsock, and V(hypervisor) for the hypervisor to report that the guest is running.",
            "An answer counts only while the unit is active. If the host has recorded the SSH host key of a guest "
            "that keeps it on a volume or in a share, V(ssh) also compares that key.",
            "V(notify) waits for the unit, which in turn waits for the guest to report that it is ready, see "
            "O(ignore:use_notify_sockets). V(none) waits only for the unit to become active.",
            "V(auto) is V(ssh) if the guest has a static address and an authorized key. Otherwise it is "
            "V(hypervisor), or V(none) for hypervisors that cannot report the status of the guest.",
        ),
        default="auto",
        choices=("auto", "ssh", "tcp", "vsock", "notify", "hypervisor", "none"),
        cost=LIVE,
        honoured_by=HYPERVISOR,
    ),
    Option(
        "address",
        "str",
        "Address that V(ssh) and V(tcp) connect to from the host. Defaults to the first static address of the guest. "
        "An address of the host itself is accepted only for a port at which the hypervisor listens.",
        check=checks.ip_address,
        cost=LIVE,
        trust=PLAIN,
    ),
    Option(
        "port", "int", "Port that V(ssh), V(tcp) and V(vsock) connect to.", default=22, check=checks.port, cost=LIVE
    ),
    Option("timeout", "int", "Maximum number of seconds to wait.", default=300, check=checks.positive, cost=LIVE),
)

_LIMITS: Options = (
    Option(
        "memory_max",
        "raw",
        (
            "Maximum memory of the host that the MicroVM's processes may use. V(0) means no limit.",
            "Defaults to the memory of the guest plus one eighth of it plus 512 MiB for the hypervisor, plus 1 GiB if "
            "O(ignore:accel) is V(tcg).",
        ),
        check=checks.size_or_none,
        cost=LIVE,
        parsed=checks.mebibytes,
    ),
    Option(
        "tasks_max", "int", "Maximum number of threads and processes.", default=1024, check=checks.positive, cost=LIVE
    ),
    Option(
        "cpu_quota",
        "int",
        "Maximum CPU time in percent of one CPU, so that V(200) means two CPUs. By default there is no limit.",
        check=checks.percentage,
        cost=LIVE,
    ),
    Option(
        "cpu_weight",
        "int",
        "Relative share of CPU time under contention, from 1 to 10000. The default of systemd is 100.",
        check=checks.weight,
        cost=LIVE,
    ),
    Option(
        "io_weight",
        "int",
        "Relative share of disk bandwidth under contention, from 1 to 10000. The default of systemd is 100.",
        check=checks.weight,
        cost=LIVE,
    ),
)

_ON_ABSENT: Options = (
    Option(
        "volumes",
        "str",
        (
            "What to do with the volumes that were created for the MicroVM if O(ignore:state) is V(absent).",
            f"V(keep) leaves them in place. V(archive) moves them to C({ARCHIVE_DIRECTORY}). V(delete) deletes them "
            "and requires each of them to be listed in O(ignore:on_absent.confirm).",
            "An image with an absolute path that existed before the MicroVM was not created for it and stays. An image "
            "that another MicroVM uses is refused.",
        ),
        default="keep",
        choices=("keep", "archive", "delete"),
        cost=LIVE,
    ),
    Option(
        "confirm",
        "list",
        "Volumes that may be deleted, as written in O(ignore:volumes[].image).",
        elements="str",
        check=checks.state_path,
        cost=LIVE,
        trust=PLAIN,
    ),
)

_NAMING: Options = (
    Option(
        "renamed_from",
        "str",
        (
            "Former name of the MicroVM. If the host has a MicroVM of this name, it is stopped and renamed in the same "
            "run: its volumes, archived volumes, user and host key are kept.",
            "Keep the option as long as the guest is to keep its identity, see O(ignore:identity). Hosts without a "
            "MicroVM of the former name are not affected.",
        ),
        check=checks.name,
        cost=LIVE,
        honoured_by=HOST,
        trust=PLAIN,
    ),
    Option(
        "identity",
        "str",
        (
            "Name from which machine ID, MAC addresses and tap names are derived unless they are declared.",
            "Defaults to O(ignore:renamed_from), or else to O(ignore:name). A MicroVM that is renamed for the second "
            "time needs its first name here.",
        ),
        check=checks.name,
        honoured_by=HOST,
        trust=PLAIN,
        derived=True,
    ),
    Option(
        "tags",
        "list",
        (
            "Labels by which MicroVMs are selected, such as V(frontend). They are no part of the package, so a change "
            "restarts nothing.",
            "Guests with a tag are in the group C(microvm_tag_TAG) of the inventory plugin C(microvm.fleet.guests). "
            "M(microvm.fleet.microvm_info) returns tags, and C(microvm list --tag) selects by them.",
        ),
        elements="str",
        check=checks.vm_tag,
        cost=LIVE,
        honoured_by=HOST,
        trust=PLAIN,
    ),
)

_STARTING: Options = (
    Option(
        "autostart",
        "bool",
        (
            "Whether to start the MicroVM when the host boots.",
            "A MicroVM that is declared with O(ignore:state=stopped) does not start with the host in any case.",
        ),
        default=True,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "autostart_order",
        "int",
        "Position in the boot order, from 0 to 99. MicroVMs with a lower number are started first.",
        default=50,
        check=checks.order,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "after",
        "list",
        (
            "Units of the host that the MicroVM starts after, and stops before, such as C(vault-agent.service).",
            "Only the order is determined: a unit that nothing else starts is not waited for, see O(ignore:requires).",
        ),
        elements="str",
        check=unit_of_host,
        cost=LIVE,
        honoured_by=HOST,
        trust=UNIT,
    ),
    Option(
        "requires",
        "list",
        (
            "Units of the host that are started with the MicroVM, which starts after them and only if they have "
            "started, such as C(srv-nas.mount) or C(microvm@db.service).",
            "If such a unit is stopped or restarted, so is the MicroVM.",
        ),
        elements="str",
        check=unit_of_host,
        cost=LIVE,
        honoured_by=HOST,
        trust=UNIT,
    ),
    Option(
        "wait_timeout",
        "int",
        (
            "Maximum number of seconds that a start waits for what the declaration names and others create: bridges, "
            "links of macvtap interfaces, files of credentials, sources of shares, directories of volumes and sockets.",
            "After that, the MicroVM is not started. V(0) means that nothing is waited for.",
        ),
        default=120,
        check=checks.not_negative,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "ready", "dict", "How to determine that a started guest is up.", suboptions=_READY, cost=LIVE, honoured_by=HOST
    ),
    Option(
        "startup_timeout",
        "int",
        "Maximum number of seconds that the unit may take to start.",
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
            "When to restart a running MicroVM to apply a changed package if O(ignore:state=started).",
            "V(if_changed) restarts it at once. V(window) restarts it only during O(ignore:restart_window). V(never) "
            "does not restart it. Until the restart takes place, it is reported as pending.",
            "V(always) restarts it in every run.",
        ),
        default="if_changed",
        choices=("never", "if_changed", "always", "window"),
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "restart_window",
        "str",
        "Time of day during which V(window) restarts MicroVMs, in the time zone of the host, such as V(22:00-04:30).",
        check=checks.time_window,
        cost=LIVE,
        honoured_by=HOST,
        trust=PLAIN,
    ),
    Option(
        "ssh_switch",
        "str",
        (
            "Whether a running guest is switched to the system of a changed package, in place of a restart, and how.",
            "This requires a package whose C(share/microvm/system) leads to a system in C(/nix/store) that "
            "has C(bin/switch-to-configuration), as those of NixOS do, a share of the host's C(/nix/store) in the "
            "running guest, and a guest that accepts the SSH key of its host, or one that root's ssh has, for C(root), "
            "and whose host key and host name are the expected ones. Otherwise O(ignore:restart_policy) decides, and a "
            "warning says why. O(ignore:restart_window) does not apply to switches.",
            "V(switch) and V(test) activate the system, V(boot) only sets the profile in the guest, and "
            "V(dry-activate) only shows in C(switch_output) of the result what an activation would do. After V(boot) "
            "and V(dry-activate), and where more than the system has changed, such as kernel or memory, a restart is "
            "pending.",
            "Only with O(ignore:flake) or O(ignore:runner).",
        ),
        default="none",
        choices=("none", *ACTIONS),
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "rollback_on_failure",
        "bool",
        (
            "Whether to start a MicroVM that does not come up with its new package again with the previous package.",
            "The new package is then marked bad, and the run fails nevertheless.",
        ),
        default=False,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "on_refused",
        "str",
        (
            "Outcome of a run whose declared package is refused, because a rollback has marked it bad. The MicroVM "
            "keeps its current package in any case.",
            "With V(fail) the MicroVM fails in every run, also in check mode, until its declaration changes or the "
            "mark is cleared by C(microvm generations NAME --good NUMBER). With V(warn) the run only warns.",
        ),
        default="fail",
        choices=("fail", "warn"),
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "keep_generations",
        "int",
        "Number of most recent packages, including the current one, to keep for rollbacks.",
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
            "Maximum number of seconds for the guest to shut down when it is stopped. After that, the hypervisor is "
            "terminated, and killed ten seconds later.",
        ),
        default=90,
        check=checks.positive,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "on_reboot",
        "str",
        "What to do when the guest reboots: start the MicroVM again with its current package, or leave it stopped.",
        default="restart",
        choices=("restart", "stop"),
        cost=LIVE,
    ),
    Option(
        "on_poweroff",
        "str",
        (
            "What to do when the guest powers off by itself.",
            "Not every hypervisor distinguishes a reboot from a poweroff. The documentation of the hypervisors "
            "describes how the exit of each is interpreted.",
        ),
        default="stop",
        choices=("restart", "stop"),
        cost=LIVE,
    ),
    Option(
        "on_crash",
        "str",
        "What to do when the hypervisor fails or is killed.",
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
            "State of the MicroVM on the host.",
            "V(started) installs and starts the MicroVM, restarts it according to O(ignore:restart_policy), and waits "
            "until the guest is up. V(restarted) does the same, but restarts a running MicroVM in any case.",
            "V(stopped) installs and stops the MicroVM, which then does not start with the host either.",
            "V(present) installs the MicroVM without starting or stopping it. A changed package takes effect at the "
            "next start.",
            "V(absent) stops and removes the MicroVM. O(ignore:on_absent.volumes) determines what happens to its "
            "volumes.",
        ),
        choices=("started", "stopped", "restarted", "present", "absent"),
        cost=LIVE,
        honoured_by=HOST,
    ),
    *_NAMING,
    *SOURCE_OPTIONS,
    *_STARTING,
    *_RESTARTING,
    *_ENDING,
    Option(
        "limits",
        "dict",
        "Resource limits of the MicroVM's processes on the host.",
        suboptions=_LIMITS,
        cost=LIVE,
        honoured_by=HOST,
    ),
    Option(
        "on_absent",
        "dict",
        "What to do with data when the MicroVM is removed.",
        suboptions=_ON_ABSENT,
        cost=LIVE,
        honoured_by=HOST,
    ),
)
