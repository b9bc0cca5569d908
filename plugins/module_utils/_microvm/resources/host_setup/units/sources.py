# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the files of this directory.

"""Units of MicroVMs, by name; the files beside this one are the source."""

from __future__ import annotations

from typing import Dict

FILES: Dict[str, str] = {
    "microvm-boot-queue@.service": """
[Unit]
Description=Boot queue of MicroVM '%i'
# Who waits for others takes no place in the queue.
Requires=microvm-wait@%i.service
After=microvm-wait@%i.service
Before=microvm@%i.service
RequiresMountsFor=@STATE_DIRECTORY@/%i
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
ConditionPathExists=@STATE_DIRECTORY@/%i/current/bin/microvm-run

[Service]
Type=oneshot
EnvironmentFile=-@BOOT_SETTINGS@
EnvironmentFile=-@SETTINGS_DIRECTORY@/%i.env
ExecStart=@SCRIPT_DIRECTORY@/microvm-boot-queue %i
RuntimeDirectory=@BOOT_QUEUE_BELOW_RUN@
RuntimeDirectoryPreserve=yes
TimeoutStartSec=infinity
# Stopping a MicroVM that waits is no failure: SIGTERM goes to the script, which removes its entry and exits with 0; one
# that SIGTERM ends before it has set its trap has no entry yet.
KillMode=mixed
SuccessExitStatus=SIGTERM
SyslogIdentifier=microvm-boot-queue@%i
# It asks systemd over a socket, and locks files in its runtime directory.
CapabilityBoundingSet=
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
""",
    "microvm-macvtap-interfaces@.service": """
[Unit]
Description=Setup MicroVM '%i' MACVTAP interfaces
After=network.target microvm-set-booted@%i.service
# It loads the rules of macvtaps again should somebody delete them.
Wants=@NETWORK_UNIT@
After=@NETWORK_UNIT@
Before=microvm@%i.service
Requires=microvm-set-booted@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Also when the MicroVM has ended by itself.
StopWhenUnneeded=yes
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/bin/macvtap-up
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/share/microvm/macvtap-interfaces

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=@STATE_DIRECTORY@/%i
ExecStart=@SCRIPT_DIRECTORY@/microvm-package macvtap-up %i
ExecStop=@SCRIPT_DIRECTORY@/microvm-package macvtap-down %i
SyslogIdentifier=microvm-macvtap-interfaces@%i
# Scripts of packages configure the network: interfaces, addresses, routes, rules of nftables. A drop-in permits more.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE
ReadWritePaths=@STATE_DIRECTORY@/%i -/proc/sys/net -/sys/devices/virtual/net
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# They give the device of an interface, /dev/tapN, to the hypervisor's user.
SystemCallFilter=@chown
DevicePolicy=closed
NoNewPrivileges=yes
ProtectSystem=strict
# Whoever reaches the sockets or the units in there needs no other privilege; ProtectSystem= leaves it writable at times.
TemporaryFileSystem=/run:ro
BindPaths=-@TAP_RULES_DIRECTORY@
BindReadOnlyPaths=-/run/systemd/journal -/run/systemd/userdb -/run/nscd -/run/netns -/run/udev
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
""",
    "microvm-notify@.service": """
[Unit]
Description=Notification of the guest of MicroVM '%i'
After=local-fs.target microvm-set-booted@%i.service
Before=microvm@%i.service
Requires=microvm-set-booted@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Also when the MicroVM has ended by itself. It ends by itself as soon as the guest is up.
StopWhenUnneeded=yes
ConditionPathExists=@STATE_DIRECTORY@/%i/current/share/microvm/notify-port

[Service]
Type=notify
# That of the hypervisor, which a drop-in of the package says.
User=@USER@
Group=@GROUP@
ExecStart=@SCRIPT_DIRECTORY@/microvm-notify %i
KillMode=mixed
SyslogIdentifier=microvm-notify@%i
# Guests talk to it: it hears the vsock of the host, and speaks to the socket of one MicroVM.
CapabilityBoundingSet=
ReadWritePaths=@STATE_DIRECTORY@/%i/@WORK_DIRECTORY@
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX AF_VSOCK
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProcSubset=pid
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
MemoryMax=64M
TasksMax=16
CPUWeight=20
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
UMask=0077
# Sockets of the host's services.
InaccessiblePaths=-/run/systemd/journal -/run/systemd/private -/run/dbus
InaccessiblePaths=-@RECORD_DIRECTORY@ -@ARCHIVE_DIRECTORY@
""",
    "microvm-pci-devices@.service": """
[Unit]
Description=Setup MicroVM '%i' devices of the host
# The scripts run modprobe, which then has nothing to do.
Wants=modprobe@vfio_pci.service
After=microvm-set-booted@%i.service modprobe@vfio_pci.service
# What it keeps from the drivers of the host is there, and stays so when the MicroVM stops.
After=@DEVICES_UNIT@
Before=microvm@%i.service
Requires=microvm-set-booted@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Also when the MicroVM has ended by itself.
StopWhenUnneeded=yes
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/bin/pci-setup
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/share/microvm/pci-devices
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/share/microvm/block-devices
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/share/microvm/huge-pages
ConditionPathExists=|@DEVICE_RULES@

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=@STATE_DIRECTORY@/%i
# udev answers by sockets that the sandbox of the other does not have.
ExecStart=-+@SCRIPT_DIRECTORY@/microvm-package devices-permit %i
ExecStart=@SCRIPT_DIRECTORY@/microvm-package devices-give %i
ExecStop=@SCRIPT_DIRECTORY@/microvm-package huge-pages-take %i
ExecStop=@SCRIPT_DIRECTORY@/microvm-package block-devices-take %i
ExecStop=@SCRIPT_DIRECTORY@/microvm-package pci-teardown %i
SyslogIdentifier=microvm-pci-devices@%i
# Drivers are changed by files of sysfs that are root's; the group of a device is then given to the hypervisor's user.
# ProtectKernelModules= would hide the modules from modprobe. A drop-in permits more.
CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE
ReadWritePaths=@STATE_DIRECTORY@/%i -/sys/bus/pci -/sys/devices
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=@chown
DevicePolicy=closed
NoNewPrivileges=yes
ProtectSystem=strict
# Whoever reaches the sockets or the units in there needs no other privilege; ProtectSystem= leaves it writable at times.
TemporaryFileSystem=/run:ro
BindReadOnlyPaths=-/run/systemd/journal -/run/systemd/userdb -/run/nscd -/run/netns -/run/udev
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
""",
    "microvm-set-booted@.service": """
[Unit]
Description=Save MicroVM '%i' booted configuration
RequiresMountsFor=@STATE_DIRECTORY@/%i @FLEET_DIRECTORY@
Requires=microvm-wait@%i.service
After=microvm-wait@%i.service
Before=microvm@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Also when the MicroVM has ended by itself.
StopWhenUnneeded=yes

[Service]
Type=oneshot
RemainAfterExit=yes
# Runs as root: the links decide what root runs, so no hypervisor may change them.
WorkingDirectory=@STATE_DIRECTORY@/%i
ExecStart=/bin/sh -euc 'ln -sfT -- "$$(readlink current)" booted.partial; mv -T -- booted.partial booted'
ExecStop=/bin/rm -f booted
SyslogIdentifier=microvm-set-booted@%i
# It changes two links in a directory of root's, and needs no privilege for it.
CapabilityBoundingSet=
ReadWritePaths=@STATE_DIRECTORY@/%i
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=none
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
""",
    "microvm-tap-interfaces@.service": """
[Unit]
Description=Setup MicroVM '%i' TAP interfaces
After=network.target microvm-set-booted@%i.service
# Without them, no tap comes onto our networks.
Wants=@NETWORK_UNIT@
After=@NETWORK_UNIT@
Before=microvm@%i.service
Requires=microvm-set-booted@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Also when the MicroVM has ended by itself.
StopWhenUnneeded=yes
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/bin/tap-up
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/share/microvm/tap-interfaces

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=@STATE_DIRECTORY@/%i
ExecStart=@SCRIPT_DIRECTORY@/microvm-package tap-up %i
ExecStop=@SCRIPT_DIRECTORY@/microvm-package tap-down %i
SyslogIdentifier=microvm-tap-interfaces@%i
# Scripts of packages configure the network: interfaces, addresses, routes, rules of nftables. A drop-in permits more.
CapabilityBoundingSet=CAP_NET_ADMIN
ReadWritePaths=@STATE_DIRECTORY@/%i -/proc/sys/net -/sys/devices/virtual/net
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
NoNewPrivileges=yes
ProtectSystem=strict
# Whoever reaches the sockets or the units in there needs no other privilege; ProtectSystem= leaves it writable at times.
TemporaryFileSystem=/run:ro
BindPaths=-@TAP_RULES_DIRECTORY@
BindReadOnlyPaths=-/run/systemd/journal -/run/systemd/userdb -/run/nscd -/run/netns -/run/udev
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
""",
    "microvm-virtiofsd@.service": """
[Unit]
Description=VirtioFS daemons for MicroVM '%i'
After=local-fs.target microvm-set-booted@%i.service
Before=microvm@%i.service
Requires=microvm-set-booted@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Also when the MicroVM has ended by itself.
StopWhenUnneeded=yes
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/bin/virtiofsd-run
ConditionPathExists=|@STATE_DIRECTORY@/%i/current/share/microvm/virtiofs

[Service]
Type=notify
NotifyAccess=all
# With RootDirectory=, as our packages set it, it is looked for in there before a command without that has begun.
WorkingDirectory=-/
# The directories that it mounts and works in; neither is anybody's but root's.
BindPaths=-@STATE_DIRECTORY@/%i/@SOCKET_DIRECTORY@
BindReadOnlyPaths=-@STATE_DIRECTORY@/%i/@CURRENT_LINK@
ExecStartPre=+@SCRIPT_DIRECTORY@/microvm-package virtiofsd-prepare %i
ExecStart=@SCRIPT_DIRECTORY@/microvm-package virtiofsd-run %i
ExecStopPost=+@SCRIPT_DIRECTORY@/microvm-package virtiofsd-ended %i
KillMode=mixed
TimeoutSec=30
LimitNOFILE=1048576
SyslogIdentifier=microvm-virtiofsd@%i
PrivateTmp=yes
# A guest talks to it and it runs as root, to give files any owner: it sees no network, writes only to what it shares and
# opens no devices. This is what external packages need, whose daemons confine themselves in namespaces (CAP_SYS_ADMIN) and
# insist on CAP_SETPCAP, CAP_MKNOD; ours bring a drop-in that leaves much less.
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SETFCAP
CapabilityBoundingSet=CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_MKNOD CAP_SYS_CHROOT
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=@STATE_DIRECTORY@/%i
PrivateNetwork=yes
IPAddressDeny=any
DevicePolicy=closed
PrivateIPC=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=mnt pid net
RestrictAddressFamilies=AF_UNIX
RestrictRealtime=yes
RestrictSUIDSGID=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount
SystemCallErrorNumber=EPERM
UMask=0077
""",
    "microvm-wait@.service": """
[Unit]
Description=Wait for what MicroVM '%i' needs
Before=microvm@%i.service
PartOf=microvm@%i.service
# The limit of microvm@ counts, which brings this unit with it.
StartLimitIntervalSec=0
# Its drop-in says what is waited for.
ConditionPathExists=@UNIT_DIRECTORY@/microvm-wait@%i.service.d/50-microvm-fleet.conf

[Service]
Type=oneshot
EnvironmentFile=-@SETTINGS_DIRECTORY@/%i.env
ExecStart=@SCRIPT_DIRECTORY@/microvm-wait %i
# The script has a clock of its own.
TimeoutStartSec=infinity
# Stopping a MicroVM that waits is no failure.
KillMode=mixed
SuccessExitStatus=SIGTERM
SyslogIdentifier=microvm-wait@%i
# It looks whether files exist, in directories that only their users may enter too, and at the host's interfaces.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
IPAddressDeny=any
RestrictAddressFamilies=none
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
DevicePolicy=closed
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateIPC=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
""",
    "microvm@.service": """
[Unit]
Description=MicroVM '%i'
Requires=@HELPERS@
After=network.target systemd-modules-load.service
After=@HELPERS@
RequiresMountsFor=@STATE_DIRECTORY@/%i @FLEET_DIRECTORY@
ConditionPathExists=@STATE_DIRECTORY@/%i/current/bin/microvm-run
# It is being moved to or from another host.
AssertPathExists=!@MOVE_DIRECTORY@/%i.hold
# A crash loop ends, and shows. A guest that reboots counts too.
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
User=@USER@
Group=@GROUP@
# Its user's, below a directory of root's: no unit of root's follows, reads or executes what is in it.
WorkingDirectory=@STATE_DIRECTORY@/%i/@WORK_DIRECTORY@
# With the console of the MicroVM.
RuntimeDirectory=@CONSOLE_DIRECTORY_BELOW_RUN@/%i
RuntimeDirectoryMode=0700
# Settings of this MicroVM, see the script.
EnvironmentFile=-@SETTINGS_DIRECTORY@/%i.env
ExecStartPre=@SCRIPT_DIRECTORY@/microvm-prepare %i
ExecStart=@SCRIPT_DIRECTORY@/microvm-start %i
ExecStartPost=+@SCRIPT_DIRECTORY@/microvm-package microvm-register %i
# Guests answer only the host's root; the script does nothing else as root.
ExecStop=-+@SCRIPT_DIRECTORY@/microvm-package microvm-ask-guest %i
ExecStop=@SCRIPT_DIRECTORY@/microvm-stop %i
ExecStopPost=+@SCRIPT_DIRECTORY@/microvm-package microvm-unregister %i
# microvm-start says by its status whether the MicroVM shall start again.
Restart=on-failure
SuccessExitStatus=133
RestartForceExitStatus=133
RestartPreventExitStatus=134
# Always the same: with helpers that are restarted too (PartOf=), systemd forgets its count, and RestartSteps= has no effect.
RestartSec=2s
TimeoutStartSec=150
# More than microvm-stop takes, with the default of STOP_TIMEOUT.
TimeoutStopSec=150
KillMode=mixed
LimitNOFILE=1048576
LimitMEMLOCK=infinity
TasksMax=4096
SyslogIdentifier=microvm@%i
# A guest's console is the guest's: what floods it is dropped, and said.
LogRateLimitIntervalSec=30s
LogRateLimitBurst=1000
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=@STATE_DIRECTORY@/%i/@WORK_DIRECTORY@
PrivateTmp=yes
PrivateIPC=yes
ProtectProc=invisible
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
# Of the host's services: whoever can connect to them writes lines of other programs, lists and begins units.
InaccessiblePaths=-/run/systemd/journal -/run/systemd/private -/run/dbus
InaccessiblePaths=-/run/docker.sock -/run/containerd -/run/podman -/run/libvirt -/run/incus -/run/lxd.socket
InaccessiblePaths=-@RECORD_DIRECTORY@ -@ARCHIVE_DIRECTORY@
DeviceAllow=/dev/kvm rw
DeviceAllow=/dev/net/tun rw
DeviceAllow=/dev/vhost-net rw
DeviceAllow=/dev/vhost-vsock rw
LockPersonality=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
SystemCallArchitectures=native

[Install]
WantedBy=@TARGET@
""",
    "microvms.target": """
[Unit]
Description=MicroVMs

[Install]
WantedBy=multi-user.target
""",
}
