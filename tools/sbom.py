"""Lists what Lambda gets, with licenses: `make sbom` writes build/sbom-ARCHITECTURE.cdx.json (CycloneDX) for each one.

The wheels of native packages come with an SBOM of the Rust crates in them (PEP 770), which are listed inside them. A
license that isn't in `ALLOWED` fails the command.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from license_expression import ExpressionError, get_spdx_licensing
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.workspace import ROOT
from tools.wheels import ARCHITECTURES, BUILD_DIRECTORY, locked_wheels, sha256

# SPDX identifiers of permissive licenses.
ALLOWED = {
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "PSF-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Zlib",
}
_SPDX = get_spdx_licensing()


@dataclass(frozen=True)
class Part:
    """A distribution that is packaged, or a crate that is compiled into one."""

    name: str
    version: str
    #: SPDX expression, or whatever its metadata says.
    license: str
    sha256: str | None
    requires: tuple[str, ...] = ()
    crates: tuple[Part, ...] = ()


def packaged_parts(wheels: Iterable[Path]) -> list[Part]:
    """Return the distributions in these wheels with the crates in them."""
    return [_distribution(wheel) for wheel in wheels]


def is_allowed(expression: str) -> bool:
    """Return whether one may choose licenses of `ALLOWED` only, of those that an SPDX expression offers."""
    try:
        parsed = _SPDX.parse(expression, validate=True, strict=True)
    except ExpressionError:
        return False
    if parsed is None:
        return False
    choices = {symbol: _SPDX.TRUE if str(symbol) in ALLOWED else _SPDX.FALSE for symbol in parsed.symbols}
    return bool(parsed.subs(choices, simplify=True) == _SPDX.TRUE)


def refused_parts(parts: Iterable[Part]) -> list[Part]:
    """Return the distributions and crates whose licenses aren't allowed."""
    return [part for each in parts for part in (each, *each.crates) if not is_allowed(part.license)]


def bom_of(parts: list[Part]) -> Bom:
    """Return the SBOM of the app with these distributions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bom = Bom()
    app = _component(Part(project["name"], project["version"], project["license"], None), ComponentType.APPLICATION)
    bom.metadata.component = app
    components = {part.name: _component(part, ComponentType.LIBRARY, "pypi") for part in parts}
    bom.components.update(components.values())
    bom.register_dependency(app, components.values())
    for part in parts:
        required = [components[name] for name in part.requires if name in components]
        bom.register_dependency(components[part.name], required)
    return bom


def _distribution(wheel: Path) -> Part:
    with ZipFile(wheel) as archive:
        information = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
        metadata = message_from_bytes(archive.read(f"{information}/METADATA"))
        sboms = [name for name in archive.namelist() if name.startswith(f"{information}/sboms/")]
        crates = [crate for name in sboms for crate in _crates(json.loads(archive.read(name)))]
    return Part(
        canonicalize_name(metadata["Name"]),
        metadata["Version"],
        metadata["License-Expression"] or metadata["License"] or "unknown",
        sha256(wheel),
        tuple(_requires(metadata)),
        tuple(crates),
    )


def _requires(metadata: Message) -> Iterator[str]:
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)


def _crates(sbom: dict[str, Any]) -> Iterator[Part]:
    for component in sbom["components"]:
        # Excluded is what only builds and tests use.
        if component.get("scope", "required") == "required":
            licenses = [each.get("expression") or each["license"].get("id") for each in component.get("licenses", [])]
            hashes = [each["content"] for each in component.get("hashes", []) if each["alg"] == "SHA-256"]
            yield Part(
                component["name"],
                component["version"],
                " AND ".join(f"({each})" for each in licenses) if licenses else "unknown",
                hashes[0] if hashes else None,
            )


def _component(part: Part, kind: ComponentType, registry: str | None = None, inside: str = "") -> Component:
    reference = f"{inside}{part.name}@{part.version}"
    return Component(
        name=part.name,
        version=part.version,
        type=kind,
        bom_ref=reference,
        purl=PackageURL(registry, name=part.name, version=part.version) if registry else None,
        licenses=[LicenseFactory().make_from_string(part.license)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else [],
        components=[_component(crate, ComponentType.LIBRARY, "cargo", f"{reference}/") for crate in part.crates],
    )


def main() -> int:
    """Print what Lambda gets, write the SBOMs, and return an exit status."""
    refused = []
    for architecture in ARCHITECTURES:
        parts = packaged_parts(locked_wheels(architecture))
        path = BUILD_DIRECTORY / f"sbom-{architecture}.cdx.json"
        path.write_text(JsonV1Dot6(bom_of(parts)).output_as_string(indent=2))
        print(f"{path.relative_to(ROOT)}:")
        for part in parts:
            crates = f"and {len(part.crates)} crates" if part.crates else ""
            print(f"  {part.name:<24}{part.version:<10}{part.license:<16}{crates}".rstrip())
        refused += refused_parts(parts)
    for part in refused:
        print(f"Expected a license of ALLOWED in tools/sbom.py, found '{part.license}' for {part.name} {part.version}.")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
