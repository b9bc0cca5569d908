# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places: where everything of MicroVMs is on a host, and what the packages there say of themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Optional, cast

from ..declaration.names import SETTINGS_DIRECTORY, TMPFILES_DIRECTORY, UNIT_DIRECTORY, WORK_DIRECTORY
from ..declaration.types import PackagedVm
from ..declaration.vms.options import PACKAGE_OPTIONS
from ..runner.package import DECLARATION_FILE
from ..runner.units import UnitSettings, unit_settings_of
from .json_files import read_json_record
from .records import Records
from .store import PackageStore


@dataclass(frozen=True)
class Places:
    """Directories and stores of a host."""

    state_directory: str
    store: PackageStore = field(default_factory=PackageStore)
    records: Records = field(default_factory=Records)

    def state(self, name: str, *entry: str) -> str:
        """Path of a MicroVM's state directory, or of something in it."""
        return os.path.join(self.state_directory, name, *entry)

    def work(self, name: str, *entry: str) -> str:
        """Path of a hypervisor's working directory, or of something in it; an absolute entry is itself."""
        return self.state(name, WORK_DIRECTORY, *entry)

    def real_work(self, name: str, *entry: str) -> str:
        """Path of a working directory, or of something in it, for those who follow no links: the directories above it
        are root's, and may be links."""
        return os.path.join(os.path.realpath(self.state(name)), WORK_DIRECTORY, *entry)

    @staticmethod
    def drop_in(template: str, name: str) -> str:
        """Path of a MicroVM's own settings of one of its units."""
        prefix, suffix = template.split("@")
        return f"{UNIT_DIRECTORY}/{prefix}@{name}{suffix}.d/50-microvm-fleet.conf"

    @staticmethod
    def environment(name: str) -> str:
        """Path of the settings that the scripts of a MicroVM's units read."""
        return f"{SETTINGS_DIRECTORY}/{name}.env"

    @staticmethod
    def boot_directories(name: str) -> str:
        """Path of the file that says which directories of a MicroVM are created again when the host starts."""
        return f"{TMPFILES_DIRECTORY}/microvm@{name}.conf"

    def unit_settings(self, package: str) -> UnitSettings:
        """Return the drop-ins that an installed package brings along, by template unit."""
        return unit_settings_of(lambda file: self.store.read(package, file))

    def declaration(self, package: Optional[str]) -> Optional[PackagedVm]:
        """Return the declaration that a package records; ``None`` for one that was not rendered by us.

        Raises DamagedPackage.
        """
        if not package:
            return None
        with self.store.explained(package):
            path = os.path.join(self.store.path(package), DECLARATION_FILE)
            return cast(Optional[PackagedVm], read_json_record(path, PACKAGE_OPTIONS))
