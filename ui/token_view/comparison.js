/** The comparison under the token view: one strip a strategy, all over the same tokens. */
class Comparison {
  /** @param {TokenView} view @param {Inspection} inspection */
  constructor(view, inspection) {
    this.view = view;
    this.inspection = inspection;
  }

  section() {
    const {view, inspection} = this, starts = inspection.startsDifference;
    const head = make("div", "tv-compare-head", make("h2", "", "What each trainer would train"),
      button("‹ Difference", "Previous difference", () => view.jump(-1, starts)),
      button("Difference ›", "Next difference (d)", () => view.jump(1, starts)),
      view.settingButton("differences", "Differences only", "Fade the tokens on which both agree"));
    const rows = [null, ...inspection.data.strategies].map(strategy => this.#row(strategy));
    return make("section", "tv-compare", head, set(make("div", "tv-strategies", ...rows),
      {role: "radiogroup", "aria-label": "Strategy that colours the tokens"}));
  }

  /** @param {StrategyJson | null} strategy null: the one that is shown anyway */
  #row(strategy) {
    const isRefused = strategy !== null && !strategy.reasons, radio = make("input");
    const checked = this.inspection.chosen === strategy;
    Object.assign(radio, {type: "radio", name: "tv-strategy", disabled: isRefused, checked});
    radio.addEventListener("change", () => this.view.choose(strategy));
    return make("div", "tv-strategy" + (isRefused ? " refused" : ""),
      make("label", "tv-strategy-name", radio, make("span", "", strategy ? strategy.name : this.inspection.baseName),
        strategy?.options && make("code", "tv-options", strategy.options)),
      ...(isRefused ? [] : this.#figures(strategy)),
      ...(strategy ? strategy.remarks : []).map(remark => make("p", "tv-remark", visible(remark))));
  }

  /** @param {StrategyJson | null} strategy */
  #figures(strategy) {
    const count = strategy?.count ?? this.inspection.count(i => this.inspection.trainsIn(null, i));
    return [this.#strip(strategy), make("span", "tv-strategy-count", number(count) + " train"),
      make("span", "tv-agreement", strategy && (100 * (strategy.agreement ?? 0)).toFixed(1) + " % agree")];
  }

  /** @param {StrategyJson | null} strategy */
  #strip(strategy) {
    const strip = set(make("canvas", "tv-strip"), {"aria-hidden": true, title: "Click to go to that place"});
    strip.addEventListener("click", event => {
      const box = strip.getBoundingClientRect();
      this.view.select(Math.floor((event.clientX - box.left) / box.width * this.inspection.length), true);
    });
    requestAnimationFrame(() => this.#paint(strip, strategy));
    return strip;
  }

  /** Above: what trains; below: where it differs from the truth.
   * @param {HTMLCanvasElement} strip @param {StrategyJson | null} strategy */
  #paint(strip, strategy) {
    const width = strip.width = Math.max(1, strip.clientWidth), height = strip.height = 18;
    const style = getComputedStyle(this.view.root), paint = strip.getContext("2d"), {inspection} = this;
    /** @param {string} colour @param {number} top @param {number} size @param {(i: number) => boolean} test */
    const band = (colour, top, size, test) => {
      if (!paint) return;
      paint.fillStyle = style.getPropertyValue(colour);
      Comparison.pixels(inspection.length, width, test).forEach((is, x) => is && paint.fillRect(x, top, 1, size));
    };
    band("--ms-trained-line", 0, 11, i => inspection.trainsIn(strategy, i));
    band("--ms-straddler", 13, height - 13, i => inspection.differsIn(strategy, i));
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
