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
