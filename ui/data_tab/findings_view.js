/** Draws the JSON of data_tab/report.py's `pack_findings`: a table of findings, and the rows of the chosen.
 * @extends {Component<FindingsJson>} */
class FindingsView extends Component {
  static COLUMNS = ["problem", "severity", "rows", "of all", "example", ""];
  /** @type {DataFinding[]} */
  findings = [];
  /** @type {string | null} the code whose rows are listed, null for all */
  chosen = null;
  width = 0;

  start() {
    new ResizeObserver(() => this.#onSize()).observe(this.root);
    super.start();
  }

  /** @param {FindingsJson | null} data */
  build(data) {
    if (!data) return;
    this.findings = data.findings;
    this.chosen = FindingsView.kept(this.findings, this.chosen);
    this.root.append(make("h2", "fv-title", this.findings.length ? say("Problems, worst first") : say("No problems found")));
    if (this.findings.length) this.root.append(this.#table(data), make("div", "fv-details"));
    this.#drawDetails();
  }

  /** The code to go on with: the one chosen, where it is still there, or the first.
   * @param {{code: string}[]} findings @param {string | null} chosen */
  static kept(findings, chosen) {
    const codes = findings.map(finding => finding.code);
    return chosen !== null && codes.includes(chosen) ? chosen : codes[0] ?? null;
  }

  /** @param {FindingsJson} data */
  #table({rows, findings}) {
    const head = FindingsView.COLUMNS.map(name =>
      set(make("th", "", say(name)), {scope: "col"}));
    return make("table", "fv-table", make("thead", "", make("tr", "", ...head)),
      make("tbody", "", ...findings.map(finding => make("tr", finding.severity,
        set(make("th", "", this.#choice(finding)), {scope: "row"}), make("td", "fv-severity", finding.severity),
        ...FindingsView.figures(finding, rows).map(text => make("td", "fv-number", text)),
        make("td", "fv-example", finding.examples[0] && visible(FindingsView.example(finding.examples[0]))),
        make("td", "fv-go", this.#go(finding))))));
  }

  /** How many rows have a finding, and their share.
   * @param {{rows: number}} finding @param {number} rows of the data set */
  static figures(finding, rows) {
    return [number(finding.rows), rows ? (100 * finding.rows / rows).toFixed(1) + "%" : ""];
  }

  /** A row that shows a finding, in a line. @param {{place: string, detail: string}} row */
  static example({place, detail}) { return detail ? `${place}: ${detail}` : place; }

  /** Opens the first row of a finding that can be opened; says why where none can. @param {DataFinding} finding */
  #go({code, examples}) {
    const at = examples.findIndex(row => row.canOpen);
    if (at >= 0) {
      return set(button("Open", "Show these rows on the Inspect tab, one after the other",
        () => this.page.trigger("open", {code, at})), {"aria-label": `Open the rows of ${code}`});
    }
    return examples.length > 0 && set(button("Why", "Show the reasons below", () => {
      this.chosen = code;
      this.#drawDetails();
      find(this.root, ".fv-finding").scrollIntoView({block: "nearest"});
    }), {"aria-label": `Why ${code}`});
  }

  /** @param {DataFinding} finding */
  #choice({code, heading}) {
    const choose = button(heading, "List the rows of this finding only, or of all again", () => {
      this.chosen = this.chosen === code ? null : code;
      this.#drawDetails();
    });
    choose.className = "fv-choose";
    return set(choose, {"data-code": code});
  }

  #drawDetails() {
    for (const node of this.root.querySelectorAll(".fv-choose")) {
      set(node, {"aria-pressed": node.getAttribute("data-code") === this.chosen});
    }
    const shown = this.findings.filter(finding => this.chosen === null || finding.code === this.chosen);
    this.root.querySelector(".fv-details")?.replaceChildren(...shown.map(finding => this.#details(finding)));
  }

  /** @param {DataFinding} finding */
  #details(finding) {
    const {code, severity, rows, count, detail, remedy, examples, about} = finding, clusters = FindingsView.clusters(finding);
    return make("section", "fv-finding tv-finding " + severity, findingHead("div", finding),
      count !== null && count !== rows && make("p", "", say("Found {n} times.", {n: number(count)})), detail && make("p", "", visible(detail)), remedy && make("p", "tv-remedy", visible(remedy)),
      clusters.length > 0 && make("ul", "fv-clusters", ...clusters.map(([text, count]) => make("li", "",
        make("span", "fv-number", number(count) + " ×"), " ", make("span", "fv-cluster", visible(text))))),
      examples.length > 0 && make("h3", "fv-heading", say("Rows that show it")),
      examples.length > 0 && make("ul", "fv-examples", ...examples.map((row, at) => this.#example(code, row, at))),
      aboutFinding(code, about));
  }

  /** The clusters of a finding, with all that are not named as one. @param {DataFinding} finding */
  static clusters({clusters, otherClusters}) {
    /** @type {DataFinding["clusters"]} */
    const others = clusters.length && otherClusters ? [["other", otherClusters]] : [];
    return [...clusters, ...others];
  }

  /** @param {string} code @param {DataFinding["examples"][0]} row @param {number} at */
  #example(code, row, at) {
    const open = () => this.page.trigger("open", {code, at});
    return make("li", "", make("div", "fv-words", make("span", "fv-place", visible(row.place)),
      row.detail && make("span", "fv-detail", visible(row.detail))),
      row.canOpen && set(button("Open", "Show this row on the Inspect tab, at the token to blame", open),
        {"aria-label": `Open ${row.place} for ${code}`}));
  }

  /** Seen (again): the problems are where the reader left them, or came for. Charts follow the window's size only. */
  #onSize() {
    const now = this.root.clientWidth;
    if (now && now !== this.width) window.dispatchEvent(new Event("resize"));
    if (now && !this.width) find(this.root, ".fv-title")?.scrollIntoView({block: "nearest"});
    this.width = now;
  }
}
