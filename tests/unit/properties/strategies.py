# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random declarations: every option, with names as odd as they may be."""

from __future__ import annotations

import posixpath
from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES
from hypothesis import strategies as st

HYPERVISORS = tuple(PROFILES)
ODD = "ab1.-_ '\"$`\\!*?[](){}<>|&;#~=,:%@^äß"

odd = st.text(ODD, min_size=1, max_size=12)
names = st.from_regex(r"[a-z][a-z0-9_.-]{0,9}", fullmatch=True).filter(lambda name: not name.endswith(".partial"))
paths = odd.map(lambda text: "/srv/" + text.replace("..", "x").strip("/"))
images = odd.map(lambda text: text.lstrip("-/").replace("..", "x") or "image").filter(
    lambda text: text != "." and not text.endswith(".partial")
)
sizes = st.integers(1, 5000)
macs = st.integers(0, 2**32 - 1).map(
    lambda number: "02:00:" + ":".join(f"{number:08x}"[i : i + 2] for i in (0, 2, 4, 6))
)


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping in which any of the keys may be missing."""
    return st.fixed_dictionaries({}, optional=keys)


interfaces = st.one_of(
    optional(mac=macs, tap=optional(vhost=st.booleans()), bridge=st.sampled_from(["br0", "br.1"])),
    st.fixed_dictionaries({"type": st.just("user")}, optional={"mac": macs}),
    st.fixed_dictionaries(
        {
            "type": st.just("macvtap"),
            "macvtap": st.fixed_dictionaries({"link": st.just("eth0"), "mode": st.sampled_from(["bridge", "vepa"])}),
        }
    ),
)
volumes = st.fixed_dictionaries(
    {"image": images, "size": sizes},
    optional={
        "label": st.text("ab'$ ", min_size=1, max_size=11),
        "fs_type": st.sampled_from(["ext2", "ext4", "xfs", "btrfs", "vfat"]),
        "mkfs_extra_args": st.lists(odd, max_size=2),
        "serial": st.sampled_from(["s1", "DISK_2"]),
        "direct": st.booleans(),
        "read_only": st.booleans(),
    },
)
shares = st.fixed_dictionaries(
    {
        "tag": odd.filter(lambda tag: tag not in (".", "..")),
        "source": paths,
        "proto": st.sampled_from(["9p", "virtiofs"]),
    },
    optional={"read_only": st.booleans()},
)


def _place(volume: dict[str, Any]) -> str:
    return posixpath.normpath(str(volume["image"]))


declarations = st.fixed_dictionaries(
    {"name": names, "hypervisor": st.sampled_from(HYPERVISORS), "kernel": paths, "initrd_path": paths},
    optional={
        "store_disk": paths,
        "vcpu": st.integers(1, 8),
        "mem": sizes,
        "cpu": st.just("max"),
        "balloon": st.booleans(),
        "hugepage_mem": st.booleans(),
        "socket": st.one_of(st.none(), images),
        "kernel_params": st.lists(st.sampled_from(["quiet", 'x="a b"', "y='$HOME'", "z=`id`"]), max_size=3),
        "pre_start": st.sampled_from(["echo before", "true\n"]),
        "extra_args_script": paths,
        "pretty_procnames": st.booleans(),
        "register_with_machined": st.booleans(),
        "vsock": optional(cid=st.integers(3, 99)),
        "credential_files": st.dictionaries(st.sampled_from(["token", "db.password"]), paths, max_size=2),
        "interfaces": st.lists(interfaces, max_size=3),
        "volumes": st.lists(volumes, max_size=3, unique_by=_place),
        "shares": st.lists(shares, max_size=2, unique_by=lambda share: share["tag"]),
        "devices": st.lists(st.just({"bus": "pci", "path": "0000:01:00.0"}), max_size=1),
        "bin_scripts": st.dictionaries(st.sampled_from(["my-hook", "tap-up"]), st.just("echo hook"), max_size=2),
        "guest": optional(enable=st.booleans()),
    },
)
