# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's store of Nix in guests of images: in declarations, credentials and packages."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import GARBAGE_ROOTS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest import credentials
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest_store import closure_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration, parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.unit_filter import problem_of_settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

STORE_PATH = "/nix/store/00000000000000000000000000000000-tool-1.0"
SHARE = {"tag": "ro-store", "source": "/nix/store", "mount_point": "/nix/.ro-store"}
WRITABLE: dict[str, Any] = {"writable_store_overlay": "/nix/.rw-store"}


def image(nix: bool = True) -> HostImage:
    return {
        "name": "base",
        "path": "/images/1",
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": nix,
    }


def parse(nix: bool = True, **declared: Any) -> Declaration:
    return parse_vm({"name": "web", "image": "base", "shares": [SHARE], **declared}, [image(nix)])


def volume(mount_point: str, **options: object) -> dict[str, object]:
    return {"image": "store.img", "size": 64, "mount_point": mount_point, **options}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, "lower /nix/.ro-store\n"),
        (WRITABLE, "lower /nix/.ro-store\nwritable /nix/.rw-store\n"),
        ({"guest": {"enable": False}}, None),
        ({"shares": []}, None),
        ({"shares": [{**SHARE, "source": "/srv"}]}, None),
        ({"image": None, "kernel": "/kernel"}, None),
    ],
)
def test_the_guest_is_told_of_what_its_store_is_made(declared: dict[str, Any], expected: str | None) -> None:
    assert credentials(parse(**declared), True).get("microvm.nix_store") == expected


def test_guests_of_images_only_read_the_store() -> None:
    sources = ["//nix/store/", f"{STORE_PATH}/lib", "store", "/nix/stores", "/srv"]
    vm = parse(shares=[{"tag": f"t{number}", "source": source} for number, source in enumerate(sources)])
    assert [share["read_only"] for share in vm["shares"]] == [True, True, False, False, False]
    assert not parse(image=None, kernel="/kernel")["shares"][0]["read_only"]


