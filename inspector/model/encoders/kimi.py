"""Moonshot's tiktoken.model with tokenization_kimi.py: Kimi K2, K2.5, K2.6, K2-Thinking, Linear, Moonlight.

The repository's tokenizer is Python around tiktoken, which is read and never run. Two constants of its class decide the
ids: the pattern that splits text before merging, which separates Chinese, and the number of reserved special tokens.
Both are looked up in the source and compared. A hash of the file would refuse every release that differs in a comment,
and the name of the class alone would accept one that splits differently. Refused are another pattern, another number,
and K3's class, which writes chats itself (`encoding_k3.py`) instead of rendering a template.

tiktoken joins the pair whose join has the lowest rank, however the pair came about, so every split of a token into two
others is a merge here. Kimi's class first splits text into 400,000 characters, and runs of spaces or of other
characters into 25,000 each. It passes tools to the template with sorted keys, and since K2.5 also as TypeScript.
Source: tokenization_kimi.py of moonshotai/Kimi-K2-Instruct, Kimi-K2.6 and Kimi-K3 (2025, 2026); tiktoken 0.14.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import UnsupportedTokenizerError, quoted
from inspector.model.encoders.encoder import Encoder, FilesOf, Loaded
from inspector.model.encoders.typescript import declarations
from inspector.model.failures import json_problem, unreadable
from inspector.model.tokenizer import Tokenizer

VOCABULARY, CODE, CONFIG = "tiktoken.model", "tokenization_kimi.py", "tokenizer_config.json"
_UPPER, _LOWER = (rf"[{kinds}\p{{Lm}}\p{{Lo}}\p{{M}}&&[^\p{{Han}}]]" for kinds in (r"\p{Lu}\p{Lt}", r"\p{Ll}"))
_SHORTENED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(
    [
        r"[\p{Han}]+",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SHORTENED}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SHORTENED}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
"""Kimi's pattern that splits text before merging."""
RESERVED = 256
"""Number of special tokens after the ranks."""
_LONGEST_TEXT = r"\G(?m:(?:.{1000}){400})"
_SPACE = r"\s\x1c-\x1f"
_RUN_STARTS = rf"(?:\G|(?<=[{_SPACE}])(?=[^{_SPACE}])|(?<=[^{_SPACE}])(?=[{_SPACE}]))"
_LONGEST_RUN = _RUN_STARTS + "(?:{})".format(
    "|".join(rf"(?:{kind}{{1000}}){{25}}(?={kind})" for kind in (f"[{_SPACE}]", f"[^{_SPACE}]"))
)
"""A pattern for the separated text, anchored: without an anchor the time would be quadratic in the text's length."""
TOOLS = "kimi_tools"
"""The setting of a tokenizer for the form in which its template gets tools."""
_GIVEN, _TYPESCRIPT = "given", "typescript"
MAX_CODE_BYTES = 200_000
_UNDECLARED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""Errors of `declarations` for a schema that its rules do not cover."""
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")
_SETTINGS = ("additional_special_tokens", "clean_up_tokenization_spaces", "model_max_length", "padding_side")


def _reads(names: Collection[str]) -> bool:
    return {VOCABULARY, CODE} <= set(names) and "tokenizer.json" not in names


def _load(files: FilesOf) -> Loaded:
    from transformers import PreTrainedTokenizerFast

    config = _config(files)
    tools = _tools_of(files, config)
    ranks = _ranks(files)
    core = _core(ranks)
    _add_special_tokens(core, len(ranks), config, files)
    named = {name: content for name in _NAMED if (content := _content(config.get(name))) is not None}
    settings = {name: config[name] for name in _SETTINGS if name in config}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **settings, **named)
    tokenizer.name_or_path = files.name  # earlier, the hub would be asked whether it is one of Mistral's
    tokenizer.init_kwargs[TOOLS] = tools
    templates = _templates(files, config)
    tokenizer.chat_template = templates or None
    return tokenizer, templates


def _prepared(tokenizer: Tokenizer, conversation: Conversation) -> Conversation:
    """The conversation with its tools as the repository's code passes them to the template."""
    kind = tokenizer.init_kwargs.get(TOOLS, _GIVEN)
    if kind == _GIVEN or not conversation.tools:
        return conversation
    tools = tuple(_sorted(tool) for tool in conversation.tools)
    conversation = replace(conversation, tools=tools)
    if kind != _TYPESCRIPT:
        return conversation
    try:
        return conversation.with_keywords(tools_ts_str=declarations(tools))
    except _UNDECLARED:  # Kimi's code also continues without them
        return conversation


