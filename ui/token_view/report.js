/** What is copied for an issue tracker: Markdown that needs no picture. */
class IssueReport {
  static TEXT = 6000; // characters of the render, and
  static TOKENS = 200; // rows of the table: issue trackers cut longer texts
  static AROUND = 5; // tokens on either side of one that a finding points at

  static SCRIPT = 25000; // characters of the script

  /** @param {Inspection} inspection @param {StrategyJson[]} strategies those compared @param {IssueJson} about */
  constructor(inspection, strategies, about) {
    this.inspection = inspection;
    this.strategies = strategies;
    this.about = about;
  }

  /** @param {string} address the page's */
  text(address) {
    const {inspection} = this, {verdict, data} = inspection, {trainer, setting, sentence} = verdict;
    const isHere = ["localhost", "127.0.0.1", "[::1]"].includes(new URL(address).hostname);
    return [
      "### " + visible(sentence), "",
      ...this.about.versions.map(([name, version]) => `- ${name}: ${version}`),
      `- Model: ${visible(data.model)} (${data.revision || data.source})`, `- Chat template: ${visible(data.template)}`,
      `- Trainer: ${[trainer, setting, data.modifiers].filter(Boolean).join(", ")}`, "",
      "«trained», !!trained and should not be!!, ??not trained and should be??:", "", ...this.#fenced("text", this.#render()), "",
      ...this.#reproduction(), ...this.#comparison(), ...this.#findings(),
      `<details><summary>${this.#title()}</summary>`, "",
      "| # | id | text | | turn |", "|---|---|---|---|---|", ...this.#rows(), "", "</details>", "",
      "`ids`: `" + JSON.stringify(data.ids.slice(0, 2 * IssueReport.TOKENS)) + "`",
      ...(isHere ? [] : ["", inspection.address(address)]),
    ].join("\n");
  }

  /** A block that no text in it can end. @param {string} language @param {string} text */
  #fenced(language, text) {
    const longest = Math.max(2, ...(text.match(/`+/g) || []).map(ticks => ticks.length));
    return ["`".repeat(longest + 1) + language, text, "`".repeat(longest + 1)];
  }

  #render() {
    const {inspection} = this, {texts} = inspection.data;
    const marks = texts.map((_, i) => inspection.isWrong(i) ? 1 : inspection.isMissing(i) ? 2 : inspection.isTrained(i) ? 3 : 0);
    const signs = [["", ""], ["!!", "!!"], ["??", "??"], ["«", "»"]];
    const text = runsOf(marks).map(([start, end]) => {
      const [open, close] = signs[marks[start]];
      return open + visible(texts.slice(start, end).map((_, k) => inspection.brief(start + k)).join("")) + close;
    }).join("");
    return text.length > IssueReport.TEXT ? text.slice(0, IssueReport.TEXT) + " …" : text;
  }

  #reproduction() {
    const {script, why} = this.about;
    if (script.length > IssueReport.SCRIPT) return ["No reproduction: the conversation is too long for a script here.", ""];
    if (script) return ["Reproduction:", "", ...this.#fenced("python", script.trimEnd()), ""];
    return why ? [`No reproduction: ${visible(why)}.`, ""] : [];
  }

  #comparison() {
    if (!this.strategies.length) return [];
    const rows = this.strategies.map(({count, verdict}) =>
      `| ${verdict.trainer} | ${verdict.setting} | ${count ?? ""} | ${IssueReport.cell(verdict.short)} |`);
    return ["| Trainer | setting | trained | verdict |", "|---|---|---|---|", ...rows, ""];
  }

  #findings() {
    return this.inspection.data.findings.flatMap(({severity, code, heading, token_span: span, detail}) => [
      `- **${severity}: ${heading}** (\`${code}\`${span ? `, token ${span[0]}` : ""}): ${visible(detail)}`,
      ...(span ? [`  \`${this.#around(span)}\``] : []), ""]);
  }

  /** The tokens around a place, that place in brackets. @param {[number, number]} span */
  #around([start, end]) {
    const {texts} = this.inspection.data, from = Math.max(0, start - IssueReport.AROUND);
    const pieces = [texts.slice(from, start), texts.slice(start, end), texts.slice(end, end + IssueReport.AROUND)];
    const [before, at, after] = pieces.map(part => JSON.stringify(part.join("")).slice(1, -1).replaceAll("`", "'"));
    return `${before}⟦${at}⟧${after}`;
  }

  /** The tokens of the table: those that differ, or, where none does, all. */
  #listed() {
    const all = this.inspection.data.ids.map((_, i) => i), differing = all.filter(this.inspection.differs);
    return differing.length ? differing : all;
  }

  #title() {
    const listed = this.#listed().length, {length} = this.inspection;
    return listed === length ? `${number(length)} tokens` : `${number(listed)} of ${number(length)} tokens differ`;
  }

  #rows() {
    const listed = this.#listed(), {data} = this.inspection;
    const rows = listed.slice(0, IssueReport.TOKENS).map(i => {
      const turn = data.turns[i], role = turn === null ? "" : visible(data.roles[turn]);
      const text = "`" + IssueReport.cell(JSON.stringify(data.texts[i]).slice(1, -1).replaceAll("`", "'")) + "`";
      return `| ${i} | ${data.ids[i]} | ${text} | ${this.#state(i)} | ${role} |`;
    });
    const more = moreTokens(listed.length, IssueReport.TOKENS);
    return more ? [...rows, "", more] : rows;
  }

  /** @param {number} i */
  #state(i) {
    const {inspection} = this;
    if (inspection.isWrong(i)) return "trained, should not be";
    if (inspection.isMissing(i)) return "not trained, should be";
    return inspection.isTrained(i) ? "trained" : "";
  }

  /** A text that does not end a table's cell. @param {string} text */
  static cell(text) { return visible(text).replaceAll("|", "\\|"); }
}
