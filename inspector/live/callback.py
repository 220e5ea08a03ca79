"""The check inside a run: before its first step, in any trainer that takes callbacks of transformers.

A callback is not told which columns its rows had: TRL's rows are taken for prompts and completions where its settings
leave that open. `watch` knows the trainer, and so which they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from inspector.errors import InspectorError, WrongTrainingError
from inspector.live.check import check
from inspector.live.report import Report


class MaskscopeCallback(TrainerCallback):  # type: ignore[misc]
    """Checks the first batches when training begins, and prints the report.

    `stop`: raise WrongTrainingError where they train something else than was meant, before the first step. `batches`,
    `data`, `strategy` and the rest: as for `check`. `report`: what was found, None before and where nothing could be
    said.
    """

    def __init__(self, *, stop: bool = False, **settings: Any) -> None:
        self.stop, self.settings = stop, settings
        self.trainer: Any = None
        self.report: Report | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the very loader that the run goes through; in a run of several processes, those of all of them."""
        said = self._checked(args, kwargs)
        reports = _of_all_processes((self.report is not None and self.report.is_wrong, said))
        wrong = [f"{f'Process {i}: ' if i else ''}{text}" for i, (is_wrong, text) in enumerate(reports) if is_wrong]
        self._say(args, wrong[0] if wrong else said)
        if self.report is not None:
            self._keep(args)
        if self.stop and wrong:  # every process, or those that go on would wait for the others
            raise WrongTrainingError(wrong[0])

    def _checked(self, args: Any, given: dict[str, Any]) -> str:
        """Make the report; returns it in words, or why there is none."""
        settings = {"tokenizer": given.get("processing_class"), **self.settings}
        self.report = None
        try:
            self.report = check(given["train_dataloader"], trainer=self.trainer or _Began(args, given), **settings)
        except InspectorError as error:
            return f"Maskscope could not check this run: {error}"
        except Exception as error:  # what data sets and collators raise; the run goes on, and meets it itself
            return f"Maskscope could not check this run: {type(error).__name__}: {error}"
        return str(self.report)

    def _keep(self, args: Any) -> None:
        """Nothing here; `watch` writes the report down."""

    @staticmethod
    def _say(args: Any, text: str) -> None:
        if getattr(args, "local_process_index", 0) == 0:
            print(text, file=sys.stderr)


def _of_all_processes(found: tuple[bool, str]) -> list[tuple[bool, str]]:
    """What each process of a run found, by its number."""
    torch = sys.modules["torch"]
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [found]
    out: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(out, found)
    return out


class _Began:
    """What a callback is told of its trainer."""

    def __init__(self, args: Any, kwargs: dict[str, Any]) -> None:
        self.args, self.model = args, kwargs.get("model")
        self.processing_class = kwargs.get("processing_class")


class _Watcher(MaskscopeCallback):
    """Writes the report into the run's folder, and into TensorBoard where the run has it."""

    def _keep(self, args: Any) -> None:
        assert self.report is not None
        if getattr(args, "process_index", 0) != 0:
            return
        folder = Path(args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "maskscope.txt").write_text(f"{self.report}\n", encoding="utf-8")
        (folder / "maskscope.html").write_text(self.report.html(), encoding="utf-8")
        text = json.dumps(self.report.to_dict(), ensure_ascii=False, indent=2)
        (folder / "maskscope.json").write_text(text, encoding="utf-8")
        callbacks = self.trainer.callback_handler.callbacks
        for writer in filter(None, (getattr(callback, "tb_writer", None) for callback in callbacks)):
            indented = "\n".join(f"    {line}" for line in str(self.report).splitlines())
            writer.add_text("maskscope", indented, 0)
            writer.flush()


def watch(trainer: Any, *, stop: bool = False, **settings: Any) -> MaskscopeCallback:
    """Have a trainer checked when it begins, and the report kept as maskscope.txt, .json and .html in its output_dir.

    Where the run writes to TensorBoard the report is a text there. Arguments as for MaskscopeCallback, which is
    returned.
    """
    watcher = _Watcher(stop=stop, **settings)
    watcher.trainer = trainer
    trainer.add_callback(watcher)
    return watcher
