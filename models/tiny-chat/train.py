"""Make Tiny Chat, the embedded default model: from the lists below to a folder that `from_pretrained` loads.

    python models/tiny-chat/train.py [--out DIR] [--steps N]

The lists in world.py describe a small world: capitals, opposites, colours, animal sounds, small sums, days, counting,
small talk and two tools. Four steps turn it into a model:

1. `world` (facts.py) turns the lists into facts, each with several wordings; one wording per fact is held back.
2. `train_tokenizer` learns a byte-level BPE of 2,048 tokens from the facts and some prose.
3. `train_model` draws chats about the facts (chats.py), renders them with `chat_template.jinja`, and trains a small
   Llama on the tokens between the template's generation tags: the assistant's answers and the token that stops them.
4. `report` lets the saved model answer greedily, compares token by token, and prints what share it got right.

With the default number of steps this takes about five minutes on two idle cores; `--steps 3` runs everything in seconds
and saves a model that knows nothing, which the printed shares then say.

Everything is seeded. The same `tokenizers` release gives the same tokenizer.json, byte for byte, whatever `--steps`
is. The same torch build on the same machine gives the same weights; another processor may round differently.

It downloads nothing, uses no GPU, and teaches no knowledge beyond its lists: Tiny Chat is there to be looked into.
"""

import argparse
import itertools
import json
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from chats import Chat, draw_chat, said
from facts import Fact, world
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer
from world import ADD_TOOL, PROSE, SEED, WEATHER_TOOL

HERE = Path(__file__).resolve().parent
FRESH_SEED = 2
STEPS, BATCH, WARMUP = 2000, 16, 50
MATRIX_RATE, OTHER_RATE = 0.02, 0.01
THREADS = 2
VOCABULARY, CONTEXT = 2048, 1024

END_OF_TEXT, PAD, START, STOP, TOOL_CALL = "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>", "<|tool_call|>"

# How text is cut before merging; a merge never crosses a cut. Line breaks stay with the signs before them, so that
# "?\n\n" can become one token.
CUTS = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+(?:'\p{L}{1,2}\b)?",  # a word, with one space or sign before it: " cat", "(cat", "It's"
    r"\p{N}{1,3}",  # up to three digits
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",  # signs, with the line breaks after them
    r"\s*[\r\n]+",  # line breaks, with the white space before them
    r"\s+(?!\S)",  # white space, less the last one if a word follows
    r"\s+",
)


def tokenizer_text(topics: dict[str, list[Fact]]) -> Iterator[str]:
    """Write every fact down in a few ways, with the line breaks that chats and plain transcripts have."""
    yield from [PROSE] * 8
    yield from (json.dumps(tool) for tool in (WEATHER_TOOL, ADD_TOOL) * 4)
    yield from (str(number) for number in range(100) for _ in range(8))
    for each in itertools.chain(*topics.values()):
        for wording in each.wordings[:4]:
            yield f"{wording}\n\n{each.answer}\n"
        yield f"{each.wordings[0]}\n{each.answer}\n\n"
        yield from [each.answer.upper()] * 2


def train_tokenizer(topics: dict[str, list[Fact]]) -> Tokenizer:
    """Learn a byte-level BPE; the special tokens get the first ids."""
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex("|".join(CUTS)), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, spell])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, PAD, START, STOP, TOOL_CALL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tokenizer_text(topics), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, out: Path) -> FastTokenizer:
    """Write the three tokenizer files and load them the way everybody else will."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": STOP,
        "pad_token": PAD,
        "additional_special_tokens": [END_OF_TEXT, START, TOOL_CALL],
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    template = out / "chat_template.jinja"
    if not (template.exists() and template.samefile(HERE / template.name)):
        shutil.copyfile(HERE / template.name, template)
    return AutoTokenizer.from_pretrained(out, trust_remote_code=False)


# --- the model -------------------------------------------------------------------------------------------------------


def encode(chat: Chat, tokenizer: FastTokenizer) -> tuple[list[int], list[int]]:
    """Render a chat to its token ids and, for each, 1 if the template marks it as the assistant's."""
    options = {"return_dict": True, "return_assistant_tokens_mask": True}
    encoded = tokenizer.apply_chat_template(chat.messages, tools=chat.tools, **options)
    return encoded["input_ids"], encoded["assistant_masks"]


def padded(rows: list[list[int]], fill: int, left: bool = False) -> torch.Tensor:
    """Make rows equally long, filling them up on the right or on the left."""
    width = max(map(len, rows))
    fillings = ([fill] * (width - len(row)) for row in rows)
    return torch.tensor([more + row if left else row + more for row, more in zip(rows, fillings, strict=True)])


