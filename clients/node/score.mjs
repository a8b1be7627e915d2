// Scores images by a detector that adlib exported: see README.md.

import { readFile } from "node:fs/promises";
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

async function main([model, ...images]) {
  if (!images.length) {
    console.error("Usage: node score.mjs MODEL.onnx IMAGE...");
    return 2;
  }
  let path = model;
  try {
    const session = await load(path);
    const wanted = session.outputNames.filter((name) => ["score", "verdict"].includes(name));
    console.log("path,score,verdict");
    for (path of images) {
      const { data, info } = await decode(await readFile(path));
      const shape = [1, info.height, info.width, info.channels];
      const pixels = new ort.Tensor("uint8", data, shape);
      const found = await session.run({ images: pixels }, wanted);
      const verdict = { 1: "normal", "-1": "anomalous" }[found.verdict?.data[0]] ?? "";
      // Nine digits give a float32 back exactly.
      console.log(`${quoted(path)},${found.score.data[0].toPrecision(9)},${verdict}`);
    }
  } catch (error) {
    console.error(`error: ${path} cannot be used: ${error.message}`);
    return 1;
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
