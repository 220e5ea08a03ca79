// Draws the JSON of token_view.py. Only textContent and createElement: no user text is ever parsed as HTML.
// tokens.js, token_view_compare.js and token_view_findings.js stand before it in the same scope.
const root = element.querySelector(".token-view");
const CHUNK = 600; // tokens per block: small enough for content-visibility to skip most of a long text
const HELP = "Arrow keys move by token and line, n and p jump to the next and previous trained span, s to the next " +
  "straddler, d to the next difference from another strategy, Home and End to the ends, Enter keeps the token selected.";
const LEGEND = [["1", "trained"], ["0", "not trained"], ["3", "special"], ["5", "straddler: merged across a boundary"],
  ["cut", "cut off: the trainer never sees it"]];
const SAMPLES = {"1": "tv-token trained", "0": "tv-token", "3": "tv-token special", "5": "tv-token straddler", cut: "tv-token cut"};

let data = null, isHidden = false, pointer = "", nodes = [], idNodes = [], current = -1, hovered = -1;
let body, detail, live, shown = null; // shown: the strategy whose answer colours the tokens, null for the truth
const settings = {whitespace: false, ids: false, differences: false};

const classOf = i => parseInt(data.classes[i], 16);

function build() {
  const raw = props.value;
  nodes = []; idNodes = []; current = -1; hovered = -1;
  root.replaceChildren();
  data = raw ? JSON.parse(raw) : null;
  const before = shown && shown.name + shown.options; // an edit keeps the strategy that was chosen
  shown = data && data.strategies ? data.strategies.find(s => s.reasons && s.name + s.options === before) || null : null;
  if (data && data.failure) buildFailure();
  else if (data) buildTokens();
  root.dataset.n = nodes.length;
  root.dataset.state = !data ? "empty" : data.failure ? "failed" : "shown";
  root.dataset.rev = Number(root.dataset.rev) + 1;
  root.removeAttribute("aria-busy");
  for (const node of document.querySelectorAll(".follows-view .report")) node.classList.add("stale");
  if (data && Number.isInteger(data.selected)) select(data.selected, true);
  isHidden = !root.offsetParent;
  moveFocus();
  if (data && data.link) history.replaceState(null, "", "#" + data.link);
}

function buildTokens() {
  if (data.row) root.append(rowBar());
  root.append(heading(), ...noticeList());
  body = make("div", "tv-body");
  body.tabIndex = 0;
  body.setAttribute("role", "application");
  body.setAttribute("aria-label", "Tokens. " + HELP);
  body.append(turnBlocks());
  detail = make("div", "tv-detail");
  live = make("div", "tv-live");
  live.setAttribute("role", "status");
  live.setAttribute("aria-live", "polite");
  root.append(body, detail, live);
  if (data.strategies.length) root.append(comparison());
  root.append(findingList());
  body.addEventListener("mouseover", event => { if (placeOf(event) !== pointer) hover(tokenAt(event)); });
  body.addEventListener("mouseleave", () => hover(-1));
  body.addEventListener("click", event => { const i = tokenAt(event); if (i >= 0) select(i, false); });
  body.addEventListener("keydown", onKey);
  applySettings();
  recolour();
  showDetail(-1);
}

function recolour() { // the tokens, the count and the legend, by the strategy chosen
  let trained = 0, cut = 0;
  for (let i = 0; i < nodes.length; i++) {
    const is = trainsIn(shown, i), isCut = reasonIn(shown, i) === data.cut;
    trained += is;
    cut += isCut;
    for (const node of [nodes[i], idNodes[i]]) {
      node.classList.toggle("trained", is);
      node.classList.toggle("cut", isCut);
    }
    nodes[i].classList.toggle("differs", differs(i));
  }
  const total = nodes.length, count = root.querySelector(".tv-count");
  count.replaceChildren(make("strong", "", number(trained)), ` of ${number(total)} tokens train`);
  if (total) count.append(make("span", "tv-share", ` ${(100 * trained / total).toFixed(1)} %`));
  const name = shown ? shown.name : data.strategy;
  if (name !== "traced" || shown) count.append(make("span", "tv-share", ` under ${name}`));
  for (const [key, n] of [["1", trained], ["0", total - trained - cut], ["cut", cut]]) {
    root.querySelector(`[data-key="${key}"] .tv-number`).textContent = number(n);
  }
  root.querySelector('[data-key="cut"]').hidden = !cut;
  root.dataset.strategy = name;
}

