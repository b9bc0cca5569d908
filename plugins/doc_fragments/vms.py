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
          - cloud-hypervisor
          - firecracker
          - crosvm
          - kvmtool
          - stratovirt
          - alioth
          - vfkit
      accel:
        description:
          - How the guest's instructions are run.
          - V(auto) is V(kvm) where an ordinary kernel really boots under the host's KVM, which is tried, else V(tcg),
            which only QEMU has.
          - V(tcg) only with V(qemu).
        type: str
        default: auto
        choices:
          - auto
          - kvm
          - tcg
      guest_system:
        description:
          - Architecture of the guest, as Nix calls it. By default the host's.
          - Another one than the host's is emulated, which needs O(ignore:cpu).
        type: str
        choices:
          - x86_64-linux
          - aarch64-linux
      cpu:
        description:
          - Model of the processor that QEMU gives the guest, such as V(max) or V(cortex-a57). By default the host's
            own.
          - Only with V(qemu).
        type: str
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
      hugepage_mem:
        description:
          - Take the memory from the host's huge pages.
          - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt).
        type: bool
        default: false
      hotplug_mem:
        description:
          - Memory that can be plugged in beside O(ignore:mem), by virtio-mem.
          - Only with V(qemu), V(cloud-hypervisor).
        type: raw
        default: '0'
      hotplugged_mem:
        description:
          - How much of O(ignore:hotplug_mem) is plugged in at the start. By default all of it.
          - Only with V(qemu), V(cloud-hypervisor).
        type: raw
      balloon:
        description:
          - A balloon that takes memory from the guest and gives it back.
          - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt).
        type: bool
        default: false
      initial_balloon_mem:
        description:
          - Memory that the balloon takes at the start. Needs O(ignore:balloon).
          - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm).
        type: raw
        default: '0'
      deflate_on_oom:
        description:
          - The balloon gives memory back when the guest has none left.
          - V(false) only with V(qemu), V(cloud-hypervisor), V(firecracker), V(kvmtool), V(stratovirt).
        type: bool
        default: true
      user:
        description:
          - Account that QEMU changes to after its start. The unit's own account, where it is not set.
          - Only with V(qemu).
        type: str
      socket:
        description:
          - 'Control socket of the hypervisor, below the state directory or absolute. V(null) is none: such a MicroVM
            is only stopped from inside.'
          - In the default, C({name}) stands for O(ignore:name).
        type: str
        default: '{name}.sock'
      pre_start:
        description:
          - Shell commands that C(microvm-run) runs before the hypervisor.
        type: str
        default: ''
      extra_args_script:
        description:
          - Program that prints more arguments for the hypervisor, separated by blanks, at each start.
        type: path
      pretty_procnames:
        description:
          - The hypervisor's process is called C(microvm@NAME).
        type: bool
        default: true
      image:
        description:
          - 'Guest image: the name of one of the images that the host was given, or the absolute path of an image
            directory.'
          - Gives O(ignore:kernel), O(ignore:initrd_path) and O(ignore:store_disk) unless they are set.
        type: str
      kernel:
        description:
          - File of the kernel to boot. Required without O(ignore:image).
          - Firecracker boots an uncompressed C(vmlinux) only.
        type: path
      initrd_path:
        description:
          - Initial RAM disk.
        type: path
      kernel_params:
        description:
          - Parameters that are added to the kernel's command line, one for each element.
        type: list
        elements: str
      store_on_disk:
        description:
          - The MicroVM has O(ignore:store_disk).
          - By default it has, unless a guest without O(ignore:image) gets C(/nix/store) as a share.
        type: bool
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
      store_disk_erofs_flags:
        description:
          - 'For guests that Nix builds: flags of mkfs.erofs. Recorded in the package, of which they are no part.'
        type: list
        elements: str
      store_disk_squashfs_flags:
        description:
          - 'For guests that Nix builds: flags of gensquashfs. Recorded in the package, of which they are no part.'
        type: list
        elements: str
      writable_store_overlay:
        description:
          - 'For guests that Nix builds: where the writable layer of their C(/nix/store) is.'
          - 'Recorded in the package, of which it is no part: the volume or share there is.'
        type: path
      register_closure:
        description:
          - 'For guests that Nix builds: tell the guest''s Nix of its store.'
          - Recorded in the package, of which it is no part.
        type: bool
      system_symlink:
        description:
          - C(share/microvm/system) of the package leads to the guest's image. By default where O(ignore:image)
            is set.
        type: bool
      optimize:
        description:
          - Optimisations of the guest.
        type: dict
        suboptions:
          enable:
            description:
              - 'For guests that Nix builds: leave out what MicroVMs seldom need.'
              - Recorded in the package, of which it is no part.
            type: bool
            default: true
      machine_id:
        description:
          - 'The guest''s machine id: 32 hexadecimal digits, or a UUID. By default a UUID of version 5 from O(ignore:name).'
          - It is the machine's UUID (SMBIOS) too, where the hypervisor has one.
        type: str
      register_with_machined:
        description:
          - Register with systemd-machined, for machinectl(1).
          - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
        type: bool
        default: false
      credential_files:
        description:
          - 'Secrets for the guest''s systemd (systemd.system-credentials(7)): names, and the host''s files with
            their contents.'
          - The files are read at each start. Their contents are in no argument, unit, log or package.
          - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
        type: dict
      vsock:
        description:
          - The guest's vsock(7).
        type: dict
        suboptions:
          cid:
            description:
              - Context identifier of the guest, 3 or more. No two MicroVMs of a host may have the same.
              - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
            type: int
          ssh:
            description:
              - SSH through the vsock.
            type: dict
            suboptions:
              enable:
                description:
                  - The guest's SSH server is expected to answer at the vsock. Needs O(ignore:vsock.cid).
                  - A guest with systemd 256 or newer and an SSH server does so by itself; the package is no other
                    one.
                type: bool
                default: false
      interfaces:
        description:
          - Network interfaces.
        type: list
        elements: dict
        suboptions:
          type:
            description:
              - How the interface reaches the host's network.
              - 'V(user) is the hypervisor''s own user-space network: no privileges, no way in but O(ignore:forward_ports).'
              - V(tap) is a tap device that exists as long as the MicroVM runs.
              - V(macvtap) is a device of its own on one of the host's interfaces.
              - V(bridge) lets QEMU's setuid helper make a tap on a bridge; C(/etc/qemu/bridge.conf) must allow
                it.
              - V(user) only with V(qemu), V(kvmtool), V(vfkit). V(tap) only with V(qemu), V(cloud-hypervisor),
                V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth). V(macvtap) only with V(qemu), V(cloud-hypervisor),
                V(crosvm), V(kvmtool), V(stratovirt), V(alioth). V(bridge) only with V(qemu).
            type: str
            default: tap
            choices:
              - user
              - tap
              - macvtap
              - bridge
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
              - Bridge that a tap becomes a port of. Role P(microvm.fleet.network#role) makes bridges. Required
                for V(bridge).
            type: str
          macvtap:
            description:
              - Where an interface of type V(macvtap) is.
            type: dict
            suboptions:
              link:
                description:
                  - Interface of the host that the macvtap is on. Required for V(macvtap).
                type: str
              mode:
                description:
                  - Who the guest reaches besides the network, see ip-link(8). Required for V(macvtap).
                type: str
                choices:
                  - private
                  - vepa
                  - bridge
                  - passthru
                  - source
          tap:
            description:
              - More about V(tap) and V(macvtap).
            type: dict
            suboptions:
              vhost:
                description:
                  - Leave the packets of the interface to the host's kernel (vhost-net).
                  - Only with V(qemu), V(crosvm), V(kvmtool), V(stratovirt).
                type: bool
                default: false
      forward_ports:
        description:
          - Ports of user networks.
          - Only with V(qemu).
        type: list
        elements: dict
        suboptions:
          from:
            description:
              - V(host) leads the host's port to the guest.
              - V(guest) leads a port of the guest's network to the host.
            type: str
            default: host
            choices:
              - host
              - guest
          proto:
            description:
              - Protocol of the port.
            type: str
            default: tcp
            choices:
              - tcp
              - udp
          host:
            description:
              - The host's end.
            type: dict
            required: true
            suboptions:
              address:
                description:
                  - Address on the host. By default all of them.
                type: str
              port:
                description:
                  - Port on the host.
                type: int
                required: true
          guest:
            description:
              - The guest's end.
            type: dict
            required: true
            suboptions:
              address:
                description:
                  - Address in the guest's network. By default the guest's own. Required from V(guest).
                type: str
              port:
                description:
                  - Port in the guest's network.
                type: int
                required: true
      volumes:
        description:
          - Disks that keep the guest's data.
        type: list
        elements: dict
        suboptions:
          image:
            description:
              - 'Disk image: an absolute path, or a path below the MicroVM''s state directory.'
              - Its directory is created, for the MicroVM's user, if it does not exist.
            type: str
            required: true
          size:
            description:
              - 'Size of an image that is created: MiB, or a number with V(M), V(G) or V(T).'
              - 'An image that was created smaller grows, with its file system, before the next start. None shrinks:
                that is refused.'
            type: raw
          auto_create:
            description:
              - Create and format the image at the first start. Needs O(ignore:size).
              - An image that exists is never formatted.
            type: bool
            default: true
          fs_type:
            description:
              - File system of the image.
              - Created images have V(ext2), V(ext3), V(ext4), V(xfs), V(btrfs) or V(vfat).
            type: str
            default: ext4
          label:
            description:
              - Label of the file system of an image that is created.
            type: str
          mkfs_extra_args:
            description:
              - More arguments of mkfs for an image that is created.
            type: list
            elements: str
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
              - Only with V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(vfkit).
            type: str
          direct:
            description:
              - Bypass the host's page cache.
              - V(true) only with V(qemu), V(cloud-hypervisor), V(crosvm), V(kvmtool), V(stratovirt).
            type: bool
          read_only:
            description:
              - Let the guest read only.
            type: bool
            default: false
          image_type:
            description:
              - Format of the image. Only V(raw) images are created.
              - V(qcow2) only with V(qemu), V(cloud-hypervisor), V(crosvm). V(vhd) only with V(qemu), V(cloud-hypervisor).
                V(vhdx) only with V(qemu), V(cloud-hypervisor).
            type: str
            default: raw
            choices:
              - raw
              - qcow2
              - vhd
              - vhdx
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
              - 'Directory of the host: an absolute path, or one below the MicroVM''s state directory.'
              - An absolute one is created, for the MicroVM's user, if it does not exist.
            type: path
            required: true
          mount_point:
            description:
              - Where a guest that is configured by O(ignore:guest) mounts the share.
            type: str
          proto:
            description:
              - Protocol of the share.
              - V(9p) only with V(qemu), V(crosvm), V(kvmtool). V(virtiofs) only with V(qemu), V(cloud-hypervisor),
                V(crosvm), V(stratovirt), V(alioth), V(vfkit).
            type: str
            default: 9p
            choices:
              - 9p
              - virtiofs
          socket:
            description:
              - Socket between the hypervisor and virtiofsd, below the state directory or absolute.
              - In the default, C({name}) and C({tag}) stand for O(ignore:name) and O(ignore:shares[].tag).
            type: str
            default: '{name}-virtiofs-{tag}.sock'
          security_model:
            description:
              - How 9p maps ownership and modes, see QEMU's C(-fsdev).
              - Only with V(qemu).
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
              - Only with V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
            type: bool
            default: false
          cache:
            description:
              - How long the guest of a virtiofs share trusts what it has read, see virtiofsd's C(--cache).
              - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
            type: str
            default: auto
            choices:
              - auto
              - always
              - metadata
              - never
          posix_acl:
            description:
              - A virtiofs share has access control lists.
              - V(false) only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt),
                V(alioth).
            type: bool
            default: true
          extra_args:
            description:
              - More arguments of this share's virtiofsd.
              - Only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
            type: list
            elements: str
      devices:
        description:
          - Devices of the host that the guest gets.
        type: list
        elements: dict
        suboptions:
          bus:
            description:
              - Kind of the device.
              - V(pci) only with V(qemu), V(cloud-hypervisor), V(crosvm), V(kvmtool). V(usb) only with V(qemu).
            type: str
            required: true
            choices:
              - pci
              - usb
          path:
            description:
              - For V(pci), the address, such as V(0000:01:00.0).
              - 'For V(usb), what tells the device, as QEMU''s C(usb-host) takes it: V(vendorid=0x1050,productid=0x0407).'
            type: str
            required: true
          qemu:
            description:
              - What only QEMU has.
            type: dict
            suboptions:
              id:
                description:
                  - QEMU's name of the device.
                  - Only with V(qemu).
                type: str
              bus:
                description:
                  - QEMU's bus for the device, such as a port of O(ignore:qemu.pcie_root_ports).
                  - Only with V(qemu).
                type: str
              device_extra_args:
                description:
                  - More properties of the device, as C(-device) takes them.
                  - Only with V(qemu).
                type: str
      graphics:
        description:
          - A display of the guest.
        type: dict
        suboptions:
          enable:
            description:
              - Give the guest a display.
              - Only with V(qemu), V(cloud-hypervisor), V(crosvm), V(vfkit).
            type: bool
            default: false
          backend:
            description:
              - Where QEMU shows the display.
              - Only with V(qemu).
            type: str
            default: gtk
            choices:
              - gtk
              - headless
              - cocoa
          vulkan:
            description:
              - How QEMU's guest gets Vulkan. By default not at all.
              - Only with V(qemu).
            type: str
            choices:
              - venus
              - drm_native_context
          hostmem:
            description:
              - Memory that QEMU shares with the guest for Vulkan.
              - Only with V(qemu).
            type: str
            default: 256M
          socket:
            description:
              - Socket between the hypervisor and crosvm's GPU device.
              - In the default, C({name}) stands for O(ignore:name).
            type: str
            default: '{name}-gpu.sock'
          crosvm_package:
            description:
              - crosvm whose GPU device Cloud Hypervisor and crosvm use; see O(ignore:crosvm.package).
            type: str
      virtiofsd:
        description:
          - The daemon of virtiofs shares.
        type: dict
        suboptions:
          inode_file_handles:
            description:
              - 'Whether virtiofsd uses file handles in place of open files: V(never), V(prefer) or V(mandatory).
                V(null) is virtiofsd''s own default.'
            type: str
            default: prefer
          thread_pool_size:
            description:
              - Threads of virtiofsd. V(nproc) is the number of the host's processors.
            type: raw
            default: nproc
          group:
            description:
              - Group that may connect to the sockets. V(null) is virtiofsd's own only.
              - In the default, C({group}) stands for the MicroVM's own group, see O(ignore:isolation).
            type: str
            default: '{group}'
          extra_args:
            description:
              - More arguments of each virtiofsd.
            type: list
            elements: str
          package:
            description:
              - virtiofsd; see O(ignore:qemu.package).
            type: str
      bin_scripts:
        description:
          - 'Shell commands by the name of a script of the package: appended to C(tap-up) and the like, or a script
            of their own.'
          - What C(microvm-run) shall do first is O(ignore:pre_start).
        type: dict
      guest:
        description:
          - Configuration of the guest without rebuilding its image.
        type: dict
        suboptions:
          enable:
            description:
              - 'Configure the guest by systemd credentials: host name, machine id, network, keys, mounts.'
              - By default where O(ignore:image) is set.
              - V(true) only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt),
                V(alioth).
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
      isolation:
        description:
          - V(per_vm) gives the MicroVM a user and a group of its own, so that no other one's process can open its
            volumes, sockets, taps and devices.
          - 'V(shared) is microvm.nix''s way: the user V(microvm) in the group V(kvm), as all who share it.'
        type: str
        default: per_vm
        choices:
          - per_vm
          - shared
      profile:
        description:
          - How narrow the unit's sandbox is.
          - 'V(strict) leaves the hypervisor only what the declaration needs: its devices, system calls, address
            families, paths. V(compat) is for what V(strict) breaks, such as O(ignore:pre_start) that does more.'
        type: str
        default: strict
        choices:
          - strict
          - compat
      use_notify_sockets:
        description:
          - The unit counts as started when the guest's systemd says so over the vsock, not when the hypervisor
            runs.
          - A guest that does not say so within O(ignore:startup_timeout) is stopped. Needs O(ignore:vsock.cid).
          - Only with V(cloud-hypervisor), V(firecracker).
        type: bool
        default: false
      qemu:
        description:
          - QEMU.
          - Only with V(qemu).
        type: dict
        suboptions:
          machine:
            description:
              - Type of the machine. By default V(microvm) on x86_64 and V(virt) on aarch64.
            type: str
          machine_opts:
            description:
              - Options of the machine in place of ours, texts all of them. An empty mapping is none at all.
            type: dict
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          serial_console:
            description:
              - The guest has a serial console, which is standard input and output.
            type: bool
            default: true
          pcie_root_ports:
            description:
              - Ports that devices can be put on.
            type: list
            elements: dict
            suboptions:
              id:
                description:
                  - Name of the port, for O(ignore:devices[].qemu.bus).
                type: str
                required: true
              bus:
                description:
                  - Bus that the port is on, such as V(pcie.0).
                type: str
              chassis:
                description:
                  - Number of the chassis.
                type: raw
              slot:
                description:
                  - Number of the slot.
                type: raw
              addr:
                description:
                  - Address on the bus.
                type: str
          package:
            description:
              - 'Where C(qemu-system-ARCHITECTURE) is: a directory whose C(bin) has it, or the program''s own path,
                in a directory called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      cloud_hypervisor:
        description:
          - Cloud Hypervisor.
          - Only with V(cloud-hypervisor).
        type: dict
        suboptions:
          platform_oem_strings:
            description:
              - SMBIOS strings for the guest.
              - 'They are arguments, which every user of the host can read: secrets are O(ignore:credential_files).'
            type: list
            elements: str
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          package:
            description:
              - 'Where C(cloud-hypervisor) is: a directory whose C(bin) has it, or the program''s own path, in a
                directory called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      firecracker:
        description:
          - Firecracker.
          - Only with V(firecracker).
        type: dict
        suboptions:
          cpu:
            description:
              - Custom CPU template, see Firecracker's documentation.
            type: dict
          drive_io_engine:
            description:
              - How Firecracker reads and writes disks. V(Async) is faster; Firecracker calls it a developer preview.
            type: str
            default: Async
            choices:
              - Async
              - Sync
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          extra_config:
            description:
              - Merged over the configuration that we write, key by key.
            type: dict
          package:
            description:
              - 'Where C(firecracker) is: a directory whose C(bin) has it, or the program''s own path, in a directory
                called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      crosvm:
        description:
          - crosvm.
          - Only with V(crosvm).
        type: dict
        suboptions:
          pivot_root:
            description:
              - Empty directory that crosvm's devices are confined to.
            type: path
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          package:
            description:
              - 'Where C(crosvm) is: a directory whose C(bin) has it, or the program''s own path, in a directory
                called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      kvmtool:
        description:
          - kvmtool.
          - Only with V(kvmtool).
        type: dict
        suboptions:
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          package:
            description:
              - 'Where C(lkvm) is: a directory whose C(bin) has it, or the program''s own path, in a directory called
                C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      stratovirt:
        description:
          - StratoVirt.
          - Only with V(stratovirt).
        type: dict
        suboptions:
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          package:
            description:
              - 'Where C(stratovirt) is: a directory whose C(bin) has it, or the program''s own path, in a directory
                called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      alioth:
        description:
          - alioth.
          - Only with V(alioth).
        type: dict
        suboptions:
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          package:
            description:
              - 'Where C(alioth) is: a directory whose C(bin) has it, or the program''s own path, in a directory
                called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      vfkit:
        description:
          - 'vfkit, for hosts with macOS: only packages are made for it.'
          - Only with V(vfkit).
        type: dict
        suboptions:
          extra_args:
            description:
              - More arguments, each an element.
            type: list
            elements: str
          log_level:
            description:
              - 'How much vfkit says: V(debug), V(info) or V(error). V(null) is vfkit''s own default.'
            type: str
            default: info
          rosetta:
            description:
              - Programs for x86_64.
            type: dict
            suboptions:
              enable:
                description:
                  - Let the guest run x86_64 programs by Rosetta.
                type: bool
                default: false
              install:
                description:
                  - Install Rosetta at the start where it is missing.
                type: bool
                default: false
              ignore_if_missing:
                description:
                  - Start without Rosetta where it is missing.
                type: bool
                default: false
          package:
            description:
              - 'Where C(vfkit) is: a directory whose C(bin) has it, or the program''s own path, in a directory
                called C(bin), C(sbin) or C(libexec), or its name.'
              - By default it is looked for in C(PATH).
            type: str
      state:
        description:
          - V(started) installs, starts, restarts as O(ignore:restart_policy) says, and waits until the guest is
            up.
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
      autostart_order:
        description:
          - 'Which MicroVMs the host starts first: those with the lower number, 0 to 99.'
        type: int
        default: 50
      ready:
        description:
          - When a start counts as done.
        type: dict
        suboptions:
          check:
            description:
              - What tells that the guest is up.
              - V(ssh) waits for the greeting of an SSH server, V(tcp) for a connection, V(hypervisor) for the hypervisor
                to say that the guest runs, V(vsock) for the guest to accept a connection at its vsock, V(none)
                for nothing but the unit.
              - V(notify) waits for the unit, which waits for the guest's own word; see O(ignore:use_notify_sockets).
              - V(auto) is V(ssh) where the guest has a static address and an authorized key, else V(hypervisor),
                or V(none) for a hypervisor that cannot tell.
              - V(vsock) only with V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt),
                V(alioth). V(notify) only with V(cloud-hypervisor), V(firecracker). V(hypervisor) only with V(qemu),
                V(stratovirt).
            type: str
            default: auto
            choices:
              - auto
              - ssh
              - tcp
              - vsock
              - notify
              - hypervisor
              - none
          address:
            description:
              - Address that V(ssh) and V(tcp) connect to from the host. By default the guest's first static address.
            type: str
          port:
            description:
              - Port that V(ssh), V(tcp) and V(vsock) connect to.
            type: int
            default: 22
          timeout:
            description:
              - Seconds to wait at most.
            type: int
            default: 300
      startup_timeout:
        description:
          - Seconds that systemd gives the unit to start.
        type: int
        default: 150
      restart_policy:
        description:
          - When a running MicroVM is restarted for a changed package, with O(ignore:state=started).
          - V(if_changed) does it at once, V(never) leaves it to somebody else, V(window) does it only in O(ignore:restart_window).
            Until then the restart is pending, and results say so.
          - V(always) restarts with every run.
        type: str
        default: if_changed
        choices:
          - never
          - if_changed
          - always
          - window
      restart_window:
        description:
          - 'Time of day in which V(window) restarts, in the host''s time zone: V(22:00-04:30).'
        type: str
      rollback_on_failure:
        description:
          - A MicroVM whose new package does not come up is started again with the package before, and the new one
            is marked bad. The run fails all the same.
        type: bool
        default: false
      keep_generations:
        description:
          - How many of the last packages are kept to roll back to, the current one included.
        type: int
        default: 3
      stop_timeout:
        description:
          - Seconds that a guest has to end when it is asked to. Then the hypervisor is told to end, and ten seconds
            later it is killed.
        type: int
        default: 90
      on_reboot:
        description:
          - 'What follows when the guest reboots: a start with the package that is then current, or nothing.'
          - V(stop) only with V(qemu), V(firecracker), V(kvmtool), V(stratovirt).
        type: str
        default: restart
        choices:
          - restart
          - stop
      on_poweroff:
        description:
          - What follows when the guest powers off by itself.
          - Only QEMU tells a reboot from a poweroff; what the end of another hypervisor counts as stands in docs/hypervisors.md.
          - V(restart) only with V(qemu), V(cloud-hypervisor), V(crosvm), V(alioth), V(vfkit).
        type: str
        default: stop
        choices:
          - restart
          - stop
      on_crash:
        description:
          - What follows when the hypervisor fails or is killed.
        type: str
        default: restart
        choices:
          - restart
          - stop
      limits:
        description:
          - What the MicroVM's processes get of the host.
        type: dict
        suboptions:
          memory_max:
            description:
              - Memory of the host that the MicroVM's processes get at most. V(0) is no limit.
              - 'By default the guest''s memory and what a hypervisor needs beside it: 512 MiB and an eighth, and
                1 GiB more where the guest''s instructions are translated (V(tcg)).'
            type: raw
          tasks_max:
            description:
              - Threads and processes at most.
            type: int
            default: 1024
          cpu_quota:
            description:
              - 'Processor time at most, in percent of one processor: V(200) are two. By default no limit.'
            type: int
          cpu_weight:
            description:
              - Share of the processors when they are scarce, 1 to 10000. systemd's default is 100.
            type: int
          io_weight:
            description:
              - Share of the disks when they are scarce, 1 to 10000. systemd's default is 100.
            type: int
      on_absent:
        description:
          - What a removal does.
        type: dict
        suboptions:
          volumes:
            description:
              - What happens to the volumes that were created for the MicroVM when its O(ignore:state) is V(absent).
              - V(keep) leaves them where they are. V(archive) moves them to C(/var/lib/microvm-fleet/archive).
                V(delete) needs each of them named in O(ignore:on_absent.confirm).
            type: str
            default: keep
            choices:
              - keep
              - archive
              - delete
          confirm:
            description:
              - The images, as they were declared, that may be deleted.
            type: list
            elements: str
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
  purge:
    description:
      - What becomes of MicroVMs that this collection has installed in O(state_dir) and that are not in O(vms).
      - V(report) only names them, as RV(undeclared). V(stop) stops them, and they no longer start with the host.
        V(remove) removes them, but for their volumes.
    type: str
    default: report
    choices:
      - report
      - stop
      - remove
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
