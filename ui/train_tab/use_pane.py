"""Uses of a run: chat with its weights before and after the training, download them, publish them."""

from __future__ import annotations

import json
import shlex
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from inspector.setup import Setup
from inspector.strategies.base import IGNORED
from training.errors import AnswerError, MergeError, RunStateError, TrainingError
from training.launch import answers
from training.launch.answers import Answer
from training.run.folder import RunDir
from ui.data_tab.open import INSPECT
from ui.inspect_tab.open import OPENED, open_rows
from ui.language import say
from ui.parts.report import Block, build_note, build_report, code, heading, progress, report, text
from ui.parts.saver import build_saver
from ui.train_tab import view
from ui.train_tab.view import RunBoxes, command_of, problems_value
from ui.visitors import own_runs
from ui.visitors.access import is_public
from ui.wiring.wires import Changes, Wires

SIDES = {"base": "Before training", "trained": "After training"}
"""The two sides of the chat, and their names."""
LONGEST_ANSWER = 256
"""Longest answer, in tokens."""
Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseBoxes:
    """The chat so far with each side, with gradio's fields."""

    use_base: Sequence[Mapping[str, Any]] | None = ()
    use_trained: Sequence[Mapping[str, Any]] | None = ()

    def messages(self, side: str) -> Messages:
        """The messages as a template takes them."""
        said = getattr(self, f"use_{side}") or ()
        return [{"role": one["role"], "content": _text_of(one["content"])} for one in said]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishBoxes:
    """The settings for publishing a run."""

    train_repo: str = ""
    train_private: bool = True
    train_merged: bool = False


def build_use() -> dict[str, Any]:
    """The widgets, by name."""
    about = build_report("use-about")
    with gr.Row():
        chats, opens = {}, {}
        for side, title in SIDES.items():
            with gr.Column(min_width=280):
                chats[side] = gr.Chatbot(
                    label=title, height=320, elem_id=f"use-{side}", render_markdown=False, buttons=["copy"],
                    placeholder="The answers stand here.", feedback_options=None,
                )  # fmt: skip
                opens[side] = gr.Button(
                    "Show the tokens of the last answer", size="sm", elem_id=f"use-open-{side}", interactive=False
                )
    with gr.Row(equal_height=True, elem_id="use-ask-row"):
        question = gr.Textbox(
            label="Message", placeholder="Ask both the same question", max_lines=6, elem_id="use-question", scale=6,
        )  # fmt: skip
        ask = gr.Button("Send", variant="primary", min_width=90, elem_id="use-ask", scale=1)
        clear = gr.Button("Start over", min_width=90, elem_id="use-clear", scale=1)
    state = build_report("use-state")
    build_note("Take it away")
    with gr.Row(equal_height=True):
        save = gr.Button("Download adapter.zip", size="sm", min_width=160, elem_id="use-zip")
        merge = gr.Button(
            "Merge into a whole model", size="sm", min_width=160, elem_id="use-merge", visible=not is_public()
        )
    files = build_report("use-files")
    widgets = {
        "about": about, "question": question, "ask": ask, "clear": clear, "state": state, "zip": save, "merge": merge,
        "files": files, "download": gr.DownloadButton("Download", elem_id="use-download"),
        "saver": build_saver("use-saver"), "ids": gr.State({}),
    }  # fmt: skip
    widgets |= chats | {f"open_{side}": button for side, button in opens.items()}
    return {f"use_{name}": widget for name, widget in widgets.items()} | _build_publishing()


def _build_publishing() -> dict[str, Any]:
    pane = gr.Accordion("Publish", open=False, visible=not is_public(), elem_id="train-publishing")
    with pane, gr.Row(equal_height=True):
        repo = gr.Textbox(
            label="Repository", info="owner/name. Uses your HF_TOKEN", max_lines=1, elem_id="train-repo", min_width=160,
            scale=3,
        )  # fmt: skip
        private = gr.Checkbox(True, label="Private", elem_id="train-private", min_width=80)
        merged = gr.Checkbox(False, label="Merged", info="The whole model", elem_id="train-merged", min_width=80)
        publish = gr.Button("Publish", size="sm", min_width=80, elem_id="train-publish")
    return {"train_repo": repo, "train_private": private, "train_merged": merged, "train_publish": publish}


