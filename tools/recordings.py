"""Records the README's pictures of the command: `PYTHONPATH=functions python -m tools.recordings`.

Runs the command in a terminal, on a dead-letter queue in an embedded cloud. Run this after changing the command's
output.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import time

from rich.console import Console
from rich.text import Text

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud
from tests.support.app import App, Pair
from tests.support.definitions import ROOT
from tests.support.terminal import Terminal

IMAGES = ROOT / "docs" / "images"
CONTRACT = "docs/snippets/order.schema.json"
_COLUMNS = 100
# Every sixth order breaks its contract.
_ORDERS = 240
_BURSTS = 6
_RATE = 20
# Sequences that move the cursor or erase (ECMA-48). They start each frame of a display that is updated in place.
_MOVES = re.compile(r"(?:\r?\x1b\[[0-9;?]*[A-HJKhl])+")
# rich's SVG loads its font from another host.
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> int:
    """Write the pictures; return an exit status."""
    with EmbeddedCloud.start() as cloud:
        schema = (ROOT / CONTRACT).read_text()
        parameters = {"QueueNamePattern": "orders*", "QueueContracts": f"orders=ssm:/{STACK_NAME}/contracts/order"}
        app = App(cloud, cloud.deploy(STACK_NAME, parameters))
        app.put_contract("order", json.loads(schema))
        _fill(app)
        _record(app, "look", "orders-dlq", "--contract", CONTRACT)
        because = "The warehouse is back"
        _record(app, "start", "orders-dlq", "--rate", str(_RATE), "--because", because, "--watch", answer="orders-dlq")
    return 0


def _fill(app: App) -> None:
    """Send orders in a few bursts, and make them fail."""
    dlq = app.queue_at(app.sqs.create_queue(QueueName="orders-dlq")["QueueUrl"])
    policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 1})}
    orders = app.queue_at(app.sqs.create_queue(QueueName="orders", Attributes=policy)["QueueUrl"])
    for burst in range(_BURSTS):
        app.bury(Pair(orders, dlq), [_order(burst, number) for number in range(_ORDERS // _BURSTS)])
        time.sleep(burst)


def _order(burst: int, number: int) -> dict[str, str]:
    quantity = 0 if number % 6 == 5 else 1 + number % 3
    order = {"order_id": f"A-{burst}{number:03}", "quantity": quantity, "email": "someone@example.com"}
    return {"MessageBody": "no order" if number % 20 == 19 else json.dumps(order)}


def _record(app: App, command: str, *arguments: str, answer: str | None = None) -> None:
    """Write a picture of a command's final output, with one frame of its progress halfway through.

    Parameters
    ----------
    app : App
        Where to run it.
    command, arguments : str
        The command line.
    answer : str | None
        What to type when the command asks.
    """
    terminal = Terminal(app, command, *arguments, columns=_COLUMNS)
    if answer is not None:
        terminal.until("type the queue's name")
        terminal.type(answer)
    code, _ = terminal.ended()
    assert code in {0, 6}, terminal.screen
    picture = IMAGES / f"{command}.svg"
    picture.write_text(drawn(command, [command, *arguments], _lines(terminal.raw)))
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")


def drawn(name: str, arguments: list[str], lines: list[str]) -> str:
    """Return a picture of a terminal as an SVG that loads nothing.

    Parameters
    ----------
    name : str
        Prefix of the ids in the SVG.
    arguments : list[str]
        The arguments of the command.
    lines : list[str]
        The command's output, with escape sequences for colors.
    """
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text(f"$ {shlex.join(['redrive', *arguments])}", style="bold"))
    for line in lines:
        console.print(Text.from_ansi(line))
    return _FONT_FACE.sub("", console.export_svg(title=f"redrive {arguments[0]}", unique_id=name))


def _lines(raw: str) -> list[str]:
    """Return the final content of a terminal, with one frame of the progress that it showed before."""
    before, *frames = _MOVES.split(raw)
    frames = [frame for frame in frames if frame.strip()]
    progress = [frame for frame in frames[:-1] if "━" in frame]
    parts = [before, *progress[len(progress) // 2 :][:1], *frames[-1:]]
    # In a terminal, the report replaces the progress. In the picture, an empty line separates them.
    return "\n\n".join(part.replace("\r", "").strip("\n") for part in parts).split("\n")


if __name__ == "__main__":
    sys.exit(main())
