"""Random networks of everything that moves positions, built out of hypothesis' choices."""

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

CHANNELS = 4


class Both(nn.Module):
    """Two branches of one input, joined where both have positions."""

    def __init__(self, left, right, how):
        super().__init__()
        self.left, self.right, self.how = left, right, how
        self.back = nn.Conv2d(2 * CHANNELS, CHANNELS, 1)

    def forward(self, x):
        a, b = self.left(x), self.right(x)
        h, w = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
        a, b = a[:, :, :h, :w], b[:, :, -h:, -w:]
        if self.how == "add":
            return a + b
        if self.how == "maximum":
            return torch.maximum(a, b) + torch.minimum(a, b)  # the larger alone would hide the other
        if self.how == "stack":
            return torch.stack([a, b]).mean(0)
        return self.back(torch.cat([a, b], 1))


class Lambda(nn.Module):
    """A function with a name."""

    def __init__(self, function, name):
        super().__init__()
        self.function, self.name = function, name

    def forward(self, x):
        return self.function(x)

    def extra_repr(self):
        return self.name


class Excite(nn.Module):
    """Squeeze and excitation, spelled in different ways."""

    def __init__(self, how):
        super().__init__()
        self.how, self.fc = how, nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x):
        pooled = {
            "mean": lambda: x.mean((2, 3)),
            "adaptive": lambda: F.adaptive_avg_pool2d(x, 1).flatten(1),
            "view": lambda: x.view(x.shape[0], CHANNELS, -1).mean(2),
            "rows": lambda: x.mean(2, keepdim=True).mean(3).squeeze(2),
        }[self.how]()
        gate = 1 / (1 + self.fc(pooled))  # a sigmoid might saturate
        return (x + 1) * gate[:, :, None, None].expand_as(x)  # where nothing is, the gate still shows


