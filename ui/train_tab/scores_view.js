// Draws the JSON of scores_view.py, with what tokens.js has. A token's shade says how surprised the model is at it; a
// trained one at which its first guess is another also has a mark, so that nothing is said by colour alone.
const root = element.querySelector(".scores-view");
const STEPS = [0.1, 0.7, 2, 4]; // nats: the bounds between shades
const SHADES = ["under 0.1", "under 0.7 (a coin's toss)", "under 2", "under 4", "4 and more"];
const shade = loss => loss === null ? 0 : STEPS.filter(bound => loss >= bound).length;
let moment = "after";

function build() {
  const data = props.value ? JSON.parse(props.value) : {rows: []};
  root.replaceChildren();
  root.dataset.rev = Number(root.dataset.rev || 0) + 1;
  if (!data.rows.length) return;
  const moments = ["before", "after"].filter(name => data.rows.some(row => row.moments[name]));
  if (!moments.includes(moment)) moment = moments.at(-1);
  const choice = make("div", "sv-choice");
  choice.setAttribute("role", "group");
  choice.setAttribute("aria-label", "Painted by the loss");
  for (const name of moments) {
    const one = button(name, `The loss at each token ${name} training`, () => {
      moment = name;
      build();
      root.querySelector(`.sv-choice [data-moment="${name}"]`).focus();
    });
    one.dataset.moment = name;
    one.setAttribute("aria-pressed", String(name === moment));
    choice.append(one);
  }
  root.append(choice, legend(), ...data.rows.filter(row => row.moments[moment]).map(rowBox));
}

function legend() {
  const box = make("div", "sv-legend");
  SHADES.forEach((text, i) => {
    const item = make("span", "sv-item");
    item.append(make("i", `sv-token sv-${i} trained`, String(i)), " " + text);
    box.append(item);
  });
  const wrong = make("span", "sv-item");
  wrong.append(make("i", "sv-token sv-2 trained wrong", "ab"), " the model's own first guess is another");
  box.append(make("span", "sv-item", "Loss in nats; underlined tokens train:"), wrong);
  return box;
}

function rowBox(row) {
  const own = row.moments[moment], box = make("section", "sv-row"), head = make("div", "sv-head");
  const means = ["before", "after"].filter(name => row.moments[name] && row.moments[name].mean !== null)
    .map(name => `${name} ${row.moments[name].mean.toFixed(3)}`).join(", ");
  head.append(make("h3", "", `Row ${row.row}${row.answer ? ` · ${row.answer}` : ""}`), make("span", "", `loss ${means}`));
  const tokens = make("div", "sv-tokens"), said = make("p", "sv-said");
  tokens.tabIndex = 0; // arrow keys walk through it
  tokens.setAttribute("role", "group");
  tokens.setAttribute("aria-label", `Tokens of row ${row.row}, ${moment} training; arrow keys choose one`);
  said.setAttribute("role", "status");
  said.textContent = "Choose a token: its loss, and what the model would write there.";
  const nodes = row.texts.map((text, i) => {
    const isWrong = row.trained[i] && own.losses[i] !== null && !own.right[i];
    const node = make("i", `sv-token sv-${shade(own.losses[i])}${row.trained[i] ? " trained" : ""}${isWrong ? " wrong" : ""}`);
    fillToken(node, text);
    node.addEventListener("click", () => choose(i));
    tokens.append(node);
    return node;
  });
  let current = -1;
  const quoted = text => JSON.stringify(visible(text));
  function choose(i) {
    if (current >= 0) nodes[current].classList.remove("current");
    current = Math.max(0, Math.min(nodes.length - 1, i));
    nodes[current].classList.add("current");
    const train = row.trained[current] ? "trains" : "does not train";
    said.textContent = own.losses[current] === null ? `${quoted(row.texts[current])} ${train}; nothing stands before it.`
      : `${quoted(row.texts[current])} ${train}; loss ${own.losses[current].toFixed(3)} nats; the model's first guess is ` +
        `${quoted(own.guesses[current])}, with ${(100 * own.probabilities[current]).toFixed(1)} %.`;
  }
  tokens.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (step) { event.preventDefault(); choose(current < 0 ? 0 : current + step); }
    if (event.key === "Home" || event.key === "End") { event.preventDefault(); choose(event.key === "Home" ? 0 : nodes.length - 1); }
  });
  if (row.tokens > row.texts.length) tokens.append(make("span", "sv-more", ` … ${number(row.tokens - row.texts.length)} more tokens`));
  box.append(head, tokens, said);
  return box;
}

build();
watch("value", build);
