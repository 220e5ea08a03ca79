/** The browser tab's title: how far a run is.
 * @extends {Component<{title: string}>} */
class TabTitle extends Component {
  start() { this.page.watch("value", () => { document.title = this.value?.title || "Maskscope"; }); }
}
