// Bytes and numbers of the grid of probe images: every count at any threshold is a lookup.

const MIDDLE = 128; // the level that is the model's own threshold

function parse(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const body = bytes.subarray(4 + length);
  return { header, blob: (place) => body.slice(place[0], place[0] + place[1]) };
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** counts[t] becomes the sum of counts[t..255]: what reaches a threshold of t. */
function reaching(counts) {
  const sums = Float64Array.from(counts);
  for (let t = 254; t >= 0; t--) sums[t] += sums[t + 1];
  return sums;
}

/** What a cell, or all images of a column, find at each threshold. */
class Numbers {
  constructor(positives, negatives, peaks) {
    this.hits = reaching(positives);
    this.alarms = reaching(negatives);
    this.found = reaching(peaks);
    this.pixels = this.hits[0] + this.alarms[0];
  }
  at(t) {
    const [tp, fp, defects] = [this.hits[t], this.alarms[t], this.found[0]];
    const fn = this.hits[0] - tp;
    return { tp, fp, fn, iou: tp / (tp + fp + fn), found: this.found[t], defects };
  }
}

function numbersOf(cell, blob) {
  if (cell.counts === null) return null;
  const counts = new Int32Array(blob(cell.counts).buffer);
  const peaks = new Float64Array(256);
  for (const peak of blob(cell.peaks)) peaks[peak] += 1;
  return new Numbers(counts.subarray(0, 256), counts.subarray(256), peaks);
}

function totalsOf(column, blob) {
  if (column.totals === null) return null;
  const counts = new Float64Array(blob(column.totals).buffer);
  return new Numbers(counts.subarray(0, 256), counts.subarray(256, 512), counts.subarray(512));
}

/** The lowest score that a level stands for. */
function scoreOf([lo, threshold, hi], level) {
  if (level < MIDDLE) return lo + ((threshold - lo) * level) / MIDDLE;
  return threshold + ((hi - threshold) * (level - MIDDLE)) / MIDDLE;
}

/** A column's threshold at a level, as a multiple of its model's own; NaN where that is 0. */
function factorOf(scale, level) {
  return scale[1] > 0 ? scoreOf(scale, level) / scale[1] : NaN;
}

/** `own × 1.3`, or `own × 1.3 – 1.6` of several models; empty where there is no factor. */
function factorText(factors) {
  const texts = factors.filter(Number.isFinite).sort((a, b) => a - b).map((factor) => factor.toFixed(2));
  if (texts.length === 0) return "";
  const [low, high] = [texts[0], texts[texts.length - 1]];
  return `own × ${low === high ? low : `${low} – ${high}`}`;
}

const factorsOf = (columns, level) =>
  factorText(columns.filter(({ scale }) => scale !== null).map(({ scale }) => factorOf(scale, level)));

/** Scores and names of all test images of a column, those of defective ones first; null where nobody knows them. */
function scoresOf(column, blob) {
  if (column.scores === null) return null;
  const all = new Float64Array(blob(column.scores).buffer);
  const names = JSON.parse(new TextDecoder().decode(blob(column.samples)));
  const { defective, independent } = column;
  return { defective: all.subarray(0, defective), normal: all.subarray(defective), names, independent };
}

/**
 * The threshold of an image's score: at a level of the slider, whose middle is the model's own; or the lowest that
 * at most `alarms` of the normal test images reach.
 */
function imageThresholdOf({ imageThreshold, scores }, level, alarms) {
  if (imageThreshold === null || scores === null) return imageThreshold;
  const all = [...scores.defective, ...scores.normal];
  const [low, high] = [Math.min, Math.max].map((of) => all.reduce((one, other) => of(one, other), imageThreshold));
  if (alarms === null) return level === MIDDLE ? imageThreshold : scoreOf([low, imageThreshold, high], level);
  const normal = [...scores.normal].sort((a, b) => b - a);
  if (alarms >= normal.length) return low;
  const above = all.filter((score) => score > normal[alarms]);
  return above.length === 0 ? Infinity : Math.min(...above);
}

/**
 * What a threshold of images' scores gets wrong, of all test images. Photos of one part err together, so that they
 * have no exact limit.
 */
function imageErrors({ defective, normal, independent }, threshold) {
  const count = (scores, wrong) => scores.reduce((sum, score) => sum + wrong(score), 0);
  const escapes = count(defective, (score) => score < threshold);
  const alarms = count(normal, (score) => score >= threshold);
  const text = (wrong, images) => (independent ? rateText(wrong, images) : `${wrong} of ${images} photos`);
  return `escapes ${text(escapes, defective.length)} · false alarms ${text(alarms, normal.length)}`;
}

/** `0 of 60 (at most 4.9 %)`: as `rate_text` in Python, with the exact upper limit, 95 % sure. */
function rateText(wrong, parts) {
  if (parts === 0) return "0 of 0";
  const percent = 100 * exactLimit(wrong, parts);
  const step = percent < 10 ? 10 ** (Math.floor(Math.log10(percent)) - 1) : 1;
  const limit = Number((Math.ceil(percent / step - 1e-9) * step).toPrecision(6));
  return `${wrong} of ${parts} (at most ${limit} %)`;
}

/** The rate at which so few wrong parts, or fewer, are seen with a chance of 5 % (Clopper and Pearson). */
function exactLimit(wrong, parts) {
  if (wrong >= parts) return 1;
  // The sum of a binomial distribution falls with its rate: halve the interval that holds the limit.
  let [low, high] = [wrong / parts, 1];
  for (let step = 0; step < 45; step++) {
    const rate = (low + high) / 2;
    let logTerm = parts * Math.log1p(-rate); // of no wrong part
    let sum = Math.exp(logTerm);
    for (let k = 1; k <= wrong; k++) {
      logTerm += Math.log(((parts - k + 1) * rate) / (k * (1 - rate)));
      sum += Math.exp(logTerm);
    }
    if (sum > 0.05) low = rate;
    else high = rate;
  }
  return high;
}

/** All escapes and false alarms of columns at their thresholds, as CSV. */
function wrongImages(columns, thresholds) {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const lines = [["variant", "image", "error", "score", "threshold"].join()];
  columns.forEach(({ name, scores }, i) => {
    if (scores === null || thresholds[i] === null) return;
    [...scores.defective, ...scores.normal].forEach((score, image) => {
      const [defective, reaches] = [image < scores.defective.length, score >= thresholds[i]];
      if (defective === reaches) return;
      const error = defective ? "escape" : "false alarm";
      lines.push([quoted(name), quoted(scores.names[image]), error, score, thresholds[i]].join());
    });
  });
  return lines.join("\n") + "\n";
}

/** An image's decision by its score, beside its threshold; a score that reaches it is decided defective. */
function decisionOf(score, threshold, defective) {
  if (threshold === null) return { text: `score ${share(score)}`, wrong: false };
  if (threshold === Infinity) return { text: `pass ${share(score)}, as all · ${defective ? "missed" : "correct"}`, wrong: defective };
  const reaches = score >= threshold;
  const digits = share(score) === share(threshold) ? 6 : 3; // two numbers that differ are not written alike
  const numbers = `${score.toFixed(digits)} ${reaches ? "≥" : "<"} ${threshold.toFixed(digits)}`;
  const wrong = reaches !== defective;
  const verdict = wrong ? (reaches ? "false alarm" : "missed") : "correct";
  return { text: `${reaches ? "fail" : "pass"} ${numbers} · ${verdict}`, wrong };
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const change = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0, signDisplay: "exceptZero" });
const share = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
const shareChange = (value) => {
  const text = Math.abs(value).toFixed(3);
  return !Number.isFinite(value) ? "–" : `${value < 0 && Number(text) > 0 ? "−" : "+"}${text}`;
};
const changed = (value) => (value === 0 ? "±0" : change.format(value).replace("-", "−"));

