/**
 * A long table says once, at each column's heading, which KEY its cells show and how they are
 * written: here the cells get it, so that the page need not carry it a thousand times.
 */

/** @typedef {{index: number, key: string, style: string}} Column */

/** @type {WeakMap<Element, Column[]>} */
const known = new WeakMap();

/** Give the cells of rows below an element, or of that row, their KEYs. @param {ParentNode} root */
export function nameCells(root) {
  const rows = root instanceof HTMLTableRowElement ? [root] : root.querySelectorAll("tr[data-host]");
  for (const row of /** @type {Iterable<HTMLTableRowElement>} */ (rows)) {
    const table = row.closest("table");
    if (!table) continue;
    let columns = known.get(table);
    if (!columns) known.set(table, (columns = columnsOf(table)));
    for (const { index, key, style } of columns) {
      const value = row.cells[index]?.querySelector(".v");
      value?.setAttribute("data-key", key);
      value?.setAttribute("data-style", style);
    }
  }
}

/** @param {HTMLTableElement} table @returns {Column[]} */
function columnsOf(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  return heads.flatMap((head, index) => {
    const { column: key, style = "" } = head.dataset;
    return key ? [{ index, key, style }] : [];
  });
}
