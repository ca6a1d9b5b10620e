"""What planning takes, and what rules lose: `python bench/planning.py`.

Random networks: sizes log-normal over some four orders of magnitude, backward times exponential;
what messages and codecs take, in all, is 0.3 to 3 times the backward pass. Lines, powers of two,
and tables as `calibrate` makes them, of lines with 5 % of noise. CPU seconds of one thread.
"""

from statistics import mean, median
from time import process_time

import numpy as np
from harness import store, table

from gcodec.fusion import MODELS, RULES, Affine, Costs, Layers, PowerOfTwo, Table, optimal, simulate
from gcodec.fusion.calibration import rising

LAYERS = 400
SCALES = (0.3, 0.5, 1, 2, 3)
SEEDS = 2
NOISE = 0.05
FAMILIES = ("lines", "powers of two", "tables")


def instance(seed, family, scale):
    rng = np.random.default_rng(seed)
    sizes = np.ceil(rng.lognormal(8, 2, LAYERS)).astype(int)
    layers = Layers(range(LAYERS), sizes, 1e-3 * rng.exponential(size=LAYERS))
    total, passed = sum(layers.sizes), sum(layers.seconds)

    def cost(part):
        start, each = rng.uniform(0.2, 2, 2) * part * scale * passed / (LAYERS, total)
        if family == "lines":
            return Affine(start, each)
        if family == "powers of two":
            return PowerOfTwo(start, each)
        at = np.append(1 << np.arange(8, total.bit_length()), total)
        return Table(at, rising((start + each * at) * rng.lognormal(0, NOISE, len(at))))

    return layers, Costs(cost(0.5), cost(1), cost(0.5))


def measure(model, family):
    seconds, doubts, gaps = [], [], {rule: [] for rule in RULES}
    for seed in range(SEEDS):
        for scale in SCALES:
            layers, costs = instance(seed, family, scale)
            began = process_time()
            found = optimal(layers, costs, model)
            seconds.append(process_time() - began)
            doubts.append(found.seconds / found.bound - 1)
            for name, rule in RULES.items():
                groups = simulate(layers, costs, model, rule(layers, costs, model))
                gaps[name].append(groups[-1].decompress[1] / found.seconds - 1)
    return {
        "instances": len(seconds),
        "median seconds": median(seconds),
        "most seconds": max(seconds),
        "proven": sum(not doubt for doubt in doubts) / len(doubts),
        "most to gain": max(doubts),
        "mean gaps": {name: mean(each) for name, each in gaps.items()},
    }


def main():
    figures, rows = {}, []
    for model in MODELS:
        for family in FAMILIES:
            found = figures[f"{model}, {family}"] = measure(model, family)
            gaps = [f"{gap:.1%}" for gap in found["mean gaps"].values()]
            times = [f"{found[which]:.2f}" for which in ("median seconds", "most seconds")]
            proof = [f"{found['proven']:.0%}", f"{found['most to gain']:.1%}"]
            rows.append([f"{model}, {family}", *times, *proof, *gaps])
    columns = ["", "median s", "most s", "proven", "else below", *RULES]
    print(table(f"{LAYERS} layers, {found['instances']} networks in a row", columns, rows))
    print(store("planning", figures))


if __name__ == "__main__":
    main()
