"""home-llm's command line -> its options, with train.py's own defaults; each problem named by its option."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from inspector.errors import quoted
from inspector.paths import shell_command
from training.errors import Problem, SpecError
from training.importers.reading import checked
from training.spec.checks import problem


def _ids(value: Any) -> Any:
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _names(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Count = Annotated[int, Field(ge=1)]
Ids = Annotated[list[int], BeforeValidator(_ids)]
Names = Annotated[list[str], BeforeValidator(_names)]


class Flags(BaseModel):
    """The options of train.py, with its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_name: str = Field(min_length=1)
    base_model: str = Field(min_length=1)
    train_dataset: str = Field(min_length=1)
    test_dataset: str = ""
    ctx_size: Count = 2048
    bf16: bool = False
    batch_size: Count = 8
    micro_batch_size: Count = 2
    epochs: float = Field(1, gt=0)
    learning_rate: float = 1e-5
    learning_rate_schedule: str = "cosine"
    learning_rate_warmup: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = 0.1
    gradient_clip: float = 1.0
    gradient_checkpointing: bool = False
    group_by_length: bool = False
    eval_steps: int = 200
    save_steps: int = -1
    save_total_limit: int = 1
    logging_steps: int = 5
    load_in_8bit: bool = False
    load_in_4bit: bool = False
    load_as_gptq: bool = False
    use_lora: bool = False
    lora_rank: int = 4
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_modules: Names = Field(default_factory=list)
    lora_modules_to_save: Names = Field(default_factory=list)
    lora_merge: bool = False
    dpo: bool = False
    beta: float = 0.1
    dpo_loss: str = "sigmoid"
    add_pad_token: bool = False
    add_chatml_tokens: bool = False
    add_chatml_prompt_template: bool = False
    prefix_ids: Ids = Field(default_factory=list)
    suffix_ids: Ids = Field(default_factory=list)
    resume_from_checkpoint: str = ""
    pre_allocate_cuda_buffers: bool = True
    dataset_processing_threads: int | None = None
    sync_to_bucket: str = ""
    bucket_save_limit: int | None = None
    flops_baseline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line of home-llm. `accelerate_config`, `processes`: from the options of `accelerate launch`."""

    flags: Flags
    accelerate_config: str = ""
    processes: int = 1


OURS = ("dry_run", "print_spec", "json", "runs")
"""Options of `python -m training home-llm` itself."""
SWITCHES = frozenset(name for name, field in Flags.model_fields.items() if field.annotation is bool)


def read_command(words: Sequence[str]) -> Command:
    """The words after `home-llm`, or all of them in one text. Raises SpecError with every problem."""
    line_words = split_line(words[0]) if len(words) == 1 else list(words)
    begin = next(
        (at for at, word in enumerate(line_words) if word.startswith("--") or _is_script(word)), len(line_words)
    )
    script = next((at for at in range(begin, len(line_words)) if _is_script(line_words[at])), None)
    head = line_words[:begin] if script is None else line_words[:script]
    problems: list[Problem] = []
    launch = _launch(head, problems)
    values = _options(line_words[len(head) + (script is not None) :], problems)
    flags, wrong = checked(Flags, values, {name: f"--{name}" for name in Flags.model_fields})
    problems += [*wrong, *([] if flags is None else _rules(flags))]
    if problems or flags is None:
        raise SpecError(problems)
    return Command(flags=flags, **launch)


def split_line(line: str) -> list[str]:
    """The words of a command line, which may continue after a backslash at a line's end. Raises SpecError."""
    try:
        return shlex.split(line.replace("\\\n", " "))
    except ValueError as error:
        raise SpecError([problem("command", f"is not a command line: {error}.", "Close the quotes.")]) from error


def _is_script(word: str) -> bool:
    return PurePath(word).name == "train.py"


def _launch(head: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
    """The words before train.py: python, or accelerate launch with its options."""
    if not head or (len(head) == 1 and PurePath(head[0]).name.startswith("python")):
        return {}
    if list(head[:2]) != ["accelerate", "launch"]:
        remedy = "It begins with python3 train.py, accelerate launch ... train.py, or an option."
        problems.append(problem("command", f"{shlex.join(head)} is not the start of home-llm's command.", remedy))
        return {}
    found: dict[str, Any] = {}
    for name, value, stray in _pairs(head[2:], frozenset()):
        if stray is None and name == "config_file" and value:
            found["accelerate_config"] = value
        elif stray is None and name == "num_processes" and value.isdecimal() and int(value) > 0:
            found["processes"] = int(value)
        else:
            remedy = "Write it into the file of --config_file."
            problems.append(problem(f"accelerate launch --{name}", "is not taken here.", remedy))
    return found


def _options(words: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value, stray in _pairs(words, SWITCHES):
        if stray is not None:
            problems.append(problem(f"--{name}" if name else "command", stray, ""))
        elif name in Flags.model_fields:
            values[name] = value
        elif name.startswith("no_") and name[3:] in SWITCHES:
            values[name[3:]] = False
        else:
            near = difflib.get_close_matches(name, Flags.model_fields, 1)
            remedy = f"Did you mean --{near[0]}?" if near else "Leave it out."
            remedy = "Write it before home-llm's command." if name in OURS else remedy
            problems.append(problem(f"--{name}", "home-llm has no such option.", remedy))
    return values


def _pairs(words: Sequence[str], switches: frozenset[str]) -> Iterator[tuple[str, str, str | None]]:
    """(option, value, its problem or None); a switch alone is true."""
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        if not word.startswith("--"):
            yield "", "", f"{quoted(word)} belongs to no option."
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        follows = at < len(words) and not words[at].startswith("--")
        if not equals and follows and (name not in switches or words[at].lower() in ("true", "false", "1", "0")):
            value, at = words[at], at + 1
        elif not equals and (name in switches or name.removeprefix("no_") in switches):
            value = "true"
        elif not equals and name in Flags.model_fields:
            yield name, "", "has no value."
            continue
        yield name, value, None


def _rules(flags: Flags) -> Iterator[Problem]:
    """Options that train.py refuses, or fails on."""
    loads = [name for name in ("load_in_8bit", "load_in_4bit", "load_as_gptq") if getattr(flags, name)]
    if len(loads) > 1:
        yield problem(f"--{loads[1]}", f"--{loads[0]} is set, too.", "Keep one of them.")
    if flags.batch_size < flags.micro_batch_size:
        message = f"{flags.batch_size} is less than --micro_batch_size, {flags.micro_batch_size}."
        yield problem("--batch_size", message, "It is the rows of a step, in micro-batches.")
    if bool(flags.prefix_ids) != bool(flags.suffix_ids):
        missing = "suffix_ids" if flags.prefix_ids else "prefix_ids"
        yield problem(
            f"--{missing}", "is missing.", f"train.py searches for both; {shell_command('inspector')} markers MODEL"
        )
    if flags.resume_from_checkpoint:
        remedy = f"Leave it out; a run of this program is resumed with: {shell_command('training')} resume RUN"
        yield problem("--resume_from_checkpoint", "checkpoints of train.py cannot be resumed.", remedy)
    for name, least in (("eval_steps", -1), ("save_steps", -1)):
        if getattr(flags, name) < 1 and getattr(flags, name) != least:
            yield problem(f"--{name}", f"is {getattr(flags, name)}.", "Give a number of steps, or -1 for each epoch.")
