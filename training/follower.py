"""The process of a run that trains as a job: `python -m training.follower RUN_DIR`. It submits the job and records its
log, so that the run's folder is the same as for a run on this machine.

job.json names the job, so that a later follower continues with the same one. A request to stop cancels it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inspector.errors import short
from training.errors import JobError, TrainingError
from training.launch.jobs import Job, Jobs, seconds_of
from training.run.files import append_line, write_json
from training.run.folder import ENDED, Phase, RunDir
from training.run.journal import Journal
from training.run.lines import MARK, Listener

PATIENCE_S = 3_600.0
"""Seconds for which a hub that does not answer is asked again."""
AGAIN_S = 5.0
_FIELDS = ("step", "max_steps", "epoch", "trained_tokens", "total_tokens", "error", "suggestion")


def main(folder: Path) -> int:
    """Follow one run's job; returns the exit status."""
    run = RunDir.open(folder)
    signal.signal(signal.SIGTERM, _terminated)
    journal = Journal(run)
    follower = Follower(run, journal)
    try:
        follower.follow()
    except KeyboardInterrupt:
        follower.leave()
    except Exception as error:  # the run's files must hold the reason
        traceback.print_exc()
        message = str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
        journal.say(phase=Phase.FAILED, error=short(message, 2000), suggestion=follower.what_goes_on())
        return 1
    return 0


def _terminated(*_: Any) -> None:
    raise KeyboardInterrupt


