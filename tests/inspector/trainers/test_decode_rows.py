"""Rows as trainers print them: ids and labels come back exactly, and are laid beside the exact labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import inspector
from inspector.errors import LogError
from inspector.inspection import Inspection
from inspector.trainers.decode import MAX_EXAMPLES, LoggedExample, decode_log
from tests.support.commands import Called
from tests.support.models import model as made_model

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France? (7, 7) [1, 2, 3, 4]"},
    {"role": "assistant", "content": "Paris, of course."},
    {"role": "user", "content": "And Italy?"},
    {"role": "assistant", "content": "Rome."},
]
MODELS = ["tiny-chat", "qwen3", "llama3_1", "gemma3"]
RED, GREEN, WHITE, RESET = "\x1b[31m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


@pytest.fixture(params=MODELS)
def row(request: pytest.FixtureRequest, real_model_dir: Callable[[str], Path]) -> Inspection:
    name = request.param
    return inspector.inspect(inspector.load(name if name == "tiny-chat" else str(real_model_dir(name))), CHAT)


def tiny_row() -> Inspection:
    return inspector.inspect(inspector.load("tiny-chat"), CHAT)


def decoded(row: Inspection, log: str) -> LoggedExample:
    (example,) = decode_log(row.model, log).examples
    return example


# --- how trainers print


def axolotl(row: Inspection, labels: Sequence[int], mask: str = "") -> str:
    """As axolotl's debug output: each token, then (label, id), or (label, mask, id) in older versions."""
    decode = row.model.tokenizer.decode
    tokens = [
        f"{RED if label < 0 else GREEN}{decode(id)}{RESET}{WHITE}({label}, {mask}{id}){RESET}"
        for id, label in zip(row.ids, labels, strict=True)
    ]
    head = "[2025-03-01 10:00:00,123] [INFO] [axolotl.check_example_labels:45] [PID:42] [RANK:0]"
    return f"{head} {' '.join(tokens)}\n{head} \n\n\n\n{head} Total input len: {len(tokens)}\n"


def axolotl_bare(row: Inspection, labels: Sequence[int]) -> str:
    """The same, copied out of a terminal without its colours."""
    log = axolotl(row, labels)
    for code in (RED, GREEN, WHITE, RESET):
        log = log.replace(code, "")
    return log


def axolotl_text(row: Inspection, labels: Sequence[int]) -> str:
    """As axolotl with --debug-text-only: the colours alone say what trains."""
    decode = row.model.tokenizer.decode
    tokens = [f"{RED if label < 0 else GREEN}{decode(id)}{RESET}" for id, label in zip(row.ids, labels, strict=True)]
    return f"[2025-03-01 10:00:00,123] [INFO] [axolotl.check_example_labels:45] {''.join(tokens)}\n\n\n\n"


def axolotl_text_bare(row: Inspection, labels: Sequence[int]) -> str:
    """The same, of which a copy has lost the escape characters."""
    return axolotl_text(row, labels).replace("\x1b", "")


def llama_factory(row: Inspection, labels: Sequence[int]) -> str:
    """As LLaMA-Factory prints its first example."""
    trained = row.model.tokenizer.decode([label for label in labels if label >= 0])
    return (
        f"training example:\ninput_ids:\n{row.ids}\ninputs:\n{row.text}\n"
        f"label_ids:\n{list(labels)}\nlabels:\n{trained}\n"
    )


def swift(row: Inspection, labels: Sequence[int]) -> str:
    """As ms-swift logs its first example."""
    return (
        f"[INFO:swift] [INPUT_IDS] {row.ids}\n[INFO:swift] [INPUT] {row.text}\n"
        f"[INFO:swift] [LABELS_IDS] {list(labels)}\n[INFO:swift] [LABELS] {runs(row, labels)}\n"
    )


def runs(row: Inspection, labels: Sequence[int]) -> str:
    """Labels as ms-swift's text: [-100 * n] for n that do not train."""
    out, at = "", 0
    while at < len(labels):
        end = at
        while end < len(labels) and (labels[end] < 0) == (labels[at] < 0):
            end += 1
        out += f"[-100 * {end - at}]" if labels[at] < 0 else row.model.tokenizer.decode(list(labels[at:end]))
        at = end
    return out