class ChannelsLast(nn.Module):
    """A linear layer and a layer norm over channels, (n, h, w, c)."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(CHANNELS, CHANNELS), nn.LayerNorm(CHANNELS)

    def forward(self, x):
        last = x.permute(0, 2, 3, 1)
        return (self.fc(last) * torch.sigmoid(self.norm(last))).movedim(-1, 1)


def _pairs(*choices):
    return st.tuples(st.sampled_from(choices), st.sampled_from(choices))


@st.composite
def _convolution(draw):
    kernel, dilation = draw(_pairs(1, 2, 3, 4, 5)), draw(_pairs(1, 1, 2))
    mode = draw(st.sampled_from(["zeros", "zeros", "zeros", "reflect", "replicate", "circular"]))
    if draw(st.integers(0, 3)) == 0:
        padding, stride = "same", 1
    else:
        padding, stride = tuple(draw(st.integers(0, k // 2)) for k in kernel), draw(_pairs(1, 1, 2, 3))
    groups = draw(st.sampled_from([1, 2]))
    return nn.Conv2d(
        CHANNELS, CHANNELS, kernel, stride, padding, dilation, groups=groups, padding_mode=mode, bias=False
    )


@st.composite
def _pooling(draw):
    kernel = draw(_pairs(2, 3))
    options = {
        "kernel_size": kernel,
        "stride": draw(_pairs(1, 2, 3)),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    if draw(st.booleans()):
        return nn.MaxPool2d(dilation=draw(_pairs(1, 2)), **options)
    return nn.AvgPool2d(count_include_pad=draw(st.booleans()), **options)


@st.composite
def _padding(draw):
    amounts = tuple(draw(st.integers(0, 2)) for _ in range(4))
    kind = draw(st.sampled_from([nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d]))
    if kind is nn.ZeroPad2d:
        amounts = tuple(draw(st.integers(-1, 2)) for _ in range(4))
    return kind(amounts)


@st.composite
def _transposed(draw):
    kernel, stride = draw(_pairs(1, 2, 3, 4)), draw(_pairs(1, 2, 3))
    extra = tuple(draw(st.integers(0, s - 1)) for s in stride)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(_pairs(1, 2))
    extra = tuple(min(e, max(s, d) - 1) for e, s, d in zip(extra, stride, dilation, strict=True))
    return nn.ConvTranspose2d(CHANNELS, CHANNELS, kernel, stride, padding, extra, dilation=dilation, bias=False)


@st.composite
def _upsampling(draw):
    mode = draw(st.sampled_from(["nearest", "nearest-exact", "bilinear"]))
    aligned = draw(st.booleans()) if mode == "bilinear" else None
    if draw(st.booleans()):
        return nn.Upsample(
            scale_factor=draw(st.sampled_from([0.7, 1.5, 1.7, 2, (2, 1.3)])), mode=mode, align_corners=aligned
        )
    return nn.Upsample(size=draw(_pairs(5, 9, 16)), mode=mode, align_corners=aligned)


_SPELLINGS = {
    "flip": lambda x: x.flip(3),
    "roll": lambda x: torch.roll(x, (1, -2), (2, 3)),
    "crop": lambda x: x[:, :, 1:, :-1],
    "every second": lambda x: x[..., ::2, 1::2],
    "transpose": lambda x: x.transpose(2, 3) * 1.0,
    "channel shuffle": lambda x: x.view(x.shape[0], 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2).expand(-1, 4, -1, -1),
    "chunks": lambda x: torch.cat([part * 2 for part in reversed(x.chunk(2, 1))], 1),
    "unbind": lambda x: torch.stack([part + 1 for part in x.unbind(1)], 1),
    "unsqueeze": lambda x: (x.unsqueeze(1) * 2).squeeze(1),
    "tall": lambda x: torch.cat([x, x * 0.5], 2)[:, :, :-1],
    "row means": lambda x: x + x.mean(3, keepdim=True),
    "response norm": lambda x: F.local_response_norm(x, 3),
    "interpolated back": lambda x: x + F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:]),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "adaptive max": lambda x: x + F.interpolate(F.adaptive_avg_pool2d(x, 2), size=x.shape[2:], mode="bilinear"),
}
_SPELLINGS["unfolded max"] = lambda x: x.amax(2, keepdim=True).expand_as(x) * 0 + x


def _simple():
    return st.one_of(
        _convolution(),
        _convolution(),
        _convolution(),
        _pooling(),
        _padding(),
        _transposed(),
        _upsampling(),
        st.just("relu").map(lambda _: nn.ReLU()),
        st.just("norm").map(lambda _: nn.BatchNorm2d(CHANNELS)),
        st.sampled_from(sorted(set(_SPELLINGS) - {"unfolded max"})).map(lambda name: Lambda(_SPELLINGS[name], name)),
        st.sampled_from(["mean", "adaptive", "view", "rows"]).map(Excite),
        st.just("last").map(lambda _: ChannelsLast()),
    )


@st.composite
def _branches(draw):
    left, right = (nn.Sequential(*draw(st.lists(_simple(), max_size=2))) for _ in range(2))
    return Both(left, right, draw(st.sampled_from(["add", "cat", "maximum", "stack"])))


@st.composite
def networks(draw, size: tuple[int, int]):
    """A stack of up to seven layers that runs on pictures of this size; what does not fit is left out."""
    layers = [nn.Conv2d(3, CHANNELS, draw(_pairs(1, 3)), bias=False)]
    x = layers[0](torch.rand(1, 3, *size))
    for layer in draw(st.lists(st.one_of(_simple(), _simple(), _branches()), min_size=1, max_size=6)):
        try:
            with torch.no_grad():
                result = layer(x)
        except (RuntimeError, ValueError):
            continue
        if result.ndim == 4 and 0 < result.shape[2] <= 40 and 0 < result.shape[3] <= 40:
            layers.append(layer)
            x = result
    return nn.Sequential(*layers)
