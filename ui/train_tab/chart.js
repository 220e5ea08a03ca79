/** Live charts: one plotly chart a metric, drawn anew in place so that zoom and hover stay. Needs plotly from the server.
 * @extends {Component<ChartJson>} */
class Chart extends Component {
  static DASHES = ["solid", "dot", "dash", "dashdot"];
  static SYMBOLS = ["circle", "square", "diamond", "cross", "x", "triangle-up"];
  /** @type {HTMLElement[]} */
  drawn = [];
  /** @type {Promise<Plotly> | null} */
  loading = null;

  async draw() {
    const shown = (this.value?.charts ?? []).filter(chart => chart.series.length);
    this.root.dataset.points = String(shown.length ? shown[0].series[0].x.length : 0);
    this.root.dataset.state = shown.length ? "shown" : "empty";
    if (!shown.length) { this.root.replaceChildren(); this.drawn = []; return; }
    const plotly = await this.#plotly().catch(error => { this.root.textContent = error.message; });
    if (plotly) this.#drawAll(plotly, shown);
  }

  /** Plotly, loaded once, when the first chart is there. */
  #plotly() {
    this.loading ??= window.Plotly ? Promise.resolve(window.Plotly) : new Promise((resolve, reject) => {
      const script = make("script");
      script.src = this.root.dataset.plotly ?? "";
      script.onload = () => resolve(/** @type {Plotly} */ (window.Plotly));
      script.onerror = () => reject(new Error("plotly could not be loaded"));
      document.head.append(script);
    });
    return this.loading;
  }

  /** @param {Plotly} plotly @param {ChartData[]} charts */
  #drawAll(plotly, charts) {
    while (this.drawn.length > charts.length) this.drawn.pop()?.remove();
    while (this.drawn.length < charts.length) { // all of them before the first is drawn: they share the width
      this.drawn.push(make("div", "chart"));
      this.root.append(this.drawn[this.drawn.length - 1]);
    }
    const style = getComputedStyle(this.root);
    const colours = ["--ms-trained-line", "--ms-straddler"].map(name => style.getPropertyValue(name).trim() || "#0f8f7c");
    charts.forEach((chart, i) => {
      set(this.drawn[i], {role: "img", "aria-label": Chart.label(chart)});
      plotly.react(this.drawn[i], Chart.traces(chart, colours), Chart.layout(chart, style.color, Boolean(this.value?.isLog)),
        {displayModeBar: false, responsive: true});
    });
  }

  /** The newest value of a series, to four digits. @param {Series} series */
  static last({y}) { return Number(y.at(-1)).toPrecision(4); }

  /** A chart in words. @param {ChartData} chart */
  static label({title, series}) {
    const values = series.map((one, k) => (k ? one.name.replaceAll("_", " ") + " " : "") + Chart.last(one));
    return `${title} ${values.join(", ")} at step ${series[0].x.at(-1)}`;
  }

  /** Each run has its marker, each metric of a run its dash: nothing is said by colour alone.
   * @param {ChartData} chart @param {string[]} colours */
  static traces({series}, colours) {
    return series.map((one, k) => ({
      x: one.x, y: one.y, name: `${one.name} ${Chart.last(one)}`, type: "scatter", mode: "lines+markers",
      line: {color: colours[k % colours.length], width: 2, dash: Chart.DASHES[k % Chart.DASHES.length]},
      marker: {symbol: Chart.SYMBOLS[one.run % Chart.SYMBOLS.length], size: Chart.sizes(one)},
    }));
  }

  /** The size of each marker in pixels: some ten of a curve are seen. @param {Series} series */
  static sizes({x, run}) {
    const step = Math.max(1, Math.ceil(x.length / 10));
    return x.map((_, i) => (i + 3 * run) % step ? 0 : 7);
  }

  /** @param {ChartData} chart @param {string} ink @param {boolean} isLog */
  static layout({title, series}, ink, isLog) {
    const isMany = series.length > 1, axis = {gridcolor: "rgba(128,128,128,0.25)", zeroline: false};
    const canLog = series.every(one => one.y.every(value => value > 0));
    return {
      title: {text: `${title} ${Chart.last(series[0])}`, font: {size: 13, color: ink}, x: 0.02, xanchor: "left"},
      uirevision: title, hovermode: "x unified",
      margin: {l: 48, r: 12, t: 30, b: isMany ? 60 : 30}, height: isMany ? 240 : 200, font: {color: ink, size: 11},
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: isMany, legend: {orientation: "h", x: 0, y: -0.2, font: {size: 10}},
      xaxis: {...axis, rangemode: "tozero", showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: ink},
      yaxis: {...axis, type: isLog && canLog ? "log" : "linear"},
    };
  }
}
