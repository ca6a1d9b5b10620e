"""Gradients and frames on disk; a file is replaced whole or not at all."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final

import numpy as np

from ..codec import Codec
from ..format.frame import Frame

MAGIC: Final = b"\x93NUMPY"
"""First bytes of a `.npy`."""


class FileError(Exception):
    """A file that cannot be read or written as asked."""


def read_array(path: Path) -> Any:
    """A `.npy`, or what `numpy.load` gives for a `.npz`."""
    with _reading(path):
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
        if start != MAGIC and not zipfile.is_zipfile(path):
            raise FileError(f"{path} is neither a .npy nor a .npz")
        return np.load(path, allow_pickle=False)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"cannot read {path} as .npy or .npz: {error}") from error


def encode_file(path: Path, codec: Codec, *, name: str, step: int) -> Frame:
    """Encode a `.npy`, or a `.npz` of `keys`, `values` and, if it has one, `n` or `dimension`.

    Without a length in the file, the dense length is one past the largest key.
    """
    loaded = read_array(path)
    if isinstance(loaded, np.ndarray):
        return codec.encode(loaded, name=name, step=step)
    with loaded, _reading(path):
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
