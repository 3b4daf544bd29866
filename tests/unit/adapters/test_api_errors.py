"""What errors of SQS, Lambda, and Step Functions mean to a lane: try again, leave one message, or end the run."""

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.loaders import Loader

from redrive.adapters.api_errors import api_error_of, entry_error_of
from redrive.adapters.pipeline import _batch_result
from redrive.domain.messages.destinations import Destination, Kind
from redrive.domain.messages.queue_keys import KEY_ERRORS
from redrive.domain.moving.actions import Action, ApiError, BatchResult, Delete, ErrorKind, Receive, Send
from redrive.domain.moving.rate_limiter import Departure

SQS_SHAPES = Loader().load_service_model("sqs", "service-2")["shapes"]
ENDPOINT = {"endpoint_url": "https://sqs.us-east-1.amazonaws.com"}
# SQS API reference, "Common errors" and the lists of SendMessageBatch, ReceiveMessage and DeleteMessageBatch.
# The codes are those of the query protocol, which JSON clients get in the x-amzn-query-error header.
CODES = [
    ("RequestThrottled", 403, ErrorKind.THROTTLED),
    ("ThrottlingException", 400, ErrorKind.THROTTLED),
    ("KMS.ThrottlingException", 400, ErrorKind.THROTTLED),
    ("AWS.SimpleQueueService.NonExistentQueue", 400, ErrorKind.GONE),
    ("QueueDoesNotExist", 400, ErrorKind.GONE),
    ("AWS.SimpleQueueService.QueueDeletedRecently", 400, ErrorKind.GONE),
    ("AccessDenied", 403, ErrorKind.GONE),
    ("AccessDeniedException", 400, ErrorKind.GONE),
    ("InvalidClientTokenId", 403, ErrorKind.GONE),
    *((code, 400, ErrorKind.GONE) for code in sorted(KEY_ERRORS)),
    ("OverLimit", 403, ErrorKind.LIMIT),
    ("InvalidMessageContents", 400, ErrorKind.REFUSED),
    ("BatchRequestTooLong", 400, ErrorKind.REFUSED),
    ("AWS.SimpleQueueService.BatchRequestTooLong", 400, ErrorKind.REFUSED),
    ("ReceiptHandleIsInvalid", 400, ErrorKind.REFUSED),
    ("InternalError", 500, ErrorKind.UNCERTAIN),
    ("InternalFailure", 500, ErrorKind.UNCERTAIN),
    ("ServiceUnavailable", 503, ErrorKind.UNCERTAIN),
    ("Unheard.Of", 502, ErrorKind.UNCERTAIN),
    ("Unheard.Of", 400, ErrorKind.REFUSED),
]


RECEIVE = Receive(10, 0.0, empty_handed=True)


def send_to(kind: Kind) -> Send:
    return Send(Destination(kind, "arn", "address", "name", 1), (), Departure(0, 0.0))


def client_error(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "SendMessageBatch")  # type: ignore[arg-type]


