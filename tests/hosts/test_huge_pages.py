# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypervisors that make files of huge pages have a directory for them, as long as they run."""

from __future__ import annotations

from .host import Host
from .packages import fake

OWN = "/dev/hugepages/microvm-large"


def test_the_user_of_a_microvm_makes_files_of_huge_pages_while_it_runs(host: Host) -> None:
    host.run("mountpoint -q /dev/hugepages || mount -t hugetlbfs --mkdir hugetlbfs /dev/hugepages")
    script = f'file=$(mktemp {OWN}/guestXXXXXX); echo "made a file as $(id -un)"; exec sleep infinity'
    host.run("rm -rf /root/large")
    host.send("/root/large", {**fake(script), "share/microvm/huge-pages": f"{OWN}\n"})
    host.microvm("create large --package /root/large")
    host.microvm("start large")
    host.wait_for("its file", lambda: host.run(f"find {OWN} -name 'guest*' -user microvm"), bool)
    assert host.run(f"stat -c '%a %U' {OWN}") == "700 microvm\n"
    host.microvm("stop large")
    assert host.run("ls /dev/hugepages") == ""
