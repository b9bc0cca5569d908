# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the command's short forms, names, functions and output."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli import table
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import console, install
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import list as see
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands.results import print_outcome
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.main import main
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.parser import parser
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.short_forms import translate
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.source import Source, SourceError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_login import multiplexer_options
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult

COMMANDS = console.__name__.rpartition(".")[0]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("-l", "list --evaluate"),
        ("-l --json", "list --evaluate --json"),
        ("-c web", "create web --flake git+file:///etc/nixos"),
        ("-c web -f /srv/flake", "create web --flake /srv/flake"),
        ("-f /srv/flake -c web", "create web --flake /srv/flake"),
        ("-cweb", "create web --flake git+file:///etc/nixos"),
        ("-u web db", "update -- web db"),
        ("-Ru web", "update --restart -- web"),
        ("-uR web", "update --restart -- web"),
        ("-u web -R", "update --restart -- web"),
        ("-f /srv/flake -u web", "update --flake /srv/flake -- web"),
        ("-u web -f /srv/flake -R db", "update --restart --flake /srv/flake -- web db"),
        ("-r web", "run web"),
        ("-s web", "ssh web"),
        ("-s web ls -l /", "ssh web ls -l /"),
    ],
)
def test_short_forms_are_the_handbook_s(short: str, long: str) -> None:
    assert translate(short.split()) == long.split()
    assert parser().parse_args(long.split()).command == long.split()[0]


