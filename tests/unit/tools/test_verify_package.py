"""Built functions are compared with wheels and source, here with small ones that are drawn and tampered with."""

import shutil
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.bytecode import add_bytecode
from tools.verify_package import BuildError, built_functions, differences, expected_bytecode, expected_files, main

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".py")
FILES = st.dictionaries(PATHS, st.binary(max_size=8), min_size=1, max_size=6)
# Where the SAM CLI extracts the files of a wheel's data directory to.
DATA = {"purelib": "", "platlib": "", "scripts": "w-1.data/scripts/"}


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


@st.composite
def functions(draw):
    """Draw the files of a source, of a wheel, and of the function that ``sam build`` makes of them."""
    source = {f"own/{path}": content for path, content in draw(FILES).items()}
    wheel, function = {}, dict(source)
    for path, content in draw(FILES).items():
        place = draw(st.sampled_from([None, *DATA]))
        member = f"wheel/{path}" if place is None else f"w-1.data/{place}/{place}/{path}"
        wheel[member] = content
        function[member if place is None else f"{DATA[place]}{place}/{path}"] = content
    return source, wheel, function


@given(functions(), st.data())
def test_every_file_that_differs_is_found_and_no_other(files, data):
    source, wheel, function = files
    altered = data.draw(st.sets(st.sampled_from(sorted(function))))
    missing = data.draw(st.sets(st.sampled_from(sorted(function)))) - altered
    linked = data.draw(st.sets(st.sampled_from(sorted(function)))) - altered - missing
    extra = {f"extra/{path}" for path in data.draw(st.sets(PATHS))}
    bytecode = data.draw(st.dictionaries(PATHS.map(lambda path: f"own/__pycache__/{path}c"), st.binary(max_size=8)))
    left_out = data.draw(st.sets(st.sampled_from(sorted(bytecode)))) if bytecode else set()
    forged = data.draw(st.sets(st.sampled_from(sorted(bytecode)))) - left_out if bytecode else set()
    with TemporaryDirectory() as name:
        root = Path(name)
        with ZipFile(root / "w-1-py3-none-any.whl", "w") as archive:
            for member, content in wheel.items():
                archive.writestr(member, content)
        write(root / "source", source)
        write(root / "source", {"__pycache__/own.pyc": b"", ".cache/x": b""})
        built = write(root / "built", function | {path: function[path] + b"!" for path in altered})
        write(built, dict.fromkeys(extra, b""))
        write(built, {path: content for path, content in bytecode.items() if path not in left_out})
        write(built, {path: bytecode[path] + b"!" for path in forged})
        for path in missing | linked:
            (built / path).unlink()
        for path in linked:
            original = write(root / "elsewhere", {path: function[path]}) / path
            (built / path).symlink_to(original)
        expected = expected_files([root / "w-1-py3-none-any.whl"], root / "source")
        found = differences(built, expected, {path: sha256(content).hexdigest() for path, content in bytecode.items()})
    assert found == sorted(
        [f"altered: {path}" for path in altered | linked | forged]
        + [f"missing: {path}" for path in missing]
        + [f"extra: {path}" for path in extra]
    )


def test_bytecode_is_expected_as_it_is_added_to_a_function(tmp_path):
    source, library = {"own/x.py": b"X = {'a', 'b'}\n", "own/x.txt": b""}, {"wheel/y.py": b"class Y: ...\n"}
    with ZipFile(tmp_path / "w-1-py3-none-any.whl", "w") as archive:
        for member, content in library.items():
            archive.writestr(f"w-1.data/purelib/{member}", content)
    function = write(tmp_path / "function", source | library)
    add_bytecode([function])
    bytecode = expected_bytecode([tmp_path / "w-1-py3-none-any.whl"], write(tmp_path / "source", source))
    assert bytecode == {
        f"{path}.cpython-313.pyc": sha256((function / f"{path}.cpython-313.pyc").read_bytes()).hexdigest()
        for path in ("own/__pycache__/x", "wheel/__pycache__/y")
    }


BUILD_TOML = """\
[function_build_definitions.1]
architecture = "arm64"
functions = ["Mover", "Stop"]

[function_build_definitions.2]
architecture = "x86_64"
functions = ["Sampler"]
"""


@pytest.fixture
def build(tmp_path):
    write(tmp_path, {"build.toml": BUILD_TOML.encode()})
    functions = {f"{name}/x.py": b"" for name in ("Mover", "Sampler", "Stop")}
    return write(tmp_path / "build", functions | {"template.yaml": b""})


def test_each_function_is_compared_for_the_architecture_that_it_was_built_for(build):
    found = built_functions(build)
    assert {architecture: [path.name for path in paths] for architecture, paths in found.items()} == {
        "arm64": ["Mover", "Stop"],
        "x86_64": ["Sampler"],
    }


def test_a_function_that_sam_did_not_build_is_refused(build):
    write(build, {"Other/x.py": b""})
    with pytest.raises(BuildError, match=r"found .*Other\. Delete"):
        built_functions(build)


@pytest.mark.parametrize("gone", ["build", "build.toml"])
def test_without_a_build_there_is_nothing_to_compare(build, gone, capsys):
    path = build.parent / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(build) == 2
    assert "Run `sam build` first" in capsys.readouterr().err
