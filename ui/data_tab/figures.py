"""A report -> charts, and the same in words. Pure functions: report in, plotly figure or sentence out.

The colours of bars are visible on either theme's background; text and lines take the theme's colours from style.css.
Trained tokens are filled and others hollow, so that nothing depends on colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspector.audit.report import KEPT_TURNS, AuditReport
from inspector.audit.summary import quantile

TRAINED, PLAIN, LIMIT = "#0f8f7c", "#7b8794", "#c73545"
BARS = 40
"""Approximate number of bars in the histogram."""
_HEIGHT, _BAR_PX, _EDGES_PX = 260, 34, 84


# --- lengths


def length_bins(lengths: Mapping[int, int], bars: int = BARS) -> tuple[int, list[int]]:
    """(width, rows in each bin) of a histogram whose bins begin at 0; the longest 0.5% of rows may share the last bin.

    Widths are 1, 2 or 5 times a power of ten. The last bin holds all rows from its start on.
    """
    longest = max(lengths, default=0)
    reach = max(1, min(longest, 2 * quantile(lengths, 0.995)))
    width = next(size for power in range(10) for size in (10**power, 2 * 10**power, 5 * 10**power)
                 if size * bars > reach)  # fmt: skip
    bins = [0] * (reach // width + 1)
    for length, rows in lengths.items():
        bins[min(length // width, len(bins) - 1)] += rows
    return width, bins


def length_figure(report: AuditReport) -> Any:
    """A histogram of the rows' lengths, with max_length as a line if it is set. None without rows."""
    if not report.lengths:
        return None
    width, bins = length_bins(report.lengths)
    limit = _max_length(report)
    reach = width * len(bins)
    ends = [f"{i * width:,} to {(i + 1) * width - 1:,}" for i in range(len(bins))]
    if max(report.lengths, default=0) >= reach:
        ends[-1] = f"{(len(bins) - 1) * width:,} and more"
    figure = _figure(_HEIGHT, x_title="tokens", y_title="rows")
    figure.add_bar(
        x=[(i + 0.5) * width for i in range(len(bins))], y=bins, width=width, customdata=ends,
        marker={"color": TRAINED, "line": {"width": 1, "color": "rgba(255,255,255,0.35)"}},
        hovertemplate="%{customdata} tokens: %{y:,} rows<extra></extra>",
    )  # fmt: skip
    if limit is not None and limit <= 1.5 * reach:
        figure.add_vline(x=limit, line={"color": LIMIT, "width": 2, "dash": "dash"})
        figure.add_annotation(
            x=limit, y=1, yref="paper", yanchor="bottom", text=f"max_length {limit:,}", showarrow=False,
            xanchor="right" if limit > reach / 2 else "left",
        )  # fmt: skip
    figure.update_xaxes(range=[0, max(reach, 0 if limit is None or limit > 1.5 * reach else limit * 1.02)])
    figure.update_yaxes(dtick=_whole(max(bins)))
    return figure


def length_text(report: AuditReport) -> str:
    """The histogram in words."""
    lengths = report.lengths
    if not lengths:
        return "No row was inspected."
    half, most, nearly = (quantile(lengths, share) for share in (0.5, 0.9, 0.99))
    summary = (
        f"Half of the rows have up to {half:,} tokens, 90% up to {most:,}, 99% up to {nearly:,}; the longest has "
        f"{max(lengths):,}."
    )
    limit = _max_length(report)
    if limit is None:
        return summary
    over = sum(rows for length, rows in lengths.items() if length > limit)
    return f"{summary} max_length {limit:,} cuts {_of(over, report.inspected)} and takes {report.cut:,} trained tokens."


def _max_length(report: AuditReport) -> int | None:
    value = report.about.get("modifiers", {}).get("max_length")
    return value if isinstance(value, int) else None


# --- trained tokens


def role_figure(report: AuditReport) -> Any:
    """Trained and other tokens of each role. None without tokens."""
    return _shares(_roles(report))


