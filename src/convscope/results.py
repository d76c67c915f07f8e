"""The waist of the hourglass: frozen results, each with the provenance to make it again.

Methods produce these, views read them; neither knows the other. All tensors are float32 on the CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from convscope.shapes import CellMaps, Cells, ChannelMaps, Images, Map, Maps, Scores, Weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Reduction = Literal["max_abs", "l2", "sum", "abs_sum"]
"""How the channels of a map become one number per pixel: max |v|, √Σv², Σv (signed), Σ|v|."""


@dataclass(frozen=True)
class Source:
    """Where a picture came from and how it became the network's input.

    Attributes:
        name: what the user typed: a path, ``-``, or ``sample:cat``.
        sha256: digest of the file's bytes, empty for tensors.
        width: of the upright original, in pixels.
        height: of the upright original, in pixels.
        box: the part of the original that the network sees, ``(left, top, right, bottom)`` in its pixels.
        notes: what was done to it, such as ``"rotated by its EXIF tag"``.
    """

    name: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """Everything needed to make a result again.

    Attributes:
        action: the function that made it, such as ``"attribute"`` or ``"explain"``.
        method: the method in its one-line spelling, such as ``"smooth_grad(gradient(), samples=50)"``.
        model: name of the network.
        origin: how ``convscope.load`` finds it again; empty for a module made in Python.
        weights_digest: SHA-256 over the names and values of all parameters and buffers, 16 hex digits.
        targets: one target per image, fully resolved.
        seed: of every random draw.
        device: such as ``"cpu"`` or ``"cuda:0"``.
        dtype: in which the network ran.
        threads: number of CPU threads, on which the last bits of a sum depend.
        versions: of convscope, torch and Python.
        seconds: wall-clock time of the computation.
        created: UTC, ISO 8601.
        options: anything else the action was given.
    """

    action: str
    method: str
    model: str
    origin: str
    weights_digest: str
    targets: tuple[str, ...]
    seed: int
    device: str
    dtype: str
    threads: int
    versions: Mapping[str, str]
    seconds: float
    created: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Result:
    """What every result can do: show itself in a notebook and give its matplotlib figure."""

    def figure(self) -> "Figure":
        """Draw the result. The figure belongs to the caller; nothing is shown or saved."""
        # The one arrow that points up, by name and at run time: a result can be shown wherever views are
        # installed, yet nothing below the views has to know them.
        figure: Figure = import_module("convscope.plot").figure(self)
        return figure

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.figure().savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Attribution(Result):
    """Heatmaps over the input for a target: one per image.

    Attributes:
        images: what the network saw, (n, c, h, w) in [0, 1].
        values: raw values at the input's resolution, (n, k, h, w); ``k`` is the number of input channels for
            methods that attribute to channels, else 1. Never rescaled; units are the target's (per unit of a
            [0, 1] pixel for gradients).
        reduction: how ``maps`` makes one number of the ``k`` channels.
        signed: whether the maps have a meaningful sign.
        scores: the target's value for each image, (n,).
        targets: one resolved target per image.
        layers: resolved addresses of the layers the method looked at, empty for methods on the input.
        cells: for CAMs the map before upsampling, (n, 1, rows, columns); of the first layer where several are fused.
        facts: numbers and notes that a reader needs: completeness error, coverage of the ReLU rule, upsampling.
            A fact with one value per image is a tuple of n floats.
        provenance: how to make it again.
    """

    images: Images
    values: ChannelMaps
    reduction: Reduction
    signed: bool
    scores: Scores
    targets: tuple[str, ...]
    layers: tuple[str, ...]
    cells: Cells | None
    facts: Mapping[str, Any]
    provenance: Provenance

    @property
    def maps(self) -> Maps:
        """One number per pixel, (n, h, w), by ``reduction``."""
        return reduce_channels(self.values, self.reduction)

    @property
    def method(self) -> str:
        """The method's one-line spelling."""
        return self.provenance.method


def reduce_channels(values: ChannelMaps, reduction: Reduction) -> Maps:
    """Make one number per pixel out of ``k`` channels: (n, k, h, w) to (n, h, w)."""
    match reduction:
        case "max_abs":
            return values.abs().amax(dim=1)
        case "l2":
            return values.square().sum(dim=1).sqrt()
        case "sum":
            return values.sum(dim=1)
        case "abs_sum":
            return values.abs().sum(dim=1)


@dataclass(frozen=True)
class Answer:
    """One class the network considered.

    Attributes:
        index: of the class.
        name: of the class, or ``"class 281"`` where the network has no names.
        probability: softmax over the logits, in [0, 1].
        logit: the raw score.
    """

    index: int
    name: str
    probability: float
    logit: float


