"""Settings: what the functions read from their environment."""

import pytest
from pydantic import ValidationError

from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.runtime.settings import Settings, settings


def test_settings_are_read_from_environment_variables_of_their_names(monkeypatch):
    monkeypatch.setenv("RUN_TABLE", "runs")
    monkeypatch.setenv("SLICE_SECONDS", "12.5")
    monkeypatch.setenv("AUTOMATIC_RUN_INPUT", '{"rate": 10}')
    found = settings()
    assert (found.run_table, found.slice_seconds, found.automatic_run_input) == ("runs", 12.5, {"rate": 10})


def test_what_a_function_does_not_need_has_a_default(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert settings() == Settings()


@pytest.mark.parametrize(("name", "value"), [("SLICE_SECONDS", "long"), ("AUTOMATIC_RUN_INPUT", "[]")])
def test_a_setting_of_the_wrong_type_is_refused(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        settings()


def test_arns_and_ids_are_separated_by_spaces():
    function = "arn:aws:lambda:us-east-1:123456789012:function:on-order"
    found = Settings(destination_arns=f" {function}:$LATEST  {function}:live ", mover_role_ids="AROA1 AROA2")
    assert found.delivery_policy == DeliveryPolicy(frozenset({function, f"{function}:live"}))
    assert found.movers == {"AROA1", "AROA2"}
