"""What else turns a gradient into fewer bytes, in one thread, as a user would call it.

A sparse peer gets the gradient and the threshold (or the number to keep) and gives back what would
be sent; decoding gives a new dense array. Those that are not installed are left out and named.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from data import cut
from harness import READ
from speed import RATIO, pairs, read, timed

import gcodec

ACCURACY = 0.03
"""Absolute error bound of dense peers that take one, in standard deviations."""


class Peer(NamedTuple):
    """One way there and back; `error` is the largest relative L2 error that it may have."""

    encode: Callable[[np.ndarray], Any]
    decode: Callable[[Any], np.ndarray]
    size: Callable[[Any], int]
    error: float
    slow: bool = False


def arrays_size(parts):
    return sum(part.nbytes for part in parts)


def densify(keys, values, n):
    dense = np.zeros(n, np.float32)
    dense[keys] = values
    return dense


def zeroed(grad, limit):
    return np.where(np.abs(grad) > limit, grad, np.float32(0))


def gcodec_sparse(n, limit):
    def peer(recipe, error):
        codec = gcodec.get_codec(recipe)
        return Peer(codec.encode, gcodec.decode, len, error)

    return {
        "gcodec, threshold known": peer(f"reclog:threshold={limit!r}", 0.09),
        "gcodec, threshold known, values as they are": peer(f"threshold:threshold={limit!r}", 0),
        "gcodec, exact top-k": peer(f"reclog:k={round(RATIO * n)}", 0.09),
        "gcodec, exact top-k, values as they are": peer(f"topk:k={round(RATIO * n)}", 0),
    }


def numpy_coo(n, limit):
    def encode(grad):
        return pairs(grad, limit)

    return {"numpy flatnonzero COO": Peer(encode, lambda m: densify(*m, n), arrays_size, 0)}


def torch_sparse(n, limit):
    torch = import_module("torch")
    torch.set_num_threads(1)
    k = round(RATIO * n)

    def topk(grad):
        dense = torch.from_numpy(grad)
        keys = dense.abs().topk(k, sorted=False).indices
        return keys.to(torch.int32), dense[keys]

    def above(grad):
        dense = torch.from_numpy(grad)
        keys = (dense.abs() > limit).nonzero(as_tuple=True)[0]
        return keys.to(torch.int32), dense[keys]

    def decode(message):
        dense = torch.zeros(n)
        dense[message[0].long()] = message[1]
        return dense.numpy()

    return {
        "torch.topk + COO": Peer(topk, decode, arrays_size, 0, slow=True),
        "torch threshold + nonzero COO": Peer(above, decode, arrays_size, 0),
    }


def scipy_csr(n, limit):
    sparse = import_module("scipy.sparse")
    columns = 4096 if n % 4096 == 0 else 1

    def encode(grad):
        return sparse.csr_matrix(zeroed(grad, limit).reshape(-1, columns))

    return {
        "scipy.sparse CSR": Peer(
            encode,
            lambda m: m.toarray().reshape(-1),
            lambda m: m.data.nbytes + m.indices.nbytes + m.indptr.nbytes,
            0,
        )
    }


def zstd_coo(n, limit):
    zstandard = import_module("zstandard")
    pack, unpack = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()

    def encode(grad):
        keys, values = pairs(grad, limit)
        gaps = np.diff(keys, prepend=np.uint32(0))
        gaps = gaps.astype(np.uint16 if gaps.max(initial=0) < 1 << 16 else np.uint32)
        return pack.compress(gaps), gaps.dtype, pack.compress(values.astype(np.float16))

    def decode(message):
        gaps = np.frombuffer(unpack.decompress(message[0]), message[1])
        values = np.frombuffer(unpack.decompress(message[2]), np.float16)
        return densify(np.cumsum(gaps, dtype=np.int64), values, n)

    def size(message):
        return len(message[0]) + len(message[2])

    return {"numpy COO, gaps + float16 + zstd-1": Peer(encode, decode, size, 2e-3)}


def pcodec_coo(n, limit):
    pcodec, standalone = import_module("pcodec"), import_module("pcodec.standalone")
    config = pcodec.ChunkConfig(compression_level=4, delta_spec=pcodec.DeltaSpec.try_consecutive(1))

    def encode(grad):
        keys, values = pairs(grad, limit)
        packed = standalone.simple_compress(keys, config)
        return packed, values.astype(np.float16).tobytes()

    def decode(message):
        keys = standalone.simple_decompress(message[0])
        return densify(keys, np.frombuffer(message[1], np.float16), n)

    def size(message):
        return sum(map(len, message))

    return {"numpy COO, pcodec keys + float16": Peer(encode, decode, size, 2e-3)}


def blosc2_zeroed(n, limit):
    blosc2 = import_module("blosc2")
    options = {
        "codec": blosc2.Codec.ZSTD,
        "clevel": 1,
        "filters": [blosc2.Filter.BITSHUFFLE],
        "typesize": 4,
        "nthreads": 1,
    }

    def decode(message):
        dense = np.empty(n, np.float32)
        blosc2.decompress2(message, dst=dense, nthreads=1)
        return dense

    return {
        "blosc2 bitshuffle + zstd of the zeroed dense": Peer(
            lambda grad: blosc2.compress2(zeroed(grad, limit), **options), decode, len, 0, slow=True
        )
    }


def gcodec_dense(n, spread):
    def decode(frame):
        return gcodec.decode(frame, out=np.empty(n, np.float32))  # bfloat16 too

    def peer(rounding, error):
        return Peer(gcodec.Codec(gcodec.Dense(), rounding).encode, decode, len, error)

    return {
        "gcodec, 16 log levels per octave": peer(gcodec.ReciprocalLog(16), 0.022),
        "gcodec, 8 log levels per octave": peer(gcodec.ReciprocalLog(8), 0.044),
        "gcodec, bfloat16": peer(gcodec.Cast("bfloat16"), 4e-3),
    }


def ml_dtypes_cast(n, spread):
    bfloat16 = import_module("ml_dtypes").bfloat16
    return {
        "ml_dtypes bfloat16": Peer(
            lambda grad: grad.astype(bfloat16),
            lambda m: m.astype(np.float32),
            lambda m: m.nbytes,
            4e-3,
        )
    }


def zfp(n, spread):
    zfpy = import_module("zfpy")
    return {
        "zfpy, absolute 0.03 std": Peer(
            lambda grad: zfpy.compress_numpy(grad, tolerance=ACCURACY * spread),
            zfpy.decompress_numpy,
            len,
            ACCURACY,
            slow=True,
        )
    }


def sz3(n, spread):
    pysz = import_module("pysz")

    def encode(grad):
        config = pysz.szConfig(grad.shape)
        config.errorBoundMode = pysz.szErrorBoundMode.ABS
        config.absErrorBound = ACCURACY * spread
        config.openmp = False
        return pysz.sz.compress(grad, config)[0]

    def decode(message):
        return pysz.sz.decompress(message, np.float32, (n,))[0]

    return {"SZ3 (pysz), absolute 0.03 std": Peer(encode, decode, lambda m: m.nbytes, 0.03, True)}


SPARSE = (gcodec_sparse, numpy_coo, torch_sparse, scipy_csr, zstd_coo, pcodec_coo, blosc2_zeroed)
DENSE = (gcodec_dense, ml_dtypes_cast, zfp, sz3)
PACKAGES = {
    torch_sparse: "torch",
    scipy_csr: "scipy",
    zstd_coo: "zstandard",
    pcodec_coo: "pcodec",
    blosc2_zeroed: "blosc2",
    ml_dtypes_cast: "ml_dtypes",
    zfp: "zfpy",
    sz3: "pysz",
}


def installed():
    """Packages of peers that can be imported, and those that cannot."""
    here, absent = [], []
    for package in PACKAGES.values():
        try:
            import_module(package)
        except ImportError:
            absent.append(package)
        else:
            here.append(package)
    return here, absent


def _made(makers, *arguments):
    absent = installed()[1]
    peers = {}
    for make in makers:
        if PACKAGES.get(make) not in absent:
            peers |= make(*arguments)
    return peers


def relative(found, wanted):
    """Relative L2 error."""
    return float(np.linalg.norm(found - wanted) / (np.linalg.norm(wanted) or 1))


def returned(peer, message, grad, limit):
    """The relative L2 error of what comes back, once the right elements have.

    Those above the limit; of those that equal it, as many tiles of a gradient may, any.
    """
    found = peer.decode(message)
    here = np.ones(grad.size, bool) if limit is None else found != 0
    assert np.abs(grad[~here]).max(initial=0) <= (limit or 0)
    assert np.abs(grad[here]).min() >= (limit or 0)
    return relative(found, np.where(here, grad, np.float32(0)))


def compare(peers, grads, rounds, limit=None):
    """Both ways in GB/s of dense float32, bytes for each element that goes, and relative error.

    All elements go, or those above a limit. Round trips are asserted.
    """
    per = grads.shape[1] if limit is None else np.count_nonzero(np.abs(grads[0]) > limit)
    contenders, costs, seconds = {READ: read(grads)}, {}, {}
    for name, peer in peers.items():
        messages = [peer.encode(grad) for grad in grads]
        error = returned(peer, messages[0], grads[0], limit)
        assert error <= peer.error, f"{name} comes back with an error of {error:.3g}"
        costs[name] = {"bytes per element": peer.size(messages[0]) / per, "error": error}
        contenders[name, "encode"] = lambda i, peer=peer: peer.encode(grads[i % 3])
        contenders[name, "decode"] = lambda i, p=peer, m=messages: p.decode(m[i % 3])
    # Fast and slow ones apart, or few rounds of the slow would be few of the fast.
    slow = {name for name, peer in peers.items() if peer.slow}
    fast = {key: call for key, call in contenders.items() if key == READ or key[0] not in slow}
    rest = {key: call for key, call in contenders.items() if key == READ or key[0] in slow}
    seconds = timed(fast, rounds)
    if slow:
        seconds = timed(rest, max(rounds // 3, 3)) | seconds
    size = grads[0].nbytes / 1e6
    reading = {"encode GB/s": size / seconds[READ]["ms"]}
    rows = {
        name: {
            "encode GB/s": size / seconds[name, "encode"]["ms"],
            "decode GB/s": size / seconds[name, "decode"]["ms"],
            **cost,
        }
        for name, cost in costs.items()
    }
    return {READ: reading, **rows}


def sparse(grads, rounds, only=None):
    """1 % of the gradient, the same elements for all of them."""
    n = grads.shape[1]
    limit = cut(grads[0], RATIO)
    peers = _made(SPARSE, n, limit)
    if only is not None:
        peers = {name: peer for name, peer in peers.items() if name in only}
    return compare(peers, grads, rounds, np.float32(limit))


def dense(grads, rounds):
    """Every element."""
    n = grads.shape[1]
    spread = float(grads[0].std())
    return compare(_made(DENSE, n, spread), grads, rounds)
