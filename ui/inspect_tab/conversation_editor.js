/** The messages as rows of role and text. Its value is the conversation's JSON; what a row cannot show stays untouched.
 * @extends {Component<Conversation>} */
class ConversationEditor extends Component {
  static ROLES = ["system", "user", "assistant", "tool"];
  static TYPING_MS = 350;
  /** @type {Conversation | null} */
  conversation = null;
  /** @type {Message[]} */
  messages = [];
  /** @type {string | null} the value that an edit of our own has made */
  own = null;
  /** @type {number | undefined} */
  timer;

  get value() { return ConversationEditor.parsed(this.page.props.value); }

  start() {
    super.start();
    new ResizeObserver(() => { // hidden tabs have no height
      for (const area of this.root.querySelectorAll("textarea")) ConversationEditor.#grow(area);
    }).observe(this.root);
  }

  draw() {
    if (this.page.props.value === this.own) return; // our own edit came back: keep the cursor where it is
    this.own = null;
    super.draw();
  }

  /** @param {Conversation | null} conversation */
  build(conversation) {
    const isEmpty = !this.page.props.value?.trim();
    const messages = isEmpty ? [] : ConversationEditor.messagesOf(conversation);
    Object.assign(this, {conversation: isEmpty ? messages : conversation, messages: messages ?? []});
    if (messages) this.#drawRows();
    if (isEmpty) this.root.prepend(make("p", "ce-hint", say("Paste a conversation into the JSON tab, or add a message.")));
    if (!messages) this.root.append(make("p", "ce-hint", say("The JSON is not a conversation yet; see the JSON tab.")));
  }

  /** The value that a text stands for; null without any. @param {string | null | undefined} text */
  static parsed(text) {
    try { return JSON.parse(text || "null"); } catch { return null; }
  }

  /** The messages of what may be a conversation; null if it is none.
   * @param {any} value @returns {Message[] | null} */
  static messagesOf(value) {
    if (Array.isArray(value)) return value;
    return Array.isArray(value?.messages) ? value.messages : null;
  }

  #drawRows() {
    const add = set(make("button", "ce-add", `+ ${say("Add message")}`), {type: "button"});
    add.addEventListener("click", () => {
      this.#edit(messages => messages.push(ConversationEditor.following(messages)));
      find(this.root, ".ce-row:nth-last-of-type(1) textarea").focus();
    });
    const rows = this.messages.map((message, i) => this.#row(message, i));
    const controls = [...rows.map(({controls}) => controls).filter(row => row.length), [add]];
    const list = set(make("div", "ce-rows", ...rows.map(({box}) => box), add), {role: "toolbar", "aria-label": say("Messages")});
    const first = controls.flat().find(one => kindOf(one) === "text") ?? add;
    this.root.replaceChildren(asOneStop(list, controls, first));
  }

  /** The message that comes after these. @param {Message[]} messages @returns {Message} */
  static following(messages) { return {role: messages.at(-1)?.role === "user" ? "assistant" : "user", content: ""}; }

  /** @param {Message} message @param {number} index */
  #row(message, index) {
    if (!message || typeof message !== "object") {
      return {box: make("div", "ce-row", make("p", "ce-hint", `Message ${index} is not an object.`)), controls: []};
    }
    const others = Object.keys(message).filter(name => name !== "role" && name !== "content");
    const box = make("div", "ce-row"), role = this.#roleSelect(message, index, box), tools = this.#tools(index);
    box.dataset.role = ConversationEditor.roleOf(message);
    const fields = [this.#field(message, "content", `Content of message ${index}`),
      ...others.map(name => this.#field(message, name, `${name} of message ${index}`, name))];
    const areas = fields.map(field => find(field, "textarea"));
    box.append(make("div", "ce-head", make("span", "ce-index", String(index)), role, make("span", "ce-tools", ...tools)), ...fields);
    return {box: set(box, {role: "group", "aria-label": `Message ${index}`}), controls: [role, ...tools, ...areas]};
  }

  /** The role that colours a message. @param {Message} message */
  static roleOf({role}) { return ConversationEditor.ROLES.find(known => known === role) ?? "other"; }

  /** The roles to choose from; one that is not known stays. @param {Message} message */
  static rolesFor({role}) { return [...new Set([...ConversationEditor.ROLES, String(role)])]; }

  /** @param {Message} message @param {number} index @param {HTMLElement} box */
  #roleSelect(message, index, box) {
    const options = ConversationEditor.rolesFor(message).map(role => Object.assign(make("option", "", role), {value: role}));
    const select = set(make("select", "", ...options), {"aria-label": `Role of message ${index}`});
    select.value = String(message.role);
    select.addEventListener("change", () => {
      message.role = box.dataset.role = select.value;
      this.#changed(0);
    });
    return select;
  }

