/** The head of the token view: how many tokens train, buttons, where the tokens are from, and what the colours mean. */
class Heading {
  static LEGEND = [["1", "tv-token trained", "trained"], ["0", "tv-token", "not trained"],
    ["3", "tv-token special", "special"], ["5", "tv-token straddler", "straddler: merged across a boundary"],
    ["cut", "tv-token cut", "cut off: the trainer never sees it"]];

  /** @param {TokenView} view @param {Inspection} inspection */
  constructor(view, inspection) {
    this.inspection = inspection;
    this.root = make("div", "tv-head",
      make("div", "tv-bar", make("div", "tv-count"), make("div", "tv-tools", ...this.#tools(view))),
      make("div", "tv-from", inspection.source),
      make("div", "tv-legend", ...Heading.LEGEND.map(([key, sample, name]) => set(
        legendKey(sample, ` ${name} `, make("span", "tv-number")), {"data-key": key}))));
    this.#write("3", inspection.count(i => inspection.bits(i) & SPECIAL));
    this.#write("5", inspection.count(inspection.isStraddler));
  }

  /** @param {TokenView} view */
  #tools(view) {
    const {inspection} = this;
    /** @param {string} label @param {() => string} text */
    const copy = (label, text) => copyButton(label, label + " to the clipboard", text);
    return [
      button("‹ Trained", "Previous trained span (p)", () => view.jump(-1, inspection.startsSpan)),
      button("Trained ›", "Next trained span (n)", () => view.jump(1, inspection.startsSpan)),
      view.settingButton("whitespace", "Whitespace", "Show spaces, tabs and line ends"),
      view.settingButton("ids", "Ids", "Show token ids beside the text"),
      copy("Copy ids", () => JSON.stringify(inspection.data.ids)),
      copy("Copy labels", () => JSON.stringify(inspection.labels())),
      copy("Copy as issue report", () => inspection.issueReport(location.href)),
      copy("Copy link", () => inspection.address(location.href)),
    ];
  }

  /** Count what trains by the strategy chosen. */
  count() {
    const {length, strategy, chosen, isTrained, isCut} = this.inspection;
    const trained = this.inspection.count(isTrained), cut = this.inspection.count(isCut);
    const shares = [length && ` ${(100 * trained / length).toFixed(1)} %`,
      (strategy !== "traced" || chosen) && ` under ${strategy}`];
    find(this.root, ".tv-count").replaceChildren(make("strong", "", number(trained)), ` of ${number(length)} tokens train`,
      ...shares.flatMap(text => text ? make("span", "tv-share", text) : []));
    this.#write("1", trained);
    this.#write("0", length - trained - cut);
    this.#write("cut", cut).hidden = !cut;
  }

  /** @param {string} key @param {number} count @returns the legend's entry */
  #write(key, count) {
    const entry = find(this.root, `[data-key="${key}"]`);
    find(entry, ".tv-number").textContent = number(count);
    return entry;
  }
}
