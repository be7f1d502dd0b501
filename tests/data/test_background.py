import threading
import time
import traceback

import jax
import pytest

from nacre.data.background import Ahead


def test_items_come_in_order_and_then_none():
    ahead = Ahead(iter("abc"))
    assert [ahead.take() for _ in range(5)] == ["a", "b", "c", None, None]
    ahead.close()


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_is_drawn_than_depth_items_ahead(depth):
    drawn = []

    def items():
        for n in range(10):
            drawn.append(n)
            yield n

    ahead = Ahead(items(), depth=depth)
    assert drawn == []  # nothing happens before it is asked
    for n in range(10):
        assert ahead.take() == n
        time.sleep(0.01)
        assert len(drawn) <= n + 1 + depth
    ahead.close()
    assert drawn == list(range(10))


def test_it_pauses_until_it_is_asked():
    drawn = []

    def items():
        for n in range(4):
            drawn.append(n)
            yield n

    ahead = Ahead(items(), pauses=lambda item: item == 1)
    assert ahead.take() == 0
    assert ahead.take() == 1
    time.sleep(0.02)
    assert drawn == [0, 1]
    assert ahead.take() == 2
    ahead.close()


def test_an_error_is_raised_where_the_item_would_be_with_its_own_traceback():
    def broken():
        yield 1
        raise LookupError("mine")

    ahead = Ahead(broken())
    assert ahead.take() == 1
    with pytest.raises(LookupError, match="mine") as caught:
        ahead.take()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "broken"
    assert ahead.take() is None


def test_waiting_can_be_given_up():
    release = threading.Event()

    def slow():
        release.wait()
        yield 1

    ahead = Ahead(slow())
    started = time.monotonic()
    assert ahead.take(lambda: time.monotonic() > started + 0.02) is None
    release.set()
    assert ahead.take() == 1
    ahead.close()


def test_a_closed_one_lets_its_thread_end():
    ahead = Ahead(iter(range(100)))
    ahead.take()
    assert ahead._thread is not None
    ahead.close()
    ahead._thread.join(5)
    assert not ahead._thread.is_alive()


def test_the_thread_knows_who_is_waiting():
    ahead = Ahead(iter([]))
    assert not ahead.awaited()
    seen = []

    def items():
        time.sleep(0.02)
        seen.append(ahead.awaited())
        yield 1

    ahead = Ahead(items())
    ahead.take()
    ahead.close()
    assert seen == [True]


def test_the_thread_has_the_settings_of_its_maker():
    def items():
        yield jax.numpy.ones(1, float).dtype

    with jax.enable_x64(True):
        assert Ahead(items()).take() == "float64"
    with jax.enable_x64(False):
        assert Ahead(items()).take() == "float32"
