# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of Cloud Hypervisor (its docs/ and the source of its option parser)."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from ...declaration.identity import STORE_SERIAL, as_uuid
from ...declaration.types import Interface
from ...declaration.vms.guest import disk_serial, kernel_parameters
from ...declaration.vms.parse import Declaration
from ...schema.errors import DeclarationError
from ...schema.quoting import kernel_command_line
from ..command import Command
from ..crosvm.gpu import gpu_device
from ..descriptors import Descriptors, macvtap_descriptors, next_descriptor, pairs
from ..extra_args import extract, split_keys
from ..facts import HostFacts
from ..hypervisor import Hypervisor
from ..initrd_credentials import initrd_with_credentials
from ..programs import program_path
from ..refusals import refuse_in
from ..requests import Balloon, HttpRequest, Notify, Shutdown
from ..words import Variable, join, words
from .profile import PROFILE

EXTRA_ARGS = "cloud_hypervisor.extra_args"
OURS = ("--cpus", "--platform", "--vsock", "--serial", "--console")
"""Options that we write too and that stand on the command line once."""

NAMED = ("socket", "graphics.socket", "store_disk", "volumes[].image", "shares[].socket", "shares[].tag")
"""Values of options whose parser counts brackets in quotes too, and has no way to write a quote."""

VSOCK_SOCKET = "notify.vsock"
GPU = "--gpu"
"""Option that no release has; builds with patches for graphics do."""

OLDEST = 36
"""Version from which several values stand behind one option."""


