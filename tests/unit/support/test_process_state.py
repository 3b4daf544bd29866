"""What a file of tests leaves behind for the next one is noticed."""

import logging
import signal
import sys
import threading
import time
from types import ModuleType

import boto3
import pytest

from redrive.aws_session import AwsSession
from redrive.domain.plan import rates
from tests.support.process_state import changes, process_state

LEAKS = {
    "the environment variable REDRIVE_STACK": lambda patch, _: patch.setenv("REDRIVE_STACK", "other"),
    "the environment variable AWS_DEFAULT_REGION": lambda patch, _: patch.delenv("AWS_DEFAULT_REGION"),
    "the working directory": lambda patch, folder: patch.chdir(folder),
    "sys.path": lambda patch, folder: patch.syspath_prepend(folder),
    "boto3.DEFAULT_SESSION": lambda patch, _: patch.setattr(boto3, "DEFAULT_SESSION", boto3.Session()),
    "the default session of redrive.aws_session": lambda patch, _: patch.setattr(
        "redrive.aws_session._Default.session", AwsSession()
    ),
    "boto3.client": lambda patch, _: patch.setattr(boto3, "client", lambda _: None),
    "the level of the root logger": lambda patch, _: patch.setattr(logging.getLogger(), "level", 5),
    "handlers of the root logger": lambda patch, _: patch.setattr(
        logging.getLogger(), "handlers", [*logging.getLogger().handlers, logging.NullHandler()]
    ),
    "time.sleep": lambda patch, _: patch.setattr(time, "sleep", lambda _: None),
    "redrive.domain.plan.rates.MaxRate": lambda patch, _: patch.setattr(rates, "MaxRate", int),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_change_is_noticed_until_it_is_restored(name, tmp_path):
    before = process_state()
    with pytest.MonkeyPatch.context() as patch:
        LEAKS[name](patch, tmp_path)
        assert name in changes(before, process_state())
    assert changes(before, process_state()) == []


def test_a_thread_is_noticed_as_long_as_it_runs_and_keeps_the_process_alive():
    ended = threading.Event()
    before = process_state()
    thread, daemon = threading.Thread(target=ended.wait, name="left"), threading.Thread(target=ended.wait, daemon=True)
    thread.start()
    daemon.start()
    assert changes(before, process_state()) == ["the thread left"]
    ended.set()
    thread.join()
    daemon.join()
    assert changes(before, process_state()) == []


def test_a_signal_handler_is_noticed():
    before, handler = process_state(), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert changes(before, process_state()) == ["the handler of SIGTERM"]
    finally:
        signal.signal(signal.SIGTERM, handler)


def test_what_is_loaded_is_no_change(monkeypatch):
    before = process_state()
    module = ModuleType("redrive.loaded")
    module.NAME = 1
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert changes(before, process_state()) == []