function captionOf(numbers, base, t) {
  const now = numbers.at(t);
  if (base !== null) {
    const before = base.at(t);
    const found = now.defects > 0 ? ` · found ${changed(now.found - before.found)}` : "";
    const first = now.defects > 0 ? `IoU ${shareChange(now.iou - before.iou)}${found}` : "no defect";
    const misses = now.defects > 0 ? ` · FN ${changed(now.fn - before.fn)}` : "";
    const pixels = `FP ${changed(now.fp - before.fp)}${misses} px`;
    return [first, numbers.pixels === base.pixels ? pixels : "pixels are of two sizes"];
  }
  if (now.defects === 0) return ["no defect", `FP ${whole.format(now.fp)} px`];
  return [
    `IoU ${share(now.iou)} · found ${now.found} of ${now.defects}`,
    `FP ${whole.format(now.fp)} · FN ${whole.format(now.fn)} px`,
  ];
}

/** The least or most of values, of which there may be more than a call takes arguments. */
const extreme = (values, of) => values.reduce((one, other) => of(one, other));

/** Target and weights of the mask loss, a value for each cell of the net's output. */
async function taughtMaps({ width, height, centre, target, weights }, blob) {
  const maps = await Promise.all([target, weights].map(async (place) => new Float32Array((await inflate(blob(place))).buffer)));
  return { width, height, centre, target: maps[0], weights: maps[1], heaviest: extreme(maps[1], Math.max) };
}

const shortNumber = (value) => String(Number(value.toFixed(2)));

function taughtCaption({ width, height, target, weights }, picture) {
  const cells = `${height} × ${width} grid cells`;
  if (picture === "target") return [`target in ${cells}`, `${target.filter((value) => value > 0).length} above 0`];
  const inside = weights.filter((_, i) => target[i] > 0);
  if (inside.length === 0) return [`weights in ${cells}`, `${shortNumber(weights[0])} everywhere`];
  const [least, most] = [Math.min, Math.max].map((of) => shortNumber(extreme(inside, of)));
  return [`weights in ${cells}`, least === most ? `${most} everywhere` : `${least} to ${most} at the defect`];
}
