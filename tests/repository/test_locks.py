"""The locks: one version of every package, with the hashes of its files, and nothing about where it comes from."""

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.definitions import ROOT
from tools.lock import locks

LOCKS = locks()
NPM_LOCKS = sorted((ROOT / "requirements").glob("*/package-lock.json"))
HASH = re.compile(r" --hash=sha256:[0-9a-f]{64}")
each_lock = pytest.mark.parametrize("lock", LOCKS.values())
each_pair = pytest.mark.parametrize(("source", "lock"), LOCKS.items())


def lines(name: str) -> list[str]:
    """Return the logical lines of a requirements file, without comments."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    return [line.strip() for line in re.sub(r" *\\\n *", " ", text).splitlines() if line.strip()]


def requirements(name: str) -> list[Requirement]:
    """Return the requirements of a file and of those that it includes."""
    found = []
    for line in lines(name):
        if line.startswith("-r "):
            found += requirements(str((Path(name).parent / line[3:]).as_posix()))
        elif not line.startswith("-"):
            found.append(Requirement(HASH.sub("", line)))
    return found


def versions(name: str) -> dict[str, str]:
    """Return the version of every package that a lock has for Linux."""
    pinned = [each for each in requirements(name) if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): next(iter(each.specifier)).version for each in pinned}


def test_every_lock_has_a_source():
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "requirements").glob("*.in")}
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "requirements").glob("*.txt")}
    assert sources == LOCKS.keys()
    assert found | {"functions/requirements.txt"} == set(LOCKS.values())


@each_lock
def test_a_lock_pins_every_package_with_hashes(lock):
    for line in lines(lock):
        if not line.startswith("-"):
            assert re.fullmatch(r"==[\w.]+", str(Requirement(HASH.sub("", line)).specifier)), line
            assert HASH.search(line), line


@each_lock
def test_a_lock_does_not_say_where_packages_come_from(lock):
    options = ["--only-binary :all:"] if lock == "functions/requirements.txt" else []
    assert [line for line in lines(lock) if line.startswith("-")] == options
    assert "://" not in (ROOT / lock).read_text()
    assert not [each for each in requirements(lock) if each.url]


@each_pair
def test_a_lock_has_what_its_source_asks_for(source, lock):
    locked = versions(lock)
    for requirement in requirements(source):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), str(requirement)


def test_the_demo_runs_the_command_with_what_an_installation_of_it_gets():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = versions("requirements/command.txt")
    dependencies = {each.name: each.specifier for each in map(Requirement, project["dependencies"])}
    assert {each.name for each in requirements("requirements/command.in")} == {*dependencies, "hatchling"}
    assert all(specifier.contains(locked[name]) for name, specifier in dependencies.items())
    lambda_gets = versions("functions/requirements.txt")
    assert {name: locked[name] for name in locked.keys() & lambda_gets.keys()}.items() <= lambda_gets.items()


def test_the_tests_run_with_the_versions_that_lambda_gets():
    assert versions("functions/requirements.txt").items() <= versions("requirements/dev.txt").items()


@pytest.mark.parametrize("environment", ["cloud", "command", "dev", "node", "sam"])
def test_exactly_the_lock_is_installed(environment):
    packages = list((ROOT / ".venvs" / environment).glob("lib/python3.*/site-packages"))
    assert len(packages) == 1
    found = importlib.metadata.distributions(path=[str(packages[0])])
    installed = {canonicalize_name(each.name): each.version for each in found}
    if environment == "dev":
        assert installed.pop("setuptools") == versions("requirements/build.txt")["setuptools"]
    del installed["pip"]
    assert installed == versions(f"requirements/{environment}.txt")


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=lambda lock: lock.parent.name)
def test_the_lock_of_node_packages_has_hashes_and_does_not_say_where_they_come_from(lock):
    packages = json.loads(lock.read_text())["packages"]
    wanted = json.loads(lock.with_name("package.json").read_text())["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    assert not [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")]
    assert not [name for name, package in packages.items() if "resolved" in package]
