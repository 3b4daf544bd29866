"""What SQS's errors mean to a lane: try again, give up one letter, or end the run."""

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from redrive.adapters.pipeline import _batch_result
from redrive.adapters.sqs import entry_failure_of, failure_of
from redrive.domain.lane import BatchResult, Failure, Trouble

ENDPOINT = {"endpoint_url": "https://sqs.us-east-1.amazonaws.com"}
# SQS API reference, "Common errors" and the lists of SendMessageBatch, ReceiveMessage and DeleteMessageBatch.
# The codes are those of the query protocol, which SQS tells JSON clients in the x-amzn-query-error header.
CODES = [
    ("RequestThrottled", 403, Trouble.THROTTLED),
    ("ThrottlingException", 400, Trouble.THROTTLED),
    ("KMS.ThrottlingException", 400, Trouble.THROTTLED),
    ("AWS.SimpleQueueService.NonExistentQueue", 400, Trouble.GONE),
    ("QueueDoesNotExist", 400, Trouble.GONE),
    ("AWS.SimpleQueueService.QueueDeletedRecently", 400, Trouble.GONE),
    ("AccessDenied", 403, Trouble.GONE),
    ("AccessDeniedException", 400, Trouble.GONE),
    ("InvalidClientTokenId", 403, Trouble.GONE),
    ("KMS.AccessDeniedException", 400, Trouble.GONE),
    ("KMS.DisabledException", 400, Trouble.GONE),
    ("KMS.InvalidStateException", 400, Trouble.GONE),
    ("KMS.NotFoundException", 400, Trouble.GONE),
    ("KMS.OptInRequired", 400, Trouble.GONE),
    ("OverLimit", 403, Trouble.LIMIT),
    ("InvalidMessageContents", 400, Trouble.REFUSED),
    ("BatchRequestTooLong", 400, Trouble.REFUSED),
    ("AWS.SimpleQueueService.BatchRequestTooLong", 400, Trouble.REFUSED),
    ("ReceiptHandleIsInvalid", 400, Trouble.REFUSED),
    ("InternalError", 500, Trouble.UNCERTAIN),
    ("InternalFailure", 500, Trouble.UNCERTAIN),
    ("ServiceUnavailable", 503, Trouble.UNCERTAIN),
    ("Unheard.Of", 502, Trouble.UNCERTAIN),
    ("Unheard.Of", 400, Trouble.REFUSED),
]


def client_error(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "SendMessageBatch")  # type: ignore[arg-type]


@pytest.mark.parametrize(("code", "status", "trouble"), CODES)
def test_an_error_of_a_request_is_told_by_its_code_and_status(code, status, trouble):
    assert failure_of(client_error(code, status)) == Failure(code, trouble)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (EndpointConnectionError(**ENDPOINT), Trouble.THROTTLED),
        (ConnectTimeoutError(**ENDPOINT), Trouble.THROTTLED),
        (ReadTimeoutError(**ENDPOINT), Trouble.UNCERTAIN),
    ],
)
def test_a_request_without_an_answer_may_have_been_carried_out_unless_it_never_left(error, trouble):
    assert failure_of(error) == Failure(type(error).__name__, trouble)


def test_an_error_answer_that_tells_nothing_is_an_error_all_the_same():
    assert failure_of(ClientError({}, "SendMessageBatch")).code == "Unknown"


@pytest.mark.parametrize(
    ("code", "sender_fault", "trouble"),
    [
        ("InternalError", False, Trouble.THROTTLED),
        ("ServiceUnavailable", False, Trouble.THROTTLED),
        ("RequestThrottled", True, Trouble.THROTTLED),
        ("InvalidMessageContents", True, Trouble.REFUSED),
        ("ReceiptHandleIsInvalid", True, Trouble.REFUSED),
        ("AccessDenied", True, Trouble.GONE),
        ("OverLimit", True, Trouble.LIMIT),
    ],
)
def test_an_entry_that_failed_was_not_carried_out_for_certain(code, sender_fault, trouble):
    assert entry_failure_of(code, sender_fault=sender_fault) == Failure(code, trouble)


def test_only_what_sqs_lists_as_successful_was_carried_out():
    answer = {
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}],
    }
    assert _batch_result(answer, 3) == BatchResult(
        {1: Failure("InternalError", Trouble.THROTTLED), 2: Failure("NotListed", Trouble.UNCERTAIN)}
    )


def test_an_empty_answer_says_nothing_of_any_entry():
    assert _batch_result({}, 2).failed.keys() == {0, 1}
