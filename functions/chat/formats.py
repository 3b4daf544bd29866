"""Formats notices for chat: as a custom notification for Amazon Q Developer or as a message for a Slack webhook.

Called by the handlers in `chat.handlers`.
"""

from __future__ import annotations

from typing import Any

from chat.notices import Notice

# Slack's limits: 150 characters in a header, 3,000 in a text, 2,000 in a field, 10 fields (Slack block reference,
# "Header block" and "Section block").
_HEADER_LENGTH = 150
_TEXT_LENGTH = 3000
_FIELD_LENGTH = 2000
_FIELDS = 10
_STEPS = 10


def custom_notification(notice: Notice) -> dict[str, Any]:
    """Return the notice in the format that Amazon Q Developer in chat applications reads from an SNS topic.

    Notices of the same run, alarm, or queue share a thread. Source: Amazon Q Developer in chat applications
    administrator guide, "Custom notifications", "Event schema".
    """
    lines = [
        *([notice.reason] if notice.reason else []),
        *(f"{name}: {value}" for name, value in notice.facts),
    ]
    to_do = [*notice.to_do, *(f"{title}: {link}" for title, link in _links(notice))]
    return {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": notice.title,
            "description": _cut("\n".join(lines) or notice.title, _TEXT_LENGTH),
            "nextSteps": to_do[:_STEPS],
            "keywords": [notice.status, notice.about],
        },
        "metadata": {
            "threadId": notice.thread,
            "summary": notice.title,
            "eventType": f"redrive-{notice.status}".lower(),
            "relatedResources": list(notice.resources),
            "additionalContext": dict(notice.facts),
        },
    }


def slack_message(notice: Notice) -> dict[str, Any]:
    """Return the notice in the format of a Slack webhook.

    Notifications on a phone show `text`; the channel shows the blocks (Slack documentation, "Sending messages using
    incoming webhooks").
    """
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(notice.title, _HEADER_LENGTH)}}
    ]
    if notice.reason:
        blocks.append(_section(_escaped(notice.reason)))
    if notice.facts:
        fields = [
            {"type": "mrkdwn", "text": _cut(f"*{_escaped(name)}*\n{_escaped(value)}", _FIELD_LENGTH)}
            for name, value in notice.facts[:_FIELDS]
        ]
        blocks.append({"type": "section", "fields": fields})
    if notice.to_do:
        blocks.append(_section("\n".join(f"• {_escaped(step)}" for step in notice.to_do)))
    if links := _links(notice):
        blocks.append(_section(" · ".join(f"<{_escaped(link)}|{title}>" for title, link in links)))
    return {"text": _escaped(notice.title), "blocks": blocks}


def _links(notice: Notice) -> list[tuple[str, str]]:
    links = (("Open the report page", notice.page), ("Open in the console", notice.link))
    return [(title, link) for title, link in links if link]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _TEXT_LENGTH)}}


def _escaped(text: str) -> str:
    # Slack documentation, "Formatting message text", "Escaping text".
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
