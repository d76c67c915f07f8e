"""The same answers on a GPU as on the CPU, and no trace there either. Needs a CUDA device."""

import pytest
import torch

import convscope
from convscope.attribution import METHODS
from convscope.model import gather

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none")


@pytest.fixture(scope="module")
def exact_convolutions():
    """TF32 rounds to ten bits, which would hide real differences."""
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = allowed


@pytest.fixture(scope="module")
def models():
    return {device: convscope.load(device=device) for device in ("cpu", "cuda")}


@pytest.fixture(scope="module")
def pictures(models):
    return gather(models["cpu"], ["sample:cat", "sample:coffee"])[0]


QUICKER = {
    "smooth_grad": "smooth_grad(samples=3)",
    "var_grad": "var_grad(samples=3)",
    "integrated_gradients": "integrated_gradients(steps=5)",
    "expected_gradients": "expected_gradients(samples=5)",
}


@pytest.mark.parametrize("name", METHODS)
def test_a_map_on_the_gpu_is_the_map_on_the_cpu(name, models, pictures, exact_convolutions):
    method = convscope.method(QUICKER.get(name, name))
    on_cpu, on_gpu = (method(models[device], pictures, "class:282") for device in ("cpu", "cuda"))
    assert on_gpu.values.device.type == "cpu"
    assert on_gpu.provenance.device == "cuda:0"
    difference = (on_gpu.values - on_cpu.values).abs().amax(dim=(1, 2, 3)) / on_cpu.values.abs().amax(dim=(1, 2, 3))
    assert difference.max() < 2e-2  # a unit next to zero may fall on the other side
    assert (on_gpu.values - on_cpu.values).norm() / on_cpu.values.norm() < 5e-3


def test_pictures_may_live_on_the_gpu_already(models, pictures, exact_convolutions):
    method = convscope.method("grad_cam")
    here, there = method(models["cuda"], pictures), method(models["cuda"], pictures.cuda())
    assert torch.allclose(here.values, there.values, atol=1e-6)
    assert here.targets == there.targets


@pytest.mark.parametrize("name", METHODS)
def test_nothing_moves_on_the_gpu(name, models, pictures):
    model = models["cuda"]
    model.module.train()
    try:
        before = model.digest, torch.cuda.get_rng_state().clone(), torch.get_rng_state().clone()
        convscope.method(QUICKER.get(name, name))(model, pictures[:1])
        assert model.digest == before[0]
        assert torch.equal(torch.cuda.get_rng_state(), before[1])
        assert torch.equal(torch.get_rng_state(), before[2])
        assert all(part.training for part in model.module.modules())
    finally:
        model.module.eval()


def test_memory_stays_flat(models, pictures):
    method = convscope.method("guided_backprop")
    method(models["cuda"], pictures)
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    for _ in range(20):
        method(models["cuda"], pictures)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == held


def test_the_tail_alone_runs_on_the_gpu(models, pictures, exact_convolutions):
    clean = convscope.record(models["cuda"], pictures[:1], ["blocks.4"])["blocks.4"]
    variants = torch.cat([clean, clean * 0.5, torch.zeros_like(clean)])
    resumed = convscope.resume(models["cuda"], pictures[:1], "blocks.4", variants)
    dense = convscope.replaced(models["cuda"], pictures[:1], {"blocks.4": variants})
    assert torch.allclose(resumed, dense, atol=1e-3)


def test_bfloat16_states_its_error(models, pictures):
    result = convscope.method("grad_cam")(models["cuda"], pictures, "class:282", dtype=torch.bfloat16)
    assert result.provenance.dtype == "bfloat16"
    assert result.facts["precision_correlation"] > 0.95


def test_the_page_is_made_on_the_gpu(models, tmp_path):
    page = convscope.explain(models["cuda"], ["sample:cat"], methods=["grad_cam", "gradient"])
    convscope.write(page, tmp_path / "page")
    again = convscope.rerun(convscope.read_result(tmp_path / "page"), models["cuda"])
    assert torch.allclose(again.attributions[0].values, page.attributions[0].values, atol=1e-4)
