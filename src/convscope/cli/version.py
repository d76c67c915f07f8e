"""`convscope --version`."""

import platform
from importlib.metadata import version

from convscope.cli.console import stdout


def print_version() -> None:
    """Print the versions that a bug report needs, and where networks would run."""
    import torch  # noqa: PLC0415 - seconds to import, needed only here

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    stdout().print(
        f"convscope {version('convscope')}, torch {torch.__version__}, torchvision {version('torchvision')}, "
        f"timm {version('timm')}, Python {platform.python_version()}, device: {device}",
        soft_wrap=True,
    )
