/** What the page's components are given: gradio's own arguments, and the JSON that Python packs for each of them. */

/** What gradio gives a component's script. */
interface Gradio {
  element: HTMLElement;
  props: {value?: string | null};
  trigger(event: string, detail?: object): void;
  watch(name: string, act: () => void): void;
  server: {about_issue?: (asked: object) => Promise<IssueJson>};
}

/** Whatever can stand in an element; what is empty is left out. */
type Part = Node | string | false | null | undefined;

/** The bits of a token's class: `Bit` of ui/parts/tokens.py. */
declare const TRAINED: number, SPECIAL: number, STRADDLER: number, PART: number, CUT: number;

/** A token of the token view, which knows its number. */
type TokenNode = HTMLElement & {_index: number};

// --- token_view.py

interface Finding {
  code: string;
  severity: string;
  detail: string;
  remedy: string;
  token_span: [number, number] | null;
  heading: string;
}
interface Verdict { level: "right" | "warning" | "wrong" | "unknown"; trainer: string; setting: string; sentence: string; short: string; }
interface Remedy { name: string; label: string; what: string; }

/** What the token view says beside its tokens. `row`: number, count and title of the row that is shown; `repair`: the
 * problem that an audit found in it, what came of the last click, and whether it is saved. */
interface ViewNotes {
  findings: Finding[];
  explanations: Record<string, string>;
  remedies: Record<string, Remedy[]>;
  notices: string[];
  row: [number, number, string] | null;
  repair: {problem: string; said: string; isSaved: boolean} | null;
  canUndo: boolean;
}
interface FailureJson extends ViewNotes {
  failure: {title: string; detail: string; line: number | null; isTemplate: boolean; isHint: boolean};
}

/** A strategy over the tokens shown. `reasons`: a character a token, its code less 48 an index into `reasonTexts`; null
 * where the trainer takes no such row, and then so is `count`. `isKnown`: shown before "Show all". */
interface StrategyJson {
  name: string;
  options: string;
  count: number | null;
  verdict: Verdict;
  isKnown: boolean;
  reasons: string | null;
  remarks: string[];
}
/** `key`: of the inspection whose tokens these are. `waits`: how many tokens there are, where nothing was compared yet. */
interface ComparisonJson { key: string; waits: number | null; strategies: StrategyJson[]; }

/** An image in the text: the tokens [first, end) stand for it. `thumbnail`: a small copy as an address, "" for none. */
interface ImageJson { first: number; end: number; height: number; width: number; thumbnail: string; }

/** An inspection. Most lists have an entry a token: its text, id, span of characters, class (a hexadecimal digit), turn
 * (null for the template's own text), reason (an index into `reasonTexts`) and origins (indices into `origins`). `truth`:
 * the right reasons, null where they are those shown. */
interface InspectionJson extends ViewNotes {
  failure?: undefined;
  model: string;
  revision: string | null;
  source: string;
  template: string;
  strategy: string;
  verdict: Verdict;
  key: string;
  encoder: string;
  modifiers: string;
  texts: string[];
  whole: Record<number, string>;
  ids: number[];
  starts: number[];
  ends: number[];
  classes: string;
  turns: (number | null)[];
  reasons: number[];
  truth: number[] | null;
  reasonTexts: string[];
  reasonTrains: boolean[];
  cut: number;
  roles: string[];
  origins: {text: string; kind: string; line: number | null; message: number | null}[];
  tokenOrigins: number[][];
  images: ImageJson[];
  link: string;
  selected: number | null;
}

/** What Python knows for an issue report: the versions here, and the script that asks the trainer, or why there is none. */
interface IssueJson { versions: [string, string][]; script: string; why: string; }

// --- rows_view.py

interface ShownRow {
  number: number;
  place: string;
  canOpen: boolean;
  why?: undefined;
  total: number;
  trained: number;
  texts: string[];
  classes: number[];
  turns: (number | null)[];
  roles: string[];
}
interface UnusableRow { number: number; place: string; canOpen: boolean; why: string; }
type RowsJson = {failure: string; isHint: boolean} | {failure?: undefined; title: string; rows: (ShownRow | UnusableRow)[]};

// --- report.py

