// What the token view says beside its tokens: failures, notices, findings with their remedies, and which row it shows.
const REPORT_TOKENS = 400; // of a copied report: issue trackers cut longer texts
let focusThen = []; // where the keyboard goes once the answer to a click is drawn: the first of these that is there

function buildFailure() {
  if (data.row) root.append(rowBar());
  root.append(...noticeList());
  const box = make("div", "tv-failure");
  box.setAttribute("role", "alert");
  box.append(make("h2", "", data.failure.title), make("p", "", data.failure.detail));
  root.append(box);
  if (data.findings.length) root.append(findingList());
  highlightLines(data.failure.line ? [data.failure.line] : []);
}

function noticeList() {
  const out = data.notices.map(text => make("p", "tv-notice", visible(text)));
  if (!out.length) return out;
  out[0].tabIndex = -1;
  if (data.canUndo) out[0].append(" ", button("Undo", "Bring back what was shown before", () => ask("undo", {}, ".tv-notice")));
  return out;
}

function ask(event, detail, ...then) { // an event of Python's; the view is drawn anew with the answer
  focusThen = then;
  root.setAttribute("aria-busy", "true");
  trigger(event, detail);
}

function moveFocus() {
  const wanted = focusThen, at = document.activeElement;
  focusThen = [];
  if (at && at !== document.body && !root.contains(at)) return; // the reader has gone on to something else
  const node = wanted.map(selector => root.querySelector(selector)).find(Boolean);
  if (node) node.focus({preventScroll: true});
}

function rowBar() {
  const [at, count, title] = data.row;
  const bar = make("nav", "tv-rows");
  bar.setAttribute("aria-label", "Rows");
  const step = (text, title, by, name, other) => {
    const node = button(text, title, () => ask("row", {step: by}, `.${name}:enabled`, `.${other}:enabled`));
    node.classList.add(name);
    node.disabled = at + by < 0 || at + by >= count;
    node.setAttribute("aria-label", title);
    return node;
  };
  bar.append(make("span", "", `Row ${number(at + 1)} of ${number(count)}`));
  if (count > 1) bar.append(step("‹", "Previous row", -1, "tv-before", "tv-next"), step("›", "Next row", 1, "tv-next", "tv-before"));
  if (title) bar.append(make("span", "tv-row-title", visible(title)));
  return bar;
}

function findingList() {
  const section = make("section", "tv-findings");
  section.append(make("h2", "", data.findings.length ? `${data.findings.length} finding${data.findings.length > 1 ? "s" : ""}` : "No findings"));
  const list = make("ul");
  list.append(...data.findings.map(findingItem));
  section.append(list);
  return section;
}

function findingItem(finding) {
  const item = make("li", "tv-finding " + finding.severity);
  const head = make(finding.token_span ? "button" : "div", "tv-finding-head");
  if (finding.token_span) {
    head.type = "button";
    head.addEventListener("click", () => { select(finding.token_span[0], true); body.focus({preventScroll: true}); });
  }
  head.append(make("span", "tv-severity", finding.severity), make("code", "", finding.code));
  if (finding.token_span) head.append(make("span", "tv-where", "token " + finding.token_span[0] + " →"));
  item.append(head, make("p", "", visible(finding.detail)), make("p", "tv-remedy", visible(finding.remedy)));
  const offered = data.remedies[finding.code] || [];
  if (offered.length) item.append(remedyButtons(finding.code, offered));
  if (data.explanations[finding.code]) {
    const more = make("details", "tv-more");
    more.append(make("summary", "", "About " + finding.code), make("p", "", data.explanations[finding.code]));
    item.append(more);
  }
  return item;
}

function remedyButtons(code, offered) {
  const box = make("div", "tv-remedies");
  for (const remedy of offered) {
    const node = button(remedy.label, remedy.what, () => {
      for (const other of root.querySelectorAll(".tv-remedies button")) other.disabled = true;
      node.textContent = remedy.label + " …";
      ask("remedy", {name: remedy.name, code}, ".tv-notice");
    });
    node.dataset.remedy = remedy.name;
    box.append(node);
  }
  return box;
}

function issueReport() { // Markdown: what was inspected, every token with what happens to it, and the findings
  const cell = text => "`" + JSON.stringify(text).slice(1, -1).replaceAll("`", "'").replaceAll("|", "\\|") + "`";
  const shownName = shown ? shown.name : data.strategy, count = data.ids.length;
  const rows = data.ids.slice(0, REPORT_TOKENS).map((id, i) => {
    const role = data.turns[i] === null ? "" : data.roles[data.turns[i]];
    return `| ${i} | ${id} | ${cell(data.texts[i])} | ${trainsIn(shown, i) ? "trained" : ""} | ${visible(role)} |`;
  });
  if (count > REPORT_TOKENS) rows.push("", `… ${number(count - REPORT_TOKENS)} more tokens`);
  const findings = data.findings.map(one => `- **${one.severity} ${one.code}**` +
    (one.token_span ? ` at token ${one.token_span[0]}` : "") + `: ${visible(one.detail)}`);
  return [
    `**${data.model}** · ${data.revision || data.source} · template ${data.template} · strategy ${shownName}` +
      (data.modifiers ? ` · ${data.modifiers}` : ""),
    "", ...(findings.length ? findings : ["No findings."]), "",
    `<details><summary>${number(count)} tokens</summary>`, "",
    "| # | id | text | | turn |", "|---|---|---|---|---|", ...rows, "", "</details>", "",
    "`ids`: `" + JSON.stringify(data.ids.slice(0, REPORT_TOKENS)) + "`", "",
    location.href.split("#")[0] + (data.link ? "#" + data.link : ""),
  ].join("\n");
}
