// Scores images by a detector that adlib exported, inside the page: see README.md.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.logLevel = "error";
const PNG = [137, 80, 78, 71];
const JPEG = [255, 216];
const DEPTH_AT = 24; // in a PNG, the byte that says the bits a channel
const NAMES = { 1: "normal", "-1": "anomalous" };
const element = (id) => document.getElementById(id);
let session;

/** Say whether a JPEG has four channels, by the header of its frame. */
function isCmyk(bytes) {
  for (let at = 2; at + 9 < bytes.length; at += 2 + 256 * bytes[at + 2] + bytes[at + 3]) {
    const marker = bytes[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[at + 9] === 4;
  }
  return false;
}

/** Decode a file to a canvas with the numbers that it holds, or throw. */
async function decode(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const starts = (magic) => magic.every((byte, i) => bytes[i] === byte);
  if (!starts(PNG) && !starts(JPEG)) throw new Error("it is neither PNG nor JPEG");
  if (starts(PNG) && bytes[DEPTH_AT] > 8)
    throw new Error("it has more than 8 bits a channel");
  if (starts(JPEG) && isCmyk(bytes)) throw new Error("it is neither grey nor RGB");
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: "none", // a colour profile would change the numbers
    imageOrientation: "from-image",
  });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  // A canvas multiplies colours by alpha, so those of clear pixels are lost.
  for (let i = 3; i < pixels.length; i += 4)
    if (pixels[i] !== 255) throw new Error("it has transparent pixels");
  return { canvas, context, pixels: new Uint8Array(pixels.buffer) };
}

/** Draw a map over a picture: clear up to its mean, red at its maximum. */
function overlay(canvas, context, map) {
  const [, height, width] = map.dims;
  const highest = map.data.reduce((a, b) => Math.max(a, b));
  const mean = map.data.reduce((a, b) => a + b) / map.data.length;
  const heat = new ImageData(width, height);
  map.data.forEach((value, i) => {
    const share = Math.max(0, value - mean) / (highest - mean || 1);
    heat.data.set([255, 0, 0, 200 * share], 4 * i);
  });
  const layer = new OffscreenCanvas(width, height);
  layer.getContext("2d").putImageData(heat, 0, 0);
  context.drawImage(layer, 0, 0, canvas.width, canvas.height);
}

async function show(file) {
  const { canvas, context, pixels } = await decode(file);
  const shape = [1, canvas.height, canvas.width, 4]; // the graph drops the alpha
  const begun = performance.now();
  const found = await session.run({ images: new ort.Tensor("uint8", pixels, shape) });
  const ms = (performance.now() - begun).toFixed(1);
  overlay(canvas, context, found.anomaly_map);
  const score = found.score.data[0];
  const verdict = NAMES[found.verdict?.data[0]] ?? "";
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.className = verdict;
  caption.textContent = `${file.name}: ${score.toPrecision(6)} ${verdict}`;
  Object.assign(figure.dataset, { path: file.name, score: score.toPrecision(9), verdict, ms });
  figure.map = found.anomaly_map.data;
  figure.append(canvas, caption);
  element("results").append(figure);
}

/** Run a step for a file; show what failed, and say whether nothing did. */
async function attempt(file, step) {
  try {
    await step(file);
    return true;
  } catch (error) {
    element("error").textContent += `${file.name} cannot be used: ${error.message}\n`;
    return false;
  }
}

async function load(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const loaded = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  if (!loaded.inputNames.includes("images") || !loaded.outputNames.includes("score"))
    throw new Error("it is not a model that adlib exported");
  session = loaded;
}

element("model").addEventListener("change", async ({ target }) => {
  element("error").textContent = "";
  element("images").disabled = true;
  const is_loaded = await attempt(target.files[0], load);
  element("images").disabled = !is_loaded;
  element("state").textContent = is_loaded ? "Choose images." : "Choose a model.";
});

element("images").addEventListener("change", async ({ target }) => {
  element("error").textContent = "";
  element("results").replaceChildren();
  element("state").textContent = "Scoring ...";
  for (const file of target.files) await attempt(file, show);
  element("state").textContent = "Done.";
});
