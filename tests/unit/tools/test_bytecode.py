"""What bytecode is added to a build, and that no other stays; sources here are small."""

import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bytecode
from tools.bytecode import BytecodeError, add_bytecode, main

SOURCES = {
    "app.py": "import library.words\nWORDS = library.words.WORDS\n",
    "library/__init__.py": "",
    "library/words.py": "WORDS = 'compiled'\ndef has(x, y=('typing', 'sys')): return x in {'a', 'b', 'c'}\n",
}


def write(directory: Path, sources: dict[str, str]) -> Path:
    for path, content in sources.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)
    return directory


def compiled(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.pyc")}


def imported_words(function: Path) -> str:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import app; print(app.WORDS)"
    command = [sys.executable, "-B", "-I", "-c", program, str(function)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def function(tmp_path):
    return write(tmp_path / "build" / "First", SOURCES)


def test_modules_are_imported_from_it_whatever_the_timestamps(function):
    add_bytecode([function])
    # Only a module that isn't compiled from its source can have the former value.
    write(function, {"library/words.py": "WORDS = 'source'\n"})
    for path in function.rglob("*.py"):
        os.utime(path, (315532800, 315532800))
    assert imported_words(function) == "compiled"


def test_it_is_valid_without_a_comparison_and_names_files_as_lambda_has_them(function):
    add_bytecode([function])
    found = compiled(function)
    assert set(found) == {
        "__pycache__/app.cpython-313.pyc",
        "library/__pycache__/__init__.cpython-313.pyc",
        "library/__pycache__/words.cpython-313.pyc",
    }
    for path, content in found.items():
        # PEP 552: the lowest bit says that it's based on a hash, the next one that the hash is checked.
        assert int.from_bytes(content[4:8], "little") == 0b01
        source = path.replace("__pycache__/", "").replace(".cpython-313.pyc", ".py")
        assert marshal.loads(content[16:]).co_filename == f"/var/task/{source}"


def test_it_is_the_same_every_time_and_everywhere(function, tmp_path):
    add_bytecode([function])
    for seed in ("1", "2"):
        other = write(tmp_path / f"elsewhere{seed}" / "Other", SOURCES)
        # What a process has imported changes what it marshals.
        program = "import sys, typing, asyncio, tools.bytecode, pathlib; "
        program += "tools.bytecode.add_bytecode([pathlib.Path(sys.argv[1])])"
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONOPTIMIZE": seed, "SOURCE_DATE_EPOCH": seed}
        subprocess.run([sys.executable, "-c", program, str(other)], cwd=bytecode.ROOT, env=environment, check=True)
        assert compiled(other) == compiled(function)


def test_every_function_gets_that_of_its_own_files(function, tmp_path):
    same, other = write(tmp_path / "build" / "Same", SOURCES), write(tmp_path / "build" / "Other", SOURCES)
    write(other, {"library/words.py": "WORDS = 'other'\n"})
    add_bytecode([function, same, other])
    assert compiled(same) == compiled(function)
    for each, words in ((function, "compiled"), (same, "compiled"), (other, "other")):
        write(each, {"library/words.py": ""})
        assert imported_words(each) == words


@pytest.mark.parametrize(
    "path",
    [
        "__pycache__/app.cpython-313.pyc",
        "__pycache__/app.cpython-313.opt-1.pyc",
        "__pycache__/app.cpython-314.pyc",
        "library/__pycache__/words.cpython-313.pyc",
        "library/__pycache__/nothing.cpython-313.pyc",
        "library/data/__pycache__/x.txt",
        "json.pyc",
        "library/no_source.pyc",
        ".hidden/x.pyc",
        "__pycache__",
    ],
)
def test_what_was_there_before_never_stays(function, tmp_path, path):
    clean = write(tmp_path / "build" / "Clean", SOURCES)
    write(function, {path: "foreign"})
    same = write(write(tmp_path / "build" / "Same", SOURCES), {path: "foreign"})
    add_bytecode([clean, function, same])
    for each in (function, same):
        assert {file.relative_to(each) for file in each.rglob("*") if file.is_file()} == {
            file.relative_to(clean) for file in clean.rglob("*") if file.is_file()
        }
        assert compiled(each) == compiled(clean)


def test_nothing_is_written_or_removed_through_links(function, tmp_path):
    elsewhere = write(tmp_path / "elsewhere", {"app.cpython-313.pyc": "foreign"})
    (function / "__pycache__").symlink_to(elsewhere)
    (function / "linked.pyc").symlink_to(elsewhere / "app.cpython-313.pyc")
    add_bytecode([function])
    assert not (function / "__pycache__").is_symlink()
    assert not (function / "linked.pyc").exists()
    assert (elsewhere / "app.cpython-313.pyc").read_text() == "foreign"


def test_another_python_is_refused_before_anything_changes(function, monkeypatch, capsys):
    write(function, {"__pycache__/app.cpython-313.pyc": "as it was"})
    monkeypatch.setattr(bytecode, "RUNTIME", "cpython-399")
    assert main(function.parent) == 2
    assert "expected CPython 3.13" in (message := capsys.readouterr().err)
    assert "make PYTHON=/path/to/python3.13" in message
    assert compiled(function) == {"__pycache__/app.cpython-313.pyc": b"as it was"}


def test_a_file_that_cannot_be_compiled_is_named(function):
    write(function, {"library/broken.py": "def\n"})
    with pytest.raises(BytecodeError, match=r"library/broken\.py"):
        add_bytecode([function])


def test_what_was_done_is_said_in_a_line(function, capsys):
    assert main(function.parent) == 0
    assert capsys.readouterr().out.startswith("1 functions: bytecode of 3 files, compiled by Python 3.13.")


def test_without_a_build_there_is_nothing_to_compile(tmp_path, capsys):
    assert main(tmp_path) == 2
    assert "Run `sam build` first" in capsys.readouterr().err
