"""A small convolutional network in NumPy, for ranks that are simulated in one process.

All ranks hold the same parameters, so their batches go through the network as one; only the sums
over a batch, the gradients of parameters, are taken rank by rank.
"""

from itertools import pairwise
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CLASSES = 10
HIDDEN = 128


class Network:
    """3x3 conv 16, relu, 2x2 max pool, 3x3 conv 32, relu, pool, dense 128, relu, dense 10.

    `pad` is that of both convolutions: digits of 8x8 are too small to do without.
    """

    def __init__(self, side, seed, *, pad, dtype=np.float32):
        self.pad = pad
        first = (side + 2 * pad - 2) // 2
        second = (first + 2 * pad - 2) // 2
        shapes = [(9, 16), (9 * 16, 32), (second * second * 32, HIDDEN), (HIDDEN, CLASSES)]
        names = ("conv1", "conv2", "dense1", "dense2")
        self.layout = [
            part
            for name, shape in zip(names, shapes, strict=True)
            for part in ((f"{name}.weight", shape), (f"{name}.bias", shape[1:]))
        ]
        self.parameters = np.zeros(sum(prod(shape) for _, shape in self.layout), dtype)
        random = np.random.default_rng(seed)
        for weight in self._views(self.parameters)[::2]:  # He et al. (ICCV 2015)
            weight[:] = random.normal(0, np.sqrt(2 / len(weight)), weight.shape)

    def _views(self, flat):
        """The tensors of flat[..., parameters], in the order of the layout."""
        cuts = np.cumsum([prod(shape) for _, shape in self.layout])[:-1]
        parts = np.split(flat, cuts, axis=-1)
        return [
            part.reshape(*part.shape[:-1], *shape)
            for part, (_, shape) in zip(parts, self.layout, strict=True)
        ]

    def forward(self, images):
        """Logits of images[n, side, side], and what the way back needs of the way there."""
        w1, b1, w2, b2, w3, b3, w4, b4 = self._views(self.parameters)
        columns1 = _columns(images[..., None], self.pad)
        pooled1, unpool1 = _pool(_times(columns1, w1) + b1)
        columns2 = _columns(pooled1, self.pad)
        pooled2, unpool2 = _pool(_times(columns2, w2) + b2)
        flat = pooled2.reshape(len(images), -1)
        hidden = np.maximum(flat @ w3 + b3, 0)
        return hidden @ w4 + b4, (columns1, unpool1, columns2, unpool2, pooled2, hidden)

    def loss(self, images, labels):
        """Mean cross entropy."""
        logits, _ = self.forward(images)
        logits = logits - logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(labels)), labels]
        return float((np.log(np.exp(logits).sum(axis=1)) - chosen).mean())

    def gradients(self, images, labels):
        """Of the mean loss of each rank: [ranks, parameters], for images[ranks, batch, ...]."""
        ranks, batch = labels.shape
        logits, kept = self.forward(images.reshape(ranks * batch, *images.shape[2:]))
        columns1, unpool1, columns2, unpool2, pooled2, hidden = kept
        _, _, w2, _, w3, _, w4, _ = self._views(self.parameters)
        delta = np.exp(logits - logits.max(axis=1, keepdims=True))
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(ranks * batch), labels.reshape(-1)] -= 1
        delta /= batch
        out = np.empty((ranks, self.parameters.size), self.parameters.dtype)
        slopes = self._views(out)

        def settle(layer, inputs, delta):
            inputs = inputs.reshape(ranks, -1, inputs.shape[-1])
            delta = delta.reshape(ranks, -1, delta.shape[-1])
            slopes[2 * layer][:] = inputs.transpose(0, 2, 1) @ delta
            slopes[2 * layer + 1][:] = delta.sum(axis=1)

        settle(3, hidden, delta)
        delta = (delta @ w4.T) * (hidden > 0)
        settle(2, pooled2.reshape(len(delta), -1), delta)
        delta = unpool2((delta @ w3.T).reshape(pooled2.shape))
        settle(1, columns2, delta)
        delta = unpool1(_images(_times(delta, w2.T), self.pad))
        settle(0, columns1, delta)
        return out

    def accuracy(self, images, labels, chunk=500):
        """Share of images classified right; in parts, for the columns of all would not fit."""
        right = sum(
            np.count_nonzero(self.forward(images[i : i + chunk])[0].argmax(1) == labels[i:][:chunk])
            for i in range(0, len(labels), chunk)
        )
        return float(right / len(labels))


