"""A client that is shared refuses what would change the requests of others, as long as it is shared."""

import boto3
import pytest

from local.shared_client import shared


def handler(**_):
    pass


@pytest.mark.parametrize("how", ["register", "register_first", "register_last"])
def test_only_a_handler_that_is_the_same_for_all_is_accepted(how):
    users = [1]
    events = shared(boto3.client("sqs"), lambda: bool(users)).meta.events
    with pytest.raises(TypeError, match="Expected a client with a config of its own"):
        getattr(events, how)("own-event", handler)
    assert events.emit("own-event") == []
    getattr(events, how)("own-event", handler, unique_id="the-same")
    assert events.emit("own-event") == [(handler, None)]
    users.clear()
    getattr(events, how)("own-event", lambda **_: 1)
    assert 1 in [answer for _, answer in events.emit("own-event")]
