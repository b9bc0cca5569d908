# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

"""Types of parsed declarations: one for each table of options, and for each group of options in it.

Sizes are in MiB. Lists and mappings of strings are never ``None``; other options are ``None`` where nobody wrote
them, unless they have a default or are derived from others.
"""

from __future__ import annotations

from typing import Dict, List, Literal, Optional, TypedDict, Union


class Optimize(TypedDict):
    """Group ``optimize``."""

    enable: bool


class VsockSsh(TypedDict):
    """Group ``vsock.ssh``."""

    enable: bool


class Vsock(TypedDict):
    """Group ``vsock``."""

    cid: Optional[int]
    ssh: VsockSsh


class InterfaceMacvtap(TypedDict):
    """Group ``interfaces[].macvtap``."""

    link: Optional[str]
    mode: Optional[Literal["private", "vepa", "bridge", "passthru", "source"]]


class InterfaceTap(TypedDict):
    """Group ``interfaces[].tap``."""

    vhost: bool


class Interface(TypedDict):
    """Element of ``interfaces``."""

    type: Literal["user", "tap", "macvtap", "bridge"]
    id: str
    mac: str
    bridge: Optional[str]
    macvtap: InterfaceMacvtap
    tap: InterfaceTap


class ForwardPortHost(TypedDict):
    """Group ``forward_ports[].host``."""

    address: Optional[str]
    port: int


class ForwardPortGuest(TypedDict):
    """Group ``forward_ports[].guest``."""

    address: Optional[str]
    port: int


ForwardPort = TypedDict(
    "ForwardPort",
    {
        "from": Literal["host", "guest"],
        "proto": Literal["tcp", "udp"],
        "host": ForwardPortHost,
        "guest": ForwardPortGuest,
    },
)
"""Element of ``forward_ports``."""


class Volume(TypedDict):
    """Element of ``volumes``."""

    image: str
    size: Optional[int]
    auto_create: bool
    format: Literal["never", "if_blank"]
    fs_type: str
    label: Optional[str]
    mkfs_extra_args: List[str]
    mount_point: Optional[str]
    serial: Optional[str]
    direct: Optional[bool]
    read_only: bool
    image_type: Literal["raw", "qcow2", "vhd", "vhdx"]


class Share(TypedDict):
    """Element of ``shares``."""

    tag: str
    source: str
    source_owner: Optional[str]
    source_group: Optional[str]
    source_mode: str
    user: Optional[str]
    mount_point: Optional[str]
    proto: Literal["9p", "virtiofs"]
    socket: Optional[str]
    security_model: Literal["none", "passthrough", "mapped", "mapped-xattr", "mapped-file"]
    read_only: bool
    cache: Literal["auto", "always", "metadata", "never"]
    posix_acl: bool
    translate_uid: List[str]
    translate_gid: List[str]
    extra_args: List[str]


class DeviceQemu(TypedDict):
    """Group ``devices[].qemu``."""

    id: Optional[str]
    bus: Optional[str]
    device_extra_args: Optional[str]


class Device(TypedDict):
    """Element of ``devices``."""

    bus: Literal["pci", "usb"]
    path: str
    qemu: DeviceQemu


class Graphics(TypedDict):
    """Group ``graphics``."""

    enable: bool
    backend: Literal["gtk", "headless", "cocoa"]
    vulkan: Optional[Literal["venus", "drm_native_context"]]
    hostmem: str
    socket: str
    crosvm_package: Optional[str]


class Virtiofsd(TypedDict):
    """Group ``virtiofsd``."""

    inode_file_handles: Optional[Literal["never", "prefer", "mandatory"]]
    thread_pool_size: Union[int, str]
    group: Optional[str]
    extra_args: List[str]
    package: Optional[str]


class GuestNetworkRoute(TypedDict):
    """Element of ``guest.networks[].routes``."""

    destination: str
    gateway: Optional[str]
    metric: Optional[int]
    on_link: bool


class GuestNetwork(TypedDict):
    """Element of ``guest.networks``."""

    interface: str
    addresses: List[str]
    name: str
    gateway: List[str]
    routes: List[GuestNetworkRoute]
    dns: List[str]
    domains: List[str]
    dhcp: bool


