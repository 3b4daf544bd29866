"""Environments are installed from files with locked hashes only, here from a directory instead of an index."""

import base64
import hashlib
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from local import install


def wheel(directory: Path, name: str) -> str:
    """Write an empty distribution, and return the hash of its wheel."""
    path = directory / f"{name}-1-py3-none-any.whl"
    information = f"{name}-1.dist-info"
    files = {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for file, text in files.items()
    ]
    with ZipFile(path, "w") as archive:
        for file, text in {**files, f"{information}/RECORD": "\n".join([*record, f"{information}/RECORD,,\n"])}.items():
            archive.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sdist(directory: Path, name: str) -> str:
    """Write a distribution that has no wheel, and return its hash."""
    (directory / "setup.py").write_text(f"raise SystemExit('{name} ran code')\n")
    path = directory / f"{name}-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(directory / "setup.py", f"{name}-1/setup.py")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def lock(tmp_path, monkeypatch) -> Path:
    """The lock of an environment "sam", whose packages are in the same directory."""
    monkeypatch.setattr(install, "VENVS", tmp_path / "venvs")
    monkeypatch.setattr(install, "REQUIREMENTS", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "sam.txt"


def test_what_is_locked_is_installed(lock):
    lock.write_text(f"one==1 --hash=sha256:{wheel(lock.parent, 'one')}\n")
    assert install.install(["sam"]) == 0
    assert list(lock.parent.glob("venvs/sam/lib/*/site-packages/one-1.dist-info"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("one==1 --hash=sha256:{other}", "DO NOT MATCH THE HASHES"),
        ("source==1 --hash=sha256:{source}", "No matching distribution found for source==1"),
    ],
)
def test_nothing_else_is(lock, line, found, capsys):
    wheel(lock.parent, "one")
    lock.write_text(line.format(other="0" * 64, source=sdist(lock.parent, "source")) + "\n")
    assert install.install(["sam"]) == 1
    output = capsys.readouterr().err
    assert found in output
    assert "ran code" not in output
    assert not (lock.parent / "venvs" / "sam").exists()
