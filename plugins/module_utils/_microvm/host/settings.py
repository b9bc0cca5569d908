# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a host, which role ``host`` writes into one file, and modules and the command read."""

from __future__ import annotations

from typing import Optional, cast

from ..declaration.host_setup.options import HOST_DIRECTORY_OPTIONS
from ..declaration.names import HOST_SETTINGS
from ..declaration.types import HostDirectories
from ..schema.compaction import complete
from .commands import HostError
from .files import UnreadableFile
from .image_store import ImageStore
from .json_files import read_json_record
from .records import Records


def read_settings(path: str = HOST_SETTINGS) -> Optional[HostDirectories]:
    """Return the settings of this host; ``None`` for one that is not prepared, or was by an earlier version.

    Raises HostError.
    """
    try:
        return cast(Optional[HostDirectories], read_json_record(path, HOST_DIRECTORY_OPTIONS))
    except UnreadableFile as error:
        raise HostError(
            f"{error}; run the role microvm.fleet.host, which writes the settings of this host again"
        ) from None


def directories(path: str = HOST_SETTINGS) -> HostDirectories:
    """Return the directories of this host, or those that hosts have by default. Raises HostError."""
    return read_settings(path) or cast(HostDirectories, complete(HOST_DIRECTORY_OPTIONS, {}))


def state_directory(option: str, given: Optional[str], is_predicted: bool = False, path: str = HOST_SETTINGS) -> str:
    """Return the state directory of this host, which is also the given one. Raises HostError for another one.

    A prediction accepts another one while no MicroVM is recorded: the same run is expected to set the host up first.
    """
    recorded = read_settings(path)
    if recorded is None or given in (None, recorded["state_dir"]):
        return given or directories(path)["state_dir"]
    if is_predicted and not Records().names():
        return str(given)
    raise HostError(
        f"{option}: the state directory of this host is {recorded['state_dir']}, not {given}; its units run MicroVMs "
        f"from there. Leave {option} out, or change the setting of the host ({path}) with microvm_state_dir of role "
        "microvm.fleet.host, after you have removed its MicroVMs"
    )


def host_images() -> ImageStore:
    """Return the store of this host's images. Raises HostError."""
    return ImageStore(directories()["image_store"])
