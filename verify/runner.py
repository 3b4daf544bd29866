"""Plays scenarios on a stack, several at a time, and removes what each of them made, whatever happens."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError

from verify.aws import Aws, sentence
from verify.errors import InterruptedByUserError, MismatchError, SkippedError
from verify.owned import Owned, Thing
from verify.scenarios import Scenario
from verify.stack import Stack
from verify.stage import Stage

# Each run has up to three functions at a time, and a new account may run ten (Lambda developer guide, "Lambda quotas").
_AT_A_TIME = 3
_WAKE_SECONDS = 0.5


class Result(StrEnum):
    """How a scenario ended."""

    PASSED = "passed"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended, and what it has shown, or why it hasn't."""

    scenario: str
    result: Result
    detail: str
    seconds: float = 0.0
    #: What couldn't be removed, each with the reason.
    left: dict[Thing, str] = field(default_factory=dict)


class Verification:
    """One verification of a stack: its ID, and what can be played.

    Parameters
    ----------
    aws, stack
        The stack, and how to reach it.
    prefix : str
        What the names of all queues begin with; the stack's pattern covers it.
    scenarios : Sequence[Scenario]
        What to play.
    """

    def __init__(self, aws: Aws, stack: Stack, prefix: str, scenarios: Sequence[Scenario]) -> None:
        self.run_id = secrets.token_hex(5)
        self._aws, self._stack, self._prefix = aws, stack, prefix
        self._stop = threading.Event()
        aws.connect()
        #: Those that can't be played on this stack, each with the reason; the others can.
        self.obstacles = {
            scenario.name: reason for scenario in scenarios if (reason := scenario.obstacle(self._stage(scenario)))
        }
        self.playable = [scenario for scenario in scenarios if scenario.name not in self.obstacles]

    def interrupt(self) -> None:
        """End as soon as possible; what was made is removed."""
        self._stop.set()

    @property
    def interrupted(self) -> bool:
        """Whether it was interrupted."""
        return self._stop.is_set()

    def play(self, report: Callable[[Outcome], None]) -> list[Outcome]:
        """Play the scenarios; `report` is called with each outcome as it is known."""
        outcomes = [Outcome(name, Result.SKIPPED, reason) for name, reason in self.obstacles.items()]
        for outcome in outcomes:
            report(outcome)

        def play_and_report(scenario: Scenario) -> Outcome:
            outcome = self._play(scenario)
            report(outcome)
            return outcome

        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            futures = [pool.submit(play_and_report, scenario) for scenario in self.playable]
            # Python runs a signal's handler in this thread, and only once it wakes up.
            while wait(futures, timeout=_WAKE_SECONDS).not_done:
                pass
            return outcomes + [future.result() for future in futures]

    def _stage(self, scenario: Scenario) -> Stage:
        owned = Owned(self._aws, self._prefix, self.run_id)
        return Stage(self._aws, self._stack, owned, scenario.name, self._stop)

    def _play(self, scenario: Scenario) -> Outcome:
        stage, began = self._stage(scenario), time.monotonic()
        result, detail = Result.FAILED, ""
        try:
            if self.interrupted:
                raise InterruptedByUserError
            detail = scenario.play(stage)
            result = Result.PASSED
        except SkippedError as skipped:
            result, detail = Result.SKIPPED, str(skipped)
        except MismatchError as mismatch:
            detail = str(mismatch)
        except InterruptedByUserError:
            result, detail = Result.SKIPPED, "interrupted"
        except (ClientError, BotoCoreError) as error:
            detail = sentence(error)
        except Exception as error:  # noqa: BLE001
            # The text of an error that nobody expected may quote a message.
            detail = f"{type(error).__name__} in the verification itself. Please report it."
        # An interruption must not keep it from waiting.
        stage.stop = threading.Event()
        try:
            stage.end_runs()
            if result is not Result.PASSED and stage.if_not_passed is not None:
                stage.if_not_passed()
        except (ClientError, BotoCoreError) as error:
            result, detail = Result.FAILED, f"{detail} And at the end: {sentence(error)}"
        except MismatchError as mismatch:
            result, detail = Result.FAILED, f"{detail} And at the end: {mismatch}"
        left = stage.owned.remove()
        return Outcome(scenario.name, result, detail, time.monotonic() - began, left)