@pytest.mark.parametrize(("code", "status", "kind"), CODES)
@pytest.mark.parametrize("action", [RECEIVE, Delete((), ()), send_to(Kind.QUEUE), send_to(Kind.FIFO_QUEUE)])
def test_an_error_of_sqs_is_recognized_by_its_code_and_status(code, status, kind, action: Action):
    assert api_error_of(client_error(code, status), action) == ApiError(code, kind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(**ENDPOINT), ErrorKind.THROTTLED),
        (ConnectTimeoutError(**ENDPOINT), ErrorKind.THROTTLED),
        (ReadTimeoutError(**ENDPOINT), ErrorKind.UNCERTAIN),
    ],
)
def test_a_request_without_an_answer_may_have_been_carried_out_unless_it_never_left(error, kind):
    assert api_error_of(error, RECEIVE) == ApiError(type(error).__name__, kind)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyRequestsException", 429, ErrorKind.THROTTLED),
        ("EC2ThrottledException", 502, ErrorKind.THROTTLED),
        ("ResourceConflictException", 409, ErrorKind.THROTTLED),
        ("ResourceNotFoundException", 404, ErrorKind.GONE),
        ("AccessDeniedException", 403, ErrorKind.GONE),
        ("ExpiredTokenException", 403, ErrorKind.GONE),
        ("RequestTooLargeException", 413, ErrorKind.REFUSED),
        ("InvalidRequestContentException", 400, ErrorKind.REFUSED),
        ("ServiceException", 500, ErrorKind.UNCERTAIN),
        # What ends a run for Step Functions is no code of Lambda.
        ("StateMachineDoesNotExist", 400, ErrorKind.REFUSED),
    ],
)
def test_an_error_of_lambda_is_recognized_by_its_own_codes(code, status, kind):
    assert api_error_of(client_error(code, status), send_to(Kind.FUNCTION)) == ApiError(code, kind)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ExecutionLimitExceeded", 400, ErrorKind.THROTTLED),
        ("ThrottlingException", 400, ErrorKind.THROTTLED),
        ("KmsThrottlingException", 400, ErrorKind.THROTTLED),
        ("StateMachineDoesNotExist", 400, ErrorKind.GONE),
        ("StateMachineDeleting", 400, ErrorKind.GONE),
        ("KmsAccessDeniedException", 400, ErrorKind.GONE),
        ("InvalidExecutionInput", 400, ErrorKind.REFUSED),
        ("InternalServerError", 500, ErrorKind.UNCERTAIN),
        ("ResourceNotFoundException", 400, ErrorKind.REFUSED),
    ],
)
def test_an_error_of_step_functions_is_recognized_by_its_own_codes(code, status, kind):
    assert api_error_of(client_error(code, status), send_to(Kind.STATE_MACHINE)) == ApiError(code, kind)


def test_an_error_without_a_code_is_an_error_all_the_same():
    assert api_error_of(ClientError({}, "SendMessageBatch"), RECEIVE).code == "Unknown"


@pytest.mark.parametrize(
    ("code", "sender_fault", "kind"),
    [
        ("InternalError", False, ErrorKind.THROTTLED),
        ("ServiceUnavailable", False, ErrorKind.THROTTLED),
        ("RequestThrottled", True, ErrorKind.THROTTLED),
        ("InvalidMessageContents", True, ErrorKind.REFUSED),
        ("ReceiptHandleIsInvalid", True, ErrorKind.REFUSED),
        ("AccessDenied", True, ErrorKind.GONE),
        ("OverLimit", True, ErrorKind.LIMIT),
    ],
)
def test_an_entry_that_failed_was_certainly_not_carried_out(code, sender_fault, kind):
    assert entry_error_of(code, send_to(Kind.QUEUE), sender_fault=sender_fault) == ApiError(code, kind)


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.AccessDeniedException"])
def test_a_queue_that_only_some_messages_go_to_ends_no_run(code):
    action = Send(Destination(Kind.QUEUE, "arn", "address", "name", 1, met=True), (), Departure(0, 0.0))
    refused = ApiError(code, ErrorKind.REFUSED)
    assert api_error_of(client_error(code, 400), action) == entry_error_of(code, action, sender_fault=True) == refused


def test_the_model_of_sqs_names_every_error_of_keys():
    errors = {name for name, shape in SQS_SHAPES.items() if shape.get("exception") and name.startswith("Kms")}
    assert errors - KEY_ERRORS == {"KmsThrottled"}


def test_only_what_sqs_lists_as_successful_was_carried_out():
    answer = {
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}],
    }
    entries = [{"Id": str(place)} for place in range(3)]
    assert _batch_result(answer, send_to(Kind.QUEUE), entries) == BatchResult(
        {1: ApiError("InternalError", ErrorKind.THROTTLED), 2: ApiError("NotListed", ErrorKind.UNCERTAIN)}
    )


def test_an_empty_answer_says_nothing_of_any_entry():
    assert _batch_result({}, send_to(Kind.QUEUE), [{"Id": "0"}, {"Id": "1"}]).failed.keys() == {0, 1}
