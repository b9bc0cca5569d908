# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of clashes: another spelling of a thing is the same thing, and who comes first does not matter."""

from __future__ import annotations

from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import STATE_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from hypothesis import given
from hypothesis import strategies as st

Vm = dict[str, Any]
SMALL: Vm = {"name": "a", "kernel": "/k"}

components = st.lists(st.from_regex(r"[a-z0-9][a-z0-9._ -]{0,8}", fullmatch=True), min_size=1, max_size=4).filter(
    lambda parts: not parts[-1].endswith(".partial")
)
separators = st.sampled_from(["/", "//", "/./", "/.//"])


def is_refused(*vms: Vm) -> bool:
    try:
        parse_vms(vms)
    except DeclarationError:
        return True
    return False


def with_image(name: str, image: str, read_only: bool) -> Vm:
    return {**SMALL, "name": name, "volumes": [{"image": image, "size": 8, "read_only": read_only}]}


@given(components, st.data())
def test_a_path_in_another_spelling_is_the_same_image(parts: list[str], data: st.DataObject) -> None:
    spelt = data.draw(separators) + parts[0] + "".join(data.draw(separators) + part for part in parts[1:])
    modes = data.draw(st.tuples(st.booleans(), st.booleans()))
    pair = [with_image("a", "/" + "/".join(parts), modes[0]), with_image("b", spelt, modes[1])]
    assert is_refused(*pair) == is_refused(*reversed(pair)) == (modes != (True, True))


@given(components, st.booleans())
def test_a_path_in_a_working_directory_is_its_own_microvms(parts: list[str], read_only: bool) -> None:
    relative = "/".join(parts)
    absolute = f"{STATE_DIRECTORY}/a/work/{relative}"
    assert not is_refused(with_image("a", absolute, read_only))
    assert is_refused(with_image("b", absolute, read_only))
    both = [{"image": relative, "size": 8}, {"image": absolute, "size": 8, "read_only": read_only}]
    assert is_refused({**SMALL, "volumes": both})


ends = st.tuples(
    st.sampled_from([None, "0.0.0.0", "127.0.0.1", "192.0.2.1"]), st.integers(1, 3), st.sampled_from(["tcp", "udp"])
)
End = tuple[Any, int, str]


def with_ports(name: str, *listed: End) -> Vm:
    ports = [
        {"proto": proto, "host": {"address": address, "port": port}, "guest": {"port": 80}}
        for address, port, proto in listed
    ]
    return {**SMALL, "name": name, "interfaces": [{"type": "user"}], "forward_ports": ports}


@given(ends, ends)
def test_a_port_is_forwarded_once(first: End, second: End) -> None:
    def addresses(end: End) -> set[str]:
        every = {"127.0.0.1", "192.0.2.1"}
        return every if end[0] in (None, "0.0.0.0") else {end[0]}

    is_same = first[1:] == second[1:] and bool(addresses(first) & addresses(second))
    assert is_refused(with_ports("a", first), with_ports("b", second)) == is_same
    assert is_refused(with_ports("a", second), with_ports("b", first)) == is_same
    assert is_refused(with_ports("a", first, second)) == is_same


notations = st.sampled_from(["{}", "0x{:x}", "0X{:04X}", "0{:o}"])
properties = st.fixed_dictionaries(
    {"vendorid": st.integers(1, 0xFFFF), "productid": st.integers(1, 0xFFFF)}, optional={"hostbus": st.integers(1, 9)}
)


@given(properties, st.data())
def test_a_usb_device_in_another_notation_is_the_same(values: dict[str, int], data: st.DataObject) -> None:
    def written() -> str:
        keys = data.draw(st.permutations(sorted(values)))
        return ",".join(f"{key}={data.draw(notations).format(values[key])}" for key in keys)

    first, second = ({**SMALL, "name": name, "devices": [{"bus": "usb", "path": written()}]} for name in "ab")
    other = {**SMALL, "name": "c", "devices": [{"bus": "usb", "path": f"vendorid=0,productid={values['productid']}"}]}
    assert is_refused(first, second)
    assert not is_refused(first, other)
