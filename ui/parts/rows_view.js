/** Draws the JSON of rows_view.py: rows of a data set, one below the other.
 * @extends {Component<RowsJson>} */
class RowsView extends Component {
  /** @param {RowsJson | null} data */
  build(data) {
    if (data && data.failure !== undefined) {
      this.root.append(make("p", data.isHint ? "rv-hint" : "rv-failure", visible(data.failure)));
    } else if (data) {
      this.root.append(make("h2", "rv-title", visible(data.title)), ...data.rows.map(row => this.#row(row)));
    }
  }

  /** @param {ShownRow | UnusableRow} row */
  #row(row) {
    const isShown = row.why === undefined;
    const head = make("div", "rv-head", make("h3", "rv-place", visible(row.place)),
      isShown && make("span", "rv-count", say("{n} of {all} tokens are trained", {n: number(row.trained), all: number(row.total)})),
      row.canOpen && this.#openButton(row));
    return make("section", "rv-row" + (isShown ? "" : " unusable"), head,
      isShown ? RowsView.#tokens(row) : make("p", "rv-why", visible(row.why)));
  }

  /** @param {ShownRow | UnusableRow} row */
  #openButton(row) {
    return set(button("Open", "Show this row on the Inspect tab", () => {
      set(this.root, {"aria-busy": true});
      this.page.trigger("open", {number: row.number});
    }), {"aria-label": "Open " + row.place});
  }

  /** @param {ShownRow} row */
  static #tokens({place, texts, classes, turns, roles, total}) {
    const more = moreTokens(total, texts.length);
    return scrollBox("rv-tokens", "Tokens of " + place, ...runsOf(turns).map(([start, end]) => {
      const tokens = texts.slice(start, end).map((text, k) => token(className(classes[start + k]), text));
      const role = roleOf(roles, turns[start]);
      return turnBox(role, make("div", "tv-role", visible(role)), make("div", "tv-text", ...tokens));
    }), more && make("p", "rv-more", more));
  }
}
