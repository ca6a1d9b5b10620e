"""Fixtures over frames: taken apart, put together, and decoded where stray writes show."""

import anatomy
import numpy as np
import pytest
from anatomy import own_type

import gcodec


@pytest.fixture(scope="session")
def compose():
    """Function that writes a frame anew from the parts of another."""
    return anatomy.compose


def _outcome(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except gcodec.FrameError as error:
        return type(error)


@pytest.fixture(scope="session")
def decode_between_canaries():
    """Function that decodes into the middle of an array, and checks that nothing else was written.

    Returns (outcome, decoded): the class of the `FrameError`, or None and the result. Any other
    exception escapes, and an output that was touched by a refused frame fails. The array is of the
    type that the frame says it has.
    """

    def decode(frame, n, backend, margin=64):
        dtype = own_type(frame)
        canary = dtype.type(12345 if dtype.kind == "u" else -12345.678)
        whole = np.full(n + 2 * margin, canary)
        out = whole[margin : margin + n]
        result = _outcome(gcodec.decode, frame, out=out, backend=backend)
        refused = isinstance(result, type)
        around = np.concatenate((whole[:margin], whole[margin + n :]))
        assert (around == canary).all(), "written outside of out"
        if refused:
            assert (out == canary).all(), f"out was touched before {result.__name__}"
        return (result, None) if refused else (None, out)

    return decode