@dataclass(frozen=True)
class Trust:
    """Numbers that say how far to believe one map of one image.

    Attributes:
        completeness_error: |Σ map − (score − baseline score)| / |score − baseline score| for methods that promise
            to add up; None for others. 0 is perfect.
        edge_similarity: rank correlation of |map| with a Sobel edge image of the input, both blurred by 1 % of the
            shorter side, in [−1, 1]. A map that is little more than edges scores high, and says little about the
            network.
        randomization_similarity: rank correlation of |map| with the |map| of the same network whose last layer
            has random weights, in [−1, 1]; None where it was not computed. A map that stays the same does not
            explain the answer.
        notes: plain sentences where something needs to be said.
    """

    completeness_error: float | None
    edge_similarity: float
    randomization_similarity: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Explanation(Result):
    """The page: what the network answered and which pixels made it answer so.

    Attributes:
        images: what the network saw, (n, c, h, w) in [0, 1].
        sources: where each came from.
        answers: for each image its top classes, most probable first.
        attributions: one per method (a column of the page), each over all images.
        trust: ``trust[method][image]``.
        failures: ``(name, reason)`` of the inputs that could not be used.
        provenance: how to make it again.
    """

    images: Images
    sources: tuple[Source, ...]
    answers: tuple[tuple[Answer, ...], ...]
    attributions: tuple[Attribution, ...]
    trust: tuple[tuple[Trust, ...], ...]
    failures: tuple[tuple[str, str], ...]
    provenance: Provenance

    def _repr_html_(self) -> str:
        html: str = import_module("convscope.report").html(self, fragment=True)
        return html


@dataclass(frozen=True)
class FieldBox:
    """What the units of one layer see of the picture, at one position.

    Attributes:
        layer: resolved address.
        position: (row, column) of the unit in the layer's map.
        map_size: (rows, columns) of that map.
        size: nominal (rows, columns) in pixels, far from all borders; infinite where it is the whole picture.
        stride: (rows, columns) pixels between the centers of neighboring units; 0 where there is one position only.
        start: (row, column) in pixels of the center of the unit at 0,0; may be negative.
        center: (row, column) in pixels of the center of this unit; may lie outside the picture, and is its middle
            where everything is seen.
        box: the pixels that can influence this unit, cut at the border: (top, left, bottom, right), ends excluded.
        exact: False where the box is only an upper bound.
        notes: such as what makes the field the whole picture.
    """

    layer: str
    position: tuple[int, int]
    map_size: tuple[int, int]
    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    center: tuple[float, float]
    box: tuple[int, int, int, int]
    exact: bool = True
    notes: tuple[str, ...] = ()

    @property
    def area(self) -> int:
        """Number of pixels in the box."""
        top, left, bottom, right = self.box
        return (bottom - top) * (right - left)


@dataclass(frozen=True)
class GaussianFit:
    """The axis-aligned Gaussian closest to a map: peak · exp(−½ ((row − r)² / σ_r² + (column − c)² / σ_c²)).

    Attributes:
        center: (row, column), in pixels.
        sigma: (rows, columns), in pixels.
        peak: in units of the map.
        r_squared: 1 − Σ(map − fit)² / Σ(map − mean)² over the pixels of the fit; 1 is perfect.
    """

    center: tuple[float, float]
    sigma: tuple[float, float]
    peak: float
    r_squared: float


@dataclass(frozen=True, eq=False)
class EffectiveField(Result):
    """Which pixels a unit really listens to: the energy of its gradient at the input.

    Attributes:
        address: of the unit; without a channel it stands for all channels of that position.
        energy: (h, w), mean over inputs of Σ over input channels of (∂unit / ∂pixel)², pixels in [0, 1]. Summed over
            the layer's channels where the address names none.
        box: what the unit can see at most.
        inputs: what it was measured on, in words.
        samples: number of inputs.
        silent: inputs on which the gradient was zero everywhere (a rectifier was off).
        energy_area: the smallest number of pixels that hold 95 % of the energy.
        two_sigma_area: number of pixels whose √energy is above 4.55 % of its maximum (Luo et al. 2016).
        gaussian: fitted to the energy inside the box; None where the box has too few pixels, or no fit converged.
        image: a picture to draw it on, (1, c, h, w).
        provenance: how to make it again.
    """

    address: str
    energy: Map
    box: FieldBox
    inputs: str
    samples: int
    silent: int
    energy_area: int
    two_sigma_area: int
    gaussian: GaussianFit | None
    image: Images | None
    provenance: Provenance

    @property
    def energy_fraction(self) -> float:
        """Part of the theoretical field's pixels that hold 95 % of the energy."""
        return self.energy_area / self.box.area

    @property
    def side_ratio(self) -> float:
        """√(two-sigma area) / √(theoretical area): the ratio of Luo et al. 2016."""
        return float((self.two_sigma_area / self.box.area) ** 0.5)


