/** The head of the token view: the verdict, and what can be done with the tokens. */
class Heading {
  static SIGNS = {right: "✓", warning: "!", wrong: "✗", unknown: "?"};

  /** @param {TokenView} view @param {Inspection} inspection */
  constructor(view, inspection) {
    this.inspection = inspection;
    this.ring = set(make("span", "tv-ring"), {"aria-hidden": true});
    this.title = make("h2", "tv-verdict-title");
    this.count = make("p", "tv-count");
    this.others = set(button("", "Colour the tokens by the first of them", () => this.first && view.show(this.first)), {hidden: ""});
    this.others.classList.add("tv-others");
    /** @type {StrategyJson | undefined} a trainer that masks this wrongly, a known one if any does */
    this.first = undefined;
    this.verdict = make("div", "tv-verdict", this.ring, make("div", "", this.title, this.count), this.others);
    this.next = button("Next problem ›", "Next token that is trained wrongly or missing (d)",
      () => view.jump(1, inspection.startsDifference));
    const {tools, share} = this.#tools(view), label = {role: "toolbar", "aria-label": "Tokens"};
    const toolbar = set(make("div", "tv-toolbar", ...tools, share), label);
    this.root = asOneStop(make("div", "tv-head", this.verdict, make("div", "tv-tools", this.next, toolbar)),
      [[this.others, this.next, ...tools, find(share, "summary")]], tools[0]);
  }

  /** @param {TokenView} view */
  #tools(view) {
    const {inspection} = this;
    const tools = [
      button("‹", "Previous trained span (p)", () => view.jump(-1, inspection.startsSpan)),
      button("Trained ›", "Next trained span (n)", () => view.jump(1, inspection.startsSpan)),
      view.settingButton("ids", "Ids", "Show token ids beside the text"),
      view.settingButton("edges", "Edges", "Show where each token ends"),
      view.settingButton("whitespace", "Whitespace", "Show spaces, tabs and line ends"),
    ];
    return {tools, share: this.#share(view)};
  }

  /** @param {TokenView} view */
  #share(view) {
    const {inspection} = this;
    /** @param {string} label @param {() => string | Promise<string>} text */
    const copy = (label, text) => copyButton(label, "Copy to the clipboard", text);
    const menu = make("details", "tv-menu", make("summary", "tv-button", `${say("Share")} ▾`), make("div", "tv-menu-items",
      copy("Copy link", () => inspection.address(location.href)),
      copy("Copy issue report", async () => {
        const {href} = location, strategies = view.compared; // what is shown now, not once Python has answered
        return new IssueReport(inspection, strategies, await view.aboutIssue()).text(href);
      }),
      copyButton("Copy image", "Copy a picture of the tokens to the clipboard", () => new TokenImage(inspection, view.root).blob(), "image/png"),
      copy("Copy ids", () => JSON.stringify(inspection.data.ids)),
      copy("Copy labels", () => JSON.stringify(inspection.labels())),
      button("Forget this conversation", "Open with the example the next time", () => {
        localStorage.removeItem("maskscope");
        location.assign(location.pathname);
      })));
    menu.addEventListener("keydown", event => { if (event.key === "Escape") menu.open = false; });
    menu.addEventListener("focusout", event => {
      if (event.relatedTarget instanceof Node && !menu.contains(event.relatedTarget)) menu.open = false;
    });
    return menu;
  }

  /** Say how many other trainers mask this wrongly; a click shows the first of them. @param {StrategyJson[]} strategies */
  tell(strategies) {
    const runs = strategies.filter(one => one.reasons), wrong = runs.filter(one => one.verdict.level === "wrong");
    this.others.textContent = !wrong.length ? "" :
      say("✗ {n} of {all} other trainers get this wrong ›", {n: wrong.length, all: runs.length});
    this.first = wrong.find(one => one.isKnown) ?? wrong[0];
    this.draw();
  }

  /** Say what the trainer chosen does. */
  draw() {
    const {inspection} = this, {length, verdict, isTrained} = inspection, trained = inspection.count(isTrained);
    const share = length ? 100 * trained / length : 0;
    this.verdict.dataset.level = verdict.level;
    this.ring.textContent = Heading.SIGNS[verdict.level];
    this.ring.style.setProperty("--tv-share", share.toFixed(1) + "%");
    this.title.textContent = visible(verdict.sentence);
    const values = {n: number(trained), all: number(length), share: share.toFixed(1)};
    this.count.replaceChildren(trained === 1 ? say("{n} of {all} tokens is trained ({share}%)", values) :
      say("{n} of {all} tokens are trained ({share}%)", values), verdict.setting && ` · ${verdict.setting}`);
    this.others.hidden = !this.others.textContent || verdict.level === "wrong";
    this.next.hidden = !inspection.count(inspection.differs);
  }
}

/** The foot of the tokens: what the colours mean, and where the tokens are from. */
class Legend {
  /** @type {[string, string, (it: Inspection) => (i: number) => unknown][]} sample, name, which tokens */
  static KEYS = [["trained", Inspection.NAMES.trained, it => i => it.isTrained(i) && !it.isWrong(i)],
    ["trained wrong", Inspection.NAMES.wrong, it => it.isWrong], ["missing", Inspection.NAMES.missing, it => it.isMissing],
    ["", Inspection.NAMES.context, it => i => !it.isTrained(i) && !it.isMissing(i) && !it.isCut(i)],
    ["straddler", Inspection.NAMES.straddler, it => it.isStraddler], ["cut", Inspection.NAMES.cut, it => it.isCut]];

  /** @param {Inspection} inspection */
  constructor(inspection) {
    this.inspection = inspection;
    this.root = make("div", "tv-foot");
  }

  draw() {
    const {inspection} = this, keys = Legend.KEYS.flatMap(([sample, name, test]) => {
      const count = inspection.count(test(inspection));
      return count ? legendKey("tv-token " + sample, ` ${say(name)} `, make("span", "tv-number", number(count))) : [];
    });
    this.root.replaceChildren(make("div", "tv-legend", ...keys), make("div", "tv-from", inspection.source));
  }
}