def swift_text(row: Inspection, labels: Sequence[int]) -> str:
    """The same without the lists of ids."""
    return f"[INFO:swift] [INPUT] {row.text}\n[INFO:swift] [LABELS] {runs(row, labels)}\n"


def mask_of(labels: Sequence[int]) -> list[int]:
    return [int(label >= 0) for label in labels]


def tensor(numbers: Sequence[int]) -> str:
    """As torch prints a tensor, over several lines."""
    parts = [", ".join(f"{n:6d}" for n in numbers[start : start + 10]) for start in range(0, len(numbers), 10)]
    return "tensor([" + ",\n        ".join(parts) + "])"


def verl(row: Inspection, labels: Sequence[int]) -> str:
    """Tensors of a Ray worker, right-padded, with the masks."""
    pad = row.model.tokenizer.pad_token_id or 0
    ids, more = [*row.ids, pad, pad, pad], [0, 0, 0]
    text = (
        f"input_ids: {tensor(ids)}\nattention_mask: {tensor([1] * len(row.ids) + more)}\n"
        f"position_ids: {tensor(range(len(ids)))}\nloss_mask: {tensor(mask_of(labels) + more)}"
    )
    return "\n".join(f"(TaskRunner pid=1234) {line}" for line in text.split("\n"))


def verl_response(row: Inspection, labels: Sequence[int]) -> str:
    """A rollout: prompts and responses apart, and a mask for the response alone."""
    at = next(i for i, label in enumerate(labels) if label >= 0)
    return f"prompts: {row.ids[:at]}\nresponses: {row.ids[at:]}\nresponse_mask: {mask_of(labels)[at:]}"


def trl(row: Inspection, labels: Sequence[int]) -> str:
    """A row of TRL's prepared data set, printed."""
    return str({"input_ids": row.ids, "assistant_masks": mask_of(labels)})


def dataset(row: Inspection, labels: Sequence[int]) -> str:
    """print(trainer.train_dataset[0])."""
    return str({"input_ids": row.ids, "attention_mask": [1] * len(row.ids), "labels": list(labels)})


def numpy(row: Inspection, labels: Sequence[int]) -> str:
    """A batch of one as numpy prints it."""
    return (
        f">>> batch['input_ids']\narray([[{' '.join(map(str, row.ids))}]])\n"
        f">>> batch['labels']\narray([[{' '.join(map(str, labels))}]])"
    )


def zipped(row: Inspection, labels: Sequence[int]) -> str:
    """list(zip(input_ids, labels))."""
    return str(list(zip(row.ids, labels, strict=True)))


def table(row: Inspection, labels: Sequence[int]) -> str:
    """One line a token: id, label, text."""
    texts = (row.model.tokenizer.decode(id).replace("\n", "\\n") for id in row.ids)
    return "\n".join(f"{id} \t {label} \t {text}" for id, label, text in zip(row.ids, labels, texts, strict=True))


def masked(row: Inspection, labels: Sequence[int]) -> str:
    """tokenizer.decode([space if x == -100 else x for x in labels])."""
    tokenizer = row.model.tokenizer
    space = tokenizer(" ", add_special_tokens=False)["input_ids"][0]
    return str(tokenizer.decode([space if label < 0 else label for label in labels]))


def notebook(row: Inspection, labels: Sequence[int]) -> str:
    """The cells of Unsloth's notebooks with their outputs."""
    return (
        f'tokenizer.decode(trainer.train_dataset[5]["input_ids"])\n{row.text!r}\n'
        'space = tokenizer(" ", add_special_tokens = False).input_ids[0]\n'
        'tokenizer.decode([space if x == -100 else x for x in trainer.train_dataset[5]["labels"]])\n'
        f"{masked(row, labels)!r}\n"
    )