def connect_use(wires: Wires) -> None:
    """Connect all events of the pane."""
    said = ["use_base", "use_trained", "use_question", "use_state", "use_ids", "use_open_base", "use_open_trained"]
    question, ids = wires["use_question"], wires["use_ids"]
    wires.on(wires["use_step"].select, on_look, ["use_about", *said], also=[ids], reads=[RunBoxes], queue="train")
    asks = [wires["use_ask"].click, question.submit]
    wires.on(asks, on_ask, said, also=[question, ids], reads=[UseBoxes, RunBoxes], is_stream=True)
    wires.on(wires["use_clear"].click, on_clear, said, reads=(), queue="train")
    for side in SIDES:
        opened = [*OPENED, "tabs", "use_state"]
        wires.on(
            wires[f"use_open_{side}"].click, partial(on_open, side), opened, also=[ids], reads=[RunBoxes], queue="train"
        )
    saved = ["use_download", "use_saver", "use_files"]
    wires.on(wires["use_zip"].click, on_zip, saved, reads=[RunBoxes], is_stream=True)
    wires.on(wires["use_merge"].click, on_merge, ["use_files"], reads=[RunBoxes], is_stream=True)
    publish = wires["train_publish"].click
    wires.on(publish, on_publish, ["use_files"], reads=[PublishBoxes, RunBoxes], is_stream=True)


# --- the chat


def on_look(ids: Mapping[str, Any], chosen: RunBoxes) -> Changes:
    """Show the run of the chat. A chat with another run is cleared."""
    try:
        run = _answering(chosen)
        answers.check(run)
        spec = run.spec()
    except TrainingError as error:
        return {**on_clear(), "use_about": problems_value(error)}
    data = Path(spec.data.name).name
    sentence = say("{run}: {model}, trained on {data}", run=run.label, model=spec.model, data=data)
    about = {"use_about": report(text(sentence))}
    is_another = any(one["run"] != run.run_id for one in ids.values())
    return {**on_clear(), **about} if is_another else about


def on_ask(question: str, ids: Mapping[str, Any], said: UseBoxes, chosen: RunBoxes) -> Iterator[Changes]:
    """Both sides answer, the trained one first, each continuing its own chat. Ends if the page is closed."""
    if not question.strip():
        yield {"use_state": report(text(say("Write a message first."), "✗"))}
        return
    now = {side: [*said.messages(side), {"role": "user", "content": question}] for side in SIDES}
    whole = dict(ids)
    yield {**_shown(now), "use_question": "", "use_state": report(progress(say("Starting …"), None))}
    try:
        run = _answering(chosen)
        for side in reversed(SIDES):
            for answer in answers.ask(run, now[side], is_trained=side == "trained", max_new_tokens=LONGEST_ANSWER):
                if answer.waits_for:
                    yield {"use_state": report(progress(say("Waiting for {what} …", what=answer.waits_for), None))}
                    continue
                shown = {**now, side: [*now[side], {"role": "assistant", "content": answer.text}]}
                yield {**_shown(shown), "use_state": report(progress(f"{say(SIDES[side])} …", None))}
                last = answer
            now[side] = shown[side]
            whole |= {side: {"run": run.run_id, "prompt": last.prompt_ids, "ids": last.ids}}
            yield {"use_ids": whole, f"use_open_{side}": gr.update(interactive=True), "use_state": _ending(last)}
    except TrainingError as error:
        is_lost = now["trained"][-1]["role"] == "user"
        yield {"use_state": problems_value(error), "use_question": question if is_lost else ""}


def _shown(messages: Mapping[str, Messages]) -> Changes:
    return {f"use_{side}": list(one) for side, one in messages.items()}


def _ending(answer: Answer) -> str:
    """A note on whether the answer ended by itself, which is the purpose of training its stop token."""
    if len(answer.ids) < LONGEST_ANSWER:
        return ""
    return report(text(say("Cut after {n} tokens: it did not write its stop token.", n=LONGEST_ANSWER), "!"))


