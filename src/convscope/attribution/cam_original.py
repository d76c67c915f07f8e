"""CAM: the map that global average pooling and one linear layer turn into the logit."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from convscope.anatomy import extents
from convscope.anatomy.map_layout import MapLayout
from convscope.attribution.cam import Upsampling, place, positive_share
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.errors import MethodError
from convscope.model import OUTPUT, Address, Model
from convscope.probe import BatchTarget, Graph, graph, layout
from convscope.results import Reduction
from convscope.shapes import Images

# Calls between pooling and logits that keep the logits a linear function of the maps.
_LINEAR = {
    "linear",
    "flatten",
    "view",
    "reshape",
    "dropout",
    "feature_dropout",
    "squeeze",
    "contiguous",
    "clone",
    "select",
    "permute",
    "slice",
}
_POOLING = {"adaptive_avg_pool2d", "mean", "avg_pool2d"}


@dataclass(frozen=True)
class CAM(AttributionMethod):
    """Class activation map (Zhou et al. 2016, arXiv:1512.04150, equation 2).

    map = Σ_c w_c A_c with the weights w of the linear layer that follows global average pooling. The mean of the map
    over its cells is the logit minus the bias, which the facts state as completeness.

    Attributes:
        rectify: keep only positive evidence; the paper shows the signed map.
        upsampling: ``"aligned"`` to receptive-field centers, or ``"corners"``.
    """

    name: ClassVar[str] = "cam"
    completes: ClassVar[bool] = True
    rectify: bool = False
    upsampling: Upsampling = "aligned"

    @property
    def reduces(self) -> Reduction:
        """One channel; signed unless rectified."""
        return "max_abs" if self.rectify else "sum"

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward pass; the head is differentiated to read its weights off.

        Raises:
            MethodError: the head is not global average pooling and linear layers, or the target is not made of logits.
        """
        del generator
        output = layout(model).tap(Address(OUTPUT), model)
        if set(question.taps) != {output}:
            raise MethodError("cam is defined for class targets only. Use grad_cam for hidden units.")
        size = (images.shape[2], images.shape[3])
        traced = graph(model, size)
        if not traced.dynamic and len(images) != traced.batch:
            raise MethodError(
                f"cam follows the exported graph, and that of {model.name} has a fixed batch of {traced.batch}, got "
                f"{len(images)} images. Use grad_cam, which is the same map up to scale."
            )
        value = pooled_value(traced, model)
        inputs = model.normalize(images)
        with torch.no_grad():
            maps = traced.evaluate(model, [value], {traced.input: inputs})[value]

        def read(maps: Tensor) -> Tensor:
            known = {traced.input: inputs, value: maps}  # the input for its size only, as in x.view(x.size(0), -1)
            return question.read({output: traced.evaluate(model, [traced.output], known)[traced.output]})

        maps = maps.detach().requires_grad_()
        scores = read(maps)
        (weights,) = torch.autograd.grad(scores.sum(), maps)
        with torch.no_grad():
            promised = scores - read(torch.zeros_like(maps))
        where = _where(model, size, value)
        cells = where.to_map(weights * maps).detach().float().sum(dim=1, keepdim=True) * math.prod(where.grid)
        error = (cells.mean(dim=(1, 2, 3)) - promised).abs() / promised.abs().clamp(min=1e-12)
        facts: dict[str, Any] = {"upsampling": self.upsampling, "completeness_error": tuple(error.tolist())}
        if self.rectify:
            facts["positive_share"] = tuple(positive_share(cells).tolist())
            cells = cells.clamp(min=0)
        spread = place(cells, where, size, self.upsampling)
        return Raw(spread, scores.detach(), layers=(_name(model, traced, value),), cells=cells, facts=facts)


def pooled_value(traced: Graph, model: Model) -> str:
    """Walk from the logits back through linear calls to the maps that are pooled.

    Raises:
        MethodError: something that is not linear stands in between.
    """
    name, pooled = traced.output, False
    while name in traced.by_name:
        step = traced.by_name[name]
        if pooled and len(step.shape) == 4 and step.op not in _LINEAR | _POOLING:
            return name
        if step.op not in _LINEAR | _POOLING:
            break
        source = step.inputs[0]
        if step.op in _POOLING and source in traced.by_name and len(traced.by_name[source].shape) == 4:
            pooled = pooled or math.prod(step.shape[2:]) == 1
        name = source
    raise MethodError(
        f"cam is defined for networks that end in global average pooling and linear layers; {model.name} does not. "
        "Use grad_cam."
    )


def _where(model: Model, size: tuple[int, int], value: str) -> MapLayout:
    rows, columns = extents(model, size)[value].axes
    return MapLayout(
        "map" if (rows.dim, columns.dim) == (2, 3) else "channels last",
        (len(rows.low), len(columns.low)),
        0,
        (rows.start, columns.start),
        (rows.stride, columns.stride),
        aligned=True,
    )


def _name(model: Model, traced: Graph, value: str) -> str:
    places = [place for place, name in traced.layer_outputs.items() if name == value]
    if not places:
        return f"before pooling ({value})"
    return layout(model).name(Address(*min(places, key=lambda found: (found[0].count("."), len(found[0])))))