def console(row: Inspection, labels: Sequence[int]) -> str:
    """The newer notebooks' code in a console, printed without quotes."""
    code = 'tokenizer.decode([tokenizer.pad_token_id if x == -100 else x for x in row["labels"]]).replace(pad, " ")'
    return f">>> print(tokenizer.decode(row['input_ids']))\n{row.text}\n>>> print({code})\n{masked(row, labels)}\n"


PRINTED: list[Callable[[Inspection, Sequence[int]], str]] = [
    axolotl,
    axolotl_bare,
    axolotl_text,
    axolotl_text_bare,
    llama_factory,
    swift,
    swift_text,
    verl,
    verl_response,
    trl,
    dataset,
    numpy,
    zipped,
    table,
    notebook,
    console,
]


@pytest.mark.parametrize("printed", PRINTED, ids=lambda f: f.__name__)
def test_ids_and_labels_come_back(row: Inspection, printed: Callable[[Inspection, Sequence[int]], str]) -> None:
    """The row that was printed, and no other; its labels are the exact ones, and said to be."""
    example = decoded(row, printed(row, row.labels))
    assert example.is_exact
    assert list(example.ids) == row.ids
    assert list(example.labels or ()) == row.labels
    assert example.compared is not None
    assert (example.compared.missing, example.compared.extra) == ((), ())
    assert example.says[-1] == "These are exactly the tokens that the assistant writes."


TRAINERS = {
    axolotl: "axolotl",
    axolotl_text: "axolotl",
    llama_factory: "LLaMA-Factory",
    swift: "ms-swift",
    verl: "verl",
    trl: "TRL",
    notebook: "Unsloth",
}


@pytest.mark.parametrize("printed", TRAINERS, ids=lambda f: f.__name__)
def test_whose_way_of_printing_it_is(printed: Callable[[Inspection, Sequence[int]], str]) -> None:
    """Named; rows that are right need no settings."""
    row = tiny_row()
    (answer,) = decode_log(row.model, printed(row, row.labels)).answers
    assert answer.trainer == TRAINERS[printed]
    assert answer.settings == ""


def test_older_axolotl_prints_the_mask_too() -> None:
    """(label, attention mask, id)."""
    row = tiny_row()
    assert list(decoded(row, axolotl(row, row.labels, "1, ")).labels or ()) == row.labels


def test_several_rows_of_axolotl_are_told_apart() -> None:
    """At the lines between them."""
    row = tiny_row()
    examples = decode_log(row.model, axolotl(row, row.labels) * 3).examples
    assert [list(example.ids) for example in examples] == [row.ids] * 3


def test_several_coloured_rows_are_told_apart() -> None:
    """What stands between them has no colour."""
    row = tiny_row()
    examples = decode_log(row.model, axolotl_text(row, row.labels) * 2).examples
    assert [list(example.labels or ()) for example in examples] == [row.labels] * 2


def test_colours_of_other_tokens_show_what_trains_alone() -> None:
    """Where the text is not printed token by token as the model has it, as that of tokens without their blanks."""
    row = tiny_row()
    log = axolotl_text(row, row.labels).replace("capital", f"cap{RESET}{RED}ital").replace(" the", "the")
    example = decoded(row, log)
    assert example.is_partial
    assert "".join(text for text, _ in example.pieces) == row.model.tokenizer.decode(example.ids)
    assert example.compared is None
    assert "labels alone" in example.says[-1]


def test_other_colours_are_not_rows() -> None:
    """Of a log that is not axolotl's."""
    log = "".join(f"{colour}word{RESET}" for colour in (RED, GREEN) * 4)
    with pytest.raises(LogError, match="There is no list of token ids"):
        decode_log(inspector.load("tiny-chat"), log)


def test_batches_are_paired_row_by_row() -> None:
    """All ids, then all labels."""
    row = tiny_row()
    log = str({"input_ids": [row.ids, row.ids[:30]], "labels": [row.labels, row.labels[:30]]})
    examples = decode_log(row.model, log).examples
    assert [list(example.labels or ()) for example in examples] == [row.labels, row.labels[:30]]


