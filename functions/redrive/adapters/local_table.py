"""The runs table of runs without a stack: a SQLite file on the operator's machine.

Stands in for the DynamoDB client of `redrive.adapters.table`, so every rule about locks, checkpoints, and shares is
written once. It knows the operations and expressions that these adapters use, and refuses others.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from redrive.domain.errors import StateFileError

type Item = dict[str, Any]

#: The name of the table in requests; a file has only one.
TABLE = "local"
# The format of the file. It is in SQLite's own header field for that (SQLite documentation, "PRAGMA user_version").
_FORMAT = 1
# Seconds to wait for another process that writes. A lane waits for its heartbeat, which must be in time.
_TIMEOUT = 4.0
_TERM = re.compile(
    r"(?P<function>attribute_exists|attribute_not_exists)\((?P<member>\w+)\)"
    r"|(?P<name>\w+) (?P<operator>=|<) (?P<value>:\w+)"
)
_ASSIGNMENT = re.compile(r"(\w+) = (:\w+)")


class ConditionError(ClientError):
    """A condition doesn't hold."""


class LocalTable:
    """The table. Each write is on the disk when it returns.

    Parameters
    ----------
    file : Path
        The SQLite file; created with its folder if it isn't there, for this user only.

    Raises
    ------
    StateFileError
        If it can't be read and written; by every method, too.
    """

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionError)

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.RLock()
        with self._explained():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if file.exists() and not file.is_file():
                raise StateFileError(f"Expected a file at {file}, found something else. Name another one with --state.")
            # SQLite gives its journal the permissions of the file.
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(file, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False)
            self._prepare()
            file.chmod(0o600)

    @property
    def client(self) -> Any:
        """The table as adapters of the runs table expect it: the part of a client of DynamoDB that they use."""
        return self

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # What adapters of a table call, by the names of boto3

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> Any:
        """Return an item."""
        with self._explained():
            found = self._read(Key)
        return {} if found is None else {"Item": found}

    def put_item(self, *, TableName: str, Item: Item, **condition: Any) -> Any:
        """Write an item if a condition holds."""
        with self._transaction():
            self._check(Item, **condition)
            self._write(Item)
        return {}

    def delete_item(self, *, TableName: str, Key: Item, **condition: Any) -> Any:
        """Delete an item if a condition holds."""
        with self._transaction():
            self._check(Key, **condition)
            self._connection.execute("DELETE FROM items WHERE pk = ? AND sk = ?", _key(Key))
        return {}

    def update_item(
        self,
        *,
        TableName: str,
        Key: Item,
        UpdateExpression: str,
        ExpressionAttributeValues: Mapping[str, Any],
        ReturnValues: str = "NONE",
        **condition: Any,
    ) -> Any:
        """Set members of an item, which is created if it isn't there, if a condition holds."""
        with self._transaction():
            self._check(Key, ExpressionAttributeValues=ExpressionAttributeValues, **condition)
            item = self._read(Key) or dict(Key)
            for change in UpdateExpression.removeprefix("SET ").split(", "):
                assignment = _ASSIGNMENT.fullmatch(change)
                if assignment is None:
                    raise NotImplementedError(f"the local table doesn't know the update {change}")
                item[assignment[1]] = ExpressionAttributeValues[assignment[2]]
            self._write(item)
        return {"Attributes": item}

    def get_paginator(self, operation: str) -> Any:
        """Return what yields the items of a query, in one page."""
        if operation != "query":
            raise NotImplementedError(f"the local table doesn't know the operation {operation}")
        return SimpleNamespace(paginate=self._query)

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> Any:
        """Return those of some items that are there."""
        ((name, wanted),) = RequestItems.items()
        with self._explained():
            found = [item for key in wanted["Keys"] if (item := self._read(key)) is not None]
        return {"Responses": {name: found}}

    def batch_write_item(self, *, RequestItems: Mapping[str, Any]) -> Any:
        """Write some items, all or none."""
        ((_, requests),) = RequestItems.items()
        with self._transaction():
            for request in requests:
                self._write(request["PutRequest"]["Item"])
        return {}

    # The file

    def _prepare(self) -> None:
        execute = self._connection.execute
        # In one statement, because another process may be creating the file.
        found, tables = execute(
            "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
        ).fetchone()
        if found > _FORMAT:
            raise StateFileError(
                f"Expected a state file of format {_FORMAT}, found {found} in {self.file}: a later version of this "
                "command has written it. Use that version, or another file with --state."
            )
        if tables and not found:
            raise StateFileError(f"{self.file} is another program's database. Name another file with --state.")
        # Durable on every file system, and after a power failure, too (SQLite documentation, "PRAGMA synchronous":
        # EXTRA also syncs the folder once the journal is deleted). A write-ahead log doesn't work over a network.
        execute("PRAGMA journal_mode = DELETE")
        execute("PRAGMA synchronous = EXTRA")
        with self._transaction():
            execute(
                "CREATE TABLE IF NOT EXISTS items (pk TEXT, sk TEXT, item TEXT NOT NULL, expires INTEGER, "
                "PRIMARY KEY (pk, sk)) WITHOUT ROWID"
            )
            # DynamoDB's time to live. A write, so a file that can't be written is noticed before anything moves.
            execute("DELETE FROM items WHERE expires < ?", (int(time.time()),))
            execute(f"PRAGMA user_version = {_FORMAT}")

    def _query(self, *, ExpressionAttributeValues: Mapping[str, Any], **query: Any) -> Iterator[Any]:
        if query.get("KeyConditionExpression") != "pk = :pk AND begins_with(sk, :sk)" or "IndexName" in query:
            raise NotImplementedError("the local table doesn't know this query")
        partition, prefix = (ExpressionAttributeValues[name]["S"] for name in (":pk", ":sk"))
        with self._explained():
            # As DynamoDB sorts: by bytes (SQLite documentation, "Collating sequences": BINARY).
            rows = self._connection.execute(
                "SELECT item FROM items WHERE pk = ? AND substr(sk, 1, ?) = ? ORDER BY sk",
                (partition, len(prefix), prefix),
            ).fetchall()
        yield {"Items": [_parsed(row[0]) for row in rows]}

    def _read(self, key: Item) -> Item | None:
        row = self._connection.execute("SELECT item FROM items WHERE pk = ? AND sk = ?", _key(key)).fetchone()
        return None if row is None else _parsed(row[0])

    def _write(self, item: Item) -> None:
        expires = int(item["expiresAt"]["N"]) if "expiresAt" in item else None
        self._connection.execute("REPLACE INTO items VALUES (?, ?, ?, ?)", (*_key(item), _text(item), expires))

    def _check(
        self,
        key: Item,
        *,
        ConditionExpression: str | None = None,
        ExpressionAttributeValues: Mapping[str, Any] | None = None,
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> None:
        if ConditionExpression is None:
            return
        item = self._read(key) or {}
        terms = ConditionExpression.split(" OR ")
        if not any(_holds(term, item, ExpressionAttributeValues or {}) for term in terms):
            error: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": item}
            raise ConditionError(error, "a write")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            # Takes the write lock first, so that no other process writes between a condition and what depends on it.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._commit()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Let one thread at a time work with the file, and say what is wrong with it."""
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                raise StateFileError(
                    f"The state file {self.file} can't be used: {why}. Nothing moves without it. Free some space, "
                    "correct its permissions, or name another file with --state."
                ) from None


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _holds(text: str, item: Item, values: Mapping[str, Any]) -> bool:
    term = _TERM.fullmatch(text)
    if term is None:
        raise NotImplementedError(f"the local table doesn't know the condition {text}")
    if term["function"] is not None:
        return (term["member"] in item) == (term["function"] == "attribute_exists")
    value = values[term["value"]]
    if term["operator"] == "=":
        return bool(item.get(term["name"]) == value)
    return term["name"] in item and int(item[term["name"]]["N"]) < int(value["N"])


def _text(item: Item) -> str:
    return json.dumps(item, default=lambda value: {"bytes": base64.b85encode(value).decode()})


def _parsed(text: str) -> Item:
    item: Item = json.loads(text)
    for member in item.values():
        if isinstance(found := member.get("B"), dict):
            member["B"] = base64.b85decode(found["bytes"])
    return item
