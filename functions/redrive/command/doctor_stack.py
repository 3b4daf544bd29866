"""Checks of a stack, for `redrive doctor`: its state, its runs, which queues it covers, its contracts and topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from redrive.adapters.account import THREADS
from redrive.adapters.checkup import UnreadableError
from redrive.adapters.contract_store import ContractStore
from redrive.adapters.stack import Stack, judging_of
from redrive.adapters.stack_runs import StackRuns
from redrive.command.doctor_findings import Finding, Severity, ask_for
from redrive.command.doctor_queues import Setup
from redrive.command.exits import explained
from redrive.command.output import names
from redrive.command.shared import again, aws
from redrive.contracts.registry import PYTHON, ContractMapping
from redrive.contracts.wildcards import matches
from redrive.domain.errors import RejectedError, UnavailableError
from redrive.domain.messages.arns import arn_name
from redrive.domain.plain_text import redrive_command, shell_word

# QueueNamePattern's limit.
_MOST_PATTERNS = 8


def state(setup: Setup, stack: Stack) -> Iterator[Finding]:
    """Report what's wrong with the stack itself, and which permissions needed to use it are denied."""
    status, name = stack.status, stack.name
    events = aws(
        f"aws cloudformation describe-stack-events --stack-name {name} --query "
        "\"StackEvents[?contains(ResourceStatus,'FAILED')].[LogicalResourceId,ResourceStatusReason]\" --output table",
    )
    if status == "UPDATE_ROLLBACK_FAILED":
        remedy = aws(f"aws cloudformation continue-update-rollback --stack-name {name}")
        yield Finding(Severity.PROBLEM, "stack", f"{name} is stuck between two versions: {status}.", remedy)
    elif status == "DELETE_FAILED":
        remedy = aws(f"aws cloudformation delete-stack --stack-name {name}")
        yield Finding(Severity.PROBLEM, "stack", f"{name} is only partly deleted: {status}.", remedy)
    elif status.endswith("FAILED"):
        yield Finding(Severity.PROBLEM, "stack", f"The last deployment of {name} failed: {status}.", events)
    elif status.endswith("_IN_PROGRESS"):
        yield Finding(
            Severity.WARNING,
            "stack",
            f"{name} is being changed: {status}. Runs that start now may use two versions.",
            aws(f"aws cloudformation wait {_waiter(status)} --stack-name {name}"),
        )
    elif "ROLLBACK" in status:
        yield Finding(Severity.WARNING, "stack", f"The last update of {name} failed and was undone: {status}.", events)
    else:
        yield Finding(Severity.OK, "stack", f"{name}, version {stack.version}, is deployed: {status}.")
    denied = setup.checkup.denied_in_stack(stack)
    for permission in denied:
        commands = "stop needs it" if permission.startswith("lambda:") else "start, watch, runs, and report need it"
        text = f"{permission} is denied on the resources of {name}; {commands}."
        yield Finding(Severity.WARNING, "permissions", text, ask_for(permission))
    if not denied:
        yield Finding(Severity.OK, "permissions", f"No permission needed to watch and stop runs of {name} is denied.")


def patterns(setup: Setup, stack: Stack) -> Iterator[Finding]:
    """Report dead-letter queues that the stack can't redrive, or whose messages it can't send back."""
    covered = [queue for queue in setup.dlqs if stack.covers(queue.name)]
    sources = {source.name for queue in covered for source in setup.sources_of(queue) if not setup.covers(source)}
    if sources:
        yield Finding(
            Severity.PROBLEM,
            "patterns",
            f"{stack.name} covers the dead-letter queues of {names(sorted(sources))}, but not these sources, so a run "
            "can't send messages back.",
            _deploy(stack, sources),
        )
    others = [queue for queue in setup.dlqs if not stack.covers(queue.name)]
    # A stack doesn't have to cover every queue.
    missing = [queue for queue in others if not covered or queue.messages or queue.in_flight]
    if missing:
        where = ", where messages are waiting" if covered else ", nor any other dead-letter queue"
        pairs = [queue.name for dlq in missing for queue in (dlq, *setup.sources_of(dlq))]
        yield Finding(
            Severity.WARNING,
            "patterns",
            f"{stack.name} doesn't cover {names(queue.name for queue in missing)}{where}. `redrive move` works "
            "without it.",
            _deploy(stack, pairs),
        )
    if covered:
        text = f"{stack.name} covers {len(covered):,} of {len(setup.dlqs):,} dead-letter queues."
        yield Finding(Severity.OK, "patterns", text)


def runs(setup: Setup, stack: Stack) -> Iterator[Finding]:
    """Report runs that are in progress, and runs that died while they held a queue."""
    stack_runs = StackRuns(setup.account, stack)
    covered = [queue for queue in setup.dlqs if stack.covers(queue.name)]
    with ThreadPoolExecutor(THREADS) as pool:
        holders = list(pool.map(lambda queue: stack_runs.holder(queue.arn), covered))
    for queue, lock in zip(covered, holders, strict=True):
        if lock is None:
            continue
        execution = stack_runs.described(lock.execution_arn)
        if execution is not None and execution.is_on:
            watch = again(redrive_command("watch", execution.reference))
            yield Finding(Severity.OK, "runs", f"The run {lock.run_id} is moving messages of {queue.name}.", watch)
            continue
        yield Finding(
            Severity.WARNING,
            "runs",
            f"The run {lock.run_id} has ended and still holds {queue.name}: something kept it from cleaning up. "
            "Messages that it held may be invisible for a while. The next run takes over.",
            again(redrive_command("report", lock.run_id)),
        )
    if covered and not any(holders):
        yield Finding(Severity.OK, "runs", f"No run of {stack.name} holds a dead-letter queue.")


