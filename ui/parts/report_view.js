/** Draws the blocks of report.py.
 * @extends {Component<ReportJson>} */
class ReportView extends Component {
  /** @param {ReportJson | null} data */
  build(data) {
    this.root.append(...(data?.blocks ?? []).map(block => ReportView.#block(block)));
    this.root.classList.remove("stale");
    if (data && this.root.closest("#drawer, .comes-into-view")) this.root.scrollIntoView({block: "nearest"});
  }

  /** @param {Blocks[keyof Blocks]} block */
  static #block(block) {
    switch (block.kind) {
      case "text": return ReportView.#text(block);
      case "progress": return ReportView.#progress(block);
      case "heading": return make("h2", "rp-heading", block.text);
      case "table": return ReportView.#table(block);
      case "code": return ReportView.#code(block);
      case "files": return make("div", "rp-files", ...block.files.map(ReportView.#fileButton));
      case "pieces": return ReportView.#pieces(block);
    }
  }

  /** @param {Blocks["text"]} block */
  static #text({sign, text}) {
    const node = make("p", "rp-text", sign && make("b", "rp-sign", sign), visible(text));
    return sign === "✗" ? set(node, {role: "alert"}) : node;
  }

  /** @param {Blocks["progress"]} block */
  static #progress({share, text}) {
    const bar = set(make("progress"), {max: 1, ...(share === null ? {} : {value: share}), "aria-label": "Progress"});
    return make("div", "rp-progress", bar, make("span", "", visible(text)));
  }

  /** @param {Blocks["table"]} block */
  static #table({head, rows}) {
    return make("div", "rp-scroll", make("table", "rp-table",
      head.some(Boolean) && make("tr", "", ...head.map(text => ReportView.#name(text, "col"))),
      ...rows.map(([name, ...cells]) =>
        make("tr", "", ReportView.#name(name, "row"), ...cells.map(text => make("td", "", visible(text)))))));
  }

  /** @param {string} text @param {"col" | "row"} scope */
  static #name(text, scope) { return set(make("th", "", visible(text)), {scope}); }

  /** @param {Blocks["code"]} block */
  static #code({text, label, isDiff}) {
    const lines = text.split("\n").flatMap(line => [make("span", isDiff ? ReportView.diffClass(line) : "", visible(line)), "\n"]);
    return make("div", "rp-code",
      make("div", "rp-head", make("span", "rp-label", label), copyButton("Copy", "Copy to the clipboard", () => text)),
      set(make("pre", "", ...lines), {tabindex: 0, "aria-label": label})); // it scrolls: the keyboard must get there
  }

  /** The class of a diff's line. @param {string} line */
  static diffClass(line) {
    if (/^(---|\+\+\+) /.test(line)) return "";
    return new Map([["+", "rp-added"], ["-", "rp-removed"], ["@", "rp-place"]]).get(line[0]) ?? "";
  }

  /** @param {FileJson} file */
  static #fileButton({name, text}) {
    const content = new Blob([text], {type: "text/plain;charset=utf-8"});
    return button(say("Download {name}", {name}), "Save this file", () => saveFile(name, content));
  }

  /** @param {Blocks["pieces"]} block */
  static #pieces({label, tokens}) {
    const list = tokens.map(({id, text}) => make("span", "rp-token",
      make("span", "rp-piece", ReportView.piece(text)), make("span", "rp-id", String(id))));
    return make("div", "rp-pieces", make("span", "rp-label", label), make("span", "rp-tokens", ...list),
      make("span", "rp-count", `${tokens.length} token${tokens.length === 1 ? "" : "s"}`));
  }

  /** A piece of text on a line of its own. @param {string} text */
  static piece(text) { return visible(text).replaceAll(" ", "␣").replaceAll("\n", "⏎"); }
}