class Follower:
    """One run, its job, and the part of its log that was read."""

    def __init__(self, run: RunDir, journal: Journal) -> None:
        self.run, self.journal, self.spec = run, journal, run.spec()
        self.jobs: Jobs | None = None
        self.kept: dict[str, Any] = {"id": "", "url": "", "stage": "", "heard": 0, "lines": 0} | run.job()
        self.last_phase: Phase | None = None

    def follow(self) -> None:
        """Submit the job, or continue with the existing one, until it has ended. Raises TrainingError."""
        self.jobs = Jobs()
        if not self.kept["id"]:
            self._begin(self.jobs)
        url = self.kept["url"]
        print(f"Follows the job {self.kept['id']}: {url}")
        self.journal.say(device=self.spec.engine.flavor, error=None, suggestion=None, notes=(f"It trains at {url}",))
        threading.Thread(target=self._watch_requests, args=(self.jobs,), name="requests", daemon=True).start()
        self._listen(self.jobs)
        self._conclude(self.jobs.inspect(self.kept["id"]))

    def _begin(self, jobs: Jobs) -> None:
        is_known = self.run.job_file.is_file()  # an earlier follower may have submitted it
        write_json(self.run.job_file, self.kept)
        job = (jobs.find(self.run) if is_known else None) or jobs.submit(self.run, self.spec)
        self._keep(id=job.id, url=job.url)

    def _listen(self, jobs: Jobs) -> None:
        """Read the log to its end, and reconnect if the connection breaks."""
        broken_at: float | None = None
        while True:
            lines = self.kept["lines"]
            try:
                self._hear(jobs.log(self.kept["id"]))
                self._hear(jobs.log(self.kept["id"], follow=False))  # a connection that broke at the end is not noticed
                return
            except JobError as error:
                broken_at = time.monotonic() if broken_at is None or self.kept["lines"] > lines else broken_at
                if "cannot be reached" not in str(error) or time.monotonic() - broken_at > PATIENCE_S:
                    raise
                print(f"{error} Asks again.")
                time.sleep(AGAIN_S)

    def _hear(self, log: Iterable[str]) -> None:
        """Read the new part of a log that starts from its beginning."""
        listener, known = Listener(self.kept["heard"]), self.kept["lines"]
        for number, line in enumerate(log, start=1):
            self._take(listener.hear(line.rstrip("\n")), is_new=number > known)
            self.kept |= {"heard": listener.heard, "lines": max(number, known)}
            if line.startswith(MARK):
                self._keep()
        self._keep()

    def _take(self, event: Any, *, is_new: bool) -> None:
        """Record the content of a line."""
        if isinstance(event, str):
            if is_new:
                print(event)
            return
        if event is None:
            return
        kind, value = event
        files = {"metric": self.run.metrics_file, "sample": self.run.samples_file, "score": self.run.scores_file}
        if kind in files:
            append_line(files[kind], value)
        elif kind == "manifest":
            write_json(self.run.manifest_file, value)
        elif kind == "status":
            self._take_status(value)

    def _take_status(self, value: dict[str, Any]) -> None:
        phase = Phase(value["phase"])
        self.last_phase = phase
        changes = {name: value.get(name) for name in _FIELDS}
        notes = (f"It trains at {self.kept['url']}", *value.get("notes", ()))
        shown = Phase.SAVING if phase in ENDED else phase  # it has ended when its job has
        self.journal.say(phase=shown, notes=notes, **changes)

    def _conclude(self, job: Job) -> None:
        """Record how the job ended."""
        self._keep(stage=job.stage)
        if job.stage == "CANCELED" or self.last_phase is Phase.STOPPED:
            self.journal.say(phase=Phase.STOPPED, error=None, suggestion=None)
        elif job.stage == "COMPLETED" and self.last_phase is Phase.SUCCEEDED:
            self.journal.say(phase=Phase.SUCCEEDED)
        else:
            error, suggestion = self._why(job)
            self.journal.say(phase=Phase.FAILED, error=error, suggestion=suggestion)

    def _why(self, job: Job) -> tuple[str, str | None]:
        timeout = self.spec.engine.timeout
        if "timeout" in job.message.lower() or "timed out" in job.message.lower() or job.ran_s >= seconds_of(timeout):
            remedy = "Set a longer engine.timeout and start it again (rerun): a job's disk is gone with it."
            return f"The job was ended after its timeout of {timeout}. {job.message}".rstrip(), remedy
        if self.last_phase is Phase.FAILED and self.journal.status.error:
            return self.journal.status.error, self.journal.status.suggestion
        reason = f": {job.message}" if job.message else ""
        return f"The job ended with {job.stage}{reason}. Last output: {self.run.log_tail(3)}", f"See {job.url}"

    def _watch_requests(self, jobs: Jobs) -> None:
        """Cancel the job on a request to stop: then its log ends, and so does the following."""
        while not self.run.is_asked("stop"):
            time.sleep(0.5)
        while True:
            try:
                jobs.cancel(self.kept["id"])
                return
            except JobError as error:
                print(f"Not cancelled yet: {error}")
                time.sleep(AGAIN_S)

    def leave(self) -> None:
        """Handle the signal to end: cancel the job too if that was requested."""
        if not (self.run.is_asked("end") or self.run.is_asked("stop")):
            message = "The process that follows the job was told to end."
            self.journal.say(phase=Phase.FAILED, error=message, suggestion=self.what_goes_on())
            return
        if self.jobs is not None:
            try:
                job_id = self.kept["id"] or getattr(self.jobs.find(self.run), "id", "")
                if job_id:
                    self.jobs.cancel(job_id)
                self._keep(id=job_id, stage="CANCELED")
            except JobError as error:
                message = f"The job was not cancelled: {error}"
                self.journal.say(phase=Phase.FAILED, error=message, suggestion=self.what_goes_on())
                return
        self.journal.say(phase=Phase.STOPPED, error=None, suggestion=None)

    def what_goes_on(self) -> str | None:
        """Advice on a job that is not followed."""
        if not self.kept["id"] or self.kept["stage"]:
            return None
        return f"The job is still running at {self.kept['url']}: resume the run to follow it again, or to stop it."

    def _keep(self, **changes: Any) -> None:
        self.kept |= changes
        write_json(self.run.job_file, self.kept)


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)  # the thread that waits for requests must not keep it alive
