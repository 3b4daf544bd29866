"""What SQS answers if it can't use the KMS key that encrypts a queue, and what to do about it.

Used wherever an operator is told why a queue can't be read or sent to.
"""

from redrive.domain.names import display_name

#: Codes of SQS (API reference, SendMessageBatch and ReceiveMessage): as its JSON protocol names them and, with periods,
#: as the query protocol does, which botocore reports. A throttled key isn't among them: that passes.
KEY_ERRORS = frozenset(
    {
        *("KmsAccessDenied", "KMS.AccessDeniedException"),
        *("KmsDisabled", "KMS.DisabledException"),
        *("KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException"),
        *("KmsInvalidState", "KMS.InvalidStateException"),
        *("KmsNotFound", "KMS.NotFoundException"),
        *("KmsOptInRequired", "KMS.OptInRequired"),
    }
)


#: Who needs the keys of a deployment's queues.
KEY_USERS = "the roles of this stack's sampler and mover"


def key_remedy(queue: str, users: str = KEY_USERS) -> str:
    """Return what lets SQS use the key of a queue for its users: two sentences.

    SQS developer guide, "Key management": who receives needs kms:Decrypt, who sends kms:GenerateDataKey as well.
    """
    return (
        f"SQS can't use the KMS key that encrypts {display_name(queue)}. Make sure that the key is enabled, and that "
        f"its policy allows {users} kms:Decrypt and kms:GenerateDataKey."
    )
