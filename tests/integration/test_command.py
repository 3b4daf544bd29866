"""The command without a stack: what it shows of an account, and that looking changes nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive import aws_session
from redrive.adapters.account import Account, ListedQueue
from redrive.command.main import COMMANDS, run
from tests.support.moto_cloud import MotoCloud, hook, hooked, moto_cloud
from tests.support.moto_stack import denied
from tests.support.shell import words

MARK = "zqxj"


pytestmark = pytest.mark.usefixtures("operator")


def printed(capsys, *arguments: str, exit_code: int = 0) -> str:
    """Run the command and return what it printed to standard output."""
    assert run(list(arguments)) == exit_code
    return str(capsys.readouterr().out)


# queues


def test_dead_letter_queues_with_messages_come_first(cloud, dlq, capsys):
    empty = cloud.queue("a-dlq")
    cloud.queue("a", dlq=empty)
    cloud.queue("b", dlq=empty)
    cloud.send(dlq, ["1"] * 12)

    lines = printed(capsys, "queues").splitlines()

    assert [line.split()[:2] for line in lines[1:]] == [["orders-dlq", "12"], ["a-dlq", "0"]]
    assert "a, b" in lines[2]
    assert "4 d" in lines[1] or "3 d 23 h" in lines[1]


def test_listing_queues_leaves_messages_visible(cloud, dlq, capsys):
    cloud.send(dlq, [str(number) for number in range(25)])
    printed(capsys, "queues")
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (25, 0)


def test_without_a_peek_no_message_is_received(cloud, dlq, capsys):
    cloud.send(dlq, ["1"])
    cloud.calls.clear()
    printed(capsys, "queues", "--no-peek")
    assert "sqs:ReceiveMessage" not in cloud.calls


def test_a_queue_with_a_redrive_policy_of_its_own_is_not_received_from(cloud, capsys):
    last = cloud.queue("last-dlq")
    middle = cloud.queue("middle-dlq", dlq=last)
    cloud.queue("first", dlq=middle)
    cloud.send(middle, ["1"])
    cloud.calls.clear()
    printed(capsys, "queues")
    assert "sqs:ReceiveMessage" not in cloud.calls


def test_a_work_queue_is_never_received_from(cloud, capsys):
    cloud.send(cloud.queue("payments"), ["1"])
    cloud.calls.clear()
    printed(capsys, "queues", "--all")
    assert "sqs:ReceiveMessage" not in cloud.calls


@pytest.mark.parametrize(
    "code",
    ["AccessDenied", "KMS.AccessDeniedException", "KMS.ThrottlingException", "AWS.SimpleQueueService.NonExistentQueue"],
)
def test_one_queue_that_cannot_be_read_costs_only_its_own_cell(cloud, dlq, capsys, code):
    other = cloud.queue("team-b-dlq")
    cloud.queue("team-b", dlq=other)
    cloud.send(dlq, ["1"])
    cloud.send(other, ["1"])

    def fail(params, **_):
        if params["QueueUrl"] == other.url:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "ReceiveMessage")

    with hook("provide-client-params.sqs.ReceiveMessage", fail):
        assert run(["queues"]) == 0
    found = capsys.readouterr()
    assert [line.split()[0] for line in found.out.splitlines()[1:]] == ["orders-dlq", "team-b-dlq"]
    assert "Couldn't look into some queues, because access was denied or SQS didn't answer: team-b-dlq" in found.err


def test_queues_cost_about_one_call_each(cloud, capsys):
    for number in range(40):
        cloud.queue(f"q{number}", dlq=cloud.queue(f"q{number}-dlq"))
    cloud.calls.clear()
    printed(capsys, "queues")
    assert len(cloud.calls) <= 1.1 * 80


@pytest.mark.usefixtures("dlq")
def test_all_queues_can_be_listed(capsys):
    assert "orders " in printed(capsys, "queues", "--all")
    assert "\norders " not in printed(capsys, "queues")


@pytest.mark.usefixtures("cloud")
def test_an_account_without_queues_is_said(capsys):
    assert run(["queues"]) == 0
    found = capsys.readouterr()
    assert found.out == ""
    assert "No dead-letter queue in us-east-1" in found.err


def test_json_has_a_version_and_the_same_facts(cloud, dlq, capsys):
    cloud.send(dlq, ["1", "2"])
    document = json.loads(printed(capsys, "queues", "--json"))
    assert document["version"] == 1
    assert document["places"] == [{"profile": None, "region": "us-east-1", "error": None, "notes": []}]
    [queue] = document["queues"]
    assert (queue["region"], queue["runningRun"], queue["lastRun"]) == ("us-east-1", None, None)
    assert (queue["name"], queue["messages"], queue["sources"]) == ("orders-dlq", 2, ["orders"])
    assert 0 < queue["firstExpiresInSeconds"] <= 345_600


# Queues across accounts and Regions


PROFILES = {"other": "eu-west-1", "locked": "us-east-1"}
FAR = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:far-dlq", "maxReceiveCount": 3}


@pytest.fixture
def places(operator, cloud, dlq, monkeypatch, tmp_path) -> MotoCloud:
    """Queues in two Regions and in an account `other`. The account `locked` denies everything in both Regions."""
    assert operator is None
    key = "aws_access_key_id = testing\naws_secret_access_key = testing\n"
    of_profiles = (f"[profile {name}]\nregion = {region}\n{key}" for name, region in PROFILES.items())
    (tmp_path / "config").write_text("".join(of_profiles))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        # These take precedence over the profile's Region.
        monkeypatch.delenv(name)
    sessions = aws_session.AwsSession

    def session(profile: str | None, region: str | None) -> aws_session.AwsSession:
        made = hooked(sessions(profile, region))
        if profile == "locked":
            made.register("before-call.sqs", lambda **_: denied("ListQueues")({}))
        return made

    monkeypatch.setattr(aws_session, "AwsSession", session)
    cloud.send(dlq, ["1"])
    there = sessions(region="eu-west-1").create_client("sqs")
    for name, policy in (("far-dlq", {}), ("far", {"RedrivePolicy": json.dumps(FAR)})):
        there.create_queue(QueueName=name, Attributes=policy)
    for _ in range(2):
        there.send_message(QueueUrl=there.get_queue_url(QueueName="far-dlq")["QueueUrl"], MessageBody="1")
    return cloud


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("regions", ["repeated", "us-east-1,eu-west-1", "eu-west-1,us-east-1, us-east-1"])
def test_queues_of_several_regions_are_in_one_table(capsys, regions):
    words = ["us-east-1", "--region", "eu-west-1"] if "," not in regions else [regions]
    assert run(["queues", "--region", *words]) == 0
    found = capsys.readouterr()
    rows = [line.split()[:3] for line in found.out.splitlines()]
    assert rows == [["QUEUE", "REGION", "MESSAGES"], ["far-dlq", "eu-west-1", "2"], ["orders-dlq", "us-east-1", "1"]]
    assert "redrive look far-dlq --region eu-west-1" in found.err


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    "before", [["--region", "us-east-1,eu-west-1"], ["--region=eu-west-1,", "--profile", "other,"]]
)
def test_places_may_precede_the_command_and_each_suggestion_names_one(capsys, before):
    for arguments in ([*before, "queues"], ["queues", *before]):
        assert run(arguments) == 0
        found = capsys.readouterr()
        assert "far-dlq" in found.out
        suggestion = words(found.err.splitlines()[-1].partition(": ")[2])
        assert suggestion[:3] == ["redrive", "look", "far-dlq"]
        assert suggestion[-2:] == ["--region", "eu-west-1"]
        assert not any("," in word for word in suggestion)


@pytest.mark.usefixtures("places")
def test_an_account_that_denies_everything_does_not_hide_the_others(capsys):
    arguments = ["queues", "--profile", "locked", "--profile", "other,missing"]
    assert run(arguments) == 1
    found = capsys.readouterr()
    assert [line.split()[0] for line in found.out.splitlines()] == ["QUEUE", "far-dlq"]
    assert "redrive: locked in us-east-1: These credentials don't allow ListQueues" in found.err
    assert "redrive: missing: The profile isn't in your AWS configuration." in found.err
    assert "redrive look far-dlq --profile other --region eu-west-1" in found.err
    assert run([*arguments, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [queue["profile"] for queue in document["queues"]] == ["other"]
    assert [place["error"] is None for place in document["places"]] == [False, True, False]


@pytest.mark.usefixtures("places")
def test_the_only_account_that_denies_everything_is_an_error(capsys):
    assert run(["queues", "--profile", "locked"]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("redrive: These credentials don't allow ListQueues")


@pytest.mark.usefixtures("dlq")
def test_queues_whose_attributes_are_denied_are_said_in_order(cloud, capsys):
    cloud.answers["sqs.GetQueueAttributes"] = denied("GetQueueAttributes")
    assert run(["queues"]) == 0
    assert (
        "Couldn't look into some queues, because access was denied or SQS didn't answer: orders, orders-dlq"
        in capsys.readouterr().err
    )


def test_messages_that_stay_invisible_after_a_look_are_said(cloud, dlq, capsys):
    cloud.send(dlq, ["1", "2"])
    cloud.answers["sqs.ChangeMessageVisibilityBatch"] = denied("ChangeMessageVisibility")
    assert run(["queues"]) == 0
    err = capsys.readouterr().err
    said = f"stay invisible for 30 seconds, because making them visible was denied or failed: {dlq.name}"
    assert said in " ".join(err.split())
    assert "Couldn't look" not in err


@pytest.mark.usefixtures("dlq")
def test_a_long_list_shows_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr("redrive.command.queues._SILENT", 0)
    monkeypatch.setattr("redrive.command.queues._EVERY", 0.01)
    listed = Account.listed

    def slowly(account: Account) -> list[ListedQueue]:
        found = listed(account)
        threading.Event().wait(0.3)
        return found

    monkeypatch.setattr(Account, "listed", slowly)
    assert run(["queues", "--no-peek"]) == 0
    found = capsys.readouterr()
    assert "Queues: " in found.err
    assert "looked at" in found.err
    assert run(["queues", "--no-peek", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


# look


def test_looking_shows_groups_and_moves_nothing(cloud, dlq, capsys):
    cloud.send(dlq, [json.dumps({"order_id": MARK, "quantity": 1})] * 20)
    shown = printed(capsys, "look", "orders-dlq", "--sample", "5")
    assert "orders-dlq: about 20 messages" in shown
    assert "100%" in shown
    assert "orders" in shown
    assert MARK not in shown
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (20, 0)


def test_looking_never_sends_or_deletes(cloud, dlq, capsys):
    cloud.send(dlq, ["1"] * 3)
    cloud.calls.clear()
    printed(capsys, "look", "orders-dlq", "--full")
    assert not {"sqs:SendMessage", "sqs:DeleteMessage"} & set(cloud.calls)


def test_a_contract_in_a_file_shows_what_breaks_it(cloud, dlq, capsys):
    cloud.send(dlq, [json.dumps({"order_id": "1", "quantity": 1})] * 3 + [json.dumps({"order_id": "1"})])
    arguments = ("look", "orders-dlq", "--full", "--contract", "docs/snippets/order.schema.json")
    shown = printed(capsys, *arguments, exit_code=6)
    assert "quarantined: contract-violated" in shown or "quarantined" in shown
    assert "25%" in shown
    assert run(["look", "orders-dlq", "--full", "--contract", "others=docs/snippets/order.schema.json"]) == 0
    found = capsys.readouterr()
    assert "quarantined" not in found.out
    assert "No message would go to others" in found.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "can't be read"),
        ("{", "found no JSON"),
        ('{"type": 1}', "isn't a JSON Schema"),
        ("[" * 100_000, "found no JSON"),
    ],
)
@pytest.mark.usefixtures("dlq")
def test_a_contract_that_cannot_be_used_is_refused_before_anything_is_received(cloud, capsys, tmp_path, text, expected):
    file = tmp_path / "contract.json"
    if text is not None:
        file.write_text(text)
    cloud.calls.clear()
    assert run(["look", "orders-dlq", "--contract", str(file)]) == 2
    assert expected in capsys.readouterr().err
    assert cloud.calls == []


@pytest.mark.usefixtures("dlq")
def test_an_unknown_queue_is_rejected_with_similar_names(capsys):
    assert run(["look", "order-dlq"]) == 4
    error = capsys.readouterr().err
    assert "There is no queue order-dlq in us-east-1. Did you mean orders-dlq" in error


@pytest.mark.usefixtures("dlq")
def test_a_source_queue_is_rejected_with_its_dead_letter_queue(capsys):
    assert run(["look", "orders"]) == 4
    assert "orders-dlq" in capsys.readouterr().err


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("orders", "redrive look orders-dlq"),
        ("arn:aws:sqs:eu-west-1:123456789012:orders-dlq", "Pass --region eu-west-1."),
        ("arn:aws:sqs:us-east-1:210987654321:orders-dlq", "Pass a --profile of that account."),
    ],
)
def test_a_refusal_says_what_to_do_in_a_terminal(capsys, given, expected):
    assert run(["look", given]) == 4
    error = capsys.readouterr().err
    assert expected in error
    assert "Deploy" not in error
    assert "Start the run" not in error


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize("arguments", [["look", ""], ["look", "orders-dlq", "--full", "--sample", "5"]])
def test_arguments_that_contradict_or_say_nothing_are_wrong_usage(capsys, arguments):
    assert run(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_what_to_run_next_has_the_contract_and_the_destination(cloud, dlq, capsys):
    cloud.send(dlq, ["{}"] * 12)
    given = "--destination orders --contract docs/snippets/order.schema.json"
    assert run(["look", "orders-dlq", "--sample", "1", *given.split()]) == 6
    assert f"redrive look orders-dlq {given} --full\n" in capsys.readouterr().err
    assert run(["look", "orders-dlq", "--full", *given.split()]) == 6
    assert f"redrive plan orders-dlq {given}\n" in capsys.readouterr().err
    assert run(["plan", "orders-dlq", *given.split()]) == 6
    assert f"redrive move orders-dlq {given}\n" in capsys.readouterr().err


def test_a_contract_is_given_by_pattern_as_in_a_stack(cloud, dlq, capsys):
    cloud.send(dlq, ["no json"])
    schema = "docs/snippets/order.schema.json"
    assert "quarantined" in printed(capsys, "look", "orders-dlq", "--contract", f"or*={schema}", exit_code=6)


def test_not_all_of_a_fifo_queue_can_be_seen_and_it_says_so(cloud, capsys):
    found = cloud.queue("f-dlq.fifo")
    cloud.queue("f.fifo", dlq=found)
    entries = [
        {"MessageBody": str(number), "MessageGroupId": "one", "MessageDeduplicationId": str(number)}
        for number in range(12)
    ]
    cloud.send(found, entries)
    assert run(["look", "f-dlq.fifo", "--full"]) == 0
    assert "--full" not in capsys.readouterr().err


def test_the_report_is_there_as_json(cloud, dlq, capsys):
    cloud.send(dlq, ["1"] * 4)
    document = json.loads(printed(capsys, "--json", "look", "orders-dlq"))
    assert document["report"]["status"] == "DRY_RUN"
    assert document["report"]["sample"]["sampled"] == 4
    assert sum(document["arrivals"]["counts"]) == 4


@pytest.mark.usefixtures("dlq")
def test_an_empty_queue_is_said(capsys):
    assert run(["look", "orders-dlq"]) == 0
    assert "It is empty." in capsys.readouterr().err


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=50),
        min_size=1,
        max_size=10,
    )
)
def test_whatever_messages_contain_the_terminal_gets_no_control_characters(bodies, capsys):
    accepted = [
        body
        for body in bodies
        if all(sign in "\t\n\r" or sign >= " " for sign in body) and not set(body) & {"\ufffe", "\uffff"}
    ]
    with moto_cloud() as cloud:
        found = cloud.queue("orders-dlq")
        cloud.queue("orders", dlq=found)
        cloud.send(found, [f"{body}\x9b31m<b>{MARK}" for body in accepted] or ["1"])
        assert run(["look", "orders-dlq", "--full"]) in {0, 6}
    shown = capsys.readouterr()
    assert MARK not in shown.out + shown.err
    assert not [sign for sign in shown.out if sign != "\n" and not sign.isprintable()]


# What every command has


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    text = printed(capsys, name, "--help")
    for option in ("--profile", "--region", "--json", "--quiet"):
        assert option in text


@pytest.mark.parametrize("arguments", [["bogus"], ["look"], ["look", "a", "--sample", "0"], ["queues", "--nope"]])
def test_wrong_usage_is_said_in_one_line_and_exits_with_2(arguments, capsys):
    assert run(arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["move", "start", "stop", "watch"])
@pytest.mark.parametrize("stack", ["", " ", "a b", "a\x1b[31m", "1a", "*"])
@pytest.mark.usefixtures("cloud")
def test_what_names_no_stack_is_wrong_usage(name, stack, capsys):
    """CloudFormation would read an empty name, as from an unset variable, as all stacks."""
    assert run([name, *(["orders-dlq"] if name != "watch" else []), "--stack", stack]) == 2
    assert "expected the name or ARN of a stack" in capsys.readouterr().err


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>zqxj</p>", b"\n<HTML><body>zqxj<br></body></HTML>"])
@pytest.mark.parametrize("arguments", [["queues"], ["look", "orders-dlq"], ["watch", "some-run"]])
def test_a_web_page_instead_of_an_answer_is_no_traceback(arguments, page, monkeypatch, capsys):
    """Such an answer comes from a network's sign-in page, or from another server at AWS_ENDPOINT_URL."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        assert run(arguments) == 1
        server.shutdown()
    error = capsys.readouterr().err
    assert "isn't from AWS" in error
    assert "zqxj" not in error


def test_a_missing_profile_is_no_traceback(capsys):
    assert run(["queues", "--profile", "no-such-profile"]) == 1
    assert "aws configure list-profiles" in capsys.readouterr().err
