# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin as Ansible runs it: ``ansible-inventory`` with the files of a user."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import yaml
from ansible_collections.microvm.fleet.plugins.inventory import guests as plugin

ROOT = Path(__file__).resolve().parents[4]
PROGRAMS = Path(sys.executable).parent

HOSTS = """\
microvm_hosts:
  hosts:
    east: {ansible_host: 192.0.2.1, ansible_user: ops, ansible_become: true}
    west: {ansible_host: 192.0.2.2}
    idle: {}
ungrouped:
  hosts:
    other: {microvm_vms: [{name: never}]}
"""
EAST = """\
subnet: 10.66.1
microvm_vms:
  - name: web
    interfaces: [{bridge: br0}]
    guest: {networks: [{addresses: ["{{ subnet }}.11/24"]}]}
    credential_files: {token: "{{ lookup('ansible.builtin.pipe', 'touch ' ~ inventory_dir ~ '/looked') }}"}
  - "{{ database }}"
database: {name: db, state: "{{ 'stopped' if 'idle' in groups.microvm_hosts else 'started' }}"}
"""
WEST = 'microvm_vms: [{name: "app-{{ inventory_hostname }}", hypervisor: cloud-hypervisor, vsock: {cid: 7}}]\n'
ALL = "microvm_images: [{name: base, commands: ['{{ undefined }}']}]\nmicrovm_defaults: {image: none}\n"
NEARER = "microvm_defaults: {image: base}\n"
PLUGIN = "plugin: microvm.fleet.guests\n"
STRICT = "[inventory]\nany_unparsed_is_failed = true\n"
SOURCES = ("hosts.yml", "guests.microvm.yml")


