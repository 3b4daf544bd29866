"""Tells a chat channel what the redrive and its alarms tell their topics.

Optional: deployed by template.yaml when a Slack channel or a webhook is given. docs/chat.md tells how.
"""
