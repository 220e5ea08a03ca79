/** Where texts stand in a picture of the tokens. Nothing here draws. */
class ImageLayout {
  static LINE = 24; // pixels
  static LINES = 300; // browsers draw no picture that is much higher

  /** Pieces of text in lines: a piece that does not fit goes to the next, one wider than a line is parted.
   * @template Kind @param {[string, Kind][]} texts @param {number} width
   * @param {(text: string, kind: Kind) => number} measure how wide a text is
   * @returns {{x: number, line: number, width: number, text: string, kind: Kind}[]} */
  static flow(texts, width, measure) {
    const pieces = [];
    let x = 0, line = 0;
    for (const [text, kind] of texts) {
      if (line >= ImageLayout.LINES) break;
      for (const part of text.split(/(?<=\n)/)) {
        const shown = visible(part.replace("\n", "⏎").replaceAll("\t", "⇥"));
        for (const piece of ImageLayout.parted(shown, width, rest => measure(rest, kind))) {
          const size = measure(piece, kind);
          if (x && x + size > width) { x = 0; line++; }
          pieces.push({x, line, width: size, text: piece, kind});
          x += size;
        }
        if (part.endsWith("\n")) { x = 0; line++; }
      }
    }
    return pieces;
  }

  /** A text in parts that each fit. @param {string} text @param {number} width @param {(text: string) => number} measure */
  static parted(text, width, measure) {
    if (measure(text) <= width) return text ? [text] : [];
    const parts = [];
    let part = "";
    for (const character of text) {
      if (part && measure(part + character) > width) { parts.push(part); part = ""; }
      part += character;
    }
    return [...parts, part];
  }

  /** Words in lines. @param {string} text @param {number} width @param {(text: string) => number} measure */
  static wrapped(text, width, measure) {
    /** @type {[string, null][]} */
    const words = (text.match(/\S+\s*|\s+/g) || []).map(word => [word, null]);
    /** @type {string[]} */
    const lines = [];
    for (const piece of ImageLayout.flow(words, width, measure)) lines[piece.line] = (lines[piece.line] ?? "") + piece.text;
    return lines;
  }

  /** The blocks below each other, as many lines of them as a picture holds.
   * @template {{line: number}} Piece @param {Piece[][]} blocks @param {number} [limit]
   * @returns {{pieces: Piece[], top: number, lines: number}[]} `top`: the block's first line */
  static stacked(blocks, limit = ImageLayout.LINES) {
    const stacked = [];
    let top = 0;
    for (const block of blocks) {
      const pieces = block.filter(piece => top + piece.line < limit), lines = 1 + Math.max(0, ...pieces.map(one => one.line));
      if (top >= limit) break;
      stacked.push({pieces, top, lines});
      top += lines;
    }
    return stacked;
  }
}

/** A picture of the tokens: the verdict, each turn with its role, what the colours mean. In the page's own colours. */
class TokenImage {
  static WIDTH = 1000;
  static MARGIN = 24;
  static ROLE = 100;
  static SCALE = 2; // pixels of the file a pixel here
  static STATES = /** @type {const} */ (["wrong", "missing", "trained", "cut", "context"]);

  /** @param {Inspection} inspection @param {Element} root whose colours and fonts it takes */
  constructor(inspection, root) {
    const style = getComputedStyle(root);
    this.inspection = inspection;
    this.canvas = make("canvas");
    this.paint = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.mono = style.getPropertyValue("--ms-mono");
    this.sans = style.fontFamily;
    this.colour = (/** @type {string} */ name) => style.getPropertyValue("--ms-" + name).trim();
  }

  /** @returns {Promise<Blob>} as a PNG */
  async blob() {
    await document.fonts.ready;
    this.draw();
    return new Promise((done, fail) => this.canvas.toBlob(blob => blob ? done(blob) : fail(new Error("no picture")), "image/png"));
  }

  /** The state that a token's colour stands for. @param {Inspection} inspection @param {number} i */
  static stateOf(inspection, i) {
    if (inspection.isWrong(i)) return "wrong";
    if (inspection.isMissing(i)) return "missing";
    if (inspection.isTrained(i)) return "trained";
    return inspection.isCut(i) ? "cut" : "context";
  }

