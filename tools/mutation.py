"""Checks whether the unit tests notice small changes of the code: `make mutation`.

Cosmic Ray makes the mutants. A fixed random sample of them is tested in copies of the tree, several at a time. The
output has the numbers of killed and surviving mutants, and the survivors' diffs. Survivors that behave like the
original are explained in docs/design/mutation.md and don't count.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from local.ending import ending_cleanly
from local.workspace import ROOT

EXPLAINED = ROOT / "docs" / "design" / "mutation.md"
DOMAIN = "functions/redrive/domain"
PACKAGES = ("moving", "judging")
SAMPLE, SEED, WORKERS, WANTED_PERCENT = 150, 1, 2, 80
# The tests of a mutant may hang; they get this many times what they take without a mutant, and some seconds.
_PATIENCE_FACTOR, _PATIENCE_SECONDS = 4, 20
_LINE_SECONDS = 15.0
_PLUGINS = ("-p", "no:cacheprovider", "-p", "tools.mutation_tests")
# A row of the table: the module, the line before and after, and why they behave the same.
_ROW = re.compile(r"^\| `(?P<module>[^`]+)` \| `(?P<before>.*?)` \| `(?P<after>.*?)` \| .+ \|$", re.MULTILINE)

# A module with the lines that a mutant removes and adds, without their indentation.
type Change = tuple[str, str, str]


@dataclass(frozen=True)
class Mutant:
    """One changed module."""

    module: str
    code: str
    diff: tuple[str, ...]

    @property
    def change(self) -> Change:
        """What identifies the mutant in docs/design/mutation.md."""
        lines = [line for line in self.diff if not line.startswith(("+++", "---"))]
        before, after = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
        return self.module.removeprefix(f"{DOMAIN}/"), before, after


def sample(modules: Sequence[str], count: int) -> list[Mutant]:
    """Return a fixed random sample of the mutants of some modules, each with a change that runs."""
    sources = {module: (ROOT / module).read_text() for module in modules}
    candidates = sorted(
        (module, name, occurrence)
        for module, source in sources.items()
        for name, occurrences in _occurrences(source).items()
        for occurrence in range(occurrences)
    )
    random.Random(SEED).shuffle(candidates)
    return list(_mutants(sources, candidates, count))


def _occurrences(source: str) -> dict[str, int]:
    """Return in how many places each operator can change a module."""
    nodes = list(ast_nodes(get_ast(source)))
    classes = {name: plugins.get_operator(name) for name in plugins.operator_names()}
    return {
        name: sum(len(list(operator().mutation_positions(node))) for node in nodes)
        for name, operator in classes.items()
        if not operator.arguments()
    }


def _mutants(sources: dict[str, str], candidates: Iterable[tuple[str, str, int]], count: int) -> Iterator[Mutant]:
    found = 0
    for module, name, occurrence in candidates:
        if found == count:
            return
        source = sources[module]
        code = mutate_code(source, plugins.get_operator(name)(), occurrence)
        if code is None or not _changes_behavior(source, code):
            continue
        found += 1
        diff = difflib.unified_diff(source.splitlines(), code.splitlines(), module, module, lineterm="", n=1)
        yield Mutant(module, code, tuple(diff))


def _changes_behavior(source: str, code: str) -> bool:
    # Cosmic Ray also takes the * in a signature for a product. Annotations and type aliases are not evaluated.
    try:
        return _without_annotations(code) != _without_annotations(source)
    except SyntaxError:
        return False


def _without_annotations(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.TypeAlias):
            node.value = ast.Constant(None)
    return ast.dump(tree)


class Copy:
    """A copy of the tree, in which one mutant at a time is tested."""

    def __init__(self, directory: Path, tests: Sequence[str]) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [sys.executable, "-m", "pytest", "-x", "-q", *_PLUGINS, *tests]
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, tracked.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)

    def passes(self, mutant: Mutant | None, timeout: float) -> bool:
        """Return whether the tests pass with a mutant in place."""
        if mutant is not None:
            (self._directory / mutant.module).write_text(mutant.code)
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                # Python could take a mutant's compiled file for that of the next, of the same size and second.
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout) == 0
            return False
        finally:
            self.kill()
            if mutant is not None:
                shutil.copyfile(ROOT / mutant.module, self._directory / mutant.module)

    def kill(self) -> None:
        """End the tests, if they still run."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def survivors(mutants: Sequence[Mutant], tests: Sequence[str], workers: int) -> list[Mutant]:
    """Return the mutants that the tests do not notice, in the order given."""
    with TemporaryDirectory(prefix="mutation-") as directory:
        copies = [Copy(Path(directory) / str(number), tests) for number in range(workers)]
        began = time.monotonic()
        if not copies[0].passes(None, timeout=600):
            sys.exit(f"Expected the tests to pass without a mutant: pytest {' '.join(tests)}")
        patience = (time.monotonic() - began) * _PATIENCE_FACTOR + _PATIENCE_SECONDS
        waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in mutants:
            waiting.put(mutant)
        alive: list[Mutant] = []

        def work(copy: Copy) -> None:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                if copy.passes(mutant, patience):
                    alive.append(mutant)

        threads = [threading.Thread(target=work, args=(copy,), daemon=True) for copy in copies]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(_LINE_SECONDS / workers)
                done = len(mutants) - waiting.qsize()
                print(f"{done} of {len(mutants)} mutants, {time.monotonic() - began:.0f} s", flush=True)
        finally:
            while not waiting.empty():
                with suppress(queue.Empty):
                    waiting.get_nowait()
            for copy in copies:
                copy.kill()
            for thread in threads:
                thread.join()
        return [mutant for mutant in mutants if mutant in alive]


