"""Where training runs that is no desktop: a container on a cluster."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.test_stopping import QUICK

NOBODY = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
ODD = {
    "LC_ALL": "C",
    "SLURM_JOB_ID": "1",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODELIST": "node[1-2]",
}


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_stranger_in_a_batch_job(tmp_path):
    """No entry in the list of users, no HOME, SLURM's variables, the C locale; files that the group may write."""
    if not shutil.which("unshare") or subprocess.run([*NOBODY, "true"], capture_output=True).returncode:
        pytest.skip("a user without a name cannot be made here")
    (tmp_path / "pages").rename(tmp_path / "pagés")
    overrides = ('data.train_dir="pagés"', 'name="pagés"', "trainer.max_epochs=1", "hydra.run.dir=run")
    gone = ("HOME", "USER", "LOGNAME", "LANG")
    done = subprocess.run(
        [*NOBODY, sys.executable, "-m", "manuscript_restore.train", *QUICK, *overrides, "data.num_workers=1"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key not in gone} | ODD,
        umask=0o002,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"
    for path in (tmp_path / "run").rglob("*"):
        assert path.stat().st_mode & 0o060 == 0o060, path
