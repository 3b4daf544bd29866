"""No file of functions/ is longer than 350 lines, and no class longer than 300."""

import ast

from tests.support.definitions import ROOT

MAX_FILE_LINES = 350
MAX_CLASS_LINES = 300
MODULES = sorted((ROOT / "functions").rglob("*.py"))


def test_no_file_is_too_long():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert lines
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_class_is_too_long():
    lines = {
        f"{path.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert lines
    assert {name: count for name, count in lines.items() if count > MAX_CLASS_LINES} == {}
