"""What importing gcodec costs, and which part may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gcodec

ROOT = Path(gcodec.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = (
    ("errors", "parallel", "scratch"),
    ("format",),
    ("kernels",),
    ("packing", "select", "quantize", "sketch"),
    (
        "arrays", "statistics", "dense", "encoder", "decoder", "codec", "feedback", "momentum",
        "recipes", "inspection", "merging", "slicing", "verification", "request", "gathering",
        "rounding", "policy", "scaling", "sketchcells", "sketchframes", "sketching", "warming",
        "whole", "device", "deviceframes", "plans",
    ),
    ("collectives", "fusion"),
    ("mpi", "integrations"),
    ("cli", "__main__"),
)  # fmt: skip
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
SEPARATE = {"packing", "select", "quantize", "sketch", "errors", "format", "kernels"}
"""Parts that may not import a sibling of their own layer either."""


def child(code):
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


HEAVY = (
    "numba",
    "llvmlite",
    "mpi4py",
    "torch",
    "jax",
    "optax",
    "zarr",
    "numcodecs",
    "rich",
    "cupy",
    "sklearn",
    "matplotlib",
    "scipy",
    "threading",
)


def test_importing_gcodec_imports_nothing_heavy():
    code = (
        "import sys, numpy; before = set(sys.modules); import gcodec;"
        "print(*set(sys.modules) - before)"
    )
    loaded = {name.split(".")[0] for name in child(code).split()}
    assert "gcodec" in loaded
    assert not loaded & set(HEAVY)


def test_making_a_codec_imports_no_compiler():
    code = "import sys, gcodec; gcodec.get_codec('reclog:ratio=0.1'); print(*sys.modules)"
    assert "numba" not in child(code).split()


def test_importing_gcodec_takes_little_longer_than_numpy():
    """The one timing assertion of the suite: best of five, within child processes."""
    code = (
        "import numpy, time; t = time.perf_counter(); import gcodec; print(time.perf_counter() - t)"
    )
    assert min(float(child(code)) for _ in range(5)) < 0.15


@pytest.mark.parametrize("name", gcodec.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(gcodec, name)
    assert value.__doc__
    assert value.__doc__.strip()
    assert not isinstance(value, type) or "__doc__" in vars(value), "the docstring is inherited"


def test_names_are_those_of_the_module():
    assert len(gcodec.__all__) == len(set(gcodec.__all__))
    assert set(gcodec.__all__) <= set(dir(gcodec))
    with pytest.raises(AttributeError, match="nothing"):
        gcodec.nothing  # noqa: B018


def test_errors_are_a_closed_family():
    from gcodec import errors

    classes = {name: c for name, c in vars(errors).items() if isinstance(c, type)}
    assert all(issubclass(c, gcodec.GcodecError) for c in classes.values())
    assert set(classes) <= set(gcodec.__all__)
    assert len([c for c in classes.values() if c.__base__ is gcodec.FrameError]) == 8
    not_values = {name for name, c in classes.items() if not issubclass(c, ValueError)}
    assert not_values == {"GcodecError", "BackendUnavailableError"}


def module_name(file):
    """Dotted parts within gcodec, and those of the package that relative imports start from."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    package = parts[:-1]
    return (package if parts[-1] == "__init__" else parts), package