def _text_of(content: Any) -> str:
    """The text of a gradio message, which may have parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    return "".join(str(part.get("text", "")) if isinstance(part, Mapping) else str(part) for part in parts)


def on_clear() -> Changes:
    """An empty chat."""
    closed = {f"use_open_{side}": gr.update(interactive=False) for side in SIDES}
    return {"use_base": [], "use_trained": [], "use_question": "", "use_state": "", "use_ids": {}, **closed}


def on_open(side: str, ids: Mapping[str, Any], chosen: RunBoxes) -> Changes:
    """Show the last answer in the token view, id by id as it was generated, with labels as if it were a row."""
    try:
        run = own_runs.open_run(ids[side]["run"])
    except (KeyError, TrainingError):
        return {"use_state": report(text(say("Ask something first."), "✗"))}
    spec, prompt, answer = run.spec(), list(ids[side]["prompt"]), list(ids[side]["ids"])
    row = {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}
    setup = Setup(
        model=spec.model, revision=spec.revision, template=spec.template, special_tokens=spec.special_tokens,
        conversation=row,
    )  # fmt: skip
    notice = f"The ids of an answer by {run.label}, {SIDES[side].lower()}. The prompt is not trained, the answer is."
    try:
        return {**open_rows([setup], notices=[notice]), "tabs": gr.update(selected=INSPECT)}
    except InspectorError as error:
        return {"use_state": report(text(str(error), "✗"))}


# --- downloads


def _run_of(chosen: RunBoxes) -> RunDir:
    """The shown run. Raises RunStateError, RunNotFoundError."""
    if not chosen.train_run:
        raise RunStateError(say("There is no run yet: press Train first."))
    return own_runs.open_run(chosen.train_run)


def _answering(chosen: RunBoxes) -> RunDir:
    """As `_run_of`, for a run that has to answer. Raises AnswerError if none can."""
    if own_runs.is_zero_gpu():
        raise AnswerError("On ZeroGPU no process can hold the weights: download the adapter.")
    return _run_of(chosen)


def on_zip(chosen: RunBoxes) -> Iterator[Changes]:
    """The result of the training as one file: the adapter with tokenizer, template and card, or the whole model."""
    try:
        run = _run_of(chosen)
        if not run.has_weights:
            raise RunStateError(f"The run {run.label} has no weights yet: let it train first.")
    except TrainingError as error:
        yield {"use_files": problems_value(error)}
        return
    yield {"use_files": report(progress(say("Packing …"), None))}
    with TemporaryDirectory(prefix="maskscope-") as folder:  # gradio keeps a copy of the yielded file
        path = _packed(run, Path(folder))
        size = f"{path.name}: {path.stat().st_size:,} bytes"
        click = json.dumps({"click": "#use-download", "at": time.time_ns()})
        yield {"use_download": str(path), "use_saver": click, "use_files": report(text(size, "✓"))}


def _packed(run: RunDir, folder: Path) -> Path:
    """The file, in a folder. Weights do not get smaller by compression."""
    path = folder / ("adapter.zip" if run.spec().lora else "model.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(one for one in run.adapter.rglob("*") if one.is_file()):
            archive.write(file, Path(path.stem, file.relative_to(run.adapter)))
    return path


def on_merge(chosen: RunBoxes) -> Iterator[Changes]:
    """Base model and adapter as one model in a folder, and the commands for other programs."""
    yield {"use_files": report(progress(say("Merging, then loading the result to compare its answers …"), None))}
    try:
        view.refuse_visitors()
        run = _run_of(chosen)
        done = command_of(["merge", "--json", str(run.path)], MergeError)
    except TrainingError as error:
        yield {"use_files": problems_value(error)}
        return
    yield {"use_files": report(*_merged_blocks(done["folder"], run.label))}


def _merged_blocks(folder: str, name: str) -> Iterator[Block]:
    yield text(say("Merged, loaded again and compared: {folder}", folder=folder), "✓")
    yield heading(say("For llama.cpp, LM Studio and Ollama"))
    file = shlex.quote(f"{name}.gguf")
    convert = f"python convert_hf_to_gguf.py {shlex.quote(folder)} --outfile {file}"
    yield code(convert, label=say("In a checkout of llama.cpp"))
    yield code(f"echo FROM ./{file} > Modelfile && ollama create {shlex.quote(name)} -f Modelfile", label="Ollama")


def on_publish(target: PublishBoxes, chosen: RunBoxes) -> Iterator[Changes]:
    """Send a run's result to the hub in a separate process: shows first that it is running, then the address."""
    yield {"use_files": report(progress(say("Publishing to {repo} …", repo=target.train_repo), None))}
    try:
        view.refuse_visitors()
        run = _run_of(chosen)
        url = view.publish(run, target.train_repo, is_private=target.train_private, is_merged=target.train_merged)
    except TrainingError as error:
        yield {"use_files": problems_value(error)}
    else:
        yield {"use_files": report(text(say("Published: {url}", url=url), "✓"))}
