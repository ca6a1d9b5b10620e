"""What `gcodec demo` trains on: scikit-learn's digits, or MNIST from a file."""

import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import BackendUnavailableError
from .files import FileError

CLASSES: Final = 10

Images = dict[str, Any]  # uint8[images, pixels] and int64[images], by MNIST's names


def load_digits_images() -> Images:
    """1,437 images to train on and 360 to test, always the same."""
    if find_spec("sklearn") is None:
        raise BackendUnavailableError(
            'scikit-learn, which brings the digits, is missing: pip install "gcodec[mpich,demo]"'
        )
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    parts = {"train": order[360:], "test": order[:360]}
    images = {f"{part}_images": np.rint(pixels[at] * (255 / 16)) for part, at in parts.items()}
    return {
        **{name: array.astype(np.uint8) for name, array in images.items()},
        **{f"{part}_labels": labels[at].astype(np.int64) for part, at in parts.items()},
    }


def load_npz(path: Path) -> Images:
    """MNIST's arrays, the images flattened; refused unless all of them fit together."""
    names = [f"{part}_{kind}" for part in ("train", "test") for kind in ("images", "labels")]
    try:
        if not zipfile.is_zipfile(path) and path.exists():
            raise ValueError("it is no zip archive")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name in file}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"cannot read {path} as .npz: {error}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise FileError(f"{path} lacks {', '.join(missing)}")
    pixels = arrays["train_images"].shape[1:]
    loaded = {}
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.dtype != np.uint8 or images.ndim != 3 or not images.size:
            raise FileError(
                f"{path}: {part}_images is {images.dtype}{list(images.shape)}, "
                "not uint8[images, rows, columns]"
            )
        if images.shape[1:] != pixels:
            raise FileError(f"{path}: test images of {images.shape[1:]} pixels, not {pixels}")
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise FileError(
                f"{path}: {part}_labels is {labels.dtype}{list(labels.shape)}, "
                f"not one integer for each of {len(images)} images"
            )
        if labels.min() < 0 or labels.max() >= CLASSES:
            raise FileError(f"{path}: {part}_labels are not all 0 to {CLASSES - 1}")
        loaded[f"{part}_images"] = images.reshape(len(images), -1)
        loaded[f"{part}_labels"] = labels.astype(np.int64)
    return loaded