@dataclass(frozen=True, eq=False)
class Field(Result):
    """The receptive field of a unit, alone or with those of the layers before it.

    Attributes:
        address: of the unit.
        image_size: (height, width) of the input, in pixels.
        boxes: from shallow to deep, the unit's own last.
        image: the picture to draw it on, (1, c, h, w).
        effective: what of it the unit listens to, where that was measured.
        provenance: how to make it again.
    """

    address: str
    image_size: tuple[int, int]
    boxes: tuple[FieldBox, ...]
    image: Images | None
    effective: EffectiveField | None
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class Filters(Result):
    """Weights of one layer, as a view of them is drawn.

    Attributes:
        layer: resolved address.
        kind: ``"conv"``, ``"transposed conv"`` or ``"linear"``.
        view: ``"color"`` (one RGB or gray picture per filter), ``"single"`` and ``"collated"`` (one tile per filter and
            input channel), ``"spectrum"`` (one tile per filter) or ``"pairs"`` (depthwise, with what mixes them).
        values: (filters, k, rows, columns) of the filters shown, in drawing order: weights, weights per unit of a
            [0, 1] pixel (color, and single where the layer reads the picture), or amplitudes of a Fourier transform,
            zero frequency in the middle, ±½ cycles per pixel at the edges.
        unit: of the values, in words.
        shown: index of each filter shown.
        channels: index of each tile's channel within its filter's group; empty for color and spectrum.
        shape: (filters, channels, rows, columns) of the whole layer.
        groups: of the convolution.
        sort: what the order follows from.
        keys: the number of each filter shown that ``sort`` goes by, such as its norm; None for ``"index"``.
        mixer: address of the pointwise layer that reads the filters; empty but for pairs.
        mixing: its weights (outputs, filters), columns in drawing order; None but for pairs.
        notes: what a reader should know.
        provenance: how to make it again.
    """

    layer: str
    kind: str
    view: str
    values: Weights
    unit: str
    shown: tuple[int, ...]
    channels: tuple[int, ...]
    shape: tuple[int, int, int, int]
    groups: int
    sort: str
    keys: Scores | None
    mixer: str
    mixing: Tensor | None
    notes: tuple[str, ...]
    provenance: Provenance

    def input_channel(self, filter_index: int, channel: int) -> int:
        """The layer's input channel that channel ``channel`` of a filter's group is."""
        return filter_index * self.groups // self.shape[0] * self.shape[1] + channel


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """What some channels of one layer make of pictures.

    Attributes:
        layer: resolved address.
        channels: index of each channel shown, in drawing order.
        values: (n, k, rows, columns), activations.
        means: (n, k), over positions.
        peaks: (n, k), largest activation.
        contributions: (n, k), Σ activation · gradient of the target over positions; None where it was not asked for.
        count: number of channels of the layer.
        stride: (rows, columns) in pixels between neighboring positions.
        start: (row, column) in pixels of the center of position 0,0; may be negative.
        field: nominal receptive field (rows, columns) in pixels; infinite for the whole picture, 0 where unknown.
        exact: whether stride and start are those of true receptive fields; else an even spread is assumed.
        kind: ``"map"``, ``"channels last"`` or ``"tokens"``.
    """

    layer: str
    channels: tuple[int, ...]
    values: CellMaps
    means: Tensor
    peaks: Tensor
    contributions: Tensor | None
    count: int
    stride: tuple[float, float]
    start: tuple[float, float]
    field: tuple[float, float]
    exact: bool
    kind: str


@dataclass(frozen=True, eq=False)
class ActivationMaps(Result):
    """What layers make of pictures: the maps of some of their channels.

    Attributes:
        images: what the network saw, (n, c, h, w) in [0, 1].
        sources: where each came from.
        layers: in the order asked.
        sort: ``"max"``, ``"mean"``, ``"contribution"``, or ``"index"`` for channels that were named; over several
            pictures channels are ordered by the mean of it.
        targets: one per image, resolved, where contributions were asked for; else empty.
        scores: (n,) of the targets; None without.
        classes: name by index, as text, of the classes in ``targets``.
        failures: ``(name, reason)`` of the inputs that could not be used, and of layers passed over.
        provenance: how to make it again.
    """

    images: Images
    sources: tuple[Source, ...]
    layers: tuple[LayerMaps, ...]
    sort: str
    targets: tuple[str, ...]
    scores: Scores | None
    classes: Mapping[str, str]
    failures: tuple[tuple[str, str], ...]
    provenance: Provenance


