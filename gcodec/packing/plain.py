"""Packing with NumPy and the small kernels of a backend: every step by itself."""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..format import frame as wire
from ..format.directory import measure_chunks, planes
from ..format.elements import Element, Patterns
from ..format.sections import Tensor
from .content import Content
from .keys import Keys, choose_keys, write_keys
from .layout import Ints
from .values import Values, choose_values, fix_values, keep_values, write_values


class Plain(NamedTuple):
    """How keys and values will be written."""

    directory: NDArray[np.void]
    content: Content
    packed_keys: Keys
    packed_values: Values
    kernels: ModuleType

    @property
    def tables(self) -> wire.Tables:
        keys, values = self.packed_keys, self.packed_values
        return wire.Tables(values.levels, keys.codes, values.code, keys.seeds)

    @property
    def rests(self) -> Ints:
        return self.packed_keys.rests

    def write(self, work: wire.Draft) -> None:
        """Write planes and checks into a draft of the same directory."""
        kernels, directory, payload = self.kernels, work.directory, work.payload
        table = planes(directory, self.content.element)
        payload[:] = 0
        keys = self.content.keys
        write_keys(directory, table, keys, self.packed_keys, payload, kernels)
        joint = self.content.joint
        signs = np.empty(0, np.uint32) if joint is None else joint.astype(np.uint32) & np.uint32(1)
        bits = self.content.bits
        write_values(directory, table, bits, signs, self.packed_values, payload, kernels)
        write_checks(work, kernels)


def write_checks(work: wire.Draft, kernels: ModuleType) -> None:
    """Set the check of every chunk of a draft whose planes are written."""
    checks = np.zeros(work.directory.size, np.uint32)
    payload, directory = work.payload.view(np.uint8), work.directory[:]
    payload.flags.writeable = directory.flags.writeable = False
    kernels.chunk_checks(payload, directory, 0, checks)
    work.directory["check"] = checks


def pack(
    directory: NDArray[np.void],
    content: Content,
    lengths: Ints,
    tensors: Sequence[Tensor],
    packing: str,
    kernels: ModuleType,
) -> Plain:
    """Choose the smallest packing of what chunks hold; sets the fields of a directory with nnz."""
    element: Element = content.element
    if content.joint is None:
        values = keep_values(directory, element)
    else:
        table: Patterns = content.table
        joint = content.joint.astype(np.uint32)
        if content.fixed:
            book, no_code = fix_values(directory, table), np.empty(0, np.uint8)
            values = Values(joint, book, no_code)
        else:
            values = choose_values(directory, joint, table, content.own_signs, element, kernels)
    keys = choose_keys(directory, content.keys, lengths, tensors, packing, content.seed, kernels)
    measure_chunks(directory, element, keys.rests)
    return Plain(directory, content, keys, values, kernels)