  /** @param {number} index */
  #tools(index) {
    /** @param {string} text @param {string} title @param {number} to where the message is then
     * @param {(messages: Message[]) => void} edit */
    const tool = (text, title, to, edit) => {
      const node = set(make("button", "", text), {type: "button", title, "aria-label": `${title}: message ${index}`});
      node.addEventListener("click", () => {
        this.#edit(edit);
        const row = Math.max(0, Math.min(to, this.messages.length - 1));
        (find(this.root, `[aria-label="${title}: message ${row}"]`) ?? find(this.root, ".ce-add")).focus();
      });
      return node;
    };
    return [
      tool("↑", "Move up", index - 1, messages => ConversationEditor.swap(messages, index, index - 1)),
      tool("↓", "Move down", index + 1, messages => ConversationEditor.swap(messages, index, index + 1)),
      tool("✕", "Remove", index, messages => messages.splice(index, 1)),
    ];
  }

  /** Have two messages change places, if both are there.
   * @param {Message[]} messages @param {number} one @param {number} other */
  static swap(messages, one, other) {
    if (other >= 0 && other < messages.length) [messages[one], messages[other]] = [messages[other], messages[one]];
  }

  /** Change the list of messages. @param {(messages: Message[]) => void} edit */
  #edit(edit) {
    edit(this.messages);
    this.#drawRows();
    this.#changed(0);
  }

  /** @param {Message} message @param {string} name @param {string} label @param {string} [title] */
  #field(message, name, label, title) {
    const {isText, text} = ConversationEditor.written(message, name);
    const area = set(make("textarea", isText ? "" : "is-json"),
      {rows: 1, spellcheck: false, "aria-label": label + (isText ? "" : " (JSON)")});
    area.value = text;
    area.addEventListener("input", () => {
      ConversationEditor.#grow(area);
      const isRead = ConversationEditor.read(message, name, area.value, isText);
      if (isRead) area.removeAttribute("aria-invalid");
      else set(area, {"aria-invalid": true});
      if (isRead) this.#changed(ConversationEditor.TYPING_MS);
    });
    requestAnimationFrame(() => ConversationEditor.#grow(area));
    return make("label", "ce-field", title && make("span", "ce-name", title), area);
  }

  /** Text is edited as text, anything else (parts, tool calls, null) as JSON. @param {Message} message @param {string} name */
  static written(message, name) {
    const value = message[name], isText = typeof value === "string" || (name === "content" && value === undefined);
    return {isText, text: isText ? String(value ?? "") : JSON.stringify(value, null, 1)};
  }

  /** Take what was typed into the message; false where it should be JSON and is not.
   * @param {Message} message @param {string} name @param {string} text @param {boolean} isText */
  static read(message, name, text, isText) {
    try { message[name] = isText ? text : JSON.parse(text); return true; } catch { return false; }
  }

  /** @param {HTMLTextAreaElement} area */
  static #grow(area) {
    area.style.height = "auto";
    area.style.height = Math.min(320, area.scrollHeight + 2) + "px";
  }

  /** @param {number} delay in ms */
  #changed(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.page.props.value = this.own = JSON.stringify(this.conversation, null, 2);
      this.page.trigger("input");
    }, delay);
  }
}
