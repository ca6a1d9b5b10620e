"""After `warmup`, nothing is left to compile: in processes that have a cache on disk, or none."""

import subprocess
import sys

import pytest

import gcodec

CHILD = """
import numpy as np, gcodec

recipe, dtype = {recipe!r}, {dtype!r}
codec = gcodec.get_codec(recipe)
gcodec.warmup([codec], [dtype])
from gcodec.kernels.cpu import selection
def signatures():
    import sys
    own = [m for name, m in sys.modules.items() if name.startswith("gcodec.kernels.cpu.")]
    kernels = [f for m in own for f in vars(m).values()]
    makers = selection.collector, selection.sum_collector
    kernels += [make(selection.sound_tier()) for make in makers]
    return {{(f.__name__, str(each)) for f in kernels for each in getattr(f, "signatures", ())}}
before = signatures()
rng = np.random.default_rng(0)
for n in (1, 1000, 100_000, 3 << 20):
    grad = rng.laplace(size=n).astype(np.float32)
    bits = (grad.view(np.uint32) >> 16).astype(np.uint16)
    grad = bits if dtype == "uint16" else grad.astype(dtype)
    frame = codec.encode(grad)
    gcodec.decode(frame)
    total = np.zeros(n, np.float64 if dtype == "float64" else np.float32)
    gcodec.accumulate(bytes(frame), total, scale=0.5)
    memory = gcodec.ErrorFeedback(codec)
    for step in range(3):
        memory.encode("w", grad, step=step)
        memory.commit("w")
print(len(before), *signatures() - before, sep=chr(10))
"""


@pytest.mark.parametrize(
    ("recipe", "dtype"),
    [
        ("reclog:ratio=0.01", "float32"),
        ("topk:ratio=0.01", "float64"),
        ("reclog:ratio=0.1,keys=delta", "uint16"),
        ("sidco:ratio=0.01", "float32"),
        ("gradient-dropping:bits=2", "float16"),
    ],
)
def test_nothing_is_left_to_compile(recipe, dtype):
    code = CHILD.format(recipe=recipe, dtype=dtype)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert not done.returncode, done.stderr
    before, *after = done.stdout.splitlines()
    assert int(before) > 10
    assert after == []


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"get_codec\(recipe\), not 'reclog'"):
        gcodec.warmup(["reclog"])
    with pytest.raises(gcodec.UnsupportedDtypeError, match="int8"):
        gcodec.warmup([gcodec.Codec()], ["int8"])