class Guest(TypedDict):
    """Group ``guest``."""

    enable: bool
    hostname: str
    authorized_keys: List[str]
    host_access: bool
    host_key: Optional[bool]
    networks: List[GuestNetwork]


class QemuPcieRootPort(TypedDict):
    """Element of ``qemu.pcie_root_ports``."""

    id: str
    bus: Optional[str]
    chassis: Optional[Union[int, str]]
    slot: Optional[Union[int, str]]
    addr: Optional[str]


class QemuOptions(TypedDict):
    """Group ``qemu``."""

    machine: Optional[str]
    machine_opts: Optional[Dict[str, str]]
    extra_args: List[str]
    serial_console: bool
    pcie_root_ports: List[QemuPcieRootPort]
    package: Optional[str]


class CloudHypervisorOptions(TypedDict):
    """Group ``cloud_hypervisor``."""

    platform_oem_strings: List[str]
    extra_args: List[str]
    package: Optional[str]


class FirecrackerOptions(TypedDict):
    """Group ``firecracker``."""

    cpu: Optional[Dict[str, object]]
    drive_io_engine: Literal["Async", "Sync"]
    extra_args: List[str]
    extra_config: Optional[Dict[str, object]]
    package: Optional[str]


class CrosvmOptions(TypedDict):
    """Group ``crosvm``."""

    pivot_root: Optional[str]
    extra_args: List[str]
    package: Optional[str]


class KvmtoolOptions(TypedDict):
    """Group ``kvmtool``."""

    extra_args: List[str]
    package: Optional[str]


class StratovirtOptions(TypedDict):
    """Group ``stratovirt``."""

    machine: Optional[Literal["microvm", "standard"]]
    extra_args: List[str]
    package: Optional[str]


class AliothOptions(TypedDict):
    """Group ``alioth``."""

    extra_args: List[str]
    package: Optional[str]


class VfkitRosetta(TypedDict):
    """Group ``vfkit.rosetta``."""

    enable: bool
    install: bool
    ignore_if_missing: bool


class VfkitOptions(TypedDict):
    """Group ``vfkit``."""

    extra_args: List[str]
    log_level: Optional[Literal["debug", "info", "error"]]
    rosetta: VfkitRosetta
    package: Optional[str]


class PackagedVm(TypedDict):
    """Options of a MicroVM that determine its package, which records them."""

    name: str
    hypervisor: Literal["qemu", "cloud-hypervisor", "firecracker", "crosvm", "kvmtool", "stratovirt", "alioth", "vfkit"]
    accel: Literal["auto", "kvm", "tcg"]
    guest_system: Optional[Literal["x86_64-linux", "aarch64-linux"]]
    cpu: Optional[str]
    vcpu: int
    mem: int
    hugepage_mem: bool
    hugepage_size: Optional[Literal["2M", "1G"]]
    hotplug_mem: int
    hotplugged_mem: int
    balloon: bool
    initial_balloon_mem: int
    deflate_on_oom: bool
    user: Optional[str]
    socket: Optional[str]
    pre_start: str
    extra_args_script: Optional[str]
    pretty_procnames: bool
    image: Optional[str]
    kernel: str
    initrd_path: Optional[str]
    kernel_params: List[str]
    store_on_disk: bool
    store_disk: Optional[str]
    store_disk_type: Literal["erofs", "squashfs"]
    store_disk_erofs_flags: List[str]
    store_disk_squashfs_flags: List[str]
    writable_store_overlay: Optional[str]
    register_closure: Optional[bool]
    store_paths: List[str]
    system_symlink: bool
    optimize: Optimize
    machine_id: str
    register_with_machined: bool
    credential_files: Dict[str, str]
    vsock: Vsock
    interfaces: List[Interface]
    forward_ports: List[ForwardPort]
    volumes: List[Volume]
    shares: List[Share]
    devices: List[Device]
    graphics: Graphics
    virtiofsd: Virtiofsd
    bin_scripts: Dict[str, str]
    guest: Guest
    isolation: Literal["per_vm", "shared"]
    profile: Literal["strict", "compat"]
    use_notify_sockets: bool
    qemu: QemuOptions
    cloud_hypervisor: CloudHypervisorOptions
    firecracker: FirecrackerOptions
    crosvm: CrosvmOptions
    kvmtool: KvmtoolOptions
    stratovirt: StratovirtOptions
    alioth: AliothOptions
    vfkit: VfkitOptions


