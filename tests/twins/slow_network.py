"""One small network twice: in torch, and in NumPy float64 with every loop spelled out and its backward pass by hand.

conv1 (5 × 5, no padding) → ReLU → overlapping max pooling (3 × 3, stride 2, padding 1) → z = conv2 →
z + conv3(ReLU(z)), so that a rule hooked to the wrong tensor would clip the skip connection → ReLU → conv4 (3 × 3, no
padding) → ReLU → mean over positions → linear.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MEAN, STD = (0.4, 0.5, 0.6), (0.3, 0.2, 0.25)


class FastNet(nn.Module):
    """The network in torch; ReLU in four spellings, two of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 5)
        self.act1 = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv4 = nn.Conv2d(4, 5, 3)
        self.act4 = nn.ReLU()
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        z = self.conv2(self.pool(self.act1(self.conv1(x))))
        z = (z + self.conv3(F.relu(z))).relu_()
        return self.fc(self.act4(self.conv4(z)).mean(dim=(2, 3)))


class SlowNet:
    """The same network, one image (3, h, w) at a time, values in [0, 1]."""

    def __init__(self, net: FastNet) -> None:
        self.weights = {name: tensor.detach().double().numpy() for name, tensor in net.state_dict().items()}

    def forward(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Every value by name; ``logits`` is the last."""
        mean, std = (np.array(statistic)[:, None, None] for statistic in (MEAN, STD))
        v = {"x": (image - mean) / std}
        v["conv1"] = self._convolve("conv1", v["x"], 0)
        v["act1"] = np.maximum(v["conv1"], 0)
        v["pool"], v["switches"] = max_pool(v["act1"])
        v["z"] = self._convolve("conv2", v["pool"], 1)
        v["act2"] = np.maximum(v["z"], 0)
        v["sum"] = v["z"] + self._convolve("conv3", v["act2"], 1)
        v["act3"] = np.maximum(v["sum"], 0)
        v["conv4"] = self._convolve("conv4", v["act3"], 0)
        v["act4"] = np.maximum(v["conv4"], 0)
        v["logits"] = self.weights["fc.weight"] @ v["act4"].mean(axis=(1, 2)) + self.weights["fc.bias"]
        return v

    def backward(self, v: dict[str, np.ndarray], logits: np.ndarray, rule: str = "plain") -> dict[str, np.ndarray]:
        """Signals at every value of ``forward`` for a weighted sum of the logits, by a rule at the rectifiers."""
        positions = v["act4"].shape[1] * v["act4"].shape[2]
        pooled = self.weights["fc.weight"].T @ logits / positions
        g = {"act4": np.broadcast_to(pooled[:, None, None], v["act4"].shape)}
        g["conv4"] = rectify(g["act4"], v["conv4"], rule)
        g["act3"] = self._convolve_back("conv4", g["conv4"], v["act3"].shape, 0)
        g["sum"] = rectify(g["act3"], v["sum"], rule)
        g["act2"] = self._convolve_back("conv3", g["sum"], v["act2"].shape, 1)
        g["z"] = g["sum"] + rectify(g["act2"], v["z"], rule)
        g["pool"] = self._convolve_back("conv2", g["z"], v["pool"].shape, 1)
        g["act1"] = np.zeros_like(v["act1"])
        for (c, i, j), signal in np.ndenumerate(g["pool"]):
            row, column = v["switches"][c, i, j]
            g["act1"][c, row, column] += signal
        g["conv1"] = rectify(g["act1"], v["conv1"], rule)
        g["x"] = self._convolve_back("conv1", g["conv1"], v["x"].shape, 0)
        g["image"] = g["x"] / np.array(STD)[:, None, None]
        return g

    def logits(self, image: np.ndarray) -> np.ndarray:
        """The scores of all classes."""
        return self.forward(image)["logits"]

    def gradient(self, image: np.ndarray, logits: np.ndarray, rule: str = "plain") -> np.ndarray:
        """Signal at the pixels of the image in [0, 1]."""
        return self.backward(self.forward(image), logits, rule)["image"]

    def _convolve(self, name: str, x: np.ndarray, padding: int) -> np.ndarray:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        out, _, rows, columns = weight.shape
        x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        y = np.zeros((out, x.shape[1] - rows + 1, x.shape[2] - columns + 1))
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                y[:, i, j] = np.tensordot(weight, x[:, i : i + rows, j : j + columns], axes=3) + bias
        return y

    def _convolve_back(self, name: str, signal: np.ndarray, shape: tuple[int, ...], padding: int) -> np.ndarray:
        weight = self.weights[f"{name}.weight"]
        _, _, rows, columns = weight.shape
        x = np.zeros((shape[0], shape[1] + 2 * padding, shape[2] + 2 * padding))
        for o, i, j in np.ndindex(*signal.shape):
            x[:, i : i + rows, j : j + columns] += weight[o] * signal[o, i, j]
        return x[:, padding : padding + shape[1], padding : padding + shape[2]]


def max_pool(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """3 × 3, stride 2, padding 1; and the (row, column) of each maximum, the first where there are several."""
    channels, height, width = x.shape
    y = np.zeros((channels, (height - 1) // 2 + 1, (width - 1) // 2 + 1))
    switches = np.zeros((*y.shape, 2), dtype=int)
    for c, i, j in np.ndindex(*y.shape):
        top, left = max(2 * i - 1, 0), max(2 * j - 1, 0)
        window = x[c, top : 2 * i + 2, left : 2 * j + 2]
        row, column = divmod(int(window.argmax()), window.shape[1])
        y[c, i, j] = window[row, column]
        switches[c, i, j] = top + row, left + column
    return y, switches


def rectify(signal: np.ndarray, before: np.ndarray, rule: str) -> np.ndarray:
    """What a rectifier lets back through (Springenberg et al. 2014, figure 1)."""
    if rule == "plain":
        return np.where(before > 0, signal, 0)
    if rule == "guided":
        return np.where(before > 0, np.maximum(signal, 0), 0)
    return np.maximum(signal, 0)


def make_networks() -> tuple[FastNet, SlowNet]:
    """Both, with the same weights, whose maps have values of either sign."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        fast = FastNet().eval().double()
        for name, parameter in fast.named_parameters():
            if name.endswith("bias"):
                nn.init.uniform_(parameter, -0.2, 0.2)
            else:
                nn.init.kaiming_normal_(parameter)
    return fast, SlowNet(fast)