def _sorted(value: Any) -> Any:
    """The value with the keys of every object sorted."""
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in sorted(value.items())}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


# --- the repository's code


def _tools_of(files: FilesOf, config: Mapping[str, Any]) -> str:
    """The form of tools that the code passes to the template: "given", "sorted" or "typescript".

    Raises UnsupportedTokenizerError for code that tokenizes or renders differently from this file.
    """
    named = config.get("auto_map", {}).get("AutoTokenizer") if isinstance(config.get("auto_map"), dict) else None
    first = next(iter(named), None) if isinstance(named, list) else named
    if isinstance(first, str) and first.split("--")[-1].rpartition(".")[0] != Path(CODE).stem:
        raise _other(files, f"{CONFIG} names {quoted(first, 80)} as the tokenizer's code")
    kind = _class(files, _path(files, CODE))
    constants = {
        node.targets[0].id: node.value
        for node in kind.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    if _joined(constants["pat_str"]) != PATTERN:
        raise _other(files, f"{CODE} cuts text by another pattern than Kimi K2's")
    if _literal(constants.get("num_reserved_special_tokens")) != RESERVED:
        raise _other(files, f"{CODE} reserves another number of special tokens than {RESERVED}")
    methods = {node.name: ast.unparse(node) for node in kind.body if isinstance(node, ast.FunctionDef)}
    rendering = methods.get("apply_chat_template", "")
    if rendering and "super().apply_chat_template(" not in rendering:
        raise _other(files, f"{CODE} writes chats itself and renders no template, as Kimi K3's does")
    if "encode_tools_to_typescript_style(" in rendering:
        return _TYPESCRIPT
    return "sorted" if "deep_sort_dict(" in rendering else _GIVEN


def _class(files: FilesOf, path: Path) -> ast.ClassDef:
    """The class in the code that has a pattern."""
    if path.stat().st_size > MAX_CODE_BYTES:
        raise _other(files, f"{CODE} has more than {MAX_CODE_BYTES:,} bytes")
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _other(files, f"{CODE} is not Python that can be read") from None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [node for node in classes if any(isinstance(part, ast.Assign) and _sets(part) for part in node.body)]
    if len(found) != 1:
        raise _other(files, f"{CODE} has {len(found)} classes with a pattern (pat_str)")
    return found[0]


def _sets(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "pat_str"


def _joined(node: ast.expr) -> object:
    """The value of a literal, or of a joined literal list."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        separator, parts = _literal(node.func.value), _literal(node.args[0] if len(node.args) == 1 else None)
        is_text = (
            isinstance(separator, str) and isinstance(parts, list) and all(isinstance(part, str) for part in parts)
        )
        return separator.join(parts) if is_text else None
    return _literal(node)


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _other(files: FilesOf, what: str) -> UnsupportedTokenizerError:
    return UnsupportedTokenizerError(
        f"{files.name!r} has its vocabulary in {VOCABULARY}, and {what}; code of a repository is never run here, and "
        "the ids could be wrong. Use a repository with a tokenizer.json and a chat template, such as a converted one."
    )


# --- the vocabulary


def _ranks(files: FilesOf) -> list[bytes]:
    """The tokens by rank, from lines of base64 and rank."""
    ranks: list[bytes] = []
    with open(_path(files, VOCABULARY), "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                encoded, rank = line.split()
                token, is_next = base64.b64decode(encoded, validate=True), int(rank) == len(ranks)
            except ValueError:
                token, is_next = b"", False
            if not token or not is_next:
                raise unreadable(
                    files.name, VOCABULARY, f"line {number} is not the base64 of token {len(ranks)} and its rank"
                )
            ranks.append(token)
    known = set(ranks)
    if len(known) != len(ranks):
        raise unreadable(files.name, VOCABULARY, f"{len(ranks) - len(known)} tokens are there twice")
    if missing := sum(bytes([byte]) not in known for byte in range(256)):
        raise unreadable(files.name, VOCABULARY, f"{missing} of the 256 bytes have no token")
    return ranks


def _core(tokens: list[bytes]) -> Any:
    """The `tokenizers` object that merges as tiktoken does."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = str.maketrans({chr(byte): character for byte, character in bytes_to_unicode().items()})
    ranks = {token: rank for rank, token in enumerate(tokens)}
    texts = [token.decode("latin-1").translate(alphabet) for token in tokens]
    merges: list[tuple[str, str]] = []
    for token in tokens:
        splits = ((ranks.get(token[:at]), ranks.get(token[at:])) for at in range(1, len(token)))
        pairs = sorted((left, right) for left, right in splits if left is not None and right is not None)
        merges.extend((texts[left], texts[right]) for left, right in pairs)
    core = Tokenizer(models.BPE({text: rank for rank, text in enumerate(texts)}, merges, ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LONGEST_TEXT), "merged_with_previous"),
            pre_tokenizers.Split(Regex(_LONGEST_RUN), "merged_with_previous"),
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    return core


def _add_special_tokens(core: Any, start: int, config: Mapping[str, Any], files: FilesOf) -> None:
    """The special tokens of tokenizer_config.json by their ids, and a new name for each remaining id."""
    from tokenizers import AddedToken

    given = config.get("added_tokens_decoder", {})
    try:
        named = {int(id): AddedToken(**token) for id, token in given.items()}
    except (TypeError, ValueError, AttributeError):
        raise unreadable(files.name, CONFIG, "added_tokens_decoder is not an object of ids and tokens") from None
    end = start + RESERVED
    if outside := sorted(id for id in named if not start <= id < end):
        raise unreadable(
            files.name,
            CONFIG,
            f"added_tokens_decoder has a token of id {outside[0]}; the special ones are {start} to {end - 1}",
        )
    for id in range(start, end):
        token = named.get(id) or AddedToken(f"<|reserved_token_{id}|>", special=True, normalized=False)
        core.add_tokens([token])
        if core.token_to_id(token.content) != id:
            raise unreadable(files.name, CONFIG, f"the special token {quoted(token.content)} of id {id} is there twice")


# --- the files


def _templates(files: FilesOf, config: Mapping[str, Any]) -> dict[str, str]:
    own = files.fetch("chat_template.jinja") if "chat_template.jinja" in files.names else None
    if own is not None:
        try:
            return {"default": own.read_text(encoding="utf-8")}
        except UnicodeDecodeError as error:
            raise unreadable(files.name, own.name, f"it is not UTF-8 at byte {error.start}") from None
    given = config.get("chat_template")
    if given is not None and not isinstance(given, str):
        raise unreadable(files.name, CONFIG, "its chat_template is not text")
    return {} if given is None else {"default": given}


def _config(files: FilesOf) -> dict[str, Any]:
    path = files.fetch(CONFIG)
    if path is None:
        return {}
    if problem := json_problem(path):
        raise unreadable(files.name, CONFIG, problem)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _content(token: object) -> str | None:
    """The text of a token that is written as text, or as an object with its text."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _path(files: FilesOf, name: str) -> Path:
    path = files.fetch(name)
    assert path is not None
    return path


KIMI = Encoder(name="kimi", title="Kimi's tiktoken", reads=_reads, load=_load, prepared=_prepared)
