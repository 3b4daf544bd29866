"""Writes docs/execution-input.schema.json from the model of an execution's input.

Run it when the test of the documents says that the file is stale; the test tells how.
"""

import json

from redrive.domain.runs import RedriveRequest
from tests.support.definitions import ROOT

if __name__ == "__main__":
    schema = RedriveRequest.model_json_schema(by_alias=True)
    (ROOT / "docs" / "execution-input.schema.json").write_text(json.dumps(schema, indent=2) + "\n")
