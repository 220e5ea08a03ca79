/** What the token view says beside its tokens: failures, notices, findings with their remedies, and which row it shows. */
class Notes {
  /** @param {TokenView} view @param {ViewNotes} notes */
  constructor(view, notes) {
    this.view = view;
    this.notes = notes;
  }

  /** @param {FailureJson["failure"]} failure */
  failure({title, detail, isHint}) {
    if (isHint) return make("div", "tv-hint", make("h2", "", title), make("p", "", detail), this.#chips());
    return set(make("div", "tv-failure", make("h2", "", title), make("p", "", detail)), {role: "alert"});
  }

  /** What to begin with where nothing is shown. */
  #chips() {
    /** @param {string} text @param {string} name */
    const example = (text, name) => button(text, "Load this example", () => this.view.ask("example", {name}, ".tv-body"));
    return make("div", "tv-chips", example("Tool call", "03-tool-call.json"),
      example("Thinking", "04-thinking-in-the-history.json"),
      button("My trainer's warning", "Explain what a trainer printed", () => find(document, "#open-decode").click()));
  }

  notices() {
    const [first, ...others] = this.notes.notices.map(text => make("p", "tv-notice", visible(text)));
    if (!first) return [];
    first.tabIndex = -1;
    const undo = () => this.view.ask("undo", {}, ".tv-notice");
    if (this.notes.canUndo) first.append(" ", button("Undo", "Bring back what was shown before", undo));
    return [first, ...others];
  }

  rowBar() {
    if (!this.notes.row) return [];
    const [at, count, title] = this.notes.row, {repair} = this.notes;
    if (repair) return [this.#repairBar(at, count, title, repair)];
    return [set(make("nav", "tv-rows", make("span", "", `Row ${number(at + 1)} of ${number(count)}`),
      count > 1 && this.#step("‹", "Previous row", -1, at > 0),
      count > 1 && this.#step("›", "Next row", 1, at + 1 < count),
      title && make("span", "tv-row-title", visible(title))), {"aria-label": "Rows"})];
  }

  /** Rows with a problem that an audit found, one after the other: what to do with the one that is shown.
   * @param {number} at @param {number} count @param {string} title @param {NonNullable<ViewNotes["repair"]>} repair */
  #repairBar(at, count, title, {problem, said, isSaved}) {
    const save = button("Save row", "Take this row as it is now into the downloads, and go on to the next",
      () => this.view.ask("save", {conversation: Notes.written()}, ".tv-save"));
    const skip = button("Skip", "Go on to the next row without saving", () => this.view.ask("skip", {}, ".tv-skip"));
    const back = button("Back to the audit", "Show the problems that the audit found", () => this.view.page.trigger("back", {}));
    save.classList.add("tv-save");
    skip.classList.add("tv-skip");
    return set(make("nav", "tv-rows tv-repair", make("div", "tv-repair-row", make("span", "", visible(problem)),
      this.#step("‹", "Previous row", -1, at > 0), make("span", "tv-number", `${number(at + 1)} of ${number(count)}`),
      this.#step("›", "Next row", 1, at + 1 < count),
      make("span", "tv-row-title", visible(title), isSaved && make("b", "tv-saved", ` ✓ ${say("saved")}`))),
    make("div", "tv-repair-row", save, skip, back),
    set(make("p", "tv-said", visible(said)), {role: "status"})), {"aria-label": "Rows with this problem"});
  }

  /** The conversation as it stands in the box that is seen, the last key included; null leaves it to the boxes. What the
   * editor would still report is reported with it. */
  static written() {
    const area = /** @type {HTMLTextAreaElement | null} */ (document.querySelector("#conversation textarea"));
    if (area?.offsetParent) return area.value;
    /** @type {ConversationEditor | undefined} */
    const editor = /** @type {any} */ (document.querySelector("#editor .conversation-editor"))?.component;
    clearTimeout(editor?.timer);
    return editor?.conversation ? JSON.stringify(editor.conversation, null, 2) : null;
  }

  /** @param {string} text @param {string} title @param {number} by @param {boolean} isThere */
  #step(text, title, by, isThere) {
    const [name, other] = by < 0 ? ["tv-before", "tv-next"] : ["tv-next", "tv-before"];
    const node = button(text, title, () => this.view.ask("row", {step: by}, `.${name}:enabled`, `.${other}:enabled`));
    node.classList.add(name);
    node.disabled = !isThere;
    return set(node, {"aria-label": title});
  }

  /** Where the findings stand: below the other trainers. */
  static host() { return /** @type {HTMLElement} */ (document.querySelector("#findings .findings-host")); }

  findings() {
    const {findings} = this.notes;
    return make("section", "tv-findings", make("h2", "", Notes.title(findings.length)),
      make("ul", "", ...findings.map(finding => this.#finding(finding))));
  }

  /** @param {number} count */
  static title(count) {
    if (!count) return say("Nothing else to know about this row");
    return count > 1 ? say("{n} things to know", {n: count}) : say("1 thing to know");
  }

  /** @param {Finding} finding */
  #finding(finding) {
    const {code, severity, detail, remedy} = finding, offered = this.notes.remedies[code] || [];
    return make("li", "tv-finding " + severity, this.#head(finding),
      make("p", "", visible(detail)), make("p", "tv-remedy", visible(remedy)),
      offered.length > 0 && make("div", "tv-remedies", ...offered.map(one => this.#remedy(code, one))),
      aboutFinding(code, this.notes.explanations[code]));
  }

  /** @param {Finding} finding */
  #head(finding) {
    if (!finding.token_span) return findingHead("div", finding);
    const [start] = finding.token_span;
    const head = set(findingHead("button", finding, make("span", "tv-where", `token ${start} →`)), {type: "button"});
    head.addEventListener("click", () => this.view.goTo(start));
    return head;
  }

  /** @param {string} code @param {Remedy} remedy */
  #remedy(code, {name, label, what}) {
    const node = button(label, what, () => {
      for (const other of Notes.host().querySelectorAll(".tv-remedies button")) set(other, {disabled: ""});
      node.textContent = label + " …";
      this.view.ask("remedy", {name, code}, ".tv-notice");
    });
    return set(node, {"data-remedy": name});
  }
}