def contracts(setup: Setup, stack: Stack) -> Iterator[Finding]:
    """Report contracts of the stack that can't be loaded or match no queue."""
    judging = judging_of(setup.account, stack)
    given = stack.parameters.get("QueueContracts", "") if judging is None else judging.contracts
    store = ContractStore(given, stack.account_id)
    try:
        mapping = store.mapping()
    except RejectedError as error:
        yield Finding(Severity.PROBLEM, "contracts", str(error))
        return
    except UnavailableError as error:
        yield Finding(Severity.UNKNOWN, "contracts", str(error))
        return
    loaded = 0
    elsewhere = []
    for name, location in mapping.pairs:
        try:
            store.find(name)
            loaded += 1
        except (RejectedError, UnavailableError) as error:
            if location.startswith(PYTHON):
                elsewhere.append(location)
                continue
            severity = Severity.PROBLEM if isinstance(error, RejectedError) else Severity.UNKNOWN
            yield Finding(severity, "contracts", str(error), _show(location))
    if elsewhere:
        text = f"Only the stack has {names(sorted(set(elsewhere)))}, so this command can't check whether they load."
        yield Finding(Severity.UNKNOWN, "contracts", text, again("redrive start QUEUE --dry-run"))
    known = {queue.name for queue in setup.queues} | set(setup.account.unreadable)
    known |= {arn_name(arn) or "" for arn in (judging.destinations if judging else ())}
    if setup.all_listed and (unused := _unused(mapping, known)):
        yield Finding(
            Severity.WARNING,
            "contracts",
            f"QueueContracts names {names(unused)}, but there is no such queue or destination, so those messages would "
            "be redriven without a contract.",
            again("redrive queues --all"),
        )
    if loaded or not mapping.pairs:
        text = (
            f"Contracts that load: {loaded:,}."
            if mapping.pairs
            else f"{stack.name} has no contracts: every payload is valid."
        )
        yield Finding(Severity.OK, "contracts", text)


def topics(setup: Setup, stack: Stack) -> Iterator[Finding]:
    """Report topics that nobody is subscribed to."""
    for what, arn in (("reports", stack.report_topic_arn), ("alarms", stack.alarm_topic_arn)):
        if arn is None:
            continue
        try:
            found = setup.checkup.subscriptions(arn)
        except UnreadableError as error:
            yield Finding(Severity.UNKNOWN, "topics", f"Couldn't check who gets {what}: {error}.", ask_for(str(error)))
            continue
        if found.confirmed:
            yield Finding(Severity.OK, "topics", f"Confirmed subscriptions that get all {what}: {found.confirmed:,}.")
            continue
        pending = (
            f" Not confirmed yet: {found.pending:,}; the confirmation link is in an email." if found.pending else ""
        )
        subscribe = f"aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint YOU@EXAMPLE.COM"
        text = f"Nobody gets all {what}: the topic has no confirmed subscription without a filter.{pending}"
        yield Finding(Severity.WARNING, "topics", text, aws(subscribe))


def guarded(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings. If AWS refuses a request, only this check ends."""
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001 -- an unknown one is raised again
        yield couldnt_be_checked(check, error)


def couldnt_be_checked(check: str, error: Exception) -> Finding:
    """Return the finding for an error that ended a check. Raise the error if it's a bug in this command."""
    known = explained(error)
    if known is None:
        raise error
    return Finding(Severity.UNKNOWN, check, f"Couldn't be checked. {known}")


def _unused(mapping: ContractMapping, known: set[str]) -> list[str]:
    return [name for name, _ in mapping.pairs if not any(matches(name, queue) for queue in known)]


def _show(location: str) -> str:
    scheme, _, place = location.partition(":")
    if scheme == "ssm":
        return aws(f"aws ssm get-parameter --name {shell_word(place)}")
    return aws(f"aws s3 cp {shell_word(location)} -")


def _waiter(status: str) -> str:
    """Return the waiter for the end of a change (AWS CLI reference, "cloudformation wait")."""
    if "ROLLBACK" in status:
        return "stack-rollback-complete"
    return f"stack-{status.partition('_')[0].lower()}-complete"


def _deploy(stack: Stack, more: Iterable[str]) -> str:
    now = [pattern for pattern in stack.parameters.get("QueueNamePattern", "").split(",") if pattern]
    wanted = [*now, *sorted({*more} - {*now})]
    # More don't fit, so the operator must combine them with *.
    patterns = ",".join(wanted) if len(wanted) <= _MOST_PATTERNS else "PATTERN,PATTERN"
    overrides = shell_word(f'QueueNamePattern="{patterns}"')
    return aws(f"sam deploy --stack-name {stack.name} --parameter-overrides {overrides}")
