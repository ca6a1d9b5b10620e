"""Momentum in the memory: what Deep Gradient Compression adds to error feedback."""

import numpy as np
import pytest

import gcodec
from gcodec.momentum import MomentumFeedback

ALL = gcodec.Codec(gcodec.Dense(), gcodec.Raw())
SOME = gcodec.Codec(gcodec.TopK(0.05), gcodec.Raw())


def gradients(steps, n=400, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps, n)).astype(dtype)


def deliver(memory, grad, step=0):
    frame = memory.encode("w", grad, step=step)
    memory.commit("w")
    return gcodec.decode(frame)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_ratio_one_without_masking_it_is_momentum_sgd(dtype, nesterov):
    memory = MomentumFeedback(ALL, momentum=0.9, nesterov=nesterov, masking=False)
    momentum, velocity = dtype(0.9), np.zeros(400, dtype)
    for step, grad in enumerate(gradients(20, dtype=dtype)):
        velocity = velocity * momentum + grad
        update = grad + velocity * momentum if nesterov else velocity
        assert np.array_equal(deliver(memory, grad, step), update)


def test_nothing_is_lost_without_masking():
    """Messages and what waits add up to the updates of momentum SGD."""
    memory = MomentumFeedback(SOME, momentum=0.8, masking=False)
    sent, velocity, updates = np.zeros(400), np.zeros(400, np.float32), np.zeros(400)
    for step, grad in enumerate(gradients(50)):
        sent += deliver(memory, grad, step)
        velocity = velocity * np.float32(0.8) + grad
        updates += velocity
    assert np.allclose(sent + memory.residual("w"), updates, atol=1e-4)


def test_masking_forgets_the_velocity_of_what_was_sent():
    memory = MomentumFeedback(SOME, momentum=0.9)
    grad = gradients(1)[0]
    message = deliver(memory, grad)
    state = memory.state_dict()["w"]
    assert (state["velocity"][message != 0] == 0).all()
    assert np.array_equal(state["velocity"][message == 0], grad[message == 0])
    assert (state["residual"][message != 0] == 0).all()


def test_clipping_is_local():
    grad = gradients(1)[0]
    memory = MomentumFeedback(ALL, momentum=0, clip=1.0, world=4)
    norm = np.linalg.norm(deliver(memory, grad).astype(float))
    assert norm == pytest.approx(0.5, rel=1e-5)
    small = grad / np.float32(1e3)
    assert np.array_equal(deliver(MomentumFeedback(ALL, momentum=0, clip=1.0), small), small)


def test_rollback_leaves_velocity_and_residual():
    memory = MomentumFeedback(SOME)
    first, second = gradients(2)
    deliver(memory, first)
    before = memory.state_dict()["w"]
    memory.encode("w", second)
    memory.rollback("w")
    after = memory.state_dict()["w"]
    assert all(np.array_equal(before[name], after[name]) for name in ("residual", "velocity"))
    once = bytes(memory.encode("w", second))
    memory.rollback("w")
    assert bytes(memory.encode("w", second)) == once


def test_state_goes_on_elsewhere():
    memory, twin = MomentumFeedback(SOME), MomentumFeedback(SOME)
    for step, grad in enumerate(gradients(5)):
        deliver(memory, grad, step)
    twin.load_state_dict(memory.state_dict())
    grad = gradients(6)[5]
    assert bytes(memory.encode("w", grad)) == bytes(twin.encode("w", grad))


@pytest.mark.parametrize("missing", ["residual", "velocity"])
def test_half_a_state_is_refused(missing):
    memory = MomentumFeedback(SOME)
    deliver(memory, gradients(1)[0])
    state = memory.state_dict()
    del state["w"][missing]
    with pytest.raises(gcodec.StateError, match=missing):
        MomentumFeedback(SOME).load_state_dict(state)
    state = memory.state_dict()
    state["w"][missing] = state["w"][missing][:-1]
    with pytest.raises(gcodec.StateError, match="differ"):
        MomentumFeedback(SOME).load_state_dict(state)


@pytest.mark.parametrize(
    "parameters", [{"momentum": 1.0}, {"momentum": -0.1}, {"clip": 0.0}, {"world": 0}]
)
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError):
        MomentumFeedback(SOME, **parameters)


def test_beta_and_gamma():
    memory = gcodec.ErrorFeedback(SOME, beta=0.5, gamma=2.0)
    first, second = gradients(2)
    left = first * 2 - deliver(memory, first)
    message = deliver(memory, second)
    assert np.array_equal(memory.residual("w") + message, second * 2 + left * np.float32(0.5))
