/** Draws the JSON of batch_view.py: every token of a batch over its id, position, attention and label.
 * @extends {Component<BatchJson>} */
class BatchView extends Component {
  static LINES = ["id", "position", "attention", "label"];
  static LEGEND = [["trained", "carries a label"], ["", "label −100: ignored"], ["padding", "padding, attention 0"],
    ["cut", "cut off by truncation"], ["starts", "a joined row starts"]];
  static MANY = 8; // padding tokens that are drawn one by one; more are drawn as one
  static IGNORED = -100;
  hasNumbers = true;

  /** @param {BatchJson | null} data */
  build(data) {
    if (data && data.failure !== undefined) {
      this.root.append(set(make("p", "rv-failure", visible(data.failure)), {role: "alert"}));
    } else if (data) {
      this.root.append(this.#head(data), ...data.rows.map((row, i) => BatchView.#row(row, i, data)));
      this.root.classList.toggle("no-numbers", !this.hasNumbers);
    }
    const isAsked = this.root.closest("#batch-pane")?.contains(document.activeElement); // not when other rows are chosen
    if (isAsked) find(this.root, ".bv-head, .rv-failure")?.scrollIntoView({block: "nearest"});
  }

  /** @param {Batch} data */
  #head(data) {
    const toggle = button("Numbers", "Show id, position, attention and label under each token", () => {
      this.hasNumbers = !this.hasNumbers;
      set(toggle, {"aria-pressed": this.hasNumbers});
      this.root.classList.toggle("no-numbers", !this.hasNumbers);
    });
    return make("div", "bv-head", set(make("p", "bv-said", data.said), {role: "status"}),
      set(toggle, {"aria-pressed": this.hasNumbers}),
      make("div", "tv-legend", ...BatchView.LEGEND.map(([sample, text]) => legendKey("bv-sample " + sample, " " + text))));
  }

  /** @param {BatchRow} row @param {number} index @param {Batch} data */
  static #row(row, index, data) {
    const {place, count} = BatchView.title(row, index, data), more = moreTokens(row.total, row.tokens.length);
    const cut = (/** @type {string} */ content) => BatchView.#cell("cut", content, []);
    return make("section", "rv-row",
      make("div", "rv-head", make("h2", "rv-place", visible(place)), make("span", "rv-count", count)),
      scrollBox("bv-tokens", `Row ${index} of the batch`, ...row.cutBefore.map(cut), ...BatchView.#cells(row, data),
        ...(more ? [make("p", "rv-more", more)] : row.cutBehind.map(cut))));
  }

  /** What a row is, and how much of it is what. @param {BatchRow} row @param {number} index @param {Batch} data */
  static title(row, index, {cut, places}) {
    const source = row.boundaries.length === 1 ? row.sources[row.boundaries[0]] : null;
    const padding = row.padding ? `, ${number(row.padding)} padding` : "";
    const lost = source !== null && cut[source] ? `, ${number(cut[source])} more cut off` : "";
    return {
      place: `Row ${index}` + (source === null ? "" : ` · ${places[source]}`),
      count: `${number(row.total)} tokens: ${number(row.trained)} with a label${padding}${lost}`,
    };
  }

  /** @param {BatchRow} row @param {Batch} data */
  static #cells(row, data) {
    const isJoined = row.boundaries.length > 1;
    return BatchView.pieces(row.attention).flatMap(([start, end]) => [
      ...(isJoined && row.boundaries.includes(start) ? [BatchView.#rule(row.sources[start], data)] : []),
      ...(start === 0 ? [BatchView.#cell("bv-names", "token", BatchView.LINES)] : []),
      end - start === 1 ? BatchView.#token(row, start) : BatchView.#padding(row, start, end),
    ]);
  }

  /** [start, end) of what is drawn as one: a token, or the rest of much padding.
   * @param {number[]} attention @returns {[number, number][]} */
  static pieces(attention) {
    return runsOf(attention).flatMap(([start, end]) => attention[start] === 0 && end - start > BatchView.MANY
      ? [/** @type {[number, number]} */ ([start, end])]
      : Array.from({length: end - start}, (_, k) => /** @type {[number, number]} */ ([start + k, start + k + 1])));
  }

  /** The line at which a joined row starts. @param {number | null} source @param {Batch} data */
  static #rule(source, {cut, places}) {
    if (source === null) return "";
    const lost = cut[source] ? ` · ${number(cut[source])} tokens cut off` : "";
    return make("div", "bv-rule", make("span", "", visible(places[source]) + lost));
  }

  /** @param {BatchRow} row @param {number} i */
  static #token(row, i) {
    const kind = row.attention[i] === 0 ? "padding" : row.labels[i] === BatchView.IGNORED ? "" : "trained";
    return BatchView.#cell(kind, row.tokens[i], [row.ids, row.positions, row.attention, row.labels].map(numbers => numbers[i]));
  }

  /** @param {BatchRow} row @param {number} start @param {number} end */
  static #padding(row, start, end) {
    return BatchView.#cell("padding", `${BatchView.written(row.tokens[start])} × ${number(end - start)}`,
      [row.ids[start], BatchView.range(row.positions[start], row.positions[end - 1]), 0, BatchView.IGNORED]);
  }

  /** @param {number} first @param {number} last */
  static range(first, last) { return first === last ? String(first) : `${first}–${last}`; }

  /** A token over what is said of it. @param {string} kind @param {string} content @param {(number | string)[]} numbers */
  static #cell(kind, content, numbers) {
    return make("span", ("bv-cell " + kind).trim(), token("bv-text", BatchView.written(content)),
      ...numbers.map(n => make("span", "bv-number", String(n).replace(/^-/, "−"))));
  }

  /** A text on one line, whose ends are seen. @param {string} text */
  static written(text) { return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣"); }
}