class Ready(TypedDict):
    """Group ``ready``."""

    check: Literal["auto", "ssh", "tcp", "vsock", "notify", "hypervisor", "none"]
    address: Optional[str]
    port: int
    timeout: int


class Limits(TypedDict):
    """Group ``limits``."""

    memory_max: Optional[int]
    tasks_max: int
    cpu_quota: Optional[int]
    cpu_weight: Optional[int]
    io_weight: Optional[int]


class OnAbsent(TypedDict):
    """Group ``on_absent``."""

    volumes: Literal["keep", "archive", "delete"]
    confirm: List[str]


class Vm(PackagedVm):
    """Options of a MicroVM, those for its host included."""

    state: Optional[Literal["started", "stopped", "restarted", "present", "absent"]]
    renamed_from: Optional[str]
    identity: str
    tags: List[str]
    runner: Optional[str]
    runner_key: Optional[str]
    flake: Optional[str]
    attribute: Optional[str]
    nix_arguments: List[str]
    require_lock: bool
    build_on: str
    update_flake: Optional[str]
    manage: Literal["always", "once"]
    autostart: bool
    autostart_order: int
    after: List[str]
    requires: List[str]
    wait_timeout: int
    ready: Ready
    startup_timeout: int
    restart_policy: Literal["never", "if_changed", "always", "window"]
    restart_window: Optional[str]
    ssh_switch: Literal["none", "switch", "test", "boot", "dry-activate"]
    rollback_on_failure: bool
    on_refused: Literal["fail", "warn"]
    keep_generations: int
    stop_timeout: int
    on_reboot: Literal["restart", "stop"]
    on_poweroff: Literal["restart", "stop"]
    on_crash: Literal["restart", "stop"]
    limits: Limits
    on_absent: OnAbsent


class NetworkMacvtap(TypedDict):
    """Group ``macvtap``."""

    mode: Optional[Literal["bridge", "private", "vepa"]]


class NetworkIpv6(TypedDict):
    """Group ``ipv6``."""

    address: str
    outside: Literal["none", "nat", "routed"]
    dns: List[str]


class NetworkDhcpServer(TypedDict):
    """Group ``dhcp_server``."""

    pool_offset: Optional[int]
    pool_size: Optional[int]
    dns: List[str]


class NetworkLease(TypedDict):
    """Element of ``leases``."""

    mac: str
    address: str


class NetworkDnsNames(TypedDict):
    """Group ``dns_names``."""

    domain: str
    servers: List[str]
    host: bool


class NetworkForwardPortHost(TypedDict):
    """Group ``forward_ports[].host``."""

    address: Optional[str]
    port: int


class NetworkForwardPortGuest(TypedDict):
    """Group ``forward_ports[].guest``."""

    address: str
    port: int


class NetworkForwardPort(TypedDict):
    """Element of ``forward_ports``."""

    proto: Literal["tcp", "udp"]
    host: NetworkForwardPortHost
    guest: NetworkForwardPortGuest
    sources: List[str]


NetworkAllow = TypedDict(
    "NetworkAllow",
    {
        "from": str,
        "to": str,
        "ports": List[str],
    },
)
"""Element of ``allow``."""


class NetworkLimits(TypedDict):
    """Group ``limits``."""

    connections: int
    new_connections: int


class Network(TypedDict):
    """Options of a network of a host."""

    name: str
    mode: Literal["bridge", "routed", "macvtap"]
    link: Optional[str]
    macvtap: NetworkMacvtap
    address: str
    nat: bool
    ipv6: Optional[NetworkIpv6]
    dhcp_server: Optional[NetworkDhcpServer]
    leases: List[NetworkLease]
    dns_names: Optional[NetworkDnsNames]
    host_access: Literal["none", "dns_dhcp", "all"]
    host_ports: List[str]
    isolate: bool
    metadata: bool
    uplinks: List[str]
    forward_ports: List[NetworkForwardPort]
    allow: List[NetworkAllow]
    other_firewalls: Literal["permit", "leave"]
    limits: NetworkLimits


