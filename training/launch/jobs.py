"""Hugging Face Jobs through huggingface_hub: machines and their prices, a run submitted as a job, its log, its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from inspector.errors import one_line
from training.errors import JobError, TrainingError
from training.launch import bundle
from training.run.folder import RunDir
from training.spec import RunSpec

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""An image with Python and uv; torch's wheels include CUDA."""
LABEL = "maskscope-run"
TIMEOUT_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
UNITS_PER_HOUR = {"second": 3_600, "minute": 60, "hour": 1}


@dataclass(frozen=True, kw_only=True)
class Job:
    """The current state of a job. `stage`: Hugging Face's word; `message`: its explanation, "" if there is none."""

    id: str
    url: str
    stage: str
    message: str
    ran_s: int

    @classmethod
    def of(cls, info: Any) -> Job:
        """From the library's own description."""
        stage = str(getattr(info.status.stage, "value", info.status.stage))
        ran = info.durations.running_secs if info.durations else None
        return cls(id=info.id, url=info.url, stage=stage, message=info.status.message or "", ran_s=int(ran or 0))


class Jobs:
    """The jobs of the token's owner. Every method raises JobError."""

    def __init__(self, token: str | None = None) -> None:
        from huggingface_hub import HfApi, get_token

        self.token = (token or get_token() or "").strip()
        if not self.token:
            raise JobError(
                "There is no token: make one with write access and the right to run jobs at "
                "https://huggingface.co/settings/tokens, and set HF_TOKEN to it."
            )
        self.api = HfApi(token=self.token)
        with self._told():
            self.user = str(self.api.whoami(cache=True)["name"])

    def flavors(self) -> list[dict[str, Any]]:
        """The available machines: name, hardware, dollars per hour."""
        with self._told():
            return [_described(hardware) for hardware in self.api.list_jobs_hardware()]

    def submit(self, run: RunDir, spec: RunSpec) -> Job:
        """Submit a run as a job."""
        names = [flavor["name"] for flavor in self.flavors()]
        if spec.engine.flavor not in names:
            raise JobError(f"engine.flavor: there is no {spec.engine.flavor!r}. There are: {', '.join(names)}.")
        secrets = {"HF_TOKEN": self.token}
        endpoint = spec.sampling.endpoint
        if endpoint is not None and endpoint.key_variable in os.environ:
            secrets[endpoint.key_variable] = os.environ[endpoint.key_variable]
        environment = {"PYTHONUNBUFFERED": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **bundle.pack(spec)}
        with self._told():
            info = self.api.run_job(
                image=IMAGE, command=["python3", "-c", bundle.BOOT], env=environment, secrets=secrets,
                flavor=spec.engine.flavor, timeout=spec.engine.timeout, name=f"maskscope-{run.run_id}",
                labels={LABEL: run.run_id}, namespace=self.user,
            )  # fmt: skip
        return Job.of(info)

    def find(self, run: RunDir) -> Job | None:
        """The job of a run whose follower ended before it recorded the job."""
        with self._told():
            found = list(self.api.list_jobs(labels={LABEL: run.run_id}, namespace=self.user))
        return Job.of(found[0]) if found else None

    def inspect(self, job_id: str) -> Job:
        """The state of a job."""
        with self._told():
            return Job.of(self.api.inspect_job(job_id=job_id, namespace=self.user))

    def log(self, job_id: str, *, follow: bool = True) -> Iterator[str]:
        """The lines of its log from the first on, until it has ended; without `follow` only the existing ones."""
        with self._told():
            yield from self.api.fetch_job_logs(job_id=job_id, follow=follow, namespace=self.user)

    def cancel(self, job_id: str) -> None:
        """End it now."""
        with self._told():
            self.api.cancel_job(job_id=job_id, namespace=self.user)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from huggingface_hub.errors import HTTPError

        try:
            yield
        except (HTTPError, OSError, ValueError, KeyError) as error:
            if isinstance(error, TrainingError):
                raise
            raise JobError(self._said(error)) from None  # the cause holds the request, and with it the token

    def _said(self, error: Exception) -> str:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = one_line(str(error).replace(self.token, "<token>"), 200)
        if status == 401:
            return "The hub does not know this token: make a new one at https://huggingface.co/settings/tokens."
        if status == 402:
            return "Hugging Face Jobs want to be paid (402): see https://huggingface.co/settings/billing."
        if status == 403:
            return "This token may not run jobs (403): give it that right at https://huggingface.co/settings/tokens."
        if status is not None:
            return f"Hugging Face Jobs answered {status}: {said}"
        return f"The hub at {self.api.endpoint} cannot be reached: {type(error).__name__}: {said}"


def _described(hardware: Any) -> dict[str, Any]:
    accelerator = hardware.accelerator
    per_hour = UNITS_PER_HOUR.get(hardware.unit_label)
    return {
        "name": hardware.name,
        "title": hardware.pretty_name,
        "cpu": hardware.cpu,
        "memory": hardware.ram,
        "gpu": "" if accelerator is None else f"{accelerator.quantity} x {accelerator.model}",
        "gpu_memory": "" if accelerator is None else accelerator.vram,
        "disk": hardware.ephemeral_storage,
        "usd_per_hour": None if per_hour is None else round(hardware.unit_cost_usd * per_hour, 4),
    }


def seconds_of(timeout: str) -> float:
    """A time such as 90m, in seconds."""
    return float(timeout[:-1]) * TIMEOUT_UNITS[timeout[-1]]