function heading() {
  const bar = make("div", "tv-bar");
  const count = make("div", "tv-count");
  const tools = make("div", "tv-tools");
  const whitespace = button("Whitespace", "Show spaces, tabs and line ends", () => toggle("whitespace"));
  const ids = button("Ids", "Show token ids beside the text", () => toggle("ids"));
  whitespace.dataset.setting = "whitespace";
  ids.dataset.setting = "ids";
  tools.append(
    button("‹ Trained", "Previous trained span (p)", () => jumpTo(-1, startsSpan)),
    button("Trained ›", "Next trained span (n)", () => jumpTo(1, startsSpan)),
    whitespace, ids,
    copyButton("Copy ids", () => JSON.stringify(data.ids)),
    copyButton("Copy labels", () => JSON.stringify(data.ids.map((id, i) => trainsIn(shown, i) ? id : -100))),
    copyButton("Copy as issue report", issueReport),
    copyButton("Copy link", () => location.href.split("#")[0] + "#" + data.link));
  bar.append(count, tools);
  const legend = make("div", "tv-legend");
  const counts = {"3": countWhere(b => b & SPECIAL), "5": countWhere(b => b & STRADDLER)};
  for (const [bits, name] of LEGEND) {
    const item = make("span", "tv-key");
    const sample = make("i", SAMPLES[bits], "ab");
    sample.setAttribute("aria-hidden", "true");
    item.append(sample, ` ${name} `, make("span", "tv-number", bits in counts ? number(counts[bits]) : ""));
    item.dataset.key = bits;
    legend.append(item);
  }
  const from = make("div", "tv-from", [data.model, data.revision || data.source, "template " + data.template, data.modifiers]
    .filter(Boolean).join(" · "));
  const head = make("div", "tv-head");
  head.append(bar, from, legend);
  return head;
}

function countWhere(test) {
  let n = 0;
  for (let i = 0; i < data.ids.length; i++) if (test(classOf(i))) n++;
  return n;
}

function copyButton(text, value) {
  const node = button(text, text + " to the clipboard", async () => {
    try { await navigator.clipboard.writeText(value()); node.textContent = "Copied"; }
    catch (error) { node.textContent = "Copying was refused"; }
    setTimeout(() => { node.textContent = text; }, 1500);
  });
  return node;
}

function turnBlocks() {
  const fragment = document.createDocumentFragment();
  const columns = Math.max(20, Math.floor((root.clientWidth - 120) / 8)); // only for the scrollbar's size
  for (let i = 0; i < data.ids.length;) {
    const turn = data.turns[i];
    let end = i + 1;
    while (end < data.ids.length && data.turns[end] === turn) end++;
    for (let start = i; start < end; start += CHUNK) {
      fragment.append(turnBlock(turn, start, Math.min(end, start + CHUNK), start === i, columns));
    }
    i = end;
  }
  return fragment;
}

function turnBlock(turn, start, end, isFirst, columns) {
  const role = turn === null ? "template" : data.roles[turn];
  const block = make("div", "tv-turn");
  block.dataset.role = ROLES.includes(role) ? role : "other";
  const label = make("div", "tv-role");
  if (isFirst) label.append(make("span", "tv-index", turn === null ? "" : turn + " "), visible(role));
  const text = make("div", "tv-text"), ids = make("div", "tv-ids");
  let lines = 1, column = 0;
  for (let i = start; i < end; i++) {
    const node = make("i", className(classOf(i)));
    fillToken(node, data.texts[i]);
    node._index = i;
    nodes[i] = node;
    text.append(node);
    const id = make("i", "tv-id" + (classOf(i) & TRAINED ? " trained" : ""), String(data.ids[i]));
    id._index = i;
    idNodes[i] = id;
    ids.append(id, " ");
    for (const c of data.texts[i]) if (c === "\n" || ++column > columns) { lines++; column = 0; }
  }
  block.style.containIntrinsicSize = "auto " + (lines * 24 + 4) + "px";
  block.append(label, text, ids);
  return block;
}

function toggle(name) { settings[name] = !settings[name]; applySettings(); }
function applySettings() {
  for (const name in settings) root.classList.toggle("show-" + name, settings[name]);
  for (const node of root.querySelectorAll("[data-setting]")) node.setAttribute("aria-pressed", settings[node.dataset.setting]);
}

const tokenAt = event => { const node = event.target.closest("i"); return node && node._index !== undefined ? node._index : -1; };

function hover(i) {
  if (hovered >= 0) for (const node of [nodes[hovered], idNodes[hovered]]) node.classList.remove("hover");
  hovered = i;
  if (i >= 0) for (const node of [nodes[i], idNodes[i]]) node.classList.add("hover");
  showDetail(i >= 0 ? i : current);
}

function select(i, center) {
  i = Math.max(0, Math.min(nodes.length - 1, i));
  if (!nodes[i]) return;
  if (current >= 0) for (const node of [nodes[current], idNodes[current]]) node.classList.remove("current");
  current = i;
  for (const node of [nodes[i], idNodes[i]]) node.classList.add("current");
  scrollTo(nodes[i], center);
  if (center) root.scrollIntoView({block: "nearest"});
  showDetail(i);
  live.textContent = `Token ${i} of ${nodes.length}, id ${data.ids[i]}, ${JSON.stringify(textOf(i))}, characters ` +
    `${data.starts[i]} to ${data.ends[i]}, ${originsOf(i)}, ${data.reasonTexts[reasonIn(shown, i)]}`;
}

function scrollTo(node, center) { // within the token box only: the page must not jump
  const box = body.getBoundingClientRect(), at = node.getBoundingClientRect();
  if (center) body.scrollTop += at.top - box.top - body.clientHeight / 2;
  else if (at.top < box.top) body.scrollTop += at.top - box.top - 8;
  else if (at.bottom > box.bottom) body.scrollTop += at.bottom - box.bottom + 8;
}

