"""What the components of the tabs compute: the editor, findings, batches, scores, charts and the board."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.javascript import evaluated

EDITOR = "inspect_tab/conversation_editor.js"
BATCH = "data_tab/batch_view.js"
FINDINGS = "data_tab/findings_view.js"
SCORES = "train_tab/scores_view.js"
CHART = "train_tab/chart.js"
BOARD = "models_tab/board_view.js"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('[{"role": "user"}]', [{"role": "user"}]),
        ('{"messages": [1], "tools": []}', [1]),
        ('{"messages": {}}', None),
        ("[", None),
        ("", None),
        ("3", None),
    ],
)
def test_messages_are_found_in_either_form(text: str, messages: list[Any] | None) -> None:
    """A list, or an object that has one; null for anything else."""
    call = f"ConversationEditor.messagesOf(ConversationEditor.parsed({json.dumps(text)}))"
    assert evaluated(call, EDITOR) == messages


def test_an_added_message_answers_the_last() -> None:
    """Users and assistants take turns; a user begins."""
    lists = "[[], [{role: 'user'}], [{role: 'tool'}], [null]]"
    roles = evaluated(f"{lists}.map(list => ConversationEditor.following(list).role)", EDITOR)
    assert roles == ["user", "assistant", "user", "user"]


def test_messages_change_places() -> None:
    """Past either end nothing moves."""
    swap = "(a => { ConversationEditor.swap(a, i, k); return a.join(''); })(['a', 'b', 'c'])"
    places = "[[1, 0], [1, 2], [0, -1], [2, 3]]"
    assert evaluated(f"{places}.map(([i, k]) => {swap})", EDITOR) == ["bac", "acb", "abc", "abc"]


def test_a_role_that_is_not_known_stays() -> None:
    """It can be chosen again, and has the colour of the others."""
    known = ["system", "user", "assistant", "tool"]
    assert evaluated("ConversationEditor.rolesFor({role: 'odd'})", EDITOR) == [*known, "odd"]
    assert evaluated("ConversationEditor.rolesFor({role: 'tool'})", EDITOR) == known
    colours = evaluated("[{role: 'odd'}, {role: 'user'}, {}].map(ConversationEditor.roleOf)", EDITOR)
    assert colours == ["other", "user", "other"]


def test_text_is_edited_as_text_and_the_rest_as_json() -> None:
    """Content that is missing is empty text; null is JSON."""
    values = "[['a', 'content'], [undefined, 'content'], [null, 'content'], [{b: 1}, 'x']]"
    written = f"{values}.map(([value, name]) => ConversationEditor.written({{[name]: value}}, name))"
    assert evaluated(written, EDITOR) == [
        {"isText": True, "text": "a"},
        {"isText": True, "text": ""},
        {"isText": False, "text": "null"},
        {"isText": False, "text": '{\n "b": 1\n}'},
    ]


def test_json_that_cannot_be_read_changes_nothing() -> None:
    """The message keeps what it had."""
    read = "(m => [ConversationEditor.read(m, 'a', {}, {}), m.a])({{a: 1}})"
    assert evaluated(read.format("'[2]'", "false"), EDITOR) == [True, [2]]
    assert evaluated(read.format("'[2'", "false"), EDITOR) == [False, 1]
    assert evaluated(read.format("'[2'", "true"), EDITOR) == [True, "[2"]


def test_much_padding_is_drawn_as_one() -> None:
    """More than eight tokens of it, at either side; every other token is one of its own."""
    assert evaluated("BatchView.pieces([1, 0, 0, 1])", BATCH) == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert evaluated("BatchView.pieces([...Array(9).fill(0), 1, 1])", BATCH) == [[0, 9], [9, 10], [10, 11]]
    assert len(evaluated("BatchView.pieces(Array(8).fill(0))", BATCH)) == 8
    assert len(evaluated("BatchView.pieces(Array(20).fill(1))", BATCH)) == 20


def test_a_row_of_a_batch_has_a_title() -> None:
    """Where it is from and what it lost, where it is one row's alone."""
    row = {"total": 1200, "trained": 5, "padding": 2, "boundaries": [2], "sources": [None, None, 0]}
    joined = row | {"padding": 0, "boundaries": [0, 2]}
    data = "{places: ['a.jsonl, line 1'], cut: [7]}"
    titles = evaluated(f"{json.dumps([row, joined])}.map(row => BatchView.title(row, 3, {data}))", BATCH)
    assert titles == [
        {"place": "Row 3 · a.jsonl, line 1", "count": "1,200 tokens: 5 with a label, 2 padding, 7 more cut off"},
        {"place": "Row 3", "count": "1,200 tokens: 5 with a label"},
    ]


