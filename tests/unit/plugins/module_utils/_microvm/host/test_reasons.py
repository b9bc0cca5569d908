# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reasons for an end in what hypervisors and guests print, in the forms of their sources or as they were seen."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.reasons import (
    reason_of_guest,
    reason_of_hypervisor,
)

HYPERVISORS: dict[str, tuple[str, str | None]] = {
    "QEMU without its file": (
        """\
qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.vmx [bit 5]
qemu-system-x86_64: -drive file=/nope,if=none,id=a: Could not open '/nope': No such file or directory
""",
        "qemu-system-x86_64: -drive file=/nope,if=none,id=a: Could not open '/nope': No such file or directory",
    ),
    "QEMU that was asked to end": (
        "qemu-system-x86_64: terminating on signal 15 from pid 4711 (/usr/bin/bash)\n",
        None,
    ),
    "Cloud Hypervisor, a chain of errors": (
        """\
cloud-hypervisor: 0.012345s: <vmm> WARN:vmm/src/config.rs:100 -- image type is guessed
cloud-hypervisor: 0.022345s: <main> ERROR:cloud-hypervisor/src/lib.rs:24 -- Fatal error: BootVm(VmBoot(DiskLock))
Error: Cloud Hypervisor exited with the following chain of errors:
  0: Error booting VM
  1: The VM could not boot
  2: No such file or directory (os error 2)
""",
        "Error: Cloud Hypervisor exited with the following chain of errors: Error booting VM: The VM could not boot: "
        "No such file or directory (os error 2)",
    ),
    "Cloud Hypervisor, one error": (
        "Error: Cloud Hypervisor exited with the following error:\n  Error parsing --disk\n",
        "Error: Cloud Hypervisor exited with the following error: Error parsing --disk",
    ),
    "clap": (
        "error: unexpected argument '--gpu' found\n\n  tip: a similar argument exists: '--cpus'\n\n"
        "Usage: cloud-hypervisor --cpus <cpus>\n\nFor more information, try '--help'.\n",
        "error: unexpected argument '--gpu' found",
    ),
    "Firecracker": (
        'Error: RunWithoutApiError(BuildMicroVMFromJson(ParseFromJson(Error("missing field", line: 1, column: 2))))\n',
        'Error: RunWithoutApiError(BuildMicroVMFromJson(ParseFromJson(Error("missing field", line: 1, column: 2))))',
    ),
    "crosvm, with a cause, after a log of another error": (
        """\
[2026-11-25T10:00:00.000000001+00:00 ERROR devices::virtio::console] failed to sync: broken pipe
[2026-11-25T10:00:01.000000001+00:00 ERROR crosvm] exiting with error 1: the architecture failed to build the vm

Caused by:
    failed to open /nope: No such file or directory (os error 2)
""",
        "[2026-11-25T10:00:01.000000001+00:00 ERROR crosvm] exiting with error 1: the architecture failed to build the "
        "vm: failed to open /nope: No such file or directory (os error 2)",
    ),
    "crosvm, a wrong option": (
        "[2026-11-25T10:00:01.000000001+00:00 ERROR crosvm] arg parsing failed: Error parsing option '--block'\n"
        "[2026-11-25T10:00:01.000000001+00:00 INFO  crosvm] exiting with invalid arguments\n",
        "[2026-11-25T10:00:01.000000001+00:00 ERROR crosvm] arg parsing failed: Error parsing option '--block'",
    ),
    "crosvm whose guest has powered off": (
        "[2026-11-25T10:00:01.000000001+00:00 INFO  crosvm] exiting with success\n",
        None,
    ),
    "lkvm, the first of several": (
        """\
  Info: # lkvm run -k /nonexistent -m 320 -c 2 --name guest-13768
  Error: Your CPU does not support hardware virtualization
  Warning: Failed init: kvm__init

  Fatal: Initialisation failed
""",
        "Error: Your CPU does not support hardware virtualization",
    ),
    "lkvm, the only one": (
        "  Info: # lkvm run\n  Fatal: Unable to open kernel /nope\n",
        "Fatal: Unable to open kernel /nope",
    ),
    "lkvm, an error of the system": (
        "  Info: # lkvm run\nFailed openning vhost-net device: No such file or directory\n",
        "Failed openning vhost-net device: No such file or directory",
    ),
    "StratoVirt": (
        """\
2026-11-25T10:00:00.000000001: [12][12][src/main.rs:88]:INFO: VmConfig is VmConfig
2026-11-25T10:00:00.000000002: [12][12][src/main.rs:101]:ERROR: Failed to init vm!\r

Caused by:
    0: Failed to load kernel boot source
    1: Input initrd_file is not a regular File
""",
        "2026-11-25T10:00:00.000000002: [12][12][src/main.rs:101]:ERROR: Failed to init vm!: Failed to load kernel "
        "boot source: Input initrd_file is not a regular File",
    ),
    "alioth": (
        """\
Please update the cmd line to --cpu count=1
ERROR [alioth::device::console] tcgetattr() failed: Os { code: 25, kind: Uncategorized, message: "Inappropriate" }
Error: Failed to create a VM
0: Error from OS
1: Failed to create a console, at /root/alioth-0.12.0/src/vm/vm.rs:162:43
2: Failed to create a VM, at /root/alioth-cli-0.12.0/src/boot/boot.rs:477:42
""",
        "Error: Failed to create a VM: Error from OS: Failed to create a console: Failed to create a VM",
    ),
    "a panic of Rust": (
        "thread 'main' (12) panicked at src/vm.rs:10:5:\ncalled `Option::unwrap()` on a `None` value\n"
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        "thread 'main' (12) panicked at src/vm.rs:10:5: called `Option::unwrap()` on a `None` value",
    ),
    "a script": (
        "bin/microvm-run: line 12: /opt/vmm: No such file or directory\n",
        "bin/microvm-run: line 12: /opt/vmm: No such file or directory",
    ),
    "nothing": ("", None),
}

GUESTS: dict[str, tuple[str, str | None]] = {
    "no root disk": (
        """\
[    1.234567] VFS: Cannot open root device "vda" or unknown-block(0,0): error -6
[    1.234600] Please append a correct "root=" boot option; here are the available partitions:
[    1.240000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)
[    1.250000] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.12.0
[    1.260000] Call Trace:
[    1.270000] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---
""",
        "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
    ),
    "the initial RAM disk of an image": (
        "microvm initrd: there is no disk microvm-store\n"
        "[   12.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n",
        "microvm initrd: there is no disk microvm-store",
    ),
    "the initial RAM disk of a distribution": (
        "Gave up waiting for root file system device.  Common problems:\nALERT!  /dev/vda does not exist.  Dropping to "
        "a shell!\n",
        "ALERT!  /dev/vda does not exist.  Dropping to a shell!",
    ),
    "a guest that is up": ("[    2.0] systemd[1]: Reached target Login Prompts.\ndebian login:\n", None),
}


@pytest.mark.parametrize(("printed", "reason"), HYPERVISORS.values(), ids=HYPERVISORS.keys())
def test_the_reason_of_a_hypervisor_is_found(printed: str, reason: str | None) -> None:
    # As the journal has them: without empty lines.
    assert reason_of_hypervisor([line.rstrip("\r") for line in printed.split("\n") if line.strip()]) == reason


@pytest.mark.parametrize(("printed", "reason"), GUESTS.values(), ids=GUESTS.keys())
def test_the_reason_of_a_guest_is_found(printed: str, reason: str | None) -> None:
    assert reason_of_guest(printed.splitlines()) == reason
