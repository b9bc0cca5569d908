# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm rebuild``."""

from __future__ import annotations

from argparse import Namespace

from ...declaration.switch_actions import ACTIVATING
from ...host.commands import HostError
from ...host.places import Places
from ...operations import lifecycle
from ...operations.switching import CannotSwitch, is_already_switched, switch_guest
from ...operations.update_sources import without_flake
from ..host import each, places, require_root
from ..output import say
from .install import chosen_source, install_external, refuse_attribute
from .switch import print_switch


def rebuild(arguments: Namespace) -> int:
    """``microvm rebuild``."""
    require_root(arguments)
    refuse_attribute(arguments, arguments.names)
    where = places(arguments)
    return each(arguments.names, lambda name: _rebuild(name, arguments, where))


def _rebuild(name: str, arguments: Namespace, where: Places) -> None:
    """Build the package of a MicroVM, install it, and let the guest run it: by a switch, or else by a restart."""
    source = chosen_source(name, arguments, where)
    if source is None:
        lifecycle.require(name, where)
        raise HostError(
            f"{without_flake(name, where)}; pass a flake by --flake, or run the playbook that declares the MicroVM"
        )
    install_external(name, source, arguments, where)
    if arguments.check:
        return
    if not lifecycle.is_running(name):
        if arguments.action not in ACTIVATING:
            return
        lifecycle.start_vm(name, where)
        say(f"{name}: is up")
        return
    if is_already_switched(name, arguments.action, where):
        return
    try:
        print_switch(switch_guest(name, arguments.action, False, where), False)
    except CannotSwitch as error:
        # One that runs the package already, by a trial of it, is not restarted for its profile.
        if arguments.action not in ACTIVATING or lifecycle.is_current(name, where):
            raise
        say(f"{error}; it is restarted")
        lifecycle.restart_vm(name, where)
        say(f"{name}: is up")
