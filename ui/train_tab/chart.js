// Live charts: one plotly chart a metric, drawn anew in place so that zoom and hover stay. Needs plotly from the server.
const root = element.querySelector(".charts");
let drawn = [];

function plotly() { // loaded once a page, when the first chart is there
  if (window.Plotly) return Promise.resolve(window.Plotly);
  window.maskscopePlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = root.dataset.plotly;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly could not be loaded"));
    document.head.append(script);
  });
  return window.maskscopePlotly;
}

const style = name => getComputedStyle(root).getPropertyValue(name).trim();

function layout(title, revision, lines) {
  const ink = getComputedStyle(root).color;
  return {
    title: {text: title, font: {size: 13, color: ink}, x: 0.02, xanchor: "left"}, uirevision: revision,
    margin: {l: 48, r: 12, t: 30, b: lines > 1 ? 60 : 30}, height: lines > 1 ? 240 : 200, font: {color: ink, size: 11},
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: lines > 1, legend: {orientation: "h", x: 0, y: -0.2, font: {size: 10}},
    xaxis: {gridcolor: "rgba(128,128,128,0.25)", zeroline: false, rangemode: "tozero"},
    yaxis: {gridcolor: "rgba(128,128,128,0.25)", zeroline: false},
  };
}

async function draw() {
  const data = props.value ? JSON.parse(props.value) : {charts: []};
  const shown = data.charts.filter(chart => chart.series.length);
  root.dataset.points = shown.length ? shown[0].series[0].x.length : 0;
  root.dataset.state = shown.length ? "shown" : "empty";
  if (!shown.length) { root.replaceChildren(); drawn = []; return; }
  let Plotly;
  try { Plotly = await plotly(); }
  catch (error) { root.textContent = error.message; return; }
  while (drawn.length > shown.length) drawn.pop().remove();
  while (drawn.length < shown.length) { // all of them before the first is drawn: they share the width
    const node = document.createElement("div");
    node.className = "chart";
    drawn.push(node);
    root.append(node);
  }
  shown.forEach((chart, i) => {
    const value = s => Number(s.y.at(-1)).toPrecision(4);
    const last = chart.series.map((s, k) => (k ? s.name.replaceAll("_", " ") + " " : "") + value(s)).join(", ");
    drawn[i].setAttribute("role", "img");
    drawn[i].setAttribute("aria-label", `${chart.title} ${last} at step ${chart.series[0].x.at(-1)}`);
    const lines = chart.series.map((s, k) => ({
      x: s.x, y: s.y, name: `${s.name} ${value(s)}`, type: "scatter", mode: s.x.length > 12 ? "lines" : "lines+markers",
      line: {color: style(k % 2 ? "--ms-straddler" : "--ms-trained-line") || "#0f8f7c", width: 2,
        dash: ["solid", "dot", "dash", "dashdot"][k % 4]},
    }));
    Plotly.react(drawn[i], lines, layout(`${chart.title} ${value(chart.series[0])}`, chart.title, lines.length), {displayModeBar: false, responsive: true});
  });
}

draw();
watch("value", draw);