class Inventory:
    """Files of a user, and what Ansible makes of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = self.here = directory
        self.write("hosts.yml", HOSTS)
        self.write("guests.microvm.yml", PLUGIN)
        self.write("host_vars/east.yml", EAST)
        self.write("host_vars/west.yml", WEST)
        self.write("group_vars/all.yml", ALL)
        self.write("group_vars/microvm_hosts.yml", NEARER)
        self.write("ansible.cfg", STRICT)

    def write(self, file: str, text: str) -> None:
        path = self.directory / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, *arguments: str, sources: tuple[str, ...] = SOURCES, program: str = "ansible-inventory") -> str:
        done = self._run(arguments, sources, program)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *sources: str) -> str:
        done = self._run(("--list",), sources or SOURCES)
        assert done.returncode != 0 and "Traceback" not in done.stderr
        return " ".join(done.stderr.split())

    def _run(
        self, arguments: tuple[str, ...], sources: tuple[str, ...], program: str = "ansible-inventory"
    ) -> subprocess.CompletedProcess[str]:
        words = [word for source in sources for word in ("-i", source)]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "500",
        }
        return subprocess.run(
            [PROGRAMS / program, *words, *arguments],
            cwd=self.here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def warnings(self) -> str:
        """Return what is said beside the hosts, which are there."""
        done = self._run(("--list",), SOURCES)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        return " ".join(done.stderr.split())

    def listed(self, *sources: str) -> dict[str, Any]:
        return dict(json.loads(self.run("--list", sources=sources or SOURCES), object_hook=plain))

    def variables(self) -> dict[str, Any]:
        return dict(self.listed()["_meta"]["hostvars"])


def plain(value: dict[str, Any]) -> Any:
    """Return a string that Ansible marks as one without templates, or what it is instead."""
    return value["__ansible_unsafe"] if list(value) == ["__ansible_unsafe"] else value


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path)


def test_guests_are_hosts_in_groups(inventory: Inventory) -> None:
    listed = inventory.listed()
    groups = {
        name: group["hosts"] for name, group in listed.items() if name.startswith("microvm_") and "hosts" in group
    }
    assert groups == {
        "microvm_hosts": ["east", "west", "idle"],
        "microvm_guests": ["web", "db", "app-west"],
        "microvm_host_east": ["web", "db"],
        "microvm_host_west": ["app-west"],
        "microvm_hypervisor_qemu": ["web", "db"],
        "microvm_hypervisor_cloud_hypervisor": ["app-west"],
        "microvm_state_started": ["web", "app-west"],
        "microvm_state_stopped": ["db"],
        "microvm_network_br0": ["web"],
    }
    web, app = listed["_meta"]["hostvars"]["web"], listed["_meta"]["hostvars"]["app-west"]
    assert (web["ansible_host"], web["ansible_user"], web["microvm_guest"]["host"]) == ("10.66.1.11", "root", "east")
    assert "-l ops" in web["ansible_ssh_args"] and "192.0.2.1" in web["ansible_ssh_args"]
    assert "microvm forward app-west" in app["ansible_ssh_args"]
    # What a guest does not need is neither templated nor shown.
    assert not (inventory.directory / "looked").exists()
    assert "microvm_vms" not in web


def test_the_graph_shows_guests_below_their_hosts(inventory: Inventory) -> None:
    assert "  |--@microvm_host_east:\n  |  |--web\n  |  |--db\n" in inventory.run("--graph")


def test_variables_groups_and_keyed_groups_are_composed(inventory: Inventory) -> None:
    inventory.write(
        "guests.microvm.yml",
        PLUGIN + "compose: {listen: microvm_guest.addresses | first, ansible_user: \"'admin'\"}\n"
        "groups: {by_vsock: microvm_guest.vsock_cid is not none}\n"
        "keyed_groups: [{key: microvm_guest.hostname, prefix: name}]\n"
        "hostname: '{name}.{host}'\nuser: ops\ngroup_prefix: mv_\n",
    )
    listed = inventory.listed()
    web = listed["_meta"]["hostvars"]["web.east"]
    assert (web["listen"], web["ansible_user"]) == ("10.66.1.11", "admin")
    assert listed["_meta"]["hostvars"]["db.east"]["ansible_user"] == "admin"
    assert listed["by_vsock"]["hosts"] == ["app-west.west"] and listed["name_db"]["hosts"] == ["db.east"]
    assert listed["mv_guests"]["hosts"] == ["web.east", "db.east", "app-west.west"]


def test_all_hosts_are_read_if_that_is_wanted(inventory: Inventory) -> None:
    inventory.write("guests.microvm.yml", PLUGIN + "group: all\n")
    inventory.write("host_vars/other.yml", "microvm_vms: [{name: inside, image: base}]\n")
    hosts = inventory.listed()["_meta"]["hostvars"]
    assert {"web", "db", "app-west", "inside"} <= set(hosts)


def test_what_cannot_be_composed_is_an_error_if_strict(inventory: Inventory) -> None:
    inventory.write("guests.microvm.yml", PLUGIN + "compose: {listen: microvm_guest.addresses.2.x}\n")
    assert "listen" not in inventory.variables()["web"]
    inventory.write("guests.microvm.yml", PLUGIN + "strict: true\ncompose: {listen: microvm_guest.addresses.2.x}\n")
    assert "Could not set listen for host web" in inventory.refusal()


def test_a_directory_of_sources_is_read_in_the_order_of_names(inventory: Inventory) -> None:
    for file in ("hosts.yml", "host_vars", "group_vars"):
        (inventory.directory / "fleet").mkdir(exist_ok=True)
        (inventory.directory / file).rename(inventory.directory / "fleet" / file)
    inventory.write("fleet/microvm.yml", PLUGIN)
    listed = inventory.listed("fleet")
    assert listed["microvm_guests"]["hosts"] == ["web", "db", "app-west"]


def test_the_first_example_of_the_documentation_works_as_typed(inventory: Inventory) -> None:
    page = (ROOT / "docs" / "inventory.md").read_text()
    (source,) = re.findall(
        r"^```text\n# guests.microvm.yml\n(.*?)```", page.partition("## How")[0], re.DOTALL | re.MULTILINE
    )
    command, graph = re.findall(r"^\$ (ansible-inventory .*)\n((?:[@ ].*\n)+)  …", page, re.MULTILINE)[0]
    shutil.copytree(ROOT / "docs" / "examples" / "first-fleet", inventory.directory / "my-fleet")
    inventory.write("guests.microvm.yml", source)
    program, *words = command.split()
    assert inventory.run(*words, sources=(), program=program).startswith(graph)
    # In the directory, the file has the name that the page says.
    inventory.write("my-fleet/microvm.yml", source)
    assert inventory.run("--graph", sources=("my-fleet",)).startswith(graph)
    (inventory.directory / "my-fleet" / "microvm.yml").rename(inventory.directory / "my-fleet" / "guests.microvm.yml")
    assert "call this one microvm.yml" in inventory.refusal("my-fleet")


FACTS_CACHED = f"[defaults]\nfact_caching = ansible.builtin.jsonfile\nfact_caching_connection = facts\n{STRICT}"


def test_cached_facts_count_if_that_is_wanted(inventory: Inventory) -> None:
    inventory.write("ansible.cfg", FACTS_CACHED)
    seen = [{"name": "db", "dhcp_addresses": ["10.66.1.99"], "condition": "ok"}]
    facts = json.dumps({"cacheable": True, "microvm_facts": seen, "subnet_of_facts": "10.66.7"})
    # Nothing is run on the host.
    inventory.run("east", "-m", "ansible.builtin.set_fact", "-a", facts, sources=("hosts.yml",), program="ansible")
    inventory.write("host_vars/east.yml", EAST.replace("subnet: 10.66.1", 'subnet: "{{ subnet_of_facts }}"'))
    inventory.write("guests.microvm.yml", PLUGIN + "facts: true\n")
    variables = inventory.variables()
    assert (variables["web"]["ansible_host"], variables["db"]["ansible_host"]) == ("10.66.7.11", "10.66.1.99")
    assert variables["db"]["microvm_guest"]["facts"]["condition"] == "ok"


def test_facts_are_neither_templates_nor_declarations_nor_ways_to_a_host(inventory: Inventory) -> None:
    template = "{{ lookup('ansible.builtin.pipe', 'touch " + str(inventory.directory) + "/run') }}"
    seen = [{"name": "db", "condition": "SAID", "dhcp_addresses": ["-oProxyCommand=x", "SAID", "10.66.1.99"]}]
    facts = {"microvm_facts": seen, "said": "SAID", "microvm_networks": "SAID", "ansible_ssh_extra_args": "SAID"}
    facts["microvm_vms"] = [{"name": "false", "image": "base"}]
    inventory.write("ansible.cfg", FACTS_CACHED)
    arguments = ("-m", "ansible.builtin.set_fact", "-a", json.dumps({"cacheable": True, **facts}))
    inventory.run("east:idle", *arguments, sources=("hosts.yml",), program="ansible")
    for file in (inventory.directory / "facts").iterdir():
        file.write_text(file.read_text().replace("SAID", template))
    inventory.write("guests.microvm.yml", PLUGIN + "facts: true\ncompose: {seen: microvm_guest.facts.condition}\n")
    inventory.write("host_vars/east.yml", EAST + "ansible_ssh_common_args: -o User={{ said | quote }}\n")
    ask = "microvm_guest.facts.condition~ansible_ssh_args~seen"
    said = inventory.run("db", "-m", "ansible.builtin.debug", "-a", f"var={ask}", program="ansible")
    assert said.count("lookup(") == 4, said
    variables = inventory.variables()
    assert variables["db"]["ansible_host"] == "10.66.1.99" and "false" not in variables
    assert not (inventory.directory / "run").exists()


SSH = """\
#!/bin/sh
/usr/bin/ssh -F /dev/null -G "$@" >> asked
echo 42
"""
SSH_SETTINGS = """\
host_key_checking = false
[ssh_connection]
ssh_executable = ./ssh
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/tmp/cm-%r@%h:%p -o StrictHostKeyChecking=no
ssh_common_args = -o ControlPath=/tmp/cm-%r@%h:%p
ssh_extra_args = -o ControlPath=/tmp/cm-%r@%h:%p
"""
FORWARDED = """\
microvm_vms:
  - name: "on-{{ inventory_hostname }}"
    interfaces: [{type: user, id: lan}]
    forward_ports: [{from: host, host: {port: 2222}, guest: {port: 22}}]
