# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares of both protocols in a real guest: data both ways, owners, refused writes, access lists, file handles."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from .host import Host
from .paths import STATE
from .small_guest import MODULES, provide, run_microvm

TRANSLATION = {"posix_acl": False, "translate_uid": ["map:0:100000:65536"], "translate_gid": ["map:0:200000:65536"]}
WORLD = {"source_mode": "0777"}
SHARES = [
    {"tag": "all", "source": "/srv/guest/all", "proto": "virtiofs", **WORLD},
    {"tag": "still", "source": "/srv/guest/all", "proto": "virtiofs", "read_only": True},
    {
        "tag": "moved",
        "source": "/srv/guest/moved",
        "proto": "virtiofs",
        **TRANSLATION,
        "source_owner": "100000",
        "source_group": "200000",
        "source_mode": "0700",
    },
    {"tag": "theirs", "source": "/srv/guest/theirs", "proto": "virtiofs", "posix_acl": False, "user": "games"},
    {"tag": "none", "source": "none"},
    {"tag": "passthrough", "source": "/srv/guest/passthrough", "security_model": "passthrough", **WORLD},
    {"tag": "mapped-xattr", "source": "xattr", "security_model": "mapped-xattr"},
    {"tag": "mapped-file", "source": "file", "security_model": "mapped-file"},
    {"tag": "still9p", "source": "/srv/guest/all", "read_only": True},
]
IN_GUEST = """\
virtiofs='all still moved theirs'
p9='none passthrough mapped-xattr mapped-file still9p'
for tag in $virtiofs; do mkdir -p /mnt/$tag; mount -t virtiofs $tag /mnt/$tag || echo no $tag; done
for tag in $p9; do
    mkdir -p /mnt/$tag
    mount -t 9p -o trans=virtio,version=9p2000.L $tag /mnt/$tag || echo no $tag
done
try() { if "$@" 2> /dev/null; then echo allowed; else echo refused; fi; }
write() { echo 'of the guest' > $1; }
for tag in all moved theirs none passthrough mapped-xattr mapped-file; do
    file=/mnt/$tag/answer
    echo $tag $(try write $file) $(try chown 5:6 $file) $(stat -c %u:%g $file 2> /dev/null)
done
for tag in still still9p; do echo $tag $(try write /mnt/$tag/other) $(cat /mnt/$tag/answer); done
for tag in all still9p; do echo $tag $(cat /mnt/$tag/greeting); done
for user in user other; do echo $user $(try su $user -c 'cat /mnt/all/listed'); done
echo theirs $(try cat /mnt/theirs/locked) $(cat /mnt/theirs/own) $(stat -c %u /mnt/theirs/locked)
for name in 1 2 3; do mkdir -p /mnt/all/deep/$name; write /mnt/all/deep/$name/file; done
mv /mnt/all/deep /mnt/all/moved; cat /mnt/all/moved/*/file | wc -l
"""
"""Script of the guest: it writes, gives away and reads in each share, and moves a directory."""

SEEN = """\
all allowed allowed 5:6
moved allowed allowed 5:6
theirs allowed allowed 0:0
none allowed refused {owner}
passthrough refused refused
mapped-xattr allowed allowed 5:6
mapped-file allowed allowed 5:6
still refused of the guest
still9p refused of the guest
all of the host
still9p of the host
user listed allowed
other refused
theirs refused of its user 0
3
"""

LET_USER_READ = """\
import os, struct, sys
entries = (1, 6, 0), (2, 4, 1234), (4, 0, 0), (16, 4, 0), (32, 0, 0)
value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
os.setxattr(sys.argv[1], "system.posix_acl_access", value)
"""
"""Does what `setfacl -m u:1234:r` does (acl(5))."""


@pytest.fixture(name="prepared")
def _prepared(host: Host) -> Iterator[Host]:
    """A host with the files that a guest boots from and finds."""
    provide(host, MODULES + IN_GUEST)
    host.run(
        "rm -rf /srv/guest && mkdir -p -m 0777 /srv/guest/all && cd /srv/guest/all &&"
        f"echo 'of the host' > greeting && echo listed > listed && chmod 0600 listed &&"
        "cd .. && mkdir theirs && echo 'of its user' > theirs/own && chown games: theirs theirs/own &&"
        "echo locked > theirs/locked && chmod 0600 theirs/locked && cd all &&"
        f"python3 -c {shlex.quote(LET_USER_READ)} listed"
    )
    yield host
    host.run("rm -rf /srv/guest")


def test_a_guest_has_what_each_kind_of_share_allows(prepared: Host) -> None:
    host = prepared
    work = f"{STATE}/filed/work"
    lines = run_microvm(host, "filed", {"shares": SHARES})
    owner = host.run(f"stat -c %u:%g {work}").strip()
    assert lines == SEEN.format(owner=owner).splitlines()
    files = {
        "/srv/guest/all/answer": "5:6",
        "/srv/guest/moved/answer": "100005:200006",
        "/srv/guest/theirs/answer": host.run("echo $(id -u games):$(id -g games)").strip(),
        **dict.fromkeys((f"{work}/none/answer", f"{work}/xattr/answer", f"{work}/file/answer"), owner),
    }
    assert host.run(f"stat -c %u:%g {' '.join(files)}").split() == [*files.values()]
    assert host.run("stat -c %u:%g:%a /srv/guest/moved") == "100000:200000:700\n"
    assert host.run("cat /srv/guest/all/answer") == "of the guest\n"
    assert host.run(f"ls -A {work}/file").split() == [".virtfs_metadata", "answer"]
    assert "user.virtfs.uid" in host.run(
        f"python3 -c 'import os, sys; print(os.listxattr(sys.argv[1]))' {work}/xattr/answer"
    )
