// Opens the pages of a report from disk in a real browser and does what a reader does; prints what was seen as JSON.
// Arguments: the folder of playwright-core, the browser, the folder of the report.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [library, browserPath, report] = process.argv.slice(2);
const { chromium } = createRequire(`${library}/`)("playwright-core");
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
const address = (name) => pathToFileURL(`${report}/${name}`).href;
const seen = { errors: [], requests: [] };

async function open(name, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1040 }, ...options });
  page.on("console", (message) => { if (message.type() === "error") seen.errors.push(`${name}: ${message.text()}`); });
  page.on("pageerror", (error) => seen.errors.push(`${name}: ${error.message}`));
  page.on("request", (request) => { if (!/^(file|data|blob):/.test(request.url())) seen.requests.push(request.url()); });
  await page.goto(address(name));
  return page;
}

const page = await open("dashboard.html");
seen.answer = await page.locator(".answer").innerText();
const cell = page.locator(".cell", { hasText: "FO-02" });
await cell.click();
seen.told = await page.locator("#told-FO-02").innerText();
seen.expanded = await cell.getAttribute("aria-expanded");
await cell.click();
seen.closed = await page.locator("#told-FO-02").isHidden();

const picture = page.locator("#picture-1 .picture");
await picture.scrollIntoViewIfNeeded();
seen.bars = await picture.locator("rect").count();
seen.words = await picture.locator("svg text").allTextContents();
const box = await picture.locator("svg").boundingBox();
const width = await picture.evaluate((place) => place.picture.width);
const x = await picture.evaluate((place) => place.picture.x(1));
await page.mouse.move(box.x + (x * box.width) / width, box.y + box.height / 2);
const tip = picture.locator(".tip");
seen.tip = (await tip.isVisible()) ? await tip.innerText() : "nothing is shown";
const whole = await picture.evaluate((place) => place.picture.shown);
await page.locator("#picture-1 button", { hasText: "+" }).click();
seen.zoomed = (await picture.evaluate((place) => place.picture.shown[1] - place.picture.shown[0])) < whole[1] - whole[0];
await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 4 });
await page.mouse.up();
const dragged = await picture.evaluate((place) => place.picture.shown);
await picture.press("0");
const again = await picture.evaluate((place) => place.picture.shown);
seen.dragged = dragged[1] - dragged[0] < again[1] - again[0] && again[1] === whole[1];
await page.selectOption("#choice", "picture-2");
seen.secondWords = await page.locator("#picture-2 .picture svg text").allTextContents();
seen.second = await page.locator("#picture-2 .picture rect").count();
seen.led = (await page.locator("#picture-2 .picture svg text").allTextContents()).filter((one) => /^(who led|leader)/.test(one));
seen.ledAlone = (await page.locator("#picture-1 .picture svg text").allTextContents()).filter((one) => /^(who led|leader)/.test(one));
seen.run = await page.locator("#run svg a rect").count();
await page.locator("#figures summary").first().click();
seen.figures = await page.locator("#figures tbody tr, #figures table tr").first().isVisible();

await page.locator("#broken a", { hasText: "evidence" }).first().click();
await page.waitForURL(/index\.html/);
seen.failure = await page.locator("article.failure").first().innerText();
seen.failurePicture = await page.locator("article.failure .picture rect").count();
await page.locator("article.failure [data-copy]").first().click();
await page.waitForFunction(() => document.querySelector("article.failure [data-copy]").textContent !== "copy");
seen.copied = await page.locator("article.failure [data-copy]").first().innerText();
await page.fill("#search", "passed reads");
seen.found = await page.locator("#found").innerText();
await page.fill("#search", "");
const passed = page.locator("details[data-text*='passed']").first();
await passed.locator("summary").first().click();
seen.steps = await passed.locator(".steps li").count();
const file = await page.locator("article.failure a[href^='attachments/']").first().getAttribute("href");
const attachment = await open(file);
seen.attachment = await attachment.locator("body").innerText();

await page.locator("article.failure a", { hasText: "What it means" }).first().click();
await page.waitForURL(/on-call\.html#FO-02/);
seen.guide = await page.locator("#FO-02").innerText();

const onCall = await open("on-call.html");
seen.folded = await onCall.locator("#PF-01").isHidden();
await onCall.fill("#search", "pf-01");
seen.unfolded = await onCall.locator("#PF-01").isVisible();

seen.overflow = {};
for (const name of ["dashboard.html", "index.html", "on-call.html", "compare.html", "whole/dashboard.html"]) {
  const phone = await open(name, { viewport: { width: 400, height: 800 } });
  seen.overflow[name] = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}
const colours = [];
for (const colorScheme of ["light", "dark"]) {
  const painted = await open("dashboard.html", { colorScheme });
  colours.push(await painted.evaluate(() => getComputedStyle(document.body).backgroundColor));
}
seen.colours = colours;
async function sheets(name) {
  const pdf = await (await open(name)).pdf({ preferCSSPageSize: true });
  return pdf.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
}
seen.sheets = [await sheets("dashboard.html"), await sheets("whole/dashboard.html")];
const whole_run = await open("whole/dashboard.html");
seen.gridBegins = await whole_run.evaluate(() => document.querySelector("#promises .cell").getBoundingClientRect().top);
seen.cells = await whole_run.locator("#promises .cell").count();
await browser.close();
console.log(JSON.stringify(seen));
