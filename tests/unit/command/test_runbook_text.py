"""The runbook as a reader sees it: tags show as plain text, whatever they contain, and a shell can run the commands."""

import html
import re
import shlex
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from redrive.adapters.stack import Stack
from redrive.command import markdown
from redrive.command.runbook_text import Runbook
from redrive.domain.messages.consumers import ConsumedQueue, Consumer
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plain_text import plain

HOSTILE = [
    "<script>",
    "`",
    "|",
    "\\",
    "[a](http://x)",
    "![",
    "&lt;",
    "*b*",
    "_",
    "~~",
    "\n# x",
    "\x1b[31m",
    "www.x.y",
    "$",
]
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=6).map("".join)
reader = MarkdownIt("commonmark").enable("table").enable("strikethrough")


def cells(page: str) -> list[str]:
    """Return the cells of all tables as a reader sees them."""
    found = re.findall(r"<td[^>]*>(.*?)</td>", reader.render(page), flags=re.DOTALL)
    assert not [cell for cell in found if re.search(r"<(?!/?code>|/?a[ >])", cell)], found
    return [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in found]


def runbook(tags: dict[str, str] | None = None, *, stack: bool = True, **values) -> Runbook:
    arn = "arn:aws-cn:sqs:cn-north-1:123456789012:orders-dlq"
    consumer = Consumer(function="worker:live", mapping="1", state="Enabled", batch_size=1, log_group="/aws/lambda/a b")
    known = Stack("sqs-redrive", "arn", "t", "f", "https://q/quarantine", "topic", None, "0.2.0", {})
    return Runbook(
        **{
            "dlq": QueueRef(name="orders-dlq", arn=arn, url="https://q/orders-dlq", fifo=False, max_bytes=262144),
            "retention": 1_209_600,
            "tags": tags or {},
            "consumed": [ConsumedQueue(queue="orders", visibility_timeout=30, max_receives=5, consumers=(consumer,))],
            "max_rates": {"orders": 40.0},
            "contracts": {},
            "stack": known if stack else None,
            "unreadable": [],
            "made_at": datetime(2026, 11, 29, tzinfo=UTC),
            **values,
        }
    )


@given(texts)
def test_text_is_shown_as_it_is(given):
    [_, cell] = cells(f"| a | b |\n| --- | --- |\n| x | {markdown.text(given)} |")
    assert cell.strip() == plain(given).strip()


@given(texts)
def test_code_is_shown_as_it_is(given):
    [_, cell] = cells(f"| a | b |\n| --- | --- |\n| x | {markdown.code(given)} |")
    assert cell.strip() == plain(given).strip()


@given(st.dictionaries(st.sampled_from(["owner", "Team", "acme:contact", "cost"]), texts), texts)
def test_whatever_tags_and_locations_say_the_page_keeps_its_form(tags, location):
    page = str(runbook(tags, contracts={"orders": location}))
    found = [cell.strip() for cell in cells(page)]
    assert [plain(tags[tag]).strip() in found for tag in ("owner", "Team", "acme:contact") if tag in tags].count(
        False
    ) == 0
    assert plain(location).strip() in found
    assert re.findall("(?m)^#+ .*", page) == ["# Runbook: orders-dlq", "## Consumers", "## Redrive"]


def commands(page: str) -> list[list[str]]:
    blocks = re.findall(r"<pre><code>(.*?)</code></pre>", reader.render(page), flags=re.DOTALL)
    return [shlex.split(html.unescape(line)) for block in blocks for line in block.splitlines()]


def test_a_stack_redrives_with_start_and_within_the_max_rate():
    shown = commands(str(runbook()))
    verbs = [words[1] for words in shown]
    assert verbs == ["look", "start", "start", "start", "watch", "stop", "runs", "start"]
    assert "--dry-run" in shown[1]
    assert shown[2][3:7] == ["--rate", "5", "--max-messages", "10"]
    assert shown[3][3:5] == ["--rate", "40"]


def test_without_a_stack_the_commands_need_none():
    shown = commands(str(runbook(stack=False)))
    assert [words[1] for words in shown] == ["look", "plan", "move", "move", "move"]


def test_logs_are_linked_in_the_console_of_the_partition():
    expected = "https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=cn-north-1#logsV2:log-groups/log-group/"
    assert f"({expected}$252Faws$252Flambda$252Fa$2520b)" in str(runbook())


def test_the_deadline_of_a_fifo_queue_counts_from_its_arrival():
    assert "14 d after it was first sent" in str(runbook())
    fifo = runbook().dlq.model_copy(update={"fifo": True})
    assert "14 d after it arrived in this queue" in str(runbook(dlq=fifo))