def _times(x, weight):
    """x @ weight as one product: NumPy takes one for each image and row otherwise."""
    return (x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:-1], weight.shape[1])


def _columns(images, pad):
    """[n, rows, columns, 9 * channels]: what lies under the 3x3 kernel at each place."""
    images = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    n, rows, columns, channels = images.shape
    if channels == 1:
        windows = sliding_window_view(images[..., 0], (3, 3), axis=(1, 2))
        return windows.reshape(n, rows - 2, columns - 2, 9)
    out = np.empty((n, rows - 2, columns - 2, 9, channels), images.dtype)
    for place in range(9):
        y, x = divmod(place, 3)
        out[..., place, :] = images[:, y : y + rows - 2, x : x + columns - 2]
    return out.reshape(n, rows - 2, columns - 2, 9 * channels)


def _images(columns, pad):
    """The transpose of `_columns`."""
    n, rows, wide, many = columns.shape
    places = columns.reshape(n, rows, wide, 9, many // 9)
    out = np.zeros((n, rows + 2, wide + 2, many // 9), columns.dtype)
    for place in range(9):
        y, x = divmod(place, 3)
        out[:, y : y + rows, x : x + wide] += places[..., place, :]
    return out[:, pad : rows + 2 - pad, pad : wide + 2 - pad]


def _pool(x):
    """Relu and 2x2 max pool, and the way back; an odd last row or column is left out.

    Images have flat areas, so the largest of four is often several: they share the gradient.
    """
    rows, columns = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    corners = [x[:, y:rows:2, z:columns:2] for y in (0, 1) for z in (0, 1)]
    largest = np.maximum(np.maximum(*corners[:2]), np.maximum(*corners[2:]))
    pooled = np.maximum(largest, 0)

    def unpool(delta):
        hits = [corner == largest for corner in corners]
        share = np.where(largest > 0, delta, 0) / sum(hit.astype(x.dtype) for hit in hits)
        back = np.zeros_like(x)
        for (y, z), hit in zip(((0, 0), (0, 1), (1, 0), (1, 1)), hits, strict=True):
            back[:, y:rows:2, z:columns:2] = share * hit
        return back

    return pooled, unpool


def check():
    """Gradients against central differences, in float64, a rank at a time."""
    random = np.random.default_rng(0)
    for side, pad in ((8, 1), (11, 0)):
        network = Network(side, 0, pad=pad, dtype=np.float64)
        network.parameters += random.normal(0, 0.01, network.parameters.size)
        images, labels = random.random((2, 3, side, side)), random.integers(0, CLASSES, (2, 3))
        images[:, :, :4] = 0
        found = network.gradients(images, labels)
        cuts = np.cumsum([0, *(prod(shape) for _, shape in network.layout)])
        for low, high in pairwise(cuts):
            for at in random.choice(np.arange(low, high), min(8, high - low), replace=False):
                before, step = network.parameters[at], 1e-6
                for rank in (0, 1):
                    losses = []
                    for sign in (1, -1):
                        network.parameters[at] = before + sign * step
                        losses.append(network.loss(images[rank], labels[rank]))
                    network.parameters[at] = before
                    slope = (losses[0] - losses[1]) / (2 * step)
                    assert abs(slope - found[rank, at]) < 1e-6 * max(1, abs(slope)), (at, rank)