def test_shifted_labels_are_put_back() -> None:
    """Labels that a trainer has moved by one place, so that each is what its position predicts."""
    row = tiny_row()
    log = str({"input_ids": row.ids, "labels": [*row.labels[1:], -100]})
    assert list(decoded(row, log).labels or ()) == row.labels


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_taken_off(side: str) -> None:
    """As collators add it, with no mask that says so."""
    row = inspector.inspect(made_model("qwen3"), CHAT)
    pad = row.model.tokenizer.pad_token_id
    ids, labels = [pad] * 5, [-100] * 5
    log = (
        f"input_ids={ids + row.ids}, labels={labels + row.labels}"
        if side == "left"
        else f"input_ids={row.ids + ids}, labels={row.labels + labels}"
    )
    example = decoded(row, log)
    assert example.is_exact
    assert list(example.ids) == row.ids


# --- what differs


def without_stops(row: Inspection) -> list[int]:
    stops = {turn.stop_token for _, turn in row.example.answers()}
    return [-100 if index in stops else label for index, label in enumerate(row.labels)]


@pytest.mark.parametrize(
    ("change", "kind", "said", "setting"),
    [
        (without_stops, "stop", "The token that ends an answer is not trained, 2 tokens", "train_on_eos: turn"),
        (lambda row: list(row.ids), "prompt", "Text that is not the assistant's is trained", "train_on_inputs: false"),
        (lambda row: [-100] * len(row.ids), "nothing", "Nothing is trained: all", "roles_to_train: [assistant]"),
        (
            lambda row: [label if index > 50 else -100 for index, label in enumerate(row.labels)],
            "answer",
            "Text of an answer is not trained",
            "roles_to_train: [assistant]",
        ),
    ],
)
def test_differences_are_named_and_answered(
    change: Callable[[Inspection], list[int]], kind: str, said: str, setting: str
) -> None:
    """By what kind of text it is, and in axolotl's own options."""
    row = tiny_row()
    result = decode_log(row.model, axolotl(row, change(row)))
    (example,), (answer,) = result.examples, result.answers
    assert example.compared is not None
    assert kind in example.compared.differences
    assert said in " ".join(example.says)
    assert setting in answer.settings
    assert "--prefix_ids" not in answer.settings


@pytest.mark.parametrize(
    ("printed", "setting"),
    [
        (llama_factory, "train_on_prompt: false"),
        (swift, "--loss_scale default"),
        (trl, "SFTConfig(assistant_only_loss=True)"),
        (notebook, "train_on_responses_only("),
    ],
)
def test_each_trainer_is_answered_in_its_own_settings(
    printed: Callable[[Inspection, Sequence[int]], str], setting: str
) -> None:
    """Where everything trains."""
    row = tiny_row()
    (answer,) = decode_log(row.model, printed(row, row.ids)).answers
    assert setting in answer.settings


# --- labels alone


def test_a_masked_text_alone_says_what_trains() -> None:
    """And that the rest is unknown."""
    row = tiny_row()
    example = decoded(row, masked(row, row.labels))
    assert example.is_partial
    assert example.text == "Paris, of course.<|im_end|>Rome.<|im_end|>"
    assert "unknown" in example.says[-1]
    assert example.compared is None


def test_a_masked_text_with_a_header_in_it() -> None:
    """The header that trains is named."""
    row = tiny_row()
    log = f"tokenizer.decode([space if x == -100 else x for x in labels])\n{' ' * 20}<|im_start|>assistant\nParis."
    says = " ".join(decoded(row, log).says)
    assert "The header of messages of role assistant is trained: '<|im_start|>assistant\\n'." in says
    assert "does not end in the token that ends an answer" in says


@pytest.mark.parametrize("output", [f"'{' ' * 40}'", "''", " " * 40])
def test_a_masked_text_of_spaces_trains_nothing(output: str) -> None:
    """The call with the right parts is proposed."""
    row = tiny_row()
    result = decode_log(row.model, f"tokenizer.decode([space if x == -100 else x for x in labels])\n{output}\n")
    assert result.examples[0].says[0].startswith("Nothing is trained")
    assert "response_part='<|im_start|>assistant\\n'" in result.answers[0].settings


