/** How other trainers mask the conversation that the token view shows: a row each; one that is chosen colours the tokens.
 * @extends {Component<ComparisonJson>} */
class Comparison extends Component {
  isWhole = false;

  /** Other tokens are shown: those that were compared, or some that are compared next.
   * @param {string | null} key of the tokens and what of them should be trained; null for none */
  follow(key) {
    if (key !== null && this.value?.key === key) this.draw();
    else if (key === null) this.root.replaceChildren();
    else this.root.classList.add("stale");
  }

  /** @returns {TokenView | undefined} */
  get view() { return /** @type {any} */ (document.querySelector("#view .token-view"))?.component; }

  /** @param {ComparisonJson | null} data */
  build(data) {
    this.root.classList.remove("stale");
    if (!data) return;
    this.root.append(make("h2", "", say("How other trainers mask this")));
    if (data.waits !== null) this.root.append(this.#offer(data.waits));
    if (!data.strategies.length) return;
    const runs = data.strategies.filter(one => one.reasons), folded = data.strategies.filter(one => !one.reasons);
    const view = this.view, inspection = view?.inspection;
    const isOver = inspection?.data.key === data.key;
    if (view && isOver) view.offer(data.strategies);
    const rows = [null, ...runs].map(one => this.#row(one, isOver && inspection ? inspection : null));
    const list = set(make("div", "cp-rows", ...rows), {role: "radiogroup", "aria-label": say("Trainer that colours the tokens")});
    const hidden = runs.filter(one => !one.isKnown).length;
    this.root.append(list);
    if (hidden) this.root.append(this.#expander(list, hidden, runs.length));
    if (folded.length) this.root.append(Comparison.#folded(folded));
    this.#expand(list);
  }

  /** @param {number} tokens */
  #offer(tokens) {
    const offer = button(say("Compare over {n} tokens", {n: number(tokens)}), "Long conversations are compared on request", () => {
      offer.disabled = true;
      offer.replaceWith(make("p", "cp-busy", set(make("progress"), {"aria-label": "Comparing"}),
        " " + say("Comparing over {n} tokens …", {n: number(tokens)})));
      this.page.trigger("compare", {});
    });
    return offer;
  }

  /** @param {HTMLElement} list @param {number} hidden @param {number} all */
  #expander(list, hidden, all) {
    const node = button("", "", () => { this.isWhole = !this.isWhole; this.#expand(list); });
    node.classList.add("cp-all");
    node.dataset.hidden = say("Show all {n}", {n: all});
    node.dataset.shown = say("Hide {n}", {n: hidden});
    return node;
  }

  /** @param {HTMLElement} list */
  #expand(list) {
    list.classList.toggle("whole", this.isWhole);
    const node = find(this.root, ".cp-all");
    if (node) set(node, {"aria-expanded": this.isWhole}).textContent = node.dataset[this.isWhole ? "shown" : "hidden"] ?? "";
  }

  /** @param {StrategyJson | null} strategy null: the one that is shown anyway @param {Inspection | null} inspection */
  #row(strategy, inspection) {
    const verdict = strategy ? strategy.verdict : inspection?.data.verdict, radio = make("input");
    if (!verdict) return false;
    Object.assign(radio, {type: "radio", name: "cp-trainer", disabled: !inspection,
      checked: inspection?.chosen === strategy});
    radio.addEventListener("change", () => {
      this.view?.choose(strategy);
      this.view?.head?.root.scrollIntoView({block: "nearest"});
    });
    const name = set(make("label", "cp-name", radio, make("b", "", verdict.trainer), make("small", "", verdict.setting)),
      {title: strategy ? strategy.name + (strategy.options && " " + strategy.options) : ""});
    const row = make("div", "cp-row", name, inspection && this.#strip(strategy, inspection), Comparison.#says(verdict),
      ...(strategy ? strategy.remarks : []).map(remark => make("p", "cp-remark", visible(remark))));
    row.classList.toggle("more", Boolean(strategy && !strategy.isKnown));
    return row;
  }

  /** @param {Verdict} verdict */
  static #says({level, short}) {
    return make("span", "cp-verdict " + level, `${level === "right" ? "✓" : level === "wrong" ? "✗" : "!"} ${visible(short)}`);
  }

  /** @param {StrategyJson[]} strategies */
  static #folded(strategies) {
    return make("details", "cp-folded", make("summary", "", say("Cannot run here ({n})", {n: strategies.length})),
      ...strategies.map(({name, verdict, remarks}) => make("p", "", set(make("b", "", verdict.trainer), {title: name}),
        ` ${visible(verdict.short)} `, visible(remarks.slice(0, -1).join(" ")))));
  }

  /** @param {StrategyJson | null} strategy @param {Inspection} inspection */
  #strip(strategy, inspection) {
    const strip = set(make("canvas", "cp-strip"), {"aria-hidden": true, title: say("Click to go to that place")});
    strip.addEventListener("click", event => {
      const box = strip.getBoundingClientRect();
      this.view?.select(Math.floor((event.clientX - box.left) / box.width * inspection.length), true);
    });
    requestAnimationFrame(() => this.#paint(strip, strategy, inspection));
    return strip;
  }

  /** In the middle what is trained; what should not be reaches further up, what is missing stands below.
   * @param {HTMLCanvasElement} strip @param {StrategyJson | null} strategy @param {Inspection} inspection */
  #paint(strip, strategy, inspection) {
    const width = strip.width = Math.max(1, strip.clientWidth), height = strip.height = 16;
    const style = getComputedStyle(this.root), paint = strip.getContext("2d");
    /** @param {string} colour @param {number} top @param {number} size @param {(i: number) => boolean} test */
    const band = (colour, top, size, test) => {
      if (!paint) return;
      paint.fillStyle = style.getPropertyValue(colour);
      Comparison.pixels(inspection.length, width, test).forEach((is, x) => is && paint.fillRect(x, top, 1, size));
    };
    band("--ms-trained-line", 5, 8, i => inspection.trainsIn(strategy, i) && inspection.shouldTrain(i));
    band("--ms-wrong-line", 0, 13, i => inspection.trainsIn(strategy, i) && !inspection.shouldTrain(i));
    band("--ms-wrong-line", height - 2, 2, i => !inspection.trainsIn(strategy, i) && inspection.shouldTrain(i));
  }

  /** Of `width` pixels, those over which stands one of `n` tokens for which this is so: 1, others 0.
   * @param {number} n @param {number} width @param {(i: number) => boolean} test */
  static pixels(n, width, test) {
    const pixels = new Uint8Array(width);
    for (let i = 0; i < n; i++) {
      const start = Math.floor(i * width / n);
      if (test(i)) pixels.fill(1, start, Math.max(start + 1, Math.floor((i + 1) * width / n)));
    }
    return pixels;
  }
}
