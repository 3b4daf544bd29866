"""Makes ministack behave as AWS documents it, as far as this project would notice the difference.

``local.launch`` calls :func:`apply` before it starts ministack. Each module patches one service; each patch says what
AWS does and what ministack does instead.
"""

from __future__ import annotations

import importlib

from local.ministack_compat import fit

MODULES = (
    "sqs",
    "senders",
    "message_move",
    "lambda_runtime",
    "lambda_async",
    "recursion",
    "event_source_mapping",
    "step_functions",
    "step_functions_map",
    "step_functions_integrations",
    "task_gate",
    "sns",
    "cloudformation",
    "cloudwatch",
    "eventbridge",
    "eventbridge_dead_letters",
)


def apply() -> None:
    """Check that ministack fits, then put every patch in place.

    Raises
    ------
    local.ministack_compat.fit.MinistackMisfitError
        Another version of ministack is installed, or it lacks something that is patched.
    """
    fit.check_version()
    for name in MODULES:
        importlib.import_module(f"local.ministack_compat.{name}").apply()
