# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at a MicroVM on one of the two hosts of a move."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Iterator, List, Optional, Tuple

from ...declaration.names import MOVE_DIRECTORY, NIX_STORE, RUN_DIRECTORY, UNIT_DIRECTORY, unit_name
from ...declaration.vms.host_key import host_key_file
from ...host import files, guest_keys, known_hosts, safe_paths
from ...host.commands import HostError
from ...host.holds import read_hold, read_receipt
from ...host.places import Places
from ...schema.checks import authorized_key
from ..vms.observe import observe_name
from ..vms.observe_former import has_former
from ..vms.state import Observed as ObservedVm
from .state import Observed, VolumeFile

_BLOCK = 1 << 20


def incoming_directory(places: Places, name: str) -> str:
    """Path of the directory that volumes arrive in. No MicroVM's name begins with a dot."""
    return os.path.join(os.path.realpath(places.state_directory), f".{name}.incoming")


def observe(places: Places, name: str, former: Optional[str] = None) -> Observed:
    """Return a MicroVM as this host has it; its declaration may give it a former name. Raises HostError."""
    vm = observe_name(places, name)
    incoming = incoming_directory(places, name)
    images = [image for image in _images(vm) if not os.path.isabs(image)]
    volumes = tuple(_present(places.real_work(name), images))
    regular = {volume.image for volume in volumes}
    return Observed(
        name,
        hold=read_hold(name),
        receipt=read_receipt(name),
        is_installed=vm.current is not None,
        is_up=vm.is_up,
        is_running=vm.unit.running,
        is_enabled=vm.unit.enabled,
        volumes=volumes,
        outside=tuple(image for image in _images(vm) if os.path.isabs(image)),
        shared=_shared(places, vm),
        irregular=tuple(image for image in images if image not in regular and _is_there(places, name, image)),
        replaced=former if former is not None and has_former(places, former) else None,
        has_incoming=os.path.isdir(incoming),
        incoming=tuple(_present(incoming, _below(incoming))),
        recorded_keys=tuple(key for key in known_hosts.keys_of(name) if authorized_key(key) is None),
        made_key=host_key_file(name) if guest_keys.is_made(name) else None,
        incoming_key=_file_or_none(incoming_key_file(name)),
        knows_holds=_units_know_holds(),
    )


def access_directory(name: str) -> str:
    """Path of the directory for what one host reaches the other by during a move; root's alone."""
    return os.path.join(RUN_DIRECTORY, f"move-{name}")


def incoming_key_file(name: str) -> str:
    """Path at which the SSH host key of a guest arrives: in memory, and never on the disk beside the volumes."""
    return os.path.join(access_directory(name), "host-key", name)


def _file_or_none(path: str) -> Optional[str]:
    return path if os.path.lexists(path) else None


def _is_there(places: Places, name: str, image: str) -> bool:
    return os.path.lexists(os.path.join(places.real_work(name), image))


def _units_know_holds() -> bool:
    return MOVE_DIRECTORY in (files.read_text(f"{UNIT_DIRECTORY}/{unit_name('')}") or "")


def _images(vm: ObservedVm) -> List[str]:
    declared = vm.declared["volumes"] if vm.declared else ()
    images = [volume["image"] for volume in declared if not (volume["read_only"] and os.path.isabs(volume["image"]))]
    return list(dict.fromkeys([*images, *(vm.record.volumes if vm.record else ())]))


def _shared(places: Places, vm: ObservedVm) -> Tuple[str, ...]:
    """Return the directories that the guest has, without the store, in which every host has what its guests need."""
    sources = [share["source"] for share in vm.declared["shares"]] if vm.declared else []
    return tuple(dict.fromkeys(places.work(vm.name, source) for source in sources if source != NIX_STORE))


def _present(directory: str, images: List[str]) -> Iterator[VolumeFile]:
    for image in images:
        status = _status(os.path.join(directory, image))
        if status is not None and stat.S_ISREG(status.st_mode):
            yield VolumeFile(image, status.st_size, status.st_blocks * 512)


def _status(path: str) -> Optional[os.stat_result]:
    """Return the status of a file that no link leads to: the working directory is the MicroVM's user's."""
    try:
        with safe_paths.opened_parent(path) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError, HostError):
        return None


def _below(directory: str) -> List[str]:
    return sorted(
        os.path.relpath(os.path.join(parent, name), directory)
        for parent, _directories, names in os.walk(directory)
        for name in names
    )


def digest_of_image(path: str) -> str:
    """Return the SHA-256 of an image. Raises HostError and OSError."""
    result = hashlib.sha256()
    with safe_paths.opened_parent(path) as (directory, name):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    with open(descriptor, "rb") as image:
        for block in iter(lambda: image.read(_BLOCK), b""):
            result.update(block)
    return result.hexdigest()
