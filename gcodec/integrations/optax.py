"""An optax transformation: updates become what their frames decode to, the rest stays behind.

    optimizer = optax.chain(compress("topk:ratio=0.01"), optax.sgd(0.1))

Encoding runs on the CPU, in one callback for all leaves. It works on buffers and calls NumPy only:
`pure_callback` hands out JAX arrays, whose copying waits for the threads in which callbacks wait
for it, as soon as arrays are large and there are as many devices as cores. What comes out of it has
a fixed shape, so it is the decoded update and not the frame: XLA's collectives still move dense
arrays. It shows what a codec does to training, exactly; to send frames between processes, exchange
them outside of `jit`, with `gcodec.mpi`.
"""

from typing import Any, NamedTuple

import numpy as np

from ..decoder import decode
from ..feedback import ErrorFeedback
from ..policy import Policy
from ..recipes import get_codec
from . import missing

try:
    import jax
    import jax.numpy as jnp
    import optax
    from jax.experimental.buffer_callback import buffer_callback
except ImportError as error:
    raise missing("jax or optax", "jax") from error


class CompressState(NamedTuple):
    """Updates so far, and what they have not carried yet: of the updates' shapes, and float32, or
    float64 where they are. With `feedback=False`, no residuals."""

    count: Any
    residual: Any


def compress(codec: str | Policy, *, feedback: bool = True) -> optax.GradientTransformation:
    """A transformation that replaces updates by what a codec sends of them.

    Parameters
    ----------
    codec : str, Codec, WarmUp or Exclude
        Of each leaf by itself; its name is its path in the tree, such as `['layer1']['w']`.
    feedback : bool
        Whether what is not sent is added to the next update.

    Returns
    -------
    optax.GradientTransformation
        Its state is a value like any other: it may be saved, copied and passed through `jit` and,
        with a leading axis of its own for each device, through `shard_map`. Put it before
        momentum, and before the mean over devices.

    Raises
    ------
    UnknownRecipeError
        If there is no such recipe.

    Notes
    -----
    An update that is not finite raises `NonFiniteError` out of the computation, as JAX's own error.
    Estimators that carry a state from step to step (`SIDCo(stages=0)`) start anew with every
    update. Leaves are float16, bfloat16, float32 or, where JAX has them enabled, float64.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> transform = compress("topk:k=1")
    >>> grads = {"w": jnp.array([3.0, 2.0])}
    >>> updates, state = transform.update(grads, transform.init(grads))
    >>> updates["w"].tolist(), state.residual["w"].tolist()
    ([3.0, 0.0], [0.0, 2.0])
    """
    policy = get_codec(codec) if isinstance(codec, str) else codec
    if not hasattr(policy, "at"):
        raise TypeError(f"codec is a recipe, a Codec, WarmUp or Exclude, not {policy!r}")

    def init(params: Any) -> CompressState:
        residual = jax.tree.map(_zeros, params) if feedback else None
        return CompressState(jnp.zeros((), jnp.int32), residual)

    def update(updates: Any, state: CompressState, params: Any = None) -> tuple[Any, CompressState]:
        leaves, tree = jax.tree.flatten(updates)
        names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(updates)]
        residuals = jax.tree.leaves(state.residual)

        def on_host(context: Any, out: Any, count: Any, grads: Any, residuals: Any) -> None:
            step = int(np.asarray(count))
            for i, (name, grad) in enumerate(zip(names, map(np.asarray, grads), strict=True)):
                owed = [(np.asarray(residuals[i]), np.asarray(out[1][i]))] if feedback else []
                np.asarray(out[0][i])[...] = _send(policy, step, name, grad, *owed)

        shapes = jax.tree.map(jax.typeof, (leaves, residuals))
        decoded, left = buffer_callback(on_host, shapes)(state.count, leaves, residuals)
        left = jax.tree.unflatten(tree, left) if feedback else None
        return jax.tree.unflatten(tree, decoded), CompressState(state.count + 1, left)

    return optax.GradientTransformation(init, update)


def _zeros(leaf: Any) -> Any:
    """A residual of a leaf: float32, or float64 if it is that."""
    return jnp.zeros_like(leaf, dtype=jnp.promote_types(leaf.dtype, jnp.float32))


def _send(policy: Policy, step: int, name: str, grad: Any, owed: Any = None) -> Any:
    """What arrives of a leaf; `owed` is the residual before it, and room for that after it."""
    if owed is None:
        frame = policy.at(name, grad.size, step).encode(grad, name=name, step=step)
    else:
        memory = ErrorFeedback(policy)
        memory.load_state_dict({name: {"residual": owed[0]}})
        frame = memory.encode(name, grad, step=step)
        memory.commit(name)
        owed[1][...] = memory.residual(name)
    wide = np.float64 if grad.dtype == np.float64 else np.float32
    return decode(frame, out=np.empty(grad.shape, wide))
