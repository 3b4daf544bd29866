"""The page of a run: its report as one HTML file that needs nothing else.

Made by the report step and by the `redrive` command.
"""