class HostTapMacvtap(TypedDict):
    """Group ``macvtap``."""

    link: Optional[str]
    mode: Optional[Literal["private", "vepa", "bridge", "passthru", "source"]]


class HostTap(TypedDict):
    """Options of a tap or macvtap device of a host."""

    name: str
    type: Literal["tap", "macvtap"]
    state: Literal["present", "absent"]
    owner: Optional[str]
    group: Optional[str]
    multi_queue: bool
    vnet_hdr: bool
    mtu: Optional[int]
    mac: Optional[str]
    bridge: Optional[str]
    isolated: bool
    learning: bool
    neigh_suppress: bool
    up: bool
    link_group: int
    altnames: Optional[List[str]]
    macvtap: HostTapMacvtap


class HostDeviceUsb(TypedDict):
    """Group ``usb``."""

    vendor: str
    product: str
    serial: Optional[str]


class HostDeviceFunction(TypedDict):
    """Element of ``functions``."""

    mac: Optional[str]
    vlan: int
    trust: bool
    spoof_check: bool
    vm: Optional[str]
    owner: Optional[str]


class HostDevice(TypedDict):
    """Options of a device that a host hands over."""

    address: Optional[str]
    usb: Optional[HostDeviceUsb]
    state: Literal["present", "absent"]
    vm: Optional[str]
    owner: Optional[str]
    driver: Optional[str]
    whole_group: bool
    restore: Literal["absent", "stop"]
    functions: Optional[List[HostDeviceFunction]]


class HostShare(TypedDict):
    """Options of a directory that a host serves by virtiofs."""

    name: str
    state: Literal["present", "absent"]
    source: Optional[str]
    source_owner: Optional[str]
    source_group: Optional[str]
    source_mode: str
    socket: str
    group: Optional[str]
    user: str
    read_only: bool
    cache: Literal["auto", "always", "metadata", "never"]
    posix_acl: Optional[bool]
    inode_file_handles: Optional[Literal["never", "prefer", "mandatory"]]
    thread_pool_size: int
    translate_uid: List[str]
    translate_gid: List[str]
    tag: Optional[str]
    extra_args: List[str]
    package: str


class HostDirectories(TypedDict):
    """Directories of a host, which are recorded there."""

    state_dir: str
    image_store: str


class HugePage(TypedDict):
    """Element of ``huge_pages``."""

    size: Literal["64K", "2M", "32M", "512M", "1G", "16G"]
    count: int


class Restrictions(TypedDict):
    """Group ``restrictions``."""

    enable: bool
    path_prefixes: List[str]
    bridges: List[str]
    scripts: bool
    programs: bool
    arguments: bool
    devices: bool
    host_network: bool
    units: bool
    weaker_sandbox: bool
    external_packages: bool


class HostSetup(TypedDict):
    """Settings of a host that is prepared for MicroVMs."""

    state_dir: str
    image_store: str
    ksm: bool
    huge_pages: List[HugePage]
    boot_parallel: int
    boot_settle: int
    restrictions: Optional[Restrictions]
    nix: bool
    nix_trusted_keys: List[str]
    nix_trusted_users: List[str]
    nix_substituters: List[str]
    nix_settings: Dict[str, object]
    nix_collect_garbage: Optional[str]


class ImageFile(TypedDict):
    """Element of ``files``."""

    path: str
    content: str
    mode: str


class Image(TypedDict):
    """Options of a guest image."""

    name: str
    suite: Literal["trixie", "bookworm"]
    mirrors: List[str]
    packages: List[str]
    kernel_package: str
    nix: bool
    files: List[ImageFile]
    commands: List[str]
    store_disk_type: Literal["erofs", "squashfs"]


class HostImage(TypedDict):
    """Image that a host was given."""

    name: str
    path: Optional[str]
    store_disk_type: Literal["erofs", "squashfs"]
    kernel_lacks: List[str]
    uses_host_key: bool
    nix: bool
