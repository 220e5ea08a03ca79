// Draws the JSON of rows_view.py, with what tokens.js has.
const root = element.querySelector(".rows-view");

function build() {
  const data = props.value ? JSON.parse(props.value) : null;
  root.replaceChildren();
  root.removeAttribute("aria-busy");
  if (data && data.failure) {
    root.append(make("p", data.isHint ? "rv-hint" : "rv-failure", visible(data.failure)));
  } else if (data) {
    root.append(make("h2", "rv-title", visible(data.title)), ...data.rows.map(rowBox));
  }
  root.dataset.rev = Number(root.dataset.rev || 0) + 1;
}

function rowBox(row) {
  const box = make("section", "rv-row" + (row.why ? " unusable" : ""));
  const head = make("div", "rv-head");
  head.append(make("h3", "rv-place", visible(row.place)));
  if (!row.why) head.append(make("span", "rv-count", `${number(row.trained)} of ${number(row.total)} tokens train`));
  if (row.canOpen) {
    const open = button("Open", "Show this row on the Inspect tab", () => {
      root.setAttribute("aria-busy", "true");
      trigger("open", {number: row.number});
    });
    open.setAttribute("aria-label", "Open " + row.place);
    head.append(open);
  }
  box.append(head, row.why ? make("p", "rv-why", visible(row.why)) : tokenBox(row));
  return box;
}

function tokenBox(row) {
  const box = make("div", "rv-tokens");
  box.tabIndex = 0; // it scrolls: the keyboard must get there
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Tokens of " + row.place);
  for (let i = 0; i < row.texts.length;) {
    const turn = row.turns[i], role = turn === null ? "template" : String(row.roles[turn]);
    const block = make("div", "tv-turn"), text = make("div", "tv-text");
    block.dataset.role = ROLES.includes(role) ? role : "other";
    for (; i < row.texts.length && row.turns[i] === turn; i++) {
      const node = make("i", className(row.classes[i]));
      fillToken(node, row.texts[i]);
      text.append(node);
    }
    block.append(make("div", "tv-role", visible(role)), text);
    box.append(block);
  }
  if (row.total > row.texts.length) box.append(make("p", "rv-more", `… ${number(row.total - row.texts.length)} more tokens`));
  return box;
}

build();
watch("value", build);