def role_text(report: AuditReport) -> str:
    """The same in words, and the trained share of all tokens."""
    whole = f"{_percent(report.trained, report.tokens)} of all tokens are trained"
    text = f"{_percent(report.boilerplate, report.trained)} of them are the template's text"
    return f"{whole}; {text}. {_share_text(_roles(report))}".rstrip()


def turn_figure(report: AuditReport) -> Any:
    """Trained and other tokens of the first, second, ... assistant turn. None without tokens."""
    return _shares(_turns(report))


def turn_text(report: AuditReport) -> str:
    """The same in words."""
    return _share_text(_turns(report)) or "No row has an assistant turn."


def _roles(report: AuditReport) -> list[tuple[str, Sequence[int]]]:
    return sorted(report.roles.items(), key=lambda item: (-item[1][1], item[0]))


def _turns(report: AuditReport) -> list[tuple[str, Sequence[int]]]:
    names = [f"answer {i + 1}" for i in range(len(report.turns))]
    if len(names) == KEPT_TURNS:
        names[-1] += " and later"
    return list(zip(names, report.turns, strict=True))


def _shares(entries: Sequence[tuple[str, Sequence[int]]]) -> Any:
    if not entries:
        return None
    names = [name for name, _ in entries]
    figure = _figure(_EDGES_PX + _BAR_PX * len(entries), x_title="tokens", y_title="")
    sure = {"orientation": "h", "y": names}
    trained = [count for _, (_, _, count) in entries]
    figure.add_bar(
        **sure, x=trained, name="trained", marker={"color": TRAINED}, cliponaxis=False,
        hovertemplate="%{y}: %{x:,} tokens are trained<extra></extra>",
    )  # fmt: skip
    figure.add_bar(
        **sure, x=[tokens - count for _, (_, tokens, count) in entries], name="not trained",
        marker={"color": "rgba(0,0,0,0)", "line": {"color": PLAIN, "width": 1.5}},
        text=[_percent(count, tokens) for _, (_, tokens, count) in entries], textposition="outside", cliponaxis=False,
        hovertemplate="%{y}: %{x:,} tokens do not train<extra></extra>",
    )  # fmt: skip
    longest = max(tokens for _, (_, tokens, _) in entries)
    figure.update_layout(barmode="stack", showlegend=True)
    figure.update_xaxes(range=[0, 1.25 * max(1, longest)])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def _share_text(entries: Sequence[tuple[str, Sequence[int]]]) -> str:
    said = [f"{name} {_percent(own, tokens)} of {tokens:,}" for name, (_, tokens, own) in entries[:6]]
    rest = f", and {len(entries) - 6} more" if len(entries) > 6 else ""
    return f"Tokens that train: {', '.join(said)}{rest}." if said else ""


# --- all of them


def _figure(height: int, *, x_title: str, y_title: str) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    axis = {
        "gridcolor": "rgba(127,127,127,0.25)",
        "zeroline": False,
        "automargin": True,
        "tickformat": "~s",
        "tickangle": 0,
    }
    figure.update_layout(
        template="none", height=height, margin={"l": 8, "r": 16, "t": 28, "b": 44}, bargap=0.25, showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", dragmode=False,
        font={"family": "system-ui, sans-serif", "size": 12, "color": PLAIN},
        legend={
            "orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal", "itemclick": False,
            "itemdoubleclick": False,
        },
        xaxis={**axis, "title": {"text": x_title, "standoff": 4}, "fixedrange": True},
        yaxis={**axis, "title": {"text": y_title, "standoff": 6}, "fixedrange": True},
    )  # fmt: skip
    return figure


def _whole(most: int) -> int | None:
    """The distance of ticks if few whole numbers are shown; None leaves it to plotly."""
    return 1 if most <= 5 else None


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"


def _of(rows: int, all_of_them: int) -> str:
    return f"{rows:,} of {all_of_them:,} rows ({_percent(rows, all_of_them)})"
