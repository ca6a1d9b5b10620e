"""The machine that runs PTX on the CPU: what it computes, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
from ptx import WARP, DeviceError, Kernel
from ptx.sanitized import environment

from gcodec.arrays import aligned

pytestmark = pytest.mark.cuda

HEAD = """
.visible .shared .align 16 .b8 shared[512];
.visible .entry kernel(.param .u64 m, .param .u64 p, .param .u64 n, .param .u64 w,
    .param .u64 data, .param .u64 shape, .param .u64 stride)
{
    .reg .pred %p<4>; .reg .b32 %r<12>; .reg .b64 %rd<6>; .reg .b32 %f<4>;
    ld.param.u64 %rd1, [data];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mad.lo.u32 %r4, %r2, %r3, %r1;
    mul.wide.u32 %rd2, %r4, 4;
    add.s64 %rd3, %rd1, %rd2;
    shl.b32 %r5, %r1, 2;
    cvt.u64.u32 %rd4, %r5;
    mov.u64 %rd5, shared;
    add.s64 %rd4, %rd4, %rd5;
"""


def run(body, size=64, block=32, grid=1, seed=None, array=None, **options):
    """Launch a body over uint32s 0, 1, 2...; what they are then, and counts."""
    data = array
    if data is None:
        data = aligned((size,), np.uint32)
        data[:] = np.arange(size)
    counts = Kernel(f"{HEAD}{body} ret; }}")(grid, block, data, seed=seed, **options)
    return data, counts


STORE = "st.global.u32 [%rd3], %r6;"


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("shfl.sync.up.b32 %r6|%p1, %r1, 2, 0, -1;", lambda i: np.where(i < 2, i, i - 2)),
        ("shfl.sync.down.b32 %r6|%p1, %r1, 2, 31, -1;", lambda i: np.where(i > 29, i, i + 2)),
        ("shfl.sync.bfly.b32 %r6|%p1, %r1, 5, 31, -1;", lambda i: i ^ 5),
        ("shfl.sync.idx.b32 %r6|%p1, %r1, 7, 31, -1;", lambda i: np.full(32, 7)),
        ("setp.gt.u32 %p1, %r1, 29; vote.sync.ballot.b32 %r6, %p1, -1;",
         lambda i: np.full(32, 3 << 30)),
        ("shr.u32 %r7, %r1, 3; match.any.sync.b32 %r6, %r7, -1;",
         lambda i: 255 << (i // 8 * 8)),
        ("redux.sync.add.u32 %r6, %r1, -1;", lambda i: np.full(32, 31 * 16)),
        ("clz.b32 %r6, %r1;", lambda i: 32 - np.frexp(i)[1]),
        ("prmt.b32 %r6, %r1, 258, 0x1045;", lambda i: i << 16 | 0x0201),
        ("bfe.u32 %r6, %r1, 1, 2;", lambda i: i >> 1 & 3),
        ("bfi.b32 %r6, %r1, -1, 8, 4;", lambda i: 0xFFFFF0FF | (i & 15) << 8),
        ("shf.l.wrap.b32 %r6, %r1, 1, 4;", lambda i: 16 | i >> 28),
        ("mul.hi.u32 %r6, %r1, -1;", lambda i: np.maximum(i, 1) - 1),
        ("mov.b32 %f1, 0f80000000; mov.b32 %f2, 0f00000000; max.f32 %f3, %f1, %f2;"
         "mov.b32 %r6, %f3;", lambda i: i * 0),
        ("mov.b32 %f1, 0f00000000; mov.b32 %f2, 0f80000000; min.f32 %f3, %f1, %f2;"
         "mov.b32 %r6, %f3;", lambda i: i * 0 + (1 << 31)),
        ("mov.b32 %f1, 0f7FC00000; mov.b32 %f2, 0f3F800000; min.f32 %f3, %f1, %f2;"
         "mov.b32 %r6, %f3;", lambda i: i * 0 + 0x3F800000),
        ("mov.b32 %f1, 0fFFC00000; max.f32 %f3, %f1, %f1; mov.b32 %r6, %f3;",
         lambda i: i * 0 + 0x7FFFFFFF),
        ("cvt.rn.f32.u32 %f1, %r1; neg.f32 %f2, %f1; min.f32 %f3, %f1, %f2; neg.f32 %f2, %f3;"
         "max.f32 %f3, %f2, %f1; mov.b32 %r6, %f3;", lambda i: np.float32(i).view(np.uint32)),
        ("cvt.rn.f32.u32 %f1, %r1; add.rn.f32 %f2, %f1, %f1; mov.b32 %r6, %f2;",
         lambda i: (i * 2).astype(np.float32).view(np.uint32)),
    ],
    ids=lambda value: value.split(None, 1)[0] if isinstance(value, str) else "",
)  # fmt: skip
def test_instructions(body, expected, seed):
    data, _ = run(body + STORE, seed=seed)
    lane = np.arange(WARP, dtype=np.int64)
    assert data[:WARP].tolist() == expected(lane).astype(np.uint32).tolist()


@pytest.mark.parametrize(
    "body",
    [
        "add.f32 %f1, %f2, %f3;",  # ptxas may fuse it with a product
        "fma.rn.f32 %f1, %f2, %f3, %f3;",
        "ex2.approx.f32 %f1, %f2;",
        "atom.global.add.f32 %f1, [%rd3], %f2;",  # in no order
        "call.uni wherever;",
        "ld.local.u32 %r6, [%rd3];",
        "activemask.b32 %r6;",
        "mul.rn.ftz.f32 %f1, %f2, %f3;",
        "bar.sync 1;",
    ],
)
def test_other_instructions_are_refused(body):
    with pytest.raises(NotImplementedError):
        run(body)


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("ld.global.u32 %r6, [%rd3+256];", "outside"),
        ("st.global.u32 [%rd3+-4], %r1;", "outside"),
        ("ld.shared.u32 %r6, [%rd4+512];", "outside"),
        ("ld.global.u32 %r6, [%rd3+2];", "not aligned"),
        ("ld.global.v4.u32 {%r6, %r7, %r8, %r9}, [%rd3];", "not aligned"),
        ("setp.gt.u32 %p1, %r1, 5; @%p1 bra $out; bar.sync 0; $out:", "a barrier"),
        ("setp.gt.u32 %p1, %r1, 5; @%p1 bra $b; bar.sync 0; bra $c; $b: bar.sync 0; $c:",
         "a barrier"),
        ("setp.gt.u32 %p1, %r1, 5; @%p1 bra $out; vote.sync.ballot.b32 %r6, %p1, -1; $out:",
         "not there"),
        ("setp.gt.u32 %p1, %r1, 5; @%p1 bra $b; vote.sync.ballot.b32 %r6, %p1, -1; bra $c; "
         "$b: bar.warp.sync -1; $c:", "wait for each other"),
        ("vote.sync.ballot.b32 %r6, %p1, 65535;", "own mask"),
        ("st.global.u32 [%rd1], %r1;", "race"),
        ("ld.global.u32 %r6, [%rd3+4];" + STORE, "race"),
        ("st.shared.u32 [%rd4], %r1; xor.b32 %r5, %r5, 4; cvt.u64.u32 %rd4, %r5; "
         "ld.shared.u32 %r6, [%rd4];", "race"),
        ("atom.global.add.u32 %r6, [%rd1], 1; ld.global.u32 %r6, [%rd1];", "race"),
        ("$again: bra $again;", "no end"),
        ("$again: shfl.sync.bfly.b32 %r6|%p1, %r1, 5, 31, -1; bra $again;", "no end"),
    ],
)  # fmt: skip
def test_what_a_device_may_let_pass_is_found(body, what, seed, monkeypatch):
    monkeypatch.setattr("ptx.launch.LIMIT", 1 << 20)
    with pytest.raises(DeviceError, match=what):
        run(body, seed=seed)


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("block", "barrier", "sound"),
    [(32, "bar.warp.sync -1;", True), (64, "bar.sync 0;", True), (64, "bar.warp.sync -1;", False)],
)
def test_barriers_order_what_they_should(block, barrier, sound, seed):
    """Each thread reads what the last one, of another warp if there is one, wrote."""
    body = (
        f"st.shared.u32 [%rd4], %r1; {barrier} xor.b32 %r5, %r5, {block * 4 - 4};"
        f"cvt.u64.u32 %rd4, %r5; ld.shared.u32 %r6, [%rd4]; {STORE}"
    )
    if sound:
        data, _ = run(body, block=block, seed=seed)
        assert data[:block].tolist() == list(reversed(range(block)))
    else:
        with pytest.raises(DeviceError, match="race"):
            run(body, block=block, seed=seed)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_blocks_are_ordered_by_nothing(seed):
    with pytest.raises(DeviceError, match="race"):
        run("st.global.u32 [%rd1], %r2;", block=1, grid=2, seed=seed, resident=2)
    data, _ = run("atom.global.add.u32 %r6, [%rd1], 1;", grid=5, seed=seed, resident=3)
    assert data[0] == 5 * WARP


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_block_that_waits_for_another_is_let_go_on(seed):
    """Block 0 spins until block 1, which is resident beside it, has told it to stop."""
    body = (
        "setp.eq.u32 %p1, %r2, 1; @%p1 bra $tell; $wait: atom.global.add.u32 %r6, [%rd1], 0;"
        "setp.ne.u32 %p2, %r6, 9; @%p2 bra $wait; ret; $tell: atom.global.exch.b32 %r6, [%rd1], 9;"
    )
    data, _ = run(body, block=1, grid=2, seed=seed, resident=2)
    assert data[0] == 9


def last_of_blocks(order="acq_rel", before="bar.sync 0;"):
    """Each thread writes its number; the last block to arrive adds one to those of the first."""
    return (
        f"st.global.u32 [%rd3], %r1; {before} setp.ne.u32 %p1, %r1, 0; @%p1 bra $wait; "
        f"atom.{order}.gpu.global.add.u32 %r6, [%rd1+400], 1; st.shared.u32 [%rd5], %r6; "
        f"$wait: bar.sync 0; ld.shared.u32 %r6, [%rd5]; "
        "setp.ne.u32 %p2, %r6, 102; @%p2 bra $end; sub.s64 %rd4, %rd4, %rd5; "
        "add.s64 %rd4, %rd4, %rd1; ld.global.u32 %r7, [%rd4]; add.u32 %r7, %r7, 1; "
        "st.global.u32 [%rd3], %r7; $end:"
    )


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_blocks_are_ordered_by_acq_rel(seed):
    data, _ = run(last_of_blocks(), size=128, grid=3, seed=seed, resident=3)
    assert data[:96].sum() == 3 * 496 + 32


@pytest.mark.parametrize("what", [{"order": "relaxed"}, {"before": ""}])
def test_blocks_are_not_ordered_by_less(what):
    with pytest.raises(DeviceError, match="race"):
        run(last_of_blocks(**what), size=128, grid=3)


def test_read_only_arrays_are_not_written():
    array = np.zeros(64, np.uint32)
    array.setflags(write=False)
    with pytest.raises(DeviceError, match="read-only"):
        run("st.global.u32 [%rd3], %r1;", array=array)


def test_what_is_counted():
    """32 lanes read 4 bytes each, next to each other, then 32 bytes apart."""
    _, counts = run("ld.global.u32 %r6, [%rd3];", counting=True)
    assert counts[1:] == (128, 1, 4, 0, 0)
    body = "shl.b64 %rd2, %rd2, 3; add.s64 %rd3, %rd1, %rd2; ld.global.u32 %r6, [%rd3];"
    _, more = run(body, size=256, counting=True)
    assert more[1:] == (128, 1, 32, 0, 0)
    assert more.instructions == counts.instructions + 2 * WARP


SANITIZED = """
import numpy as np, sys
from gcodec.arrays import aligned
from ptx import Kernel
data = np.zeros(64, np.uint32)
Kernel(sys.stdin.read(), sanitize=True)(1, 32, data)
print(data[:32].sum())
"""


def sanitized(body):
    """A child process with the sanitizer loaded before Python."""
    return subprocess.run(
        [sys.executable, "-c", SANITIZED], input=f"{HEAD}{body} ret; }}",
        env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_sanitizer_finds_what_is_outside():
    inside = sanitized("mov.u32 %r6, 1;" + STORE)
    assert inside.stdout.strip() == "32", inside.stderr
    outside = sanitized("ld.global.u32 %r6, [%rd3+256];")
    assert outside.returncode != 0
    assert "heap-buffer-overflow" in outside.stderr
    assert "in step" in outside.stderr
