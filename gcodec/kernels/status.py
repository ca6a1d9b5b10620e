"""What a kernel found wrong in a payload. Kernels return these; only Python code raises."""

from typing import Final

OK: Final = 0
KEY_PLANE: Final = 1
KEY_ORDER: Final = 2
KEY_RANGE: Final = 3
VALUE_PLANE: Final = 4
VALUE_RANGE: Final = 5
SPARE_BITS: Final = 6

MESSAGES: Final = {
    KEY_PLANE: "the unary key plane does not hold nnz ones, or does not end with one",
    KEY_ORDER: "the keys are not strictly ascending",
    KEY_RANGE: "a key lies past the end of the chunk",
    VALUE_PLANE: "the unary value plane does not hold nnz ones, or does not end with one",
    VALUE_RANGE: "a value index lies past the codebook",
    SPARE_BITS: "spare bits or padding are not zero",
}
