# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of all MicroVMs of a host."""

    DOCUMENTATION = r"""
options:
  vms:
    description:
      - The MicroVMs of the host.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - 'Name of the MicroVM: of its unit, its state directory and, by default, of its guest.'
        type: str
        required: true
      hypervisor:
        description:
          - Program that runs the MicroVM.
        type: str
        default: qemu
        choices:
          - qemu
      accel:
        description:
          - How the guest's instructions are run.
          - V(auto) is V(kvm) where an ordinary kernel really boots under the host's KVM, which is tried, else V(tcg).
        type: str
        default: auto
        choices:
          - auto
          - kvm
          - tcg
      vcpu:
        description:
          - Number of virtual processors.
        type: int
        default: 1
      mem:
        description:
          - 'Memory: MiB, or a number with V(M) or V(G).'
        type: raw
        default: '512'
      image:
        description:
          - 'Guest image: the name of one of the images that the host was given, or the absolute path of an image
            directory.'
          - Gives O(ignore:kernel), O(ignore:initrd_path) and O(ignore:store_disk) unless they are set.
        type: str
      kernel:
        description:
          - Kernel to boot. Required without O(ignore:image).
        type: path
      initrd_path:
        description:
          - Initial RAM disk.
        type: path
      store_disk:
        description:
          - Read-only root disk.
        type: path
      store_disk_type:
        description:
          - File system of O(ignore:store_disk). An image that the host was given says it itself.
        type: str
        default: erofs
        choices:
          - erofs
          - squashfs
      kernel_params:
        description:
          - Parameters that are added to the kernel's command line, one for each element.
        type: list
        elements: str
      machine_id:
        description:
          - The guest's machine id, 32 hexadecimal digits. By default derived from O(ignore:name).
        type: str
      interfaces:
        description:
          - Network interfaces.
        type: list
        elements: dict
        suboptions:
          type:
            description:
              - How the interface reaches the host's network.
              - 'V(user) is QEMU''s own user-space network: no privileges, no way in.'
              - V(tap) is a tap device that exists as long as the MicroVM runs.
            type: str
            default: tap
            choices:
              - user
              - tap
          id:
            description:
              - Name of the interface on the host, at most 15 characters.
              - By default derived from the MicroVM's name and the interface's position.
            type: str
          mac:
            description:
              - Hardware address of the guest's interface.
              - By default derived from the MicroVM's name and the interface's position.
            type: str
          bridge:
            description:
              - Bridge that a tap becomes a port of. Role P(microvm.fleet.network#role) makes bridges.
            type: str
      volumes:
        description:
          - Disks that keep the guest's data.
        type: list
        elements: dict
        suboptions:
          image:
            description:
              - 'Disk image: an absolute path, or a path below the MicroVM''s state directory.'
              - Its directory is created, for the user V(microvm), if it does not exist.
            type: str
            required: true
          size:
            description:
              - 'Size of an image that is created: MiB, or a number with V(M), V(G) or V(T).'
            type: raw
          auto_create:
            description:
              - Create and format the image at the first start. Needs O(ignore:size).
              - An image that exists is never formatted.
            type: bool
            default: true
          fs_type:
            description:
              - File system of an image that is created.
            type: str
            default: ext4
            choices:
              - ext4
          label:
            description:
              - Label of the file system of an image that is created.
            type: str
          mount_point:
            description:
              - Where a guest that is configured by O(ignore:guest) mounts the volume.
              - On V(/), the volume keeps every change to the read-only root, which a tmpfs keeps until the guest
                stops.
            type: str
          serial:
            description:
              - Serial of the disk, by which the guest finds it. By default derived from O(ignore:image) where it
                is needed.
            type: str
          direct:
            description:
              - Bypass the host's page cache.
            type: bool
          read_only:
            description:
              - Let the guest read only.
            type: bool
            default: false
      shares:
        description:
          - Directories of the host.
        type: list
        elements: dict
        suboptions:
          tag:
            description:
              - Name under which the guest mounts the share.
            type: str
            required: true
          source:
            description:
              - Directory of the host. Created, for the user V(microvm), if it does not exist.
            type: path
            required: true
          mount_point:
            description:
              - Where a guest that is configured by O(ignore:guest) mounts the share.
            type: str
          proto:
            description:
              - Protocol of the share.
            type: str
            default: 9p
            choices:
              - 9p
          security_model:
            description:
              - How 9p maps ownership and modes, see QEMU's C(-fsdev).
            type: str
            default: none
            choices:
              - none
              - passthrough
              - mapped
              - mapped-xattr
              - mapped-file
          read_only:
            description:
              - Let the guest read only.
            type: bool
            default: false
      socket:
        description:
          - Control socket of the hypervisor, below the state directory or absolute. By default O(ignore:name) with
            V(.sock).
        type: str
      guest:
        description:
          - Configuration of the guest without rebuilding its image.
        type: dict
        suboptions:
          enable:
            description:
              - 'Configure the guest by systemd credentials: host name, machine id, network, keys, mounts.'
              - By default where O(ignore:image) is set.
            type: bool
          hostname:
            description:
              - Host name of the guest. By default the MicroVM's name.
            type: str
          authorized_keys:
            description:
              - Public SSH keys that may log in as root, one line of authorized_keys(5) each.
            type: list
            elements: str
          networks:
            description:
              - Configuration of the guest's interfaces. An interface without one uses DHCP.
            type: list
            elements: dict
            suboptions:
              interface:
                description:
                  - O(ignore:interfaces[].id) of the interface. By default the one at the same position.
                type: str
              addresses:
                description:
                  - Static addresses with prefix length.
                type: list
                elements: str
              gateway:
                description:
                  - Router for everything else.
                type: str
              dns:
                description:
                  - Name servers.
                type: list
                elements: str
              dhcp:
                description:
                  - Ask for an address by DHCP. By default where O(ignore:guest.networks[].addresses) is not set.
                type: bool
      state:
        description:
          - V(started) installs, starts, restarts where the package has changed, and waits until the guest is up.
          - V(stopped) installs and stops. V(restarted) is V(started) with one restart in any case.
          - 'V(present) installs and leaves the running MicroVM alone: a changed package waits for the next start.'
          - V(absent) stops and removes everything but volumes.
        type: str
        choices:
          - started
          - stopped
          - restarted
          - present
          - absent
      autostart:
        description:
          - Start the MicroVM with the host.
        type: bool
        default: true
      ready:
        description:
          - When a start counts as done.
        type: dict
        suboptions:
          check:
            description:
              - What tells that the guest is up.
              - V(ssh) waits for the greeting of an SSH server, V(tcp) for a connection, V(hypervisor) for the hypervisor
                to say that the guest runs, V(none) for nothing but the unit.
              - V(auto) is V(ssh) where the guest has a static address and an authorized key, else V(hypervisor).
            type: str
            default: auto
            choices:
              - auto
              - ssh
              - tcp
              - hypervisor
              - none
          address:
            description:
              - Address that V(ssh) and V(tcp) connect to from the host. By default the guest's first static address.
            type: str
          port:
            description:
              - Port that V(ssh) and V(tcp) connect to.
            type: int
            default: 22
          timeout:
            description:
              - Seconds to wait at most.
            type: int
            default: 300
  state:
    description:
      - State of every MicroVM that has no state of its own, see O(vms[].state).
    type: str
    default: started
    choices:
      - started
      - stopped
      - restarted
      - present
      - absent
  parallel:
    description:
      - How many MicroVMs are started or stopped at the same time.
    type: int
    default: 4
  preflight:
    description:
      - Only look whether the declarations are right and the host can run them; change nothing, never be changed.
    type: bool
    default: false
  bridges:
    description:
      - Bridges that need not be there yet with O(preflight), since the same run will make them.
    type: list
    elements: str
  images:
    description:
      - Images that the host was given, as role P(microvm.fleet.images#role) reports them.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name by which O(ignore:image) refers to the image.
        type: str
        required: true
      path:
        description:
          - Directory of the image on the host. Not set while it is not known.
        type: path
      store_disk_type:
        description:
          - File system of the image's root disk.
        type: str
        default: erofs
        choices:
          - erofs
          - squashfs
  state_dir:
    description:
      - Directory with the MicroVMs' state directories. The same that role P(microvm.fleet.host#role) was given.
    type: path
    default: /var/lib/microvms
"""
