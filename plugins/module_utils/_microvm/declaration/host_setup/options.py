# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a host that is prepared for MicroVMs."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options
from ..huge_pages import HUGE_PAGE_SIZES
from ..names import HOST_SETTINGS, IMAGE_STORE, NIX_CONFIGURATION, NIX_SETTINGS, RESTRICTIONS, STATE_DIRECTORY
from ..restrictions.options import RESTRICTION_OPTIONS

HOST_DIRECTORY_OPTIONS: Options = (
    Option(
        "state_dir",
        "path",
        (
            "Directory that contains the state directories of the MicroVMs.",
            f"It is recorded in C({HOST_SETTINGS}), where modules and the command C(microvm) find it.",
        ),
        default=STATE_DIRECTORY,
        check=checks.plain_path,
    ),
    Option(
        "image_store",
        "path",
        (
            "Directory on the host that contains its guest images.",
            "It is recorded for modules and the command, too.",
        ),
        default=IMAGE_STORE,
        check=checks.plain_path,
    ),
)
"""Options that are recorded on the host, for all who work there."""

HUGE_PAGE_OPTIONS: Options = (
    Option("size", "str", "Size of a page.", required=True, choices=tuple(HUGE_PAGE_SIZES)),
    Option("count", "int", "Number of pages.", required=True, check=checks.not_negative),
)

NIX_OPTIONS: Options = (
    Option(
        "nix",
        "bool",
        (
            "Whether the host has Nix, for MicroVMs whose packages Nix builds.",
            f"The settings below are written to C({NIX_SETTINGS}), which the last line of C({NIX_CONFIGURATION}) "
            "includes; the rest of that file stays. Commands of Nix and flakes are enabled. Role "
            "P(microvm.fleet.host#role) installs the packages of the distribution unless the host has another Nix.",
            "With V(false) these settings are removed. Nix itself stays, with its store.",
        ),
        default=False,
    ),
    Option(
        "nix_trusted_keys",
        "list",
        "Public keys whose signatures Nix takes for what is copied to the store, such as "
        "V(cache.example.com-1:BASE64), beside those that it trusts already. Nothing disables the check of signatures.",
        elements="str",
        check=checks.nix_key,
        no_log=False,
    ),
    Option(
        "nix_trusted_users",
        "list",
        "Users who may copy anything to the store of Nix, signed or not, and groups (V(@NAME)). This is as much as "
        "being root, since packages are executed as root. Where only the members of C(nix-users) reach the daemon of "
        "Nix, as on Debian, the users are added to that group, and stay in it.",
        elements="str",
        check=checks.nix_user,
    ),
    Option(
        "nix_substituters",
        "list",
        "URLs of binary caches that Nix copies paths from, beside those that it has already. Everybody reads them, so "
        "a user, password or token is refused: they belong in a file that the setting C(netrc-file) names.",
        elements="str",
        check=checks.nix_substituter,
    ),
    Option(
        "nix_settings",
        "dict",
        (
            "Further settings of C(nix.conf), by their names. Values are strings, numbers, V(true), V(false), or lists "
            "of strings.",
            "What the other options refuse is refused here too: a cache without signatures, or that everybody is "
            "trusted. So are C(require-sigs) with V(false), and a value that the host's Nix cannot read. A setting "
            "that its version does not know is a warning.",
        ),
        values="raw",
        check=checks.nix_setting,
    ),
    Option(
        "nix_collect_garbage",
        "str",
        (
            "Age in days from which on generations of Nix's profiles are deleted, such as V(30d). If it is set, a "
            "timer collects the garbage of Nix's store once a day.",
            "Packages of MicroVMs that run, start next or are kept as generations are not garbage, whatever their age. "
            "By default there is no such timer.",
        ),
        check=checks.nix_age,
    ),
)

HOST_SETUP_OPTIONS: Options = HOST_DIRECTORY_OPTIONS + (
    Option(
        "ksm",
        "bool",
        "Whether the kernel merges equal memory pages of guests (KSM). This saves memory, but opens a side channel "
        "between guests.",
        default=False,
    ),
    Option(
        "huge_pages",
        "list",
        (
            "Memory that the host sets aside as huge pages, for MicroVMs with O(ignore:hugepage_mem): the number of "
            "pages of each size. Processors of x86_64 have V(2M) and V(1G).",
            "The pages are set aside at once and with every start of the host. Nothing else can use their memory. "
            "Memory that has been in use for long may be too fragmented for all of them; the module warns then.",
            "The pages of a size that is not listed stay as they are. If this option has set them aside, there are "
            "then as many as before that.",
        ),
        elements="dict",
        suboptions=HUGE_PAGE_OPTIONS,
    ),
    Option(
        "boot_parallel",
        "int",
        "Maximum number of MicroVMs that start at a time when the host boots. The others wait in the boot queue. "
        "V(0) means no limit.",
        default=4,
        check=checks.not_negative,
    ),
    Option(
        "boot_settle",
        "int",
        "Number of seconds for which a MicroVM counts as starting while the host boots.",
        default=10,
        check=checks.not_negative,
    ),
    Option(
        "restrictions",
        "dict",
        (
            "Restrictions of declarations, for hosts whose declarations are written by teams that are less trusted "
            "than the operators of the host.",
            f"They are kept in C({RESTRICTIONS}), where modules and the command C(microvm) find them, and "
            "hold for declarations, external packages and rollbacks.",
            "If this option is not set, those that the host has stay. Set C(enable) to V(false) to end them.",
        ),
        suboptions=RESTRICTION_OPTIONS,
        on_demand=True,
    ),
    *NIX_OPTIONS,
)
