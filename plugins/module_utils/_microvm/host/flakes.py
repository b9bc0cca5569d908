# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flakes: what Nix evaluates their attributes to, and the packages of MicroVMs that it builds of them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union, cast
from urllib.parse import unquote

from . import nix, safe_paths
from .commands import HostError, run
from .nix import Show, hide_line, show_line
from .records import UpdateSource


@dataclass(frozen=True)
class Evaluation:
    """Result of the evaluation of an attribute of a flake."""

    derivation: str
    path: str
    """The path in the store that a build of it makes."""
    system: str
    """The system that it is built for, in Nix's words; empty where Nix does not say so."""


Evaluations = Dict[str, Union[Evaluation, HostError]]


def evaluate(
    flake: str,
    attributes: Mapping[str, str],
    arguments: Sequence[str] = (),
    require_lock: bool = False,
    show: Show = hide_line,
    writes_lock: bool = False,
) -> Evaluations:
    """Evaluate attributes of a flake, each under a name, at once; one that fails does not hide the others.

    Where all fail in the same way, that is the flake's fault, and only some of many are evaluated. ``arguments`` are
    further ones of `nix build`. ``require_lock`` refuses a flake whose lock file lacks an input; ``writes_lock`` lets
    Nix complete it. Nothing is built. Raises HostError where Nix is not installed.
    """
    lock = () if writes_lock else ("--no-update-lock-file" if require_lock else "--no-write-lock-file",)
    attempt = _Attempt(flake, attributes, (*lock, *arguments), show)
    evaluations = attempt.evaluate(list(attributes), is_whole=True)
    return {name: evaluations[name] for name in attributes}


_LOCAL = re.compile(r"((path|([a-z]+\+)?file):(//)?)?(?P<path>/[^?]*)(\?.*)?")


def paths_of_flake(reference: str) -> List[str]:
    """Return the paths of a reference to a flake on the machine that evaluates it; of other references none.

    Versions of Nix differ in whether a path that is no URL may contain quoted characters.
    """
    match = _LOCAL.fullmatch(reference)
    return sorted({match["path"], unquote(match["path"])}) if match else []


def refuse_changeable_flake(reference: str) -> None:
    """Refuse a flake in a directory that others than root can change. Raises HostError, and OSError."""
    paths = paths_of_flake(reference)
    repositories = map(_source_of, paths) if reference.startswith("/") else ()
    for path in dict.fromkeys([*paths, *repositories]):
        if not os.path.normpath(path).startswith(nix.STORE):
            safe_paths.refuse_changeable(
                path,
                f"root evaluates the flake {reference} and executes what it builds",
                "name a directory of root's, or let another machine build it (`build_on`)",
            )


def _source_of(path: str) -> str:
    """Return the directory that Nix takes for the flake of a path that is no URL: the repository that it is in."""
    place = os.path.realpath(path)
    while place != "/":
        if os.path.lexists(os.path.join(place, ".git")):
            return place
        place = os.path.dirname(place)
    return path


_MANY = 8
"""Number of attributes above which it is worth knowing whether their flake itself is wrong."""

_DURATION = re.compile(r"\d+(\.\d+)? ?m?s\b")


