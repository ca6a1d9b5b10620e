"""The optax transformation: what an ErrorFeedback does, as a value, under jit and shard_map."""

import numpy as np
import pytest

import gcodec

STEPS = 5


@pytest.fixture
def jax(framework):
    framework("optax", "jax")
    return framework("jax", "jax")


@pytest.fixture
def compress(jax):
    from gcodec.integrations.optax import compress

    return compress


def gradients(step):
    rng = np.random.default_rng(step)
    return {
        "embed": rng.laplace(size=(20, 30)).astype(np.float32),
        "layers": [{"b": rng.laplace(size=7).astype(np.float16)}, {"b": np.zeros(3, np.float32)}],
    }


NAMES = ("['embed']", "['layers'][0]['b']", "['layers'][1]['b']")


@pytest.mark.parametrize(
    "recipe", ["topk:ratio=0.1", "reclog:ratio=0.2,per_octave=2", "gradient-dropping:ratio=0.3"]
)
@pytest.mark.parametrize("jitted", [True, False])
def test_the_same_as_a_memory(jax, compress, recipe, jitted):
    transform, memory = compress(recipe), gcodec.ErrorFeedback(gcodec.get_codec(recipe))
    update = jax.jit(transform.update) if jitted else transform.update
    state = transform.init(jax.tree.map(jax.numpy.asarray, gradients(0)))
    for step in range(STEPS):
        grads = jax.tree.map(jax.numpy.asarray, gradients(step))
        updates, state = update(grads, state)
        residuals = jax.tree.leaves(state.residual)
        sent = jax.tree.leaves(updates)
        for name, grad, got, left in zip(
            NAMES, jax.tree.leaves(grads), sent, residuals, strict=True
        ):
            frame = memory.encode(name, np.asarray(grad), step=step)
            memory.commit(name)
            assert got.dtype == grad.dtype
            assert np.array_equal(got, gcodec.decode(frame).astype(grad.dtype))
            assert np.array_equal(left, memory.residual(name))
    assert int(state.count) == STEPS


def test_bfloat16(jax, compress):
    transform = compress("topk:k=1")
    grads = {"w": jax.numpy.array([1.5, 3], jax.numpy.bfloat16)}
    updates, state = transform.update(grads, transform.init(grads))
    assert updates["w"].dtype == jax.numpy.bfloat16
    assert updates["w"].tolist() == [0, 3]
    assert state.residual["w"].dtype == np.float32
    assert state.residual["w"].tolist() == [1.5, 0]


def test_state_is_a_value(jax, compress):
    """An old state goes on as if nothing had happened since."""
    transform = compress("quantile:ratio=0.1")
    grads = jax.tree.map(jax.numpy.asarray, gradients(0))
    _, first = transform.update(grads, transform.init(grads))
    once = transform.update(grads, first)
    transform.update(grads, once[1])
    again = transform.update(grads, first)
    assert jax.tree.all(jax.tree.map(np.array_equal, once, again))


def test_without_feedback_and_with_a_policy(jax, compress):
    policy = gcodec.Exclude(gcodec.get_codec("randomk:ratio=0.5,unbiased=1"), smaller_than=10)
    transform = compress(policy, feedback=False)
    grads = jax.tree.map(jax.numpy.asarray, gradients(0))
    state = transform.init(grads)
    assert state.residual is None
    updates, state = jax.jit(transform.update)(grads, state)
    expected = policy.codec.encode(np.asarray(grads["embed"]), name=NAMES[0])
    assert np.array_equal(updates["embed"], gcodec.decode(expected))
    assert np.array_equal(updates["layers"][0]["b"], grads["layers"][0]["b"])


def test_in_a_chain_it_trains(jax, compress):
    import optax

    target = jax.numpy.linspace(-1, 1, 50)
    optimizer = optax.chain(compress("topk:ratio=0.1"), optax.sgd(0.1))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(2 * (params - target), state, params)
        return optax.apply_updates(params, updates), state

    params = jax.numpy.zeros(50)
    state = optimizer.init(params)
    for _ in range(150):
        params, state = step(params, state)
    assert float(abs(params - target).max()) < 0.05


SHARDED = """
import jax, numpy as np
from jax.sharding import AxisType, PartitionSpec as P
import gcodec
from gcodec.integrations.optax import compress

transform = compress("topk:ratio=0.1")
mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))

def one(grads, state):
    grads, state = jax.tree.map(lambda x: x[0], (grads, state))
    updates, state = transform.update(grads, state)
    return jax.lax.pmean(updates, "data"), jax.tree.map(lambda x: x[None], state)

step = jax.jit(jax.shard_map(
    one, mesh=mesh, in_specs=(P("data"), P("data")), out_specs=(P(), P("data"))
))
memories = [gcodec.ErrorFeedback(gcodec.get_codec("topk:ratio=0.1")) for _ in range(2)]
state = transform.init(jax.numpy.zeros((20, 30)))
state = jax.tree.map(lambda x: jax.numpy.stack([x, x]), state)
for count in range(3):
    grads = np.random.default_rng(count).laplace(size=(2, 20, 30)).astype(np.float32)
    mean, state = step(grads, state)
    total = np.zeros((20, 30), np.float32)
    for memory, grad in zip(memories, grads):
        gcodec.accumulate(memory.encode("", grad, step=count), total)
        memory.commit("")
    assert np.array_equal(mean, total / 2)
    for memory, left in zip(memories, state.residual):
        assert np.array_equal(left, memory.residual(""))
large = jax.numpy.ones((2, 1 << 22))  # copying these would wait for the callbacks' own threads
state = jax.tree.map(lambda x: jax.numpy.stack([x, x]), transform.init(large[0]))
mean, _ = step(large, state)
assert float(mean.sum()) == round(0.1 * (1 << 22))
print("sharded over", jax.device_count())
"""


def test_two_devices(jax, fresh, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    assert fresh(SHARDED).strip() == "sharded over 2"


def test_mistakes(jax, compress):
    with pytest.raises(gcodec.UnknownRecipeError, match="valid recipes"):
        compress("nope")
    with pytest.raises(TypeError, match="WarmUp or Exclude, not 3"):
        compress(3)
    transform = compress("topk:k=1")
    bad = jax.numpy.array([1.0, np.nan])
    with pytest.raises(Exception, match="NaN or infinite"):
        jax.block_until_ready(jax.jit(transform.update)(bad, transform.init(bad)))
