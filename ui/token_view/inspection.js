/** An inspection as token_view.py packs it, and the trainer whose mask colours its tokens. Nothing here draws. */
class Inspection {
  /** What each way to be drawn is called. */
  static NAMES = {
    trained: "trained", wrong: "wrongly trained", missing: "missing: should be trained", context: "context",
    straddler: "shared token: spans template and message", cut: "cut off: the trainer never sees it",
  };
  /** @type {StrategyJson | null} of those compared the one that is chosen; null for the one that is shown anyway */
  chosen = null;

  /** @param {InspectionJson} data */
  constructor(data) {
    this.data = data;
    this.truth = data.truth ?? data.reasons;
    this.length = data.ids.length;
    /** @type {ImageJson[]} by the tokens that stand for it */
    this.imageOf = [];
    for (const image of data.images ?? []) for (let i = image.first; i < image.end; i++) this.imageOf[i] = image;
  }

  get verdict() { return (this.chosen || this.data).verdict; }
  get source() {
    const {model, revision, source, encoder, template, modifiers} = this.data;
    return [model, revision || source, encoder, "template " + template, modifiers].filter(Boolean).join(" · ");
  }

  /** @param {number} i */
  bits(i) { return parseInt(this.data.classes[i], 16); }
  /** @param {StrategyJson | null} strategy @param {number} i */
  reasonIn(strategy, i) { return strategy?.reasons ? strategy.reasons.charCodeAt(i) - 48 : this.data.reasons[i]; }
  /** @param {StrategyJson | null} strategy @param {number} i */
  trainsIn(strategy, i) { return this.data.reasonTrains[this.reasonIn(strategy, i)]; }
  /** @param {number} i */
  shouldTrain(i) { return this.data.reasonTrains[this.truth[i]]; }
  /** @param {StrategyJson | null} strategy @param {number} i */
  differsIn(strategy, i) { return this.trainsIn(strategy, i) !== this.shouldTrain(i); }

  // What keys and buttons go to; each takes a token's number.
  isTrained = (/** @type {number} */ i) => this.trainsIn(this.chosen, i);
  isWrong = (/** @type {number} */ i) => this.isTrained(i) && !this.shouldTrain(i);
  isMissing = (/** @type {number} */ i) => !this.isTrained(i) && this.shouldTrain(i);
  differs = (/** @type {number} */ i) => this.differsIn(this.chosen, i);
  isCut = (/** @type {number} */ i) => this.reasonIn(this.chosen, i) === this.data.cut;
  isStraddler = (/** @type {number} */ i) => Boolean(this.bits(i) & STRADDLER);
  startsSpan = (/** @type {number} */ i) => this.isTrained(i) && (i === 0 || !this.isTrained(i - 1));
  startsDifference = (/** @type {number} */ i) => this.differs(i) && (i === 0 || !this.differs(i - 1));

  static STATES = ["trained", "wrong", "missing", "cut"];
  /** What a token is drawn as: a bit for each of STATES. @param {number} i */
  state(i) {
    const reason = this.reasonIn(this.chosen, i), is = this.data.reasonTrains[reason], should = this.shouldTrain(i);
    return Number(is) | Number(is && !should) << 1 | Number(!is && should) << 2 | Number(reason === this.data.cut) << 3;
  }

  /** @param {(i: number) => unknown} test */
  count(test) { return this.data.ids.filter((_, i) => test(i)).length; }

  /** The next token for which this is so; -1 if there is none.
   * @param {number} from @param {number} step @param {(i: number) => unknown} test */
  next(from, step, test) {
    for (let i = from + step; i >= 0 && i < this.length; i += step) if (test(i)) return i;
    return -1;
  }

  /** As `next`; back from no token (-1) is back from the end.
   * @param {number} from @param {number} step @param {(i: number) => unknown} test */
  jump(from, step, test) { return this.next(step < 0 && from < 0 ? this.length : from, step, test); }

