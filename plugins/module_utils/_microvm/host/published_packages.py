# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that a build service publishes: its JSON names a path in the store of Nix, which binary caches have."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from . import nix
from .commands import HostError, run

TIMEOUT = 60
"""Time limit of a build service's answer, in seconds."""

_MOST_BYTES = 4 << 20
"""Size limit of a build service's answer."""

_STORE_PATH = re.compile(r"[0-9a-z]{32}-[A-Za-z0-9+._?=-]+")


@dataclass(frozen=True)
class PublishedPackage:
    """A package that a build service has built."""

    path: str
    system: str = ""
    """The system that it is built for, in Nix's words; empty where the service does not say so."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not from a connection that is verified to one that is not."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Optional[urllib.request.Request]:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise HostError(f"{req.full_url} redirects to {newurl}, which is not verified by TLS; use another URL")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def latest_package(url: str) -> PublishedPackage:
    """Return the package that a build service names. Raises HostError for an answer that names none."""
    try:
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        with urllib.request.build_opener(_NoDowngrade()).open(request, timeout=TIMEOUT) as response:
            content = response.read(_MOST_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        # Among them are errors of TLS, and host names and paths that no URL can have.
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise HostError(f"{url} cannot be read: {reason}{_advice(reason)}") from None
    return parse_build(url, content)


_UNTRUSTED = (18, 19, 20, 21)
"""Codes of OpenSSL for a certificate that leads to no authority which the host trusts."""


def _advice(reason: object) -> str:
    """Return what to do about a service that cannot be verified, where the host may be the reason."""
    if getattr(reason, "verify_code", None) not in _UNTRUSTED:
        return ""
    return (
        ". This host trusts no authority that has signed the certificate of the service: install the package "
        "`ca-certificates` on the host, or, for an authority of your own, put its certificate (NAME.crt) in "
        "/usr/local/share/ca-certificates as well and run update-ca-certificates"
    )


def parse_build(url: str, content: bytes) -> PublishedPackage:
    """Return the package of a build as Hydra describes it, or of a mapping with a ``path``. Raises HostError."""
    try:
        build = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        build = None
    if not isinstance(build, Mapping):
        raise HostError(
            f"{url} is no JSON object; name the build itself, such as https://HYDRA/job/PROJECT/JOBSET/JOB/latest"
        )
    if build.get("finished") in (0, False):
        raise HostError(f"{url} is a build that has not finished; name the latest one that has (…/latest)")
    if build.get("buildstatus") not in (0, None):
        raise HostError(f"{url} is a build that has failed (buildstatus {build['buildstatus']})")
    path = _path(build)
    if not isinstance(path, str) or not path.startswith(nix.STORE) or not _STORE_PATH.fullmatch(path[len(nix.STORE) :]):
        raise HostError(f"{url} names no path in {nix.STORE} (`buildoutputs.out.path`, or `path`)")
    system = build.get("system")
    return PublishedPackage(path, system if isinstance(system, str) else "")


def _path(build: Mapping[str, Any]) -> object:
    value: object = build.get("buildoutputs")
    for key in ("out", "path"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if value is not None else build.get("path")


_UNCACHED = ("--option", "narinfo-cache-negative-ttl", "0")
"""Lets Nix ask binary caches again that lacked the package an hour ago: the build may not have been there yet."""


def fetch_package(path: str, key: Optional[str], link: Optional[str] = None) -> None:
    """Copy a package with all that it needs from the binary caches of the host, which verifies its signatures.

    Raises HostError.
    """
    try:
        nix.realise(path, link, (*_UNCACHED, *_trusting(key)))
    except HostError as error:
        raise HostError("\n".join([f"{path} {_reason(str(error))}", str(error)])) from None


def _reason(words: str) -> str:
    """Return why a package was not copied: Nix itself says so among other lines, and last that a build has failed."""
    if nix.names_unsigned_path(words):
        return (
            "is signed neither by a key of `microvm_nix_trusted_keys` nor by `runner_key`; sign it where it is built "
            "(`nix store sign`), or declare the key that has signed it"
        )
    return "cannot be copied: a binary cache of the host (`microvm_nix_substituters`) must have it"


def _trusting(key: Optional[str]) -> Tuple[str, ...]:
    return ("--option", "extra-trusted-public-keys", key) if key is not None else ()


def signature_errors(paths: Sequence[str], key: str) -> Dict[str, str]:
    """Return, by path, why packages of the store do not count as signed by a key, whoever has brought or built them.

    One process looks at all of them, and one verifies them. Raises HostError.
    """
    program, name = nix.nix_program(), key.partition(":")[0]
    addressed = _content_addressed(json.loads(run([program, *nix.FEATURES, "path-info", "--json", *paths])))
    # Of those, Nix takes any for signed: whoever adds one to the store cannot change it afterwards.
    errors = {
        path: f"{path} is addressed by its content, so no signature of it is verified; let a derivation build it, or "
        "leave `runner_key` out and use https"
        for path in paths
        if path in addressed
    }
    for path in _unsigned([path for path in paths if path not in errors], key):
        errors[path] = (
            f"{path} is not signed by `runner_key` ({name}); sign it where it is built (`nix store sign`), or correct "
            "the key"
        )
    return errors


def _unsigned(paths: Sequence[str], key: str) -> List[str]:
    trusting = ("--no-contents", "--sigs-needed", "1", "--option", "trusted-public-keys", key)
    try:
        # Without a path, Nix would verify a flake of the current directory.
        if paths:
            run([nix.nix_program(), *nix.FEATURES, "store", "verify", *trusting, *paths])
        return []
    except HostError:
        return list(paths) if len(paths) == 1 else [path for each in paths for path in _unsigned([each], key)]


def _content_addressed(information: Any) -> Set[str]:
    """Return the paths that `nix path-info` says so of; its form differs between versions of Nix."""
    described = (
        information if isinstance(information, Mapping) else {element["path"]: element for element in information}
    )
    return {path for path, fields in described.items() if fields.get("ca")}
