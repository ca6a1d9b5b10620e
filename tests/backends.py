"""The same kernel of both backends on copies of the same arguments."""

import numpy as np
from strategies import same_bits

from gcodec.kernels import cpu, reference

BACKENDS = (cpu, reference)


def frozen(array):
    array.flags.writeable = False
    return array


def call_both(name, *arguments):
    """[(answer, arguments after the call)] of every backend that has the kernel."""
    results = []
    for backend in (backend for backend in BACKENDS if name in backend.__all__):
        own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        for copy, given in zip(own, arguments, strict=True):
            if isinstance(given, np.ndarray):
                copy.flags.writeable = given.flags.writeable
        answer = getattr(backend, name)(*own)
        if isinstance(answer, tuple):
            answer = tuple(map(int, answer))
        results.append((answer, own))
    return results


def run_both(name, *arguments):
    """The common answer, and the arguments after; every array must have the same bits."""
    (answer, ours), *others = call_both(name, *arguments)
    for other, theirs in others:
        assert answer == other
        for a, b in zip(ours, theirs, strict=True):
            if isinstance(a, np.ndarray):
                assert same_bits(a, b)
    return answer, ours


def read_both(name, *arguments):
    """The job at fault, which must be the same, and the arguments after if there is none."""
    (answer, ours), *others = call_both(name, *arguments)
    assert all(answer == other for other, _ in others)
    if answer != -1:
        return int(answer), None
    for _, theirs in others:
        for a, b in zip(ours, theirs, strict=True):
            assert same_bits(a, b)
    return -1, ours


def as_integer(payload):
    """A payload as one big integer, bit 0 first."""
    return int.from_bytes(payload.tobytes(), "little")


def as_payload(integer, words):
    """The payload of that many words that holds an integer."""
    return np.frombuffer(integer.to_bytes(8 * words, "little"), np.uint64).copy()


def flip(payload, *bits):
    """A copy with some bits changed."""
    changed = payload.copy()
    for bit in bits:
        changed[bit // 64] ^= np.uint64(1 << bit % 64)
    return changed
