"""What the settings of consumers mean for a redrive, by AWS's published recommendations."""

import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.messages.consumers import ConsumedQueue, Consumer, warnings_of

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
POLICY = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:orders-dlq", "maxReceiveCount": 3})

# Not built by `builds`: Hypothesis would add what their signatures call visibilityTimeout.
consumers = st.fixed_dictionaries(
    {
        "function": st.just("worker:live"),
        "mapping": st.uuids().map(str),
        "state": st.sampled_from(["Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting"]),
        "batch_size": st.integers(1, 10_000),
        "batching_window": st.integers(0, 300),
        "max_concurrency": st.none() | st.integers(2, 1000),
        "reports_failures": st.booleans(),
        "filtered": st.booleans(),
        "timeout": st.none() | st.integers(1, 5400),
    }
).map(lambda values: Consumer(**values))
queues = st.fixed_dictionaries(
    {
        "queue": st.just("orders"),
        "visibility_timeout": st.integers(0, 43_200),
        "max_receives": st.none() | st.integers(1, 1000),
        "consumers": st.none() | st.lists(consumers, max_size=3).map(tuple),
        "warnings": st.just(()),
    }
).map(lambda values: ConsumedQueue(**values))


def found(queue: ConsumedQueue) -> list[tuple[str, list[str]]]:
    return [(warning.text, shlex.split(warning.remedy)) for warning in warnings_of(queue, URL, POLICY)]


@given(queues)
def test_each_warning_is_there_if_its_rule_is_broken_and_only_then(queue):
    of = queue.consumers or ()
    texts = [text for text, _ in found(queue)]

    def count(part: str) -> int:
        return sum(part in text for text in texts)

    assert count("only pile up") == sum(one.state in {"Disabled", "Disabling", "Deleting"} for one in of)
    assert count("Lambda deletes messages") == sum(one.filtered for one in of)
    assert count("sends its whole batch back") == sum(one.batch_size > 1 and not one.reports_failures for one in of)
    known = [one for one in of if one.timeout is not None]
    recommended = [min(43_200, one.timeout * 6 + one.batching_window) for one in known]
    assert count("The visibility timeout") == any(queue.visibility_timeout < needed for needed in recommended)
    assert count("fail again") == any(queue.visibility_timeout < one.timeout for one in known)
    too_few = bool(of) and queue.max_receives is not None and queue.max_receives < 5
    assert count("throttled batches count as receives") == too_few


@given(queues)
def test_what_the_remedies_change_is_found_no_more(queue):
    changed = queue
    for text, remedy in found(queue):
        assert remedy[0] == "aws"
        if "--uuid" in remedy:
            changed = changed.model_copy(
                update={
                    "consumers": tuple(
                        one.model_copy(
                            update={
                                "state": "Enabled" if "--enabled" in remedy else one.state,
                                "reports_failures": one.reports_failures or "ReportBatchItemFailures" in remedy,
                            }
                        )
                        if one.mapping in remedy
                        else one
                        for one in changed.consumers or ()
                    )
                }
            )
        elif "RedrivePolicy" in text + remedy[-1]:
            policy = json.loads(json.loads(remedy[-1])["RedrivePolicy"])
            assert policy["deadLetterTargetArn"] == "arn:aws:sqs:eu-west-1:123456789012:orders-dlq"
            changed = changed.model_copy(update={"max_receives": policy["maxReceiveCount"]})
        else:
            assert remedy[3:5] == ["--queue-url", URL]
            seconds = int(remedy[-1].removeprefix("VisibilityTimeout="))
            assert 0 < seconds <= 43_200
            changed = changed.model_copy(update={"visibility_timeout": seconds})
    # A filter may be intentional, so the remedy only shows it.
    assert all("filter criteria" in text for text, _ in found(changed))


def test_a_queue_that_follows_every_recommendation_has_no_warning():
    consumer = Consumer(
        function="worker",
        mapping="1",
        state="Enabled",
        batch_size=10,
        batching_window=5,
        reports_failures=True,
        timeout=30,
    )
    queue = ConsumedQueue(queue="orders", visibility_timeout=185, max_receives=5, consumers=(consumer,))
    assert found(queue) == []
    assert len(found(queue.model_copy(update={"visibility_timeout": 184}))) == 1
