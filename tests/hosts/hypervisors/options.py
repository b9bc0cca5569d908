# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of options, and the options themselves, where the guest or the host shows that they have an effect."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from _microvm.hypervisors.profile import Profile

from . import life
from .cells import Check, Declaration, NotRun
from .guest import BRIDGE, HOST_ADDRESS, Guest
from .life import require

BALLOON_PAGES = "awk '/^balloon_inflate/{i=$2} /^balloon_deflate/{d=$2} END{print i-d}' /proc/vmstat"
"""Command that prints the pages which the guest's balloon holds."""

PAGES_OF_MEBIBYTE = 256

FILLED, REPORT_SECONDS = 160, 120
"""MiB that a guest fills and frees, and the time within which the host has half of them back."""

VHOST_HOST, MACVTAP_HOST = "10.88.1.1", "10.88.2.1"
"""Addresses of the host on the subnets of further interfaces."""

MACVTAP_LINK = "exam-link"
SHARE = "/srv/examination"


Prepare = Callable[[Guest], Declaration]


def options(**values: object) -> Prepare:
    """Return a function that returns the same options for each guest."""
    return lambda _guest: values


def balloon(**values: object) -> Prepare:
    """Return a function that returns options of a balloon, which deflates where the hypervisor's can."""
    return lambda guest: {
        "balloon": True,
        "deflate_on_oom": guest.profile.claims("deflate_on_oom", True),
        **values,
    }


def require_memory(guest: Guest, mebibytes: int, what: str) -> None:
    """Wait until the guest's balloon holds some memory. Raises FellShort."""
    wanted = mebibytes * PAGES_OF_MEBIBYTE
    seen = guest.inside(
        f"for i in $(seq 60); do n=$({BALLOON_PAGES}); [ $n -eq {wanted} ] && break; sleep 1; done; echo $n"
    )
    require(
        int(seen) == wanted, f"{what}: the balloon holds {int(seen) / PAGES_OF_MEBIBYTE:g} MiB, not {mebibytes} MiB"
    )


def balloon_begins(guest: Guest) -> None:
    """The balloon has the declared size."""
    require_memory(guest, 32, "at first")


def balloon_moves(guest: Guest) -> None:
    """The balloon takes memory, takes the same when asked again, and returns it."""
    for step, mebibytes in (("up", 64), ("the same again", 64), ("down to nothing", 0)):
        guest.microvm("balloon", str(mebibytes))
        require_memory(guest, mebibytes, step)


