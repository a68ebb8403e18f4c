// Parallel coordinates on a canvas: a line for each point, brushes on any number of axes.
// Altair draws ten thousand lines of eight axes in seconds and a step of a brush in one; this takes 0.1 s.
// data: bytes = u32 length of the header, JSON header padded to 4, then Float32 places, axis by axis, 0 (low) to 1, NaN: none.
const TOP = 34, BOTTOM = 14, SIDE = 70, AXIS = 96, STEP = 0.05, MANY = 1000;
const FEW = 500;  // as many as the page's charts draw (points.py): of more, what is below waits for the axes

function showParallel({ data, parentElement: root, setStateValue }) {
  const bytes = new Uint8Array(data);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const { axes, count, best, restored } = header;
  const places = new Float32Array(bytes.slice(4 + length).buffer);  // slice: aligned to 4
  const box = root.querySelector(".parallel");
  const canvas = root.querySelector("canvas");
  const known = box.brushes;
  if (restored !== box.restored) [box.restored, box.brushes] = [restored, { ...header.brushes }];  // at first, and after Back or Forward
  const brushes = box.brushes;  // axis name → [low, high]; stays when new points come
  for (const old of box.querySelectorAll(".axis")) old.remove();
  box.style.minWidth = `${AXIS * axes.length}px`;  // on a telephone the axes scroll, so that their names stay apart
  const style = getComputedStyle(box);
  const colour = name => style.getPropertyValue(name).trim();
  let [width, height] = [0, 0];  // as of the last paint: to ask the box for each of ten thousand points takes long
  const x = axis => SIDE + axis * (width - 2 * SIDE) / Math.max(1, axes.length - 1);
  const y = place => TOP + (1 - place) * (height - TOP - BOTTOM);
  const inside = point => axes.every((axis, a) => {
    const brush = brushes[axis.name];
    const place = places[a * count + point];
    return !brush || (place >= Math.fround(brush[0]) && place <= Math.fround(brush[1]));
  });

  const haze = document.createElement("canvas");  // all lines, faint: drawn once, under those that a brush chooses
  let frame = 0;
  const later = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(paint); };
  function paint() {
    const ratio = window.devicePixelRatio || 1;
    [width, height] = [box.clientWidth, box.clientHeight];
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const pen = canvas.getContext("2d");
    if (haze.width !== canvas.width || haze.height !== canvas.height) {
      [haze.width, haze.height] = [canvas.width, canvas.height];
      const faint = haze.getContext("2d"), alpha = Math.max(0.05, Math.min(0.4, 60 / count));
      faint.scale(ratio, ratio);
      if (count > MANY && width && height) faint.drawImage(density(alpha), 0, 0);  // a hidden box has no pixels
      else drawLines(faint, () => true, "#8a8f98", alpha, 1);
    }
    if (haze.width && haze.height) pen.drawImage(haze, 0, 0);
    pen.scale(ratio, ratio);
    const chosen = [];
    for (let point = 0; point < count; point++) chosen.push(inside(point));
    const brushed = Object.keys(brushes).length > 0;
    const clear = point => chosen[point] && (brushed || point < best);  // points come best first
    // Lines of one pixel are several times as fast as wider ones, where no graphics card draws them.
    drawLines(pen, clear, colour("--st-primary-color"), Math.max(0.15, Math.min(0.85, 300 / count)), count > MANY ? 1 : 1.6);
    pen.globalAlpha = 0.7; pen.strokeStyle = colour("--st-text-color"); pen.lineWidth = 1;
    for (let a = 0; a < axes.length; a++) { pen.beginPath(); pen.moveTo(x(a), y(0)); pen.lineTo(x(a), y(1)); pen.stroke(); }
    for (const [a, element] of elements.entries()) place(element, a);
    box.dataset.chosen = chosen.filter(Boolean).length;
    box.dataset.ready = "true";
    if (count > FEW && !box.told) { box.told = true; setStateValue("drawn", true); }  // list and charts wait for it
  }

  function drawLines(pen, wanted, stroke, alpha, width) {
    pen.strokeStyle = stroke; pen.globalAlpha = alpha; pen.lineWidth = width; pen.lineJoin = "round";
    const [left, top, length] = [axes.map((_, a) => x(a)), y(1), y(0) - y(1)];
    for (let point = count - 1; point >= 0; point--) {  // the best on top
      if (!wanted(point)) continue;
      pen.beginPath();
      let open = false;
      for (let a = 0; a < axes.length; a++) {
        const place = places[a * count + point];
        if (Number.isNaN(place)) { open = false; continue; }
        if (open) pen.lineTo(left[a], top + (1 - place) * length); else pen.moveTo(left[a], top + (1 - place) * length);
        open = true;
      }
      pen.stroke();
    }
  }

  // All lines as the canvas would draw them one by one, counted pixel by pixel: half of its time for ten thousand.
  function density(alpha) {
    const lines = new Float32Array(width * height);
    for (let a = 0; a + 1 < axes.length; a++) {
      const left = Math.round(x(a)), right = Math.round(x(a + 1));
      for (let point = 0; point < count; point++) {
        const from = y(places[a * count + point]), to = y(places[(a + 1) * count + point]), slope = (to - from) / (right - left);
        if (Number.isNaN(slope)) continue;
        const flat = Math.abs(slope) <= 1, step = flat ? slope : 1 / slope;  // a pixel along its longer side, two across
        const along = flat ? 1 : width, across = flat ? width : 1;
        const first = flat ? left : Math.round(Math.min(from, to)), last = flat ? right : Math.round(Math.max(from, to));
        let at = flat ? from : left + step * (first - from);
        for (let place = first; place < last; place++, at += step) {
          const whole = at | 0, part = at - whole, pixel = place * along + whole * across;
          lines[pixel] += 1 - part; lines[pixel + across] += part;
        }
      }
    }
    const sheet = document.createElement("canvas");
    [sheet.width, sheet.height] = [width, height];
    const pen = sheet.getContext("2d"), image = pen.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const fade = Math.log(1 - alpha);
    for (let at = 0; at < lines.length; at++) if (lines[at] > 0) pixels[at] = 255 * (1 - Math.exp(fade * lines[at])) << 24 | 0x988f8a;
    pen.putImageData(image, 0, 0);
    return sheet;
  }

  function place(element, a) {
    element.style.left = `${100 * x(a) / width}%`;  // a share: paper stretches the lines, and nothing is painted again
    element.querySelector(".name").style.maxWidth = `${Math.min(170, x(1) - x(0) - 8)}px`;
    const mark = element.querySelector(".brush"), brush = brushes[axes[a].name];
    mark.hidden = !brush;
    if (brush) { mark.style.top = `${y(brush[1])}px`; mark.style.height = `${Math.max(3, y(brush[0]) - y(brush[1]))}px`; }
    element.querySelectorAll(".tick").forEach((tick, i) => { tick.style.top = `${y(axes[a].ticks[i][0])}px`; });
    element.setAttribute("aria-valuenow", brush ? brush[0] : 0);  // the end that arrows move
    element.setAttribute("aria-valuetext", brush ? `${brush[0].toFixed(2)} to ${brush[1].toFixed(2)} of the axis` : "no brush");
  }

  const tell = () => setStateValue("brushes", { ...brushes });
  const setBrush = (axis, ...ends) => { brushes[axis.name] = ends.map(end => Math.round(1e4 * end) / 1e4); };  // as a URL says it
  function axisElement(axis, a) {
    const element = document.createElement("div");
    element.className = "axis"; element.tabIndex = 0;
    element.setAttribute("role", "slider"); element.setAttribute("aria-label", axis.title);
    element.setAttribute("aria-valuemin", 0); element.setAttribute("aria-valuemax", 1);
    element.title = `${axis.title}: drag to brush, click to clear. Keys: Enter brushes the upper half, arrows move, Escape clears.`;
    const add = (kind, text) => { const part = document.createElement("span"); part.className = kind; part.textContent = text; element.append(part); };
    add("name", axis.title);
    for (const [, text] of axis.ticks) add("tick", text);
    add("brush", "");
    const at = event => Math.min(1, Math.max(0, 1 - (event.clientY - box.getBoundingClientRect().top - TOP) / (box.clientHeight - TOP - BOTTOM)));
    let start = null;
    element.onpointerdown = event => { start = at(event); element.setPointerCapture(event.pointerId); };
    element.onpointermove = event => {
      if (start === null) return;
      const end = at(event);
      if (Math.abs(end - start) > 0.01) { setBrush(axis, Math.min(start, end), Math.max(start, end)); later(); }
    };
    element.onpointerup = event => {
      if (start !== null && Math.abs(at(event) - start) <= 0.01) delete brushes[axis.name];
      start = null; later(); tell();
    };
    element.onkeydown = event => {
      const brush = brushes[axis.name] ?? [0.5, 1];
      if (event.key === "Escape") delete brushes[axis.name];
      else if (event.key === "Enter") setBrush(axis, 0.5, 1);
      else if (event.key === "ArrowUp") setBrush(axis, Math.max(0, Math.min(brush[1] - STEP, brush[0] + STEP)), brush[1]);
      else if (event.key === "ArrowDown") setBrush(axis, Math.max(0, brush[0] - STEP), brush[1]);
      else return;
      event.preventDefault(); later(); tell();
    };
    box.append(element);
    return element;
  }
  const elements = axes.map(axisElement);
  const watcher = new ResizeObserver(later);
  watcher.observe(box);
  later();
  if (known !== undefined && known !== brushes) tell();
  return () => { watcher.disconnect(); cancelAnimationFrame(frame); };
}