class CloudHypervisor(Hypervisor):
    """Cloud Hypervisor: everything on PCI, control by HTTP."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["cloud_hypervisor"]["package"], PROFILE.name)

    def uncommon_options(self, declaration: Declaration) -> Tuple[str, ...]:
        """See Hypervisor.uncommon_options."""
        return (GPU,) if declaration["graphics"]["enable"] else ()

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        _refuse_missing(facts)
        if not facts.has(PROFILE.name, OLDEST):
            raise DeclarationError("hypervisor", f"this host's cloud-hypervisor is too old; install {OLDEST} or newer")
        refuse_in(declaration, NAMED, '"[]', PROFILE.name)
        # `fd=3` and `path=x` are other ways to write --api-socket.
        refuse_in(declaration, ("socket",), "=", PROFILE.name)
        extra, more = extract(declaration["cloud_hypervisor"]["extra_args"], OURS, EXTRA_ARGS)
        vsock = _vsock(declaration, extra["--vsock"])
        notify = Notify(vsock["socket"]) if vsock else None
        macvtaps = macvtap_descriptors(declaration, declaration["vcpu"])
        initrd = initrd_with_credentials(declaration, next_descriptor(macvtaps))
        serial = _single(extra["--serial"], "--serial") or "tty"
        arguments = [
            *(self.program(declaration, facts), *_processors(declaration, extra["--cpus"])),
            *("--watchdog", "--kernel", declaration["kernel"]),
            *(("--initramfs", initrd.path) if initrd.path else ()),
            *("--cmdline", _kernel_command_line(declaration, facts, serial), "--seccomp", "true"),
            *("--memory", _keys(_memory(declaration))),
            *("--platform", _platform(declaration, facts, extra["--platform"], notify)),
            *("--console", _single(extra["--console"], "--console") or "null", "--serial", serial),
            *(("--vsock", _keys(vsock)) if vsock else ()),
            *_many("--disk", _disks(declaration, facts)),
            *_many("--fs", _shares(declaration)),
            *(("--api-socket", declaration["socket"]) if declaration["socket"] else ()),
            *_balloon(declaration),
            *_many("--net", (_net(declaration, interface, macvtaps) for interface in declaration["interfaces"])),
            *_many("--device", (f"path=/sys/bus/pci/devices/{device['path']}" for device in declaration["devices"])),
        ]
        graphics = declaration["graphics"]
        arguments += [GPU, _keys({"socket": graphics["socket"]})] if graphics["enable"] else []
        stale = [declaration["socket"], vsock["socket"] if vsock else None]
        return Command(
            argv=words(*arguments, *more),
            shutdown=_shutdown(declaration),
            balloon=_balloon_request(declaration),
            live_options=("--balloon",),
            multi_queue=declaration["vcpu"] > 1,
            macvtaps=pairs(macvtaps),
            stale=tuple(socket for socket in stale if socket),
            sidecar=gpu_device(declaration),
            sidecar_socket=graphics["socket"] if graphics["enable"] else "",
            notify=notify,
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
        )


HYPERVISOR = CloudHypervisor()


def _refuse_missing(facts: HostFacts) -> None:
    if GPU in facts.missing_options:
        raise DeclarationError(
            "graphics.enable",
            f"this host's cloud-hypervisor does not have the option {GPU}, which no release has; install a build with "
            "patches for graphics, and name it in cloud_hypervisor.package, or use another hypervisor",
        )


def _single(values: List[str], option: str) -> Optional[str]:
    if len(values) > 1:
        raise DeclarationError(
            EXTRA_ARGS, f"{option} occurs {len(values)} times but is accepted once; merge the occurrences"
        )
    return values[0] if values else None


def _value(text: str) -> str:
    """Quote a value where it needs quotes; what they cannot hold has been refused (NAMED)."""
    # Outside of quotes, blanks at the ends are taken away.
    return f'"{text}"' if any(character in text for character in ",[]=") or text != text.strip() else text


def _keys(values: Mapping[str, object], raw: Iterable[str] = ()) -> str:
    """Return ``key=value`` in the order of the keys; ``raw`` are keys whose values are written already."""
    written = set(raw)
    return ",".join(
        f"{key}={value if key in written else _value(str(value))}" for key, value in values.items() if value is not None
    )


def _pairs(texts: Iterable[str], option: str) -> List[Tuple[str, str]]:
    """Return the keys of all values of an option. Raises DeclarationError for a key that is repeated."""
    pairs = [pair for text in texts for pair in split_keys(text)]
    names = [name for name, _value_ in pairs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DeclarationError(EXTRA_ARGS, f"{option} {repeated[0]}= occurs more than once; write it once")
    return pairs


def _many(option: str, values: Iterable[str]) -> List[str]:
    """Return an option with all its values behind it, the only form that all versions take."""
    listed = list(values)
    return [option, *listed] if listed else []


def _processors(declaration: Declaration, extra: List[str]) -> Tuple[str, str]:
    pairs = _pairs(extra, "--cpus")
    if any(key == "boot" for key, _value_ in pairs):
        raise DeclarationError(EXTRA_ARGS, "--cpus boot= conflicts with the option vcpu; set vcpu instead")
    return "--cpus", ",".join([f"boot={declaration['vcpu']}"] + [f"{key}={value}" for key, value in pairs])


def _kernel_command_line(declaration: Declaration, facts: HostFacts, serial: str) -> str:
    console: List[str] = []
    if serial not in ("off", "null"):
        x86 = facts.architecture == "x86_64"
        console = ["earlyprintk=ttyS0", "console=ttyS0"] if x86 else ["console=ttyAMA0"]
    own = [*console, "reboot=t", "panic=-1"]
    return kernel_command_line([*own, *kernel_parameters(declaration, by_serial=True)])


def _memory(declaration: Declaration) -> Dict[str, str]:
    options = {"size": f"{declaration['mem']}M"}
    if declaration["shares"] or declaration["graphics"]["enable"]:
        options["shared"] = "on"
    else:
        options.update(mergeable="on", shared="off")
    if declaration["hugepage_mem"]:
        options["hugepages"] = "on"
        options.update({"hugepage_size": size} if (size := declaration["hugepage_size"]) else {})
    if declaration["hotplug_mem"]:
        # Beside `size`, not part of it (docs/memory.md).
        options.update(
            hotplug_method="virtio-mem",
            hotplug_size=f"{declaration['hotplug_mem']}M",
            hotplugged_size=f"{declaration['hotplugged_mem']}M",
        )
    return options


def _platform(declaration: Declaration, facts: HostFacts, extra: List[str], notify: Optional[Notify]) -> str:
    pairs = _pairs(extra, "--platform")
    if any(key == "oem_strings" for key, _value_ in pairs):
        raise DeclarationError(
            EXTRA_ARGS,
            "--platform oem_strings= conflicts with cloud_hypervisor.platform_oem_strings; set that option instead",
        )
    strings = list(declaration["cloud_hypervisor"]["platform_oem_strings"])
    strings += [f"io.systemd.credential:vmm.notify_socket={notify.credential}"] if notify else []
    key = "system_uuid" if facts.has(PROFILE.name, 53) else "uuid"
    ours = (
        {}
        if any(name in ("uuid", "system_uuid") for name, _value_ in pairs)
        else {key: as_uuid(declaration["machine_id"])}
    )
    options = {**ours, **({"oem_strings": f"[{','.join(strings)}]"} if strings else {}), **dict(pairs)}
    return _keys(options, raw=options)


def _vsock(declaration: Declaration, extra: List[str]) -> Dict[str, str]:
    """Return the keys of the vsock: the user's, our identifier and our socket; empty where there is none."""
    pairs = {name: value.strip('"') for name, value in split_keys(_single(extra, "--vsock") or "")}
    cid = declaration["vsock"]["cid"]
    if not pairs and cid is None:
        return {}
    if "cid" in pairs and cid is not None:
        raise DeclarationError(EXTRA_ARGS, f"--vsock cid={pairs['cid']} conflicts with vsock.cid; set only vsock.cid")
    if "cid" not in pairs and cid is None:
        raise DeclarationError(
            "vsock.cid", "is required for --vsock in cloud_hypervisor.extra_args; set it to auto, or to 3 or greater"
        )
    return {"cid": str(cid if cid is not None else pairs["cid"]), "socket": VSOCK_SOCKET, **pairs}