@pytest.mark.parametrize("words", ["", "list", "--help", "-h", "-x", "-R", "-c a -r web", "-f x", "ssh web -l"])
def test_other_arguments_are_not_translated(words: str) -> None:
    assert translate(words.split()) == words.split()


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser."""
    (choices,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(choices.choices)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_and_a_function(name: str) -> None:
    one = commands()[name]
    assert one.description and one.description[0].isupper()
    assert all(action.help for action in one._actions if action.option_strings)
    module, _colon, function = one.get_default("run").partition(":")
    assert callable(getattr(importlib.import_module(f"{COMMANDS}.{module}"), function))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "-x", "a b", "x.partial", "a" * 64])
def test_names_do_not_leave_the_state_directory(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["info", "--", name])
    assert f": {name!r} is not a name" in capsys.readouterr().err


def test_an_empty_host_and_an_unknown_microvm_have_no_information(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--state-dir", str(tmp_path)]) == 0
    assert main(["list", "--json", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"there are no MicroVMs in {tmp_path}\n[]\n"
    for words in (["info", "web"], ["generations", "web"], ["logs", "web"], ["ssh", "web"], ["console", "web"]):
        assert main([words[0], "--state-dir", str(tmp_path), *words[1:]]) == 1
        assert "there is no MicroVM 'web'" in capsys.readouterr().err


def test_commands_that_change_the_host_require_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for words in (
        "start web",
        "stop web",
        "rollback web",
        "remove web",
        "gc",
        "create web --package /p",
        "run web",
        "switch web",
        "rebuild web",
    ):
        assert main([*words.split(), "--state-dir", str(tmp_path)]) == 1
        assert "must be run as root" in capsys.readouterr().err


def known(**values: Any) -> Any:
    """Return what the table needs to know of a MicroVM that runs."""
    return {
        "name": "web",
        "state": "active",
        "foreign": False,
        "generation": 3,
        "current": "8036e47c17d40a1f21eb16074a649559-web",
        "booted": "/nix/store/zyxwvutsrq-microvm-qemu-web",
        "condition": "pending",
        "reasons": ["a restart is pending: microvm restart web"],
        "restart_pending": True,
        "restarts": 0,
        "memory": 300 << 20,
        "active_since": "Tue 11-24 17:56:33 UTC",
        "error": None,
        **values,
    }


def test_the_table_has_a_line_for_each() -> None:
    other = known(name="other-one", foreign=True, generation=None, memory=None, booted=None, condition="ok")
    rows = [see.row(known()), see.row(other)]
    assert table.table(see.HEAD, rows).splitlines() == [
        "NAME       STATE             GENERATION  CURRENT   BOOTED    CONDITION  RESTARTS  MEMORY   SINCE",
        "web        active            3           8036e47c  zyxwvuts  pending    0         300 MiB  11-24 17:56:33 UTC",
        "other-one  active (foreign)  -           8036e47c  -         ok         0         -        11-24 17:56:33 UTC",
    ]


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        (["ok", "ok"], 0),
        (["ok", "pending"], 2),
        (["refused", "ok"], 2),
        (["down", "refused"], 3),
        (["pending", "failed", "ok"], 3),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_exit_status_of_list_is_that_of_the_worst_condition(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    conditions: list[str],
    status: int,
    form: list[str],
) -> None:
    vms = [known(name=f"vm{index}", condition=word, reasons=[f"why {index}"]) for index, word in enumerate(conditions)]
    monkeypatch.setattr(see, "inform", lambda _places, _names: vms)
    assert main(["list", *form]) == status
    said = capsys.readouterr()
    assert all(f"why {index}" in (said.out if form else said.err) for index in range(len(vms)))


def test_list_looks_at_some_microvms_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(see, "inform", lambda _places, names: [known(name=name) for name in names if name != "gone"])
    assert main(["list", "db"]) == 2 and "db" in capsys.readouterr().out
    assert main(["list", "db", "gone"]) == 1
    assert "there is no MicroVM gone in" in capsys.readouterr().err


def test_list_selects_by_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vms = [known(name="web", tags=["eu", "front"]), known(name="db", tags=["eu"]), known(name="other", tags=[])]
    monkeypatch.setattr(see, "inform", lambda _places, names: [vm for vm in vms if not names or vm["name"] in names])
    for words, listed in (
        (["--tag", "eu"], ["web", "db"]),
        (["--tag", "front"], ["web"]),
        (["--tag", "eu", "db", "other"], ["db"]),
        (["--tag", "e"], []),
    ):
        main(["list", "--json", "--state-dir", str(tmp_path), *words])
        assert [vm["name"] for vm in json.loads(capsys.readouterr().out)] == listed
    assert main(["list", "--tag", "e", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"there are no MicroVMs with the tag e in {tmp_path}\n"


def flake_state(**values: Any) -> Any:
    """Return the comparison of a MicroVM with its flake."""
    state = {"flake": "path:/f", "state": "current", "system": "old-1", "new_system": "new-2", "error": None}
    return {**state, "package": "/nix/store/x", "refused": None, **values}


@pytest.mark.parametrize(
    ("state", "status", "line"),
    [
        (flake_state(), 0, ""),
        (flake_state(state="outdated"), 2, "outdated (old-1), rebuild (new-2) and restart: microvm update -R web"),
        (flake_state(state="not booted"), 0, "current (old-1), not booted: microvm start web"),
        (flake_state(state="unknown", error="why"), 1, "path:/f does not evaluate: why"),
    ],
)
def test_list_compares_microvms_with_their_flakes_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Any, status: int, line: str
) -> None:
    vms = [known(condition="ok", reasons=[]), known(name="other", condition="ok", reasons=[])]
    monkeypatch.setattr(see, "inform", lambda _places, _names: vms)
    monkeypatch.setattr(see, "flake_states", lambda _vms, _places: {"web": state})
    assert main(["-l"]) == status
    said = capsys.readouterr()
    head, first, second = said.out.splitlines()
    assert head.endswith("FLAKE") and first.endswith(f"  {state['state']}") and second.endswith("  -")
    assert (line in said.err) if line else said.err == ""
    assert main(["-l", "--json"]) == status
    assert [vm["flake"] for vm in json.loads(capsys.readouterr().out)] == [state, None]
    assert main(["list"]) == 0 and "FLAKE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flake", "absolute"),
    [
        (".", "/here/now"),
        ("./sub", "/here/now/sub"),
        ("../up?dir=x", "/here/up?dir=x"),
        (".#part", "/here/now#part"),
        ("path:sub", "path:/here/now/sub"),
        ("path:/there", "path:/there"),
        ("/there", "/there"),
        ("github:you/machines", "github:you/machines"),
        ("nixpkgs", "nixpkgs"),
        ("git+file:///etc/nixos", "git+file:///etc/nixos"),
    ],
)
def test_a_flake_is_recorded_so_that_it_means_the_same_elsewhere(
    monkeypatch: pytest.MonkeyPatch, flake: str, absolute: str
) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/here/now")
    assert install.absolute_flake(flake) == absolute


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not table.colours()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert table.colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not table.colours()
    assert table.table(("A", "B"), [("1", "up")], [table.GREEN]).splitlines()[1] == "1  \033[32mup\033[0m"


@pytest.mark.parametrize(
    ("count", "words"), [(None, "-"), (0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (10 << 30, "10 GiB")]
)
def test_bytes_are_shown_in_units(count: int | None, words: str) -> None:
    assert table.bytes_in_words(count) == words


def result(**values: Any) -> Any:
    """Return what is shown of a MicroVM's result."""
    return {
        "name": "web",
        "changed": True,
        "failed": False,
        "rolled_back": False,
        "generation": 2,
        "ready_after": 1.5,
        "actions": ["link current x"],
        "consequence": "restart",
        "restart_pending": False,
        "refused_package": None,
        "kept": [],
        "msg": "",
        **values,
    }


