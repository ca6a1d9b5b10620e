"""What selectors keep of what was asked, and what quantisers cost: `python bench/methods.py`.

Selected over wanted, with the worst over seeds and ratios, on known laws and on the real gradients
of a folder; wanted is min(k, nonzeros). Then bytes per kept element, error and entropy of every
quantiser at 1 % of a Laplace gradient and of one real one.
"""

import argparse
from pathlib import Path

import numpy as np
from harness import store, table

import gcodec
from gcodec import arrays
from gcodec.kernels import load
from gcodec.statistics import DenseStatistics

RATIOS = (0.01, 0.001, 0.0001)
LAWS = {
    "Laplace": lambda rng, n: rng.laplace(size=n),
    "Gaussian": lambda rng, n: rng.normal(size=n),
    "gamma 0.4": lambda rng, n: rng.gamma(0.4, size=n) * rng.choice([-1, 1], n),
    "Pareto 0.2": lambda rng, n: (rng.random(n) ** -0.2 - 1) / 0.2 * rng.choice([-1, 1], n),
    "Pareto 0.45": lambda rng, n: (rng.random(n) ** -0.45 - 1) / 0.45 * rng.choice([-1, 1], n),
    "Student t3": lambda rng, n: rng.standard_t(3, size=n),
}
SELECTORS = {
    "TopK": lambda r: gcodec.TopK(r),
    "SampledQuantile": lambda r: gcodec.SampledQuantile(r),
    "DGCSampling": lambda r: gcodec.DGCSampling(r),
    "SIDCo pareto, verified": lambda r: gcodec.SIDCo(r),
    "SIDCo exponential, verified": lambda r: gcodec.SIDCo(r, law="exponential"),
    "SIDCo gamma-pareto, verified": lambda r: gcodec.SIDCo(r, law="gamma-pareto"),
    "SIDCo pareto, 3 stages": lambda r: gcodec.SIDCo(r, verified=False),
    "SIDCo exponential, 1 stage": lambda r: gcodec.SIDCo(
        r, law="exponential", stages=1, verified=False
    ),
    "SIDCo exponential, 3 stages": lambda r: gcodec.SIDCo(r, law="exponential", verified=False),
    "GaussianK": lambda r: gcodec.GaussianK(r),
    "MSTopK": lambda r: gcodec.MSTopK(r),
    "RedSync": lambda r: gcodec.RedSync(r),
    "BlockTopK": lambda r: gcodec.BlockTopK(max(round(4096 * r), 1), 4096),
    "RandomK": lambda r: gcodec.RandomK(r),
}
QUANTIZERS = (
    gcodec.Raw(),
    gcodec.Cast("float16"),
    gcodec.Cast("bfloat16"),
    gcodec.Float8("e4m3"),
    gcodec.Float8("e5m2"),
    gcodec.Uniform(8),
    gcodec.Uniform(4),
    *(gcodec.ReciprocalLog(k) for k in (1, 2, 4, 8, 16)),
    gcodec.ReciprocalLog(base=1.1),
    gcodec.ReciprocalLog(4, bits=4),
    gcodec.ReciprocalLog(4, stochastic=True),
    gcodec.LloydMax(3),
    gcodec.LloydMax(4),
    gcodec.FewBit(1),
    gcodec.FewBit(1, per_sign=False),
    gcodec.FewBit(2),
    gcodec.FewBit(3),
    gcodec.QSGD(15),
    gcodec.QSGD(255),
    gcodec.Natural(),
    gcodec.TernGrad(),
)
IN_BLOCKS = (gcodec.QSGD(15), gcodec.FewBit(1), gcodec.FewBit(2), gcodec.LloydMax(3))
BLOCK = 4096


def selected(grad, ratio, select):
    """Kept over wanted, before any fallback if there was one, and whether there was."""
    codec = gcodec.Codec(select, gcodec.Raw())
    gradient = arrays.gradient(grad)
    choice = select.decide(DenseStatistics(gradient.bits, gradient.element, 0, load("cpu")))
    wanted = min(max(1, round(ratio * grad.size)), np.count_nonzero(grad))
    kept = gcodec.inspect(codec.encode(grad)).header["n_stored"]
    return kept / wanted, getattr(choice, "fallback", False)


def selections(inputs):
    """For every selector: least and largest share of what was wanted, and share of fallbacks."""
    rows = {}
    for name, make in SELECTORS.items():
        found = [
            (case, ratio, *selected(grad, ratio, make(ratio)))
            for case, grads in inputs.items()
            for grad in grads
            for ratio in RATIOS
        ]
        shares = [share for *_, share, _ in found]
        worst = max(found, key=lambda row: abs(np.log(max(row[2], 1e-9))))
        rows[name] = {
            "least": min(shares),
            "largest": max(shares),
            "fallbacks": sum(fell for *_, fell in found) / len(found),
            "worst on": f"{worst[0]}, {worst[1]:.2%}",
            "all": [[case, ratio, share, bool(fell)] for case, ratio, share, fell in found],
        }
    return rows


def distortions(grad):
    """Bytes per kept element, bits per value beside their entropy, error of what is kept."""
    rows = {}
    codecs = [(quantize, None) for quantize in QUANTIZERS]
    codecs += [(quantize, BLOCK) for quantize in IN_BLOCKS]
    for quantize, scales in codecs:
        frame = gcodec.Codec(gcodec.TopK(0.01), quantize, scales=scales).encode(grad)
        found = gcodec.inspect(frame)
        name = repr(quantize) + (f", scales={scales}" if scales else "")
        rows[name] = {
            "bytes per kept": found.bytes_per_kept,
            "bits per value": found.bits_per_value,
            "entropy": found.value_entropy,
            "error": gcodec.verify(frame, grad).kept_error,
        }
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gradients", type=Path, help="folder of float32 .npy")
    parser.add_argument("--n", type=int, default=1 << 20)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    inputs = {
        law: [
            draw(np.random.default_rng(seed), arguments.n).astype(np.float32)
            for seed in range(arguments.seeds)
        ]
        for law, draw in LAWS.items()
    }
    real = sorted(arguments.gradients.glob("*.npy")) if arguments.gradients else []
    inputs |= {path.stem: [np.load(path)] for path in real}
    figures = {"selected": selections(inputs)}
    columns = ["least", "largest", "fallbacks", "worst on"]
    cells = [[name, *(row[c] for c in columns)] for name, row in figures["selected"].items()]
    print(table("kept over wanted, at 1, 0.1 and 0.01 %", ["", *columns], cells))
    for name in ["Laplace", *(path.stem for path in real[:1])]:
        rows = figures[name] = distortions(inputs[name][0])
        columns = list(next(iter(rows.values())))
        cells = [[quantizer, *row.values()] for quantizer, row in rows.items()]
        print(table(f"\n{name}, exact top 1 %", ["", *columns], cells))
    print(store("methods", figures))


if __name__ == "__main__":
    main()