def _disks(declaration: Declaration, facts: HostFacts) -> List[str]:
    queues = declaration["vcpu"] if declaration["vcpu"] > 1 else None
    typed = facts.has(PROFILE.name, 51)
    disks: List[Dict[str, Optional[str]]] = []
    if declaration["store_disk"]:
        serial = STORE_SERIAL if declaration["image"] else None
        disks.append({"path": declaration["store_disk"], "readonly": "on", "image_type": "raw", "serial": serial})
    for volume in declaration["volumes"]:
        disks.append(
            {
                "path": volume["image"],
                "readonly": "on" if volume["read_only"] else "off",
                "direct": "on" if volume["direct"] else "off",
                "image_type": volume["image_type"],
                "serial": disk_serial(declaration, volume),
            }
        )
    return [
        _keys({**disk, "num_queues": queues, "image_type": disk["image_type"] if typed else None}) for disk in disks
    ]


def _shares(declaration: Declaration) -> List[str]:
    return [_keys({"socket": share["socket"], "tag": share["tag"]}) for share in declaration["shares"]]


def _net(declaration: Declaration, interface: Interface, macvtaps: Descriptors) -> str:
    own = macvtaps.get(interface["id"])
    end = {"fd": f"[{','.join(map(str, own))}]"} if own else {"tap": interface["id"]}
    queues = 2 * declaration["vcpu"] if declaration["vcpu"] > 1 else None
    return _keys({**end, "mac": interface["mac"], "num_queues": queues}, raw=("fd",))


def _balloon(declaration: Declaration) -> List[str]:
    if not declaration["balloon"]:
        return []
    deflate = "on" if declaration["deflate_on_oom"] else "off"
    size = f"{declaration['initial_balloon_mem']}M"
    return ["--balloon", _keys({"size": size, "deflate_on_oom": deflate, "free_page_reporting": "on"})]


def _shutdown(declaration: Declaration) -> Optional[Shutdown]:
    socket = declaration["socket"]
    return Shutdown(HttpRequest(socket, "PUT", "/api/v1/vm.power-button")) if socket else None


def _balloon_request(declaration: Declaration) -> Optional[Balloon]:
    socket = declaration["socket"]
    if not declaration["balloon"] or socket is None:
        return None
    body = join('{"desired_balloon":', Variable.BALLOON_BYTES, "}")
    return Balloon(HttpRequest(socket, "PUT", "/api/v1/vm.resize", body))
