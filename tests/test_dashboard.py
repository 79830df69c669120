"""The W&B dashboard: what it draws is what runs log; it needs no network to be written to a file."""

import json
from pathlib import Path

import pytest

from manuscript_restore.tracking import logged
from tests.offline import without_network
from tests.wandb_runs import only_run

ROOT = Path(__file__).resolve().parents[1]
DASHBOARD = ROOT / "scripts" / "wandb_dashboard.py"


def drawn(node: object) -> set[str]:
    """Metrics and config keys that a workspace or report names, as ``val/psnr`` and ``config:data.batch_size``."""
    found: set[str] = set()
    if isinstance(node, list):
        return found.union(*map(drawn, node))
    if not isinstance(node, dict):
        return found
    for key, value in node.items():
        if key in ("metrics", "mediaKeys"):
            found.update(value)
        elif key in ("accessor", "targetKey"):
            found.add(value.removeprefix("summary:").replace(".value.", "."))
        elif key == "fromOp" and value["name"] == "pick":
            found.add(value["inputs"]["key"]["val"])
        elif key in ("x", "y", "xAxis") and isinstance(value, str):
            found.add(value.removeprefix("summary:"))
        found |= drawn(value)
    return found


def listed(values: object) -> set[str]:
    """Every name in `logged`."""
    if isinstance(values, dict):
        return listed([value for key, value in values.items() if not str(key).startswith("_")])
    return {values} if isinstance(values, str) else set().union(*map(listed, values))


def dry_run(file: Path, *arguments: str) -> dict[str, object]:
    done = without_network(f"sys.argv[0] = {str(DASHBOARD)!r}; runpy.run_path(sys.argv[0], run_name='__main__')",
                           "-o", file, *arguments, HOME=str(file.parent))  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


@pytest.mark.slow
def test_dashboard_draws_what_a_run_logs(train, tmp_path):
    """Every name, of workspace and report: a metric that is renamed, in the code or in the list, fails here."""
    terms = [f"loss.{term}.weight=0.1" for term in ("psnr", "colour_fit", "colours")]
    train(
        "experiment=smoke", "logger=wandb", "trainer.max_epochs=1", *terms, "callbacks.step_times.every_n_steps=1"
    )
    run = only_run(tmp_path / "run")
    history = {name.removesuffix("/_type") for name in run.history}

    made = dry_run(tmp_path / "dashboard.json")
    for part in ("workspace", "report"):
        names = drawn(made[part])
        keys = {name for name in names if name.startswith("config:")}
        system = {name for name in names if name.startswith("system/")}
        assert keys
        for key in keys:
            value = run.config
            for word in key.removeprefix("config:").split("."):
                value = value[word]
        assert system == {"system/cpu", "system/gpu.0.gpu", "system/gpu.0.memoryAllocated"}
        assert names - keys - system - {"_step", "_runtime"} - history == set()
        assert listed(vars(logged)) <= names


def test_dashboard_of_a_sweep_shows_its_runs(tmp_path):
    made = dry_run(tmp_path / "d.json", "--sweep", "2026-11-26_23-00-00", "--parameters", "optimizer.lr")
    text = json.dumps(made["report"])
    assert '"value": "2026-11-26_23-00-00"' in text
    assert {name for name in drawn(made["report"]) if name.startswith("config:")} == {"config:optimizer.lr"}


def test_dashboard_without_an_account_says_so(tmp_path):
    code = f"sys.argv[0] = {str(DASHBOARD)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = without_network(code, HOME=str(tmp_path), NO_ALBUMENTATIONS_UPDATE="1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no W&B account here; run `wandb login`"), done.stderr
