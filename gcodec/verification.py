"""Does a frame hold what it claims?"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import arrays
from .decoder import unpack
from .errors import Mismatch
from .format.ids import BoundKind
from .kernels import load


@dataclass(frozen=True)
class Verification:
    """A sound frame beside the gradient it was made from; norms are None without one.

    Attributes
    ----------
    kept : int
        Elements that the frame holds.
    elements : int
        Elements of the gradient.
    bound : float
        What the frame claims of the elements it holds that are not zero, by its `bound_kind`:
        `|decoded - x| <= bound * |x|` + half the smallest number of the element type, or
        `|decoded - x| <= bound`, or equality.
    bound_met : bool or None
        Whether that is so.
    kept_error : float or None
        Relative L2 error over these elements.
    error : float or None
        Relative L2 error over all elements; what was dropped counts.
    """

    kept: int
    elements: int
    bound: float
    bound_met: bool | None = None
    kept_error: float | None = None
    error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, as for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"sound, {self.kept} of {self.elements} elements"]
        if self.bound_met is not None:
            lines += [
                f"bound {self.bound:.6g} {'met' if self.bound_met else 'NOT MET'}",
                f"relative L2 error {self.kept_error:.4g} of what is kept, {self.error:.4g} of all",
            ]
        return "\n".join(lines)


def verify(frame: Any, against: Any = None, *, backend: str = "cpu") -> Verification:
    """Check a frame whole, and against the gradient it was made from if that is given.

    Raises
    ------
    FrameError
        If the frame is not sound, or `against` has another number of elements (`Mismatch`).

    Examples
    --------
    >>> import numpy, gcodec
    >>> grad = numpy.array([1, -3, 2], numpy.float32)
    >>> gcodec.verify(gcodec.get_codec("reclog:k=2").encode(grad), grad).bound_met
    True
    """
    parsed, content = unpack(frame, load(backend))
    header = parsed.header
    kept, n, bound = header.n_stored, header.n_elements, header.bound
    if against is None:
        return Verification(kept, n, bound)
    exact = arrays.gradient(against).numbers().astype(np.float64)
    if exact.size != n:
        raise Mismatch(f"the frame has {n} elements, the gradient {exact.size}")
    values = content.values().astype(np.float64)
    held = values != 0
    wanted = exact[content.positions()[held]]
    difference = values[held] - wanted
    allowed = np.zeros(1)
    if header.bound_kind == BoundKind.RELATIVE:
        tiny = 2.0 ** (content.element.lowest - 1)
        with np.errstate(over="ignore"):
            allowed = bound * np.abs(wanted) + tiny
    elif header.bound_kind != BoundKind.EXACT:
        allowed = np.full(1, bound)
    met = bool((np.abs(difference) <= allowed).all())
    unit = float(np.abs(exact).max(initial=0.0)) or 1.0  # squares of large numbers overflow
    exact, wanted, difference = exact / unit, wanted / unit, difference / unit
    dropped = max(float(exact @ exact - wanted @ wanted), 0.0)
    lost = float(difference @ difference)
    return Verification(
        kept,
        n,
        bound,
        met,
        _relative(lost, float(wanted @ wanted)),
        _relative(lost + dropped, float(exact @ exact)),
    )


def _relative(error: float, whole: float) -> float:
    return float(np.sqrt(error / whole)) if whole else 0.0
