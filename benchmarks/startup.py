"""How long the command line and the import take."""

import statistics
import subprocess
import sys
import time

IMPORT = "import time, torch; t = time.perf_counter(); import convscope; print(time.perf_counter() - t)"


def startup(rounds: int = 5) -> list[str]:
    """Time ``convscope --help`` as a whole process, and ``import convscope`` after ``import torch``."""
    helps, imports = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "convscope.cli", "--help"], check=True, capture_output=True)
        helps.append(time.perf_counter() - started)
        done = subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True)
        imports.append(float(done.stdout))
    return [
        "## Startup",
        "",
        f"- `convscope --help`: {statistics.median(helps[1:]):.2f} s",
        f"- `import convscope` after `import torch`: {statistics.median(imports[1:]) * 1000:.0f} ms",
        "",
    ]
