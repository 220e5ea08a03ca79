/** Draws the JSON of scores_view.py. A token's shade says how surprised the model is at it; a trained one at which its
 * first guess is another also has a mark, so that nothing is said by colour alone.
 * @extends {Component<ScoresJson>} */
class ScoresView extends Component {
  static MOMENTS = ["before", "after"];
  static STEPS = [0.1, 0.7, 2, 4]; // nats: the bounds between shades
  static SHADES = ["under 0.1", "under 0.7", "under 2", "under 4", "4 and more"];
  moment = "after";

  /** @param {ScoresJson | null} data */
  build(data) {
    const rows = data?.rows ?? [];
    if (!rows.length) return;
    const moments = ScoresView.MOMENTS.filter(name => rows.some(row => row.moments[name]));
    if (!moments.includes(this.moment)) this.moment = moments[moments.length - 1];
    this.root.append(set(make("div", "sv-choice", ...moments.map(name => this.#choice(name))),
      {role: "group", "aria-label": "Painted by the loss"}), ScoresView.#legend());
    for (const row of rows) {
      const scores = row.moments[this.moment];
      if (scores) this.root.append(new ScoredTokens(row, scores, this.moment).box());
    }
  }

  /** @param {string} name */
  #choice(name) {
    return set(button(name, "Paint the loss at each token", () => {
      this.moment = name;
      this.draw();
      find(this.root, `.sv-choice [data-moment="${name}"]`).focus();
    }), {"data-moment": name, "aria-pressed": name === this.moment});
  }

  static #legend() {
    const item = (/** @type {Part[]} */ ...parts) => make("span", "sv-item", ...parts);
    return make("div", "sv-legend",
      ...ScoresView.SHADES.map((text, i) => item(make("i", `sv-token sv-${i} trained`, String(i)), " " + say(text))),
      item(say("Loss in nats; underlined tokens are trained:")),
      item(make("i", "sv-token sv-2 trained wrong", "ab"), " " + say("the model's own first guess is another")));
  }
}

/** The tokens of a row, through which arrow keys walk, and a sentence about the one chosen. */
class ScoredTokens {
  current = -1;
  sentence = set(make("p", "sv-said", say("Choose a token: its loss, and what the model would write there.")),
    {role: "status"});

  /** @param {ScoredRow} row @param {Moment} scores @param {string} moment */
  constructor(row, scores, moment) {
    this.row = row;
    this.scores = scores;
    this.nodes = row.texts.map((text, i) => token(this.#class(i), text));
    this.nodes.forEach((node, i) => node.addEventListener("click", () => this.#choose(i)));
    this.label = `Tokens of row ${row.row}, ${moment} training; arrow keys choose one`;
  }

  box() {
    const {row} = this, more = moreTokens(row.tokens, row.texts.length);
    const tokens = scrollBox("sv-tokens", this.label, ...this.nodes, more && make("span", "sv-more", " " + more));
    tokens.addEventListener("keydown", event => {
      const to = ScoredTokens.move(event.key, this.current, this.nodes.length);
      if (to === null) return;
      event.preventDefault();
      this.#choose(to);
    });
    const head = make("div", "sv-head", make("h3", "", `Row ${row.row}${row.answer && ` · ${row.answer}`}`),
      make("span", "", `loss ${ScoredTokens.means(row)}`));
    return make("section", "sv-row", head, tokens, this.sentence);
  }

  /** The shade of a loss in nats, from 0. @param {number | null} loss */
  static shade(loss) { return loss === null ? 0 : ScoresView.STEPS.filter(bound => loss >= bound).length; }

  /** @param {number} i */
  #class(i) {
    const {row: {trained}, scores: {losses, right}} = this, isWrong = trained[i] && losses[i] !== null && !right[i];
    return `sv-token sv-${ScoredTokens.shade(losses[i])}${trained[i] ? " trained" : ""}${isWrong ? " wrong" : ""}`;
  }

  /** The means of a row, before and after. @param {ScoredRow} row */
  static means({moments}) {
    return ScoresView.MOMENTS.flatMap(name => {
      const mean = moments[name]?.mean ?? null;
      return mean === null ? [] : `${name} ${mean.toFixed(3)}`;
    }).join(", ");
  }

  /** The token that a key goes to, null for other keys. @param {string} key @param {number} current @param {number} count */
  static move(key, current, count) {
    const step = new Map([["ArrowRight", 1], ["ArrowDown", 1], ["ArrowLeft", -1], ["ArrowUp", -1]]).get(key);
    if (step) return Math.max(0, Math.min(count - 1, current + step));
    return key === "Home" ? 0 : key === "End" ? count - 1 : null;
  }

  /** @param {number} i */
  #choose(i) {
    this.nodes[this.current]?.classList.remove("current");
    this.current = i;
    this.nodes[i].classList.add("current");
    this.sentence.textContent = ScoredTokens.about(this.row, this.scores, i);
  }

  /** What the model makes of a token. @param {ScoredRow} row @param {Moment} scores @param {number} i */
  static about({texts, trained}, {losses, guesses, probabilities}, i) {
    const quoted = (/** @type {string} */ text) => JSON.stringify(visible(text)), loss = losses[i];
    const start = `${quoted(texts[i])} ${trained[i] ? "is trained" : "is not trained"};`;
    return loss === null ? `${start} nothing stands before it.` : `${start} loss ${loss.toFixed(3)} nats; ` +
      `the model's first guess is ${quoted(guesses[i])}, with ${(100 * probabilities[i]).toFixed(1)} %.`;
  }
}
