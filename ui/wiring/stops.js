/** gradio's controls that belong together as one stop of the Tab key: the tabs of a list, what is chosen above the
 * conversation, the settings that unfold below it. Arrows, Home and End go between them; a tab opens by Enter. */
class Stops {
  /** @type {{within: string, controls: string, label?: string, isColumn?: boolean}[]} `isColumn`: one below the other */
  static GROUPS = [
    {within: '[role="tablist"]', controls: ':scope > [role="tab"]'},
    {within: "#head", controls: '#model-row input[role="combobox"], #head-row button', label: say("Model, trainer and example")},
    {within: "#inputs", controls: ["#template-pane", "#training", "#options"].map(id => id + " > button").join(), isColumn: true},
  ];
  /** @type {WeakMap<Element, Element>} the control of a group that had the focus last */
  last = new WeakMap();

  start() {
    window.addEventListener("keydown", event => this.#onKey(event), true); // before gradio, and dropdowns.js
    document.addEventListener("focusin", () => this.#settle());
    new MutationObserver(() => this.#settle()).observe(document.body,
      {childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"]});
    this.#settle();
  }

  /** The groups that are there. */
  #groups() {
    return Stops.GROUPS.flatMap(group => [...document.querySelectorAll(group.within)].map(root =>
      ({...group, root, all: [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(group.controls))]})));
  }

  /** Have each group one stop: what has the focus, else the tab that is open, else what had the focus last. */
  #settle() {
    for (const {root, all, label} of this.#groups()) {
      if (label && !root.hasAttribute("role")) set(root, {role: "toolbar", "aria-label": label});
      const focused = all.find(one => one === document.activeElement);
      if (focused) this.last.set(root, focused);
      const stop = focused ?? all.find(one => one.getAttribute("aria-selected") === "true")
        ?? all.find(one => one === this.last.get(root)) ?? all[0];
      for (const one of all) if (one.tabIndex !== (one === stop ? 0 : -1)) one.tabIndex = one === stop ? 0 : -1;
    }
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const at = event.target, group = at instanceof HTMLElement && this.#groups().find(({all}) => all.includes(at));
    if (!group || isModified(event) || at.getAttribute("aria-expanded") === "true") return;
    const seen = group.all.filter(one => one.checkVisibility() && !one.closest("[inert]"));
    const text = at instanceof HTMLInputElement && at.dataset.quiet !== "yes" ? cursorIn(at) : null;
    const to = Stops.next(event.key, seen.indexOf(at), seen.length, text, group.isColumn);
    if (to === null) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const next = seen[to];
    next.focus();
    if (next instanceof HTMLInputElement) next.select(); // as Tab does
  }

  /** The control of `count` that a key goes to from number `at`; null where it stays.
   * @param {string} key @param {number} at @param {number} count
   * @param {{isStart: boolean, isEnd: boolean} | null} text where the cursor is, in a text @param {boolean} [isColumn] */
  static next(key, at, count, text, isColumn = false) {
    const [back, on] = isColumn ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
    const along = {[back]: "ArrowLeft", [on]: "ArrowRight", Home: "Home", End: "End"}[key];
    return along ? roved(along, [Array(count).fill("button")], [0, at], text)?.[1] ?? null : null;
  }
}
