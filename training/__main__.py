"""`python -m training COMMAND ...`: runs from the command line.

Exit status: 0 done; 1 the run failed; 2 unusable input. The error is on standard error, and with --json also on
standard output, as `error` of an object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inspector.cli.pipe import until_reader_leaves
from inspector.paths import shell_command
from training.cli import hub_commands, import_commands
from training.cli.terminal import describe, full, metrics_line, row_values, rows_lines, shown_lines
from training.errors import SpecError, TrainingError
from training.launch import runs
from training.launch.runs import compare
from training.rows.prepare import first_rows
from training.run.files import read_lines
from training.run.folder import ENDED, Phase, RunDir
from training.run.lines import tell
from training.spec import RunSpec, read_spec
from training.spec.checks import check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = import_commands.with_head(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    try:
        return until_reader_leaves(lambda: int(options.run(options)))
    except TrainingError as error:
        return _refused(options, error)


def run_start(options: argparse.Namespace) -> int:
    """Start a run in the background."""
    spec = _spec(options)
    return _started(runs.start(spec, options.runs), options)


def _started(run: RunDir, options: argparse.Namespace) -> int:
    pid, _ = run.process()
    value = {"run_id": run.run_id, "run_dir": str(run.path), "pid": pid}
    _say(options, value, f"{run.run_id} has started; watch it: {shell_command('training')} watch {run.run_id}")
    return 0


def run_run(options: argparse.Namespace) -> int:
    """Start a run and follow it to its end; an interrupt stops it, saved."""
    return _run(_spec(options), options)


def _run(spec: RunSpec, options: argparse.Namespace) -> int:
    if options.dry_run:
        from training.estimate import plan_of

        plan, lines = plan_of(spec)
        _say(options, spec.model_dump(mode="json") | {"plan": plan}, "\n".join((spec.to_yaml(), *lines)))
        return 0
    run = runs.start(spec, options.runs)
    if options.lines:
        return 1 if tell(run, partial(print, flush=True)) is Phase.FAILED else 0
    return follow(run, options)


def run_import(options: argparse.Namespace) -> int:
    """Another trainer's configuration as a spec."""
    found = import_commands.from_file(options)
    _warn(found.spec)
    if options.start:
        return _started(runs.start(found.spec, options.runs), options)
    _say(options, found.to_dict(), import_commands.text_of(found))
    return 0


def run_home_llm(options: argparse.Namespace) -> int:
    """Train what a command line of home-llm's train.py does, in the foreground."""
    found = import_commands.from_words(options)
    _warn(found.spec)
    if not options.print_spec:
        return _run(found.spec, options)
    _say(options, found.to_dict(), import_commands.text_of(found))
    return 0


def run_estimate(options: argparse.Namespace) -> int:
    """Estimate the cost of a run."""
    from training.estimate import plan_of

    plan, lines = plan_of(_spec(options))
    _say(options, plan, "\n".join(lines))
    return 0


def run_rows(options: argparse.Namespace) -> int:
    """The first rows as they train."""
    from inspector.errors import InspectorError

    spec = _spec(options)
    try:
        rows, unused = first_rows(spec, options.limit)
    except (InspectorError, OSError) as error:
        return _refused(options, error)
    value = {"rows": [row_values(row) for row in rows], "unused": [{"row": b.number, "why": b.why} for b in unused]}
    _say(options, value, "\n".join(rows_lines(rows, unused)))
    return 0


def run_watch(options: argparse.Namespace) -> int:
    """Follow a run to its end; an interrupt does not stop the run."""
    try:
        return follow(runs.find(options.run_id, options.runs), options, is_owner=False)
    except KeyboardInterrupt:
        return 0


def run_list(options: argparse.Namespace) -> int:
    """All runs."""
    values = [describe(run) for run in runs.list_runs(options.runs)]
    lines = [
        f"{v['run_id']}  {v['phase']:9}  step {v['step']} of {v['max_steps'] or '?'}  {v['model']}  {v['name']}"
        for v in values
    ]
    _say(options, values, "\n".join(lines) or "There are no runs.")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """One run: its state, its last metrics, its answers."""
    run = runs.find(options.run_id, options.runs)
    value = full(run)
    _say(options, value, "\n".join(shown_lines(value)))
    return 0


def run_stop(options: argparse.Namespace) -> int:
    """Stop a run, saved; with --now at once."""
    run = runs.find(options.run_id, options.runs)
    runs.stop(run, save=not options.now)
    value = describe(run)
    _say(options, value, f"{run.run_id}: {value['phase']} at step {value['step']}")
    return 0


def run_resume(options: argparse.Namespace) -> int:
    """Resume a run that was stopped or has failed."""
    run = runs.find(options.run_id, options.runs)
    runs.resume(run)
    pid, _ = run.process()
    value = {"run_id": run.run_id, "run_dir": str(run.path), "pid": pid}
    _say(options, value, f"{run.run_id} continues from {run.checkpoint()}")
    return 0


def run_rename(options: argparse.Namespace) -> int:
    """Rename a run."""
    run = runs.find(options.run_id, options.runs)
    runs.rename(run, options.name)
    _say(options, describe(run), f"{run.run_id} is now called {run.name}.")
    return 0


def run_rerun(options: argparse.Namespace) -> int:
    """Start a new run of the same spec, in the background."""
    old = runs.find(options.run_id, options.runs)
    return _started(runs.rerun(old), options)