def outcome(**values: Any) -> VmsResult:
    empty: dict[str, Any] = {"undeclared": [], "evaluations": {}, "diff": [], "warnings": []}
    return cast(VmsResult, {"changed": True, "vms": [result(**values)], **empty})


def test_results_are_printed_with_their_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_outcome(outcome(), False) == 0
    assert print_outcome(outcome(ready_after=None), True) == 0
    assert print_outcome(outcome(changed=False, actions=[]), True) == 0
    failed = outcome(failed=True, rolled_back=True, msg="no kernel", restart_pending=True, kept=["data.img"])
    failed["diff"] = [{"before_header": "a", "after_header": "b", "before": "x\n", "after": "y\n"}]
    assert print_outcome(failed, False, diff=True) == 1
    said = capsys.readouterr()
    assert said.err == "microvm: web: no kernel\n"
    assert said.out.splitlines() == [
        *("web: changed, generation 2, up after 1.5 s", "  link current x", "  for the guest: restart"),
        *("web: would be changed, generation 2", "  link current x", "  for the guest: restart"),
        "web: unchanged, generation 2",
        *("--- a", "+++ b", "@@ -1 +1 @@", "-x", "+y"),
        *("web: rolled back, generation 2, up after 1.5 s", "  link current x", "  for the guest: restart"),
        *("  a restart is pending: microvm restart web", "  kept: data.img"),
    ]


def test_microvms_of_a_file_are_chosen_by_name() -> None:
    source = Source((("[0]", {"name": "web"}), ("[1]", {"name": "db"}), ("[2]", 3)))
    assert install._chosen(source, ["db", "db"], "f") == [{"name": "db"}]
    with pytest.raises(SourceError, match="f does not declare x; it has: web, db"):
        install._chosen(source, ["x"], "f")
    with pytest.raises(SourceError, match=r"f: \[2\]: must be a mapping"):
        install._all(source, "f")


@pytest.mark.parametrize(
    ("words", "keeps_state"), [("create web --file f", False), ("apply f web", False), ("update web --file f", True)]
)
def test_an_update_does_not_declare_that_microvms_are_only_installed(
    words: str, keeps_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Request] = []

    def reconcile(request: Request) -> dict[str, list[str]]:
        requests.append(request)
        return {"undeclared": []}

    monkeypatch.setattr(install, "require_root", lambda _arguments: None)
    monkeypatch.setattr(install, "is_installed", lambda _name, _places: False)
    monkeypatch.setattr(install, "read", lambda _file: Source((("[0]", {"name": "web"}),)))
    monkeypatch.setattr(install, "print_outcome", lambda *_arguments: 0)
    monkeypatch.setattr(install, "reconcile", reconcile)
    arguments = parser().parse_args(words.split())
    getattr(install, {"create": "create_vm"}.get(arguments.command, arguments.command))(arguments)
    assert [request.keeps_state for request in requests] == [keeps_state]


@pytest.mark.parametrize("number", ["0", "-1", "four"])
def test_no_microvm_at_a_time_is_wrong_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["apply", "vms.yml", f"--parallel={number}"])
    assert "--parallel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("destination", "is_proxied"), [("vsock-mux//srv/web/work/v.sock", True), ("vsock/7", False), ("10.0.0.9", False)]
)
def test_a_vsock_behind_a_socket_is_reached_without_the_settings_of_ssh(destination: str, is_proxied: bool) -> None:
    options = multiplexer_options(destination)
    assert any(word.endswith("systemd-ssh-proxy %h %p") for word in options) == is_proxied
    assert ("ProxyUseFdpass=yes" in options) == is_proxied
