/** Draws the JSON of token_view.py: the tokens, and all that stands around them.
 * @extends {Component<InspectionJson | FailureJson>} */
class TokenView extends Component {
  static CHUNK = 600; // tokens per block: small enough for content-visibility to skip most of a long text
  static HELP = "Arrow keys move by token and line, n and p go to the next and previous trained span, s to the next " +
    "shared token, d to the next problem, Home and End to the ends, Enter keeps the token selected, Escape lets it go.";

  static NOTHING_KNOWN = {versions: [], script: "", why: "the server gives no answer"};
  /** Buttons that keep the keyboard when the view is drawn anew, whoever asked for it. */
  static HELD = [".tv-save", ".tv-skip"];

  /** @type {Inspection | null} null when there are no tokens */
  inspection = null;
  /** @type {TokenNode[]} */
  nodes = [];
  /** @type {TokenNode[]} none before ids are shown: they are half of what there is to draw */
  idNodes = [];
  /** @type {{start: number, end: number, ids: HTMLElement}[]} where they are put then */
  blocks = [];
  /** What each token is drawn as. */
  states = new Uint8Array();
  current = -1;
  hovered = -1;
  pointer = "";
  isHidden = false;
  /** @type {Record<string, boolean>} */
  settings = {whitespace: false, ids: false, edges: false};
  /** @type {StrategyJson[]} the trainers compared over these tokens */
  compared = [];
  /** @type {string | null} name and options of the trainer chosen among them: an edit keeps it */
  choice = null;
  /** @type {string[]} where the keyboard goes once the answer to a click is drawn: the first of these that is there */
  focusThen = [];
  /** @type {Heading | null} */
  head = null;
  /** @type {Legend | null} */
  legend = null;
  body = make("div");
  detail = make("div");
  live = make("div");

  start() {
    document.querySelector(".skip-link")?.addEventListener("click", event => {
      event.preventDefault(); // the fragment holds what is shown
      this.body.focus();
    });
    document.addEventListener("mousemove", event => { this.pointer = TokenView.placeOf(event); });
    new ResizeObserver(() => this.#onSize()).observe(this.root);
    super.start();
  }

  // --- drawing

  draw() {
    const held = TokenView.HELD.find(selector => find(this.root, selector + ":focus"));
    if (held && !this.focusThen.length) this.focusThen = [held];
    super.draw();
    for (const node of document.querySelectorAll(".follows-view .report")) node.classList.add("stale");
    /** @type {any} */ (document.querySelector("#comparison .comparison"))?.component?.follow(this.inspection?.data.key ?? null);
    this.#selectFirst();
    this.isHidden = !this.root.offsetParent;
    this.#moveFocus();
    if (this.inspection?.data.link) this.#keep(this.inspection.data.link);
  }

  /** In the address, and for the next visit. @param {string} link */
  #keep(link) {
    history.replaceState(null, "", "#" + link);
    try { localStorage.setItem("maskscope", link); } catch { /* the browser keeps nothing, or has no more room */ }
  }

  /** @param {InspectionJson | FailureJson | null} data */
  build(data) {
    Object.assign(this, {inspection: null, nodes: [], idNodes: [], blocks: [], current: -1, hovered: -1, compared: []});
    Notes.host()?.replaceChildren(); // not there yet when the page is being built
    if (data?.failure) this.#buildFailure(data);
    else if (data) this.#buildTokens(new Inspection(data), new Notes(this, data));
    this.root.dataset.n = String(this.nodes.length);
    this.root.dataset.state = !data || data.failure?.isHint ? "empty" : data.failure ? "failed" : "shown";
  }

