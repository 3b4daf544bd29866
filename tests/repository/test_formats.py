"""What a run passes on and records changes only together with its format, so that no version misreads another's."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from redrive.adapters.table import ROW_FORMAT
from redrive.domain.automatic.limits import Record
from redrive.domain.moving.results import LaneWork, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.rates import Shares
from redrive.domain.plan.run_plan import FORMAT, RunIdentity, RunPlan
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from tests.support.definitions import ROOT

#: The format of each release, and the digest of what its runs pass on; None if nobody knew of formats yet.
RELEASES: dict[str, tuple[int, str | None]] = {"0.1.0": (1, None), "0.2.0": (1, None)}
ROWS = {1: "5d42bff55b7a9ef9"}


def shape(schema: Any) -> Any:
    """Return a JSON Schema without texts that nothing depends on."""
    if isinstance(schema, dict):
        return {key: shape(value) for key, value in schema.items() if key not in {"description", "title"}}
    return [shape(item) for item in schema] if isinstance(schema, list) else schema


def of_runs() -> str:
    return digest(RunPlan, Sample, Tally, LaneWork, SliceResult)


def digest(*models: Any, **others: Any) -> str:
    shapes = [shape(model.model_json_schema(mode="serialization")) for model in models]
    return hashlib.sha256(json.dumps([shapes, others], sort_keys=True).encode()).hexdigest()[:16]


def test_the_format_of_every_release_is_recorded():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[([0-9.]+)\]", changelog, re.MULTILINE)[::-1] == list(RELEASES), (
        f'record the format of the release: ({FORMAT}, "{of_runs()}")'
    )


def test_what_a_run_passes_on_differs_from_no_release_with_the_same_format():
    """Otherwise a run would go on that one of the two versions misreads. One that ends early loses nothing."""
    released = {digest for format_, digest in RELEASES.values() if format_ == FORMAT}
    assert released <= {of_runs()}, "raise FORMAT, because what a run passes on has changed since the last release"


def test_what_outlives_a_run_changes_only_with_the_format_of_rows():
    found = digest(Record, Shares, held=list(HeldRecord._fields))
    assert found == ROWS[ROW_FORMAT], "a row of this format has other parts in the last release"


def test_every_version_can_tell_which_run_it_is():
    """These keys are a promise: any version must be able to clean up after any other."""
    assert set(_keys(RunIdentity.model_json_schema())) == {
        *("format", "runId", "executionArn", "startedAt", "dlq"),
        *("name", "arn", "url"),
    }


def _keys(schema: Any) -> Iterator[str]:
    for part in (schema, *schema.get("$defs", {}).values()):
        yield from part.get("properties", {})
