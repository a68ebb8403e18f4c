// Pixels of the grid of probe images: levels and defect numbers in, colours out. Knows no page.

// Of 35 fours of Okabe and Ito's colours the one that stays furthest apart under every colour vision (a test).
const COLOUR = {
  prediction: [230, 159, 0],
  truth: [255, 255, 255],
  gained: [86, 180, 233], // better is blue, worse is warm; what is new is filled, what is gone is hatched
  lost: [213, 94, 0],
  added: [240, 228, 66],
  removed: [0, 114, 178],
};
// Heatmap: nothing where the score is low, so that the photo stays grey; pink, which no decision is.
const HEAT = [
  [0, 110, 30, 120, 0], // level; red, green, blue, alpha
  [48, 120, 30, 125, 0],
  [128, 190, 45, 140, 150],
  [200, 235, 110, 175, 205],
  [255, 255, 205, 225, 240],
];

function rgb([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

/** Little-endian RGBA of a pixel. */
function pixel([r, g, b], alpha) {
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function heatColours() {
  const colours = new Uint32Array(256);
  for (let level = 0; level < 256; level++) {
    const i = Math.max(1, HEAT.findIndex((stop) => stop[0] >= level));
    const [from, to] = [HEAT[i - 1], HEAT[i]];
    const part = (level - from[0]) / (to[0] - from[0]);
    const [r, g, b, a] = [1, 2, 3, 4].map((k) => Math.round(from[k] + part * (to[k] - from[k])));
    colours[level] = pixel([r, g, b], a);
  }
  return colours;
}
const HEAT_COLOURS = heatColours();

/** A square of side 2 × reach + 1 around every pixel of the mask, in two passes. */
function dilated(mask, width, height, reach) {
  const wide = new Uint8Array(mask.length);
  const result = new Uint8Array(mask.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (mask[y * width + x])
        wide.fill(1, y * width + Math.max(0, x - reach), y * width + Math.min(width, x + reach + 1));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (wide[y * width + x])
        for (let k = Math.max(0, y - reach); k <= Math.min(height - 1, y + reach); k++) result[k * width + x] = 1;
  return result;
}

/** Whether a pixel of the mask has a neighbour outside it, `reach` away; the picture's border is no edge. */
function isEdge(levels, i, x, width, reach, t) {
  return (
    (x >= reach && levels[i - reach] < t) ||
    (x + reach < width && levels[i + reach] < t) ||
    (i >= reach * width && levels[i - reach * width] < t) ||
    (i + reach * width < levels.length && levels[i + reach * width] < t)
  );
}

function paintPrediction(target, { levels, width }, t, reach) {
  const [edge, fill] = [pixel(COLOUR.prediction, 255), pixel(COLOUR.prediction, 95)];
  for (let i = 0; i < levels.length; i++)
    target[i] = levels[i] < t ? 0 : isEdge(levels, i, i % width, width, reach, t) ? edge : fill;
}

function paintDifference(target, { levels, defects, width }, before, t, stripe) {
  const [gained, added] = [pixel(COLOUR.gained, 235), pixel(COLOUR.added, 235)];
  const lost = [pixel(COLOUR.lost, 255), pixel(COLOUR.lost, 50)];
  const removed = [pixel(COLOUR.removed, 255), pixel(COLOUR.removed, 60)];
  for (let i = 0; i < levels.length; i++) {
    const [was, is] = [before[i] >= t, levels[i] >= t];
    if (was === is) target[i] = 0;
    else if (is) target[i] = defects[i] ? gained : added;
    else {
      const gap = Math.floor(((i % width) + Math.floor(i / width)) / stripe) % 2;
      target[i] = defects[i] ? lost[gap] : removed[gap];
    }
  }
}

/** Truth as a white line outside the defects, with a dark one around it: bright metal is white too. */
function paintTruth(target, { defects, width, height }, reach) {
  const line = dilated(defects, width, height, reach);
  const halo = dilated(defects, width, height, 2 * reach);
  const [white, dark] = [pixel(COLOUR.truth, 255), pixel([0, 0, 0], 110)];
  for (let i = 0; i < target.length; i++) target[i] = defects[i] || !halo[i] ? 0 : line[i] ? white : dark;
}

/** Boxes of the defects 1, 2, …: [left, top, right, bottom], in pixels. */
function boxesOf(defects, width, count) {
  const boxes = Array.from({ length: count }, () => [Infinity, Infinity, -1, -1]);
  for (let i = 0; i < defects.length; i++) {
    if (defects[i] === 0 || defects[i] > count) continue;
    const [box, x, y] = [boxes[defects[i] - 1], i % width, Math.floor(i / width)];
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1);
    box[3] = Math.max(box[3], y + 1);
  }
  return boxes;
}

/** Levels at another size, by the nearest pixel. */
function resized(levels, width, height, toWidth, toHeight) {
  if (width === toWidth && height === toHeight) return levels;
  const result = new levels.constructor(toWidth * toHeight);
  for (let y = 0; y < toHeight; y++)
    for (let x = 0; x < toWidth; x++)
      result[y * toWidth + x] =
        levels[Math.floor(((y + 0.5) * height) / toHeight) * width + Math.floor(((x + 0.5) * width) / toWidth)];
  return result;
}

/**
 * For each defect of a cell its highest level in another, -1: it is not known there. Defects are the same where
 * their masks overlap, at the larger of both sizes, at which none is lost; `peaks_in` in payload.py is the same.
 */
function matchedPeaks(own, other) {
  if (own.truthPlace === other.truthPlace) return Array.from(other.peaks);
  const [width, height] = [Math.max(own.width, other.width), Math.max(own.height, other.height)];
  const [mine, its] = [own, other].map((cell) => resized(cell.defects, cell.width, cell.height, width, height));
  const peaks = new Array(own.peaks.length).fill(-1);
  mine.forEach((defect, i) => {
    if (defect > 0 && its[i] > 0) peaks[defect - 1] = Math.max(peaks[defect - 1], other.peaks[its[i] - 1]);
  });
  return peaks;
}

/** How a defect's box is drawn: missed ones dashed; against another cell also those found only now. */
function hitOrMiss(hit, hitBefore) {
  if (hitBefore === null) return hit ? null : { colour: "truth", dashed: true };
  if (hit) return hitBefore ? null : { colour: "gained", dashed: false };
  return { colour: hitBefore ? "lost" : "truth", dashed: true };
}

/** A map of the net's output, each cell as a block of grey; black is 0 and white `most`. */
function paintTaught(target, { width, height }, taught, values, most) {
  const nearest = (at, cells, pixels) =>
    Math.min(cells - 1, Math.max(0, Math.round(((at + 0.5) * cells) / pixels - taught.centre)));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const cell = nearest(y, taught.height, height) * taught.width + nearest(x, taught.width, width);
      const grey = Math.round((255 * Math.min(values[cell], most)) / most);
      target[y * width + x] = pixel([grey, grey, grey], 255);
    }
}