@dataclass(frozen=True)
class Twins:
    """Two units of a layer that are nearly the same.

    Attributes:
        first: index of the one.
        second: index of the other, larger.
        cosine: of their weights, or of their activations, in [−1, 1].
    """

    first: int
    second: int
    cosine: float


@dataclass(frozen=True, eq=False)
class Ablation:
    """What happens to the answers when single units are set to zero.

    Attributes:
        units: indices of the units that were set to zero, one at a time.
        change: for each, mean over pictures of |change of the answer's logit|.
        flips: for each, the share of pictures whose answer changes.
        pictures: how many it was measured on.
    """

    units: tuple[int, ...]
    change: Scores
    flips: Scores
    pictures: int


@dataclass(frozen=True, eq=False)
class UnitActivity:
    """What the units of a layer did on pictures; all tensors have one number per unit, (units,).

    Attributes:
        minimum: over pictures and positions.
        maximum: over pictures and positions.
        mean: over pictures and positions.
        on: share of values above zero.
        at_end: share of values at an end of a bounded activation function (6 for ReLU6, near 0 or 1 for a sigmoid);
            None where it has no such end.
        selectivity: (μ_max − μ_rest) / (μ_max + μ_rest) with μ_max the largest class mean and μ_rest the mean of the
            other class means (Morcos et al. 2018), 0 for a unit that is always zero; None without labels of at least
            two classes, or where activations may be negative.
        preferred: index into ``Health.classes`` of the class with the largest mean; empty without selectivity.
        dead: units that never were above zero, after a rectifier; elsewhere units that hardly vary.
        always_on: units that were above zero everywhere, after a rectifier: they are linear.
        saturated: units at an end most of the time.
        twins: the most similar pairs by activation around its mean (correlation), at most 20.
        twin_pairs: number of pairs as similar as that.
    """

    minimum: Scores
    maximum: Scores
    mean: Scores
    on: Scores
    at_end: Scores | None
    selectivity: Scores | None
    preferred: tuple[int, ...]
    dead: tuple[int, ...]
    always_on: tuple[int, ...]
    saturated: tuple[int, ...]
    twins: tuple[Twins, ...]
    twin_pairs: int


@dataclass(frozen=True, eq=False)
class LayerHealth:
    """The units of one layer with weights.

    Attributes:
        layer: resolved address.
        kind: ``"conv"``, ``"transposed conv"`` or ``"linear"``.
        activation: the activation function that follows; empty where none does directly.
        rectified: whether that function is off below zero (or nearly, as SiLU), so that being on means something.
        measured: where the units were looked at, in words.
        units: how many there are.
        norms: L2 norm of each unit's weights, times the scale of a batch norm that follows, (units,).
        norm_scores: robust z-score of each norm: 0.6745 (norm − median) / median absolute deviation, (units,).
        norm_outliers: units with |z| above 3.5 (Iglewicz and Hoaglin 1993), in layers of eight units or more.
        weight_twins: the most similar pairs by weights, at most 20; only units that read the same inputs are compared.
        weight_twin_pairs: number of pairs as similar as that.
        activity: what they did on pictures; None without pictures.
        ablation: what setting them to zero does; None where that was not asked for.
    """

    layer: str
    kind: str
    activation: str
    rectified: bool
    measured: str
    units: int
    norms: Scores
    norm_scores: Scores
    norm_outliers: tuple[int, ...]
    weight_twins: tuple[Twins, ...]
    weight_twin_pairs: int
    activity: UnitActivity | None
    ablation: Ablation | None

    @property
    def sparsity(self) -> float | None:
        """Share of all the layer's values that are off; None without pictures or without a rectifier."""
        return None if self.activity is None or not self.rectified else 1 - float(self.activity.on.mean())


@dataclass(frozen=True, eq=False)
class Health(Result):
    """Which units of a network do their work.

    Attributes:
        layers: in the order in which they run.
        pictures: number of pictures that the activity was measured on; 0 if the weights alone were looked at.
        classes: the labels of the pictures, sorted; empty where they are not known.
        alike: cosine from which two units count as twins.
        failures: ``(name, reason)`` of the pictures that could not be used.
        notes: what a reader should know.
        provenance: how to make it again.
    """

    layers: tuple[LayerHealth, ...]
    pictures: int
    classes: tuple[str, ...]
    alike: float
    failures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    provenance: Provenance


def unit_range(images: Tensor) -> bool:
    """Whether all values lie in [0, 1], with room for rounding."""
    low, high = torch.aminmax(images)
    return bool(low >= -1e-4 and high <= 1 + 1e-4)
