// Opens the page in chromium, scores images in it, prints what it shows: see README.md.

import { chromium } from "playwright-core";

const [address, screenshot, model, ...images] = process.argv.slice(2);
if (!images.length) {
  console.error("Usage: node check.mjs ADDRESS SCREENSHOT.png MODEL.onnx IMAGE...");
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
  console.log("path,score,verdict");
  for (const { path, score, verdict } of figures) console.log(`${path},${score},${verdict}`);
  await page.screenshot({ path: screenshot });
  const refused = await page.textContent("#error");
  if (refused) {
    console.error(`error: ${refused.trim()}`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