"""


def test_guests_at_one_address_share_no_connection_whatever_is_configured(inventory: Inventory) -> None:
    inventory.write("ansible.cfg", f"{STRICT}[defaults]\n{SSH_SETTINGS}")
    inventory.write("ssh", SSH)
    (inventory.directory / "ssh").chmod(0o755)
    for host in ("east", "west"):
        inventory.write(f"host_vars/{host}.yml", FORWARDED)
    inventory.write("host_vars/on-west.yml", "ansible_user: admin\n")
    old_names = "ansible_ssh_user: other\nansible_ssh_host: elsewhere\nansible_ssh_port: 1\n"
    inventory.write("group_vars/all.yml", f"{ALL}{old_names}")
    inventory.run("microvm_guests", "-f1", "-m", "ansible.builtin.raw", "-a", "true", program="ansible")
    asked = (inventory.directory / "asked").read_text()
    assert re.findall("^hostname (.*)", asked, re.MULTILINE) == ["127.0.0.1"] * 2
    assert re.findall("^port (.*)", asked, re.MULTILINE) == ["2222"] * 2
    assert re.findall("^user (.*)", asked, re.MULTILINE) == ["root", "admin"]
    assert re.findall("^stricthostkeychecking (.*)", asked, re.MULTILINE) == ["true"] * 2
    paths = re.findall("^controlpath (.*)", asked, re.MULTILINE)
    assert len(set(paths)) == 2 and not [path for path in paths if path.startswith("/tmp/cm-")]


def test_guests_come_from_the_cache_if_that_is_wanted(inventory: Inventory) -> None:
    inventory.write(
        "guests.microvm.yml",
        PLUGIN + "cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: cache\n"
        "keyed_groups: [{key: microvm_guest.hostname, prefix: name}]\n",
    )
    before = inventory.listed()
    inventory.write("host_vars/east.yml", "")
    assert inventory.listed() == {**before, "_meta": {**before["_meta"], "hostvars": ANY}}
    assert "microvm_host_east" not in inventory.run("--list", "--flush-cache")


def test_a_guest_of_the_cache_does_not_take_over_a_host(inventory: Inventory) -> None:
    inventory.write(
        "guests.microvm.yml", PLUGIN + "cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: cache\n"
    )
    inventory.run("--list")
    inventory.write("hosts.yml", HOSTS + "    web: {}\n")
    assert "would be called 'web', as a host is" in inventory.warnings()
    assert "ansible_ssh_args" not in inventory.variables()["web"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "host_vars/east.yml",
            "microvm_vms: [{name: a}, {name: b, guest: {hostname: '{{ nobody }}'}}]",
            "east.microvm_vms[1] (b).guest.hostname: 'nobody' is undefined; here, only the variables that",
        ),
        (
            "host_vars/east.yml",
            "microvm_vms: [{name: a, state: '{{ hostvars.west.state }}'}]",
            "are known, so no `hostvars`, and cached facts",
        ),
        ("host_vars/west.yml", "microvm_vms: [{name: microvm_host_east}]", "'microvm_host_east', as a group is"),
        ("host_vars/west.yml", "microvm_vms: [{name: idle}]", "would be called 'idle', as a host is"),
        ("host_vars/west.yml", "microvm_vms: [{name: localhost}]", "called 'localhost', as the controller is"),
        ("host_vars/west.yml", "microvm_vms: [{name: 127.0.0.1}]", "called '127.0.0.1', as the controller is"),
        ("guests.microvm.yml", PLUGIN + "group: none_such", "group: there is no group 'none_such' yet"),
        ("guests.microvm.yml", PLUGIN + "jump_args: \"-o 'x\"", " jump_args: cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_key(inventory: Inventory, file: str, text: str, message: str) -> None:
    inventory.write("guests.microvm.yml", PLUGIN + "strict: true\n")
    inventory.write(file, text + "\n")
    assert message in inventory.refusal()


VAULTED = """\
ansible_user: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  3031
microvm_vms: [{name: a, image: base}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("microvm_vms: [{name: a, mem: 1}, {name: b, vsock: 3}]", "east.microvm_vms[1] (b).vsock: "),
        ("microvm_vms: [{name: a, vsock: {cid: '{{ nobody }}'}}]", "east.microvm_vms[0] (a).vsock.cid: 'nobody' is un"),
        ("microvm_vms: 3", "east.microvm_vms: is not a list"),
        ("microvm_vms: [[]]", "east.microvm_vms[0]: "),
        ("microvm_vms: [{name: a}]\nmicrovm_networks: [{name: x}]", "east.microvm_networks[0].address: "),
        ("microvm_vms: [{name: a}]\nansible_connection: winrm", "east.ansible_connection: 'winrm' is no way for"),
        (VAULTED, "east.ansible_user: "),
    ],
)  # fmt: skip
def test_only_guests_of_a_wrong_host_are_left_out(inventory: Inventory, text: str, message: str) -> None:
    inventory.write("host_vars/east.yml", text + "\n")
    assert inventory.listed()["microvm_guests"]["hosts"] == ["app-west"]
    warnings = inventory.warnings()
    assert f"guests of east are left out: {message}" in warnings and warnings.count("left out") == 1, warnings


