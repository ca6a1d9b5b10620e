"""The tables between README's `bench` markers, from the last stored run: `python bench/readme.py`.

`--write` puts them there.
"""

import argparse
import json
from pathlib import Path

from harness import READ, RESULTS

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- bench -->\n", "<!-- /bench -->\n"
TITLES = {
    "char_transformer_step0020": "transformer, step 20",
    "char_transformer_step0200": "transformer, step 200",
    "hashed_text_logistic_step0060": "logistic regression on hashed text, sparse",
    "mnist_cnn_step0000": "CNN, step 0",
    "mnist_cnn_step0020": "CNN, step 20",
    "mnist_cnn_step0400": "CNN, step 400",
}
RECIPE = "reclog:ratio=0.01,per_octave=4"
LAWS = ("Laplace", "heavy")


def markdown(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def sizes(figures):
    rows = [
        [
            TITLES.get(name, name),
            f"{found['bits_per_key']:.2f} ({found['key_entropy']:.2f})",
            f"{found['bits_per_value']:.2f} ({found['value_entropy']:.2f})",
            f"{found['bytes_per_kept']:.2f}",
            f"{found['ratio_to_dense']:.0f}x",
        ]
        for name, found in figures.get("sizes", {}).items()
    ]
    return markdown(
        [f"gradient, `{RECIPE}`", "bits per key (i.i.d. entropy)", "bits per value (entropy)",
         "bytes per kept element", "against dense"],
        rows,
    )  # fmt: skip


def speeds(figures):
    def row(title, part, names, field, show):
        cells = [
            " / ".join(show(figures["laws"][law][part][name][field]) for name in names)
            for law in LAWS
        ]
        return [title, *cells]

    def percent(share):
        return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"

    def passes(number):
        return f"{number:.3g}" if number >= 10 else f"{number:.2g}"

    densities = ("0.1", "0.01", "0.001")
    packings = {"auto": "smallest", "blocks, fixed": "`keys=blocks,values=fixed`"}
    memories = ("exact top-k", "threshold known")
    stages = [f"SIDCo exponential, {number} stages" for number in (2, 3)]
    rows = [
        *(
            row(f"encode 10 / 1 / 0.1 %, threshold known, {what}: share of a read", "known",
                [f"{density} {title}" for density in densities], "share", percent)
            for title, what in packings.items()
        ),
        row("encode 1 %, threshold sampled / exact top-k: share of a read", "choosing",
            ("sampled", "exact top-k"), "share", percent),
        row("encode 1 %, SIDCo of 2 / 3 stages: share of a read", "choosing", stages, "share",
            percent),
        row("error feedback 1 %, exact top-k / threshold known: share of `numpy.add(r, g, out=r2)`",
            "feedback", memories, "share", percent),
        *(
            row(f"decode + accumulate 10 / 1 / 0.1 %, {what}: time in reads", "accumulating",
                [f"{density} {title}" for density in densities], "passes", passes)
            for title, what in packings.items()
        ),
        row("every element in 8 bits, 16 log levels an octave, encode / decode: share of a read",
            "dense", [f"{way}, 8 bits, 16 log levels per octave" for way in ("encode", "decode")],
            "share", percent),
        row("1,024 elements: encode 1 % / decode + accumulate, us", "small",
            ("encode, exact top-k", "decode + accumulate"), "us", passes),
        *(
            row(f"16,384 / 131,072 / 1,048,576 elements, 1 %: {name}, ms", "buckets",
                [f"{size}: {name}" for size in ("16,384", "131,072", "1,048,576")], "ms", passes)
            for name in ("encode, threshold known", "numpy flatnonzero COO")
        ),
    ]  # fmt: skip
    return markdown([f"n = {figures['n']:,}, one thread", "Laplace", "heavy tails"], rows)


def peers(figures):
    found = figures["laws"]["Laplace"]["sparse peers"]
    rows = [
        [
            name,
            f"{row['encode GB/s']:.3g}",
            f"{row['decode GB/s']:.3g}",
            f"{row['bytes per element']:.2f}",
            f"{row['error']:.2g}",
        ]
        for name, row in found.items()
        if name != READ
    ]
    title = f"1 % of n = {figures['n']:,}, Laplace"
    return markdown(
        [title, "encode GB/s", "decode GB/s", "bytes per element sent", "relative error"], rows
    )


def tables(stored):
    """All that is between the markers."""
    figures, machine = stored["figures"], stored["machine"]
    packages = [
        f"{package} {version}"
        for package, version in machine.items()
        if package not in ("date", "commit", "cpu", "python", "load")
    ]
    absent = f" Not installed: {', '.join(figures['absent'])}." if figures["absent"] else ""
    return "\n".join(
        [
            sizes(figures),
            speeds(figures),
            peers(figures),
            f"Measured {machine['date'][:10]} on {machine['cpu']}, Python {machine['python']}, "
            f"{', '.join(packages)}; load average {figures['load'][0]:.1f} to "
            f"{figures['load'][1]:.1f}.{absent}\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into README.md")
    text = tables(json.loads((RESULTS / "codec.json").read_text()))
    if not parser.parse_args().write:
        print(text, end="")
        return
    before, rest = README.read_text().split(START)
    after = rest.split(END)[1]
    README.write_text(f"{before}{START}{text}{END}{after}")


if __name__ == "__main__":
    main()
