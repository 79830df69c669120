"""Hydra's launcher on Ray: ``hydra/launcher=ray`` runs the jobs of a sweep over the machines of a cluster."""

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.2


class RayLauncher(Launcher):
    """Runs each job as a Ray task, as many at once as the cluster has room for.

    Every machine needs the same environment, and the folder that the sweep was started in at the same path.

    Args:
        address: Of a cluster: ``auto``, or ``HOST:6379``; ``local``: one of its own, on this machine.
        num_cpus: That a job takes; torch gets as many threads.
        num_gpus: That a job takes; it sees no others.
        resources: Further ones that a machine must have, by name.
    """

    def __init__(
        self,
        address: str = "local",
        num_cpus: float = 1,
        num_gpus: float = 0,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self.address = address
        self.needs = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": dict(resources or {})}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what a job needs."""
        if not find_spec("ray"):
            print("error: ray is missing: pip install 'manuscript-restore[ray]'", file=sys.stderr)
            sys.exit(1)
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; their results in order, an error as one. Stopped, it ends those that run."""
        ray = self._connect()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        # Once, and by way of Ray: a job that a lost machine had would write over what it left there.
        task = ray.remote(max_retries=0, **self.needs)(_run)
        state = Singleton.get_state()
        pending = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            pending.append(
                task.remote(
                    self.hydra_context, self.task_function, self.config, list(overrides), number, state, Path.cwd()
                )
            )
        try:
            while len(ray.wait(pending, num_returns=len(pending), timeout=0)[0]) < len(pending):
                time.sleep(LOOK_EVERY_S)  # in Python, as Ray's own waiting changes what a signal raises
            return [self._result(ray, each) for each in pending]
        except BaseException:
            for each in pending:
                ray.cancel(each, force=True)
            raise

    def _connect(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked it to call home
        import ray

        if not ray.is_initialized():
            from manuscript_restore.inference.cluster import knock
            from manuscript_restore.inference.cluster_job import first_line

            dashboard = {"include_dashboard": False} if self.address == "local" else {}
            try:
                knock(self.address)
                ray.init(address=self.address, **dashboard)
            except Exception as error:  # ConnectionError, RuntimeError, ValueError and what gRPC has
                wrong = "cannot be started here" if self.address == "local" else "no cluster answers"
                print(
                    f"error: hydra.launcher.address={self.address}: {wrong} ({first_line(error)})", file=sys.stderr
                )
                sys.exit(1)
        return ray

    @staticmethod
    def _result(ray: Any, job: Any) -> JobReturn:
        try:
            result: JobReturn = ray.get(job)
        except ray.exceptions.RayError as error:  # the worker or its machine is gone
            return JobReturn(status=JobStatus.FAILED, _return_value=error)
        return result


def _run(
    context: HydraContext,
    function: TaskFunction,
    config: DictConfig,
    overrides: list[str],
    number: int,
    state: Mapping[type, Singleton],
    cwd: Path,
) -> JobReturn:
    """One job, in a process of Ray's."""
    from manuscript_restore.config import register_resolvers

    os.chdir(cwd)
    Singleton.set_state(state)
    setup_globals()
    register_resolvers()
    job_config = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job_config):
        job_config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        job_config.hydra.job.num = number
    return run_job(
        hydra_context=context,
        task_function=function,
        config=job_config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
