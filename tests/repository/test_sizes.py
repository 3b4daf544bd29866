"""No file and no class under functions/ grows beyond what a reader takes in."""

import ast

from tests.support.definitions import ROOT

MAX_FILE_LINES = 350
MAX_CLASS_LINES = 300
FILES = sorted((ROOT / "functions").rglob("*.py"))


def test_no_file_is_longer_than_350_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert FILES
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_class_is_longer_than_300_lines():
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_CLASS_LINES} == {}
