/** Sparklines of the fleet page: the server's line goes on, one point every ten seconds. */

const POINTS = 60;
const POINT_MS = 10_000;

export class Spark {
  /** @param {SVGElement} svg */
  constructor(svg) {
    this.path = svg.querySelector("path");
    this.points = pointsOf(this.path?.getAttribute("d") ?? "");
    this.began = performance.now();
    this.sum = 0;
    this.count = 0;
  }

  /** @param {number | null | undefined} ratio */
  push(ratio) {
    const passed = Math.floor((performance.now() - this.began) / POINT_MS);
    if (passed > 0) {
      for (let i = 0; i < Math.min(passed, POINTS); i += 1) this.points.push(NaN);
      this.points.splice(0, this.points.length - POINTS);
      this.began += passed * POINT_MS;
      this.sum = this.count = 0;
    }
    if (typeof ratio === "number") {
      this.sum += ratio;
      this.count += 1;
      this.points[POINTS - 1] = this.sum / this.count;
    }
  }

  draw() {
    this.path?.setAttribute("d", pathOf(this.points));
  }
}

/** The ratios that a path was drawn from, the newest last. @param {string} path */
function pointsOf(path) {
  /** @type {number[]} */
  const points = new Array(POINTS).fill(NaN);
  for (const [, x, y] of path.matchAll(/[ML](\d+) ([\d.]+)/g)) {
    if (Number(x) < POINTS) points[Number(x)] = (15.5 - Number(y)) / 15;
  }
  return points;
}

/** The twin of `spark_of` in monitor/web/fleetview.py. @param {number[]} points */
function pathOf(points) {
  let pen = false;
  let path = "";
  points.forEach((ratio, x) => {
    if (Number.isNaN(ratio)) {
      pen = false;
      return;
    }
    const y = 15.5 - 15 * Math.min(1, Math.max(0, ratio));
    path += `${pen ? "L" : "M"}${x} ${y.toFixed(1)}${pen ? "" : "h.01"}`;
    pen = true;
  });
  return path;
}
