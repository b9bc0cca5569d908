# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of the setup of a host."""

    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - Directory that contains the state directories of the MicroVMs.
      - It is recorded in C(/etc/microvm-fleet/host.json), where modules and the command C(microvm) find it.
      - Defaults to the recorded one, and to C(/var/lib/microvms) on a host without. It cannot change while MicroVMs
        are installed.
    type: path
  image_store:
    description:
      - Directory on the host that contains its guest images.
      - It is recorded for modules and the command, too.
    type: path
    default: /var/lib/microvm-fleet/images
  ksm:
    description:
      - Whether the kernel merges equal memory pages of guests (KSM). This saves memory, but opens a side channel
        between guests.
    type: bool
    default: false
  huge_pages:
    description:
      - 'Memory that the host sets aside as huge pages, for MicroVMs with O(ignore:hugepage_mem): the number of
        pages of each size. Processors of x86_64 have V(2M) and V(1G).'
      - The pages are set aside at once and with every start of the host. Nothing else can use their memory. Memory
        that has been in use for long may be too fragmented for all of them; the module warns then.
      - The pages of a size that is not listed stay as they are. If this option has set them aside, there are then
        as many as before that.
    type: list
    elements: dict
    suboptions:
      size:
        description:
          - Size of a page.
        type: str
        required: true
        choices:
          - 64K
          - 2M
          - 32M
          - 512M
          - 1G
          - 16G
      count:
        description:
          - Number of pages.
        type: int
        required: true
  boot_parallel:
    description:
      - Maximum number of MicroVMs that start at a time when the host boots. The others wait in the boot queue.
        V(0) means no limit.
    type: int
    default: 4
  boot_settle:
    description:
      - Number of seconds for which a MicroVM counts as starting while the host boots.
    type: int
    default: 10
  restrictions:
    description:
      - Restrictions of declarations, for hosts whose declarations are written by teams that are less trusted than
        the operators of the host.
      - They are kept in C(/etc/microvm-fleet/restrictions.json), where modules and the command C(microvm) find
        them, and hold for declarations, external packages and rollbacks.
      - If this option is not set, those that the host has stay. Set C(enable) to V(false) to end them.
    type: dict
    suboptions:
      enable:
        description:
          - Whether declarations are restricted on the host.
          - If V(true), everything is refused that the other keys do not allow. If V(false), they have no effect.
        type: bool
        default: true
      path_prefixes:
        description:
          - 'Directories below which declarations may name files and directories by an absolute path: volumes, sources
            of shares, files of credentials, sockets and images.'
          - A path must not lead through a symbolic link, and every directory above it must belong to root and be
            writable by root only; the directory of a volume or a socket may belong to the user of the MicroVM.
            Relative paths and images in C(/var/lib/microvm-fleet/images) are always allowed.
        type: list
        elements: str
      bridges:
        description:
          - Bridges, and networks with mode V(macvtap), to which declarations may attach interfaces.
        type: list
        elements: str
      scripts:
        description:
          - Whether declarations may contain shell commands that the host executes.
        type: bool
        default: false
      programs:
        description:
          - Whether declarations may choose the programs that the host executes.
        type: bool
        default: false
      arguments:
        description:
          - Whether declarations may contain arguments of hypervisors, virtiofsd and mkfs, and use images of other
            formats than V(raw), which may name other files.
        type: bool
        default: false
      devices:
        description:
          - Whether declarations may pass devices of the host through to guests.
        type: bool
        default: false
      host_network:
        description:
          - Whether declarations may use other interfaces than those of type V(tap) and of networks, which reach
            addresses, ports and interfaces of the host.
        type: bool
        default: false
      units:
        description:
          - Whether declarations may name units of the host, which are then started with the MicroVM, or which it
            starts after.
        type: bool
        default: false
      weaker_sandbox:
        description:
          - Whether declarations may weaken the sandbox of a MicroVM.
        type: bool
        default: false
      external_packages:
        description:
          - Whether external packages may be installed and rolled back to. They are executed, partly as root, and
            therefore completely trusted.
        type: bool
        default: false
  nix:
    description:
      - Whether the host has Nix, for MicroVMs whose packages Nix builds.
      - The settings below are written to C(/etc/nix/microvm-fleet.conf), which the last line of C(/etc/nix/nix.conf)
        includes; the rest of that file stays. Commands of Nix and flakes are enabled. Role P(microvm.fleet.host#role)
        installs the packages of the distribution unless the host has another Nix.
      - With V(false) these settings are removed. Nix itself stays, with its store.
    type: bool
    default: false
  nix_trusted_keys:
    description:
      - Public keys whose signatures Nix takes for what is copied to the store, such as V(cache.example.com-1:BASE64),
        beside those that it trusts already. Nothing disables the check of signatures.
    type: list
    elements: str
  nix_trusted_users:
    description:
      - Users who may copy anything to the store of Nix, signed or not, and groups (V(@NAME)). This is as much as
        being root, since packages are executed as root. Where only the members of C(nix-users) reach the daemon
        of Nix, as on Debian, the users are added to that group, and stay in it.
    type: list
    elements: str
  nix_substituters:
    description:
      - 'URLs of binary caches that Nix copies paths from, beside those that it has already. Everybody reads them,
        so a user, password or token is refused: they belong in a file that the setting C(netrc-file) names.'
    type: list
    elements: str
  nix_settings:
    description:
      - Further settings of C(nix.conf), by their names. Values are strings, numbers, V(true), V(false), or lists
        of strings.
      - 'What the other options refuse is refused here too: a cache without signatures, or that everybody is trusted.
        So are C(require-sigs) with V(false), and a value that the host''s Nix cannot read. A setting that its version
        does not know is a warning.'
    type: dict
  nix_collect_garbage:
    description:
      - Age in days from which on generations of Nix's profiles are deleted, such as V(30d). If it is set, a timer
        collects the garbage of Nix's store once a day.
      - Packages of MicroVMs that run, start next or are kept as generations are not garbage, whatever their age.
        By default there is no such timer.
    type: str
  diff_detail:
    description:
      - What diffs contain. V(declared) shows what was set and what follows from it. V(full) also shows options
        with default values, command lines of hypervisors, and the contents of files that are the same on all hosts.
    type: str
    default: declared
    choices:
      - declared
      - full
  state:
    description:
      - V(present) prepares the host for MicroVMs.
      - V(absent) removes what that has created, and all packages and records of MicroVMs. Volumes stay, and so
        does the user C(microvm) as long as it owns files in O(state_dir). Remove MicroVMs, images and networks
        first.
    type: str
    default: present
    choices:
      - present
      - absent
"""