def test_only_guests_whose_name_is_not_unique_are_left_out(inventory: Inventory) -> None:
    inventory.write("host_vars/west.yml", "microvm_vms: [{name: web}, {name: idle}, {name: app}]\n")
    assert inventory.listed()["microvm_guests"]["hosts"] == ["db", "app"]
    left_out = "guests 'web' of east, 'web' of west, 'idle' of west are left out: hostname: guest 'web' of west would"
    assert left_out in inventory.warnings()


def test_guests_are_read_again_while_some_are_left_out(inventory: Inventory) -> None:
    cache = "cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: cache\n"
    inventory.write("guests.microvm.yml", PLUGIN + cache)
    inventory.run("--list")
    inventory.write("host_vars/east.yml", "microvm_vms: 3\n")
    # Until then, it is what the cache has that counts.
    assert "left out" not in inventory.warnings()
    inventory.run("--list", "--flush-cache")
    assert inventory.listed()["microvm_guests"]["hosts"] == ["app-west"]
    assert "guests of east are left out" in inventory.warnings()
    inventory.write("host_vars/east.yml", EAST)
    assert inventory.listed()["microvm_guests"]["hosts"] == ["web", "db", "app-west"]


def test_what_is_wrong_is_not_repeated_by_each_layer(inventory: Inventory) -> None:
    inventory.write("host_vars/east.yml", "microvm_vms: [{name: '{{ nobody }}'}]\n")
    assert inventory.warnings().count("'nobody' is undefined") == 1


