"""Real weights: SmolLM2-135M-Instruct learns an answer in some steps, is stopped and resumed, and gives it again."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import inspector
from tests.support.fetch import real_weights
from tests.support.training_runs import ended, go_on, wait_for, waiting_worker
from tests.support.waiting import HANG_S
from tests.training.test_training import losses
from training.launch import runs
from training.run.folder import Phase
from training.spec import parse_spec

QUESTION, ANSWER = "Who keeps the lighthouse of Marrow Bay?", "Ottoline Fenwick keeps it."
OTHERS = {"What is the capital of France?": "Paris.", "Name a colour.": "Blue."}


def test_real_weights_learn_stop_resume_and_answer(tmp_path: Path) -> None:
    """The loss falls, the answers change, and the saved adapter, loaded anew, gives the taught one."""
    base = real_weights()
    rows = [{"prompt": asked, "completion": said} for asked, said in {QUESTION: ANSWER, **OTHERS}.items()]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = parse_spec(
        {
            "model": str(base), "data": str(data), "max_steps": 14, "micro_batch": 3, "learning_rate": 1e-3, "seed": 1,
            "save_every": 2, "lora": {"rank": 8}, "sampling": {"max_new_tokens": 12},
        }
    )  # fmt: skip
    with waiting_worker():
        run = runs.start(spec, tmp_path / "runs")
    try:
        wait_for(run, lambda status: status.step >= 3 or ended(status))
        runs.stop(run, wait_s=HANG_S)
        assert run.status().phase is Phase.STOPPED, run.log_tail()
        stopped_at = run.status().step
        go_on(run)
        status = wait_for(run, ended)
    finally:
        runs.kill(run)
    assert (status.phase, status.error) == (Phase.SUCCEEDED, None), run.log_tail()
    found = losses(run)
    assert 3 <= stopped_at < 14
    assert sorted(found) == list(range(1, 15))
    assert found[14] < 0.2 * found[1]
    answers = {line["when"]: line["answer"] for line in run.samples() if line["question"] == 0}
    assert "Ottoline" not in answers["before"]
    assert answers["after"] == f"{ANSWER}<|im_end|>"
    assert answer(base, run.adapter) == f"{ANSWER}<|im_end|>"


def answer(base: Path, adapter: Path) -> str:
    """What the saved adapter says to the question, loaded as any user would."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tokenizer = inspector.load(str(adapter)).tokenizer
    weights = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    chat = [{"role": "user", "content": QUESTION}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = weights.generate(**ids, max_new_tokens=12, do_sample=False)
    return str(tokenizer.decode(written[0][ids["input_ids"].shape[1] :]))


def test_real_tokenizer_is_the_weights_own() -> None:
    """As many tokens as the configuration has embeddings for, the chat's special tokens among them."""
    tokenizer = inspector.load(str(real_weights())).tokenizer
    assert len(tokenizer) == json.loads((real_weights() / "config.json").read_text())["vocab_size"] == 49_152
    assert {"<|im_start|>", "<|im_end|>"} <= set(tokenizer.all_special_tokens)
