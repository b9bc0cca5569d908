# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of one MicroVM."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the MicroVM, of its unit and of its state directory. It is also the default host name of the guest.
    type: str
    required: true
  hypervisor:
    description:
      - Hypervisor that runs the MicroVM.
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
      - How the guest's instructions are executed.
      - V(kvm) uses the host's hardware virtualization. V(tcg) emulates the processor in software.
      - V(auto) uses V(kvm) if a test boot shows that the host's KVM can run an ordinary kernel, and V(tcg) otherwise.
      - V(tcg) is supported only by V(qemu).
    type: str
    default: auto
    choices:
      - auto
      - kvm
      - tcg
  guest_system:
    description:
      - Architecture of the guest, in Nix's notation. Defaults to the architecture of the host.
      - A guest of a different architecture is emulated, which requires O(ignore:cpu).
    type: str
    choices:
      - x86_64-linux
      - aarch64-linux
  cpu:
    description:
      - CPU model that QEMU presents to the guest, such as V(max) or V(cortex-a57). Defaults to the CPU of the host.
      - Supported only by V(qemu).
    type: str
  vcpu:
    description:
      - Number of virtual CPUs.
    type: int
    default: 1
  mem:
    description:
      - Memory of the guest in MiB, or a number with the suffix V(M) or V(G).
    type: raw
    default: '512'
  hugepage_mem:
    description:
      - Whether to allocate the guest's memory from the host's huge pages.
      - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt).
    type: bool
    default: false
  hugepage_size:
    description:
      - Size of the huge pages. Defaults to the host's default size, which is V(2M) on x86_64.
      - O(ignore:mem) must be a multiple of it. Requires O(ignore:hugepage_mem), and pages that the host has set
        aside, see C(microvm_huge_pages) of role P(microvm.fleet.host#role).
      - V(2M) is supported only by V(qemu), V(cloud-hypervisor), V(firecracker). V(1G) is supported only by V(qemu),
        V(cloud-hypervisor).
    type: str
    choices:
      - 2M
      - 1G
  hotplug_mem:
    description:
      - Memory that can be hot-plugged in addition to O(ignore:mem), by virtio-mem.
      - Supported only by V(qemu), V(cloud-hypervisor).
    type: raw
    default: '0'
  hotplugged_mem:
    description:
      - Part of O(ignore:hotplug_mem) that is plugged in when the guest starts. Defaults to all of it.
      - Supported only by V(qemu), V(cloud-hypervisor).
    type: raw
  balloon:
    description:
      - Whether the guest has a balloon device, through which the host can reclaim memory from the guest.
      - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt).
    type: bool
    default: false
  initial_balloon_mem:
    description:
      - Memory that the balloon reclaims when the guest starts. Requires O(ignore:balloon).
      - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool).
    type: raw
    default: '0'
  deflate_on_oom:
    description:
      - Whether the balloon deflates when the guest runs out of memory.
      - V(true) is supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(stratovirt). V(false)
        is supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(kvmtool), V(stratovirt).
    type: bool
    default: true
  user:
    description:
      - User that QEMU switches to after its start. By default QEMU keeps running as the user of the unit.
      - Supported only by V(qemu).
    type: str
  socket:
    description:
      - Path of the hypervisor's control socket, absolute or relative to the MicroVM's working directory.
      - With V(null) there is no control socket, and the MicroVM can be shut down cleanly only from inside the guest.
      - In the default, C({name}) stands for O(ignore:name).
    type: str
    default: '{name}.sock'
  pre_start:
    description:
      - Shell commands that C(microvm-run) executes before it starts the hypervisor.
    type: str
    default: ''
  extra_args_script:
    description:
      - Program that is run at each start and prints additional hypervisor arguments, separated by spaces.
    type: path
  pretty_procnames:
    description:
      - Whether to name the hypervisor's process C(microvm@NAME).
    type: bool
    default: true
  image:
    description:
      - 'Guest image: the name of an image that is installed on the host, or the absolute path of an image directory.'
      - Provides O(ignore:kernel), O(ignore:initrd_path) and O(ignore:store_disk) unless they are set.
    type: str
  kernel:
    description:
      - Path of the kernel to boot. Required if O(ignore:image) is not set.
      - Firecracker boots only an uncompressed C(vmlinux).
    type: path
  initrd_path:
    description:
      - Path of the initial RAM disk.
    type: path
  kernel_params:
    description:
      - Parameters to append to the kernel command line, one per element.
    type: list
    elements: str
  store_on_disk:
    description:
      - Whether to attach O(ignore:store_disk) to the MicroVM.
      - Defaults to V(true), except for a guest without O(ignore:image) that mounts C(/nix/store) as a share.
    type: bool
  store_disk:
    description:
      - Path of the read-only root disk.
    type: path
  store_disk_type:
    description:
      - File system of O(ignore:store_disk). Images that are installed on the host override it with their own.
    type: str
    default: erofs
    choices:
      - erofs
      - squashfs
  store_disk_erofs_flags:
    description:
      - 'For guests built by Nix: flags of C(mkfs.erofs). They are recorded with the package and do not change it.'
    type: list
    elements: str
  store_disk_squashfs_flags:
    description:
      - 'For guests built by Nix: flags of C(gensquashfs). They are recorded with the package and do not change
        it.'
    type: list
    elements: str
  writable_store_overlay:
    description:
      - 'Directory of the guest in which it keeps what it writes to C(/nix/store), such as V(/nix/.rw-store). Its
        image must have been built with C(nix: true), and O(ignore:shares) must have C(/nix/store) of the host.'
      - The directory is on the volume that is mounted there, and otherwise in the guest's memory. It cannot be
        on a share. Without the option, the guest only reads the host's store, see guests.md.
      - For guests without O(ignore:image), which Nix has built, the option is recorded with the package and does
        not change it.
    type: path
  register_closure:
    description:
      - Whether the closure of O(ignore:store_paths) is registered in the Nix database of the guest, so that its
        Nix takes these paths for its own. Defaults to V(true) if there are such paths.
      - For guests without O(ignore:image), which Nix has built, the option is recorded with the package and does
        not change it.
    type: bool
  store_paths:
    description:
      - 'Paths in the host''s C(/nix/store) that the guest uses, for guests of images with C(nix: true) that have
        it in O(ignore:shares).'
      - The garbage collector of the host keeps them, and all that they refer to, for as long as a generation of
        the MicroVM names them. Any other path of the store may vanish while the guest runs.
    type: list
    elements: str
  system_symlink:
    description:
      - Whether C(share/microvm/system) in the package is a symbolic link to the guest's image. Defaults to V(true)
        if O(ignore:image) is set.
    type: bool
  optimize:
    description:
      - Optimizations of the guest.
    type: dict
    suboptions:
      enable:
        description:
          - 'For guests built by Nix: whether to leave out software that MicroVMs rarely need.'
          - This option is recorded with the package and does not change it.
        type: bool
        default: true
  machine_id:
    description:
      - 'Machine ID of the guest: 32 hexadecimal digits, or a UUID. Defaults to a version 5 UUID derived from O(ignore:name).'
      - Hypervisors that provide SMBIOS also use it as the system UUID.
    type: str
  register_with_machined:
    description:
      - Whether to register the MicroVM with systemd-machined, so that C(machinectl) lists it.
      - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
    type: bool
    default: false
  credential_files:
    description:
      - 'System credentials for the guest''s systemd: a mapping from the name of each credential to the path of
        the file on the host that contains it.'
      - The files are read at each start. Their contents appear in no process argument, unit, log or package. Paths
        must not contain blanks or backslashes, which systemd cannot pass on.
      - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
    type: dict
  vsock:
    description:
      - Virtual socket (vsock) of the guest.
    type: dict
    suboptions:
      cid:
        description:
          - Context identifier (CID) of the guest, 3 or greater. It must be unique on the host.
          - V(auto) means one that is derived from O(ignore:identity), from 65536 on. It stays the same, and is
            another one for each MicroVM.
          - Hypervisors without a power button need it to stop the guest without loss of data, see lifecycle.md.
          - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt),
            V(alioth).
        type: raw
      ssh:
        description:
          - SSH over the vsock.
        type: dict
        suboptions:
          enable:
            description:
              - Whether the guest's SSH server can be reached over the vsock. Requires O(ignore:vsock.cid).
              - A guest with systemd 256 or newer and an SSH server listens on the vsock without further configuration.
                This option is recorded and does not change the package.
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
          - How the interface is connected to the host's network.
          - V(user) uses the user-space network of the hypervisor. It needs no privileges, and the guest can be
            reached only through O(ignore:forward_ports).
          - V(tap) creates a tap device that exists while the MicroVM runs.
          - 'V(macvtap) creates a macvtap device on an interface of the host: that of a network with mode V(macvtap)
            whose name is C(bridge), or C(macvtap.link).'
          - V(bridge) lets QEMU's setuid helper create a tap device on a bridge. C(/etc/qemu/bridge.conf) must allow
            the bridge.
          - V(user) is supported only by V(qemu), V(kvmtool), V(vfkit). V(tap) is supported only by V(qemu), V(cloud-hypervisor),
            V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth). V(macvtap) is supported only by V(qemu),
            V(cloud-hypervisor), V(crosvm), V(kvmtool), V(stratovirt), V(alioth). V(bridge) is supported only by
            V(qemu).
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
          - Defaults to a name derived from O(ignore:name) and the position of the interface.
        type: str
      mac:
        description:
          - MAC address of the guest's interface.
          - Defaults to an address derived from O(ignore:name) and the position of the interface.
        type: str
      bridge:
        description:
          - Bridge that the tap device is attached to, or, with type V(macvtap), a network with mode V(macvtap).
            Role P(microvm.fleet.network#role) creates them. Required for type V(bridge).
        type: str
      macvtap:
        description:
          - Settings of interfaces of type V(macvtap).
        type: dict
        suboptions:
          link:
            description:
              - Interface of the host that the macvtap device is attached to. Required for type V(macvtap) without
                C(bridge).
            type: str
          mode:
            description:
              - Mode of the macvtap device, as described in ip-link(8). Required for type V(macvtap) without C(bridge).
            type: str
            choices:
              - private
              - vepa
              - bridge
              - passthru
              - source
      tap:
        description:
          - Settings of interfaces of type V(tap) and V(macvtap).
        type: dict
        suboptions:
          vhost:
            description:
              - Whether the host's kernel processes the packets of the interface (vhost-net).
              - Supported only by V(qemu), V(crosvm), V(stratovirt).
            type: bool
            default: false
  forward_ports:
    description:
      - Port forwardings of interfaces of type V(user).
      - Supported only by V(qemu).
    type: list
    elements: dict
    suboptions:
      from:
        description:
          - Direction of the forwarding.
          - V(host) forwards a port of the host to the guest. V(guest) forwards a port of the guest's network to
            the host.
        type: str
        default: host
        choices:
          - host
          - guest
      proto:
        description:
          - Transport protocol.
        type: str
        default: tcp
        choices:
          - tcp
          - udp
      host:
        description:
          - Address and port on the host.
        type: dict
        required: true
        suboptions:
          address:
            description:
              - IPv4 address on the host. Defaults to all addresses.
            type: str
          port:
            description:
              - Port number on the host.
            type: int
            required: true
      guest:
        description:
          - Address and port in the guest's network.
        type: dict
        required: true
        suboptions:
          address:
            description:
              - IPv4 address in the guest's network. Defaults to the address of the guest. It must be set for ports
                that are forwarded from the guest.
            type: str
          port:
            description:
              - Port number in the guest's network.
            type: int
            required: true
  volumes:
    description:
      - Disks for persistent data of the guest.
    type: list
    elements: dict
    suboptions:
      image:
        description:
          - Path of the disk image, absolute or relative to the MicroVM's working directory.
          - The directory of the image is created, owned by the MicroVM's user, if it does not exist.
          - A path below C(/dev), such as V(/dev/vg0/data), is a block device of the host, which the MicroVM alone
            is given. No image is created there, so it requires O(ignore:volumes[].auto_create=false).
        type: str
        required: true
      size:
        description:
          - Size of the image to create in MiB, or a number with the suffix V(M), V(G) or V(T).
          - If the size is increased later, the image and its file system are grown before the next start. Decreasing
            the size is refused.
        type: raw
      auto_create:
        description:
          - Whether to create and format the image at the first start. Requires O(ignore:volumes[].size).
          - An existing image is never formatted.
        type: bool
        default: true
      format:
        description:
          - Whether a block device of the host gets a file system.
          - V(if_blank) formats it before the MicroVM starts, if its beginning and end are zero and neither blkid
            nor wipefs finds a signature of anything on it. A device with any data is left as it is.
        type: str
        default: never
        choices:
          - never
          - if_blank
      fs_type:
        description:
          - File system of the image.
          - Images can be created with V(ext2), V(ext3), V(ext4), V(xfs), V(btrfs) or V(vfat). V(xfs) needs at least
            300 MiB, and V(btrfs) 109 MiB.
        type: str
        default: ext4
      label:
        description:
          - Label of the file system when the image is created.
        type: str
      mkfs_extra_args:
        description:
          - Additional arguments of C(mkfs) when the image is created.
        type: list
        elements: str
      mount_point:
        description:
          - Mount point of the volume in the guest. Requires O(ignore:guest.enable).
          - A volume mounted at V(/) stores all changes to the read-only root file system. Without such a volume,
            a tmpfs holds them and they are lost when the guest stops.
        type: str
      serial:
        description:
          - Serial number by which the guest identifies the disk. Derived from O(ignore:volumes[].image) by default
            if the guest needs one.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(vfkit).
        type: str
      direct:
        description:
          - Whether to bypass the page cache of the host.
          - V(true) is supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(kvmtool), V(stratovirt).
        type: bool
      read_only:
        description:
          - Whether the guest has read-only access.
        type: bool
        default: false
      image_type:
        description:
          - Format of the image. Only V(raw) images can be created. Of V(vhd), Cloud Hypervisor reads images of
            fixed size only.
          - V(qcow2) is supported only by V(qemu), V(cloud-hypervisor), V(crosvm). V(vhd) is supported only by V(qemu),
            V(cloud-hypervisor). V(vhdx) is supported only by V(qemu), V(cloud-hypervisor).
        type: str
        default: raw
        choices:
          - raw
          - qcow2
          - vhd
          - vhdx
  shares:
    description:
      - Directories of the host that are shared with the guest.
    type: list
    elements: dict
    suboptions:
      tag:
        description:
          - Tag by which the guest mounts the share.
        type: str
        required: true
      source:
        description:
          - Path of the directory on the host, absolute or relative to the MicroVM's working directory.
          - The directory is created if it does not exist. The owner and the mode of one that exists are left alone.
          - C(/nix/store) and what is below it is always shared for reading only with guests of an O(ignore:image),
            and a directory above it only with O(ignore:shares[].read_only).
        type: path
        required: true
      source_owner:
        description:
          - Name or number of the user who owns a directory that is created. By default O(ignore:shares[].user),
            or the MicroVM's user.
          - With O(ignore:shares[].proto=9p), only for an absolute O(ignore:shares[].source).
        type: str
      source_group:
        description:
          - Name or number of the group of a directory that is created.
          - By default the group of the same name or number as O(ignore:shares[].source_owner) or O(ignore:shares[].user),
            or the MicroVM's.
        type: str
      source_mode:
        description:
          - Mode of a directory that is created.
        type: str
        default: '0755'
      user:
        description:
          - Name or number of the user of the host, with an entry in C(/etc/passwd), who serves a virtiofs share.
          - 'By default root does: files have the owners that the guest gives them, and root of the guest can read
            and change everything in O(ignore:shares[].source).'
          - 'With any other user, the daemon has no privileges: the guest can do what that user can do, and all
            files that it creates are the user''s, see O(ignore:shares[].translate_uid). A directory that is created
            is the user''s too, unless O(ignore:shares[].source_owner) is set.'
          - Requires O(ignore:shares[].posix_acl=false), and virtiofsd 1.13 or newer.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: str
      mount_point:
        description:
          - Mount point of the share in the guest. Requires O(ignore:guest.enable).
        type: str
      proto:
        description:
          - Protocol by which the directory is shared.
          - V(9p) is supported only by V(qemu), V(crosvm), V(kvmtool). V(virtiofs) is supported only by V(qemu),
            V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth), V(vfkit).
        type: str
        default: 9p
        choices:
          - 9p
          - virtiofs
      socket:
        description:
          - Path of the socket between the hypervisor and virtiofsd, absolute or relative to the MicroVM's working
            directory.
          - In the default, C({name}) and C({tag}) stand for O(ignore:name) and O(ignore:shares[].tag).
        type: str
        default: '{name}-virtiofs-{tag}.sock'
      security_model:
        description:
          - How 9p maps the ownership and modes of files, see QEMU's C(-fsdev).
          - Supported only by V(qemu).
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
          - Whether the guest has read-only access.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: bool
        default: false
      cache:
        description:
          - Cache policy of a virtiofs share, see virtiofsd's C(--cache).
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: str
        default: auto
        choices:
          - auto
          - always
          - metadata
          - never
      posix_acl:
        description:
          - Whether a virtiofs share supports POSIX access control lists.
          - V(false) is supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: bool
        default: true
      translate_uid:
        description:
          - How virtiofsd translates numbers of users between guest and host, as its option C(--translate-uid) takes
            them, such as V(map:0:100000:65536). By default they are the same.
          - Requires O(ignore:shares[].posix_acl=false), and virtiofsd 1.13 or newer.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: list
        elements: str
      translate_gid:
        description:
          - How virtiofsd translates numbers of groups between guest and host, as its option C(--translate-gid)
            takes them, such as V(map:0:100000:65536). By default they are the same.
          - Requires O(ignore:shares[].posix_acl=false), and virtiofsd 1.13 or newer.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: list
        elements: str
      extra_args:
        description:
          - Additional arguments of the virtiofsd that serves this share.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth).
        type: list
        elements: str
  devices:
    description:
      - Devices of the host that are passed through to the guest.
    type: list
    elements: dict
    suboptions:
      bus:
        description:
          - Bus of the device.
          - V(pci) is supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(kvmtool). V(usb) is supported
            only by V(qemu).
        type: str
        required: true
        choices:
          - pci
          - usb
      path:
        description:
          - For V(pci), the address of the device, such as V(0000:01:00.0).
          - For V(usb), the properties that identify the device to QEMU's C(usb-host), such as V(vendorid=0x1050,productid=0x0407).
        type: str
        required: true
      qemu:
        description:
          - Device options of QEMU.
        type: dict
        suboptions:
          id:
            description:
              - QEMU identifier of the device.
              - Supported only by V(qemu).
            type: str
          bus:
            description:
              - Bus that the device is attached to, such as a port in O(ignore:qemu.pcie_root_ports).
              - Supported only by V(qemu).
            type: str
          device_extra_args:
            description:
              - Additional properties of the device, in the syntax of C(-device).
              - Supported only by V(qemu).
            type: str
  graphics:
    description:
      - Graphical display of the guest.
    type: dict
    suboptions:
      enable:
        description:
          - Whether the guest has a display.
          - With Cloud Hypervisor, this requires a build that has the option C(--gpu), which no release has.
          - Supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(vfkit).
        type: bool
        default: false
      backend:
        description:
          - How QEMU presents the display on the host.
          - Supported only by V(qemu).
        type: str
        default: gtk
        choices:
          - gtk
          - headless
          - cocoa
      vulkan:
        description:
          - How QEMU provides Vulkan to the guest. By default the guest has no Vulkan.
          - Supported only by V(qemu).
        type: str
        choices:
          - venus
          - drm_native_context
      hostmem:
        description:
          - Size of the memory that QEMU shares with the guest for Vulkan.
          - Supported only by V(qemu).
        type: str
        default: 256M
      socket:
        description:
          - Path of the socket between the hypervisor and crosvm's GPU device, absolute or relative to the MicroVM's
            working directory.
          - In the default, C({name}) stands for O(ignore:name).
        type: str
        default: '{name}-gpu.sock'
      crosvm_package:
        description:
          - Location of the crosvm whose GPU device Cloud Hypervisor and crosvm use, in the same notation as O(ignore:crosvm.package).
        type: str
  virtiofsd:
    description:
      - Settings of virtiofsd, the daemon that serves virtiofs shares.
    type: dict
    suboptions:
      inode_file_handles:
        description:
          - 'Whether virtiofsd uses file handles instead of open file descriptors: V(never), V(prefer) or V(mandatory).
            V(null) means the default of virtiofsd.'
        type: str
        default: prefer
      thread_pool_size:
        description:
          - Number of threads of virtiofsd. V(nproc) means the number of CPUs of the host.
        type: raw
        default: nproc
      group:
        description:
          - Group that may connect to the sockets. V(null) means only the group of virtiofsd itself.
          - In the default, C({group}) stands for the group of the MicroVM, see O(ignore:isolation).
        type: str
        default: '{group}'
      extra_args:
        description:
          - Additional arguments of every virtiofsd.
        type: list
        elements: str
      package:
        description:
          - Location of virtiofsd, in the same notation as O(ignore:qemu.package).
        type: str
  bin_scripts:
    description:
      - Shell commands, keyed by the name of a script in the package. They are appended to an existing script such
        as C(tap-up), or become a script of their own.
      - Commands that C(microvm-run) executes before the hypervisor belong in O(ignore:pre_start).
    type: dict
  guest:
    description:
      - Configuration that is applied to the guest when it boots, without rebuilding its image.
    type: dict
    suboptions:
      enable:
        description:
          - 'Whether to configure the guest through systemd credentials: host name, machine ID, network, SSH keys
            and mounts.'
          - Defaults to V(true) if O(ignore:image) is set.
          - V(true) is supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt),
            V(alioth).
        type: bool
      hostname:
        description:
          - Host name of the guest. Defaults to O(ignore:name).
        type: str
      authorized_keys:
        description:
          - Public SSH keys that are allowed to log in as root. Each element is one line of C(authorized_keys).
        type: list
        elements: str
      host_access:
        description:
          - Whether the host's root may log in to the guest as root by SSH, with a key that role P(microvm.fleet.host#role)
            creates on each host.
          - C(microvm ssh) then needs no key of the operator's on the host.
        type: bool
        default: false
      host_key:
        description:
          - Whether the host gives the guest an SSH host key, as a credential. The host makes the key once, so that
            it is known before the first connection, and stays the same when the guest is made anew, renamed or
            moved. A guest that has a key of its own on a volume shows that one too.
          - Defaults to V(true) for images that use the key, which are those that this version of the collection
            builds, if O(ignore:guest.enable) is true and neither a volume nor a share is mounted at C(/etc) or
            C(/etc/ssh). For an image by its path, set the option.
        type: bool
      networks:
        description:
          - Network configuration of the guest's interfaces. Interfaces that are not listed use DHCP.
        type: list
        elements: dict
        suboptions:
          interface:
            description:
              - O(ignore:interfaces[].id) of the interface. Defaults to the interface at the same position in the
                list.
            type: str
          addresses:
            description:
              - Static addresses with their prefix lengths.
            type: list
            elements: str
          name:
            description:
              - Name of the interface in the guest. Defaults to V(net) and the position of the interface, such as
                V(net0).
              - The interface is recognised by its MAC address, so that its name does not depend on other devices.
            type: str
          gateway:
            description:
              - Default gateway, or a list with one for IPv4 and one for IPv6.
              - A gateway must be in a subnet of O(ignore:guest.networks[].addresses). If an address has the prefix
                length 32 (IPv4) or 128 (IPv6), the gateway may be any, and is reached directly on the interface.
            type: list
            elements: str
          routes:
            description:
              - Routes beside that of O(ignore:guest.networks[].gateway).
            type: list
            elements: dict
            suboptions:
              destination:
                description:
                  - Subnet or address that the route leads to, V(0.0.0.0/0) or V(::/0) for all.
                type: str
                required: true
              gateway:
                description:
                  - Address of the gateway. Without it, the destination is reached directly on the interface.
                type: str
              metric:
                description:
                  - Metric of the route. Of several routes to a destination, that with the smallest metric is used.
                type: int
              on_link:
                description:
                  - Whether the gateway is reached directly on the interface, although no subnet of its addresses
                    has it.
                  - Defaults to V(true) if no subnet has it and an address has the prefix length 32 (IPv4) or 128
                    (IPv6).
                type: bool
          dns:
            description:
              - DNS servers.
            type: list
            elements: str
          domains:
            description:
              - Domains in which the guest looks for names without a dot.
            type: list
            elements: str
          dhcp:
            description:
              - Whether to obtain an address by DHCP. Defaults to V(true) if O(ignore:guest.networks[].addresses)
                is empty.
            type: bool
  isolation:
    description:
      - V(per_vm) runs the MicroVM as a user and a group of its own, so that the processes of other MicroVMs cannot
        open its volumes, sockets, taps and devices.
      - V(shared) runs it as user V(microvm), which all MicroVMs with this value have in common, as microvm.nix
        does. The group is V(microvm) and not V(kvm), since people are in the latter to use C(/dev/kvm).
    type: str
    default: per_vm
    choices:
      - per_vm
      - shared
  profile:
    description:
      - Sandbox of the systemd unit.
      - V(strict) restricts the hypervisor to the devices, system calls, address families and paths that the declaration
        needs. V(compat) relaxes the sandbox for MicroVMs that do not work with V(strict), for example because O(ignore:pre_start)
        needs more access.
    type: str
    default: strict
    choices:
      - strict
      - compat
  use_notify_sockets:
    description:
      - Whether the unit becomes active only when the guest's systemd reports over the vsock that it is ready, instead
        of when the hypervisor is running.
      - A guest that does not report this within O(ignore:startup_timeout) is stopped. Requires O(ignore:vsock.cid),
        and systemd 254 or newer in the guest.
      - Supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt), V(alioth).
    type: bool
    default: false
  qemu:
    description:
      - Options of QEMU.
      - Supported only by V(qemu).
    type: dict
    suboptions:
      machine:
        description:
          - Machine type. Defaults to V(microvm) on x86_64 and V(virt) on aarch64.
        type: str
      machine_opts:
        description:
          - Machine options that replace the default ones. All values are strings. An empty mapping sets no option.
        type: dict
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      serial_console:
        description:
          - Whether the guest has a serial console, connected to standard input and output.
        type: bool
        default: true
      pcie_root_ports:
        description:
          - PCI Express root ports that devices can be attached to.
        type: list
        elements: dict
        suboptions:
          id:
            description:
              - Identifier of the port, to which O(ignore:devices[].qemu.bus) refers.
            type: str
            required: true
          bus:
            description:
              - Bus that the port is attached to, such as V(pcie.0).
            type: str
          chassis:
            description:
              - Chassis number of the port.
            type: raw
          slot:
            description:
              - Slot number of the port.
            type: raw
          addr:
            description:
              - Address of the port on the bus.
            type: str
      package:
        description:
          - 'Location of C(qemu-system-ARCHITECTURE): a directory that contains it in C(bin), the path of the program
            in a directory called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  cloud_hypervisor:
    description:
      - Options of Cloud Hypervisor.
      - Supported only by V(cloud-hypervisor).
    type: dict
    suboptions:
      platform_oem_strings:
        description:
          - SMBIOS OEM strings for the guest.
          - They are passed as process arguments, which every user of the host can read. Pass secrets through O(ignore:credential_files)
            instead.
        type: list
        elements: str
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      package:
        description:
          - 'Location of C(cloud-hypervisor): a directory that contains it in C(bin), the path of the program in
            a directory called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  firecracker:
    description:
      - Options of Firecracker.
      - Supported only by V(firecracker).
    type: dict
    suboptions:
      cpu:
        description:
          - Custom CPU template, as described in Firecracker's documentation.
        type: dict
      drive_io_engine:
        description:
          - I/O engine for disks. V(Async) is faster, but Firecracker still considers it a developer preview.
        type: str
        default: Async
        choices:
          - Async
          - Sync
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      extra_config:
        description:
          - Configuration that is merged recursively into the generated configuration and takes precedence over
            it.
        type: dict
      package:
        description:
          - 'Location of C(firecracker): a directory that contains it in C(bin), the path of the program in a directory
            called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  crosvm:
    description:
      - Options of crosvm.
      - Supported only by V(crosvm).
    type: dict
    suboptions:
      pivot_root:
        description:
          - Path of an empty directory that becomes the root directory of crosvm's device processes. The default
            of crosvm is C(/var/empty), which Debian does not have.
          - Only with O(ignore:profile=compat). By default, the unit of the MicroVM is the sandbox instead, and
            that of crosvm is switched off.
        type: path
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      package:
        description:
          - 'Location of C(crosvm): a directory that contains it in C(bin), the path of the program in a directory
            called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  kvmtool:
    description:
      - Options of kvmtool.
      - Supported only by V(kvmtool).
    type: dict
    suboptions:
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      package:
        description:
          - 'Location of C(lkvm): a directory that contains it in C(bin), the path of the program in a directory
            called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  stratovirt:
    description:
      - Options of StratoVirt.
      - Supported only by V(stratovirt).
    type: dict
    suboptions:
      machine:
        description:
          - Machine of the guest. V(microvm) has few devices, on virtio-mmio, and no ACPI. V(standard) is called
            q35 by StratoVirt on x86_64, and virt on aarch64; its devices are on PCI.
          - On x86_64, guests of V(microvm) need a kernel that is built with C(CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES),
            which Debian's kernels are not. Defaults to V(standard) on x86_64 with the kernel of O(ignore:image),
            and to V(microvm) otherwise.
        type: str
        choices:
          - microvm
          - standard
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      package:
        description:
          - 'Location of C(stratovirt): a directory that contains it in C(bin), the path of the program in a directory
            called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  alioth:
    description:
      - Options of alioth.
      - Supported only by V(alioth).
    type: dict
    suboptions:
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      package:
        description:
          - 'Location of C(alioth): a directory that contains it in C(bin), the path of the program in a directory
            called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  vfkit:
    description:
      - Options of vfkit. It runs on macOS, for which packages can be rendered but not run by this collection.
      - Supported only by V(vfkit).
    type: dict
    suboptions:
      extra_args:
        description:
          - Additional arguments of the hypervisor, one per element.
        type: list
        elements: str
      log_level:
        description:
          - 'Log level of vfkit: V(debug), V(info) or V(error). V(null) means the default of vfkit.'
        type: str
        default: info
      rosetta:
        description:
          - Translation of x86_64 programs in the guest.
        type: dict
        suboptions:
          enable:
            description:
              - Whether the guest can run x86_64 programs by Rosetta.
            type: bool
            default: false
          install:
            description:
              - Whether to install Rosetta at the start if it is missing.
            type: bool
            default: false
          ignore_if_missing:
            description:
              - Whether to start without Rosetta if it is missing.
            type: bool
            default: false
      package:
        description:
          - 'Location of C(vfkit): a directory that contains it in C(bin), the path of the program in a directory
            called C(bin), C(sbin) or C(libexec), or its name.'
          - By default it is searched in C(PATH).
        type: str
  state:
    description:
      - State of the MicroVM on the host.
      - V(started) installs and starts the MicroVM, restarts it according to O(ignore:restart_policy), and waits
        until the guest is up. V(restarted) does the same, but restarts a running MicroVM in any case.
      - V(stopped) installs and stops the MicroVM, which then does not start with the host either.
      - V(present) installs the MicroVM without starting or stopping it. A changed package takes effect at the next
        start.
      - V(absent) stops and removes the MicroVM. O(ignore:on_absent.volumes) determines what happens to its volumes.
    type: str
    choices:
      - started
      - stopped
      - restarted
      - present
      - absent
  renamed_from:
    description:
      - 'Former name of the MicroVM. If the host has a MicroVM of this name, it is stopped and renamed in the same
        run: its volumes, archived volumes, user and host key are kept.'
      - Keep the option as long as the guest is to keep its identity, see O(ignore:identity). Hosts without a MicroVM
        of the former name are not affected.
    type: str
  identity:
    description:
      - Name from which machine ID, MAC addresses and tap names are derived unless they are declared.
      - Defaults to O(ignore:renamed_from), or else to O(ignore:name). A MicroVM that is renamed for the second
        time needs its first name here.
    type: str
  tags:
    description:
      - Labels by which MicroVMs are selected, such as V(frontend). They are no part of the package, so a change
        restarts nothing.
      - Guests with a tag are in the group C(microvm_tag_TAG) of the inventory plugin C(microvm.fleet.guests). M(microvm.fleet.microvm_info)
        returns tags, and C(microvm list --tag) selects by them.
    type: list
    elements: str
  runner:
    description:
      - 'Absolute path, on the host, of a runner package that was made elsewhere: a directory that C(microvm render)
        wrote, one in C(/nix/store), or any other with the same layout.'
      - Or the URL of a build of a build service, such as V(https://hydra.example.com/job/vms/main/web/latest),
        whose JSON names a path in C(/nix/store) (C(buildoutputs.out.path), or C(path)). The host copies it from
        its binary caches, and Nix verifies the signatures.
      - The package decides everything that concerns the guest and its hypervisor, so only options of the host may
        be declared beside this one. Other values of O(ignore:defaults) do not apply.
      - A package in C(/nix/store) stays there. Others are copied, and the copy is replaced when the directory has
        other contents.
      - Only root may be able to change the package and the directories above it, since it is executed as root.
    type: str
  runner_key:
    description:
      - 'Public key of Nix that must have signed the package of a build service, whatever else the host trusts.
        It is required with C(http), where anybody on the way could name another package: then at least one of these.
        The host need not trust the key otherwise.'
    type: str
  flake:
    description:
      - Reference to a flake that has the MicroVM's runner package, such as V(github:you/machines).
      - A run evaluates it, and builds the package if the host does not have it. As with O(ignore:runner), the package
        decides everything that concerns the guest.
      - A relative path is refused, since the reference is used on several machines and by later updates, and so
        is a user with a password or token, since reports and processes show the reference.
    type: str
  attribute:
    description:
      - Attribute of O(ignore:flake) that is the package. Defaults to C(nixosConfigurations.NAME.config.microvm.declaredRunner)
        with the name of the MicroVM.
    type: str
  nix_arguments:
    description:
      - Further arguments of Nix when it evaluates and builds O(ignore:flake), such as V(--override-input). Arguments
        that concern the evaluation alone are left out of the build.
    type: list
    elements: str
  require_lock:
    description:
      - Whether to refuse O(ignore:flake) unless its lock file has all of its inputs. Otherwise an input that it
        lacks is the newest one of each run. A run never writes a lock file.
    type: bool
    default: false
  build_on:
    description:
      - Where O(ignore:flake) is evaluated and built.
      - V(target) is the host of the MicroVM, which needs Nix and whatever access the flake needs. V(controller)
        is the machine that runs Ansible. The name of a host of the inventory lets the controller evaluate and that
        host build. The package is then copied to the host of the MicroVM.
    type: str
    default: target
  update_flake:
    description:
      - Reference to the flake that C(microvm update) builds from, if that is another one than O(ignore:flake),
        such as a branch instead of the commit that was tested. Without it, updates build from O(ignore:flake),
        unless that is a path of the controller (O(ignore:build_on)). They build O(ignore:attribute) with O(ignore:nix_arguments).
    type: str
  manage:
    description:
      - Whether runs keep the package of O(ignore:flake) or O(ignore:runner) up to date.
      - 'V(always) installs what is declared in every run. V(once) installs it if the MicroVM has no package yet,
        and leaves later ones to C(microvm update): a run neither evaluates the flake, nor does it restart the MicroVM
        for another package.'
    type: str
    default: always
    choices:
      - always
      - once
  autostart:
    description:
      - Whether to start the MicroVM when the host boots.
      - A MicroVM that is declared with O(ignore:state=stopped) does not start with the host in any case.
    type: bool
    default: true
  autostart_order:
    description:
      - Position in the boot order, from 0 to 99. MicroVMs with a lower number are started first.
    type: int
    default: 50
  after:
    description:
      - Units of the host that the MicroVM starts after, and stops before, such as C(vault-agent.service).
      - 'Only the order is determined: a unit that nothing else starts is not waited for, see O(ignore:requires).'
    type: list
    elements: str
  requires:
    description:
      - Units of the host that are started with the MicroVM, which starts after them and only if they have started,
        such as C(srv-nas.mount) or C(microvm@db.service).
      - If such a unit is stopped or restarted, so is the MicroVM.
    type: list
    elements: str
  wait_timeout:
    description:
      - 'Maximum number of seconds that a start waits for what the declaration names and others create: bridges,
        links of macvtap interfaces, files of credentials, sources of shares, directories of volumes and sockets.'
      - After that, the MicroVM is not started. V(0) means that nothing is waited for.
    type: int
    default: 120
  ready:
    description:
      - How to determine that a started guest is up.
    type: dict
    suboptions:
      check:
        description:
          - Check that determines when the guest is up.
          - V(ssh) waits for the banner of an SSH server, V(tcp) for a TCP connection, V(vsock) for a connection
            to the guest's vsock, and V(hypervisor) for the hypervisor to report that the guest is running.
          - An answer counts only while the unit is active. If the host has recorded the SSH host key of a guest
            that keeps it on a volume or in a share, V(ssh) also compares that key.
          - V(notify) waits for the unit, which in turn waits for the guest to report that it is ready, see O(ignore:use_notify_sockets).
            V(none) waits only for the unit to become active.
          - V(auto) is V(ssh) if the guest has a static address and an authorized key. Otherwise it is V(hypervisor),
            or V(none) for hypervisors that cannot report the status of the guest.
          - V(vsock) is supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt),
            V(alioth). V(notify) is supported only by V(qemu), V(cloud-hypervisor), V(firecracker), V(crosvm), V(kvmtool),
            V(stratovirt), V(alioth). V(hypervisor) is supported only by V(qemu), V(stratovirt).
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
          - Address that V(ssh) and V(tcp) connect to from the host. Defaults to the first static address of the
            guest. An address of the host itself is accepted only for a port at which the hypervisor listens.
        type: str
      port:
        description:
          - Port that V(ssh), V(tcp) and V(vsock) connect to.
        type: int
        default: 22
      timeout:
        description:
          - Maximum number of seconds to wait.
        type: int
        default: 300
  startup_timeout:
    description:
      - Maximum number of seconds that the unit may take to start.
    type: int
    default: 150
  restart_policy:
    description:
      - When to restart a running MicroVM to apply a changed package if O(ignore:state=started).
      - V(if_changed) restarts it at once. V(window) restarts it only during O(ignore:restart_window). V(never)
        does not restart it. Until the restart takes place, it is reported as pending.
      - V(always) restarts it in every run.
    type: str
    default: if_changed
    choices:
      - never
      - if_changed
      - always
      - window
  restart_window:
    description:
      - Time of day during which V(window) restarts MicroVMs, in the time zone of the host, such as V(22:00-04:30).
    type: str
  ssh_switch:
    description:
      - Whether a running guest is switched to the system of a changed package, in place of a restart, and how.
      - This requires a package whose C(share/microvm/system) leads to a system in C(/nix/store) that has C(bin/switch-to-configuration),
        as those of NixOS do, a share of the host's C(/nix/store) in the running guest, and a guest that accepts
        the SSH key of its host, or one that root's ssh has, for C(root), and whose host key and host name are the
        expected ones. Otherwise O(ignore:restart_policy) decides, and a warning says why. O(ignore:restart_window)
        does not apply to switches.
      - V(switch) and V(test) activate the system, V(boot) only sets the profile in the guest, and V(dry-activate)
        only shows in C(switch_output) of the result what an activation would do. After V(boot) and V(dry-activate),
        and where more than the system has changed, such as kernel or memory, a restart is pending.
      - Only with O(ignore:flake) or O(ignore:runner).
    type: str
    default: none
    choices:
      - none
      - switch
      - test
      - boot
      - dry-activate
  rollback_on_failure:
    description:
      - Whether to start a MicroVM that does not come up with its new package again with the previous package.
      - The new package is then marked bad, and the run fails nevertheless.
    type: bool
    default: false
  on_refused:
    description:
      - Outcome of a run whose declared package is refused, because a rollback has marked it bad. The MicroVM keeps
        its current package in any case.
      - With V(fail) the MicroVM fails in every run, also in check mode, until its declaration changes or the mark
        is cleared by C(microvm generations NAME --good NUMBER). With V(warn) the run only warns.
    type: str
    default: fail
    choices:
      - fail
      - warn
  keep_generations:
    description:
      - Number of most recent packages, including the current one, to keep for rollbacks.
    type: int
    default: 3
  stop_timeout:
    description:
      - Maximum number of seconds for the guest to shut down when it is stopped. After that, the hypervisor is terminated,
        and killed ten seconds later.
    type: int
    default: 90
  on_reboot:
    description:
      - 'What to do when the guest reboots: start the MicroVM again with its current package, or leave it stopped.'
      - V(stop) is supported only by V(qemu), V(firecracker), V(crosvm), V(kvmtool), V(stratovirt).
    type: str
    default: restart
    choices:
      - restart
      - stop
  on_poweroff:
    description:
      - What to do when the guest powers off by itself.
      - Not every hypervisor distinguishes a reboot from a poweroff. The documentation of the hypervisors describes
        how the exit of each is interpreted.
      - V(restart) is supported only by V(qemu), V(cloud-hypervisor), V(crosvm), V(stratovirt), V(alioth), V(vfkit).
    type: str
    default: stop
    choices:
      - restart
      - stop
  on_crash:
    description:
      - What to do when the hypervisor fails or is killed.
    type: str
    default: restart
    choices:
      - restart
      - stop
  limits:
    description:
      - Resource limits of the MicroVM's processes on the host.
    type: dict
    suboptions:
      memory_max:
        description:
          - Maximum memory of the host that the MicroVM's processes may use. V(0) means no limit.
          - Defaults to the memory of the guest plus one eighth of it plus 512 MiB for the hypervisor, plus 1 GiB
            if O(ignore:accel) is V(tcg).
        type: raw
      tasks_max:
        description:
          - Maximum number of threads and processes.
        type: int
        default: 1024
      cpu_quota:
        description:
          - Maximum CPU time in percent of one CPU, so that V(200) means two CPUs. By default there is no limit.
        type: int
      cpu_weight:
        description:
          - Relative share of CPU time under contention, from 1 to 10000. The default of systemd is 100.
        type: int
      io_weight:
        description:
          - Relative share of disk bandwidth under contention, from 1 to 10000. The default of systemd is 100.
        type: int
  on_absent:
    description:
      - What to do with data when the MicroVM is removed.
    type: dict
    suboptions:
      volumes:
        description:
          - What to do with the volumes that were created for the MicroVM if O(ignore:state) is V(absent).
          - V(keep) leaves them in place. V(archive) moves them to C(/var/lib/microvm-fleet/archive). V(delete)
            deletes them and requires each of them to be listed in O(ignore:on_absent.confirm).
          - An image with an absolute path that existed before the MicroVM was not created for it and stays. An
            image that another MicroVM uses is refused.
        type: str
        default: keep
        choices:
          - keep
          - archive
          - delete
      confirm:
        description:
          - Volumes that may be deleted, as written in O(ignore:volumes[].image).
        type: list
        elements: str
  diff_detail:
    description:
      - What diffs contain. V(declared) shows what was set and what follows from it. V(full) also shows options
        with default values, command lines of hypervisors, and the contents of files that are the same on all hosts.
    type: str
    default: declared
    choices:
      - declared
      - full
  images:
    description:
      - Images that are installed on the host, as reported by role P(microvm.fleet.images#role).
      - An image of any other name is looked up among those that the host has; if it has several of one name, the
        newest is used.
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
          - Directory of the image on the host. Leave it unset while the directory is not yet known.
        type: path
      store_disk_type:
        description:
          - File system of the image's root disk.
        type: str
        default: erofs
        choices:
          - erofs
          - squashfs
      kernel_lacks:
        description:
          - Settings of the kernel's configuration that are known to be off, such as C(CONFIG_NET_9P_VIRTIO). MicroVMs
            that need one of them are refused. What the image itself says on the host takes precedence.
        type: list
        elements: str
      uses_host_key:
        description:
          - Whether the guests of the image use the SSH host key that their host gives them, see C(guest.host_key).
        type: bool
        default: false
      nix:
        description:
          - Whether guests of the image have Nix and can mount the store of their host.
        type: bool
        default: false
  state_dir:
    description:
      - Directory that contains the state directories of the MicroVMs. Defaults to that of the host, which role
        P(microvm.fleet.host#role) has recorded in C(/etc/microvm-fleet/host.json), or else to C(/var/lib/microvms).
      - If the host has recorded another one, the module fails, because its units run MicroVMs from there.
    type: path
  networks:
    description:
      - Networks that the same run creates before, as declared for role P(microvm.fleet.network#role). Addresses
        of guests are compared with them, and with the networks that the host has already.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the network and of its bridge, at most 15 characters.
        type: str
        required: true
      mode:
        description:
          - How taps are connected. Those whose C(bridge) is the C(name) of the network join it in either case.
          - With V(bridge) they are ports of the bridge, so guests are neighbours.
          - 'With V(routed) guests share no segment: the host has a route to each address of a guest through its
            tap, and guests reach each other, unless C(isolate) is set, through the host. Each guest requires static
            addresses with the prefix length 32 in C(guest.networks), and C(address) as its C(gateway); there is
            no C(dhcp_server). The bridge exists, but remains empty.'
          - 'With V(macvtap) there is no bridge: interfaces of type V(macvtap) whose C(bridge) is the C(name) of
            the network are put on the interface C(link) of the host, so guests are in its network, which gives
            them their addresses. Only C(name), C(mode), C(link) and C(macvtap) can be set. The host and its guests
            do not reach each other by it.'
          - Does not change while MicroVMs are on the network.
        type: str
        default: bridge
        choices:
          - bridge
          - routed
          - macvtap
      link:
        description:
          - Interface of the host that the network is put on. With C(mode) V(bridge) the bridge takes it as port,
            so guests are in its LAN, which gives them their addresses; the host keeps its own there, on the bridge.
            Only C(name), C(host_access), C(host_ports), C(isolate), C(limits) and C(other_firewalls) can be set
            with it, and the interface must be one that systemd-networkd manages, or that nothing manages. The link
            does not change while the network exists.
          - With C(mode) V(macvtap), which requires it, the macvtap devices are on it. It does not change while
            MicroVMs are on the network.
        type: str
      macvtap:
        description:
          - Settings of a network with C(mode) V(macvtap).
        type: dict
        suboptions:
          mode:
            description:
              - Mode of the macvtap devices, as described in ip-link(8). Defaults to V(bridge).
              - With V(bridge) guests on the same C(link) reach each other through the host, with V(private) not
                at all, with V(vepa) only if the switch sends their frames back.
            type: str
            choices:
              - bridge
              - private
              - vepa
      address:
        description:
          - IPv4 address of the host on the bridge, with its prefix length. Required without C(link).
          - Its subnet must not overlap another network of the host. A route to a larger network, such as one through
            a gateway to a whole site, may contain it.
        type: str
      nat:
        description:
          - Whether guests reach other networks through the host, by source NAT to the address of the host.
        type: bool
        default: false
      ipv6:
        description:
          - IPv6 subnet of the network. Without it, IPv6 is switched off on the bridge, and nothing of it passes.
        type: dict
        suboptions:
          address:
            description:
              - IPv6 address of the host on the bridge, with the prefix length 64, such as V(fd00:66:1::1/64).
              - Its prefix is announced to guests by router advertisements, of which they make their addresses.
            type: str
            required: true
          outside:
            description:
              - How guests reach other networks by IPv6, which only answers come in from.
              - With V(none) they reach none, and are told that the host is not their router. With V(nat) they reach
                them by source NAT to the address of the host. With V(routed) they keep their addresses; others
                must route the prefix to the host.
              - V(nat) and V(routed) require Linux 6.17, which forwards by interface, or a host that forwards IPv6
                already (C(net.ipv6.conf.all.forwarding)).
            type: str
            default: none
            choices:
              - none
              - nat
              - routed
          dns:
            description:
              - DNS servers to announce to guests. Defaults to those of the host, or with C(outside) V(none) to
                none.
            type: list
            elements: str
      dhcp_server:
        description:
          - DHCP server that assigns addresses to guests. An empty mapping enables it with the default pool. Guests
            do not reach it with C(host_access) V(none), which is refused.
        type: dict
        suboptions:
          pool_offset:
            description:
              - Offset of the pool of addresses from the start of the subnet.
            type: int
          pool_size:
            description:
              - Number of addresses in the pool.
            type: int
          dns:
            description:
              - DNS servers to announce to guests.
            type: list
            elements: str
      leases:
        description:
          - Static DHCP leases. Require C(dhcp_server).
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - MAC address of the guest's interface.
            type: str
            required: true
          address:
            description:
              - IPv4 address to assign to the guest.
            type: str
            required: true
      dns_names:
        description:
          - 'Names of guests: the host answers what guests of the network ask of DNS, at its address on the bridge,
            and DHCP and router advertisements announce it. An empty mapping enables it.'
          - While a MicroVM runs, its name, and the same in C(domain), leads to those of its addresses that are
            of the network and declared, in C(guest.networks) or C(leases). The host is called V(host).
        type: dict
        suboptions:
          domain:
            description:
              - Domain of the names. Defaults to the name of the network in the domain V(internal), such as V(microvm0.internal).
            type: str
          servers:
            description:
              - DNS servers that are asked for all other names. Defaults to those of the host; on a network whose
                guests reach no other networks, to none, so that nothing leaves it by DNS.
            type: list
            elements: str
          host:
            description:
              - Whether programs of the host resolve the names with their domain too, by systemd-resolved, which
                must serve the host.
            type: bool
            default: false
      host_access:
        description:
          - Services of the host that guests reach. Nothing else of the host answers them, on whichever of its addresses.
            Answers to connections that the host begins always pass.
          - With V(dns_dhcp) these are the DHCP server of the network, DNS and ICMP echo requests on the address
            of the bridge; with V(none) nothing; with V(all) everything on all addresses. On a bridge with C(link),
            V(dns_dhcp) means DNS and ICMP echo requests on the addresses that it has.
        type: str
        default: dns_dhcp
        choices:
          - none
          - dns_dhcp
          - all
      host_ports:
        description:
          - Ports on the address of the bridge that guests reach beside those of C(host_access), such as V(tcp/8080).
        type: list
        elements: str
      isolate:
        description:
          - Whether the guests of the network are kept from each other, so that each reaches the host and, with
            C(nat), what is beyond it.
        type: bool
        default: false
      metadata:
        description:
          - Whether guests that reach other networks reach link-local addresses beyond the host (C(169.254.0.0/16)),
            C(100.100.100.200) and C(168.63.129.16), and the like of IPv6. There, a cloud gives whoever asks the
            credentials of the host. DNS is reached there in any case.
        type: bool
        default: false
      uplinks:
        description:
          - Interfaces of the host through which guests reach other networks, with C(nat) or C(ipv6.outside).
          - 'Defaults to those that default routes lead to, or, on a host without one, all that routes lead to.
            Packets that come in by other interfaces, or would leave by them, are not forwarded. An interface that
            is missing is a warning: its packets are forwarded as soon as it comes.'
        type: list
        elements: str
      forward_ports:
        description:
          - Ports of the host that lead to guests of a network with C(nat), from its C(uplinks), from the host itself
            and from guests of networks with C(nat).
          - A host has each port once. A port is refused if the host itself listens there, or somebody is connected
            to the host there by TCP, unless C(host.address) or C(sources) leave its service reachable.
        type: list
        elements: dict
        suboptions:
          proto:
            description:
              - Transport protocol.
            type: str
            default: tcp
            choices:
              - tcp
              - udp
          host:
            description:
              - Address and port on the host.
            type: dict
            required: true
            suboptions:
              address:
                description:
                  - IPv4 address of the host. Defaults to all but those of the bridges of its networks.
                type: str
              port:
                description:
                  - Port number on the host.
                type: int
                required: true
          guest:
            description:
              - Address and port of the guest.
            type: dict
            required: true
            suboptions:
              address:
                description:
                  - IPv4 address of the guest.
                type: str
                required: true
              port:
                description:
                  - Port number in the guest. Defaults to that on the host.
                type: int
          sources:
            description:
              - IPv4 addresses and subnets that may connect, those of guests included. Defaults to all. The host
                itself always may.
            type: list
            elements: str
      allow:
        description:
          - Guests of other networks with C(nat) that reach guests of this one, which needs C(nat) too.
        type: list
        elements: dict
        suboptions:
          from:
            description:
              - Name of another network with C(nat) of this host, or an IPv4 address or subnet in one.
              - 'V(microvm:NAME) is the MicroVM of this name on such a network, and V(tag:TAG) all with this tag,
                by the addresses that are declared for them: in C(guest.networks), or in C(leases). Role P(microvm.fleet.network#role)
                looks them up in C(microvm_vms); for the module alone, the filter C(microvm.fleet.with_guest_addresses)
                does.'
            type: str
            required: true
          to:
            description:
              - IPv4 address or subnet of guests of this network, or V(microvm:NAME) or V(tag:TAG) as in C(from).
                Defaults to all of them.
            type: str
          ports:
            description:
              - Ports of these guests, such as V(tcp/5432).
            type: list
            elements: str
            required: true
      other_firewalls:
        description:
          - What becomes of other firewalls of the host that would drop the network's packets.
          - 'With V(permit) they are told to let them pass, in the place that each has for it: Docker''s chain C(DOCKER-USER),
            rules of ufw if it is enabled, the zone C(trusted) of firewalld. What guests reach is still decided
            by the rules of the network. With V(leave) nothing is changed.'
        type: str
        default: permit
        choices:
          - permit
          - leave
      limits:
        description:
          - What keeps a guest from filling the table of connections that the kernel tracks, which the whole host
            shares.
        type: dict
        suboptions:
          connections:
            description:
              - How many connections that it began each guest may have at once. V(0) is no limit.
            type: int
            default: 4096
          new_connections:
            description:
              - How many connections a second each guest may begin, and five times as many at once after a pause.
                Each of its packets to the DHCP and DNS servers of the host counts as one. V(0) is no limit.
            type: int
            default: 200
  former_networks:
    description:
      - Networks that the host has, and that the same run removes since they are no longer declared, as module M(microvm.fleet.microvm_network)
        returns them (RV(microvm.fleet.microvm_network#module:former)). An interface on one of them is refused.
    type: list
    elements: str
  bridges:
    description:
      - Bridges that need not exist yet in check mode, or with O(ignore:preflight), because the same run creates
        them before.
    type: list
    elements: str
  pci_devices:
    description:
      - PCI devices that need not exist yet in check mode, or with O(ignore:preflight), because the same run makes
        them before, as functions of cards, or takes them from the host's drivers with all of their IOMMU group.
    type: list
    elements: str
  device_vms:
    description:
      - MicroVMs that the same run hands devices over to before, by the addresses of PCI devices and the numbers
        of USB devices, as module M(microvm.fleet.microvm_vfio) returns them (RV(microvm.fleet.microvm_vfio#module:vms)),
        for check mode, or with O(ignore:preflight). A device of another MicroVM is refused.
      - Without it, and where something is changed, it is what the host has handed over already.
    type: dict
  huge_pages:
    description:
      - Huge pages that need not be set aside yet in check mode, or with O(ignore:preflight), because the same run
        does that before, as declared in O(microvm.fleet.microvm_host#module:huge_pages).
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
  restrictions:
    description:
      - Restrictions that the declarations must satisfy in addition to those that the host has, see O(microvm.fleet.microvm_host#module:restrictions).
      - In check mode, and with O(ignore:preflight), those of the host are not considered if this option is set,
        because the same run is expected to write them first.
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
  check_builds:
    description:
      - Whether check mode may build packages of flakes, and copy those of build services, so that diffs show what
        is in them. Otherwise a diff only says that such a package is another one.
    type: bool
    default: false
  nix:
    description:
      - Whether Nix need not be installed yet in check mode, or with O(ignore:preflight), because the same run installs
        it before. Flakes that the host would evaluate are then not looked at.
    type: bool
    default: false
  built:
    description:
      - 'What the flakes of MicroVMs have been evaluated to, by the names of the MicroVMs: RV(evaluations) of an
        earlier call of the same run. Flakes that are not in it are evaluated.'
    type: dict
"""