ABOVE = "all: {vars: {subnet: 10.66.8}}\naaa: {hosts: {east: {}}, vars: {subnet: 10.66.9}}\n"
SETTINGS = """\
[defaults]
remote_user = deploy
remote_port = 2022
private_key_file = /keys/fleet
[ssh_connection]
ssh_common_args = -o ProxyJump=bastion
"""


def test_variables_of_groups_come_before_those_of_all_hosts(inventory: Inventory) -> None:
    inventory.write("host_vars/east.yml", EAST.replace("subnet: 10.66.1\n", ""))
    inventory.write("hosts.yml", HOSTS + ABOVE)
    assert inventory.variables()["web"]["ansible_host"] == "10.66.9.11"
    # The same holds for files, of whatever source they are.
    inventory.write("group_vars/aaa.yml", "subnet: 10.66.7\n")
    inventory.write("later/guests.microvm.yml", PLUGIN)
    (inventory.directory / "later" / "group_vars").mkdir()
    inventory.write("later/group_vars/all.yml", "subnet: 10.66.6\n")
    inventory.write("later/more.yml", "more: {hosts: {idle: {}}}\n")
    listed = inventory.listed("hosts.yml", "later/more.yml", "later/guests.microvm.yml")
    assert listed["_meta"]["hostvars"]["web"]["ansible_host"] == "10.66.7.11"


