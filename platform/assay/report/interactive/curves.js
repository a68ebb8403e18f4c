// Training curves: one quantity over epochs, a line for each repeat, a colour for each cell. Texts stay texts.
const MARGIN = { left: 64, right: 12, top: 12, bottom: 40 };
const HEIGHT = 340;
const NEAR = 24; // pixels between the pointer and the point that it names

/** A step of 1, 2 or 5 times a power of ten, of which at most `most` lie in a span. */
function stepOf(span, most) {
  const size = 10 ** Math.floor(Math.log10(span / most));
  return [1, 2, 5, 10].map((factor) => factor * size).find((step) => step * most >= span * 0.999);
}

function ticksOf(low, high, most) {
  const step = stepOf(high - low, most);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step).map((at) => [at, at.toFixed(digits)]);
}

function made(tag, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

/** A control with its name beside it. */
function labelled(text, control, ...order) {
  const label = document.createElement("label");
  label.append(...(order.length > 0 ? order : [text, control]));
  return label;
}

function chooser(plots) {
  const select = document.createElement("select");
  const groups = new Map();
  plots.forEach(({ group, what }, i) => {
    if (!groups.has(group)) {
      const made = document.createElement("optgroup");
      made.label = group;
      groups.set(group, made);
      select.append(made);
    }
    groups.get(group).append(new Option(what, i));
  });
  return select;
}

function showCurves(root, { cells, plots }) {
  const select = chooser(plots);
  const svg = made("svg", { role: "img", height: HEIGHT });
  const said = document.createElement("output");
  const shown = cells.map((name, i) => {
    const box = document.createElement("input");
    [box.type, box.checked, box.onchange] = ["checkbox", true, draw];
    const swatch = document.createElement("i");
    swatch.className = `series-${i}`;
    return { box, label: labelled("", box, box, swatch, name) };
  });
  const controls = document.createElement("div");
  controls.className = "choices";
  controls.append(labelled("Quantity ", select), ...shown.map(({ label }) => label));
  root.append(controls, svg, said);
  let points = [];

  function draw() {
    const { what, unit, lines } = plots[select.value];
    const drawn = lines.filter(({ cell }) => shown[cell].box.checked);
    const width = Math.max(240, root.clientWidth);
    svg.setAttribute("width", width);
    svg.setAttribute("aria-label", `${what} over epochs, ${drawn.length} lines`);
    svg.replaceChildren();
    [points, said.textContent] = [[], "\u00a0"];
    if (drawn.length === 0) return;
    const [epochs, values] = [drawn.flatMap(({ x }) => x), drawn.flatMap(({ y }) => y)];
    const range = (all) => all.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const wide = ([low, high]) => (high > low ? [low, high] : [low - 0.5, high + 0.5]);
    const [left, right] = wide(range(epochs));
    const [low, high] = wide(range(unit === "" ? [0, ...values] : values));
    const x = (at) => MARGIN.left + ((at - left) / (right - left)) * (width - MARGIN.left - MARGIN.right);
    const y = (at) => HEIGHT - MARGIN.bottom - ((at - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    for (const [at, text] of ticksOf(low, high, 6))
      svg.append(
        made("path", { class: "tick", d: `M${MARGIN.left} ${y(at)}H${width - MARGIN.right}` }),
        made("text", { x: MARGIN.left - 8, y: y(at), "text-anchor": "end", dy: "0.32em" }, text),
      );
    for (const [at, text] of ticksOf(left, right, Math.min(right - left, width / 80)))
      svg.append(made("text", { x: x(at), y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle" }, text));
    svg.append(made("text", { x: width - MARGIN.right, y: HEIGHT - 4, "text-anchor": "end" }, "epoch"));
    for (const line of drawn) {
      const places = line.x.map((epoch, k) => [x(epoch), y(line.y[k])]);
      const path = made("path", { class: `line series-${line.cell}`, d: `M${places.map((place) => place.join(" ")).join("L")}` });
      svg.append(path);
      const unitText = unit === "" || unit === "0–1" ? "" : ` ${unit}`;
      places.forEach((place, k) =>
        points.push({ place, path, text: `${cells[line.cell]}, ${line.repeat}: epoch ${line.x[k]}, ${what} ${line.y[k]}${unitText}` }),
      );
    }
  }

  function point(event) {
    const box = svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const away = ({ place }) => Math.hypot(place[0] - x, place[1] - y);
    const nearest = points.reduce((best, other) => (best === null || away(other) < away(best) ? other : best), null);
    svg.querySelectorAll(".near").forEach((path) => path.classList.remove("near"));
    const near = nearest !== null && away(nearest) <= NEAR;
    said.textContent = near ? nearest.text : "\u00a0";
    if (near) nearest.path.classList.add("near");
  }

  select.onchange = draw;
  svg.onpointermove = point;
  new ResizeObserver(draw).observe(root);
}
