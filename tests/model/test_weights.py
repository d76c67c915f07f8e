"""Weights files: what is understood, what is refused and in which words, and how they are fetched."""

import argparse
import hashlib
import http.server
import io
import pickle
import threading
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from convscope.errors import ModelError
from convscope.model import load
from convscope.model.weights import construction, fetch, fill, fit_names, head_size, obtain, read_weights


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.fc = nn.Linear(2, classes)


@pytest.fixture
def trained():
    torch.manual_seed(1)
    return Net().state_dict()


def reload(path, network=None):
    network = network or Net()
    state, notes = read_weights(path)
    state, more = fit_names(state, network)
    fill(network, state, file=path.name, name="net")
    return network.state_dict(), (*notes, *more)


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
def test_plain_state_dict(trained, tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    save_file(dict(trained), path) if suffix == "safetensors" else torch.save(trained, path)
    values, notes = reload(path)
    assert same(values, trained)
    assert notes == ()


def test_the_format_of_old_torch_is_read(trained, tmp_path):
    torch.save(trained, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(reload(tmp_path / "old.pth")[0], trained)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "model_ema", "net"])
def test_nested_state_dict_is_found_and_noted(trained, tmp_path, key):
    extras = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "best": np.float64(91.2), "optimizer": {"lr": 1}}
    torch.save({**extras, key: trained}, tmp_path / "net.pth")
    values, notes = reload(tmp_path / "net.pth")
    assert same(values, trained)
    assert notes == (f"weights taken from '{key}' inside net.pth",)


def test_raw_weights_are_preferred_to_their_average(trained, tmp_path):
    average = {key: torch.zeros_like(value) for key, value in trained.items()}
    torch.save({"model_ema": average, "state_dict": trained}, tmp_path / "net.pth")
    assert same(reload(tmp_path / "net.pth")[0], trained)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_training_wrappers_are_taken_off_and_noted(trained, tmp_path, prefix):
    torch.save({f"{prefix}{key}": value for key, value in trained.items()}, tmp_path / "net.pth")
    values, notes = reload(tmp_path / "net.pth")
    assert same(values, trained)
    assert notes == (f"prefix '{prefix}' taken off the names of the weights",)


def test_tensors_beside_the_prefixed_ones_are_ignored_aloud(trained, tmp_path):
    state = {f"model.{key}": value for key, value in trained.items()} | {"loss.weight": torch.ones(3)}
    torch.save({"state_dict": state}, tmp_path / "lightning.ckpt")
    values, notes = reload(tmp_path / "lightning.ckpt")
    assert same(values, trained)
    assert "1 tensors outside of it ignored" in notes[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast_and_noted(trained, tmp_path, dtype):
    half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in trained.items()}
    torch.save(half, tmp_path / "net.pth")
    values, notes = reload(tmp_path / "net.pth")
    assert values["fc.weight"].dtype == torch.float32
    assert torch.equal(values["fc.weight"], half["fc.weight"].float())
    assert notes == (f"net.pth stores its weights as {str(dtype)[6:]}",)


def test_counts_of_training_batches_may_be_left_out(trained, tmp_path):
    state = {key: value for key, value in trained.items() if "num_batches" not in key}
    save_file(state, tmp_path / "net.safetensors")
    assert torch.equal(reload(tmp_path / "net.safetensors")[0]["fc.bias"], trained["fc.bias"])


def test_a_mismatch_names_the_first_tensors_of_each_kind(trained, tmp_path):
    wrong = OrderedDict(trained)
    del wrong["fc.bias"]
    wrong["fc.weight"] = torch.zeros(5, 7)
    for i in range(5):
        wrong[f"head.{i}"] = torch.zeros(1)
    with pytest.raises(ModelError) as caught:
        fill(Net(), wrong, file="x.pth", name="net")
    assert str(caught.value) == (
        "weights x.pth do not fit net: 1 missing (fc.bias), 5 unexpected (head.0, head.1, head.2, …), "
        "1 of another shape (fc.weight is (5, 7) in the file, (3, 2) in the network). Is it the right architecture?"
    )


def test_nothing_is_filled_where_something_does_not_fit(trained):
    network = Net()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ModelError, match="of another shape"):
        fill(network, {**trained, "fc.weight": torch.zeros(5, 7)}, file="x.pth", name="net")
    assert same(network.state_dict(), before)


def test_missing_and_unexpected_without_wrong_shapes(trained):
    state = {("fc.w" if key == "fc.weight" else key): value for key, value in trained.items()}
    with pytest.raises(ModelError, match=r"1 missing \(fc.weight\), 1 unexpected \(fc.w\)"):
        fill(Net(), state, file="x.pth", name="net")


def test_quantized_weights_are_refused(trained):
    state = {**trained, "fc.weight": torch.zeros(3, 2, dtype=torch.uint8)}
    with pytest.raises(ModelError, match=r"x.pth holds integers where net has real numbers \(fc.weight\)"):
        fill(Net(), state, file="x.pth", name="net")


def test_head_size_is_read_only_where_it_is_unambiguous(trained):
    assert head_size(trained, Net(), 3) is None
    assert head_size(Net(classes=7).state_dict(), Net(), 3) == 7
    assert head_size({**trained, "fc.weight": torch.zeros(7, 4)}, Net(), 3) is None
    assert head_size({**trained, "fc.weight": torch.zeros(7, 2), "fc.bias": torch.zeros(8)}, Net(), 3) is None


