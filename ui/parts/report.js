// Draws the blocks of report.py, with what tokens.js has.
const root = element.querySelector(".report");

const say = (node, text) => {
  const before = node.dataset.text || (node.dataset.text = node.textContent);
  node.textContent = text;
  setTimeout(() => { node.textContent = before; }, 1500);
};
const copy = text => async event => {
  const node = event.currentTarget;
  try { await navigator.clipboard.writeText(text); say(node, "Copied"); } catch (error) { say(node, "Copying was refused"); }
};
const save = file => () => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([file.text], {type: "text/plain;charset=utf-8"}));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

const BLOCKS = {
  text(block) {
    const node = make("p", "rp-text");
    if (block.sign) node.append(make("b", "rp-sign", block.sign));
    if (block.sign === "✗") node.setAttribute("role", "alert");
    node.append(visible(block.text));
    return node;
  },
  progress(block) {
    const box = make("div", "rp-progress"), bar = make("progress");
    bar.max = 1;
    if (block.share !== null) bar.value = block.share;
    bar.setAttribute("aria-label", "Progress");
    box.append(bar, make("span", "", visible(block.text)));
    return box;
  },
  heading: block => make("h2", "rp-heading", block.text),
  table(block) {
    const box = make("div", "rp-scroll"), table = make("table", "rp-table");
    if (block.head.some(Boolean)) table.append(line("th", block.head));
    table.append(...block.rows.map(row => line("td", row)));
    box.append(table);
    return box;
  },
  code(block) {
    const box = make("div", "rp-code"), pre = make("pre");
    pre.tabIndex = 0; // it scrolls: the keyboard must get there
    pre.setAttribute("aria-label", block.label);
    for (const text of block.text.split("\n")) {
      const kind = !block.isDiff || /^(---|\+\+\+) /.test(text) ? "" : {"+": "rp-added", "-": "rp-removed", "@": "rp-place"}[text[0]];
      pre.append(make("span", kind, visible(text)), "\n");
    }
    const head = make("div", "rp-head");
    head.append(make("span", "rp-label", block.label), button("Copy", "Copy to the clipboard", copy(block.text)));
    box.append(head, pre);
    return box;
  },
  files(block) {
    const box = make("div", "rp-files");
    box.append(...block.files.map(file => button("Download " + file.name, "Save this file", save(file))));
    return box;
  },
  pieces(block) {
    const box = make("div", "rp-pieces");
    box.append(make("span", "rp-label", block.label));
    const list = make("span", "rp-tokens");
    for (const token of block.tokens) {
      const one = make("span", "rp-token");
      one.append(make("span", "rp-piece", visible(token.text).replaceAll(" ", "␣").replaceAll("\n", "⏎")), make("span", "rp-id", String(token.id)));
      list.append(one);
    }
    box.append(list, make("span", "rp-count", `${block.tokens.length} token${block.tokens.length === 1 ? "" : "s"}`));
    return box;
  },
};

function line(cell, texts) {
  const row = make("tr");
  texts.forEach((text, i) => {
    const node = make(i || cell === "th" ? cell : "th", "", visible(text));
    if (node.tagName === "TH") node.scope = cell === "th" ? "col" : "row";
    row.append(node);
  });
  return row;
}

function build() {
  const data = props.value ? JSON.parse(props.value) : {blocks: []};
  root.replaceChildren(...data.blocks.map(block => BLOCKS[block.kind](block)));
  root.classList.remove("stale");
  root.dataset.rev = Number(root.dataset.rev || 0) + 1;
}

build();
watch("value", build);
