/** Draws the JSON of runs_table.py. A heading sorts by its column, and turns the order round when it is chosen again.
 * @extends {Component<RunsJson>} */
class RunsTable extends Component {
  /** @type {[string, keyof RunRow][]} */
  static COLUMNS = [["Run", "name"], ["State", "state"], ["Steps", "step"], ["Loss", "loss"], ["Data", "data"], ["Time", "seconds"],
    ["Started", "created"]];
  /** @type {keyof RunRow} */
  by = "created";
  isDown = true;

  /** @param {RunsJson | null} data */
  build(data) {
    if (!data?.rows.length) return;
    const rows = RunsTable.sorted(data.rows, this.by, this.isDown);
    const head = RunsTable.COLUMNS.map(([text, name]) => set(make("th", "", this.#heading(text, name)),
      {scope: "col", "aria-sort": name !== this.by ? "none" : this.isDown ? "descending" : "ascending"}));
    this.root.append(scrollBox("rt-scroll", "Runs", make("table", "rt-table",
      make("thead", "", make("tr", "", ...head, set(make("th", "", say("Compare")), {scope: "col"}))),
      make("tbody", "", ...rows.map(row => this.#row(row, data))))));
  }

  /** Drawn anew each second while a run trains: what has the focus keeps it. */
  draw() {
    const key = this.root.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.key : "";
    super.draw();
    if (key) [.../** @type {NodeListOf<HTMLElement>} */ (this.root.querySelectorAll("[data-key]"))].find(one => one.dataset.key === key)?.focus();
  }

  /** @param {string} text @param {keyof RunRow} name */
  #heading(text, name) {
    const mark = name !== this.by ? "" : this.isDown ? " ↓" : " ↑";
    return set(button(say(text) + mark, say("Sort by this column"), () => {
      this.isDown = name === this.by ? !this.isDown : name === "created";
      this.by = name;
      this.draw();
    }), {"data-key": "by " + name, class: "rt-sort"});
  }

  /** @param {RunRow} row @param {RunsJson} data */
  #row(row, {shown, others}) {
    const name = set(button("", "", () => this.page.trigger("show", {id: row.id})),
      {"data-key": "show " + row.id, class: "rt-name", "aria-current": row.id === shown, title: row.id});
    name.textContent = visible(row.name);
    const box = set(make("input"), {type: "checkbox", "aria-label": `Compare with ${row.name}`, "data-key": "compare " + row.id});
    box.checked = others.includes(row.id);
    box.disabled = row.id === shown;
    box.addEventListener("change", () =>
      this.page.trigger("compare", {ids: box.checked ? [...others, row.id] : others.filter(id => id !== row.id)}));
    const cells = [row.state, RunsTable.steps(row), row.loss === null ? "" : row.loss.toPrecision(4), row.data,
      RunsTable.duration(row.seconds), new Date(1000 * row.created).toLocaleString()];
    return set(make("tr", "", set(make("th", "", name), {scope: "row"}), ...cells.map(text => make("td", "", visible(text))),
      make("td", "", make("label", "rt-box", box))), {"data-run": row.id});
  }

  /** How far a run is. @param {RunRow} row */
  static steps({step, steps}) { return steps === null ? String(step) : `${step} of ${steps}`; }

  /** A length of time in seconds. @param {number | null} seconds */
  static duration(seconds) {
    if (seconds === null) return "";
    const whole = Math.round(seconds), two = (/** @type {number} */ number) => String(number).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  }

  /** The rows by a column; those without a value last. @param {RunRow[]} rows @param {keyof RunRow} by @param {boolean} isDown */
  static sorted(rows, by, isDown) {
    return [...rows].sort((one, other) => {
      const [a, b] = [one[by], other[by]];
      if (a === null || b === null) return Number(a === null) - Number(b === null);
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return isDown ? -order : order;
    });
  }
}
