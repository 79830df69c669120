"""What makes training fast, and says where its time goes. How fast it is stands in the benchmarks."""

import subprocess
import sys
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.nn.utils import get_total_norm
from torch.utils.data import DataLoader

from manuscript_restore.errors import UserError
from manuscript_restore.models import build_model
from manuscript_restore.training.module import RestorationModule
from manuscript_restore.training.precision import resolve
from manuscript_restore.training.timing import PARTS, StepTimes

FAULTS = """
import resource, sys, torch
from manuscript_restore.training.memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def faults():
    for _ in range(20):
        torch.ones(20_000_000)  # 80 MB, 20,000 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = faults()
print(faults() - first)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_memory_is_kept_for_the_next_step():
    def faults(mode: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, mode], check=True, capture_output=True).stdout)

    assert faults("keep") < faults("default") / 10


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f amx_bf16", "bf16-mixed"),
        ("fpu avx512_bf16", "bf16-mixed"),
        ("fpu avx2 avx512f", "32-true"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(tmp_path, flags, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nprocessor\t: 1\nflags\t\t: amx_bf16\n")
    assert resolve("auto", accelerator="cpu", cpuinfo=cpuinfo) == expected
    assert resolve("16-mixed", accelerator="cpu", cpuinfo=cpuinfo) == "16-mixed"
    assert resolve("auto", accelerator="tpu", cpuinfo=cpuinfo) == "32-true"
    assert resolve("auto", accelerator="cpu", cpuinfo=tmp_path / "none") == "32-true"


def test_channels_last_only_where_convolutions_gain():
    options = {"encoder": "test_vit", "image_size": 32}
    reference = build_model({**options, "decoder": {"name": "reference"}})
    progressive = build_model({**options, "decoder": {"name": "progressive"}})
    assert reference.memory_format == torch.contiguous_format
    assert progressive.memory_format == torch.channels_last


class Sleeper(L.LightningModule):
    """Its forward pass takes 30 ms, its loss 20."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.loss = SleepingLoss()

    def training_step(self, batch, batch_idx):
        time.sleep(0.03)
        return self.loss(self.weight * batch.sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SleepingLoss(nn.Module):
    def forward(self, value):
        time.sleep(0.02)
        return value


class SlowPages(torch.utils.data.Dataset):
    """A page takes 10 ms."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index):
        time.sleep(0.01)
        return torch.ones(())


def times_of(module: L.LightningModule, *loaders: DataLoader, folder: Path, monkeypatch, **options):
    """Step and metrics of each line that `StepTimes`, every four steps, logs of an epoch."""
    logged = []
    logger = CSVLogger(folder)
    monkeypatch.setattr(logger, "log_metrics", lambda metrics, step: logged.append((step, dict(metrics))))
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=logger,
        callbacks=[StepTimes(every_n_steps=4)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(module, *loaders)
    return [(step, metrics) for step, metrics in logged if "time/step" in metrics]


@pytest.mark.filterwarnings("ignore:.*(num_workers|many workers|log_every_n_steps).*")
def test_step_times_say_where_the_time_goes(tmp_path, monkeypatch):
    pages = DataLoader(SlowPages(), batch_size=1)
    times = times_of(Sleeper(), pages, folder=tmp_path, monkeypatch=monkeypatch)
    assert [step for step, _ in times] == [4, 8]
    for _, metrics in times:
        assert metrics["time/data"] >= 0.01
        assert metrics["time/forward"] >= 0.03
        assert metrics["time/loss"] >= 0.02
        assert min(metrics["time/backward"], metrics["time/optimizer"]) > 0
        assert metrics["time/step"] == pytest.approx(sum(metrics[f"time/{part}"] for part in PARTS))
    with pytest.raises(UserError, match=r"every_n_steps=0"):
        StepTimes(every_n_steps=0)


class Validated(Sleeper):
    """Its validation takes a second."""

    def validation_step(self, batch, batch_idx):
        time.sleep(1)


@pytest.mark.filterwarnings("ignore:.*(num_workers|many workers|log_every_n_steps).*")
def test_a_validation_within_the_epoch_is_no_waiting_for_data(tmp_path, monkeypatch):
    pages = DataLoader(SlowPages(), batch_size=1)
    options = {
        "val_check_interval": 2,
        "limit_train_batches": 4,
        "limit_val_batches": 1,
        "num_sanity_val_steps": 0,
    }
    ((_, times),) = times_of(Validated(), pages, pages, folder=tmp_path, monkeypatch=monkeypatch, **options)
    assert 0.01 <= times["time/data"] < 0.2  # the mean of four steps


@pytest.mark.filterwarnings("ignore:.*(num_workers|many workers|log_every_n_steps|val_dataloader).*")
def test_float16_is_scaled_and_clipped(tmp_path):
    """The scaler of a GPU, on the CPU: a fused optimiser would not let Lightning clip."""
    module = RestorationModule(
        model={"encoder": "test_vit", "image_size": 32, "decoder": {"name": "reference"}},
        loss={"l1": {"weight": 1}, "ssim": {"weight": 0}, "perceptual": {"weight": 0}},
        optimizer={"lr": 1e-3, "weight_decay": 0, "min_lr": 0, "warmup_steps": 0},
    )
    before = [each.detach().clone() for each in module.parameters()]
    trainer = L.Trainer(
        accelerator="cpu",
        plugins=[MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=64))],
        max_steps=2,
        limit_val_batches=0,
        gradient_clip_val=1e-3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    norms = []
    step = torch.optim.AdamW.step

    def noted(optimizer, *arguments, **options):
        norms.append(get_total_norm([each.grad for each in module.parameters() if each.grad is not None]).item())
        return step(optimizer, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noted)
        pages = [{"degraded": torch.rand(3, 32, 32), "clean": torch.rand(3, 32, 32)} for _ in range(4)]
        trainer.fit(module, DataLoader(pages, batch_size=2))
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-2)
    assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