def test_declarations_are_templates_as_for_the_roles(inventory: Inventory) -> None:
    inventory.write(
        "host_vars/west.yml",
        """\
microvm_vms:
  - name: app
    state: "{{ nobody | default(omit) }}"
    guest: {hostname: "n{{ groups.all | length }}-{{ groups.ungrouped | join }}"}
    vsock: "{{ {'cid': nobody | default(omit)} }}"
  - "{{ omit }}"
""",
    )
    app = inventory.variables()["app"]["microvm_guest"]
    assert (app["state"], app["hostname"], app["vsock_cid"]) == ("started", "n4-other", None)


def test_declarations_may_be_given_when_ansible_is_run(inventory: Inventory) -> None:
    inventory.write("host_vars/east.yml", "")
    inventory.write("host_vars/west.yml", "")
    inventory.write("vms.json", json.dumps({"microvm_vms": [{"name": "on-{{ inventory_hostname }}"}]}))
    listed = json.loads(inventory.run("--list", "-e", "@vms.json"))
    assert listed["microvm_guests"]["hosts"] == ["on-east", "on-west", "on-idle"]


def test_relative_paths_begin_at_the_source(inventory: Inventory) -> None:
    inventory.write("guests.microvm.yml", PLUGIN + "known_hosts: keys\n")
    inventory.here = inventory.directory / "host_vars"
    listed = inventory.listed(*(str(inventory.directory / source) for source in SOURCES))
    arguments = listed["_meta"]["hostvars"]["web"]["ansible_ssh_args"]
    assert f'UserKnownHostsFile="{inventory.directory}/keys"' in arguments


def test_hosts_are_reached_as_ansible_is_configured(inventory: Inventory) -> None:
    inventory.write("ansible.cfg", f"{STRICT}{SETTINGS}")
    variables = inventory.variables()
    web, app = (variables[name]["ansible_ssh_args"] for name in ("web", "app-west"))
    assert "-o ProxyJump=bastion -p 2022 -i /keys/fleet -l ops" in web
    assert "-o ProxyJump=bastion -p 2022 -i /keys/fleet -l deploy" in app


def test_hosts_that_come_too_late_are_missed(inventory: Inventory) -> None:
    assert "name the inventory of the hosts before this one" in inventory.refusal("guests.microvm.yml", "hosts.yml")


def test_other_files_are_left_to_other_plugins(tmp_path: Path) -> None:
    instance = plugin.InventoryModule()
    for name, is_ours in (("guests.microvm.yml", True), ("microvm.yaml", True), ("hosts.yml", False)):
        (tmp_path / name).write_text("")
        assert instance.verify_file(str(tmp_path / name)) == is_ours
    assert not instance.verify_file(str(tmp_path / "missing.microvm.yml"))


def test_examples_are_accepted(inventory: Inventory) -> None:
    examples = [text for text in plugin.EXAMPLES.split("---\n") if text]
    assert len(examples) == 2
    for text in examples:
        inventory.write("guests.microvm.yml", text)
        listed = inventory.listed()
        assert len(listed["microvm_guests"]["hosts"]) == 3
    options = set(re.findall(r"^(\w+):", examples[1], re.MULTILINE)) - {"compose", "groups", "keyed_groups"}
    # A file of keys would have to be there.
    assert options | {"group_prefix", "known_hosts"} == set(yaml.safe_load(plugin.DOCUMENTATION)["options"])
