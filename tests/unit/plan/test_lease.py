"""A lease in a queue's tag: what was written is read again, and whatever else is there is no lease."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.errors import RejectedError
from redrive.domain.plan.lease import LEASE_TAG, Lease, check_lease, lease_in
from redrive.domain.plan.rates import declared_max_rate
from tests.support import factories

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
DLQ = factories.queue("orders-dlq")


@given(
    host=st.text(max_size=100),
    seconds=st.integers(-1000, 1000),
    zone=st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)
def test_what_is_written_is_a_tag_that_aws_accepts_and_is_read_again(host, seconds, zone):
    until = (NOW + timedelta(seconds=seconds)).astimezone(zone)
    text = Lease("move-20261129T030000-ab12cd", host, until).to_tag()
    # SQS developer guide, "Quotas related to queues".
    assert re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]{1,256}", text)
    found = lease_in({LEASE_TAG: text})
    assert found is not None
    assert (found.run, found.until) == ("move-20261129T030000-ab12cd", until)


@given(st.text(max_size=60) | st.from_regex(r"run=\S+ host=\S* until=[0-9T:.+-]+"))
def test_any_other_text_is_no_lease_or_one_that_is_compared_with_the_time(text):
    found = lease_in({LEASE_TAG: text})
    assert found is None or found.until.tzinfo is not None


def test_another_runs_lease_is_respected_until_it_ends():
    tags = {LEASE_TAG: Lease("move-1", "anna laptop", NOW + timedelta(seconds=60)).to_tag()}
    with pytest.raises(RejectedError, match=r"move-1 on the machine anna-laptop.*orders-dlq.*03:01:00 UTC"):
        check_lease(DLQ, tags, NOW)
    check_lease(DLQ, tags, NOW + timedelta(seconds=60))
    check_lease(DLQ, tags, NOW, ("move-0", "move-1"))
    check_lease(DLQ, {}, NOW)


def test_the_tag_is_no_misspelled_max_rate():
    assert declared_max_rate(DLQ, {LEASE_TAG: Lease("move-1", "host", NOW).to_tag()}) is None
