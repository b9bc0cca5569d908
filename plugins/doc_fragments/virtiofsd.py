# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of directories that a host serves by virtiofs."""

    DOCUMENTATION = r"""
options:
  shares:
    description:
      - Directories to serve, or to serve no longer. Shares that are not listed are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the share. Its units are C(microvm-fleet-share-NAME.socket) and C(microvm-fleet-share-NAME.service).
        type: str
        required: true
      state:
        description:
          - Whether the directory is served. With V(absent), all options but O(shares[].name) are ignored. The directory
            and its files stay.
        type: str
        default: present
        choices:
          - present
          - absent
      source:
        description:
          - Absolute path of the directory on the host. Required unless O(shares[].state=absent).
          - The directories above it must be root's, so that nobody else can put another one in its place, unless
            O(shares[].user) is set.
          - It is created if it does not exist. The owner and the mode of one that exists are left alone.
        type: path
      source_owner:
        description:
          - Name or number of the user who owns a directory that is created. By default O(shares[].user).
        type: str
      source_group:
        description:
          - Name or number of the group of a directory that is created. By default that of O(shares[].source_owner).
        type: str
      source_mode:
        description:
          - Mode of a directory that is created.
        type: str
        default: '0755'
      socket:
        description:
          - Path of the socket that the hypervisor connects to.
          - In the default, C({name}) stands for O(shares[].name). Only root can create files in that directory,
            which should be true of any other one.
        type: path
        default: /run/microvm-fleet/virtiofsd/{name}.sock
      group:
        description:
          - Name or number of the group whose members may connect to the socket, such as C(libvirt-qemu). Without
            it, only root may.
        type: str
      user:
        description:
          - Name or number of the user who serves the directory.
          - With V(root), files have the owners that the guest gives them, and root of the guest can read and change
            everything in O(shares[].source).
          - 'With any other user, the daemon has no privileges: the guest can do what that user can do, and all
            files that it creates are the user''s, see O(shares[].translate_uid).'
        type: str
        default: root
      read_only:
        description:
          - Whether the guest has read-only access.
        type: bool
        default: false
      cache:
        description:
          - Cache policy of a virtiofs share, see virtiofsd's C(--cache).
        type: str
        default: auto
        choices:
          - auto
          - always
          - metadata
          - never
      posix_acl:
        description:
          - Whether the guest may use POSIX access control lists. By default it may, unless identities are translated,
            which excludes them.
        type: bool
      inode_file_handles:
        description:
          - 'Whether virtiofsd uses file handles instead of open file descriptors: V(never), V(prefer) or V(mandatory).
            Requires O(shares[].user=root).'
        type: str
        choices:
          - never
          - prefer
          - mandatory
      thread_pool_size:
        description:
          - Number of threads that serve requests beside the main one.
        type: int
        default: 0
      translate_uid:
        description:
          - How virtiofsd translates numbers of users between guest and host, as its option C(--translate-uid) takes
            them, such as V(map:0:100000:65536).
          - By default they are the same, if O(shares[].user=root). Otherwise all users of the guest are that user,
            and the guest sees all files as those of root.
        type: list
        elements: str
      translate_gid:
        description:
          - How virtiofsd translates numbers of groups between guest and host, as its option C(--translate-gid)
            takes them, such as V(map:0:100000:65536).
          - By default they are the same, if O(shares[].user=root). Otherwise all groups of the guest are that group
            of the user, and the guest sees all files as those of root.
        type: list
        elements: str
      tag:
        description:
          - Tag of the share, for hypervisors that ask virtiofsd for it, such as crosvm. Others have it as an option
            of their own.
        type: str
      extra_args:
        description:
          - Additional arguments of virtiofsd, but for those that other options and the units determine.
        type: list
        elements: str
      package:
        description:
          - Path of virtiofsd, or its name if it is in C(PATH) or C(/usr/libexec).
        type: str
        default: virtiofsd
  replace_in_use:
    description:
      - Whether a share may be changed or removed while a hypervisor is connected to it, whose guest then loses
        the files until the hypervisor connects again, mostly by a restart. The module fails otherwise, before anything
        is changed.
    type: bool
    default: false
"""
