"""A model of the DynamoDB table of runs, in memory: the client that the adapters of the table get.

Used by tests.support.model_runs. It knows the operations and expressions that these adapters use, and refuses others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

type Item = dict[str, Any]
type Key = tuple[str, str]

_EXISTS = re.compile(r"(attribute_exists|attribute_not_exists)\((\w+)\)")
_EQUALS = re.compile(r"(\w+) = (:\w+)")
_IS_LESS = re.compile(r"(\w+) < (:\w+)")


class ConditionalCheckFailedError(ClientError):
    """A condition doesn't hold."""


class ModelTable:
    """The table.

    Parameters
    ----------
    request : Callable[[str, Callable[[], Any]], Any]
        Carries out a request, given as the operation and what it does, unless something goes wrong.
    """

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionalCheckFailedError)

    def __init__(self, request: Callable[[str, Callable[[], Any]], Any]) -> None:
        self.items: dict[Key, Item] = {}
        self._request = request

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> Any:  # noqa: N803
        assert TableName
        assert ConsistentRead
        return self._request("GetItem", lambda: _answer(Item=self.items.get(_key(Key))))

    def put_item(self, *, TableName: str, Item: Item, **condition: Any) -> Any:  # noqa: N803
        assert TableName

        def put() -> Any:
            self._check(_key(Item), **condition)
            self.items[_key(Item)] = deepcopy(Item)
            return {}

        return self._request("PutItem", put)

    def delete_item(self, *, TableName: str, Key: Item, **condition: Any) -> Any:  # noqa: N803
        assert TableName

        def delete() -> Any:
            self._check(_key(Key), **condition)
            self.items.pop(_key(Key), None)
            return {}

        return self._request("DeleteItem", delete)

    def update_item(
        self,
        *,
        TableName: str,  # noqa: N803
        Key: Item,  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ExpressionAttributeValues: Mapping[str, Any],  # noqa: N803
        ReturnValues: str,  # noqa: N803
        **condition: Any,
    ) -> Any:
        assert TableName
        assert ReturnValues == "ALL_NEW"

        def update() -> Any:
            self._check(_key(Key), ExpressionAttributeValues=ExpressionAttributeValues, **condition)
            item = self.items.setdefault(_key(Key), dict(Key))
            for change in UpdateExpression.removeprefix("SET ").split(", "):
                name, _, value = change.partition(" = ")
                item[name] = ExpressionAttributeValues[value]
            return {"Attributes": deepcopy(item)}

        return self._request("UpdateItem", update)

    def get_paginator(self, operation: str) -> Any:
        assert operation == "query"
        return SimpleNamespace(paginate=self._query)

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> Any:  # noqa: N803
        ((table, wanted),) = RequestItems.items()

        def get() -> Any:
            found = [self.items[_key(key)] for key in wanted["Keys"] if _key(key) in self.items]
            return {"Responses": {table: deepcopy(found)}, "UnprocessedKeys": {}}

        return self._request("BatchGetItem", get)

    def batch_write_item(self, *, RequestItems: Mapping[str, Any]) -> Any:  # noqa: N803
        ((_, requests),) = RequestItems.items()

        def write() -> Any:
            for request in requests:
                item = request["PutRequest"]["Item"]
                self.items[_key(item)] = deepcopy(item)
            return {"UnprocessedItems": {}}

        return self._request("BatchWriteItem", write)

    def _query(self, *, ExpressionAttributeValues: Mapping[str, Any], **_: Any) -> Iterator[Any]:  # noqa: N803
        partition, prefix = (ExpressionAttributeValues[name]["S"] for name in (":pk", ":sk"))

        def query() -> Any:
            found = sorted(key for key in self.items if key[0] == partition and key[1].startswith(prefix))
            return {"Items": [deepcopy(self.items[key]) for key in found]}

        yield self._request("Query", query)

    def _check(
        self,
        key: Key,
        *,
        ConditionExpression: str | None = None,  # noqa: N803
        ExpressionAttributeValues: Mapping[str, Any] | None = None,  # noqa: N803
        **_: Any,
    ) -> None:
        item, values = self.items.get(key, {}), ExpressionAttributeValues or {}
        terms = ConditionExpression.split(" OR ") if ConditionExpression else []
        if terms and not any(_holds(term, item, values) for term in terms):
            error: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": deepcopy(item)}
            raise ConditionalCheckFailedError(error, "PutItem")


def _key(item: Item) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


def _answer(**values: Any) -> Any:
    return {name: deepcopy(value) for name, value in values.items() if value is not None}


def _holds(term: str, item: Item, values: Mapping[str, Any]) -> bool:
    if (exists := _EXISTS.fullmatch(term)) is not None:
        return (exists[2] in item) == (exists[1] == "attribute_exists")
    if (less := _IS_LESS.fullmatch(term)) is not None:
        return less[1] in item and int(item[less[1]]["N"]) < int(values[less[2]]["N"])
    equals = _EQUALS.fullmatch(term)
    assert equals is not None, f"the model doesn't know the condition {term}"
    return bool(item.get(equals[1]) == values[equals[2]])
