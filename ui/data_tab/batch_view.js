// Draws the JSON of batch_view.py, with what tokens.js has.
const root = element.querySelector(".batch-view");
const LINES = [["id", "ids"], ["position", "positions"], ["attention", "attention"], ["label", "labels"]];
const MANY = 8; // padding tokens that are drawn one by one; more are drawn as one
const IGNORED = -100;
let numbers = true;

function build() {
  const data = props.value ? JSON.parse(props.value) : null;
  root.replaceChildren();
  if (data && data.failure) {
    const box = make("p", "rv-failure", visible(data.failure));
    box.setAttribute("role", "alert");
    root.append(box);
  } else if (data) {
    root.append(heading(data), ...data.rows.map((row, i) => rowBox(row, i, data)));
    root.classList.toggle("no-numbers", !numbers);
  }
  root.dataset.rev = Number(root.dataset.rev || 0) + 1;
}

function heading(data) {
  const head = make("div", "bv-head");
  const toggle = button("Numbers", "Show id, position, attention and label under each token", () => {
    numbers = !numbers;
    toggle.setAttribute("aria-pressed", numbers);
    root.classList.toggle("no-numbers", !numbers);
  });
  toggle.setAttribute("aria-pressed", numbers);
  const words = make("p", "bv-said", data.said);
  words.setAttribute("role", "status");
  head.append(words, toggle, legend());
  return head;
}

function legend() {
  const list = make("div", "tv-legend");
  for (const [names, text] of [["trained", "carries a label"], ["", "label −100: ignored"], ["padding", "padding, attention 0"],
    ["cut", "cut off by truncation"], ["starts", "a joined row starts"]]) {
    const item = make("span", "tv-key"), sample = make("i", "bv-sample " + names, "ab");
    sample.setAttribute("aria-hidden", "true");
    item.append(sample, " " + text);
    list.append(item);
  }
  return list;
}

function rowBox(row, index, data) {
  const box = make("section", "rv-row"), head = make("div", "rv-head");
  const padding = row.padding ? `, ${number(row.padding)} padding` : "";
  const from = row.boundaries.length === 1 ? row.sources[row.boundaries[0]] : null;
  const cut = from !== null && data.cut[from] ? `, ${number(data.cut[from])} more cut off` : "";
  head.append(make("h2", "rv-place", visible(`Row ${index}` + (from === null ? "" : ` · ${data.places[from]}`))),
    make("span", "rv-count", `${number(row.total)} tokens: ${number(row.trained)} with a label${padding}${cut}`));
  const tokens = make("div", "bv-tokens");
  tokens.tabIndex = 0; // it scrolls: the keyboard must get there
  tokens.setAttribute("role", "group");
  tokens.setAttribute("aria-label", `Row ${index} of the batch`);
  tokens.append(...row.cutBefore.map(cutToken), ...cells(row, data));
  if (row.total > row.tokens.length) tokens.append(make("p", "rv-more", `… ${number(row.total - row.tokens.length)} more tokens`));
  else tokens.append(...row.cutBehind.map(cutToken));
  box.append(head, tokens);
  return box;
}

function cells(row, data) {
  const out = [], isJoined = row.boundaries.length > 1;
  for (let i = 0; i < row.tokens.length; i++) {
    if (isJoined && row.boundaries.includes(i)) out.push(rule(data, row.sources[i]));
    if (i === 0) out.push(lineNames());
    let end = i;
    while (end < row.tokens.length && row.attention[end] === 0) end++;
    if (end - i > MANY) {
      out.push(paddingRun(row, i, end));
      i = end - 1;
    } else out.push(cell(row, i));
  }
  return out;
}

function rule(data, source) {
  const node = make("div", "bv-rule");
  const cut = data.cut[source] ? ` · ${number(data.cut[source])} tokens cut off` : "";
  node.append(make("span", "", visible(data.places[source]) + cut));
  return node;
}

function cell(row, i) {
  const names = row.attention[i] === 0 ? " padding" : row.labels[i] !== IGNORED ? " trained" : "";
  const node = make("span", "bv-cell" + names), text = make("i", "bv-text");
  fillToken(text, shownText(row.tokens[i]));
  node.append(text);
  for (const [, name] of LINES) node.append(make("span", "bv-number", String(row[name][i]).replace("-", "−")));
  return node;
}

function paddingRun(row, start, end) {
  const node = make("span", "bv-cell padding"), text = make("i", "bv-text");
  fillToken(text, `${shownText(row.tokens[start])} × ${number(end - start)}`);
  const positions = row.positions[start] === row.positions[end - 1] ? row.positions[start] : `${row.positions[start]}–${row.positions[end - 1]}`;
  node.append(text);
  for (const value of [row.ids[start], positions, 0, "−100"]) node.append(make("span", "bv-number", String(value)));
  return node;
}

function cutToken(content) {
  const node = make("span", "bv-cell cut"), text = make("i", "bv-text");
  fillToken(text, shownText(content));
  node.append(text);
  return node;
}

const shownText = text => text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣");

function lineNames() {
  const node = make("span", "bv-cell bv-names");
  node.append(make("i", "bv-text", "token"));
  for (const [name] of LINES) node.append(make("span", "bv-number", name));
  return node;
}

build();
watch("value", build);
