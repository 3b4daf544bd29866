"""`redrive doctor`: checks what a redrive depends on and says what to do about each finding."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click
from click.core import ParameterSource

from redrive.adapters.account import Account, Caller, ListedQueue
from redrive.adapters.checkup import Checkup
from redrive.adapters.error_codes import DENIED, error_code
from redrive.adapters.stack import Stack, StackError, StackNotFoundError, find_stack
from redrive.command import doctor_queues, doctor_stack
from redrive.command.doctor_findings import Finding, Severity, ask_for, document_of, print_findings
from redrive.command.doctor_queues import Setup
from redrive.command.doctor_stack import couldnt_be_checked, guarded
from redrive.command.exits import Exit
from redrive.command.output import Output, names
from redrive.command.shared import again, shared, with_stack

# Most services reject a request whose time is off by five minutes (AWS General Reference, "Signing AWS API requests").
_CLOCK_ERROR = timedelta(minutes=5)


@click.command("doctor", short_help="Check credentials, queues, consumers, and the stack.")
@with_stack
@shared
@click.pass_context
def command(context: click.Context, *, stack_name: str) -> int:
    """Check what a redrive depends on.

    That includes credentials and permissions, queues with their keys and consumers, and the stack with its contracts
    and topics.

    Changes nothing and receives no messages. Says how to fix each problem. Exit code 6 means that there are problems or
    warnings.
    """
    output = context.ensure_object(Output)
    account = Account(output.profile, output.region)
    account.use()
    caller = account.caller()
    output.say("Checking the account ...")
    stack, findings = _stack(context, account, stack_name)
    queues, unlisted = _queues(account, stack)
    setup = Setup(output, account, Checkup(account), queues, not unlisted, stack)
    output.say(f"Checking dead-letter queues: {len(setup.dlqs):,} ...")
    findings = [*_credentials(account, caller), *unlisted, *findings, *_checks(setup)]
    if output.as_json:
        output.document(
            account=caller.account_id,
            region=account.region,
            caller=caller.arn,
            stack=None if stack is None else {"name": stack.name, "version": stack.version},
            findings=document_of(findings),
        )
    else:
        print_findings(output, findings)
    wrong = sum(finding.severity in {Severity.PROBLEM, Severity.WARNING} for finding in findings)
    unknown = sum(finding.severity is Severity.UNKNOWN for finding in findings)
    output.say("")
    output.say(
        (f"Problems and warnings: {wrong:,}." if wrong else "No problems found.")
        + (f" Not checked: {unknown:,}." if unknown else "")
    )
    return Exit.LEFT if wrong else Exit.DONE


def _queues(account: Account, stack: Stack | None) -> tuple[list[ListedQueue], list[Finding]]:
    """Return the queues. If they can't be listed, return those that the stack names, and a finding."""
    try:
        return account.listed(), []
    except Exception as error:
        if error_code(error) not in DENIED:
            raise
    found = account.listed(stack.named_queues if stack else [])
    checked = f"only {names(queue.name for queue in found)} can be checked" if found else "queues can't be checked"
    text = (
        f"sqs:ListQueues is denied, so {checked}, and patterns and unused contracts can't; `redrive queues` needs it."
    )
    return found, [Finding(Severity.WARNING, "permissions", text, ask_for("sqs:ListQueues"))]


def _credentials(account: Account, caller: Caller) -> Iterator[Finding]:
    text = f"{caller.arn}, account {caller.account_id}, {account.region}."
    yield Finding(Severity.OK, "credentials", text)
    if abs(caller.clock_error) > _CLOCK_ERROR:
        minutes = abs(caller.clock_error).total_seconds() / 60
        yield Finding(
            Severity.WARNING,
            "credentials",
            f"This computer's clock is off by {minutes:,.0f} minutes, so AWS rejects requests.",
            "Turn on time synchronization.",
        )


def _stack(context: click.Context, account: Account, name: str) -> tuple[Stack | None, list[Finding]]:
    """Return the stack, or a finding if there is none. That's a problem only if the operator named the stack."""
    try:
        return find_stack(account, name), []
    except StackNotFoundError as error:
        if context.get_parameter_source("stack_name") is not ParameterSource.DEFAULT:
            return None, [Finding(Severity.PROBLEM, "stack", str(error))]
        text = f"{error} Without a stack, runs, queue patterns, contracts, and topics can't be checked."
        return None, [Finding(Severity.UNKNOWN, "stack", text)]
    except StackError as error:
        return None, [Finding(Severity.PROBLEM, "stack", str(error))]
    except Exception as error:  # noqa: BLE001 -- an unknown one is raised again
        return None, [couldnt_be_checked("stack", error)]


def _checks(setup: Setup) -> Iterator[Finding]:
    if not setup.dlqs and setup.all_listed:
        text = f"There is no dead-letter queue in {setup.account.region} that these credentials can read."
        yield Finding(Severity.WARNING, "queues", text, again("redrive queues --all"))
    yield from guarded("permissions", doctor_queues.permissions(setup))
    if setup.stack is not None:
        yield from guarded("stack", doctor_stack.state(setup, setup.stack))
        if setup.all_listed:
            yield from guarded("patterns", doctor_stack.patterns(setup, setup.stack))
        yield from guarded("runs", doctor_stack.runs(setup, setup.stack))
        yield from guarded("contracts", doctor_stack.contracts(setup, setup.stack))
        yield from guarded("topics", doctor_stack.topics(setup, setup.stack))
    yield from guarded("runs", doctor_queues.leases(setup))
    yield from guarded("keys", doctor_queues.keys(setup))
    yield from guarded("retention", doctor_queues.retention(setup))
    yield from guarded("consumers", doctor_queues.consumers(setup))
