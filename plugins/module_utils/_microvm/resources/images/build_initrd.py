# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the initial RAM disk of a guest's tree."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess

from ...host.commands import HostError, run
from .initrd import APPLETS, INIT, MODULES, closure, parse_dependencies


def build_initrd(tree: str, release: str, systemd_version: int, work: str, output: str) -> None:
    """Write the initial RAM disk for a guest's tree and its kernel. ``work`` is a directory to make it in."""
    for directory in ("bin", "dev", "lower", "proc", "root", "sys", "upper"):
        os.makedirs(os.path.join(work, directory))
    shutil.copy(os.path.join(tree, "bin/busybox"), os.path.join(work, "bin/busybox"))
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(work, "bin", applet))
    _write(os.path.join(work, "init"), INIT, 0o755)
    _write(os.path.join(work, "systemd-version"), f"{systemd_version}\n", 0o644)
    _copy_modules(tree, release, work)
    _pack(work, output)


def _copy_modules(tree: str, release: str, work: str) -> None:
    source = os.path.join(tree, "lib/modules", release)
    target = os.path.join(work, "lib/modules", release)
    with open(os.path.join(source, "modules.dep"), encoding="utf-8") as file:
        dependencies = parse_dependencies(file.read())
    for path in closure(dependencies, MODULES):
        # busybox cannot read compressed modules.
        plain = re.sub(r"\.(xz|zst|gz)$", "", path)
        os.makedirs(os.path.dirname(os.path.join(target, plain)), exist_ok=True)
        with open(os.path.join(target, plain), "wb") as module:
            module.write(_decompress(os.path.join(source, path)))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), os.path.join(target, name))
    run(["depmod", "--basedir", work, release])


def _decompress(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(content)
    if path.endswith(".ko"):
        return content
    raise HostError(f"the compression of {path} is not supported")


def _pack(work: str, output: str) -> None:
    """Write a newc archive of everything below ``work``, the same bytes for the same content."""
    names = ["."]
    for directory, directories, files in os.walk(work):
        for name in directories + files:
            path = os.path.join(directory, name)
            os.utime(path, (0, 0), follow_symlinks=False)
            names.append(os.path.relpath(path, work))
    os.utime(work, (0, 0))
    command = ["cpio", "--quiet", "--create", "--format=newc", "--null", "--reproducible", "--owner=0:0"]
    text = "\0".join(sorted(names)).encode()
    with open(output, "wb") as archive:
        result = subprocess.run(command, input=text, stdout=archive, stderr=subprocess.PIPE, cwd=work, check=False)
    if result.returncode != 0:
        raise HostError(f"`{' '.join(command)}` in {work} failed: {result.stderr.decode(errors='replace').strip()}")


def _write(path: str, text: str, mode: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
