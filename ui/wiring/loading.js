/** While a model loads, nothing can be asked about it: what waits for it takes no click and no key. */
class Loading {
  /** The model and revision whose template the page shows, and those that it waits for. */
  shown = "";
  /** @type {string | null} */
  wanted = null;

  start() {
    window.modelAsked = (model, revision) => { this.ask(model, revision); this.draw(); };
    window.addressAsked = Loading.address;
    window.modelShown = loaded => { this.answer(loaded); this.draw(); };
  }

  /** What the page is to open with; see address.py. @param {string[]} fields that a query may have */
  static address(fields) {
    const query = new URLSearchParams(location.search), last = localStorage.getItem("maskscope");
    return location.hash.slice(1) || (fields.some(name => query.has(name)) && location.search) || (last && "last:" + last) || "";
  }

  /** @param {string | null} model @param {string | null} revision */
  static key(model, revision) { return JSON.stringify([model || "", revision || ""]); }

  /** @param {string | null} model @param {string | null} revision */
  ask(model, revision) { this.#wait(Loading.key(model, revision)); }

  /** @param {[string | null, string | null] | null} loaded null: the question for it failed */
  answer(loaded) {
    if (loaded) this.shown = Loading.key(...loaded);
    this.#wait(loaded && this.wanted !== null ? this.wanted : this.shown);
  }

  /** @param {string} key */
  #wait(key) { this.wanted = key === this.shown ? null : key; }

  draw() {
    const isWaiting = this.wanted !== null;
    for (const node of document.querySelectorAll(".waits-for-model")) node.toggleAttribute("inert", isWaiting);
    document.querySelector("#model-row")?.setAttribute("aria-busy", String(isWaiting));
  }
}