def explained() -> set[Change]:
    """Return the changes in the table of docs/design/mutation.md."""
    if not EXPLAINED.exists():
        return set()
    rows = _ROW.finditer(EXPLAINED.read_text())
    return {(row["module"], row["before"].replace(r"\|", "|"), row["after"].replace(r"\|", "|")) for row in rows}


def _row(change: Change) -> str:
    module, before, after = (part.replace("|", r"\|") for part in change)
    return f"| `{module}` | `{before}` | `{after}` | WHY |"


def main() -> int:
    """Test the sample; return 1 if too few mutants are killed or explained."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=__doc__)
    parser.add_argument(
        "paths",
        nargs="*",
        default=[f"{DOMAIN}/{each}" for each in PACKAGES],
        help="modules or packages to mutate",
    )
    parser.add_argument("--tests", nargs="+", default=[f"tests/unit/{each}" for each in PACKAGES])
    parser.add_argument("--count", type=int, default=SAMPLE)
    parser.add_argument("--workers", type=int, default=WORKERS)
    given = parser.parse_args()
    modules = [
        str(module.relative_to(ROOT))
        for path in map(ROOT.joinpath, given.paths)
        for module in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
    ]
    mutants = sample(modules, given.count)
    alive = survivors(mutants, given.tests, given.workers)
    same = explained()
    unexplained = [mutant for mutant in alive if mutant.change not in same]
    for mutant in unexplained:
        print("\n".join(("", *mutant.diff)))
    if unexplained:
        print(f"\nIf one of them behaves like the original, explain it in {EXPLAINED.relative_to(ROOT)}:")
        print("\n".join(_row(mutant.change) for mutant in unexplained))
    good = len(mutants) - len(unexplained)
    percent = 100 * good / max(1, len(mutants))
    print(
        f"\n{len(mutants)} mutants: {len(mutants) - len(alive)} killed, {good - len(mutants) + len(alive)} explained,"
    )
    print(f"{len(unexplained)} survived ({percent:.0f} % killed or explained, at least {WANTED_PERCENT} % wanted)")
    return 0 if percent >= WANTED_PERCENT else 1


if __name__ == "__main__":
    with ending_cleanly():
        sys.exit(main())
