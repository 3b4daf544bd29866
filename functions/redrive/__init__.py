"""The redrive workflow: handlers parse, the domain decides, adapters act.

Each Lambda of the workflow is one module in `redrive.handlers`; nothing in `redrive.domain` knows AWS.
"""
