// Scores images by a detector that adlib exported: see README.md.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ort from "onnxruntime-node";
import sharp from "sharp";

const SEVERITY_ERROR = 3; // of ONNX Runtime's levels of logging

/** Decode a PNG or JPEG of 8 bits to RGB, upright, its numbers as Pillow reads them. */
async function decode(bytes) {
  // Colour profiles are left alone: they would change the numbers.
  const image = sharp(bytes, { failOn: "warning", ignoreIcc: true });
  const { format, depth, space } = await image.metadata();
  if (format !== "png" && format !== "jpeg") throw new Error("it is neither PNG nor JPEG");
  if (depth !== "uchar") throw new Error("it has more than 8 bits a channel");
  if (space === "cmyk") throw new Error("it is neither grey nor RGB");
  return image
    .autoOrient() // upright, as EXIF says
    .removeAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
}

async function load(path) {
  const session = await ort.InferenceSession.create(await readFile(path), {
    logSeverityLevel: SEVERITY_ERROR,
  });
  if (!session.inputNames.includes("images") || !session.outputNames.includes("score"))
    throw new Error("it is not a model that adlib exported");
  return session;
}

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function main(words) {
  const maps = words[0] === "--maps" ? words.splice(0, 2)[1] : null;
  const [model, ...images] = words;
  if (!images.length) {
    console.error("Usage: node score.mjs [--maps FOLDER] MODEL.onnx IMAGE...");
    return 2;
  }
  let path = model;
  try {
    const session = await load(path);
    console.log("path,score,verdict,ms");
    for (const [i, image] of images.entries()) {
      path = image;
      const { data, info } = await decode(await readFile(path));
      const shape = [1, info.height, info.width, info.channels];
      const pixels = new ort.Tensor("uint8", data, shape);
      const begun = performance.now();
      const found = await session.run({ images: pixels });
      const ms = performance.now() - begun;
      const verdict = { 1: "normal", "-1": "anomalous" }[found.verdict?.data[0]] ?? "";
      // Nine digits give a float32 back exactly.
      const score = found.score.data[0].toPrecision(9);
      console.log(`${quoted(path)},${score},${verdict},${ms.toFixed(1)}`);
      if (maps) await writeFile(join(maps, `${i}.f32`), found.anomaly_map.data);
    }
  } catch (error) {
    console.error(`error: ${path} cannot be used: ${error.message}`);
    return 1;
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
