# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provide what ansible-test needs: the collection in a real tree, working interpreters and a pip."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .runner import ROOT

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
"""Versions of Python on managed hosts."""

GET_PIP = '''"""Stands in for get-pip.py: installs pip by the wheel next to this file."""
import os
import sys


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.join(here, "{wheel}"))
    from pip._internal.cli.main import main as pip

    ours = ("--no-setuptools", "--no-wheel")
    sys.exit(pip(["install", "--upgrade"] + [argument for argument in sys.argv[1:] if argument not in ours]))


if __name__ == "__main__":
    main()
'''


def checkout_files() -> list[Path]:
    """Files of the checkout, relative to it: what git tracks, and what it would not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    paths = (Path(name) for name in sorted(set(listed.split("\0"))) if name)
    return [path for path in paths if os.path.lexists(ROOT / path)]


@contextmanager
def collection_copy() -> Iterator[Path]:
    """The collection's directory in a tree of its own; ansible-test takes neither a checkout elsewhere nor a link."""
    with tempfile.TemporaryDirectory(prefix="microvm-fleet-") as directory:
        collection = Path(directory, "ansible_collections", "microvm", "fleet")
        for path in checkout_files():
            (collection / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, collection / path, follow_symlinks=False)
        yield collection


def runs(interpreter: Path) -> bool:
    """Return whether a Python exists and starts; a pyenv shim of a version that is not selected does not."""
    if not os.access(interpreter, os.X_OK):
        return False
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0


def search_path() -> str:
    """PATH with the environment of this process first, then all Pythons that run, and none that does not."""
    searched = [Path(part) for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
    sound = [directory for directory in searched if not _has_broken_python(directory)]
    managers = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob("*/bin"))
    versions = (_directory_of(version, [*sound, *managers]) for version in PYTHONS)
    directories = [Path(sys.executable).parent, *(path for path in versions if path and path not in sound), *sound]
    return os.pathsep.join(map(str, directories))


@functools.cache
def _has_broken_python(directory: Path) -> bool:
    return any(path.exists() and not runs(path) for path in (directory / f"python{version}" for version in PYTHONS))


def _directory_of(version: str, directories: list[Path]) -> Path | None:
    return next((directory for directory in directories if runs(directory / f"python{version}")), None)


def provide_pip() -> None:
    """Put a fake get-pip.py where ansible-test looks before it downloads it from a server of Ansible's own.

    The wheel comes from where pip gets everything else.
    """
    import ansible_test._internal.python_requirements as requirements

    version = re.search(r"pip='([\d.]+)'", Path(requirements.__file__).read_text())
    if version is None:
        raise LookupError(f"{requirements.__file__} no longer says which pip ansible-test wants")
    cache = Path("~/.ansible/test/cache").expanduser()
    script = cache / f"get_pip_{version[1].replace('.', '_')}.py"
    if script.exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache)]
    subprocess.run([*pip, f"pip=={version[1]}"], check=True)
    script.write_text(GET_PIP.replace("{wheel}", f"pip-{version[1]}-py3-none-any.whl"))
