# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs scripts of packages as user nobody, with fakes of the programs that they call; a canary sees what else runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .hostile import CANARY

HYPERVISORS = (
    "qemu-system-x86_64",
    "cloud-hypervisor",
    "firecracker",
    "crosvm",
    "lkvm",
    "stratovirt",
    "alioth",
    "vfkit",
)
OTHERS = ("socat", "ip", "curl", "busctl", "varlinkctl", "modprobe", "nc", "sh", "chroot")
RECORDING = (*HYPERVISORS, *OTHERS, *(f"mkfs.{kind}" for kind in ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat")))
"""Programs that note their arguments and succeed."""
IDLE = ("chattr", "sleep", "sync", "systemd-notify", "truncate")
FAILING = ("virtiofsd",)
"""Programs that a script waits for: it ends with them."""

RECORD = '#!/bin/sh\nprintf "%s\\0" "$#" "${0##*/}" "$@" >> "$RECORD"\n'
EXTRA_ARGUMENTS = "printed $(canary) ;canary --x='a"
"""Output of a program that prints more arguments: words that no shell reads again."""

DRIVER = """\
root=$1
while read -r job script argument; do
    cd "$root/jobs/$job/state" || exit
    echo $$ > microvm.pid
    export RECORD=$root/jobs/$job/state/.$script CREDENTIALS_DIRECTORY=$root/jobs/$job/credentials HOME=/nonexistent
    timeout --kill-after=1 60 "$root/jobs/$job/package/bin/$script" $argument < /dev/null > .output 2>&1
    case $? in 124 | 137) echo "$job $script" ;; esac
done
"""


class Job(NamedTuple):
    """Script of a package that is run."""

    number: int
    script: str


class Sandbox:
    """Directory with packages, and a directory for each to run them in."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hostile-"))
        self.root.chmod(0o755)
        self._fakes = self.root / "fakes"
        self._fakes.mkdir()
        self._executed = self.root / "executed"
        self._executed.mkdir()
        self._executed.chmod(0o777)
        (self.root / "initrd").write_bytes(b"initrd")
        self._write_fakes()

    @property
    def extra_arguments(self) -> str:
        """Return the path of the program that prints ``EXTRA_ARGUMENTS``."""
        return str(self._fakes / "extra-arguments")

    def _write_fakes(self) -> None:
        scripts = {**dict.fromkeys(RECORDING, RECORD), **dict.fromkeys(IDLE, "#!/bin/sh\n")}
        scripts.update(dict.fromkeys(FAILING, "#!/bin/sh\nexit 1\n"))
        # Any file is as good as a terminal for a fake.
        scripts["socat"] += 'case $3 in PTY,link=*) link=${3#*=}; ln -s /dev/null "${link%%,*}" ;; esac\n'
        scripts["extra-arguments"] = f"#!/bin/sh\ncat <<'END'\n{EXTRA_ARGUMENTS}\nEND\n"
        scripts[CANARY] = f"#!/bin/sh\n: > {self._executed}/$$\n"
        for name, text in scripts.items():
            (self._fakes / name).write_text(text)
            (self._fakes / name).chmod(0o755)

    def add(self, number: int, files: dict[str, bytes], credentials: Iterable[str]) -> None:
        """Write files of a package, which are executable, and credentials of its unit."""
        job = self.root / "jobs" / str(number)
        for name in ("state", "credentials"):
            (job / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(job / "state", "nobody")
        for name in credentials:
            (job / "credentials" / name).write_bytes(b"secret")
        for path, content in files.items():
            file = job / "package" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o755)

    def package(self, number: int) -> str:
        """Return the path of a package, which its scripts see."""
        return str(self.root / "jobs" / str(number) / "package")

    def run(self, jobs: Iterable[tuple[Job, str]]) -> list[str]:
        """Run scripts with an argument as user nobody; return those that had to be killed."""
        lines = "".join(f"{job.number} {job.script} {argument}\n" for job, argument in jobs)
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs", "--"]
        environment = {"PATH": f"{self._fakes}:/usr/bin:/bin:/usr/sbin:/sbin", "STOP_TIMEOUT": "0", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [*command, "bash", "-c", DRIVER, "driver", str(self.root)],
            input=lines,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            check=True,
        )
        return done.stdout.splitlines()

    def calls(self, job: Job) -> list[list[str]]:
        """Return the programs that a script has called, with their arguments."""
        record = self.root / "jobs" / str(job.number) / "state" / f".{job.script}"
        words = record.read_bytes().decode().split("\0") if record.exists() else [""]
        result, start = [], 0
        while words[start]:
            end = start + 2 + int(words[start])
            result.append(words[start + 1 : end])
            start = end
        return result

    def victims(self) -> list[str]:
        """Return traces of what no script should have run."""
        traces = [str(path) for path in self._executed.iterdir()]
        for directory, _directories, files in os.walk(self.root / "jobs"):
            traces += [os.path.join(directory, file) for file in files if file == "pwned"]
        return traces

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root)