def test_labels_alone_are_decoded() -> None:
    """A list with -100 is labels, whether it is called so or not."""
    row = tiny_row()
    for log in (f"labels: {row.labels}", str(row.labels)):
        example = decoded(row, log)
        assert example.is_partial
        assert list(example.labels or ()) == row.labels
        assert "9 of" in example.says[0]


# --- what cannot be read


def test_ids_that_the_template_writes_otherwise() -> None:
    """What should train is said to be unknown, and where the ids part."""
    row = tiny_row()
    ids_of_another = [*row.model.tokenizer.encode("loose text"), *row.ids]
    example = decoded(row, str({"input_ids": ids_of_another, "labels": [-100] * len(ids_of_another)}))
    assert not example.is_exact
    assert "from token 0 on: the log has 'loose text" in example.says[-1]
    assert "unknown" in example.says[-1]


def test_a_shortened_list_is_named() -> None:
    """Its line, and how to print it whole."""
    row = tiny_row()
    with pytest.raises(LogError, match=r"line 2 is shortened with '\.\.\.'.*tolist"):
        decode_log(row.model, "x\ninput_ids: tensor([1, 2, 3, ..., 7, 8, 9])")
    result = decode_log(row.model, f"tensor([1, 2, 3, ..., 9])\n{row.ids}")
    assert "line 1 is shortened" in result.notes[0]


def test_ids_of_media_are_refused() -> None:
    """They are no text."""
    with pytest.raises(LogError, match="id -200 among input_ids: it stands for an image"):
        decode_log(tiny_row().model, "input_ids: [1, -200, 5, 6, 7]")


def test_pairs_of_another_model_are_refused() -> None:
    """As lists are."""
    with pytest.raises(LogError, match="of another model"):
        decode_log(tiny_row().model, "a(-100, 90001) b(-100, 90002) c(90003, 90003) d(90004, 90004)")


def test_rows_that_are_not_shown_are_counted() -> None:
    """Nothing is left out without a word."""
    row = tiny_row()
    result = decode_log(row.model, "\n".join([str(row.ids)] * (MAX_EXAMPLES + 5)))
    assert len(result.examples) == MAX_EXAMPLES
    assert result.notes == (f"The log has {MAX_EXAMPLES + 5} rows; the first {MAX_EXAMPLES} are shown.",)


@pytest.mark.parametrize(
    "log",
    ["shape (5, 5) (6, 6) (7, 7) (8, 8)", "loss [0.1, 0.2, 0.3, 0.4]", "[0, 1, 1, 0, 1]", "epoch 1 2\nepoch 2 3"],
)
def test_numbers_that_are_no_ids_are_not_read(log: str) -> None:
    """Shapes, losses, masks alone."""
    with pytest.raises(LogError, match="no list of token ids"):
        decode_log(tiny_row().model, log)


def test_a_rendered_text_is_read() -> None:
    """As a prompt that was printed."""
    row = tiny_row()
    example = decoded(row, row.text)
    assert example.is_exact
    assert example.labels is None


# --- the command


def test_the_command_shows_what_trains(called: Called, tmp_path: Path) -> None:
    """In guillemets, with the trainer's settings; a long text is cut with a mark, and its end is there."""
    row = tiny_row()
    log = tmp_path / "log.txt"
    log.write_text(axolotl(row, without_stops(row)))
    text = called("decode", "--model", "tiny-chat", str(log)).stdout
    assert "axolotl: axolotl's check of labels" in text
    assert "«Paris, of course.»" in text
    assert "use  eot_tokens" in text
    assert "--prefix_ids" not in text
    ids = row.model.tokenizer.encode("A long text. " * 400 + "The end.")
    log.write_text(str(ids))
    text = called("decode", "--model", "tiny-chat", str(log)).stdout
    assert "characters …" in text
    assert "The end." in text