def run_delete(options: argparse.Namespace) -> int:
    """Remove a run's folder."""
    run = runs.find(options.run_id, options.runs)
    runs.delete(run)
    _say(options, {"run_id": run.run_id}, f"{run.run_id} is gone.")
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """Show the settings in which two or more runs differ, and their last losses."""
    chosen = [runs.find(run_id, options.runs) for run_id in options.run_ids]
    value = compare(chosen)
    lines = [f"{name}: " + ", ".join(str(own) for own in values) for name, values in value["settings"].items()]
    losses = ", ".join(str(metrics.get("loss")) for metrics in value["metrics"])
    names = ", ".join(name or run_id for name, run_id in zip(value["names"], value["run_ids"], strict=True))
    _say(options, value, "\n".join([f"runs: {names}", *lines, f"last loss: {losses}"]))
    return 0


def run_jobs(options: argparse.Namespace) -> int:
    """The machines of Hugging Face Jobs, with their prices."""
    _say(options, *hub_commands.flavors(options))
    return 0


def run_merge(options: argparse.Namespace) -> int:
    """Merge a run's adapter into its base model."""
    _say(options, *hub_commands.merge(options))
    return 0


def run_publish(options: argparse.Namespace) -> int:
    """Send a run's adapter or merged model to the hub."""
    _say(options, *hub_commands.publish(options))
    return 0


def follow(run: RunDir, options: argparse.Namespace, *, is_owner: bool = True) -> int:
    """Print a run's progress until it ends; status 1 if it failed."""
    offset, shown = 0, ""
    while True:
        try:
            status = run.status()
            lines, offset = read_lines(run.metrics_file, offset)
            if not options.json:
                state = str(status.phase) + (f", after {status.waits_for}" if status.waits_for else "")
                if state != shown and status.phase not in ENDED:
                    print(f"{state} ...", flush=True)
                    shown = state
                for line in lines:
                    print(metrics_line(line, status.max_steps), flush=True)
            if status.phase in ENDED:
                break
            time.sleep(0.2)
        except KeyboardInterrupt:
            if not is_owner:
                raise
            print("stopping; the run saves what it has ...", file=sys.stderr)
            runs.stop(run)
    value = full(run)
    _say(options, value, "\n".join(shown_lines(value)))
    return 1 if status.phase is Phase.FAILED else 0


# --- options


def _spec(options: argparse.Namespace) -> RunSpec:
    spec = read_spec(options.spec)
    _warn(spec)
    return spec


def _warn(spec: RunSpec) -> None:
    for problem in check(spec):
        print(f"{problem.severity}: {problem.field}: {problem.message} {problem.remedy}".rstrip(), file=sys.stderr)


def _refused(options: argparse.Namespace, error: Exception) -> int:
    """Print the error (for a spec, each problem); returns the exit status."""
    problems = error.problems if isinstance(error, SpecError) else ()
    for line in [f"{p.field}: {p.message} {p.remedy}".rstrip() for p in problems] or [str(error)]:
        print(f"error: {line}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": str(error), "problems": [p.to_dict() for p in problems]}, ensure_ascii=False))
    return 2


def _say(options: argparse.Namespace, value: Any, text: str) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2) if options.json else text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=shell_command("training"), description="Train exactly what the inspector shows."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument(
        "--runs", type=Path, metavar="FOLDER", help="where runs are kept (default: runs, or MASKSCOPE_RUNS)"
    )

    def add(name: str, run: Any, what: str, *arguments: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, parents=[common])
        command.set_defaults(run=run)
        for argument in arguments:
            command.add_argument(argument, metavar=argument.upper())
        return command

    run = add("run", run_run, "train in the foreground", "spec")
    run.add_argument("--dry-run", action="store_true", help="only check the spec and print it, every default filled in")
    run.add_argument("--lines", action="store_true", help="the log, and the run's events as lines of JSON")
    add("start", run_start, "train in the background", "spec")
    add("estimate", run_estimate, "what a run would cost: memory, FLOPs, time", "spec")
    rows = add("rows", run_rows, "the first rows as trained, of pairs both answers", "spec")
    rows.add_argument("--limit", type=int, default=5, metavar="N", help="how many (default: 5)")
    config = add("import", run_import, "AutoTrain's config as a spec, with what differs", "config")
    import_commands.add_arguments(config, add("home-llm", run_home_llm, "train what home-llm's command line does"))
    add("list", run_list, "all runs")
    add("show", run_show, "show a run: its state and its answers", "run_id")
    add("watch", run_watch, "follow a run", "run_id")
    add("stop", run_stop, "stop a run, saved", "run_id").add_argument(
        "--now", action="store_true", help="at once, without saving"
    )
    add("resume", run_resume, "resume a run", "run_id")
    add("rename", run_rename, "rename a run", "run_id", "name")
    add("rerun", run_rerun, "a new run of the same spec, in the background", "run_id")
    add("delete", run_delete, "remove a run's folder", "run_id")
    add("jobs", run_jobs, "Hugging Face Jobs: the machines, their memory and prices").add_argument(
        "what", choices=["flavors"], metavar="flavors"
    )
    merge = add("merge", run_merge, "merge a run's adapter into its base model", "run_id")
    hub_commands.add_arguments(merge, add("publish", run_publish, "send a run's result to the hub", "run_id"))
    add("compare", run_compare, "how runs differ").add_argument("run_ids", nargs="+", metavar="RUN_ID")
    return parser


if __name__ == "__main__":
    sys.exit(main())
