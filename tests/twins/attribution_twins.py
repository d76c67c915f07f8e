"""Every attribution method once more, slowly: NumPy float64, literal loops, straight from the papers' equations.

A twin takes the slow network, one image, the class and the drawn numbers, and returns values (k, h, w) at the image's
resolution. CAM twins look at the output of ``pool``, behind which the network is not linear, so that no two methods
coincide; its units stand at pixels 2 + 2 i (5 × 5 without padding, then stride 2).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from slow_network import SlowNet

START, STRIDE = 2.0, 2.0
"""Where the units of ``pool`` stand: start of conv1's centers, and the stride of the pooling."""

FINAL_START = 4.0
"""Where those of ``act4`` stand: conv4 has no padding and moves the first center by one more unit."""


@dataclass
class Question:
    """What a twin is asked.

    Attributes:
        net: the slow network.
        image: (3, h, w) in [0, 1].
        target: the class.
        copies: the noisy copies that a method drew, (m, 3, h, w).
        path: the (baseline, α) pairs that Expected Gradients drew.
    """

    net: SlowNet
    image: np.ndarray
    target: int
    copies: list[np.ndarray] = field(default_factory=list)
    path: list[tuple[np.ndarray, float]] = field(default_factory=list)

    @property
    def one_hot(self) -> np.ndarray:
        return np.eye(4)[self.target]

    def maps(self, layer: str = "pool", logits: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Activations and plain gradients of a layer, each (c, rows, columns)."""
        values = self.net.forward(self.image)
        return values[layer], self.net.backward(values, self.one_hot if logits is None else logits)[layer]

    def spread(self, cells: np.ndarray, start: float = START) -> np.ndarray:
        return upsample(cells, self.image.shape[1:], (start, start), (STRIDE, STRIDE))[None]


def gradient(q: Question) -> np.ndarray:
    """∂ score / ∂ x by central differences (Simonyan et al. 2013)."""
    values = np.zeros_like(q.image)
    step = 1e-6
    for index in np.ndindex(*q.image.shape):
        moved = q.image.copy()
        moved[index] += step
        above = q.net.logits(moved)[q.target]
        moved[index] -= 2 * step
        values[index] = (above - q.net.logits(moved)[q.target]) / (2 * step)
    return values


def input_x_gradient(q: Question) -> np.ndarray:
    return q.image * q.net.gradient(q.image, q.one_hot)


def smooth_grad(q: Question) -> np.ndarray:
    """Mean over the copies of the gradient (Smilkov et al. 2017)."""
    total = np.zeros_like(q.image)
    for copy in q.copies:
        total += q.net.gradient(copy, q.one_hot)
    return total / len(q.copies)


def var_grad(q: Question) -> np.ndarray:
    """Variance over the copies of the gradient, in two passes."""
    mean = smooth_grad(q)
    total = np.zeros_like(q.image)
    for copy in q.copies:
        total += (q.net.gradient(copy, q.one_hot) - mean) ** 2
    return total / (len(q.copies) - 1)


def integrated_gradients(q: Question) -> np.ndarray:
    """Five midpoints from black (Sundararajan et al. 2017, equation 3)."""
    start = np.zeros_like(q.image)
    values = np.zeros_like(q.image)
    for step in range(5):
        alpha = (step + 0.5) / 5
        point = start + alpha * (q.image - start)
        values += (q.image - start) * q.net.gradient(point, q.one_hot) / 5
    return values


def expected_gradients(q: Question) -> np.ndarray:
    """Mean over the draws of (x − x′) ∂F(x′ + α (x − x′)) (Erion et al. 2021, equation 3)."""
    values = np.zeros_like(q.image)
    for start, alpha in q.path:
        point = start + alpha * (q.image - start)
        values += (q.image - start) * q.net.gradient(point, q.one_hot)
    return values / len(q.path)


def guided_backprop(q: Question) -> np.ndarray:
    return q.net.gradient(q.image, q.one_hot, "guided")


def deconvnet(q: Question) -> np.ndarray:
    return q.net.gradient(q.image, q.one_hot, "deconvnet")


def cam(q: Question) -> np.ndarray:
    """Σ_c w_c A_c of the maps that are pooled, signed (Zhou et al. 2016, equation 2)."""
    activation = q.net.forward(q.image)["act4"]
    cells = np.zeros(activation.shape[1:])
    for c, i, j in np.ndindex(*activation.shape):
        cells[i, j] += q.net.weights["fc.weight"][q.target, c] * activation[c, i, j]
    return q.spread(cells, FINAL_START)


def grad_cam(q: Question, logits: np.ndarray | None = None) -> np.ndarray:
    """max(Σ_c mean(G_c) A_c, 0) (Selvaraju et al. 2017, equations 1 and 2)."""
    activation, signal = q.maps(logits=logits)
    cells = np.zeros(activation.shape[1:])
    for c in range(len(activation)):
        weight = sum(signal[c, i, j] for i, j in np.ndindex(*cells.shape)) / cells.size
        cells += weight * activation[c]
    return q.spread(np.maximum(cells, 0))


def grad_cam_plus_plus(q: Question) -> np.ndarray:
    """Equations 10 and 19 of Chattopadhay et al. 2018, with Y = exp(S) differentiated as there.

    ∂Y/∂A = exp(S) G, ∂²Y/∂A² = exp(S) G², ∂³Y/∂A³ = exp(S) G³; the factor exp(S) is then left out of the weights.
    """
    activation, signal = q.maps()
    score = np.exp(q.net.logits(q.image)[q.target])
    cells = np.zeros(activation.shape[1:])
    for c in range(len(activation)):
        weight = 0.0
        for i, j in np.ndindex(*cells.shape):
            first, second, third = (score * signal[c, i, j] ** power for power in (1, 2, 3))
            denominator = 2 * second + activation[c].sum() * third
            alpha = second / denominator if second != 0 else 0.0
            weight += alpha * max(first, 0.0)
        cells += weight / score * activation[c]
    return q.spread(np.maximum(cells, 0))


def hires_cam(q: Question) -> np.ndarray:
    """max(Σ_c G_c ⊙ A_c, 0) (Draelos and Carin 2020, equation 4)."""
    activation, signal = q.maps()
    cells = np.zeros(activation.shape[1:])
    for c, i, j in np.ndindex(*activation.shape):
        cells[i, j] += signal[c, i, j] * activation[c, i, j]
    return q.spread(np.maximum(cells, 0))


def layer_cam(q: Question) -> np.ndarray:
    """max(Σ_c max(G_c, 0) ⊙ A_c, 0) (Jiang et al. 2021, equations 6 and 7)."""
    activation, signal = q.maps()
    cells = np.zeros(activation.shape[1:])
    for c, i, j in np.ndindex(*activation.shape):
        cells[i, j] += max(signal[c, i, j], 0.0) * activation[c, i, j]
    return q.spread(np.maximum(cells, 0))


def xgrad_cam(q: Question) -> np.ndarray:
    """max(Σ_c (Σ_ij G A / Σ_ij A) A_c, 0) (Fu et al. 2020, equation 8)."""
    activation, signal = q.maps()
    cells = np.zeros(activation.shape[1:])
    for c in range(len(activation)):
        weight = sum(
            activation[c, i, j] / activation[c].sum() * signal[c, i, j] if activation[c].any() else 0.0
            for i, j in np.ndindex(*cells.shape)
        )
        cells += weight * activation[c]
    return q.spread(np.maximum(cells, 0))


def eigen_cam(q: Question) -> np.ndarray:
    """max(A V₁, 0) by a full SVD (Muhammad and Yeasin 2020), turned to correlate with the mean activation."""
    activation, _ = q.maps()
    matrix = np.array([activation[:, i, j] for i, j in np.ndindex(*activation.shape[1:])])
    _, _, right = np.linalg.svd(matrix, full_matrices=True)
    projected = matrix @ right[0]
    if np.corrcoef(projected, matrix.mean(axis=1))[0, 1] < 0:
        projected = -projected
    return q.spread(np.maximum(projected.reshape(activation.shape[1:]), 0))


def guided_grad_cam(q: Question) -> np.ndarray:
    return guided_backprop(q) * grad_cam(q)


def finer_cam(q: Question) -> np.ndarray:
    """Grad-CAM of y_c − 0.6 · mean of the two logits nearest to y_c (Zhang et al. 2025)."""
    logits = q.net.logits(q.image)
    others = sorted((d for d in range(4) if d != q.target), key=lambda d: abs(logits[d] - logits[q.target]))[:2]
    margin = q.one_hot.copy()
    for d in others:
        margin[d] -= 0.6 / len(others)
    return grad_cam(q, logits=margin)


def upsample(
    cells: np.ndarray, size: tuple[int, ...], start: tuple[float, float], stride: tuple[float, float]
) -> np.ndarray:
    """Bilinear between the units' centers, pixel by pixel; beyond the outermost centers the nearest unit's value."""
    values = np.zeros(size)
    for row, column in np.ndindex(*size):
        place = []
        for axis, pixel in enumerate((row, column)):
            position = (pixel - start[axis]) / stride[axis]
            position = min(max(position, 0.0), cells.shape[axis] - 1.0)
            low = int(np.floor(position))
            place.append((low, min(low + 1, cells.shape[axis] - 1), position - low))
        (top, bottom, down), (left, right, across) = place
        upper = (1 - across) * cells[top, left] + across * cells[top, right]
        lower = (1 - across) * cells[bottom, left] + across * cells[bottom, right]
        values[row, column] = (1 - down) * upper + down * lower
    return values


TWINS: dict[str, Callable[[Question], np.ndarray]] = {
    twin.__name__: twin
    for twin in (
        gradient,
        input_x_gradient,
        smooth_grad,
        var_grad,
        integrated_gradients,
        expected_gradients,
        guided_backprop,
        deconvnet,
        cam,
        grad_cam,
        grad_cam_plus_plus,
        hires_cam,
        layer_cam,
        xgrad_cam,
        eigen_cam,
        guided_grad_cam,
        finer_cam,
    )
}
