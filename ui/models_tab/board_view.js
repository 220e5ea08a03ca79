/** Draws docs/board.json: what each trainer makes of each chat template. The search hides what is not asked for.
 * @extends {Component<BoardJson>} */
class BoardView extends Component {
  /** @param {BoardJson | null} data */
  build(data) {
    if (!data) return;
    const rows = data.models.map(model => ({model, node: this.#row(model, data.tried)}));
    const count = set(make("p", "bd-count"), {role: "status"});
    const none = make("p", "bd-none", say("No template here has that name. Any model that loads is compared on the Inspect tab: choose it there."));
    const box = set(make("input"), {type: "search", placeholder: "Gemma 3 TRL", autocomplete: "off", spellcheck: false});
    const show = () => {
      const {trainers, models} = BoardView.found(box.value, data.models);
      for (const {model, node} of rows) {
        node.hidden = !models.includes(model);
        for (const verdict of /** @type {NodeListOf<HTMLElement>} */ (node.querySelectorAll("[data-trainer]"))) {
          verdict.hidden = trainers.length > 0 && !trainers.includes(verdict.dataset.trainer ?? "");
        }
      }
      count.textContent = say("{n} of {all} chat templates", {n: models.length, all: rows.length});
      none.hidden = models.length > 0;
      table.hidden = !models.length;
    };
    box.addEventListener("input", show);
    const heads = [say("Chat template"), say("What trainers make of a chat of two turns, the worst first")];
    const table = make("table", "bd-table",
      make("thead", "", make("tr", "", ...heads.map(text => set(make("th", "", text), {scope: "col"})))),
      make("tbody", "", ...rows.map(({node}) => node)));
    this.root.append(
      make("div", "bd-search", make("label", "", make("span", "", say("Find a model or a trainer")), box), count),
      make("p", "pane-note", say("Templates with their own tokenizer come first. The others are tried alone, with a token for each byte and </s> for the end of a sequence: a trainer that goes by that token can do better with the model's own. Names that can be clicked open on the Inspect tab, with your conversation.")),
      table, none);
    show();
  }

  /** @param {BoardModel} model @param {number} tried */
  #row(model, tried) {
    const name = visible(model.model), open = () => this.page.trigger("open", {name: model.model});
    const title = !model.canOpen ? make("span", "bd-name", name)
      : set(button(name, "Show this template on the Inspect tab", open), {class: "bd-name bd-open"});
    const verdicts = model.trainers.map(([trainer, level, short]) => set(make("li", "cp-verdict " + level,
      `${BoardView.SIGNS[level]} `, make("b", "", trainer), " " + visible(short)), {"data-trainer": trainer}));
    return make("tr", "", set(make("th", "", title, make("span", "bd-facts", BoardView.facts(model, tried))), {scope: "row"}),
      make("td", "", verdicts.length ? make("ul", "bd-verdicts", ...verdicts) : say("The template does not take this chat.")));
  }

  /** @type {Record<BoardLevel, string>} */
  static SIGNS = {right: "✓", wrong: "✗", unknown: "!"};

  /** What else is known of a template. @param {BoardModel} model @param {number} tried */
  static facts({rendered, exact, official, tagged, own}, tried) {
    return [
      say("renders {n} of {all} conversations, {exact} of them exactly", {n: rendered, all: tried, exact}),
      official && say("{n} of {all} as the vendor's encoder writes them", {n: official[0], all: official[1]}),
      tagged ? say("generation tags proven") : say("generation tags not proven"),
      own && say("own tokenizer"),
    ].filter(Boolean).join(" · ");
  }

  /** A text without case, spaces and signs: "Gemma 3" is "gemma3". @param {string} text */
  static bare(text) { return text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, ""); }

  /** Whether a word of the search, or its beginning, is one of a trainer's name. @param {string} trainer @param {string} word */
  static names(trainer, word) {
    return trainer.split(" ").map(BoardView.bare).some(own => own === word || (word.length > 2 && own.startsWith(word)));
  }

  /** What a search asks for: the trainers it names, none for all; and the templates with its other words in their names,
   * in a row where any has them so.
   * @template {{model: string, trainers: [string, ...unknown[]][]}} Model
   * @param {string} search @param {Model[]} models */
  static found(search, models) {
    const known = [...new Set(models.flatMap(({trainers}) => trainers.map(([trainer]) => trainer)))];
    const words = search.split(/\s+/).map(BoardView.bare).filter(Boolean);
    const trainers = known.filter(trainer => words.some(word => BoardView.names(trainer, word)));
    const others = words.filter(word => !trainers.some(trainer => BoardView.names(trainer, word)));
    const has = (/** @type {Model} */ {model}, /** @type {string} */ part) => BoardView.bare(model).includes(part);
    const inRow = models.filter(model => has(model, others.join("")));
    return {trainers, models: inRow.length ? inRow : models.filter(model => others.every(word => has(model, word)))};
  }
}