@pytest.mark.parametrize("source", ["/", "/nix", "//nix/", "/./nix"])
def test_a_directory_with_the_store_in_it_is_not_shared_for_writing(source: str) -> None:
    share = {"tag": "all", "source": source}
    with pytest.raises(DeclarationError, match=r"^shares\[1\]\.read_only: .* has /nix/store of the host in it"):
        parse(shares=[SHARE, share])
    assert parse(shares=[SHARE, {**share, "read_only": True}])["shares"][1]["read_only"]
    # Nix has built the guest, and says itself what it mounts.
    assert parse(image=None, kernel="/kernel", shares=[share])


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({**WRITABLE, "shares": []}, r"writable_store_overlay: requires the host's store"),
        ({"store_paths": [STORE_PATH], "shares": []}, r"store_paths: requires the host's store"),
        ({**WRITABLE, "shares": [{**SHARE, "mount_point": None}]}, r"writable_store_overlay: requires the host's"),
        ({**WRITABLE, "guest": {"enable": False}}, r"writable_store_overlay: requires `guest\.enable: true`"),
        ({"nix": False, **WRITABLE}, r"writable_store_overlay: the image 'base' has no Nix.*set `nix: true`"),
        ({"nix": False, "store_paths": [STORE_PATH]}, r"store_paths: the image 'base' has no Nix"),
        ({"register_closure": True}, r"register_closure: requires store_paths"),
        ({"store_paths": ["/nix/store/tool"]}, r"store_paths\[0\]: .* is not a path in the store of Nix"),
        ({"image": None, "kernel": "/k", "store_paths": [STORE_PATH]}, r"store_paths: are for guests of an image"),
        (
            {"shares": [{**SHARE, "mount_point": "/nix/a,b"}]},
            r"shares\[0\]\.mount_point: .* cannot be part of an overlay",
        ),
        ({"writable_store_overlay": "/nix/a:b"}, r"writable_store_overlay: .* cannot be part of an overlay"),
        ({"writable_store_overlay": "/nix/store/rw"}, r"writable_store_overlay: .* is in /nix/store"),
        ({"writable_store_overlay": "/nix"}, r"writable_store_overlay: .* is, has or is in /nix/store"),
        ({"writable_store_overlay": "/nix/.ro-store/x"}, r"writable_store_overlay: .* is in /nix/\.ro-store"),
        (
            {**WRITABLE, "shares": [SHARE, {"tag": "rw", "source": "rw", "mount_point": "/nix/.rw-store"}]},
            r"writable_store_overlay: .* is on a share, and Linux' overlay does not write to 9p or virtiofs",
        ),
        (
            {
                "writable_store_overlay": "/srv/a/b",
                "volumes": [volume("/srv")],
                "shares": [SHARE, {"tag": "rw", "source": "rw", "mount_point": "/srv/a"}],
            },
            r"writable_store_overlay: .* is on a share",
        ),
        (
            {**WRITABLE, "volumes": [volume("/nix/.rw-store", fs_type="vfat")]},
            r"writable_store_overlay: .* is on a volume with vfat",
        ),
        (
            {**WRITABLE, "volumes": [volume("/nix/.rw-store", read_only=True)]},
            r"writable_store_overlay: .* is on a volume with read_only",
        ),
    ],
)
def test_a_store_that_the_guest_could_not_have_is_refused(declared: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        parse(**declared)


@pytest.mark.parametrize(
    "declared",
    [
        {"volumes": [volume("/nix/.rw-store")]},
        {"volumes": [volume("/nix/.rw-store", fs_type="btrfs", size=256)]},
        # The guest's memory, also where changes of the root are kept on a volume.
        {"volumes": [volume("/", fs_type="ext4")]},
        {"shares": [SHARE, {"tag": "rw", "source": "rw", "mount_point": "/nix/.rw-store-2"}]},
        {
            "volumes": [volume("/nix/.rw-store")],
            "shares": [SHARE, {"tag": "rw", "source": "rw", "mount_point": "/nix"}],
        },
    ],
)
def test_layers_that_an_overlay_writes_to_are_accepted(declared: dict[str, Any]) -> None:
    assert parse(**WRITABLE, **declared)["writable_store_overlay"] == "/nix/.rw-store"


def test_the_store_is_a_share_like_any_other_for_guests_without_nix() -> None:
    assert parse(nix=False)["shares"][0]["source"] == "/nix/store"


def test_a_guest_that_is_removed_needs_no_nix() -> None:
    assert parse(nix=False, state="absent", **WRITABLE)["state"] == "absent"


def test_options_of_guests_that_nix_has_built_are_only_recorded() -> None:
    vm = parse(image=None, kernel="/kernel", register_closure=True, guest={"enable": True}, **WRITABLE)
    assert vm["register_closure"] and "microvm.nix_store" not in credentials(vm, True)


@pytest.mark.parametrize("registers", [None, True, False])
def test_the_unit_passes_on_the_registration_of_these_paths(registers: bool | None) -> None:
    vm = parse(store_paths=[STORE_PATH], register_closure=registers)
    package = render(vm, HostFacts())
    drop_in = package.files["share/microvm/systemd/microvm@.service.conf"].content.decode()
    line = f"microvm.nix_registration:{GARBAGE_ROOTS}/%i/{closure_name([STORE_PATH])}.registration"
    is_passed = registers is not False
    assert (f"LoadCredential={line}\n" in drop_in) == is_passed
    # Whoever runs the package by hand has no registration for the guest.
    script = package.files["bin/microvm-run"].content.decode()
    assert ("credential_file microvm.nix_registration /dev/null" in script) == is_passed
    settings = {"microvm@.service": drop_in}
    assert problem_of_settings(settings, vm, "/p", "web") == ""
    other = parse(store_paths=[STORE_PATH.replace("tool", "other")])
    assert ("LoadCredential" in problem_of_settings(settings, other, "/p", "web")) == is_passed


def test_a_closure_is_named_by_its_paths_in_any_order() -> None:
    other = STORE_PATH.replace("tool", "other")
    assert closure_name([STORE_PATH, other]) == closure_name([other, STORE_PATH, other]) != closure_name([other])
