"""A codec: which elements go, what their values become, how keys are packed."""

from dataclasses import dataclass, field
from functools import partial
from operator import index
from typing import Any

from . import arrays, device, encoder, kernels, whole
from .deviceframes import DeviceFrame
from .format.frame import Frame
from .packing import KEY_PACKINGS, VALUE_PACKINGS
from .plans import Plans
from .quantize import Cast, Raw
from .quantize.contract import Quantizer
from .request import Layout, Recipe, Sender, check_finite, origin
from .scaling import Block, check_block
from .select import RandomK, TopK
from .select.contract import Selector


@dataclass(frozen=True)
class Codec:
    """Encodes gradients; stateless, hashable, and equal to any codec of the same parameters.

    Parameters
    ----------
    select : TopK or another of `gcodec.select`
        Which elements go. Zeros do with `Dense`, `RandomK` and `RandomBlock` only.
    quantize : Raw or another of `gcodec.quantize`
        What their values become.
    keys : {"auto", "delta", "columns", "rice", "blocks", "coo", "bitmap"}
        How positions are packed: gaps by class and prefix code (adaptive delta), the same over the
        active columns of matrices, Rice-coded gaps, gaps of one width per block of 128, fixed-width
        positions within the chunk (sparse COO), a bit per element, or whichever is smallest, chunk
        by chunk.
    values : {"auto", "fixed"}
        How rounded values are packed: smallest, level by level and chunk by chunk; or as indices of
        one width into all levels that the data may need, each with its negative. Those take more
        bytes and a fraction of the time, most of all where every element goes.
    scales : int, "row" or "tensor", optional
        Elements that are rounded in units of a scale of their own, which goes into the frame: so
        many in a row, or a row, of each tensor, or the tensor. A scale is the largest magnitude of
        what is kept there, or the norm or mean that the quantiser rounds by (QSGD's buckets, 1-bit
        SGD's columns).
    per_tensor : bool
        Whether each tensor of a bucket has a selection of its own (`ratio` or `k` of each), or one
        goes for all of it. Levels are those of the whole bucket either way; `scales` differ.
    backend : {"cpu", "reference"}
        Which kernels run; the bytes are the same. Not part of the codec's identity.

    Examples
    --------
    >>> import numpy, gcodec
    >>> codec = gcodec.Codec(gcodec.TopK(ratio=0.01), gcodec.ReciprocalLog(per_octave=4))
    >>> codec == gcodec.get_codec("reclog:ratio=0.01,per_octave=4")
    True
    >>> grad = numpy.random.default_rng(0).normal(size=(100, 100)).astype(numpy.float32)
    >>> len(codec.encode(grad)) < grad.nbytes / 50
    True
    """

    select: Selector = TopK(ratio=0.01)  # noqa: RUF009 - frozen
    quantize: Quantizer = Raw()  # noqa: RUF009 - frozen
    keys: str = "auto"
    values: str = "auto"
    scales: Block = None
    per_tensor: bool = False
    backend: str = field(default="cpu", compare=False, repr=False)
    plans: Plans = field(default_factory=Plans, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for part, method in (("select", "decide"), ("quantize", "grid")):
            given = getattr(self, part)
            if not hasattr(given, method):
                raise TypeError(f"{part} is an object such as TopK(0.01) or Raw(), not {given!r}")
        if self.keys not in KEY_PACKINGS:
            raise ValueError(f"keys is one of {', '.join(KEY_PACKINGS)}, not {self.keys!r}")
        if self.values not in VALUE_PACKINGS:
            raise ValueError(f"values is one of {', '.join(VALUE_PACKINGS)}, not {self.values!r}")
        object.__setattr__(self, "scales", check_block(self.scales))
        for part, used in (("values", self.values != "auto"), ("scales", self.scales is not None)):
            if used and isinstance(self.quantize, Raw | Cast):
                method = type(self.quantize).__name__
                raise ValueError(f"{method} sends values as they are: leave {part} out")
        if self.per_tensor not in (False, True):
            raise ValueError(f"per_tensor is true or false, not {self.per_tensor!r}")
        object.__setattr__(self, "per_tensor", bool(self.per_tensor))
        if self.per_tensor and isinstance(self.select, RandomK):
            raise ValueError("RandomK draws from the whole bucket: leave per_tensor out")
        if self.backend not in kernels.BACKENDS:
            raise ValueError(
                f"backend is one of {', '.join(kernels.BACKENDS)}, not {self.backend!r}"
            )

    def recipe(self) -> Recipe:
        """The codec's parts with its kernels loaded."""
        loaded = kernels.load(self.backend)
        return Recipe(
            self.select,
            self.quantize,
            self.keys,
            self.values,
            self.scales,
            self.per_tensor,
            loaded,
        )

    def at(self, name: str, size: int, step: int) -> "Codec":
        """This codec, for every tensor and step; `WarmUp` and `Exclude` have others."""
        return self

    def encode(
        self,
        grad: Any,
        *,
        name: str = "",
        step: int = 0,
        tensors: Layout | None = None,
        sender: Sender | None = None,
    ) -> Frame:
        """Encode a gradient.

        Parameters
        ----------
        grad : array of any shape
            float16, bfloat16, float32 or float64, from NumPy, or anything `numpy.asarray` takes
            without a copy. An array of uint16 holds the bit patterns of bfloat16, which NumPy has
            not. Not modified; copied only if it is not C-contiguous. An array on a CUDA device
            (CuPy, PyTorch, or another with the CUDA array interface or DLPack) stays there: what is
            kept of it comes to the host.
        name : str
            The tensor's name; its hash goes into the frame and, where a selector samples, into the
            sample.
        step : int
            The training step, 0 to 2**64 - 1; goes into the frame.
        tensors : sequence of (name, shape), optional
            What `grad` is made of, in order, if it is a bucket of several tensors, flattened.
            Shapes go into the frame, and keys of matrices are coded by their active columns.
        sender : (rank, world), optional
            Goes into the frame and into the draws of stochastic rounding, so that ranks draw
            differently and their errors average out. What is selected does not depend on it.

        Returns
        -------
        Frame
            The same bytes for the same arguments, on every backend.

        Raises
        ------
        LimitExceeded
            If the step does not fit 64 bits, or there are more than 32 dimensions.
        Mismatch
            If the tensors do not add up to the gradient, or the rank is not one of its world.
        NonFiniteError
            If there is a NaN or an infinity.
        UnsupportedDtypeError
            If the elements are of no such type.
        BackendUnavailableError
            If the array is on a device, and there is no driver for it, or no CUDA kernel for what
            the recipe asks of all elements.
        """
        frame = whole.encode(self, grad, name, step, tensors, sender)
        if frame is not None:
            return frame
        if arrays.on_device(grad):
            made: Frame = device.encode(self.recipe(), grad, name, step, tensors, sender)
            return made
        gradient, recipe = arrays.gradient(grad), self.recipe()
        whence = origin(recipe, name, gradient.shape, step, tensors, sender)
        check = partial(check_finite, gradient=gradient, name=name)
        return encoder.encode_dense(recipe, gradient, check, whence).frame

    def encode_on_device(
        self,
        grad: Any,
        *,
        name: str = "",
        step: int = 0,
        tensors: Layout | None = None,
        sender: Sender | None = None,
    ) -> DeviceFrame:
        """As `encode` of an array on a CUDA device, but that the frame stays there.

        If the threshold is known (`Threshold`), `keys` are "coo", "blocks" or "bitmap", and values
        `Raw` or those of `ReciprocalLog` with `values="fixed"`, nothing waits for the device: not
        before its size or its bytes are asked for, and the gradient must not change before that.
        Other recipes encode as `encode` does, and the frame is copied back.

        Raises
        ------
        BackendUnavailableError, LimitExceeded, Mismatch, UnsupportedDtypeError
            As for `encode`.
        NonFiniteError
            If there is a NaN or an infinity; once the frame is asked for.
        """
        made: DeviceFrame = device.encode(
            self.recipe(), grad, name, step, tensors, sender, stays=True
        )
        return made

    def encode_sparse(
        self, keys: Any, values: Any, n: int, *, name: str = "", step: int = 0
    ) -> Frame:
        """Encode a gradient that is given as key-value pairs, in time linear in their number.

        The same bytes as `encode` of the dense vector they stand for; `ratio` counts against `n`.
        `SampledQuantile` also draws its sample, of 256 / ratio positions.

        Parameters
        ----------
        keys : integer array
            Strictly ascending flat positions in [0, n).
        values : array
            As many as keys, of a type that `encode` takes; zeros are dropped.
        n : int
            Length of the dense vector.

        Raises
        ------
        LimitExceeded
            If n is past 2**48.
        Mismatch
            If keys repeat, descend, lie outside [0, n) or are not as many as values.
        NonFiniteError, UnsupportedDtypeError
            As for `encode`.
        """
        recipe = self.recipe()
        whence = origin(recipe, name, (n,), step)
        n = index(n)
        positions, pairs = arrays.pairs(keys, values, n)
        check = partial(check_finite, gradient=pairs, name=name, keys=positions)
        return encoder.encode_pairs(recipe, positions, pairs, check, whence, n)