class Trap:
    def __reduce__(self):
        return (pickle.loads, (b"never",))


def test_code_in_a_file_is_never_run(tmp_path):
    torch.save(Net(), tmp_path / "whole.pth")
    with pytest.raises(ModelError, match=r"hold a pickled Python object \(.*Net\), and convscope never runs code"):
        read_weights(tmp_path / "whole.pth")
    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ModelError, match=r"hold a pickled Python object \(.*pickle.loads\)"):
        read_weights(tmp_path / "trap.pth")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.pth", b"hello"),
        ("config.pth", b"[build-system]\nrequires = 3\n"),
        ("empty.pth", b""),
        ("text.safetensors", b"hello there, this is text"),
        ("noise.pth", bytes(range(256)) * 4),
    ],
)
def test_a_file_of_another_kind_is_named_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="or damaged") as caught:
        read_weights(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_a_truncated_file_is_refused(trained, tmp_path):
    torch.save(trained, tmp_path / "net.pth")
    whole = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="or damaged"):
        read_weights(tmp_path / "net.pth")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_archive_is_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "scripted.pt")
    with pytest.raises(ModelError, match="TorchScript archive"):
        read_weights(tmp_path / "scripted.pt")


def test_no_file_and_no_tensors(tmp_path):
    with pytest.raises(ModelError, match=r"no such file. Expected a .pth, .pt or .safetensors"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(ModelError, match="a folder"):
        read_weights(tmp_path)
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "meta.pth")
    with pytest.raises(ModelError, match="hold no tensors by name, only epoch, lr"):
        read_weights(tmp_path / "meta.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ModelError, match="hold a Tensor, expected a state dict"):
        read_weights(tmp_path / "tensor.pth")


def test_construction_leaves_the_random_state_alone_and_is_reproducible():
    before = torch.get_rng_state()
    with construction(random=True):
        first = nn.Linear(4, 4)
    with construction(random=True):
        second = nn.Linear(4, 4)
    with construction(random=False):
        nn.Linear(4, 4)
    assert torch.equal(first.weight, second.weight)
    assert first.weight.std() > 0.05
    assert torch.equal(torch.get_rng_state(), before)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, bytes]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        if name == "stalled":
            time.sleep(2)
            return
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + 10 * (name == "cut.bin")))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files = {}
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.url = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.shutdown()
        thread.join()


def test_fetch_checks_the_digest_in_the_name(server, tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()[:8]
    server.files = {f"net-{digest}.pth": b"weights", "net-00000000.pth": b"weights"}
    fetch(f"{server.url}/net-{digest}.pth", tmp_path / "new" / f"net-{digest}.pth")
    assert (tmp_path / "new" / f"net-{digest}.pth").read_bytes() == b"weights"
    with pytest.raises(OSError, match=rf"its SHA-256 is {digest}.*expected 00000000"):
        fetch(f"{server.url}/net-00000000.pth", tmp_path / "net-00000000.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_fetch_gives_up_on_silence_and_leaves_nothing(server, tmp_path):
    started = time.perf_counter()
    with pytest.raises(OSError, match="timed out"):
        fetch(f"{server.url}/stalled", tmp_path / "stalled", timeout=0.2)
    assert time.perf_counter() - started < 1.5
    assert list(tmp_path.iterdir()) == []


def test_fetch_refuses_a_file_that_was_cut_off(server, tmp_path):
    server.files = {"cut.bin": b"1234"}
    with pytest.raises(OSError, match="cut off after 4 of 14 bytes"):
        fetch(f"{server.url}/cut.bin", tmp_path / "cut.bin")
    assert list(tmp_path.iterdir()) == []


def test_obtain_takes_the_second_address_where_the_first_has_no_such_file(server, tmp_path):
    server.files = {"b.bin": b"here"}
    choices = {f"{server.url}/a.safetensors": tmp_path / "a", f"{server.url}/b.bin": tmp_path / "b"}
    assert obtain(choices, weights="w", model="m") == tmp_path / "b"
    assert (tmp_path / "b").read_bytes() == b"here"


def test_obtain_names_weights_file_and_the_embedded_default(server, tmp_path):
    url = f"{server.url}/none.pth"
    with pytest.raises(ModelError) as caught:
        obtain({url: tmp_path / "none.pth"}, weights="W.V1", model="net")
    text = str(caught.value)
    assert text.startswith(
        f"weights W.V1 of net are not on this machine and cannot be downloaded from {url} (HTTP Error 404"
    )
    assert f"Put the file at {tmp_path / 'none.pth'}" in text
    assert "efficientnet_lite0" in text
    assert "\n" not in text


def test_default_weights_come_over_the_network(server, tmp_path, monkeypatch):
    """The whole way: torchvision's address is moved to this machine, with weights made on the spot."""
    torch.manual_seed(3)
    made = models.squeezenet1_1()
    buffer = io.BytesIO()
    torch.save(made.state_dict(), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    server.files = {f"squeezenet1_1-{digest}.pth": buffer.getvalue()}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = models.SqueezeNet1_1_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(published, "url", f"{server.url}/squeezenet1_1-{digest}.pth")
    model = load("squeezenet1_1")
    assert same(dict(model.module.state_dict()), dict(made.state_dict()))
    assert (tmp_path / "hub" / "checkpoints" / f"squeezenet1_1-{digest}.pth").is_file()
    assert model.spec.weights == "torchvision SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert model.notes == ()
    server.files = {}
    assert load("squeezenet1_1").digest == model.digest