def free_pages_return(guest: Guest) -> None:
    """Memory that the guest fills and frees goes back to the host without anybody's request."""
    before = _resident(guest)
    guest.inside(f"dd if=/dev/zero of=/dev/shm/filled bs=1M count={FILLED} status=none")
    filled = _resident(guest)
    require(filled - before > FILLED // 2, f"{FILLED} MiB in the guest take {filled - before} MiB of the host")
    guest.inside("rm /dev/shm/filled")
    end = time.monotonic() + REPORT_SECONDS
    while (after := _resident(guest)) > filled - FILLED // 2:
        require(time.monotonic() < end, f"the guest freed {FILLED} MiB, and the host got {filled - after} MiB back")
        time.sleep(1)


def _resident(guest: Guest) -> int:
    """Return the MiB of the host that the hypervisor has."""
    statuses = " ".join(f"/proc/{process}/status" for process in guest.processes())
    return int(guest.host.run(f"awk '/^VmRSS/{{n+=$2}} END{{print int(n/1024)}}' {statuses}"))


def balloon_gives(guest: Guest) -> None:
    """The device offers to give memory back when the guest runs out of it."""
    require(_deflates(guest), "the balloon does not deflate when the guest runs out of memory")


def balloon_keeps(guest: Guest) -> None:
    """The device does not offer to give memory back when the guest runs out of it."""
    require(not _deflates(guest), "the balloon deflates when the guest runs out of memory")


def _deflates(guest: Guest) -> bool:
    """Return whether feature 2 of virtio-balloon is negotiated (VIRTIO_BALLOON_F_DEFLATE_ON_OOM)."""
    script = "for d in /sys/bus/virtio/devices/*; do [ $(cat $d/device) = 0x0005 ] && cut -c3 $d/features; done; true"
    return guest.inside(script) == "1"


def has_processors(guest: Guest) -> None:
    """Two processors, packets pass, and where the tap has several queues, the guest uses one for each processor."""
    require(guest.inside("nproc") == "2", "the guest does not have two processors")
    reaches(HOST_ADDRESS)(guest)
    flags = guest.host.run(f"cat {guest.directory()}/current/share/microvm/tap-flags 2> /dev/null || true")
    if "multi_queue" in flags:
        queues = guest.inside("ls -d /sys/class/net/net0/queues/rx-* | wc -l")
        require(queues == "2", f"the guest uses {queues} queues of the network")


def memory_is_plugged(guest: Guest) -> None:
    """The guest has its memory and the part that is plugged in at its start, of which its kernel keeps some."""
    # Blocks in sysfs, since what a kernel reserves differs by up to 64 MiB between machines.
    online = "grep -l online /sys/devices/system/memory/memory*/state | wc -l"
    size = f"m=$(($({online}) * 0x$(cat /sys/devices/system/memory/block_size_bytes) / 1048576))"
    seen = int(guest.inside(f"for i in $(seq 60); do {size}; [ $m -ge 640 ] && break; sleep 1; done; echo $m"))
    require(seen == 640, f"{seen} MiB are online in the guest, where 512 + 128 MiB are declared")
    usable = int(guest.inside("awk '/^MemTotal/{print int($2/1024)}' /proc/meminfo"))
    require(usable > 512, f"the guest uses {usable} MiB, where 512 + 128 MiB are declared")


def with_plugged_memory(guest: Guest) -> Declaration:
    """Add memory of which a part is plugged in; QEMU's default machine has no slots for it."""
    machine = {"qemu": {"machine": "q35"}} if guest.profile.name == "qemu" else {}
    return {"hotplug_mem": 256, "hotplugged_mem": 128, **machine}


def pages_are_huge(guest: Guest) -> None:
    """The guest's memory is taken from the huge pages of the host."""
    if guest.profile.huge_pages is None:
        return
    free = int(guest.host.run("awk '/^HugePages_Free/{print $2}' /proc/meminfo"))
    total = int(guest.host.run("awk '/^HugePages_Total/{print $2}' /proc/meminfo"))
    require(total - free >= 64, f"{total - free} huge pages are in use")


def with_huge_pages(guest: Guest) -> Declaration:
    """Set huge pages aside. Raises NotRun where the host lacks the memory."""
    seen = int(guest.host.run("sysctl -q -w vm.nr_hugepages=200 2> /dev/null; cat /proc/sys/vm/nr_hugepages"))
    if seen < 200:
        raise NotRun(f"the host has only {seen} huge pages")
    return {"hugepage_mem": True, "mem": 384}


def volume(name: str, **values: object) -> Prepare:
    """Return a function that adds a volume."""
    return options(volumes=[{"image": f"{name}.img", "size": 32, "mount_point": f"/mnt/{name}", **values}])


def volume_is_written(name: str) -> Check:
    """Return the check that the guest writes to a volume and reads that back."""

    def check_volume(guest: Guest) -> None:
        """The guest writes, flushes, drops its cache, and reads."""
        path = f"/mnt/{name}/probe"
        seen = guest.inside(
            f"findmnt -n -o TARGET /mnt/{name} && echo written > {path} && sync && "
            f"echo 3 > /proc/sys/vm/drop_caches && cat {path}"
        )
        require("written" in seen, f"the volume says {seen!r}")

    return check_volume


def volume_has_serial(guest: Guest) -> None:
    """The guest finds the volume by its declared serial."""
    guest.inside("test -b /dev/disk/by-id/virtio-examined-serial")


def volume_is_open_direct(guest: Guest) -> None:
    """The hypervisor has opened the image without the page cache (O_DIRECT), and the guest writes to it."""
    volume_is_written("direct")(guest)
    image = f"{guest.directory()}/work/direct.img"
    flags = guest.host.run(
        f"for p in {' '.join(guest.processes())}; do for f in /proc/$p/fd/*; do"
        f' [ "$(readlink $f)" = {image} ] && grep flags: /proc/$p/fdinfo/${{f##*/}}; done; done; true'
    )
    values = [int(value, 8) for value in re.findall(r"flags:\s*(\d+)", flags)]
    require(any(value & 0o40000 for value in values), "the image is not opened with O_DIRECT")


def disk_of_type(kind: str, mebibytes: int) -> Prepare:
    """Return a function that makes an image of some format and adds it as a volume. Raises NotRun without qemu-img."""

    def make(guest: Guest) -> Declaration:
        """Everybody may write to the image, since the MicroVM's user does not exist yet."""
        if not guest.host.run("command -v qemu-img || true"):
            raise NotRun("the host has no qemu-img")
        path = f"{SHARE}/disk.{kind}"
        # qemu-img has another name for one format, and rounds its size unless it is told not to. Cloud Hypervisor reads
        # only images of it that have their whole size from the start.
        name, more = ("vpc", "-o force_size=on,subformat=fixed") if kind == "vhd" else (kind, "")
        guest.host.run(f"mkdir -p {SHARE}; rm -f {path}; qemu-img create -q -f {name} {more} {path} {mebibytes}M")
        guest.host.run(f"chmod 0666 {path}")
        return {"volumes": [{"image": path, "auto_create": False, "image_type": kind}]}

    return make


def disk_has_size(mebibytes: int) -> Check:
    """Return the check that the guest sees a disk with the size of what is in the image, not that of the file."""

    def check_disk(guest: Guest) -> None:
        """The guest lists the sizes of its disks, and reads."""
        seen = guest.inside("for d in /sys/block/vd*; do echo $(cat $d/size):${d##*/}; done").split()
        disks = [word.partition(":")[2] for word in seen if word.startswith(f"{mebibytes * 2048}:")]
        require(disks, f"no disk of {mebibytes} MiB is there; the disks, by sectors, are {' '.join(seen)}")
        guest.inside(f"dd if=/dev/{disks[0]} of=/dev/null bs=64k count=4 status=none")

    return check_disk


def share(proto: str, tag: str, **values: object) -> Prepare:
    """Return a function that adds a share of a directory into which everybody may write."""

    def make(guest: Guest) -> Declaration:
        """The directory begins empty."""
        source = f"{SHARE}/{tag}"
        guest.host.run(f"rm -rf {source}; mkdir -p {source}; chmod 0777 {source}")
        return {"shares": [{"proto": proto, "tag": tag, "source": source, "mount_point": f"/mnt/{tag}", **values}]}

    return make


def share_goes_both_ways(tag: str) -> Check:
    """Return the check that guest and host see each other's files in a share."""

    def check_share(guest: Guest) -> None:
        """Each writes, the other reads."""
        guest.host.run(f"echo host > {SHARE}/{tag}/from-host; chmod 0644 {SHARE}/{tag}/from-host")
        seen = guest.inside(f"cat /mnt/{tag}/from-host; echo guest > /mnt/{tag}/from-guest")
        require(seen == "host", f"the guest reads {seen!r}")
        require(
            guest.host.run(f"cat {SHARE}/{tag}/from-guest").strip() == "guest", "the host does not see the guest's file"
        )

    return check_share


TRANSLATION = {"translate_uid": ["map:0:100000:65536"], "translate_gid": ["map:0:200000:65536"]}


def owners_are_translated(guest: Guest) -> None:
    """Require that a file of the guest's root has another owner on the host."""
    guest.inside("touch /mnt/movedfs/file; chown 5:6 /mnt/movedfs/file")
    owners = guest.inside("stat -c %u:%g /mnt/movedfs/file"), guest.host.run(f"stat -c %u:%g {SHARE}/movedfs/file")
    require([owner.strip() for owner in owners] == ["5:6", "100005:200006"], f"the file's owners are {owners}")


def share_is_read_only(tag: str) -> Check:
    """Return the check that not even a guest that mounts a share anew may write to it."""

    def check_share(guest: Guest) -> None:
        """The guest asks for writing, and does not get it."""
        guest.inside(f"ls /mnt/{tag}")
        guest.inside(f"mount -o remount,rw /mnt/{tag}; ! touch /mnt/{tag}/forbidden")
        require(guest.host.run(f"ls {SHARE}/{tag}").strip() != "forbidden", "the guest wrote to the share")

    return check_share


def with_vhost(guest: Guest) -> Declaration:
    """Add a tap whose packets the host's kernel moves, on the same bridge with a subnet of its own."""
    if guest.host.run("test -c /dev/vhost-net && : 2> /dev/null < /dev/vhost-net && echo yes || true") == "":
        raise NotRun("the host has no vhost-net")
    guest.host.run(f"ip address replace {VHOST_HOST}/24 dev {BRIDGE}")
    network = {"addresses": [f"{VHOST_HOST[:-1]}2/24"], "name": "vhost0"}
    return {"interfaces": [{"bridge": BRIDGE, "tap": {"vhost": True}}], "guest": {"networks": [network]}}


def with_macvtap(guest: Guest) -> Declaration:
    """Add a macvtap on one end of a pair; the host is at the other, since a macvtap does not reach its own host."""
    guest.host.run(
        f"ip link show {MACVTAP_LINK} > /dev/null 2>&1 || ip link add {MACVTAP_LINK} type veth peer name exam-peer;"
        f"ip address replace {MACVTAP_HOST}/24 dev exam-peer; ip link set {MACVTAP_LINK} up; ip link set exam-peer up"
    )
    interface = {"type": "macvtap", "id": "exam-mvt", "macvtap": {"link": MACVTAP_LINK, "mode": "bridge"}}
    network = {"addresses": [f"{MACVTAP_HOST[:-1]}2/24"], "name": "macvtap0"}
    return {"interfaces": [interface], "guest": {"networks": [network]}}


def user_network(**values: object) -> Prepare:
    """Return a function that adds an interface to the hypervisor's own network, which has a DHCP server."""
    interface = {"type": "user", "id": "exam-user"}
    return options(interfaces=[interface], guest={"networks": [{"dhcp": True, "name": "user0"}]}, **values)


def reaches(address: str) -> Check:
    """Return the check that packets pass between the guest and an address of the host."""

    def check_interface(guest: Guest) -> None:
        """The guest asks for an echo."""
        seen = guest.inside(f"busybox ping -c 5 -W 10 -q {address}; true")
        received = re.search(r"(\d+) packets received", seen)
        require(received and int(received[1]) > 0, f"no packet passes to {address}")

    return check_interface


def has_user_network(guest: Guest) -> None:
    """The guest has an address by DHCP of the hypervisor's own network."""
    seen = guest.inside(
        "for i in $(seq 60); do ip -brief -4 address show user0 | grep -q / && break; sleep 1; done;"
        "ip -brief -4 address show user0"
    )
    require("/" in seen, "the guest gets no address by DHCP")


def is_forwarded(guest: Guest) -> None:
    """A port of the host leads to the guest's SSH server."""
    done = guest.ssh("-p 2288 127.0.0.1", "hostname")
    require(done.stdout.strip() == guest.name, "no answer at the forwarded port")


def is_registered(guest: Guest) -> None:
    """systemd-machined knows the MicroVM."""
    seen = guest.host.run("machinectl list --no-legend || true")
    require(guest.name in seen, "machined does not know the MicroVM")


SPARE_NIC = """\
for device in /sys/bus/pci/devices/*; do
    [ "$(cat $device/class)" = 0x020000 ] && [ -e $device/iommu_group ] || continue
    [ "$(ls $device/iommu_group/devices | wc -l)" -eq 1 ] || continue
    [ "$(basename "$(readlink $device/driver)")" = e1000e ] && basename $device && break
done; true"""
"""Script that prints the address of a network card which the host does not need."""


def with_device(guest: Guest) -> Declaration:
    """Add a network card of the host. Raises NotRun where there is none."""
    address = guest.host.run(SPARE_NIC).strip()
    if not address:
        raise NotRun("the host has no spare PCI device in an IOMMU group of its own")
    return {"devices": [{"bus": "pci", "path": address}]}


def has_device(guest: Guest) -> None:
    """The card is in the guest, with its driver, and returns to the host's driver when the MicroVM stops."""
    seen = guest.inside("for d in /sys/bus/pci/drivers/e1000e/0*; do basename $d; done")
    require(re.search(r"^[0-9a-f]+:", seen), "the guest has no network card with the driver e1000e")
    guest.down()
    package = f"{guest.directory()}/current/share/microvm/pci-devices"
    # Another unit gives it back, after that of the MicroVM has ended.
    unit = f"microvm-pci-devices@{guest.name}.service"
    drivers = guest.host.run(
        f"until systemctl is-active {unit} | grep -qx inactive || [ $SECONDS -gt 60 ]; do sleep 1; done;"
        f'for a in $(cat {package}); do basename "$(readlink /sys/bus/pci/devices/$a/driver)"; done'
    )
    require(drivers.split() == ["e1000e"], f"on the host the card has the driver {drivers.strip() or 'of nobody'}")


FORWARDED = {"from": "host", "host": {"address": "127.0.0.1", "port": 2288}, "guest": {"port": 22}}


def with_machined(guest: Guest) -> Declaration:
    """Register the MicroVM. Raises NotRun where the host lacks machined."""
    if not guest.host.run("command -v machinectl || true"):
        raise NotRun("the host has no machined")
    return {"register_with_machined": True}


def owners_are_mapped(guest: Guest) -> None:
    """The guest sees the owner that it has set, which the host's file does not have."""
    seen = guest.inside("touch /mnt/mapped/owned && chown 1234 /mnt/mapped/owned && stat -c %u /mnt/mapped/owned")
    require(seen == "1234", f"the guest sees owner {seen}")
    owner = guest.host.run(f"stat -c %u {SHARE}/mapped/owned").strip()
    require(owner != "1234", "the host's file has the owner that the guest has set")


def share_survives_reboot(tag: str) -> Check:
    """Return the check of a share before and after the guest has rebooted."""
    check = share_goes_both_ways(tag)

    def check_twice(guest: Guest) -> None:
        """A hypervisor that reboots in place leaves its virtiofsd."""
        check(guest)
        life.reboots(guest)
        check(guest)

    return check_twice


def reports_free_pages(profile: Profile) -> bool:
    """Return whether memory that a guest frees goes back to the host by itself."""
    return profile.reports_free_pages
