// Probe images: the reader chooses the cells whose columns are shown. The grid draws what is visible by itself.
(() => {
  const choice = document.querySelector(".choices.cells");
  if (choice === null) return;
  const boxes = [...choice.querySelectorAll("input")];
  const apply = () => {
    const grid = document.querySelector(".mask-grid").shadowRoot.querySelector(".grid");
    const shown = boxes.filter((box) => box.checked);
    boxes.forEach((box) => (box.disabled = shown.length === 1 && box.checked)); // one stays
    [...grid.children].forEach((child, i) => {
      const column = i % (boxes.length + 1); // the first is that of the images' names
      child.style.display = column === 0 || boxes[column - 1].checked ? "" : "none";
    });
    grid.style.setProperty("--columns", shown.length);
  };
  boxes.forEach((box) => (box.onchange = apply));
})();
