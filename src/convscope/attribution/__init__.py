"""Which pixels mattered: every attribution method, for any target.

Adding a method: one file, one line in ``METHODS``, one row in the contract test with its slow twin, one docs entry.
"""

from collections.abc import Mapping

from convscope.attribution.cam_original import CAM
from convscope.attribution.contract import AttributionMethod
from convscope.attribution.deconvnet import Deconvnet
from convscope.attribution.eigen_cam import EigenCAM
from convscope.attribution.expected_gradients import ExpectedGradients
from convscope.attribution.finer_cam import FinerCAM
from convscope.attribution.grad_cam import GradCAM
from convscope.attribution.grad_cam_plus_plus import GradCAMPlusPlus
from convscope.attribution.gradient import Gradient
from convscope.attribution.guided_backprop import GuidedBackprop
from convscope.attribution.guided_grad_cam import GuidedGradCAM
from convscope.attribution.hires_cam import HiResCAM
from convscope.attribution.input_x_gradient import InputXGradient
from convscope.attribution.integrated_gradients import IntegratedGradients
from convscope.attribution.layer_cam import LayerCAM
from convscope.attribution.parsing import parse_method, split_methods
from convscope.attribution.smooth_grad import SmoothGrad
from convscope.attribution.spelling import spell
from convscope.attribution.var_grad import VarGrad
from convscope.attribution.xgrad_cam import XGradCAM

METHODS: Mapping[str, type[AttributionMethod]] = {
    kind.name: kind
    for kind in (
        Gradient,
        InputXGradient,
        SmoothGrad,
        VarGrad,
        IntegratedGradients,
        ExpectedGradients,
        GuidedBackprop,
        Deconvnet,
        CAM,
        GradCAM,
        GradCAMPlusPlus,
        HiResCAM,
        LayerCAM,
        XGradCAM,
        EigenCAM,
        GuidedGradCAM,
        FinerCAM,
    )
}
"""Every method by name. The command line, the page, the docs and the tests read this table."""


def method(text: str) -> AttributionMethod:
    """Make a method from its spelling, such as ``"grad_cam"`` or ``"smooth_grad(samples=20)"``.

    Raises:
        MethodError: no such method or parameter.
    """
    return parse_method(text, METHODS)


__all__ = [
    "CAM",
    "METHODS",
    "AttributionMethod",
    "Deconvnet",
    "EigenCAM",
    "ExpectedGradients",
    "FinerCAM",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "GuidedBackprop",
    "GuidedGradCAM",
    "HiResCAM",
    "InputXGradient",
    "IntegratedGradients",
    "LayerCAM",
    "SmoothGrad",
    "VarGrad",
    "XGradCAM",
    "method",
    "parse_method",
    "spell",
    "split_methods",
]
