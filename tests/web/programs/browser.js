// A browser that a test drives: one JSON object a line comes in, one goes out for each.

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const PATIENCE_MS = 30_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const pages = new Map();
const traces = new Map();
const errors = [];
let context;

const actions = {
  async open({ page, url, width = 1440, height = 900 }) {
    const opened = pages.get(page) ?? (await context.newPage());
    if (!pages.has(page)) {
      pages.set(page, opened);
      opened.setDefaultTimeout(PATIENCE_MS);
      opened.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
      });
      opened.on("pageerror", (error) => errors.push(error.stack));
    }
    await opened.setViewportSize({ width, height });
    await opened.goto(url);
  },
  click: ({ page, selector }) => pages.get(page).locator(selector).first().click(),
  fill: ({ page, selector, text }) => pages.get(page).locator(selector).fill(text),
  choose: ({ page, selector, value }) => pages.get(page).locator(selector).selectOption(value),
  press: ({ page, key }) => pages.get(page).keyboard.press(key),
  reload: ({ page }) => pages.get(page).reload(),
  // Waits until a part of the page has this text in it.
  see: ({ page, selector, text }) =>
    pages.get(page).locator(selector).filter({ hasText: text }).first().waitFor({ state: "attached" }),
  // Waits until no part of the page has this text in it.
  miss: ({ page, selector, text }) =>
    pages.get(page).locator(selector).filter({ hasText: text }).first().waitFor({ state: "detached" }),
  evaluate: ({ page, script }) => pages.get(page).evaluate(script),
  picture: ({ page, file }) => pages.get(page).screenshot({ path: file }),
  // From now on the browser notes what its main thread does.
  async trace({ page }) {
    const session = await context.newCDPSession(pages.get(page));
    traces.set(page, { session, events: [] });
    session.on("Tracing.dataCollected", ({ value }) => traces.get(page).events.push(...value));
    const traceConfig = { includedCategories: ["devtools.timeline"] };
    await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig });
  },
  // What it did since: processor time of the scripts for each picture, and of each layout.
  async costs({ page }) {
    const { session, events } = traces.get(page);
    const complete = new Promise((done) => session.once("Tracing.tracingComplete", done));
    await session.send("Tracing.end");
    await complete;
    return costs(events);
  },
  // The rules that the page breaks, with the elements that break them.
  async axe({ page }) {
    const source = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
    await pages.get(page).evaluate(source);
    const found = await pages.get(page).evaluate("axe.run()");
    return found.violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.html).join(" ")}`);
  },
  // What the console complained of since it was last asked.
  errors: async () => errors.splice(0),
};

/** For each picture: scripts since the end of the one before, and how many messages came since. */
function costs(events) {
  const thread = (event) => `${event.pid} ${event.tid}`;
  const drawing = events.filter((event) => event.name === "FireAnimationFrame");
  // Only the page draws, so its main thread is the one that does.
  const main = drawing.length > 0 ? thread(drawing[0]) : "";
  const isDone = (event) => event.ph === "X" || event.name === "WebSocketReceive";
  const done = events.filter((event) => isDone(event) && thread(event) === main);
  done.sort((left, right) => left.ts - right.ts);
  const layouts_ms = done.filter((event) => event.name === "Layout").map(cpu_ms);
  const pictures = [];
  let script_ms = 0;
  let messages = 0;
  let until = 0;
  for (const event of done) {
    if (event.name === "WebSocketReceive") messages += 1;
    const isScript = ["FireAnimationFrame", "FunctionCall", "EvaluateScript"].includes(event.name);
    // What is called by a script is in its time already.
    if (!isScript || event.ts < until) continue;
    until = event.ts + event.dur;
    script_ms += cpu_ms(event);
    if (event.name !== "FireAnimationFrame") continue;
    pictures.push({ script_ms, messages });
    script_ms = 0;
    messages = 0;
  }
  return { pictures, layouts_ms };
}

/** Time of the processor, in which that of other programs is not counted. */
function cpu_ms(event) {
  if (event.tdur === undefined) throw new Error(`no processor time for ${event.name}`);
  return event.tdur / 1000;
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "browser-"));
  context = await chromium.launchPersistentContext(folder, {
    executablePath: process.argv[2],
    headless: true,
    args: FLAGS,
    colorScheme: "dark",
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { action, ...details } = JSON.parse(line);
    let answer;
    try {
      answer = { ok: true, value: (await actions[action](details)) ?? null };
    } catch (error) {
      answer = { ok: false, error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  await context.close();
  fs.rmSync(folder, { recursive: true, force: true });
}

main();
