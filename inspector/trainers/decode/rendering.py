"""Messages of trainers that render turns: axolotl and verl.

As in `trl`, a named cause was shown, and settings have the trainer's own names.
"""

from __future__ import annotations

from inspector.errors import InspectorError, short
from inspector.strategies import Example
from inspector.trainers.decode.case import Case, Shown, stop_texts


def axolotl_stop(case: Case) -> Shown:
    """The token that ends turns in this model's renders."""
    stops = stop_texts(case.rows)
    causes = [f"The template ends an answer in {' or '.join(map(repr, stops)) or 'no one token'}."]
    eos = case.model.tokenizer.eos_token
    causes.append(f"The tokenizer's eos_token is {eos!r}" + ("." if eos in stops else ", which is not it."))
    if not stops:
        return Shown(causes=tuple(causes))
    listed = ", ".join(f'"{stop}"' for stop in stops)
    return Shown(causes=tuple(causes), settings=f"eot_tokens: [{listed}]\ndatasets:\n  - train_on_eos: turn")


def axolotl_turns(case: Case) -> Shown:
    """axolotl's settings for trained text; the rows show which text is missed."""
    return Shown(
        settings="datasets:\n  - type: chat_template\n    roles_to_train: [assistant]\n    train_on_eos: turn\n"
        "# roles and fields of other names: message_property_mappings, roles"
    )


def verl_turns(case: Case) -> Shown:
    """Tests whether this template writes messages one at a time as it writes them together."""
    differs, first = 0, ""
    for row in case.rows:
        try:
            joined = _one_at_a_time(row.example)
        except InspectorError as error:
            joined, why = None, f"a message alone is refused: {short(str(error), 300)}"
        else:
            why = f"the messages one at a time give {short(repr(joined), 300)}"
        if joined != row.text:
            differs += 1
            first = first or f"The first: {why}; together {short(repr(row.text), 300)}."
    if not differs:
        return Shown(
            causes=(
                f"In {case.tried} this template writes messages one at a time as it writes them together: the cause is "
                "not shown here, and is in the rows.",
            )
        )
    return Shown(
        causes=(f"It happens with this model's template in {differs} of {case.tried}. {first}",),
        settings="data.ignore_input_ids_mismatch=True   # trains the ids of the messages one at a time\n"
        "# or a template that writes each message the same wherever it stands",
    )


def _one_at_a_time(example: Example) -> str:
    """The joined renders of each message alone; text that the template writes before any message is kept once.

    Raises InspectorError if the template refuses one.
    """
    messages = example.conversation.messages
    blank = {"role": "user", "content": ""}
    parts = example.texts([example.with_messages([message]) for message in messages])
    try:
        one, two = example.texts([example.with_messages([blank]), example.with_messages([blank, blank])])
        before = one[: max(0, 2 * len(one) - len(two))]
    except InspectorError:
        before = example.tokenizer.bos_token or ""
    return parts[0] + "".join(part.removeprefix(before) for part in parts[1:])


def verl_rollout(case: Case) -> Shown:
    """verl's check of a rollout's ids; it cannot be repeated without the rollout."""
    return Shown(
        causes=(*verl_turns(case).causes[:1],),
        settings="actor_rollout_ref.rollout.multi_turn.tokenization_sanity_check_mode=ignore_strippable",
    )
