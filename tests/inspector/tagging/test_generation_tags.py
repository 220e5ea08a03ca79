"""Generation tags are written into every template here, nothing else changes, and what cannot be proven is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.conversation import Conversation
from inspector.errors import TemplateSyntaxError, TemplateTimeoutError
from inspector.inspection import inspect
from inspector.model.model import Model
from inspector.rendering import sandbox
from inspector.tagging import write as generation_tags
from inspector.tagging.rewrites import AROUND_ANSWER, CAPTURED_TURN
from inspector.tagging.source import TemplateSourceError, inner_loops, message_loops, read_pieces, without_tags
from inspector.tagging.trl_status import TrlUse, trl_status
from inspector.tagging.write import ALREADY_TAGGED, has_tags, prove, write_training_template
from tests import generation_table, oracle
from tests.support import models

CONVERSATIONS = oracle.conversations()
NAMES = generation_table.names()

CHATML_DIFF = r"""
--- chat_template.jinja
+++ training_template.jinja
@@ -1,9 +1,20 @@
 {#- ChatML: every message between <|im_start|>ROLE and <|im_end|>, whatever the role; content verbatim. -#}
 {%- for message in messages %}
+    {%- set turn %}
     {%- if message.content is not string %}
         {{- raise_exception('chatml writes text only: message ' ~ loop.index0 ~ ' has no text content') }}
     {%- endif %}
     {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
+    {%- endset -%}
+    {%- if message['role'] == 'assistant' and turn.startswith('<|im_start|>assistant\n') -%}
+        {%- set start = '<|im_start|>assistant\n' | length -%}
+        {%- set end = turn | length - ('\n' if turn.endswith('<|im_end|>\n') else '') | length -%}
+        {{- turn[:start] -}}
+        {%- generation -%}{{- turn[start:end] -}}{%- endgeneration -%}
+        {{- turn[end:] -}}
+    {%- else -%}
+        {{- turn -}}
+    {%- endif -%}
 {%- endfor %}
 {%- if add_generation_prompt %}
     {{- '<|im_start|>assistant\n' }}
"""

HEAD = "{{ '<|im_start|>' + m.role + '\n' }}"
BODY = "{{ m.content }}{{ '<|im_end|>\n' }}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
WITH_TAGS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{{ '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}{{ m.content }}{{ '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}" + PROMPT
)
"""A small template, and the same with tags as a person would write them."""
SMALL = "{% for m in messages %}" + HEAD + BODY + "{% endfor %}" + PROMPT


def made(source: str) -> Model:
    """A model of a template made here."""
    return models.model_of(models.model("chatml").tokenizer, source)


def is_kept(source: str, patched: str) -> bool:
    """Whether every character of the source is in the patched template, in order."""
    rest = iter(patched)
    return all(character in rest for character in source)


# --- what is written


@pytest.mark.parametrize("name", NAMES)
def test_tags_are_written_into_every_template(real_model_dir: Callable[[str], Path], name: str) -> None:
    """Proven, but for the named exceptions: also on the corpus of the tests, which the prover does not know."""
    if name.startswith("real/"):
        real_model_dir(name.removeprefix("real/"))
    found, model = generation_table.written(name), generation_table.model(name)
    assert found.proven == (name not in generation_table.EXCEPTIONS), found.reason
    if found.template is None or has_tags(model.template):
        return
    assert has_tags(found.template)
    assert found.rewrite == AROUND_ANSWER or is_kept(model.template, found.template)
    proof = prove(model.template, found.template, model, CONVERSATIONS)
    assert proof.proven, proof.reason
    assert proof.conversations == len(CONVERSATIONS)


KEPT = "{% set ns = namespace(kept=[]) %}{% for x in messages %}{% set ns.kept = ns.kept + [X] %}{% endfor %}"
WAYS = {
    "dicts made anew": KEPT.replace("X", "{'role': x.role, 'content': x.content}")
    + "{% for m in ns.kept %}" + HEAD + BODY + "{% endfor %}" + PROMPT,
    "a list made anew, under another name": KEPT.replace("X", "x")
    + "{% set chosen = ns.kept %}{% for m in chosen %}" + HEAD + BODY + "{% endfor %}" + PROMPT,
    "a filtered list": "{% set some = messages | selectattr('role') | list %}{% for m in some %}" + HEAD + BODY
    + "{% endfor %}" + PROMPT,
    "a line between turns, and none before the first": "{% for m in messages %}{{ m.role + ': ' + m.content }}"
    "{{ '<|im_end|>' }}{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\nassistant: ' }}{% endif %}",
    "the last turn left open": "{% for m in messages %}" + HEAD + "{{ m.content }}{% if not loop.last %}"
    "{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_end|>\n<|im_start|>assistant\n' }}{% endif %}",
    "a keyword that transformers keeps for itself": "{% for m in messages %}" + HEAD + "{{ m.content }}"
    "{% if not (loop.last and continue_final_message is defined and continue_final_message) %}{{ '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}" + PROMPT,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_tags_are_written_however_the_template_walks(way: str) -> None:
    """Loops over lists made anew, separators instead of ends, open last turns."""
    model = models.model_of(oracle.byte_tokenizer(["<|im_start|>", "<|im_end|>"]), WAYS[way])
    found = write_training_template(model)
    assert found.template is not None, found.reason
    proof = prove(model.template, found.template, model, CONVERSATIONS)
    assert proof.proven, proof.reason


@pytest.mark.parametrize("name", ["qwen3", "llama3", "chatml"])
def test_what_is_proven_holds_for_a_tokenizer_with_merges(name: str) -> None:
    """There tokens straddle the seams between header and answer."""
    model = models.model(name)
    found = write_training_template(model)
    assert found.template is not None, found.reason
    proof = prove(model.template, found.template, model, CONVERSATIONS)
    assert proof.proven, proof.reason


@pytest.mark.parametrize(
    "name", ["real/qwen3", "real/llama3_2", "real/gemma3", "trl/gemma4_v5", "trl/nemotron_3_nano", "built in/llama-2"]
)
def test_transformers_own_mask_is_what_traced_trains(real_model_dir: Callable[[str], Path], name: str) -> None:
    """Through `apply_chat_template(return_assistant_tokens_mask=True)`, on every conversation that renders."""
    if name.startswith("real/"):
        real_model_dir(name.removeprefix("real/"))
    model, patched = generation_table.model(name), generation_table.written(name).template
    compared = 0
    for title, conversation in CONVERSATIONS.items():
        try:
            theirs = masked(model, conversation, patched)
        except Exception:  # refusals are compared by the prover
            continue
        ours = inspect(model, conversation, modifiers={"as_given": ["all"]})
        assert theirs["input_ids"] == ours.ids, title
        assert theirs["assistant_masks"][1:] == ours.trained[1:], title
        compared += 1
    assert compared > len(CONVERSATIONS) / 2


def test_other_tokens_by_transformers_own_lookup_are_named() -> None:
    """GLM writes no stop token: where an answer ends in a character of several tokens, only the first is looked up."""
    found = generation_table.written("trl/glm4moe")
    assert found.proven
    assert "('sample 7') transformers' own lookup takes other tokens" in found.reason


def masked(model: Model, conversation: Conversation, template: str | None) -> Any:
    """Ids and mask of transformers."""
    return model.tokenizer.apply_chat_template(
        list(conversation.messages),
        chat_template=template,
        tools=None if conversation.tools is None else list(conversation.tools),
        documents=None if conversation.documents is None else list(conversation.documents),
        return_dict=True,
        return_assistant_tokens_mask=True,
        **conversation.keywords,
    )


def test_what_is_written_can_be_read() -> None:
    """The whole change to ChatML."""
    found = generation_table.written("built in/chatml")
    assert "\n" + found.diff + "\n" == CHATML_DIFF


def test_the_json_form_has_three_keys() -> None:
    """As the command line prints it."""
    found = write_training_template(made(SMALL))
    assert found.to_dict() == {"proven": True, "reason": found.reason, "template": found.template}


@pytest.mark.parametrize(
    "source",
    [
        SMALL.replace("{% for m in messages %}", "{% for m in messages -%}").replace("{% endfor", "{%- endfor"),
        SMALL.replace("{% for m in messages %}", "{% for m in messages %}\n  ").replace("{% endfor", "\n  {% endfor"),
        SMALL.replace("{% for m in messages %}", "{%+ for m in messages +%}\n").replace("{% endfor", "{%+ endfor"),
        SMALL.replace("{% endfor %}", "{% else %}nobody{% endfor %}"),
        "{#- {% for m in messages %} -#}\r\n" + SMALL.replace("{% endfor", "\r\n{% endfor"),
        "{% raw %}{% for m in messages %}{% endraw %}" + SMALL,
        SMALL.replace("{% for m in messages %}", "{% for i in range(messages | length) %}{% set m = messages[i] %}"),
        "{% set turn = 1 %}{% set start = 2 %}" + SMALL,
        "{% if tools %}" + SMALL + "tools{% else %}" + SMALL + "{% endif %}",
    ],
    ids=["strips", "lines", "keeps", "else", "windows", "raw", "numbers", "names", "two loops"],
)
def test_ways_to_write_a_loop(source: str) -> None:
    """Whitespace control, an else, comments, line ends, numbers, taken names, and a loop in each branch."""
    found = write_training_template(made(source))
    assert found.template is not None, found.reason
    assert found.rewrite == CAPTURED_TURN
    assert is_kept(source, found.template)


# --- templates with tags


def test_right_tags_are_left_alone() -> None:
    """A template that is tagged well is its own training template."""
    found = write_training_template(made(WITH_TAGS))
    assert (found.template, found.rewrite, found.diff) == (WITH_TAGS, ALREADY_TAGGED, "")
    assert "tags already. Over" in found.reason


def test_wrong_tags_are_named_and_written_anew() -> None:
    """A template that trains the line end behind the stop token."""
    wrong = WITH_TAGS.replace("{% endgeneration %}{{ '\\n' }}", "{{ '\\n' }}{% endgeneration %}").replace(
        "{% endgeneration %}{{ '\n' }}", "{{ '\n' }}{% endgeneration %}"
    )
    assert wrong != WITH_TAGS
    found = write_training_template(made(wrong))
    assert found.proven
    assert "is marked; traced: not trained: stands after the stop token. Written anew: Over" in found.reason
    assert "{% if true %}" in str(found.template)


# --- what the proof notices

PROOF = {"two turns": CONVERSATIONS["two turns"], "null answer": CONVERSATIONS["null answer"]}


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        (WITH_TAGS.replace("m.content", "m.content | trim"), "'edges'.*the text differs from character 17 on"),
        (WITH_TAGS.replace("'assistant'", "'user'", 1), "is marked; traced: not trained: not the text of a trained"),
        (WITH_TAGS.replace("{{ '<|im_end|>' }}{% endgen", "{% endgen"), "the text differs"),
        (SMALL, "is not marked; traced: trained: the assistant's own words"),
        (WITH_TAGS.replace("{{ m.content }}{{ '<|", "{{ m.content + '<|"), "only the patched template refuses it"),
        (WITH_TAGS.replace("assistant\n", "assistant\n\n"), "with a generation prompt: the text differs"),
        ("{{ 1 +", "only the patched template refuses it: The chat template does not compile"),
    ],
    ids=["text", "role", "stop token", "no tags", "refusal", "prompt", "syntax"],
)
def test_a_wrong_patch_is_noticed(patched: str, said: str) -> None:
    """Another text, other refusals, another prompt, other tokens: each is told with its conversation."""
    edges = Conversation.parse([{"role": "user", "content": "  Which?  "}, {"role": "assistant", "content": "That."}])
    proof = prove(SMALL, patched, made(SMALL), {**PROOF, "edges": edges})
    assert not proof.proven
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(proof.reason)


def test_a_refusal_that_is_gone_is_noticed() -> None:
    """A patch must not render what the original refuses."""
    strict = SMALL.replace(HEAD, HEAD + "{% if m.content is not defined %}{{ raise_exception('no') }}{% endif %}")
    proof = prove(strict, WITH_TAGS, made(strict), PROOF)
    assert "Conversation 'null answer': the original refuses it" in proof.reason


# --- what is refused


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ messages[0].content }}", "has no loop over its messages"),
        ("{% for t in tools or [] %}{{ t }}{% endfor %}{{ messages[-1].content }}", "has no loop over its messages"),
        ("{% macro all() %}" + SMALL + "{% endmacro %}{{ all() }}", "inside a `macro` block"),
        ("{% set all %}" + SMALL + "{% endset %}{{ all }}", "inside a `set` block"),
        ("{% filter trim %}" + SMALL + "{% endfilter %}", "inside a `filter` block"),
        ("{% for a, b in messages | map('items') %}{{ a }}{% endfor %}", "has no variable for one message"),
        ("{% for i in range(messages | length) %}{{ messages[i + 0].content }}{% endfor %}", "no variable for one"),
    ],
    ids=["no loop", "other loop", "macro", "set", "filter", "pairs", "numbers"],
)
def test_sources_without_a_place_for_tags_are_refused(source: str, said: str) -> None:
    """Each with what stands in the way."""
    with pytest.raises(TemplateSourceError, match=said):
        message_loops(source)


def test_the_reason_is_handed_on() -> None:
    """A loop in a macro: no template, and why."""
    found = write_training_template(made("{% macro all() %}" + SMALL + "{% endmacro %}{{ all() }}"))
    assert (found.proven, found.template) == (False, None)
    assert "inside a `macro` block" in found.reason


def test_a_template_without_assistant_turns_is_refused() -> None:
    """There is nothing to train."""
    found = write_training_template(made("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"))
    assert found.reason == "The template renders no assistant turn in any of the conversations that were tried."


@pytest.mark.parametrize("word", ["continue", "break"])
def test_text_that_would_be_lost_is_noticed(word: str) -> None:
    """What a turn has written before it leaves its round early is not in the captured text."""
    source = SMALL.replace(BODY, BODY + "{% if m.role == 'narrator' %}{% " + word + " %}{% endif %}")
    found = write_training_template(made(source))
    assert not found.proven
    assert found.reason.startswith("Conversation 'unknown role': the text differs from character")


def test_a_header_that_the_text_does_not_tell_is_refused() -> None:
    """Where the prompt depends on the number of messages no literal opens a turn; the failure is named."""
    prompt = PROMPT.replace(" }}", " if messages | length < 3 else '<|im_' }}")
    found = write_training_template(made(SMALL.replace(PROMPT, prompt)))
    assert not found.proven
    assert found.reason.startswith("Conversation 'sample 12': token")
    assert "is not marked; traced: trained: template text inside the answer" in found.reason


# --- hostile templates


@pytest.mark.parametrize(
    "hostile",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(30) %}{% endfor %}{% endfor %}",
    ],
    ids=["for ever", "a moment each"],
)
def test_a_hostile_template_is_given_up(hostile: str) -> None:
    """After 10 seconds of CPU time at most, whether one render takes for ever or each a little less than allowed."""
    write_training_template(made(SMALL))  # a child is ready
    before = sandbox.spent_s()
    with pytest.raises(TemplateTimeoutError, match=r"was stopped|was given up"):
        write_training_template(made(hostile + SMALL))
    assert sandbox.spent_s() - before < 10


def test_a_slow_template_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many renders that are each allowed are too many together."""
    monkeypatch.setattr(generation_tags, "PATIENCE_S", -1.0)  # a clock may have stood still during one render
    monkeypatch.setattr(generation_tags, "PATIENCE_PER_RENDER_S", 0.0)
    with pytest.raises(TemplateTimeoutError, match="for 1 small conversations and was given up"):
        write_training_template(made(SMALL))


def test_a_template_that_does_not_compile_is_an_error() -> None:
    """There is no conversation to blame."""
    with pytest.raises(TemplateSyntaxError, match="does not compile"):
        write_training_template(made("{% for m in messages %}"))


# --- reading the source


@pytest.mark.parametrize("name", oracle.stored_templates())
def test_pieces_are_what_stands_in_the_source(name: str) -> None:
    """Tags are found where they stand, also with Windows line ends."""
    for source in (oracle.stored_templates()[name], oracle.stored_templates()[name].replace("\n", "\r\n")):
        pieces = read_pieces(source)
        tags = [piece for piece in pieces if piece.opens]
        assert all(source[piece.start :].startswith(piece.opens) for piece in tags)
        assert all(source[: piece.end].endswith(piece.closes) for piece in tags)
        assert [piece.start for piece in pieces] == sorted(piece.start for piece in pieces)
        assert len(tags) == sum(source.count(mark) for mark in ("{%", "{{")) - in_comments(source)


def in_comments(source: str) -> int:
    """Tags and braces that Jinja does not read: in comments and strings."""
    inside = 0
    for piece in read_pieces(source):
        text = source[piece.start : piece.end]
        hidden = text[len(piece.opens) :] if piece.opens else text
        inside += sum(hidden.count(mark) for mark in ("{%", "{{"))
    return inside


def test_loops_that_quote_other_messages_are_found() -> None:
    """Gemma 4 writes the results of a call inside the call's turn."""
    source = oracle.stored_templates()["trl/gemma4"]
    (loop,) = message_loops(source)
    assert len(inner_loops(source, loop)) == 1


def test_tags_that_are_left_out_change_nothing() -> None:
    """They become tags that do nothing, with the same whitespace control."""
    assert without_tags("a {%- generation %} b {% endgeneration -%} c") == "a {%- if true %} b {% endif -%} c"


# --- what trl does


@pytest.mark.parametrize(
    ("name", "use", "prompt_text", "after_stop"),
    [
        ("trl/llama3", TrlUse.TWIN, "", ""),
        ("trl/qwen2_5", TrlUse.TWIN, "\n", "\n"),
        ("trl/deepseekv3", TrlUse.TWIN, "<｜Assistant｜>", ""),
        ("trl/lfm2_2_5", TrlUse.AS_IT_IS, "", "\n"),
        ("tiny-chat", TrlUse.AS_IT_IS, "", ""),
        ("trl/gemma4", TrlUse.REFUSED, "", ""),
    ],
)
def test_what_trl_does_with_a_template(name: str, use: TrlUse, prompt_text: str, after_stop: str) -> None:
    """Swapped, taken or refused, and what it trains that it should not."""
    status = trl_status(generation_table.model(name))
    assert (status.use, status.prompt_text, status.after_stop) == (use, prompt_text, after_stop)
    assert ("generation prompt supplies" in status.reason) == bool(prompt_text)
    assert ("follows the stop token" in status.reason) == bool(after_stop)
    assert (status.template is None) == (use is TrlUse.REFUSED)


def test_a_twin_that_writes_other_text_is_named() -> None:
    """TRL's Qwen3 always writes a think block."""
    status = trl_status(generation_table.model("trl/qwen3"))
    assert status.changes_text
    assert "writes some conversations differently" in status.reason


def test_a_proven_template_is_one_that_trl_takes_as_it_is() -> None:
    """And it trains nothing that it should not."""
    model = generation_table.model("built in/chatml")
    status = trl_status(model.with_template(str(generation_table.written("built in/chatml").template)))
    assert (status.use, status.prompt_text, status.after_stop) == (TrlUse.AS_IT_IS, "", "")