interface FileJson { name: string; text: string; }
interface Blocks {
  text: {kind: "text"; text: string; sign: string};
  progress: {kind: "progress"; text: string; share: number | null};
  heading: {kind: "heading"; text: string};
  table: {kind: "table"; head: string[]; rows: string[][]};
  code: {kind: "code"; text: string; label: string; isDiff: boolean};
  files: {kind: "files"; files: FileJson[]};
  pieces: {kind: "pieces"; label: string; tokens: {id: number; text: string}[]};
}
interface ReportJson { blocks: Blocks[keyof Blocks][]; }

/** The file that the saver saves, or the button it clicks. */
type SaverJson = {click: string} | {click?: undefined; name: string; base64: string};

// --- data_tab/batch_view.py

/** A row of a batch: lists with an entry a token, up to a limit. `sources`: which inspected row each token is from. */
interface BatchRow {
  total: number;
  padding: number;
  trained: number;
  tokens: string[];
  ids: number[];
  attention: number[];
  positions: number[];
  labels: number[];
  sources: (number | null)[];
  boundaries: number[];
  cutBefore: string[];
  cutBehind: string[];
}
interface Batch { failure?: undefined; rows: BatchRow[]; places: string[]; cut: number[]; said: string; }
type BatchJson = {failure: string} | Batch;

// --- data_tab/report.py

interface DataFinding {
  code: string;
  heading: string;
  severity: string;
  rows: number;
  count: number | null;
  detail: string;
  remedy: string;
  about: string;
  clusters: [string, number][];
  otherClusters: number;
  examples: {place: string; detail: string; canOpen: boolean}[];
}
interface FindingsJson { rows: number; findings: DataFinding[]; }

// --- models_tab: docs/board.json, with whether a row's model can be opened

type BoardLevel = "right" | "wrong" | "unknown";
/** `official`: how many ids are the vendor's, of how many; `own`: whether the tokenizer is the model's own; `trainers`: the
 * trainer, how good it is, what it does in a few words. */
interface BoardModel {
  model: string;
  own: boolean;
  rendered: number;
  official: [number, number] | null;
  exact: number;
  tagged: boolean;
  trainers: [string, BoardLevel, string][];
  canOpen: boolean;
}
interface BoardJson { tried: number; models: BoardModel[]; }

// --- inspect_tab: the conversation, as the user writes it

type Message = Record<string, unknown>;
type Conversation = Message[] | {messages: Message[]};

// --- train_tab

/** A curve. `run`: which of the runs that are shown it is of. */
interface Series { name: string; run: number; x: number[]; y: number[]; }
interface ChartData { title: string; series: Series[]; }
interface ChartJson { charts: ChartData[]; isLog: boolean; }
interface Plotly { react(node: HTMLElement, traces: object[], layout: object, config: object): void; }

/** How surprised the model is at each token; a loss is null where nothing stands before the token. */
interface Moment {
  losses: (number | null)[];
  guesses: string[];
  probabilities: number[];
  right: boolean[];
  mean: number | null;
}
interface ScoredRow {
  row: number;
  answer: string;
  tokens: number;
  texts: string[];
  trained: number[];
  moments: Record<string, Moment | undefined>;
}
interface ScoresJson { rows: ScoredRow[]; }

/** A run in the table. `created`: seconds since the epoch. */
interface RunRow {
  id: string;
  name: string;
  state: string;
  step: number;
  steps: number | null;
  loss: number | null;
  data: string;
  seconds: number | null;
  created: number;
}
/** `shown`, `others`: ids, of the run that is shown and of those laid over it. */
interface RunsJson { rows: RunRow[]; shown: string | null; others: string[]; }

/** gradio's own: among others the catalogues of ui/language, by what browsers call a language. */
declare var gradio_config: {i18n_translations?: Record<string, Record<string, string> | undefined> | null} | undefined;

// --- wiring: what gradio's events call

interface Window {
  Plotly?: Plotly;
  chosenIn(id: string, value: unknown): unknown;
  addressAsked(fields: string[]): string;
  modelAsked(model: string | null, revision: string | null): void;
  modelShown(loaded: [string | null, string | null] | null): void;
}
