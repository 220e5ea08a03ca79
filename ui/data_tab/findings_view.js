// Draws the JSON of data_report.pack_findings, with what tokens.js has: a table of findings, and the rows of the chosen.
const root = element.querySelector(".findings-view");
let data = null, chosen = null; // chosen: the code whose rows are listed, null for all

function build() {
  data = props.value ? JSON.parse(props.value) : null;
  root.replaceChildren();
  if (data) {
    const codes = data.findings.map(finding => finding.code);
    if (!codes.includes(chosen)) chosen = codes[0] || null;
    const title = data.findings.length ? "Findings" : "No findings";
    root.append(make("h2", "fv-title", title));
    if (data.findings.length) root.append(overview(), make("div", "fv-details"));
    drawDetails();
  }
  root.dataset.rev = Number(root.dataset.rev || 0) + 1;
}

function overview() {
  const box = make("div", "rp-scroll"), table = make("table", "fv-table"), head = make("tr");
  for (const name of ["finding", "severity", "rows", "of all", "times"]) {
    const cell = make("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = make("tbody"), top = make("thead");
  top.append(head);
  body.append(...data.findings.map(line));
  table.append(top, body);
  box.append(table);
  return box;
}

function line(finding) {
  const row = make("tr", finding.severity), name = make("th");
  name.scope = "row";
  const choose = button(finding.code, "List the rows of this finding only, or of all again", () => {
    chosen = chosen === finding.code ? null : finding.code;
    drawDetails();
  });
  choose.className = "fv-choose";
  choose.dataset.code = finding.code;
  name.append(choose);
  const share = data.rows ? (100 * finding.rows / data.rows).toFixed(1) + " %" : "";
  row.append(name, make("td", "fv-severity", finding.severity));
  const count = finding.count === null ? "" : number(finding.count);
  for (const text of [number(finding.rows), share, count]) row.append(make("td", "fv-number", text));
  return row;
}

function drawDetails() {
  for (const node of root.querySelectorAll(".fv-choose")) node.setAttribute("aria-pressed", node.dataset.code === chosen);
  const box = root.querySelector(".fv-details");
  if (!box) return;
  box.replaceChildren(...data.findings.filter(f => chosen === null || f.code === chosen).map(details));
}

function details(finding) {
  const box = make("section", "fv-finding tv-finding " + finding.severity);
  const head = make("div", "tv-finding-head");
  head.append(make("span", "tv-severity", finding.severity), make("code", "", finding.code));
  box.append(head);
  if (finding.detail) box.append(make("p", "", visible(finding.detail)));
  if (finding.remedy) box.append(make("p", "tv-remedy", visible(finding.remedy)));
  if (finding.clusters.length) box.append(clusters(finding));
  if (finding.examples.length) box.append(make("h3", "fv-heading", "Rows that show it"), examples(finding));
  if (finding.about) {
    const more = make("details", "tv-more");
    more.append(make("summary", "", "About " + finding.code), make("p", "", finding.about));
    box.append(more);
  }
  return box;
}

function clusters(finding) {
  const list = make("ul", "fv-clusters");
  const all = finding.otherClusters ? [...finding.clusters, ["other", finding.otherClusters]] : finding.clusters;
  for (const [text, count] of all) {
    const item = make("li");
    item.append(make("span", "fv-number", number(count) + " ×"), " ", make("span", "fv-cluster", visible(text)));
    list.append(item);
  }
  return list;
}

function examples(finding) {
  const list = make("ul", "fv-examples");
  finding.examples.forEach((row, at) => {
    const item = make("li"), words = make("div", "fv-words");
    words.append(make("span", "fv-place", visible(row.place)));
    if (row.detail) words.append(make("span", "fv-detail", visible(row.detail)));
    item.append(words);
    if (row.canOpen) {
      const open = button("Open", "Show this row on the Inspect tab, at the token to blame", () => trigger("open", {code: finding.code, at}));
      open.setAttribute("aria-label", `Open ${row.place} for ${finding.code}`);
      item.append(open);
    }
    list.append(item);
  });
  return list;
}

// The charts above were drawn too wide if they could not be seen then: they follow the window's size only.
let width = 0;
new ResizeObserver(() => {
  const now = root.clientWidth;
  if (now && now !== width) window.dispatchEvent(new Event("resize"));
  width = now;
}).observe(root);
build();
watch("value", build);
