// The comparison under the token view: one strip a strategy, all over the same tokens.
const trainsIn = (strategy, i) => data.reasonTrains[reasonIn(strategy, i)];
const reasonIn = (strategy, i) => strategy ? strategy.reasons.charCodeAt(i) - 48 : data.reasons[i];
const differs = i => shown !== null && trainsIn(shown, i) !== trainsIn(null, i);
const startsDifference = i => differs(i) && (i === 0 || !differs(i - 1));

const baseName = () => data.strategy === "traced" ? "traced (the truth)" : data.strategy + " (as shown)";

function comparison() {
  const section = make("section", "tv-compare");
  const head = make("div", "tv-compare-head");
  const only = button("Differences only", "Fade the tokens on which both agree", () => toggle("differences"));
  only.dataset.setting = "differences";
  head.append(make("h2", "", "What each trainer would train"),
    button("‹ Difference", "Previous difference", () => jumpTo(-1, startsDifference)),
    button("Difference ›", "Next difference (d)", () => jumpTo(1, startsDifference)), only);
  const table = make("div", "tv-strategies");
  table.setAttribute("role", "radiogroup");
  table.setAttribute("aria-label", "Strategy that colours the tokens");
  table.append(strategyRow(null), ...data.strategies.map(strategyRow));
  section.append(head, table);
  return section;
}

function strategyRow(strategy) {
  const row = make("div", "tv-strategy" + (strategy && !strategy.reasons ? " refused" : ""));
  const choose = make("label", "tv-strategy-name");
  const radio = make("input");
  radio.type = "radio";
  radio.name = "tv-strategy";
  radio.disabled = Boolean(strategy && !strategy.reasons);
  radio.checked = shown === strategy;
  radio.addEventListener("change", () => { shown = strategy; recolour(); showDetail(current); });
  choose.append(radio, make("span", "", strategy ? strategy.name : baseName()));
  row.append(choose);
  if (strategy && strategy.options) choose.append(make("code", "tv-options", strategy.options));
  if (!strategy || strategy.reasons) {
    const strip = make("canvas", "tv-strip");
    strip.setAttribute("aria-hidden", "true");
    strip.title = "Click to go to that place";
    strip.addEventListener("click", event => {
      const box = strip.getBoundingClientRect();
      select(Math.floor((event.clientX - box.left) / box.width * nodes.length), true);
    });
    requestAnimationFrame(() => drawStrip(strip, strategy));
    const count = strategy ? strategy.count : countWhere(bits => bits & TRAINED);
    row.append(strip, make("span", "tv-strategy-count", number(count) + " train"),
      make("span", "tv-agreement", strategy ? (100 * strategy.agreement).toFixed(1) + " % agree" : ""));
  }
  for (const remark of strategy ? strategy.remarks : []) row.append(make("p", "tv-remark", visible(remark)));
  return row;
}

function drawStrip(strip, strategy) { // above: what trains; below: where it differs from the truth
  const width = strip.width = Math.max(1, strip.clientWidth), height = strip.height = 18;
  const style = getComputedStyle(root), paint = strip.getContext("2d"), n = nodes.length;
  const trained = new Uint8Array(width), wrong = new Uint8Array(width);
  for (let i = 0; i < n; i++) {
    const is = trainsIn(strategy, i), bad = is !== trainsIn(null, i);
    for (let x = Math.floor(i * width / n); x < Math.max(Math.floor(i * width / n) + 1, Math.floor((i + 1) * width / n)); x++) {
      if (is) trained[x] = 1;
      if (bad) wrong[x] = 1;
    }
  }
  for (let x = 0; x < width; x++) {
    if (trained[x]) { paint.fillStyle = style.getPropertyValue("--ms-trained-line"); paint.fillRect(x, 0, 1, 11); }
    if (wrong[x]) { paint.fillStyle = style.getPropertyValue("--ms-straddler"); paint.fillRect(x, 13, 1, height - 13); }
  }
}

