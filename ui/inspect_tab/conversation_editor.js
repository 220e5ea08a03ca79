// The messages as rows of role and text. Its value is the conversation's JSON; what a row cannot show stays untouched.
const root = element.querySelector(".conversation-editor");
const ROLES = ["system", "user", "assistant", "tool"];
let conversation = null, isList = false, timer = null, own = null;

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const messages = () => isList ? conversation : conversation.messages;

function build() {
  if (props.value === own) return; // our own edit came back: keep the cursor where it is
  own = null;
  try { conversation = JSON.parse(props.value || "null"); } catch (error) { conversation = null; }
  isList = Array.isArray(conversation);
  root.replaceChildren();
  if (conversation && (isList || Array.isArray(conversation.messages))) drawAll();
  else root.append(make("p", "ce-hint", "The JSON is not a conversation yet; see the JSON tab."));
  root.dataset.rev = Number(root.dataset.rev || 0) + 1;
}

function drawAll() {
  root.replaceChildren(...messages().map(row));
  const add = make("button", "ce-add", "+ Add message");
  add.type = "button";
  add.addEventListener("click", () => {
    const last = messages().at(-1);
    messages().push({role: last && last.role === "user" ? "assistant" : "user", content: ""});
    drawAll();
    changed(0);
    root.querySelector(".ce-row:nth-last-of-type(1) textarea").focus();
  });
  root.append(add);
}

function row(message, index) {
  const box = make("div", "ce-row");
  if (!message || typeof message !== "object") { box.append(make("p", "ce-hint", `Message ${index} is not an object.`)); return box; }
  box.dataset.role = ROLES.includes(message.role) ? message.role : "other";
  const head = make("div", "ce-head");
  head.append(make("span", "ce-index", String(index)), roleSelect(message, index, box), tools(index));
  box.append(head, field(message, "content", `Content of message ${index}`));
  for (const name of Object.keys(message)) {
    if (name !== "role" && name !== "content") box.append(field(message, name, `${name} of message ${index}`, name));
  }
  return box;
}

function roleSelect(message, index, box) {
  const select = make("select");
  select.setAttribute("aria-label", `Role of message ${index}`);
  for (const role of ROLES.includes(message.role) ? ROLES : [...ROLES, String(message.role)]) {
    const option = make("option", "", role);
    option.value = role;
    select.append(option);
  }
  select.value = String(message.role);
  select.addEventListener("change", () => { message.role = select.value; box.dataset.role = select.value; changed(0); });
  return select;
}

function tools(index) {
  const box = make("span", "ce-tools");
  const tool = (text, title, action) => {
    const node = make("button", "", text);
    node.type = "button";
    node.title = title;
    node.setAttribute("aria-label", `${title}: message ${index}`);
    node.addEventListener("click", () => { action(messages()); drawAll(); changed(0); });
    box.append(node);
  };
  tool("↑", "Move up", list => { if (index) [list[index - 1], list[index]] = [list[index], list[index - 1]]; });
  tool("↓", "Move down", list => { if (index + 1 < list.length) [list[index + 1], list[index]] = [list[index], list[index + 1]]; });
  tool("✕", "Remove", list => list.splice(index, 1));
  return box;
}

// Text is edited as text, anything else (parts, tool calls, null) as JSON; JSON that does not parse is marked, not sent.
function field(message, name, label, title) {
  const box = make("label", "ce-field");
  if (title) box.append(make("span", "ce-name", title));
  const isText = typeof message[name] === "string" || (name === "content" && message[name] === undefined);
  const area = make("textarea", isText ? "" : "is-json");
  area.value = isText ? message[name] || "" : JSON.stringify(message[name], null, 1);
  area.rows = 1;
  area.spellcheck = false;
  area.setAttribute("aria-label", label + (isText ? "" : " (JSON)"));
  area.addEventListener("input", () => {
    grow(area);
    if (isText) message[name] = area.value;
    else {
      try { message[name] = JSON.parse(area.value); area.removeAttribute("aria-invalid"); }
      catch (error) { area.setAttribute("aria-invalid", "true"); return; }
    }
    changed(350);
  });
  requestAnimationFrame(() => grow(area));
  box.append(area);
  return box;
}

function grow(area) {
  area.style.height = "auto";
  area.style.height = Math.min(320, area.scrollHeight + 2) + "px";
}

function changed(delay) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    own = JSON.stringify(conversation, null, 2);
    props.value = own;
    trigger("input");
  }, delay);
}

new ResizeObserver(() => root.querySelectorAll("textarea").forEach(grow)).observe(root); // hidden tabs have no height
build();
watch("value", build);
