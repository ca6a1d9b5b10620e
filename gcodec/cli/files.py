"""Gradients and frames on disk; a file is replaced whole or not at all."""

from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import numpy as np

from ..codec import Codec
from ..format.frame import Frame


class FileError(Exception):
    """A file that cannot be read or written as asked."""


def read_array(path: Path) -> Any:
    """A `.npy`, or what `numpy.load` gives for a `.npz`."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileError(f"cannot read {path} as .npy or .npz: {error}") from error


def encode_file(path: Path, codec: Codec, *, name: str, step: int) -> Frame:
    """Encode a `.npy`, or a `.npz` of `keys`, `values` and, if it has one, `n` or `dimension`.

    Without a length in the file, the dense length is one past the largest key.
    """
    loaded = read_array(path)
    if isinstance(loaded, np.ndarray):
        return codec.encode(loaded, name=name, step=step)
    with loaded:
        if not {"keys", "values"} <= set(loaded):
            raise FileError(
                f"{path} holds {', '.join(loaded)}; a sparse gradient has keys and values"
            )
        keys, values = loaded["keys"], loaded["values"]
        lengths = [int(loaded[field]) for field in ("n", "dimension") if field in loaded]
    n = lengths[0] if lengths else int(keys.max(initial=-1)) + 1
    return codec.encode_sparse(keys, values, n, name=name, step=step)


def read_bytes(path: Path) -> bytes:
    """All of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error


def write_frame(path: Path, frame: Frame) -> None:
    """Write a frame's bytes."""
    _replace(path, lambda file: file.write(frame.tobytes()))


def write_array(path: Path, array: Any) -> None:
    """Write a `.npy`."""
    _replace(path, lambda file: np.save(file, array))


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                write(file)
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error
