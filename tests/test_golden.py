"""The model in the box makes of a dozen small pages what it made of them when it was put there, in every engine.

Another model is a deliberate change: write the file anew with ``python -m tests.test_golden``.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from manuscript_restore import Restorer
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8
from manuscript_restore.inference import Settings
from manuscript_restore.released import ONNX, find_released
from manuscript_restore.synthesis import generate_page
from tests.damage import preset

GOLDEN = Path(__file__).parent / "golden.npz"
RENEW = "write it with `python -m tests.test_golden`"
STEP = 3
"""Every third pixel is kept, down and across."""
ENGINES = ("torch", "onnx", "openvino")


def restored(pages: np.ndarray, engine: str) -> np.ndarray:
    """(n, H, W, 3) uint8 → (n, H / 3, W / 3, 3) in [0, 1]; every other page of one tile, the others of several."""
    restorers = [
        Restorer.from_pretrained(device="cpu", engine=engine, settings=Settings(tile=tile, overlap=16))
        for tile in (256, 64)
    ]
    results = [restorers[i % 2].restore(to_float(from_array(page))) for i, page in enumerate(pages)]
    return torch.stack(results)[:, :, ::STEP, ::STEP].permute(0, 2, 3, 1).numpy()


def model_sha256() -> str:
    identity = Restorer.from_pretrained(device="cpu", engine="torch").identity
    assert identity is not None
    return identity.sha256


@pytest.mark.skipif(not GOLDEN.is_file(), reason=f"tests/golden.npz is not there; {RENEW}")
@pytest.mark.parametrize("engine", ENGINES)
def test_the_pages_are_restored_as_ever(engine: str) -> None:
    if engine == "openvino" and "TEST_OPENVINO" not in os.environ:
        pytest.skip("runs in a process of its own: tests/test_onnx.py")
    if engine != "torch" and not (find_released("default") / ONNX).is_file():
        pytest.skip("the model in the box has no ONNX file")
    with np.load(GOLDEN) as golden:
        assert str(golden["model"]) == model_sha256(), f"tests/golden.npz is of another model; {RENEW}"
        worst = np.abs(restored(golden["pages"], engine) - golden["restored"] / np.float32(65535)).max()
    assert worst <= 1 / 255


def write_golden() -> None:
    pages = []
    for seed in range(12):
        clean = to_float(from_array(generate_page(991, seed, height=96, width=80)))
        damage = preset(("reference", "palm_leaf", "none")[seed % 3])
        pages.append(to_array(to_uint8(damage(clean[None], seed=seed)[0])))
    results = (restored(np.stack(pages), "torch") * 65535).round().astype(np.uint16)
    np.savez_compressed(GOLDEN, model=model_sha256(), pages=np.stack(pages), restored=results)
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    write_golden()
