"""Trainers' messages as people paste them: each is recognised, and answered in its trainer's own settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import inspector
from inspector.inspection import inspect_rendered
from inspector.model.model import Model
from inspector.samples import sample_conversations
from inspector.strategies import label
from inspector.trainers.decode import Answer, decode_log
from inspector.trainers.decode.known import KNOWN
from inspector.trainers.decode.log_text import plain, squashed, unprefixed
from tests.support.models import model as made_model

LOGS: list[tuple[str, str]] = [
    ("home-llm", "[1, 2, 3, 4]\nwarning! example had no assistant response in it!"),
    (
        "TRL",
        "WARNING:trl.trainer.sft_trainer:Mismatch between tokenized prompt and the start of tokenized prompt+"
        "completion.",
    ),
    ("TRL", "[RANK 0] Mismatch between tokenized prompt and the start of tokenized prompt+chosen. This may be"),
    ("TRL", "UserWarning: The tokenized prompt is not a prefix of the tokenized prompt+completion, usually because"),
    ("TRL", "ValueError: Chosen and rejected prompt_input_ids might only differ on the last token due to merges"),
    ("TRL", "RuntimeError: You're using `assistant_only_loss=True`, but at least one example has no assistant tokens."),
    (
        "TRL",
        "[rank1]: RuntimeError: You\u2019re using \u2018assistant_only_loss=True\u2019, but at least "
        "one example has\n[rank1]: no assistant tokens.",
    ),
    ("TRL", "ValueError: The chat template is not training-compatible (missing prefix-preservation"),
    ("TRL", "ValueError: You set `assistant_only_loss=True`, but the dataset is not conversational."),
    (
        "TRL",
        "UserWarning: Could not find response key `### Answer:` in the following instance: Hi "
        "This instance will be ignored",
    ),
    ("TRL", "Could not find instruction key `### Human:` in the following instance: Hi"),
    (
        "transformers",
        "return_assistant_tokens_mask==True but chat template does not contain `{% generation %}` keyword.",
    ),
    ("Unsloth", "ZeroDivisionError: Unsloth: All labels in your dataset are -100. Training losses will be all 0."),
    ("Unsloth", "Unsloth: Most labels in your dataset are -100. Training losses will be 0."),
    ("Unsloth", "Unsloth: Nearly all labels in your dataset are -100."),
    ("Unsloth", "Unsloth: All VLM labels in your dataset are -100."),
    ("Unsloth", "Unsloth: Removed 12 out of 43 samples from train_dataset where all labels were -100"),
    ("Unsloth", "UserWarning: Unsloth: 41/43 samples have all -100 labels"),
    ("Unsloth", "ValueError: Unsloth: response_part could not be resolved to a stable token sequence"),
    ("LLaVA", "WARNING: tokenization mismatch: 55 vs. 52. (ignored)"),
    (
        "LLaVA",
        "2023-07-25 10:11:12.345 | WARNING  | __main__:preprocess_function:813 - "
        "tokenization mismatch: 1 vs. 81.  (ignored)",
    ),
    ("FastChat", "WARNING: tokenization mismatch: 185 vs. 186. #turn = 3. (ignored)"),
    ("InternVL", "WARNING: tokenization mismatch: 1 vs. 329. #turn = 6. (ignored). This dataset is product_entity."),
    (
        "axolotl",
        "[2025-03-01 10:00:00,123] [INFO] [axolotl.utils.trainer:304] [PID:42] [RANK:0] "
        "Dropped 7 samples with no trainable tokens from train dataset",
    ),
    ("axolotl", "[axolotl.prompt_strategies.chat_template:368] EOT token '<|eot|>' not found in chat_template."),
    ("axolotl", "WARNING EOS token '</s>' not found in chat_template; the turn terminator"),
    ("axolotl", "[tokenize_prompt:330] EOS token missing after turn {'from': 'human', 'value': 'x'}. eos_idx: 12"),
    ("axolotl", "Last turn is not trainable, skipping having to find the turn indices."),
    ("axolotl", "Could not find content start boundary for turn 2"),
    ("axolotl", "Content end boundary is the same as start boundary for turn 1."),
    ("verl", "AssertionError: MultiTurnSFTDataset apply_chat_template to each turn separately and concat `input_ids`"),
    ("verl", "WARNING:2025-09-15 12:00:00,000:Token mismatch detected! Full tokenization length: 128"),
    ("verl", "(WorkerDict pid=77) Inconsistent training and inference tokenization detected (strict)."),
]
"""(whose it is, the log)."""


@pytest.fixture(scope="module")
def tiny() -> Model:
    return inspector.load("tiny-chat")


@pytest.mark.parametrize(("trainer", "log"), LOGS)
def test_each_message_is_named(tiny: Model, trainer: str, log: str) -> None:
    """By its trainer, once, with what it means."""
    answers = decode_log(tiny, log).answers
    assert [answer.trainer for answer in answers] == [trainer]
    assert trainer in answers[0].meaning


def test_every_known_message_has_a_log_here() -> None:
    """A message that is added comes with its text."""
    texts = [squashed(unprefixed(plain(log))) for _, log in LOGS]
    assert [message.pattern.pattern for message in KNOWN if not any(map(message.pattern.search, texts))] == []


WRAPS: dict[str, Callable[[str], str]] = {
    "time and level": lambda log: f"2025-01-02 03:04:05,678 - WARNING - {log}",
    "transformers' logger": lambda log: f"[WARNING|sft_trainer.py:990] 2025-01-02 03:04:05,678 >> {log}",
    "rank": lambda log: f"[rank0]:[W102 03:04:05] {log}",
    "ray": lambda log: f"(TaskRunner pid=123, ip=10.0.0.1) {log}",
    "colours": lambda log: f"\x1b[33m{log}\x1b[0m",
    "colours without escapes": lambda log: f"[33m{log}[0m",
    "wrapped": lambda log: "\n".join(log[start : start + 31] for start in range(0, len(log), 31)),
    "wrapped with prefixes": lambda log: "\n".join(
        f"(TaskRunner pid=9) {log[start : start + 31]}" for start in range(0, len(log), 31)
    ),
    "rich box": lambda log: "\n".join(f"│ {log[start : start + 60]:<60} │" for start in range(0, len(log), 60)),
    "pytest": lambda log: f"E   {log}",
    "quoted": lambda log: f"> {log}",
    "traceback": lambda log: (
        f'Traceback (most recent call last):\n  File "train.py", line 88, in <module>\n    f()\n{log}'
    ),
    "windows": lambda log: f"loading\r\n{log}\r\n 10%|#    | 1/10\r",
    "json": lambda log: '{"message": "' + log.replace("\n", "\\n").replace('"', '\\"') + '"}',
    "upper case": str.upper,
}


@pytest.mark.parametrize("how", WRAPS)
@pytest.mark.parametrize(("trainer", "log"), [LOGS[1], LOGS[5], LOGS[12], LOGS[19], LOGS[30]])
def test_what_a_logger_or_terminal_adds_changes_nothing(tiny: Model, how: str, trainer: str, log: str) -> None:
    """Prefixes, colours, line ends anywhere."""
    decoded = decode_log(tiny, WRAPS[how](log))
    assert [answer.trainer for answer in decoded.answers] == [trainer]
    assert decoded.examples == ()


def answer_of(model: Model, log: str) -> Answer:
    (answer,) = decode_log(model, log).answers
    return answer


def test_trls_mismatch_is_shown_where_it_happens(tiny: Model) -> None:
    """A line end at the beginning of an answer merges with the header's: the tokens are named, and what mends it."""
    answer = answer_of(tiny, LOGS[1][1])
    assert "in 2 of 19 built-in conversations" in answer.causes[0]
    assert (
        "the tokens merge at the end of the prompt: alone it goes on with '\\n', in the row with '\\n\\nLike"
        in answer.causes[0]
    )
    assert "SFTConfig(assistant_only_loss=True)" in answer.settings
    assert "prefix_ids" not in answer.settings


