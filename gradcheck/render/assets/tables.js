// Sorting and filtering of the index, copying of tables, and the sheets of a single file.
"use strict";

(function () {
  function cellKey(row, column) {
    const cell = row.cells[column];
    const given = cell.dataset.sort;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : Number(given.replace("inf", "Infinity"));
  }

  function compareKeys(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  function sortBy(table, column, direction) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, key: cellKey(row, column) }));
    rows.sort((x, y) => {
      const missing = x.key === null || y.key === null;
      return missing ? compareKeys(x.key, y.key) : direction * compareKeys(x.key, y.key);
    });
    rows.forEach(({ row }) => body.append(row));
  }

  function makeSortable(table) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        // figures are looked at from the largest down, names from the first up
        const first = head.classList.contains("number") || column === 0 ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        sortBy(table, column, order === "ascending" ? 1 : -1);
      });
    });
  }

  function makeFilter(filter) {
    const section = filter.parentElement;
    const rows = Array.from(section.querySelectorAll("tbody tr"));
    const text = filter.querySelector(".filter-text");
    const boxes = Array.from(filter.querySelectorAll(".filter-verdict"));
    const count = filter.querySelector(".filter-count");
    function apply() {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
      let shown = 0;
      rows.forEach((row) => {
        const content = row.textContent.toLowerCase();
        row.hidden = !verdicts.has(row.dataset.verdict) || !words.every((w) => content.includes(w));
        shown += row.hidden ? 0 : 1;
      });
      count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
    }
    text.addEventListener("input", apply);
    boxes.forEach((box) => box.addEventListener("change", apply));
    filter.hidden = false;
    apply();
  }

  async function copyText(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    throw new Error("no clipboard");
  }

  function makeCopy(button) {
    const found = button.parentElement.nextElementSibling;
    button.hidden = false;
    button.addEventListener("click", () => {
      const rows = found.querySelectorAll("tr");
      const text = rows.length
        ? Array.from(rows, (r) => Array.from(r.cells, (c) => c.textContent.trim()).join("\t")).join("\n")
        : found.textContent;
      copyText(text).then(
        () => { button.textContent = "Copied"; },
        () => {
          // where the clipboard is not to be had, select, so that the keyboard can copy
          getSelection().selectAllChildren(found);
          button.textContent = "Selected";
        },
      );
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  function showSheet() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    const sheets = Array.from(document.querySelectorAll(".sheet"));
    const current = sheets.find((sheet) => sheet.id === wanted) || sheets[0];
    sheets.forEach((sheet) => sheet.classList.toggle("current", sheet === current));
    document.body.classList.add("paged");
    scrollTo(0, 0);
    document.dispatchEvent(new CustomEvent("sheet-shown"));
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll(".filter").forEach(makeFilter);
  document.querySelectorAll("button.copy").forEach(makeCopy);
  if (document.body.classList.contains("single")) {
    addEventListener("hashchange", showSheet);
    showSheet();
  }
})();