const textOf = i => data.whole[i] !== undefined ? data.whole[i] : data.texts[i];
const originsOf = i => data.tokenOrigins[i].map(o => data.origins[o].text).join(" + ") || "no text";

function showDetail(i) {
  detail.replaceChildren();
  if (i < 0) { detail.append(make("p", "tv-hint", "Point at a token, or tab to the text and use the keys: " + HELP)); highlightLines([]); return; }
  const bits = classOf(i);
  const kinds = [bits & SPECIAL && "special", bits & STRADDLER && "straddler", bits & PART && "part of a character"].filter(Boolean);
  const rows = [
    ["token", `${i} of ${nodes.length}` + (kinds.length ? " · " + kinds.join(" · ") : "")],
    ["id", String(data.ids[i])],
    ["text", visible(JSON.stringify(textOf(i)))],
    ["characters", `${data.starts[i]}–${data.ends[i]}`],
    ["origin", originsOf(i)],
    ["training", data.reasonTexts[reasonIn(shown, i)]],
  ];
  if (shown) rows.push([data.strategy, data.reasonTexts[reasonIn(null, i)]]);
  const list = make("dl");
  for (const [name, value] of rows) {
    const row = make("div", "tv-row " + (name === "training" && trainsIn(shown, i) ? "is-trained" : ""));
    row.append(make("dt", "", name), make("dd", "", value));
    list.append(row);
  }
  detail.append(list);
  highlightLines(data.tokenOrigins[i].map(o => data.origins[o].line).filter(Boolean));
}

// The template pane is a textarea that does not wrap: a line is a band of its background, which scrolls with the text.
function highlightLines(lines) {
  const area = document.querySelector("#template-source textarea");
  if (!area) return;
  if (!lines.length) { area.style.removeProperty("background-image"); area.removeAttribute("data-lines"); return; }
  const style = getComputedStyle(area), height = parseFloat(style.lineHeight), top = parseFloat(style.paddingTop);
  const bands = lines.map(line => {
    const from = top + (line - 1) * height, to = from + height;
    return `linear-gradient(transparent ${from}px, var(--ms-line) ${from}px ${to}px, transparent ${to}px)`;
  });
  area.style.backgroundImage = bands.join(",");
  area.style.backgroundAttachment = "local";
  area.dataset.lines = lines.join(",");
  const from = top + (lines[0] - 1) * height;
  if (from < area.scrollTop || from + height > area.scrollTop + area.clientHeight) area.scrollTop = from - area.clientHeight / 2;
}

function nextWhere(from, step, test) {
  for (let i = from + step; i >= 0 && i < nodes.length; i += step) if (test(i)) return i;
  return -1;
}
const isTrained = i => trainsIn(shown, i);
const startsSpan = i => isTrained(i) && (i === 0 || !isTrained(i - 1));

function jumpTo(step, test) {
  const i = nextWhere(step < 0 && current < 0 ? nodes.length : current, step, test);
  if (i >= 0) select(i, true);
}

function lineMove(step) { // the nearest token on the next visual line
  if (current < 0) return 0;
  const here = nodes[current].getClientRects()[0] || nodes[current].getBoundingClientRect();
  let best = -1, distance = Infinity, line = null;
  for (let i = current + step; i >= 0 && i < nodes.length && Math.abs(i - current) < 800; i += step) {
    const there = nodes[i].getClientRects()[0];
    if (!there || Math.abs(there.top - here.top) < 4) continue;
    if (line === null) line = there.top;
    if (Math.abs(there.top - line) > 4) break;
    if (Math.abs(there.left - here.left) < distance) { distance = Math.abs(there.left - here.left); best = i; }
  }
  return best < 0 ? current + step : best;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const to = {
    ArrowRight: () => current + 1, ArrowLeft: () => current - 1,
    ArrowDown: () => lineMove(1), ArrowUp: () => lineMove(-1),
    Home: () => 0, End: () => nodes.length - 1,
    n: () => nextWhere(current, 1, startsSpan), p: () => nextWhere(Math.max(current, 0), -1, startsSpan),
    s: () => nextWhere(current, 1, i => classOf(i) & STRADDLER),
    d: () => nextWhere(current, 1, startsDifference),
    Enter: () => current,
  }[event.key];
  if (!to) return;
  event.preventDefault();
  const i = to();
  if (i >= 0 || event.key.startsWith("Arrow")) select(i, false);
}

// Text that scrolls under a resting pointer is not pointed at.
const placeOf = event => event.screenX + " " + event.screenY;
document.addEventListener("mousemove", event => { pointer = placeOf(event); });

// Drawn under another tab nothing has a place: once it can be seen, go to the token that it opens at.
new ResizeObserver(() => {
  if (!isHidden || !root.offsetParent) return;
  isHidden = false;
  if (!data || !nodes.length || !Number.isInteger(data.selected)) return;
  select(data.selected, true);
  body.focus({preventScroll: true});
}).observe(root);
build();
watch("value", build);
