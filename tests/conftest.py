"""What all tests share: small networks with known answers, and the fingerprint of everything that must not change."""

import hashlib
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.model import Model, ModelSpec, Preprocessing


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Several test processes share the cores; one thread each is fastest, and repeats bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def wrap():
    """``wrap(module, size=(16, 16), channels=3, ...)``: a module as a ``Model``, by default without normalization."""

    def make(module, *, size=(16, 16), channels=3, mean=0.0, std=1.0, classes=(), name="net") -> Model:
        preprocessing = Preprocessing(size=size, mean=(mean,) * channels, std=(std,) * channels)
        return Model(module, ModelSpec(name, "", "made in a test", preprocessing, tuple(classes)))

    return make


class SmallNet(nn.Module):
    """Every way to spell a ReLU, a skip connection, a reused module, batch norm, dropout and overlapping pooling."""

    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.block = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(6, 6, 3, padding=1), relu=nn.ReLU(inplace=True), drop=nn.Dropout(0.5))
        )
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = x + self.block(x)
        x = self.relu(x)
        x = F.relu(self.conv2(x), inplace=True)
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def small_net() -> SmallNet:
    """A fresh ``SmallNet`` for (n, 3, h, w), with random weights and running statistics, in eval mode."""
    return _seeded(SmallNet)


@pytest.fixture
def small_model(small_net, wrap) -> Model:
    """``small_net`` as a model of 16 × 16 pictures with a normalization of its own."""
    return wrap(small_net, mean=0.4, std=0.3, name="small_net")


@pytest.fixture
def linear_model(wrap) -> Model:
    """f(x) = W · x + b on 2 × 4 × 5 pictures, 3 classes: every gradient is a row of W."""
    net = _seeded(lambda: nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.Linear(2 * 4 * 5, 3))))
    return wrap(net, size=(4, 5), channels=2, name="linear")


@pytest.fixture
def pictures():
    """``pictures(n, c, h, w, seed=0)``: random values in [0, 1], the same for the same seed."""

    def make(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)

    return make


def _seeded(make) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_mean, -0.2, 0.2)
                nn.init.uniform_(part.running_var, 0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.2, 0.2)
    return net.eval()


_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)


@pytest.fixture(scope="session")
def trace_of():
    """``trace_of(model_or_module, *tensors)``: everything that a look into a network must leave as it was.

    Compare what it returns before and after: values, gradients and flags of all parameters and buffers, train or eval
    mode and hooks of all modules, the attributes of the modules, the random state, the caller's grad mode, and the
    values, gradients and flags of the tensors given.
    """

    def trace(model: Model | nn.Module, *tensors: torch.Tensor) -> dict[str, object]:
        module = model.module if isinstance(model, Model) else model
        named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return {
            "parameters": {name: _of_tensor(tensor) for name, tensor in named.items()},
            "modes": {name: part.training for name, part in module.named_modules()},
            "hooks": {
                name: {kind: list(getattr(part, kind)) for kind in _HOOKS} for name, part in module.named_modules()
            },
            "attributes": {name: sorted(vars(part)) for name, part in module.named_modules()},
            "classes": {name: type(part) for name, part in module.named_modules()},
            "random": _digest(torch.get_rng_state()),
            "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
            "tensors": [_of_tensor(tensor) for tensor in tensors],
        }

    return trace


def _of_tensor(tensor: torch.Tensor) -> tuple[object, ...]:
    gradient = None if tensor.is_inference() or not tensor.is_leaf else tensor.grad
    return (
        id(tensor),
        tensor.dtype,
        tensor.requires_grad,
        _digest(tensor),
        None if gradient is None else (id(gradient), _digest(gradient)),
        len(tensor._backward_hooks or ()),
    )


def _digest(tensor: torch.Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(raw).hexdigest()[:16]
