"""Which precision pays on the device that trains."""

from pathlib import Path

import torch

AUTO = "auto"
BF16_FLAGS = {"amx_bf16", "avx512_bf16"}
"""Of a CPU that multiplies bfloat16 itself; one without would do it by way of float32, slower than that."""


Precision = str | int | None


def resolve(precision: Precision, *, accelerator: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> Precision:
    """What ``trainer.precision`` means for Lightning: ``auto`` is bfloat16 where the hardware has it.

    Args:
        precision: As the config has it; all but ``auto`` stays as it is.
        accelerator: ``trainer.accelerator``.
        cpuinfo: What Linux says of its processors.
    """
    if precision != AUTO:
        return precision
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        fits = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in ("auto", "cpu"):
        fits = bool(BF16_FLAGS & _flags(cpuinfo))
    else:
        fits = False
    return "bf16-mixed" if fits else "32-true"


def _flags(cpuinfo: Path) -> set[str]:
    """What the first processor can do; nothing where the system does not say so."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
