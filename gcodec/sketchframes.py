"""Cells of a count-sketch into a frame, and out of one (spec sections 6, 8 and 13)."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, dense
from .decoder import unpack_chunks
from .format import frame as wire
from .format import ids
from .format.directory import CHUNK, choose_chunk_log2, chunk_lengths, chunk_units
from .format.elements import Element
from .format.header import Header
from .format.sections import Tensor
from .format.sketch import Sketch
from .packing import write_checks


def write(
    cells: NDArray[Any],
    parameters: Sketch,
    element: Element,
    tensors: Sequence[Tensor],
    header: Header,
    kernels: ModuleType,
) -> wire.Frame:
    """A frame of all cells as they are; `header` says where they come from."""
    flat, n = cells.reshape(-1), cells.size
    chunk_log2 = choose_chunk_log2(n, 1.0)
    lengths = chunk_lengths(n, chunk_log2)
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = lengths
    directory["key_codec"], directory["val_codec"] = ids.KeyCodec.ALL, ids.ValueCodec.RAW
    directory["len16"] = chunk_units(lengths, (lengths * element.bits + 63) >> 6)
    header = header._replace(
        n_elements=n,
        n_stored=n,
        chunk_log2=chunk_log2,
        frame_kind=ids.FrameKind.COUNT_SKETCH,
        elem_dtype=element.type,
    )
    work = wire.draft(header, tensors, wire.NO_TABLES, directory, parameters)
    for i, start in enumerate(range(0, n, 1 << chunk_log2)):
        part = flat[start : start + (1 << chunk_log2)]
        begin = int(work.directory["off16"][i]) * 2
        chunk = work.payload[begin : begin + int(work.directory["len16"][i]) * 2]
        chunk[part.nbytes >> 3 :] = 0
        chunk.view(part.dtype)[: part.size] = part
    write_checks(work, kernels)
    return wire.seal(work, kernels.xxh64)


def read_cells(parsed: wire.Parsed, kernels: ModuleType) -> NDArray[Any]:
    """All cells of a sketch, flat, as numbers of its element type whatever they are."""
    number = arrays.NUMBERS[parsed.element.type]
    cells = np.zeros(parsed.header.n_elements, number)
    fields = dense.prove(parsed, number, kernels)
    if fields is not None:
        fields.put(cells)
        return cells
    content, log2 = unpack_chunks(parsed, kernels, 0, None), parsed.header.chunk_log2
    patterns = cells.view(content.bits.dtype)
    kernels.scatter(content.keys, content.counts, log2, content.bits, patterns)
    return cells