  /** @param {FailureJson} data */
  #buildFailure(data) {
    const notes = new Notes(this, data);
    this.root.append(...notes.rowBar(), ...notes.notices(), notes.failure(data.failure));
    if (data.findings.length) Notes.host().append(notes.findings());
    TemplatePane.mark(data.failure.line ? [data.failure.line] : []);
    TemplatePane.say(data.failure.isTemplate ? data.failure.detail : "");
  }

  /** @param {Inspection} inspection @param {Notes} notes */
  #buildTokens(inspection, notes) {
    this.inspection = inspection;
    this.states = new Uint8Array(inspection.length);
    TemplatePane.say("");
    this.head = new Heading(this, inspection);
    this.legend = new Legend(inspection);
    this.body = this.#tokens(inspection);
    this.detail = make("div", "tv-detail");
    this.live = set(make("div", "tv-live"), {role: "status", "aria-live": "polite"});
    this.root.append(...notes.rowBar(), this.head.root, ...notes.notices(),
      make("div", "tv-stage", this.body, this.detail), this.live, this.legend.root);
    Notes.host().append(notes.findings());
    this.#applySettings();
    this.#colour();
    this.#showDetail(-1);
  }

  /** @param {Inspection} inspection */
  #tokens(inspection) {
    const columns = Math.max(20, Math.floor((this.root.clientWidth - 120) / 8)); // only for the scrollbar's size
    const blocks = inspection.blocks(TokenView.CHUNK).map(block => this.#block(inspection, block, columns));
    const body = set(make("div", "tv-body", ...blocks),
      {tabindex: 0, role: "application", "aria-label": "Tokens. " + TokenView.HELP});
    body.addEventListener("mouseover", event => {
      // text that scrolls under a resting pointer is not pointed at
      if (TokenView.placeOf(event) !== this.pointer) this.#hover(TokenView.#tokenAt(event));
    });
    body.addEventListener("mouseleave", () => this.#hover(-1));
    body.addEventListener("click", event => {
      const i = TokenView.#tokenAt(event);
      if (i >= 0) this.select(i, false);
    });
    body.addEventListener("keydown", event => this.#onKey(event));
    return body;
  }

  /** @param {Inspection} inspection @param {{start: number, end: number, isFirst: boolean}} block @param {number} columns */
  #block(inspection, {start, end, isFirst}, columns) {
    const {data} = inspection, turn = data.turns[start], role = roleOf(data.roles, turn);
    const text = make("div", "tv-text"), ids = make("div", "tv-ids"), label = make("div", "tv-role");
    if (isFirst) label.append(make("span", "tv-index", turn !== null && turn + " "), visible(role));
    let image, into = /** @type {HTMLElement} */ (text);
    for (let i = start; i < end; i++) {
      const bits = inspection.bits(i), at = inspection.imageOf[i];
      if (at !== image) into = at ? text.appendChild(TokenView.#image(at)) : text;
      image = at;
      this.nodes[i] = Object.assign(token(className(bits), data.texts[i]), {_index: i});
      this.states[i] = bits & TRAINED && 1;
      into.append(this.nodes[i]);
    }
    this.blocks.push({start, end, ids});
    const box = turnBox(role, label, text, ids);
    box.style.containIntrinsicSize = `auto ${inspection.lines(start, end, columns) * 24 + 4}px`;
    return box;
  }

  /** The tokens of an image as one: its size and how many they are, until that is clicked. @param {ImageJson} image */
  static #image(image) {
    const chip = set(button("", "Show the tokens that stand for this image", () => {
      set(chip, {"aria-expanded": box.classList.toggle("is-open")});
    }), {"aria-expanded": false, tabindex: -1});
    chip.textContent = Inspection.imageText(image);
    if (image.thumbnail) chip.append(set(make("img", "tv-thumbnail"), {src: image.thumbnail, alt: ""}));
    const box = make("span", "tv-image", chip);
    return box;
  }

  /** Colour the tokens by what the trainer chosen does, and say it. */
  #colour() {
    const {inspection} = this;
    if (!inspection) return;
    for (let i = 0; i < inspection.length; i++) {
      const state = inspection.state(i), changed = state ^ this.states[i];
      if (!changed) continue;
      Inspection.STATES.forEach((name, k) => { if (changed >> k & 1) this.#mark(i, name, Boolean(state >> k & 1)); });
      this.states[i] = state;
    }
    this.head?.draw();
    this.legend?.draw();
    this.root.dataset.strategy = inspection.chosen?.name ?? inspection.data.strategy;
  }

  // --- settings

  /** A button that turns a setting on and off. @param {string} name @param {string} text @param {string} title */
  settingButton(name, text, title) {
    return set(button(text, title, () => {
      this.settings[name] = !this.settings[name];
      this.#applySettings();
    }), {"data-setting": name});
  }

  #drawIds() {
    const {inspection} = this;
    if (!inspection || this.idNodes.length) return;
    for (const {start, end, ids} of this.blocks) for (let i = start; i < end; i++) {
      const names = Inspection.STATES.filter((_, k) => this.states[i] >> k & 1);
      if (i === this.current) names.push("current");
      this.idNodes[i] = Object.assign(make("i", ["tv-id", ...names].join(" "), String(inspection.data.ids[i])), {_index: i});
      ids.append(this.idNodes[i], " ");
    }
  }

  #applySettings() {
    if (this.settings.ids) this.#drawIds();
    for (const [name, isOn] of Object.entries(this.settings)) {
      this.root.classList.toggle("show-" + name, isOn);
      for (const node of this.root.querySelectorAll(`[data-setting="${name}"]`)) set(node, {"aria-pressed": isOn});
    }
  }

  /** Trainers that can be chosen for these tokens; the one that was chosen for the tokens before is again.
   * @param {StrategyJson[]} strategies */
  offer(strategies) {
    this.compared = strategies;
    this.head?.tell(strategies);
    const chosen = strategies.find(one => one.reasons && one.name + one.options === this.choice);
    if (chosen) this.choose(chosen);
  }

  /** As when the trainer is chosen among those compared. @param {StrategyJson} strategy */
  show(strategy) {
    /** @type {NodeListOf<HTMLInputElement>} */
    const choices = document.querySelectorAll("#comparison .cp-name input");
    choices[1 + this.compared.filter(one => one.reasons).indexOf(strategy)]?.click();
  }

  /** Colour the tokens by a trainer's mask; null for the one that is shown anyway. @param {StrategyJson | null} strategy */
  choose(strategy) {
    this.choice = strategy && strategy.name + strategy.options;
    if (this.inspection) this.inspection.chosen = strategy;
    this.#colour();
    this.#showDetail(this.current);
  }

  // --- the token that is current, and the one that is pointed at

  /** @param {number} i @param {string} name @param {boolean} is */
  #mark(i, name, is) {
    for (const node of [this.nodes[i], this.idNodes[i]]) node?.classList.toggle(name, is);
  }

  /** @param {number} i */
  #hover(i) {
    this.#mark(this.hovered, "hover", false);
    this.hovered = i;
    this.#mark(i, "hover", true);
    this.#showDetail(i >= 0 ? i : this.current);
  }

  /** @param {number} wanted @param {boolean} isCentred */
  select(wanted, isCentred) {
    const i = Math.max(0, Math.min(this.nodes.length - 1, wanted));
    if (!this.inspection || !this.nodes[i]) return;
    this.#mark(this.current, "current", false);
    this.current = i;
    this.#mark(i, "current", true);
    this.#scrollTo(this.#seen(i), isCentred);
    if (isCentred) this.root.scrollIntoView({block: "nearest"});
    this.#showDetail(i);
    this.live.textContent = this.inspection.sentence(i);
  }

  /** What is seen of a token: itself, or the image that it is folded into. @param {number} i @returns {HTMLElement} */
  #seen(i) {
    const node = this.nodes[i], image = node.parentElement;
    if (node.getClientRects().length || !image?.matches(".tv-image")) return node;
    return /** @type {HTMLElement} */ (image.firstElementChild);
  }

  #letGo() {
    this.#mark(this.current, "current", false);
    this.current = -1;
    this.#showDetail(-1);
  }

  /** Select a token, and have the keys go on from there. @param {number} i */
  goTo(i) {
    this.select(i, true);
    this.body.focus({preventScroll: true});
  }

  /** @param {number} step @param {(i: number) => unknown} test */
  jump(step, test) {
    const i = this.inspection ? this.inspection.jump(this.current, step, test) : -1;
    if (i >= 0) this.select(i, true);
  }

  #selectFirst() {
    const selected = this.inspection?.data.selected;
    if (typeof selected === "number") this.select(selected, true);
  }

  /** Within the token box only: the page must not jump. @param {HTMLElement} node @param {boolean} isCentred */
  #scrollTo(node, isCentred) {
    const {body} = this, box = body.getBoundingClientRect(), at = node.getBoundingClientRect();
    if (isCentred) body.scrollTop += at.top - box.top - body.clientHeight / 2;
    else if (at.top < box.top) body.scrollTop += at.top - box.top - 8;
    else if (at.bottom > box.bottom) body.scrollTop += at.bottom - box.bottom + 8;
  }

  /** @param {number} i */
  #showDetail(i) {
    const {inspection, detail} = this;
    detail.hidden = !inspection || i < 0;
    if (!inspection || i < 0) {
      detail.replaceChildren();
      TemplatePane.mark([]);
      return;
    }
    detail.replaceChildren(make("dl", "", ...inspection.facts(i).map(([name, value]) =>
      make("div", "tv-row " + (name === "training" && inspection.isTrained(i) ? "is-trained" : ""),
        make("dt", "", name), make("dd", "", value)))));
    TemplatePane.mark(inspection.templateLines(i));
    this.#placeDetail(i);
  }

  /** Below the token, or above it where there is more room; never over it. @param {number} i */
  #placeDetail(i) {
    const {detail, body} = this, stage = detail.parentElement;
    if (!stage) return;
    const seen = this.#seen(i), rects = seen.getClientRects(), at = rects[rects.length - 1] ?? seen.getBoundingClientRect();
    const box = stage.getBoundingClientRect(), height = detail.offsetHeight;
    const left = Math.max(0, Math.min(at.left - box.left, box.width - detail.offsetWidth));
    const isAbove = at.bottom + height + 8 > Math.max(box.bottom, innerHeight) && rects[0].top - height - 8 > 0;
    const top = isAbove ? rects[0].top - box.top - height - 6 : Math.min(at.bottom, body.getBoundingClientRect().bottom) - box.top + 6;
    Object.assign(detail.style, {left: left + "px", top: top + "px"});
  }

  // --- keys and pointer

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (!this.inspection || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.#letGo();
    const to = this.inspection.move(event.key, this.current, step => this.#lineMove(step));
    if (to === null) return;
    event.preventDefault();
    if (to >= 0) this.select(to, false);
  }

  /** The nearest token on the next line that is seen. @param {number} step */
  #lineMove(step) {
    const {nodes, current} = this;
    if (current < 0) return 0;
    const here = this.#seen(current).getClientRects()[0] || nodes[current].getBoundingClientRect();
    let best = current + step, distance = Infinity, line = null;
    for (let i = current + step; i >= 0 && i < nodes.length && Math.abs(i - current) < 800; i += step) {
      const there = nodes[i].getClientRects()[0];
      if (!there || Math.abs(there.top - here.top) < 4) continue;
      if (line === null) line = there.top;
      if (Math.abs(there.top - line) > 4) break;
      if (Math.abs(there.left - here.left) < distance) { distance = Math.abs(there.left - here.left); best = i; }
    }
    return best;
  }

  /** @param {MouseEvent} event */
  static placeOf(event) { return event.screenX + " " + event.screenY; }
  /** @param {MouseEvent} event */
  static #tokenAt(event) {
    const node = event.target instanceof Element && event.target.closest("i");
    return node ? /** @type {TokenNode} */ (node)._index ?? -1 : -1;
  }

  // --- answers of Python's

  /** What Python knows for an issue report on the trainer that is shown. @returns {Promise<IssueJson>} */
  async aboutIssue() {
    const {chosen = null, data = null} = this.inspection ?? {}, ask = this.page.server.about_issue;
    const asked = {link: data?.link ?? "", strategy: chosen?.name ?? "", options: chosen?.options ?? ""};
    try { return ask ? await ask(asked) : TokenView.NOTHING_KNOWN; } catch { return TokenView.NOTHING_KNOWN; }
  }

  /** An event of Python's; the view is drawn anew with the answer.
   * @param {string} event @param {object} detail @param {...string} then where the keyboard goes */
  ask(event, detail, ...then) {
    this.focusThen = then;
    set(this.root, {"aria-busy": true});
    this.page.trigger(event, detail);
  }

  #moveFocus() {
    const at = document.activeElement, wanted = this.focusThen.map(selector => find(this.root, selector)).find(Boolean);
    this.focusThen = [];
    if (at && at !== document.body && !this.root.contains(at) && !Notes.host().contains(at)) return; // the reader has gone on to something else
    wanted?.focus({preventScroll: true});
  }

  /** Drawn in a tab that is not seen nothing has a place: once it can be seen, go to what is said of it, and to the token
   * that it opens at. */
  #onSize() {
    if (!this.isHidden || !this.root.offsetParent) return;
    this.isHidden = false;
    find(this.root, ".tv-verdict, .tv-failure")?.scrollIntoView({block: "nearest"});
    this.#selectFirst();
    if (this.current >= 0) this.body.focus({preventScroll: true});
  }
}
