"""Reads ARNs.

Used by selection and sampling, to show and match the name that a person knows a resource by.
"""

from __future__ import annotations


def arn_name(arn: str | None) -> str | None:
    """Return the resource name in an ARN: a function's without its qualifier, a schedule's without its group.

    None for anything that isn't an ARN, which an envelope may hold instead.
    """
    parts = arn.split(":") if arn is not None and arn.startswith("arn:") else ()
    if len(parts) < 6:
        return None
    if parts[2] == "lambda" and len(parts) > 6:
        return parts[6]
    return parts[-1].rsplit("/", 1)[-1]
