// The grid of probe images, drawn and counted in the browser: on the page Images, in notebooks and in files.
//
// Python sends photos, levels and counts once (payload.py describes the bytes). Threshold, opacity and
// difference are then only lookups and pixels, without a way to a server; one is told of a new threshold when
// the reader lets go. All text is set as text, never as markup: names come from studies and files.

const ZOOMS = [1, 2, 4, 8];
const PLAIN_LEGEND = [
  ["prediction", "filled", "prediction"],
  ["truth", "outline", "truth"],
  ["truth", "dashed", "missed"],
];
const GREY = { truth: "currentColor", black: "#000", white: "#fff" };
const DIFFERENCE_LEGEND = [
  ["gained", "filled", "defect pixels gained"],
  ["lost", "hatched", "defect pixels lost"],
  ["added", "filled", "false alarm added"],
  ["removed", "hatched", "false alarm removed"],
  ["gained", "outline", "defect found now"],
  ["lost", "dashed", "defect missed now"],
  ["truth", "dashed", "missed by both"],
  ["truth", "outline", "truth"],
];
const TAUGHT_LEGEND = [
  ["black", "filled", "0"],
  ["white", "filled", "most"],
  ["truth", "outline", "truth"],
];

const views = new WeakMap();

/** Show a page of images; the dashboard's component has these three arguments. */
function showMaskGrid({ data, parentElement, setStateValue }) {
  let view = views.get(parentElement);
  if (view === undefined) {
    view = new MaskGrid(parentElement);
    views.set(parentElement, view);
  }
  view.tell = setStateValue;
  view.load(new Uint8Array(data));
  return () => view.rest();
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function legendEntry([name, shape, text]) {
  const entry = element("span", "entry");
  const swatch = element("i", `swatch ${shape}`);
  swatch.style.setProperty("--colour", name in COLOUR && name !== "truth" ? rgb(COLOUR[name]) : GREY[name]);
  if (name in GREY) swatch.style.borderColor = shape === "filled" ? "grey" : "currentColor"; // white is seen on white
  entry.append(swatch, document.createTextNode(text));
  return entry;
}

// Cells ----------------------------------------------------------------------------------------------------

/** One picture with its layers, from the photo up: heatmap, decision, truth. */
class Cell {
  constructor(packed, place) {
    [this.row, this.column] = [place.row, place.column];
    [this.width, this.height] = [packed.width, packed.height];
    [this.score, this.defective] = [packed.score, place.defective];
    this.visible = false;
  }

  async decode(packed, blob) {
    this.numbers = numbersOf(packed, blob);
    this.peaks = packed.peaks === null ? new Uint8Array() : blob(packed.peaks);
    this.photo = new Blob([blob(packed.photo)]);
    this.levels = packed.levels === null ? null : await inflate(blob(packed.levels));
    this.truthPlace = packed.truth === null ? "" : packed.truth.join();
    const size = this.width * this.height;
    const truth = packed.truth === null ? null : await inflate(blob(packed.truth));
    this.defects = truth === null ? new Uint8Array(size) : packed.bits === 16 ? new Uint16Array(truth.buffer) : truth;
    this.boxes = boxesOf(this.defects, this.width, this.peaks.length);
    this.taught = packed.taught === null ? null : await taughtMaps(packed.taught, blob);
  }

  build(column, sample) {
    this.frame = element("button", "frame");
    this.frame.type = "button";
    this.label = `${column.name}, ${sample}`;
    this.stack = element("span", "stack");
    this.image = element("img", "photo");
    this.image.alt = "";
    this.image.draggable = false;
    this.image.src = URL.createObjectURL(this.photo);
    this.layers = ["heat", "decision", "truth-line"].map((name) => {
      const canvas = element("canvas", name);
      [canvas.width, canvas.height] = [this.width, this.height];
      return canvas;
    });
    this.stack.append(this.image, ...this.layers);
    this.frame.append(this.stack);
    this.frame.style.setProperty("--ratio", this.width / this.height);
    this.lines = [0, 1, 2].map(() => element("span", "line"));
    this.decide(column.imageThreshold);
    const caption = element("figcaption", "");
    caption.append(...this.lines);
    const figure = element("figure", this.width < 1.25 * this.height ? "cell beside" : "cell");
    figure.append(this.frame, caption);
    this.fill(0, (target) => this.levels?.forEach((level, i) => (target[i] = HEAT_COLOURS[level])));
    return figure;
  }

  /** Decide the image anew, by a threshold of its score. */
  decide(threshold) {
    if (this.score === null) return;
    const { text, wrong } = decisionOf(this.score, threshold, this.defective);
    this.decision = text;
    this.lines[2].classList.toggle("wrong", wrong);
    this.frame.classList.toggle("wrong", wrong);
  }

  fill(layer, paint) {
    const context = this.layers[layer].getContext("2d");
    const data = context.createImageData(this.width, this.height);
    paint(new Uint32Array(data.data.buffer));
    context.putImageData(data, 0, 0);
    return context;
  }

  /** Pixels of the picture to one of the screen. */
  grain(zoom) {
    return this.width / Math.max(1, this.stack.clientWidth) / zoom;
  }

  paintTruth(zoom) {
    this.fill(2, (target) => paintTruth(target, this, Math.max(1, Math.round(this.grain(zoom)))));
  }

  paint(t, base, zoom) {
    if (this.levels === null) return;
    const grain = this.grain(zoom);
    const compared = base !== null && base !== this;
    const context = this.fill(1, (target) => {
      if (!compared) return paintPrediction(target, this, t, Math.max(1, Math.round(1.2 * grain)));
      return paintDifference(target, this, this.against(base).levels, t, Math.max(2, Math.round(3 * grain)));
    });
    const known = compared ? this.against(base).peaks : [];
    this.boxes.forEach((box, i) => {
      const hitBefore = known[i] >= 0 ? known[i] >= t : null;
      this.mark(context, box, grain, hitOrMiss(this.peaks[i] >= t, hitBefore));
    });
  }

  /** Levels of another cell at this one's size, and its peaks of this one's defects; kept until another is asked for. */
  against(base) {
    if (this.compared?.base !== base) {
      const levels = resized(base.levels, base.width, base.height, this.width, this.height);
      this.compared = { base, levels, peaks: matchedPeaks(this, base) };
    }
    return this.compared;
  }

  mark(context, [left, top, right, bottom], grain, style) {
    if (style === null || right < 0) return;
    const gap = 3 * grain;
    context.strokeStyle = rgb(COLOUR[style.colour]);
    context.lineWidth = 1.5 * grain;
    context.setLineDash(style.dashed ? [4 * grain, 3 * grain] : []);
    const [x, y] = [Math.max(grain, left - gap), Math.max(grain, top - gap)];
    const [x2, y2] = [Math.min(this.width - grain, right + gap), Math.min(this.height - grain, bottom + gap)];
    context.strokeRect(x, y, x2 - x, y2 - y);
  }

  /** What the net was taught, instead of what it decides; `most`: the value that is white. */
  paintTaught(picture, most) {
    this.fill(1, (target) => this.taught && paintTaught(target, this, this.taught, this.taught[picture], most));
  }

  sayTaught(picture) {
    const shown = this.taught === null ? ["nothing is taught"] : taughtCaption(this.taught, picture);
    this.lines.forEach((line, i) => (line.textContent = shown[i] ?? ""));
    this.frame.setAttribute("aria-label", [this.label, ...shown].join(", "));
  }

  say(t, base) {
    const compared = base !== null && base !== this && base.numbers !== null;
    const shown = this.numbers === null ? [] : captionOf(this.numbers, compared ? base.numbers : null, t);
    if (this.score !== null && this.numbers === null) shown.push("mask unknown");
    shown[2] = this.decision;
    this.lines.forEach((line, i) => (line.textContent = shown[i] ?? ""));
    this.frame.setAttribute("aria-label", [this.label, ...shown.filter((line) => line)].join(", "));
  }
}

// The grid -------------------------------------------------------------------------------------------------

class MaskGrid {
  constructor(root) {
    this.root = root;
    this.tell = () => {};
    this.cells = [];
    this.zooms = [];
    this.key = "";
    this.loading = 0;
    this.input = (name) => root.querySelector(`input.${name}`);
    this.pictures = root.querySelector("select.picture");
    this.grid = root.querySelector(".grid");
    this.observer = new IntersectionObserver((entries) => this.see(entries), { rootMargin: "200px" });
    this.paintAll = () => this.cells.forEach((cell) => this.paint(cell, true)); // paper shows more than a window
    this.listen();
  }

  get level() {
    return Number(this.input("threshold").value);
  }

  get differs() {
    return this.base >= 0 && this.picture === "decision" && this.input("difference").checked;
  }

  get picture() {
    return this.pictures.value;
  }

  get imageLevel() {
    return Number(this.input("image-threshold").value);
  }

  /** The most false alarms that are wanted; null: any number. */
  get alarms() {
    const { value } = this.input("alarms");
    return value === "" || !(Number(value) >= 0) ? null : Math.floor(Number(value));
  }

  listen() {
    const threshold = this.input("threshold");
    const [images, alarms] = [this.input("image-threshold"), this.input("alarms")];
    const tellImages = () => {
      this.repaint();
      this.tell("image", this.imageLevel);
      this.tell("alarms", this.alarms ?? "");
    };
    images.oninput = () => {
      alarms.value = ""; // the slider takes over
      this.repaint();
    };
    images.onchange = tellImages;
    alarms.oninput = () => {
      images.value = MIDDLE;
      this.repaint();
    };
    alarms.onchange = tellImages;
    this.root.querySelector(".reset-images").onclick = () => {
      [images.value, alarms.value] = [MIDDLE, ""];
      tellImages();
    };
    this.root.querySelector(".wrong-images").onclick = () => {
      const file = new Blob([wrongImages(this.columns, this.thresholds)], { type: "text/csv" });
      const link = element("a", "");
      [link.href, link.download] = [URL.createObjectURL(file), "escapes_and_false_alarms.csv"];
      link.click();
      URL.revokeObjectURL(link.href);
    };
    threshold.oninput = () => this.repaint();
    threshold.onchange = () => this.tell("threshold", this.level);
    this.root.querySelector(".reset").onclick = () => {
      threshold.value = MIDDLE;
      this.repaint();
      threshold.onchange();
    };
    this.input("difference").onchange = () => {
      this.repaint();
      this.tell("difference", this.differs);
    };
    this.pictures.onchange = () => {
      this.repaint();
      this.tell("picture", this.picture);
    };
    for (const name of ["opacity", "size", "truth", "prediction"]) this.input(name).oninput = () => this.restyle();
    this.grid.onclick = (event) => this.zoomAt(event);
    this.grid.onkeydown = (event) => this.press(event);
  }

  rest() {
    this.observer.disconnect();
    removeEventListener("beforeprint", this.paintAll);
    cancelAnimationFrame(this.scheduled);
  }

  async load(bytes) {
    const { header, blob } = parse(bytes);
    if (header.view.restored !== this.restored) this.adopt(header.view);
    this.pictures.hidden = !header.view.shows_targets;
    if (!header.view.shows_targets) this.pictures.value = "decision";
    if (this.key === header.key) return this.watch();
    this.key = header.key;
    const turn = ++this.loading;
    const places = header.rows.flatMap((row, r) =>
      row.cells.map((packed, c) => ({ packed, row: r, column: c, defective: row.label })),
    );
    const cells = places.map((place) => (place.packed === null ? null : new Cell(place.packed, place)));
    await Promise.all(cells.map((cell, i) => cell?.decode(places[i].packed, blob)));
    if (turn !== this.loading) return; // another page was asked for meanwhile
    this.columns = header.columns.map((column) => ({
      ...column, numbers: totalsOf(column, blob), scores: scoresOf(column, blob),
    }));
    this.base = header.base;
    this.build(header, cells);
  }

  /** Take over the page's state, at first and after Back or Forward; of these the page is told, as of a choice. */
  adopt({ level, difference, picture, image, alarms, restored }) {
    const before = [this.level, this.input("difference").checked, this.picture, this.imageLevel, this.alarms ?? ""];
    [this.input("threshold").value, this.input("difference").checked, this.pictures.value] = [level, difference, picture];
    [this.input("image-threshold").value, this.input("alarms").value] = [image, alarms];
    const now = { threshold: level, difference, picture, image, alarms };
    const changed = Object.entries(now).filter(([, value], i) => value !== before[i]);
    if (this.restored !== undefined) changed.forEach((choice) => this.tell(...choice));
    if (this.columns !== undefined) this.repaint();
    this.restored = restored;
  }

  build(header, cells) {
    this.cells.forEach((cell) => URL.revokeObjectURL(cell.image.src));
    this.rest();
    this.cells = cells.filter((cell) => cell !== null);
    const taught = this.cells.filter((cell) => cell.taught !== null).map((cell) => cell.taught);
    this.most = { target: 1, weights: Math.max(1, ...taught.map(({ heaviest }) => heaviest)) };
    this.zooms = header.rows.map(() => ({ factor: 1, x: 0.5, y: 0.5 }));
    this.heads = this.columns.map(({ name, mark }) => {
      const [head, title] = [element("div", "column"), element("div", "title")];
      const letter = element("i", "mark", mark);
      letter.hidden = mark === "";
      title.append(letter, element("b", "name", name));
      head.append(title, ...[0, 1, 2, 3].map(() => element("span", "line")));
      return head;
    });
    this.root.querySelector(".of-images").hidden = this.columns.every(({ scores }) => scores === null);
    const counts = new Set(this.columns.map(({ images }) => images));
    this.images = counts.size === 1 ? [...counts][0] : null;
    const corner = element("div", "corner");
    this.labels = [0, 1, 2, 3].map(() => element("span", "line"));
    corner.append(element("b", "name", "\u00a0"), ...this.labels);
    const rows = header.rows.flatMap((row, r) => [
      rowHead(row),
      ...row.cells.map((_, c) => {
        const cell = cells[r * row.cells.length + c];
        return cell === null ? element("div", "absent", "not kept") : cell.build(this.columns[c], row.sample);
      }),
    ]);
    this.grid.style.setProperty("--columns", this.columns.length);
    this.grid.classList.toggle("single", header.rows.length === 1);
    this.grid.style.setProperty("--widest", Math.max(...this.cells.map(({ width, height }) => width / height)));
    this.grid.replaceChildren(corner, ...this.heads, ...rows);
    this.columns.forEach((column, c) => this.sayColumn(column, this.heads[c], MIDDLE)); // no threshold has more words
    const beyondNames = corner.offsetHeight - corner.firstChild.offsetHeight;
    this.grid.style.setProperty("--names", `max(0px, ${beyondNames}px - 4.3rem)`); // four single lines and padding
    const against = this.root.querySelector(".against");
    against.hidden = this.base < 0;
    against.title = this.base < 0 ? "" : `Every picture as its difference to ${this.columns[this.base].name}`;
    this.watch();
    this.repaint();
  }

  watch() {
    this.frames = new Map(this.cells.map((cell) => [cell.frame, cell]));
    this.cells.forEach((cell) => this.observer.observe(cell.frame));
    addEventListener("beforeprint", this.paintAll);
  }

  see(entries) {
    for (const { target, isIntersecting } of entries) {
      const cell = this.frames.get(target);
      if (cell === undefined || cell.visible === isIntersecting) continue;
      cell.visible = isIntersecting;
      if (isIntersecting) this.paint(cell, true);
    }
  }

  baseOf(cell) {
    if (!this.differs) return null;
    const base = this.cells.find(({ row, column }) => row === cell.row && column === this.base);
    return base === undefined || base.levels === null ? null : base;
  }

  paint(cell, withTruth = false) {
    const zoom = this.zooms[cell.row].factor;
    if (this.picture === "decision") cell.paint(this.level, this.baseOf(cell), zoom);
    else cell.paintTaught(this.picture, this.most[this.picture]);
    cell.frame.dataset.level = this.level;
    if (withTruth) cell.paintTruth(zoom);
  }

  /** Numbers of all cells, pixels of the visible ones; in the next frame, however often it is asked for. */
  repaint() {
    cancelAnimationFrame(this.scheduled);
    this.scheduled = requestAnimationFrame(() => {
      const [t, decides] = [this.level, this.picture === "decision"];
      this.root.querySelector(".level").textContent = t === MIDDLE ? "model’s threshold" : factorsOf(this.columns, t);
      this.root.querySelector(".reset").disabled = t === MIDDLE;
      const [images, alarms] = [this.imageLevel, this.alarms];
      this.thresholds = this.columns.map((column) => imageThresholdOf(column, images, alarms));
      this.root.querySelector(".image-level").textContent =
        alarms !== null ? "oracle on the test: models keep their own" : images === MIDDLE ? "model’s threshold" : "";
      this.root.querySelector(".reset-images").disabled = images === MIDDLE && alarms === null;
      this.cells.forEach((cell) => cell.decide(this.thresholds[cell.column]));
      const heads = [`${this.images ?? ""} example images:`.trim(), "defects found:", "pixel threshold:", "all test images:"];
      this.labels.forEach((line, i) => (line.textContent = decides ? heads[i] : ["training masks:", "", "", ""][i]));
      this.columns.forEach((column, c) => this.sayColumn(column, this.heads[c], t, this.thresholds[c]));
      this.cells.forEach((cell) => (decides ? cell.say(t, this.baseOf(cell)) : cell.sayTaught(this.picture)));
      this.cells.filter((cell) => cell.visible).forEach((cell) => this.paint(cell));
      this.restyle();
      this.grid.dataset.ready = `${this.key}:${t}:${this.differs}`;
      this.grid.dataset.picture = this.picture;
    });
  }

  sayColumn({ scale, note, numbers, images, testIou, lesson, scores, imageThreshold }, head, t, reached = imageThreshold) {
    const [iou, found, threshold, errors] = head.querySelectorAll(".line");
    errors.textContent = scores === null || reached === null ? "" : imageErrors(scores, reached);
    if (this.picture !== "decision") {
      [iou.textContent, found.textContent, threshold.textContent, errors.textContent] = [lesson ?? "…", "", "", ""];
      return;
    }
    const own = t === MIDDLE;
    const at = scale === null ? [] : [share(scoreOf(scale, t))];
    const source = own || scale === null ? note : factorText([factorOf(scale, t)]);
    threshold.textContent = [...at, ...(source === "" ? [] : [source])].join(" · ");
    if (numbers === null) return;
    const now = numbers.at(t);
    const ofProbes = `${this.images === null ? `${images} images: ` : ""}IoU ${share(now.iou)}`;
    const ofTest = own && testIou !== null ? [`test set ${share(testIou)}`] : []; // known at the model's own threshold alone
    iou.textContent = [ofProbes, ...ofTest].join(" · ");
    found.textContent = `${now.found} of ${now.defects}`;
  }

  restyle() {
    const { style } = this.grid;
    style.setProperty("--size", this.input("size").value);
    const decides = this.picture === "decision";
    for (const name of ["threshold", "image-threshold", "alarms", "opacity", "prediction", "difference"]) this.input(name).disabled = !decides;
    style.setProperty("--heat", this.differs || !decides ? 0 : this.input("opacity").value / 100);
    style.setProperty("--truth", this.input("truth").checked ? 1 : 0);
    style.setProperty("--decision", this.differs || !decides || this.input("prediction").checked ? 1 : 0);
    style.setProperty("--light", this.differs ? 0.62 : 1);
    const most = ["white", "filled", this.most === undefined ? "" : shortNumber(this.most[this.picture] ?? 1)];
    const entries = this.differs ? DIFFERENCE_LEGEND : decides ? PLAIN_LEGEND : TAUGHT_LEGEND.with(1, most);
    this.root.querySelector(".legend").replaceChildren(...entries.map(legendEntry));
  }

  // Zoom: a row at a time, all its pictures at one place -------------------------------------------------

  zoomAt(event) {
    const cell = this.frames.get(event.target.closest(".frame"));
    if (cell === undefined) return;
    const zoom = this.zooms[cell.row];
    const frame = cell.frame.getBoundingClientRect();
    if (event.detail > 0) {
      // A click of the mouse; the keyboard's has no place.
      zoom.x += ((event.clientX - frame.left) / frame.width - 0.5) / zoom.factor;
      zoom.y += ((event.clientY - frame.top) / frame.height - 0.5) / zoom.factor;
    }
    this.zoom(cell.row, ZOOMS[(ZOOMS.indexOf(zoom.factor) + 1) % ZOOMS.length]);
  }

  zoom(row, factor) {
    const zoom = this.zooms[row];
    const reach = 0.5 / factor; // half of what is seen, as a share of the picture
    zoom.factor = factor;
    zoom.x = factor === 1 ? 0.5 : Math.min(1 - reach, Math.max(reach, zoom.x));
    zoom.y = factor === 1 ? 0.5 : Math.min(1 - reach, Math.max(reach, zoom.y));
    for (const cell of this.cells.filter((one) => one.row === row)) {
      const shift = [zoom.x, zoom.y].map((at) => `${(0.5 - at) * 100 * factor}%`);
      cell.stack.style.transform = `translate(${shift.join()}) scale(${factor})`;
      cell.frame.classList.toggle("zoomed", factor > 1);
      this.paint(cell, true);
    }
  }

  press(event) {
    const cell = this.frames.get(event.target.closest(".frame"));
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (cell === undefined || (step === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    const zoom = this.zooms[cell.row];
    if (step === undefined) this.zoom(cell.row, 1);
    else if (event.shiftKey && zoom.factor > 1) {
      zoom.x += step[0] / 4 / zoom.factor;
      zoom.y += step[1] / 4 / zoom.factor;
      this.zoom(cell.row, zoom.factor);
    } else {
      const [column, row] = [cell.column + step[0], cell.row + step[1]];
      this.cells.find((one) => one.column === column && one.row === row)?.frame.focus();
    }
  }
}

function rowHead(row) {
  const head = element("div", "row");
  const kind = row.label ? (row.class ?? "defective") : "normal";
  const [name, sample] = [element("b", "name", kind), element("span", "sample", row.sample)];
  [name.title, sample.title] = [kind, row.sample];
  head.append(name, sample);
  return head;
}