  draw() {
    const {inspection, paint} = this, {WIDTH, MARGIN, ROLE, SCALE} = TokenImage, {LINE} = ImageLayout;
    const {data, verdict} = inspection, inner = WIDTH - 2 * MARGIN;
    const title = this.#wrapped(verdict.sentence, `700 20px ${this.sans}`, inner);
    const source = this.#wrapped(inspection.source, `12px ${this.mono}`, inner);
    paint.font = `14px ${this.mono}`;
    const blocks = ImageLayout.stacked(inspection.blocks(Math.max(1, inspection.length)).map(({start, end}) => ImageLayout.flow(
      data.texts.slice(start, end).map((_, k) => [inspection.brief(start + k), start + k]), inner - ROLE, text => paint.measureText(text).width)
      .map(piece => ({...piece, turn: data.turns[start]}))));
    const last = blocks[blocks.length - 1], lines = last ? last.top + last.lines : 0;
    const more = moreTokens(inspection.length, 1 + (last?.pieces.at(-1)?.kind ?? -1));
    const top = MARGIN + title.length * 28 + 12, foot = top + lines * LINE + 12;
    const height = foot + (more ? LINE : 0) + LINE + 8 + source.length * 18 + MARGIN;
    Object.assign(this.canvas, {width: WIDTH * SCALE, height: height * SCALE});
    paint.setTransform(SCALE, 0, 0, SCALE, 0, 0);
    paint.textBaseline = "middle";
    this.#rect("card", 0, 0, WIDTH, height);
    const level = {right: "trained-line", wrong: "wrong-line", warning: "warning", unknown: "warning"}[verdict.level];
    title.forEach((line, k) => this.#text(line, `700 20px ${this.sans}`, level, MARGIN, MARGIN + 14 + k * 28));
    for (const {pieces, top: line, lines: count} of blocks) this.#block(pieces, top + line * LINE, count);
    if (more) this.#text(more, `14px ${this.sans}`, "muted", MARGIN + ROLE, foot + LINE / 2);
    this.#legend(foot + (more ? LINE : 0) + LINE / 2);
    source.forEach((line, k) => this.#text(line, `12px ${this.mono}`, "muted", MARGIN, height - MARGIN - (source.length - k - .5) * 18));
  }

  /** @param {{x: number, line: number, width: number, text: string, kind: number, turn: number | null}[]} pieces
   * @param {number} top @param {number} lines */
  #block(pieces, top, lines) {
    const {inspection} = this, {MARGIN, ROLE} = TokenImage, {LINE} = ImageLayout;
    const role = roleOf(inspection.data.roles, pieces[0]?.turn ?? null);
    const colour = {system: "system", developer: "system", user: "user", assistant: "assistant", template: "template"}[role] ?? "tool";
    this.#rect(colour, MARGIN, top, 4, lines * LINE - 2);
    this.paint.font = `700 12px ${this.sans}`;
    const [name = ""] = ImageLayout.parted(visible(role), ROLE - 16, text => this.paint.measureText(text).width);
    this.#text(name, this.paint.font, colour, MARGIN + 10, top + LINE / 2);
    for (const piece of pieces) {
      const state = TokenImage.stateOf(inspection, piece.kind);
      this.#token(piece.text, state, MARGIN + ROLE + piece.x, top + piece.line * LINE, piece.width);
    }
  }

  /** @param {string} text @param {typeof TokenImage.STATES[number]} state @param {number} x @param {number} y @param {number} width */
  #token(text, state, x, y, width) {
    const {paint} = this, {LINE} = ImageLayout, isFilled = state === "trained" || state === "wrong";
    if (isFilled) {
      this.#rect(state, x, y + 2, width, LINE - 5);
      this.#rect(state + "-line", x, y + LINE - 5, width, 2);
      if (state === "wrong") this.#rect("wrong-line", x, y + LINE - 2, width, 1);
    }
    this.#text(text, `14px ${this.mono}`, isFilled ? state + "-ink" : state === "missing" ? "ink" : "muted", x, y + LINE / 2);
    if (state === "cut") this.#rect("muted", x, y + LINE / 2, width, 1);
    if (state !== "missing") return;
    paint.strokeStyle = this.colour("wrong-line");
    paint.setLineDash([3, 2]);
    paint.strokeRect(x + .5, y + 2.5, width - 1, LINE - 5);
    paint.setLineDash([]);
  }

  /** @param {number} middle */
  #legend(middle) {
    const {inspection, paint} = this, {LINE} = ImageLayout;
    let x = TokenImage.MARGIN;
    for (const state of TokenImage.STATES) {
      const count = inspection.count(i => TokenImage.stateOf(inspection, i) === state);
      if (!count) continue;
      paint.font = `14px ${this.mono}`;
      const sample = paint.measureText("ab").width;
      this.#token("ab", state, x, middle - LINE / 2, sample);
      const label = ` ${say(Inspection.NAMES[state])} ${number(count)}`;
      this.#text(label, `12px ${this.sans}`, "muted", x + sample + 4, middle);
      x += sample + 4 + paint.measureText(label).width + 18;
    }
  }

  /** @param {string} text @param {string} font @param {number} width */
  #wrapped(text, font, width) {
    this.paint.font = font;
    return ImageLayout.wrapped(text, width, part => this.paint.measureText(part).width);
  }

  /** @param {string} text @param {string} font @param {string} colour @param {number} x @param {number} y its middle */
  #text(text, font, colour, x, y) {
    this.paint.font = font;
    this.paint.fillStyle = this.colour(colour);
    this.paint.fillText(text, x, y);
  }

  /** @param {string} colour @param {number} x @param {number} y @param {number} width @param {number} height */
  #rect(colour, x, y, width, height) {
    this.paint.fillStyle = this.colour(colour);
    this.paint.fillRect(x, y, width, height);
  }
}