def test_texts_of_a_batch_are_seen_whole() -> None:
    """Line ends, tabs, and spaces at the ends; ranges of positions."""
    assert evaluated(r"BatchView.written(' a b\n\t ')", BATCH) == "␣a b⏎⇥␣"
    assert evaluated("[BatchView.range(3, 3), BatchView.range(3, 9)]", BATCH) == ["3", "3–9"]


def test_a_finding_keeps_being_chosen() -> None:
    """While it is there; the first one otherwise, or none."""
    cases = "[[['a', 'b'], 'b'], [['a', 'b'], 'c'], [['a', 'b'], null], [[], 'a']]"
    call = f"{cases}.map(([codes, code]) => FindingsView.kept(codes.map(code => ({{code}})), code))"
    assert evaluated(call, FINDINGS) == ["b", "a", "a", None]


def test_a_finding_is_put_in_figures() -> None:
    """Rows, their share, and how often; a data set without rows has no share."""
    figures = "FindingsView.figures({{rows: {}}}, {})"
    assert evaluated(figures.format(1000, 4000), FINDINGS) == ["1,000", "25.0%"]
    assert evaluated(figures.format(0, 0), FINDINGS) == ["0", ""]
    example = "FindingsView.example({{place: 'a.jsonl, line 2', detail: '{}'}})"
    assert evaluated(example.format("Empty."), FINDINGS) == "a.jsonl, line 2: Empty."
    assert evaluated(example.format(""), FINDINGS) == "a.jsonl, line 2"


def test_clusters_without_a_name_are_one() -> None:
    """Where there are any."""
    clusters = "[3, 0].map(otherClusters => FindingsView.clusters({clusters: [['x', 5]], otherClusters}))"
    assert evaluated(clusters, FINDINGS) == [[["x", 5], ["other", 3]], [["x", 5]]]


def test_a_loss_has_a_shade() -> None:
    """A bound belongs to the shade above it; without a loss there is none."""
    losses = "[null, 0, 0.1, 0.69, 0.7, 2, 3.9, 4, 50]"
    assert evaluated(f"{losses}.map(ScoredTokens.shade)", SCORES) == [0, 0, 1, 1, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    ("key", "current", "to"),
    [
        ("ArrowRight", 1, 2), ("ArrowDown", 4, 4), ("ArrowLeft", 0, 0), ("ArrowUp", 2, 1), ("ArrowUp", -1, 0),
        ("ArrowRight", -1, 0), ("Home", 3, 0), ("End", 0, 4), ("a", 1, None),
    ],
)  # fmt: skip
def test_keys_walk_through_scored_tokens(key: str, current: int, to: int | None) -> None:
    """And stop at the ends."""
    assert evaluated(f"ScoredTokens.move({json.dumps(key)}, {current}, 5)", SCORES) == to


def test_a_scored_token_is_described() -> None:
    """Whether it trains, its loss and the first guess; the first token has nothing before it."""
    row = "{texts: ['a', 'b'], trained: [0, 1], moments: {before: {mean: 2.5}, after: {mean: null}}}"
    scores = "{losses: [null, 1.23456], guesses: ['', '\\u200b'], probabilities: [0, 0.5]}"
    about = evaluated(f"[0, 1].map(i => ScoredTokens.about({row}, {scores}, i))", SCORES)
    assert about[0] == '"a" is not trained; nothing stands before it.'
    assert about[1] == '"b" is trained; loss 1.235 nats; the model\'s first guess is "\\\\u200b", with 50.0 %.'
    assert evaluated(f"ScoredTokens.means({row})", SCORES) == "before 2.500"


