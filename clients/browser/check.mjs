// Opens the page in chromium, scores images in it, prints what it shows: see README.md.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const words = process.argv.slice(2);
const maps = words[0] === "--maps" ? words.splice(0, 2)[1] : null;
const [address, screenshot, model, ...images] = words;
if (!images.length) {
  console.error("Usage: node check.mjs [--maps FOLDER] ADDRESS SCREENSHOT.png MODEL.onnx IMAGE...");
  process.exit(2);
}
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
// The sandbox does not start for root, as whom containers run.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`error: ${error.message}`));
  page.on("requestfailed", (request) => console.error(`error: no ${request.url()}`));
  await page.goto(address);
  await page.setInputFiles("#model", model);
  await page.waitForFunction(
    () => state.textContent === "Choose images." || error.textContent,
  );
  if (await page.isEnabled("#images")) {
    await page.setInputFiles("#images", images);
    await page.waitForFunction(() => state.textContent === "Done.", null, {
      timeout: 600_000,
    });
  }
  const figures = await page.$$eval("figure", (all) => all.map((one) => ({ ...one.dataset })));
  console.log("path,score,verdict,ms");
  for (const { path, score, verdict, ms } of figures)
    console.log(`${path},${score},${verdict},${ms}`);
  for (const [i, figure] of maps ? (await page.$$("figure")).entries() : []) {
    const map = await figure.evaluate((one) => Array.from(one.map));
    await writeFile(join(maps, `${i}.f32`), new Float32Array(map));
  }
  await page.screenshot({ path: screenshot });
  const refused = await page.textContent("#error");
  if (refused) {
    console.error(`error: ${refused.trim()}`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
