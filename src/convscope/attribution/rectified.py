"""A gradient with another rule at every rectifier: what guided backpropagation and deconvnet share."""

from torch.autograd.graph import Node

from convscope.attribution.contract import PER_PIXEL, Raw
from convscope.model import Model
from convscope.probe import BatchTarget, Coverage, hook_rectifiers, input_gradient
from convscope.probe.rectifier import Rule
from convscope.shapes import Images


def rectified_gradient(model: Model, images: Images, question: BatchTarget, rule: Rule) -> Raw:
    """Compute the gradient under a rule, and state in the facts which calls the rule covered."""
    covered: list[Coverage] = []

    def prepare(root: Node) -> None:
        covered.append(hook_rectifiers(root, rule))

    gradient, scores = input_gradient(model, images, question, prepare=prepare)
    (coverage,) = covered
    facts: dict[str, object] = {"unit": PER_PIXEL, "coverage": coverage.text}
    if coverage.smooth:
        facts["note"] = (
            f"no paper defines {rule} for {', '.join(coverage.smooth)}; see the documentation for the rule used"
        )
    return Raw(gradient, scores, facts=facts)