@dataclass(frozen=True)
class _Attempt:
    """Evaluation of a flake."""

    flake: str
    attributes: Mapping[str, str]
    arguments: Sequence[str]
    show: Show

    def evaluate(self, names: Sequence[str], is_whole: bool = False) -> Evaluations:
        """Evaluate attributes by name; where that fails, halves of them, until what fails is alone."""
        try:
            attributes = [self.attributes[name] for name in names]
            return dict(zip(names, _evaluate(self.flake, attributes, self.arguments, self.show)))
        except NotEvaluated as error:
            if len(names) == 1:
                return {names[0]: error}
        if is_whole and len(names) > _MANY:
            evaluations = self._sample(names)
            if len(evaluations) == len(names):
                return evaluations
        half = len(names) // 2
        return {**self.evaluate(names[:half]), **self.evaluate(names[half:])}

    def _sample(self, names: Sequence[str]) -> Evaluations:
        """Evaluate some attributes, each alone. If all of these fail in the same way, so do all others."""
        failures: Evaluations = {}
        reasons: Set[Optional[str]] = set()
        for name in (names[0], names[len(names) // 2], names[-1]):
            failures.update(self.evaluate([name]))
            reasons.add(self._reason(name, failures[name]))
            if None in reasons or len(reasons) > 1:
                return {}
        first = NotEvaluated(
            f"{self.flake}#{self.attributes[names[0]]} and {len(failures) - 1} more attributes of the flake fail with "
            "the same message, so the flake itself is wrong or cannot be reached, and this one was not evaluated"
        )
        return {name: failures.get(name, first) for name in names}

    def _reason(self, name: str, evaluation: object) -> Optional[str]:
        """Return why an evaluation has failed, without the attribute's name and what is different each time."""
        if isinstance(evaluation, Evaluation):
            return None
        return _DURATION.sub("", str(evaluation).replace(f"{self.flake}#{self.attributes[name]}", ""))


class NotEvaluated(HostError):
    """Failure of an evaluation: the mistake may be one of the flake."""


class ExplainedByNix(NotEvaluated):
    """Failure of an evaluation of which Nix has said why."""


def _evaluate(flake: str, attributes: Sequence[str], arguments: Sequence[str], show: Show) -> List[Evaluation]:
    # Several MicroVMs may have one package. Of what is named n times, newer versions of Nix write n * n results.
    named = list(dict.fromkeys(attributes))
    installables = [f"{flake}#{attribute}" for attribute in named]
    # `nix eval` takes one attribute, and does not use the cache of evaluations where an expression is applied to it.
    words = [nix.nix_program(), *nix.FEATURES, "build", "--dry-run", "--json", *arguments, *installables]
    try:
        built = [_outputs(element) for element in json.loads(nix.run_shown(words, show))]
    except nix.FailedProgram as error:
        raise ExplainedByNix(str(error)) from None
    except HostError as error:
        raise NotEvaluated(str(error)) from None
    except ValueError as error:
        raise NotEvaluated(f"`nix build --dry-run --json` has written no JSON: {error}") from None
    if len(built) != len(installables):
        raise NotEvaluated(
            f"{len(installables)} attributes were to be evaluated, and Nix has evaluated {len(built)}; remove what is "
            "no option from the further arguments of Nix"
        )
    systems = _systems([derivation for derivation, _path in built])
    evaluated = (Evaluation(derivation, path, system) for (derivation, path), system in zip(built, systems))
    by_attribute = dict(zip(named, evaluated))
    return [by_attribute[attribute] for attribute in attributes]


def _outputs(element: object) -> Tuple[str, str]:
    """Return derivation and path of the output of an installable, as `nix build --json` writes them."""
    fields = cast(Mapping[str, object], element) if isinstance(element, Mapping) else {}
    derivation, outputs = fields.get("drvPath"), fields.get("outputs")
    path = outputs.get("out") if isinstance(outputs, Mapping) else None
    if not isinstance(derivation, str) or not isinstance(path, str):
        raise NotEvaluated(
            "the attribute is no derivation with an output `out` whose path is known before it is built; name one "
            "that is, such as declaredRunner of microvm.nix"
        )
    return derivation, path


def _systems(derivations: Sequence[str]) -> List[str]:
    """Return the systems that derivations are built for, empty where a derivation does not say so."""
    program = nix.store_program()
    if program is None:
        return [""] * len(derivations)
    try:
        systems = run([program, "--query", "--binding", "system", *derivations]).split()
    except HostError:
        systems = []
    return systems if len(systems) == len(derivations) else [_system(program, path) for path in derivations]


def _system(program: str, derivation: str) -> str:
    try:
        return run([program, "--query", "--binding", "system", derivation]).strip()
    except HostError:
        return ""


_OF_EVALUATION = {
    "--override-input": 2,
    "--override-flake": 2,
    "--arg": 2,
    "--argstr": 2,
    "--arg-from-file": 2,
    "--update-input": 1,
    "--inputs-from": 1,
    "--reference-lock-file": 1,
    "--output-lock-file": 1,
    "--include": 1,
    "-I": 1,
    "--eval-store": 1,
    "--recreate-lock-file": 0,
    "--no-update-lock-file": 0,
    "--no-write-lock-file": 0,
    "--commit-lock-file": 0,
    "--no-registries": 0,
    "--no-use-registries": 0,
    "--impure": 0,
    "--refresh": 0,
    "--offline": 0,
    "--no-link": 0,
    "--print-build-logs": 0,
    "-L": 0,
}
"""Options of `nix build` that the program which builds a derivation does not have, and the number of their values."""


def build_arguments(arguments: Sequence[str]) -> List[str]:
    """Return those of the further arguments of Nix that concern the build of what has been evaluated."""
    words, remaining = [], list(arguments)
    while remaining:
        word = remaining.pop(0)
        if word in _OF_EVALUATION:
            del remaining[: _OF_EVALUATION[word]]
        else:
            words.append(word)
    return words


def build_source(source: UpdateSource, name: str, is_kept: bool) -> str:
    """Build the package of a MicroVM. Returns its path. What Nix says is shown. Raises HostError.

    Unless it is kept by a link, for whoever only looks, no lock file is written either.
    """
    attributes, arguments = {name: source.attribute_of(name)}, source.nix_arguments
    try:
        evaluation = evaluate(source.flake, attributes, arguments, show=show_line, writes_lock=is_kept)[name]
    except HostError as error:
        raise HostError(
            f"{error}; install it, or build elsewhere and pass the package to microvm create or update by --package"
        ) from None
    installable = f"{source.flake}#{source.attribute_of(name)}"
    if isinstance(evaluation, HostError):
        raise HostError(f"{installable} cannot be evaluated: {_unshown(evaluation)}")
    link = nix.root_of(name, evaluation.path) if is_kept else None
    try:
        return build_evaluated(evaluation, link, arguments, show=show_line)
    except HostError as error:
        raise HostError(f"{installable} cannot be built: {_unshown(error)}") from None


def _unshown(error: HostError) -> str:
    """Return the reason of a failure; one that Nix has said was shown line by line already."""
    return "Nix has said why, see above" if isinstance(error, (nix.FailedProgram, ExplainedByNix)) else str(error)


def build_evaluated(
    evaluation: Evaluation, link: Optional[str], arguments: Sequence[str] = (), show: Show = hide_line
) -> str:
    """Build what a flake has been evaluated to; see nix.realise."""
    nix.refuse_system(evaluation.system)
    return nix.realise(evaluation.derivation, link, build_arguments(arguments), show)
