"""Each method by us, by the peers, and by hand as fast as plain PyTorch allows (the limit)."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCamGradCAM

import convscope
from benchmarks.networks import CAM_LAYERS, CLASS, frozen
from benchmarks.race import race

Contestants = Mapping[str, Callable[[], object]]

TARGET = f"class:{CLASS}"


def grad_cam(model: convscope.Model, images: Tensor) -> Contestants:
    """One picture, the last layer with maps. Limit: forward, and backward from the logit to that layer's output."""
    module, by_hand, inputs = model.module, frozen(model.module), model.normalize(images)
    layer = module.get_submodule(CAM_LAYERS[model.name])
    captum = LayerGradCam(module, layer)

    # The hooks of these two live as long as their objects and would slow the others down, so each turn makes its own.
    # Both need a graph, which frozen parameters do not give by themselves.
    def by_torchcam() -> object:
        with TorchCamGradCAM(module, target_layer=CAM_LAYERS[model.name]) as extractor:
            return extractor(CLASS, module(inputs.clone().requires_grad_()))

    def by_grad_cam() -> object:
        with GradCAM(model=module, target_layers=[layer]) as cam:
            return cam(inputs.clone().requires_grad_(), targets=[ClassifierOutputTarget(CLASS)])

    ours = convscope.method("grad_cam")
    return {
        "limit": lambda: _tail_gradient(by_hand, by_hand.get_submodule(CAM_LAYERS[model.name]), inputs),
        "convscope": lambda: ours(model, images, TARGET),
        "captum": lambda: captum.attribute(inputs.clone().requires_grad_(), target=CLASS),
        "torch-cam": by_torchcam,
        "pytorch-grad-cam": by_grad_cam,
    }


def saliency(model: convscope.Model, images: Tensor) -> Contestants:
    """One picture. Limit: one forward and one backward pass to the input."""
    module, by_hand, inputs = model.module, frozen(model.module), model.normalize(images)
    captum = Saliency(module)
    ours = convscope.method("gradient")
    return {
        "limit": lambda: _input_gradient(by_hand, inputs),
        "convscope": lambda: ours(model, images, TARGET),
        "captum": lambda: captum.attribute(inputs.clone().requires_grad_(), target=CLASS),
    }


def guided_backprop(model: convscope.Model, images: Tensor) -> Contestants:
    """One picture. Limit: one forward and one backward pass to the input."""
    module, by_hand, inputs = model.module, frozen(model.module), model.normalize(images)
    captum = GuidedBackprop(module)
    theirs = GuidedBackpropReLUModel(model=module, device="cpu")
    ours = convscope.method("guided_backprop")
    return {
        "limit": lambda: _input_gradient(by_hand, inputs),
        "convscope": lambda: ours(model, images, TARGET),
        "captum": lambda: captum.attribute(inputs.clone().requires_grad_(), target=CLASS),
        "pytorch-grad-cam": lambda: theirs(inputs.clone().requires_grad_(), target_category=CLASS),
    }


def integrated_gradients(model: convscope.Model, images: Tensor, *, steps: int = 50) -> Contestants:
    """50 steps. Limit: 50 forward and backward passes at the best batch size; captum at its best one."""
    module, by_hand, inputs = model.module, frozen(model.module), model.normalize(images)
    black = model.normalize(torch.zeros_like(images))
    best, packed = best_batch(by_hand, inputs)
    captum = IntegratedGradients(module)
    ours = convscope.method(f"integrated_gradients(steps={steps})")

    def by_captum(batch: int, steps: int = steps) -> object:
        return captum.attribute(
            inputs, baselines=black, target=CLASS, n_steps=steps, internal_batch_size=batch, method="riemann_middle"
        )

    theirs = quickest({batch: lambda batch=batch: by_captum(batch, SEARCH) for batch in BATCHES})
    return {
        "limit": lambda: _many(by_hand, packed, steps, best),
        "convscope": lambda: ours(model, images, TARGET),
        "captum": lambda: by_captum(theirs),
    }


def smooth_grad(model: convscope.Model, images: Tensor, *, samples: int = 50) -> Contestants:
    """50 noisy copies. Limit: 50 forward and backward passes at the best batch size; captum at its best one."""
    module, by_hand, inputs = model.module, frozen(model.module), model.normalize(images)
    best, packed = best_batch(by_hand, inputs)
    captum = NoiseTunnel(Saliency(module))
    ours = convscope.method(f"smooth_grad(samples={samples})")

    def by_captum(batch: int, samples: int = samples) -> object:
        return captum.attribute(
            inputs.clone(), target=CLASS, nt_samples=samples, nt_samples_batch_size=batch, stdevs=0.15, abs=False
        )

    theirs = quickest({batch: lambda batch=batch: by_captum(batch, SEARCH) for batch in BATCHES})
    return {
        "limit": lambda: _many(by_hand, packed, samples, best),
        "convscope": lambda: ours(model, images, TARGET),
        "captum": lambda: by_captum(theirs),
    }


METHODS: Mapping[str, Callable[[convscope.Model, Tensor], Contestants]] = {
    "grad_cam": grad_cam,
    "gradient": saliency,
    "guided_backprop": guided_backprop,
    "integrated_gradients": integrated_gradients,
    "smooth_grad": smooth_grad,
}

BATCHES = (1, 2, 4, 8, 16)

SEARCH = 16
"""Passes by which the best batch size is looked for."""


def best_batch(module: nn.Module, inputs: Tensor) -> tuple[int, Tensor]:
    """The batch size and memory order with the least time per picture for a forward and backward pass."""
    orders = {False: inputs, True: inputs.contiguous(memory_format=torch.channels_last)}
    runs = {
        (batch, packed): lambda batch=batch, packed=packed: _many(module, orders[packed], SEARCH, batch)
        for batch in BATCHES
        for packed in orders
    }
    batch, packed = quickest(runs)
    return batch, orders[packed]


def quickest(runs: Mapping[Any, Callable[[], object]]) -> Any:
    """The key of the run with the least time, each tried twice."""
    seconds = race(runs, rounds=2, warm_up=0).seconds
    return min(seconds, key=lambda key: seconds[key])


def _input_gradient(module: nn.Module, inputs: Tensor) -> Tensor:
    leaf = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(leaf)[:, CLASS].sum(), leaf)
    return gradient


def memory_order(inputs: Tensor) -> torch.memory_format:
    """Channels last where the inputs are stored so."""
    last = inputs.is_contiguous(memory_format=torch.channels_last) and not inputs.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _many(module: nn.Module, inputs: Tensor, count: int, batch: int) -> None:
    for first in range(0, count, batch):
        copies = inputs.expand(min(batch, count - first), -1, -1, -1)
        _input_gradient(module, copies.clone(memory_format=memory_order(inputs)))


def _tail_gradient(module: nn.Module, layer: nn.Module, inputs: Tensor) -> Tensor:
    kept = []

    def start_graph(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0] * 1  # what follows may work in place, which a leaf does not allow

    handle = layer.register_forward_hook(start_graph)
    score = module(inputs)[:, CLASS].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept)
    return (kept[0].detach() * gradient.mean(dim=(2, 3), keepdim=True)).sum(dim=1).clamp(min=0)


warnings.filterwarnings("ignore", module="captum")
