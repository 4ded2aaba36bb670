"""Signals: at once, but never in the middle of what is held."""

import contextlib
import signal

import pytest

from gmmcli import interrupt
from gmmcli.errors import Stopped


@pytest.fixture(autouse=True)
def _fresh_state(monkeypatch):
    """Give each test a process that has seen no signal."""
    monkeypatch.setattr(interrupt, "_held", 0)
    monkeypatch.setattr(interrupt, "_pending", None)
    monkeypatch.setattr(interrupt, "_raised", None)


def test_a_signal_is_acted_upon_at_once():
    """Outside a hold nothing delays it."""
    with pytest.raises(Stopped) as caught:
        interrupt.request(signal.SIGTERM)
    assert caught.value.signum == signal.SIGTERM


def test_a_signal_waits_for_the_end_of_the_outermost_hold():
    """What is in the blocks is finished first."""
    done = []
    with pytest.raises(Stopped), interrupt.hold():
        with interrupt.hold():
            interrupt.request(signal.SIGINT)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_further_signals_change_nothing():
    """The first one decides how the process dies; the rest cannot disturb what it sets off."""
    with pytest.raises(Stopped) as caught, interrupt.hold():
        interrupt.request(signal.SIGHUP)
        interrupt.request(signal.SIGTERM)
    assert caught.value.signum == signal.SIGHUP
    interrupt.request(signal.SIGTERM)


def test_a_signal_that_the_interpreter_swallowed_is_recalled():
    """As in a finaliser: the next block that is to be summed ends the job."""
    with contextlib.suppress(Stopped):
        interrupt.request(signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        interrupt.recall()
    assert caught.value.signum == signal.SIGTERM


def test_there_is_nothing_to_recall_before_a_signal_or_while_it_is_held_off():
    """A pass is made to its end inside a hold."""
    interrupt.recall()
    with pytest.raises(Stopped), interrupt.hold():
        interrupt.request(signal.SIGTERM)
        interrupt.recall()
