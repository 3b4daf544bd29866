"""The `redrive` command: what an operator runs in a terminal, with or without a deployed stack.

Composes the same workflow steps, domain, and adapters as the Lambda functions, and never imports a handler. Nothing
imports it, and Lambda gets none of its libraries (click, rich).
"""