def test_trls_mismatch_that_does_not_happen_is_unknown(real_model_dir: Callable[[str], Path]) -> None:
    """No cause is claimed, and nothing is proposed."""
    answer = answer_of(inspector.load(str(real_model_dir("qwen3"))), LOGS[1][1])
    assert "the cause is not shown here" in answer.causes[0]
    assert answer.settings == ""


THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and enable_thinking is defined "
    "and not enable_thinking %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
    "<think></think>{% else %}<think>\n{% endif %}{% endif %}"
)


def test_a_template_option_is_proposed_where_it_mends_every_row() -> None:
    """The template opens a thought that no row has; without thinking, prompt and row agree."""
    model = inspector.load("tiny-chat", template=THINKS)
    answer = answer_of(model, LOGS[1][1])
    assert "the template ends the prompt in '<think>\\n'" in answer.causes[0]
    assert "With enable_thinking=False" in answer.causes[1]
    assert answer.settings == 'row["chat_template_kwargs"] = {"enable_thinking": False}'


def test_preference_trainers_are_not_offered_sfts_settings(tiny: Model) -> None:
    """DPO has no assistant_only_loss."""
    answer = answer_of(tiny, LOGS[2][1])
    assert answer.settings == ""
    assert "preference trainer" in answer.causes[-1]


def test_missing_generation_tags_are_answered_with_a_proven_template(real_model_dir: Callable[[str], Path]) -> None:
    """TRL has no twin of this template; the one that is proposed is proven."""
    answer = answer_of(inspector.load(str(real_model_dir("qwen3"))), LOGS[5][1])
    assert "TRL refuses this template" in answer.causes[0]
    assert 'chat_template_path="training_template.jinja"' in answer.settings
    assert "exactly what traced trains" in answer.settings


def test_a_template_that_marks_answers_leaves_the_rows(tiny: Model) -> None:
    """The error comes of a row without an answer, then."""
    answer = answer_of(tiny, LOGS[5][1])
    assert "It marks tokens in 19 of 19" in answer.causes[1]
    assert "A row without an assistant message" in answer.causes[1]