def test_a_chart_says_its_newest_values() -> None:
    """In words, and in its lines' names; each line of several is of another kind."""
    series = "{name: 'loss', run: 0, x: [1, 20], y: [3, 1.23456]}, {name: 'eval_loss', run: 1, x: [20], y: [2]}"
    chart = f"{{title: 'loss', series: [{series}]}}"
    assert evaluated(f"Chart.label({chart})", CHART) == "loss 1.235, eval loss 2.000 at step 20"
    traces = evaluated(f"Chart.traces({chart}, ['red', 'blue'])", CHART)
    assert [trace["name"] for trace in traces] == ["loss 1.235", "eval_loss 2.000"]
    assert [(trace["line"]["color"], trace["line"]["dash"]) for trace in traces] == [("red", "solid"), ("blue", "dot")]
    assert [(trace["mode"], trace["marker"]["symbol"]) for trace in traces] == [
        ("lines+markers", "circle"), ("lines+markers", "square")
    ]  # fmt: skip
    layout = evaluated(f"Chart.layout({chart}, 'black', false)", CHART)
    assert layout["yaxis"]["type"] == "linear"
    assert evaluated(f"Chart.layout({chart}, 'black', true)", CHART)["yaxis"]["type"] == "log"
    below = chart.replace("1.23456", "0")
    assert evaluated(f"Chart.layout({below}, 'black', true)", CHART)["yaxis"]["type"] == "linear"
    sizes = evaluated("Chart.sizes({run: 1, x: Array(100).fill(0), y: []})", CHART)
    assert [i for i, size in enumerate(sizes) if size] == list(range(7, 100, 10))
    assert (layout["title"]["text"], layout["uirevision"], layout["showlegend"]) == ("loss 1.235", "loss", True)


TABLE = "train_tab/runs_table.js"


def test_runs_are_sorted_by_any_column() -> None:
    """Numbers as numbers, names as names; what is not known comes last, in both orders."""
    rows = "[{name: 'b', loss: 10}, {name: 'a', loss: null}, {name: 'c', loss: 9}]"
    order = f"(by, isDown) => RunsTable.sorted({rows}, by, isDown).map(row => row.name).join('')"
    asked = "[['loss', false], ['loss', true], ['name', false], ['name', true]]"
    assert evaluated(f"{asked}.map(([by, isDown]) => ({order})(by, isDown))", TABLE) == ["cba", "bca", "abc", "cba"]


def test_times_and_steps_are_written() -> None:
    """As people write them; nothing for what is not known."""
    assert evaluated("[null, 5.4, 65, 3725].map(RunsTable.duration)", TABLE) == ["", "0:05", "1:05", "1:02:05"]
    assert evaluated("[{step: 3, steps: null}, {step: 3, steps: 40}].map(RunsTable.steps)", TABLE) == ["3", "3 of 40"]


@pytest.mark.parametrize(
    ("search", "models", "trainers"),
    [
        ("", ["real/gemma3", "trl/gemma4_v3", "trl/llama3_1", "unsloth/qwen3_instruct"], []),
        ("Gemma 3", ["real/gemma3"], []),
        ("gemma", ["real/gemma3", "trl/gemma4_v3"], []),
        ("v3 GEMMA", ["trl/gemma4_v3"], []),
        ("Llama-3.1", ["trl/llama3_1"], []),
        ("gemma 3 trl", ["real/gemma3"], ["TRL"]),
        ("axo", ["real/gemma3", "trl/gemma4_v3", "trl/llama3_1", "unsloth/qwen3_instruct"], ["axolotl"]),
        ("no masking qwen", ["unsloth/qwen3_instruct"], ["No masking"]),
        ("TRL axolotl llama", ["trl/llama3_1"], ["TRL", "axolotl"]),
        ("unsloth/qwen3", ["unsloth/qwen3_instruct"], []),
        ("gpt", [], []),
    ],
)
def test_the_board_is_searched_by_model_and_trainer(search: str, models: list[str], trainers: list[str]) -> None:
    """Case, spaces and signs do not matter; words in a row that stand together in a name go before words apart."""
    names = ["real/gemma3", "trl/gemma4_v3", "trl/llama3_1", "unsloth/qwen3_instruct"]
    rows = [{"model": name, "trainers": [["No masking"], ["TRL"], ["axolotl"]]} for name in names]
    found = evaluated(f"BoardView.found({json.dumps(search)}, {json.dumps(rows)})", BOARD)
    assert ([row["model"] for row in found["models"]], found["trainers"]) == (models, trainers)


def test_facts_of_a_template_are_said_in_words() -> None:
    """What is not known is left out."""
    facts = "{rendered: 50, exact: 31, official: null, tagged: true, own: false}"
    assert evaluated(f"BoardView.facts({facts}, 63)", BOARD) == (
        "renders 50 of 63 conversations, 31 of them exactly · generation tags proven"
    )
    facts = "{rendered: 55, exact: 48, official: [39, 48], tagged: false, own: true}"
    assert evaluated(f"BoardView.facts({facts}, 63)", BOARD) == (
        "renders 55 of 63 conversations, 48 of them exactly · 39 of 48 as the vendor's encoder writes them · "
        "generation tags not proven · own tokenizer"
    )