def imports(file):
    """(absolute dotted name, line) of every import, at whatever depth."""
    _, package = module_name(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split(".") if node.module else []
            if node.level:
                base = ["gcodec", *package[: len(package) - node.level + 1], *base]
            for alias in node.names:
                yield ".".join([*base, alias.name]), node.lineno


def inside(file):
    """Imports of gcodec's own parts as (top part, all parts, line)."""
    for name, line in imports(file):
        parts = name.split(".")
        if parts[0] == "gcodec" and len(parts) > 1:
            yield parts[1], parts[1:], line


def each_file(wanted=lambda parts: True):
    """Parametrise by the library's files whose dotted parts are wanted, but for the top one."""
    files = [file for file in FILES if file.parent != ROOT or file.stem != "__init__"]
    return pytest.mark.parametrize(
        "file",
        [file for file in files if wanted(module_name(file)[0])],
        ids=lambda file: file.relative_to(ROOT).as_posix(),
    )


@each_file()
def test_nothing_imports_what_is_above_it(file):
    own = module_name(file)[0][0]
    assert own in RANK, f"give {own} a place in LAYERS"
    for part, _, line in inside(file):
        if part in gcodec.__all__ or part == "__version__":
            assert own in ("cli", "__main__", "integrations"), (
                f"line {line}: import {part} from its home"
            )
            continue
        assert part in RANK, f"line {line}: give {part} a place in LAYERS"
        assert RANK[part] <= RANK[own], f"line {line}: {own} imports {part}, which is above it"
        if RANK[part] == RANK[own] and own in SEPARATE:
            assert part == own, f"line {line}: {own} imports its sibling {part}"


@each_file(lambda parts: parts[0] == "format")
def test_format_imports_little(file):
    allowed = set(sys.stdlib_module_names) | {"numpy", "gcodec"}
    assert {name.split(".")[0] for name, _ in imports(file)} <= allowed


CUDA_TARGET = ("kernels", "cuda", "target")
CUDA_HOST = {("kernels", "cuda", name) for name in ("launch", "resident", "twins")}
"""What runs on the host beside CUDA kernels: it may raise."""
TABLES = ("jobs", "plans")
"""What kernels and those who call them know of each other."""


@each_file(
    lambda parts: (
        parts[0] == "kernels"
        and parts[1:] not in ((), *((name,) for name in TABLES))
        and parts != CUDA_TARGET
    )
)
def test_kernels_of_one_backend_import_none_of_another(file):
    parts = module_name(file)[0]
    for part, whole, line in inside(file):
        if part == "kernels" and len(whole) > 1:
            assert whole[1] in (parts[1], *TABLES), f"line {line}"
        elif part == "format":
            assert whole[1] == "ids" or whole[2].isupper(), (
                f"line {line}: kernels know ids and constants of the layout only"
            )
        else:
            assert part == "kernels" or (part == "errors" and parts in CUDA_HOST), f"line {line}"


@each_file(lambda parts: parts == CUDA_TARGET)
def test_the_cuda_target_imports_errors_only(file):
    assert {part for part, _, _ in inside(file)} == {"errors"}


@each_file(lambda parts: parts == ("kernels", "jobs"))
def test_job_tables_import_nothing_of_gcodec(file):
    assert not list(inside(file))


@each_file(lambda parts: parts[0] in ("packing", "select", "quantize", "sketch"))
def test_rooms_take_kernels_as_an_argument(file):
    """Which backend runs is the caller's choice; the columns of job tables are no kernels."""
    for part, whole, line in inside(file):
        assert part != "kernels" or whole[1] == "jobs", f"line {line}"


@each_file()
def test_heavy_packages_stay_in_their_rooms(file):
    parts = module_name(file)[0]
    rooms = {"numba": ("kernels", "cpu"), "llvmlite": ("kernels", "cpu"), "mpi4py": ("mpi",)}
    rooms |= dict.fromkeys(("torch", "jax", "optax", "zarr", "numcodecs"), ("integrations",))
    rooms |= {"rich": ("cli",)}
    for name, line in imports(file):
        room = rooms.get(name.split(".")[0])
        if parts == CUDA_TARGET and name.split(".")[0] in ("numba", "llvmlite"):
            continue
        assert not name.startswith(("numba.cuda", "numba_cuda", "cuda.")), f"line {line}: {name}"
        assert room is None or parts[: len(room)] == room or parts[0] == "cli", (
            f"line {line}: {name}"
        )


@each_file(lambda parts: parts[0] == "integrations")
def test_integrations_know_no_format_and_are_short(file):
    for _, whole, line in inside(file):
        known = whole[0] not in ("kernels", "format") or whole == ["format", "frame", "Frame"]
        assert known, f"line {line}: integrations know frames, not what is in them"
    assert len(file.read_text(encoding="utf-8").splitlines()) < 250


@each_file(lambda parts: parts != ("arrays",))
def test_only_arrays_knows_of_devices(file):
    assert "__cuda_array_interface__" not in file.read_text(encoding="utf-8")


def _is_call(node, *path):
    names = []
    target = node.func if isinstance(node, ast.Call) else None
    while isinstance(target, ast.Attribute):
        names.append(target.attr)
        target = target.value
    return tuple(reversed(names))[-len(path) :] == path if names else False


@each_file(lambda parts: parts[0] != "format")
def test_only_format_lays_out_bytes(file):
    """struct and structured dtypes are format's; elsewhere `frombuffer` gives plain bytes only.

    The descriptor is no part of a frame: it lives for one exchange between ranks of one release.
    """
    assert "struct" not in {name.split(".")[0] for name, _ in imports(file)}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if _is_call(node, "frombuffer"):
            dtype = [ast.unparse(a) for a in node.args[1:]] + [
                ast.unparse(k.value) for k in node.keywords
            ]
            assert dtype == ["np.uint8"], f"line {node.lineno}: {ast.unparse(node)}"
        if _is_call(node, "dtype") and file.stem != "descriptor":
            assert not any(isinstance(a, ast.List | ast.Dict) for a in node.args), (
                f"line {node.lineno}"
            )
