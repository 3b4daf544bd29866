"""The command: `python -m verify STACK`, run by `make verify STACK=…`.

Exit status: 0 if every scenario passed; 1 if one failed, or something couldn't be removed; 2 if nothing was verified;
3 if all that were played passed, but some were skipped; 130 and 143 after Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil

from botocore.exceptions import BotoCoreError, ClientError

from verify.aws import Aws, sentence
from verify.cost import dollars, total
from verify.errors import VerifyError
from verify.function_failures import function_name
from verify.owned import TAG, Thing, leftovers, remove
from verify.runner import Outcome, Result, Verification
from verify.scenarios import SCENARIOS
from verify.stack import Stack, find_stack

DEFAULT_PREFIX = "redrive-verify"
# What remains of a queue's 80 characters and of a role's 64 is for the run, the scenario, and the queue.
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,29}")
_PASSED, _FAILED, _NOTHING_VERIFIED, _SKIPPED = 0, 1, 2, 3
_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a stack, or remove what earlier verifications left; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if not _PREFIX.fullmatch(options.prefix):
            raise VerifyError(
                "Expected --prefix to have 1 to 30 letters, digits, hyphens, and underscores, and not to begin with a "
                f"hyphen; found '{options.prefix[:80]}'."
            )
        aws = Aws(options.region, options.profile, options.endpoint_url)
        if options.clean_up:
            return _clean_up(aws, options)
        return _verify(aws, options)
    except VerifyError as error:
        print(f"error: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"error: {sentence(error)} Check the credentials, the Region, and the endpoint.", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; nothing was created", file=sys.stderr)
        return 128 + signal.SIGINT
    return _NOTHING_VERIFIED


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(prog="verify", description="Prove that a deployed stack does what it promises.")
    parser.add_argument("stack", metavar="STACK", help="the name of the stack")
    parser.add_argument("--yes", action="store_true", help="don't ask before starting")
    parser.add_argument("--region", help="the stack's Region, if the environment doesn't say")
    parser.add_argument("--profile", help="a profile of your AWS configuration")
    parser.add_argument("--endpoint-url", help="the endpoint of an emulator; AWS_ENDPOINT_URL works too")
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="how names begin (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="SCENARIO", help=f"play only this one; repeatable: {names}")
    parser.add_argument("--clean-up", action="store_true", help="remove what interrupted verifications left behind")
    return parser


def _verify(aws: Aws, options: argparse.Namespace) -> int:
    requested = set(options.only or [scenario.name for scenario in SCENARIOS])
    if unknown := requested - {scenario.name for scenario in SCENARIOS}:
        raise VerifyError(
            f"Expected --only to name a scenario ({', '.join(one.name for one in SCENARIOS)}), found "
            f"'{min(unknown)[:80]}'."
        )
    stack = find_stack(aws.cloudformation, options.stack)
    stack.require_pattern_for(options.prefix)
    verification = Verification(aws, stack, options.prefix, [one for one in SCENARIOS if one.name in requested])
    if not verification.playable:
        _say(*(f"Skipped: {name}: {reason}." for name, reason in verification.obstacles.items()))
        raise VerifyError("Every scenario is skipped, so there is nothing to verify. The reasons are above.")
    _announce(aws, stack, options.prefix, verification)
    if not (options.yes or _agreed()):
        raise VerifyError("You didn't agree, so nothing was created. Answer y, or pass --yes.")
    _print()
    with _interrupting(verification) as signals:
        outcomes = verification.play(_show_one)
    unplayed = [one.name for one in SCENARIOS if one.name not in requested]
    outcomes += [Outcome(name, Result.SKIPPED, "not requested with --only") for name in unplayed]
    status = _summary(outcomes)
    return 128 + signals[0] if signals else status


def _announce(aws: Aws, stack: Stack, prefix: str, verification: Verification) -> None:
    amounts = total(scenario.amounts for scenario in verification.playable)
    costs = dollars(amounts)
    names = {scenario.name for scenario in verification.playable}
    function = f", the function {function_name(prefix)} and a role for it" if "function-failures" in names else ""
    through = "; three messages pass through the quarantine" if "quarantine-and-back" in names else ""
    alarms = ""
    if names & {"refusals", "stop", "quarantine-and-back"}:
        alarms = (
            " Runs that are refused on purpose set off the alarm on failed runs, and the quarantine's alarm may go "
            "off. Tell whoever is on call."
        )
    listed = ", ".join(f"{service} {cost:.3f}" for service, cost in costs.items())
    _say(
        f"Stack {stack.name}, account {stack.account}, {stack.region}, at {aws.endpoint}.",
        f"This creates {amounts.queues} queues named {prefix}-{verification.run_id}-*{function}, all with the tag "
        f"{TAG}={verification.run_id}. It sends about {amounts.messages} messages of its own and starts about "
        f"{amounts.runs} runs, which takes a minute or two, and removes everything it has created at the end. It "
        f"changes no other queue{through}.",
        f"Each run publishes a report to {stack.outputs.get('ReportTopicArn', 'the report topic')}.{alarms}",
        f"It costs at most ${ceil(sum(costs.values()) * 100) / 100:.2f} at the prices of us-east-1 ({listed}).",
    )
    for name, reason in verification.obstacles.items():
        _say(f"Skipped: {name}: {reason}.")
    if left := leftovers(aws, prefix, function_name(prefix)):
        runs = ", ".join(sorted({thing.run_id for thing in left}))
        _say(
            f"Other runs ({runs}) have left {len(left)} things with this prefix, or are in progress. This run doesn't "
            "touch them; --clean-up removes them."
        )


def _agreed(question: str = "Continue?") -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


@contextmanager
def _interrupting(verification: Verification) -> Iterator[list[int]]:
    """End the verification on Ctrl-C and SIGTERM; yield a list of the signals that came."""
    received: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        if not received:
            print("\nInterrupted: removing what was created. This can take a minute.", file=sys.stderr)
        received.append(number)
        verification.interrupt()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show_one(outcome: Outcome) -> None:
    first, *more = textwrap.wrap(outcome.detail, _WIDTH - 40, break_on_hyphens=False) or [""]
    lines = [f"{outcome.scenario:<22}{outcome.result:<9}{outcome.seconds:>5.0f} s  {first}"]
    _print("\n".join(lines + [" " * 40 + line for line in more]))


def _summary(outcomes: Sequence[Outcome]) -> int:
    counts = Counter(outcome.result for outcome in outcomes)
    skipped = [outcome.scenario for outcome in outcomes if outcome.result is Result.SKIPPED]
    left = {thing: reason for outcome in outcomes for thing, reason in outcome.left.items()}
    _print()
    _say(f"{counts[Result.PASSED]} passed, {counts[Result.FAILED]} failed, {counts[Result.SKIPPED]} skipped.")
    if skipped:
        _say(f"Not verified, because skipped: {', '.join(skipped)}. A skipped scenario isn't a passed one.")
    _show_left(left)
    if counts[Result.FAILED] or left:
        return _FAILED
    return _SKIPPED if skipped else _PASSED


def _show_left(left: dict[Thing, str]) -> None:
    if not left:
        _print("Everything that was created is removed.")
    for thing, reason in left.items():
        _print(f"Not removed: {thing}: {reason}\n  Remove it with: {thing.command}")


def _clean_up(aws: Aws, options: argparse.Namespace) -> int:
    found = leftovers(aws, options.prefix, function_name(options.prefix))
    if not found:
        print(f"Nothing with the prefix {options.prefix} and the tag {TAG} is left.")
        return _PASSED
    for thing in found:
        print(f"{thing} (run {thing.run_id})")
    if not (options.yes or _agreed("Remove these? A verification that is in progress would fail.")):
        print("Nothing was removed.")
        return _NOTHING_VERIFIED
    left = remove(aws, sorted(found, key=lambda thing: ["function", "role", "queue"].index(thing.kind)))
    _show_left(left)
    return _FAILED if left else _PASSED


def _say(*paragraphs: str) -> None:
    for paragraph in paragraphs:
        _print(textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _print(text: str = "") -> None:
    """Print a text. If nobody reads it anymore, what was created must be removed all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