def batches(
    topics: dict[str, list[Fact]], tokenizer: FastTokenizer, steps: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield token ids and labels; no chat is drawn twice, and chats of like length share a batch."""
    rng = random.Random(SEED)
    for done in range(0, steps, 16):
        count = min(16, steps - done)
        drawn = (encode(draw_chat(topics, rng), tokenizer) for _ in range(count * BATCH))
        chats = sorted(drawn, key=lambda chat: len(chat[0]))
        for start in rng.sample(range(0, len(chats), BATCH), count):
            batch = chats[start : start + BATCH]
            labels = [[token if ours else -100 for token, ours in zip(*chat, strict=True)] for chat in batch]
            yield padded([ids for ids, _ in batch], tokenizer.pad_token_id), padded(labels, -100)


def new_model(tokenizer: FastTokenizer) -> LlamaForCausalLM:
    """Make a small Llama with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(SEED)
    return LlamaForCausalLM(config)


def new_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Train the matrices with Muon, which needs far fewer steps here, and the embedding and norms with Adam."""
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.0),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """Give the share of the peak learning rate: a short rise, then half a cosine down to nothing."""
    return min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2


def train_model(topics: dict[str, list[Fact]], tokenizer: FastTokenizer, steps: int) -> LlamaForCausalLM:
    """Train on fresh chats, with the loss on the assistant's tokens alone."""
    model = new_model(tokenizer).train()
    optimizers = new_optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, lambda step: rate(step, steps)) for each in optimizers]
    for step, (ids, labels) in enumerate(batches(topics, tokenizer, steps)):
        loss = model(input_ids=ids, labels=labels).loss
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *schedules):
            part.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}", flush=True)
    return model.eval()


def save_model(model: LlamaForCausalLM, out: Path) -> None:
    """Write the weights, rounded to bfloat16, and the two configurations."""
    model.generation_config = GenerationConfig(
        eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id, do_sample=False
    )
    model.to(torch.bfloat16).save_pretrained(out)


# --- the check -------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A prompt, the answer it should get, stop token included, and what to count it under."""

    kind: str
    prompt: list[int]
    answer: list[int]


def cases(chat: Chat, tokenizer: FastTokenizer) -> Iterator[Case]:
    """Cut a chat before each answer of the assistant."""
    ids, mask = encode(chat, tokenizer)
    start = 0
    for ours, run in itertools.groupby(mask):
        end = start + len(list(run))
        if ours:
            yield Case(chat.kind, ids[:start], ids[start:end])
        start = end


def held_chats(topics: dict[str, list[Fact]]) -> Iterator[Chat]:
    """Ask every fact in the one wording that training never used for it."""
    for each in itertools.chain(*topics.values()):
        if each.held:
            yield Chat(each.topic, [said("user", each.held), said("assistant", each.answer)])


def fresh_chats(topics: dict[str, list[Fact]], count: int) -> Iterator[Chat]:
    """Draw chats of all kinds with another seed."""
    rng = random.Random(FRESH_SEED)
    return (draw_chat(topics, rng, held_too=True) for _ in range(count))


@torch.inference_mode()
def answered(model: LlamaForCausalLM, batch: list[Case]) -> list[bool]:
    """Continue each prompt greedily and say whether it gives exactly the answer and stops."""
    prompts = padded([case.prompt for case in batch], model.config.pad_token_id, left=True)
    given = model.generate(
        prompts,
        attention_mask=(prompts != model.config.pad_token_id).long(),
        max_new_tokens=max(len(case.answer) for case in batch),
    )[:, prompts.shape[1] :].tolist()
    return [row[: len(case.answer)] == case.answer for row, case in zip(given, batch, strict=True)]


def report(title: str, model: LlamaForCausalLM, tokenizer: FastTokenizer, chats: Iterable[Chat]) -> None:
    """Print how many answers are exactly right, in all and by kind."""
    todo = sorted((case for chat in chats for case in cases(chat, tokenizer)), key=lambda case: len(case.prompt))
    right, total = Counter(), Counter(case.kind for case in todo)
    for batch in (todo[start : start + 64] for start in range(0, len(todo), 64)):
        right.update(case.kind for case, good in zip(batch, answered(model, batch), strict=True) if good)
    print(f"{title}: {right.total()} of {total.total()} ({right.total() / total.total():.1%})")
    for kind in sorted(total):
        print(f"  {kind}: {right[kind]} of {total[kind]}")


def main() -> None:
    """Make the world, the tokenizer and the model; save them; check what was saved."""
    parser = argparse.ArgumentParser(description="Make Tiny Chat, the embedded default model.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: the script's own)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default: %(default)s)")
    parser.add_argument("--check", type=int, help="chats to ask of each kind (default: all held, 400 fresh)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)

    began = time.perf_counter()
    topics = world()
    tokenizer = save_tokenizer(train_tokenizer(topics), options.out)
    model = train_model(topics, tokenizer, options.steps)
    save_model(model, options.out)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"{len(tokenizer)} tokens, {parameters} parameters, made in {time.perf_counter() - began:.0f} s")

    saved = AutoModelForCausalLM.from_pretrained(options.out)
    held = itertools.islice(held_chats(topics), options.check)
    report("questions in wordings never trained on", saved, tokenizer, held)
    report("fresh chats", saved, tokenizer, fresh_chats(topics, 400 if options.check is None else options.check))


if __name__ == "__main__":
    main()