  /** The token that a key goes to, -1 for none; null for any other key.
   * @param {string} key @param {number} current @param {(step: number) => number} line the token a line up or down */
  move(key, current, line) {
    switch (key) {
      case "ArrowRight": return Math.max(0, this.beside(current, 1));
      case "ArrowLeft": return Math.max(0, this.beside(current, -1));
      case "ArrowDown": return Math.max(0, line(1));
      case "ArrowUp": return Math.max(0, line(-1));
      case "Home": return 0;
      case "End": return this.length - 1;
      case "n": return this.next(current, 1, this.startsSpan);
      case "p": return this.next(Math.max(current, 0), -1, this.startsSpan);
      case "s": return this.next(current, 1, this.isStraddler);
      case "d": return this.next(current, 1, this.startsDifference);
      case "Enter": return current;
      default: return null;
    }
  }

  /** A token further or back, past the image that the one before stands for. @param {number} i @param {number} step */
  beside(i, step) {
    const from = this.imageOf[i], to = this.imageOf[i + step];
    if (from && from === to) return step > 0 ? from.end : from.first - 1;
    return to && step < 0 ? to.first : i + step;
  }

  /** The blocks of tokens: [start, end) of each turn, in pieces of at most `size`. @param {number} size */
  blocks(size) {
    return runsOf(this.data.turns).flatMap(([start, end]) => Array.from({length: Math.ceil((end - start) / size)},
      (_, k) => ({start: start + k * size, end: Math.min(end, start + (k + 1) * size), isFirst: k === 0})));
  }

  /** How many lines tokens take, where a line has so many characters.
   * @param {number} start @param {number} end @param {number} columns */
  lines(start, end, columns) {
    let lines = 1, column = 0;
    for (const c of this.data.texts.slice(start, end).join("")) if (c === "\n" || ++column > columns) { lines++; column = 0; }
    return lines;
  }

  /** An image in words. @param {ImageJson} image */
  static imageText({first, end, height, width}) {
    return say("Image {height} × {width} · {count} tokens", {height, width, count: number(end - first)});
  }

  /** A token's text where nothing can be unfolded: of an image its words, at its first token. @param {number} i */
  brief(i) {
    const image = this.imageOf[i];
    return !image ? this.data.texts[i] : i === image.first ? `[${Inspection.imageText(image)}]` : "";
  }

  /** @param {number} i */
  text(i) { return this.data.whole[i] ?? this.data.texts[i]; }
  /** @param {number} i */
  originsOf(i) { return this.data.tokenOrigins[i].map(k => this.data.origins[k]); }
  /** @param {number} i */
  originText(i) { return this.originsOf(i).map(origin => origin.text).join(" + ") || "no text"; }
  /** The lines of the template that wrote it. @param {number} i */
  templateLines(i) { return this.originsOf(i).flatMap(origin => origin.line || []); }

  /** A token in a sentence, for who hears the page. @param {number} i */
  sentence(i) {
    const {ids, starts, ends, reasonTexts} = this.data;
    return `Token ${i} of ${this.length}, id ${ids[i]}, ${JSON.stringify(this.text(i))}, characters ${starts[i]} to ` +
      `${ends[i]}, ${this.originText(i)}, ${reasonTexts[this.reasonIn(this.chosen, i)]}`;
  }

  /** What is known of a token, as names and texts. @param {number} i */
  facts(i) {
    const {ids, starts, ends, reasonTexts} = this.data, bits = this.bits(i);
    const kinds = [bits & SPECIAL && "special", bits & STRADDLER && "shared: spans template and message",
      bits & PART && "part of a character"];
    /** @type {[string, string][]} */
    const facts = [
      ["token", [`${i} of ${this.length}`, ...kinds.filter(Boolean)].join(" · ")],
      ["id", String(ids[i])],
      ["text", visible(JSON.stringify(this.text(i)))],
      ["characters", `${starts[i]}–${ends[i]}`],
      ["origin", this.originText(i)],
      ["training", reasonTexts[this.reasonIn(this.chosen, i)]],
    ];
    if (this.differs(i)) facts.push(["should be", reasonTexts[this.truth[i]]]);
    return facts;
  }

  /** The labels of the strategy chosen. */
  labels() { return this.data.ids.map((id, i) => this.isTrained(i) ? id : -100); }
  /** The address that opens this view again. @param {string} address the page's */
  address(address) { return address.split("#")[0] + (this.data.link ? "#" + this.data.link : ""); }
}
