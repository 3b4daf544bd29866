"""Runs of `redrive move` that are killed at any moment and resumed: a ledger shows that nothing is lost."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from redrive.domain.plan.lease import LEASE_TAG
from tests.support.moto_cloud import moto_cloud
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

VALID, INVALID = 40, 6
# At most this many processes, the last of which nobody kills.
PROCESSES = 3
KILLED = -9
OPERATIONS = ["ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "TagQueue"]
MOMENTS = st.one_of(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(1, 6), st.sampled_from(["before", "after"])),
    st.tuples(st.just("COMMIT"), st.integers(2, 30), st.sampled_from(["before", "after"])),
)


def move(endpoint: MotoEndpoint, folder: Path, *arguments: str, kill: tuple[str, int, str] | None = None) -> Any:
    """Run the command in a process that is killed at a moment; return its exit code and its output."""
    environment = os.environ | {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_REGION": "us-east-1",
        "XDG_STATE_HOME": str(folder),
        "PYTHONPATH": "functions:.",
    }
    if kill is not None and kill[0] == "COMMIT":
        environment["KILL_AT"] = f"{kill[1]} {kill[2]}"
    command = [sys.executable, "-m", "tests.support.fast_move", "move", "orders-dlq", "--json", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        if kill is not None and kill[0] != "COMMIT":
            endpoint.kill_at(run.pid, *kill)
        out, err = run.communicate(timeout=120)
    endpoint.kill_at(None)
    return run.returncode, json.loads(out)["report"] if out else None, err


@pytest.mark.slow
@given(kills=st.lists(MOMENTS, min_size=1, max_size=PROCESSES - 1), quarantines=st.booleans(), replaces=st.booleans())
@example(kills=[("SendMessageBatch", 2, "after")], quarantines=False, replaces=True)
@settings(
    max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
def test_whenever_a_run_is_killed_the_next_process_goes_on_and_nothing_is_lost(
    tmp_path_factory, kills, quarantines, replaces
):
    folder = tmp_path_factory.mktemp("run")
    schema = folder / "order.json"
    schema.write_text(json.dumps({"type": "object", "required": ["order_id"]}))
    arguments = ["--yes", "--without-stack", "--contract", str(schema), "--rate", "100"]
    arguments += ["--quarantine", "invalid"] if quarantines else []
    bodies = [json.dumps({"order_id": n}) for n in range(VALID)] + [json.dumps({"n": n}) for n in range(INVALID)]
    with moto_cloud() as cloud, moto_endpoint() as endpoint:
        dlq = cloud.queue("orders-dlq")
        queues = [cloud.queue("orders", dlq=dlq), cloud.queue("invalid"), dlq]
        cloud.send(dlq, bodies)
        code, report, said, begun, anew, twice = KILLED, None, "", False, False, 0
        for kill in [*kills, None]:
            resumes = begun and not replaces
            code, report, said = move(endpoint, folder, *(["--resume"] if resumes else arguments), kill=kill)
            if resumes and "No run on orders-dlq was interrupted" in said:
                # It was killed before it knew anything, or when all was done but the report.
                code, report, said = move(endpoint, folder, *arguments)
                anew = True
            # Nobody gets the report of a run that is replaced.
            twice += sum(map(int, re.findall(r"up to (\d+) may arrive twice", said)))
            anew |= begun and replaces
            if code != KILLED:
                break
            begun = True
        assert code == 0, said
        assert report["status"] == "SUCCEEDED"

        # The ledger: where each message is now, whatever the run says.
        assert cloud.invisible(dlq) == 0
        assert LEASE_TAG not in cloud.queues.tags(dlq)
        delivered, quarantined, left = (Counter(m["Body"] for m in cloud.take_all(queue)) for queue in queues)
    assert set(delivered) == set(bodies[:VALID])
    assert set(quarantined) == (set(bodies[VALID:]) if quarantines else set())
    assert left == Counter(() if quarantines else bodies[VALID:])
    whole = VALID + (INVALID if quarantines else 0)
    assert delivered.total() + quarantined.total() - whole <= report["duplicatesPossible"] + twice
    if anew:
        # The report is that of another run.
        return
    moved = report["counts"]["redriven"] + report["counts"]["quarantined"]
    assert moved <= whole <= moved + report["unaccounted"]