UNSLOTH = (
    'trainer = train_on_responses_only(trainer, instruction_part="<|im_start|>user\\n", '
    'response_part="<|im_start|>assistant\\n")\n'
    "ZeroDivisionError: Unsloth: All labels in your dataset are -100."
)


def test_unsloths_parts_are_those_of_the_models_template(real_model_dir: Callable[[str], Path]) -> None:
    """Those in the log find nothing in Llama's renders; those that are proposed train every answer."""
    model = inspector.load(str(real_model_dir("llama3_1")))
    answer = answer_of(model, UNSLOTH)
    assert "something trains in 0 of 19" in answer.causes[0]
    assert "response_part stands in none of them" in " ".join(answer.causes)
    assert "exactly the answers in 19 of 19" in answer.settings
    parts = {
        "instruction_part": "<|start_header_id|>user<|end_header_id|>\n\n",
        "response_part": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    }
    assert all(f"{name}={text!r}" in answer.settings for name, text in parts.items())
    row = inspector.inspect(model, [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    assert label(row.example, "responses_only", parts).trained == row.labelled.trained


def test_unsloths_parts_that_fit_leave_template_or_truncation(real_model_dir: Callable[[str], Path]) -> None:
    """Which of the two is said to be unknown."""
    answer = answer_of(inspector.load(str(real_model_dir("qwen3"))), UNSLOTH)
    assert "something trains in 19 of 19" in answer.causes[0]
    assert "max_seq_length" in answer.causes[1]
    assert "unknown" in answer.causes[1]


def test_llavas_numbers_are_read(tiny: Model) -> None:
    """All rows of the log; rows in which nothing is counted are told apart."""
    log = "WARNING: tokenization mismatch: 55 vs. 52. (ignored)\nWARNING: tokenization mismatch: 1 vs. 60. (ignored)"
    answer = answer_of(tiny, log)
    assert answer.causes[0].startswith("It counts 55 tokens where the row has 52")
    assert "2 rows" in answer.causes[0]
    assert answer.causes[1].startswith("In 1 of 2 not one round is counted")
    assert "puts 0 before a text and 0 after it, so each round's count is off by 1" in answer.causes[2]
    assert answer.settings.startswith("--version")


def test_what_a_tokenizer_puts_before_a_round_is_measured(real_model_dir: Callable[[str], Path]) -> None:
    """Llama's tokenizer puts bos there, as the count expects."""
    answer = answer_of(inspector.load(str(real_model_dir("llama3_1"))), LOGS[19][1])
    assert "puts 1 before a text and 0 after it, as expected" in answer.causes[1]


def test_axolotl_is_told_the_token_that_ends_turns() -> None:
    """In its own options."""
    answer = answer_of(made_model("llama3"), LOGS[24][1])
    assert 'eot_tokens: ["<|eot_id|>"]' in answer.settings
    assert "train_on_eos: turn" in answer.settings


def test_verls_messages_one_at_a_time(tiny: Model, real_model_dir: Callable[[str], Path]) -> None:
    """Qwen3 writes an empty thought in the last answer alone; the embedded template writes each message the same."""
    answer = answer_of(inspector.load(str(real_model_dir("qwen3"))), LOGS[30][1])
    assert "in 19 of 19" in answer.causes[0]
    assert "<think>" in answer.causes[0]
    assert "data.ignore_input_ids_mismatch=True" in answer.settings
    assert "not shown here" in answer_of(tiny, LOGS[30][1]).causes[0]


@pytest.mark.parametrize("key", ["`<|im_start|>assistant`", "[396, 673, 901]"])
def test_trls_key_is_laid_beside_the_ids_in_context(tiny: Model, key: str) -> None:
    """A key's ids, in how many conversations they occur, and those to give the collator."""
    wanted = list(decode_log(tiny, LOGS[12][1]).markers.prefix_ids or ())
    answer = answer_of(tiny, f"RuntimeError: Could not find response key {key} in token IDs tensor([1, 2, 3])")
    assert "they occur in" in answer.causes[0]
    assert f"response_template={wanted}" in answer.settings


def test_two_messages_are_both_answered(tiny: Model) -> None:
    """In the order of the table."""
    decoded = decode_log(tiny, f"{LOGS[19][1]}\n{LOGS[12][1]}")
    assert [answer.trainer for answer in decoded.answers] == ["Unsloth", "LLaVA"]
    assert decoded.to_dict()["meanings"] == [answer.meaning for answer in decoded.answers]


def test_the_documentation_names_every_trainer() -> None:
    """Whose messages are known is in docs/commands.md."""
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## A trainer's message")[2].partition("\n## ")[0]
    assert [message.trainer for message in KNOWN if message.trainer not in section] == []
    samples = len(inspect_rendered(inspector.load("tiny-chat"), sample_conversations()))
    assert f"{samples} built-in conversations" in section
