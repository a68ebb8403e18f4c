// Tables of the page: a click on a heading sorts, a field above a long table keeps the rows that hold its words.
(() => {
  // Of an interval it is the lower end.
  const NUMBER = /^[<>≤≥~[]?\s*([+\-−]?[\d,]*\.?\d+(?:e[+-]?\d+)?)/i;
  const MANY = 12; // rows from which on a table has a field

  const numberOf = (text) => {
    const match = NUMBER.exec(text);
    return match === null ? NaN : Number(match[1].replace("−", "-").replaceAll(",", ""));
  };
  const isNothing = (text) => text === "" || text === "–";

  function sortBy(body, rows, column, order) {
    const texts = new Map(rows.map((row) => [row, row.cells[column].textContent.trim()]));
    const known = [...texts.values()].filter((text) => !isNothing(text));
    const numeric = known.length > 0 && known.every((text) => Number.isFinite(numberOf(text)));
    const compare = (a, b) =>
      numeric ? numberOf(a) - numberOf(b) : a.localeCompare(b, "en", { numeric: true });
    const sign = order === "ascending" ? 1 : -1;
    const sorted = [...rows];
    if (order !== "none")
      sorted.sort((first, second) => {
        const [a, b] = [texts.get(first), texts.get(second)];
        if (isNothing(a) || isNothing(b)) return isNothing(a) - isNothing(b); // what is missing comes last
        return sign * compare(a, b);
      });
    body.append(...sorted);
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const rows = [...body.rows]; // as the report has them
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.onclick = () => {
        const next = { descending: "ascending", ascending: "none" }[head.ariaSort] ?? "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next !== "none") head.ariaSort = next;
        sortBy(body, rows, column, next);
      };
    });
    if (rows.length > MANY) table.parentElement.before(fieldOf(rows));
  }

  function fieldOf(rows) {
    const field = document.createElement("input");
    field.type = "search";
    field.className = "rows";
    field.placeholder = field.ariaLabel = `Filter ${rows.length} rows`;
    field.oninput = () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    };
    return field;
  }

  document.querySelectorAll("main table").forEach(sortable);
})();
