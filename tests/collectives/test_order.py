"""What a rank does while messages are on their way, and what has left before it raises."""

import numpy as np
import pytest
from fake import raised, run_ranks

import gcodec
from gcodec.collectives import Allreduce
from gcodec.collectives.exchange import Exchange
from gcodec.collectives.pending import Pending


def noting(communicator, events):
    """Have a communicator note when messages were sent, received and have left."""

    def noted(method):
        def received(messages):
            for rank, each in enumerate(messages):
                events.append(f"received {rank}")
                yield each
            events.append("left")

        def call(*arguments):
            messages = method(*arguments)
            events.append("sent")
            return received(messages)

        return call

    for name in ("announce", "allgatherv"):
        setattr(communicator, name, noted(getattr(communicator, name)))


@pytest.mark.parametrize("n", [1000, 100_000])
def test_what_is_done_while_messages_are_on_their_way(n, monkeypatch):
    """A rank proves its own frame once it is sent, and sums before it knows that all has left."""
    codec, rng = gcodec.get_codec("topk:ratio=0.5"), np.random.default_rng(0)
    grads = [rng.standard_normal(n).astype(np.float32) for _ in range(3)]
    events, prove, form = [[], [], []], Exchange._prove, Pending._formed

    def proved(self, rank, *rest):
        events[self.rank].append(f"proved {rank}")
        return prove(self, rank, *rest)

    def formed(self, parts):
        events[self._exchange.rank].append("summed")
        return form(self, parts)

    def program(communicator):
        noting(communicator, events[communicator.rank])
        Allreduce(communicator, codec)("w", grads[communicator.rank])

    monkeypatch.setattr(Exchange, "_prove", proved)
    monkeypatch.setattr(Pending, "_formed", formed)
    assert run_ranks(3, program) == [None] * 3
    heads = ["sent", *(f"received {rank}" for rank in range(3)), "left"]
    for rank, seen in enumerate(events):
        expected = [] if n == 1000 else list(heads)
        expected += ["sent", f"proved {rank}"]
        for other in range(3):
            expected += [f"received {other}"] + [f"proved {other}"] * (other != rank)
        assert seen == [*expected, "summed", "left"]


@pytest.mark.parametrize("fault", ["names", "frame"])
def test_what_others_wait_for_has_left_before_an_error_is_raised(fault, monkeypatch):
    codec, events = gcodec.get_codec("topk:k=3"), [[], [], []]

    def refused(self, rank, *rest):
        raise gcodec.Corrupt("it is not what was sent")

    def program(communicator):
        noting(communicator, events[communicator.rank])
        name = "w" if fault == "frame" else f"w{communicator.rank}"
        error = raised(Allreduce(communicator, codec), name, np.ones(9, np.float32))
        assert isinstance(error, gcodec.RankMismatchError)
        assert events[communicator.rank][-1] == "left"

    if fault == "frame":
        monkeypatch.setattr(Exchange, "_prove", refused)
    assert run_ranks(3, program) == [None] * 3
