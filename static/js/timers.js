/** Timers by what they are for: at most one of each, and all of them end together. */
export class Timers {
  constructor() {
    /** @type {Map<string, number>} */
    this.running = new Map();
  }

  /** @param {string} name */
  has(name) {
    return this.running.has(name);
  }

  /** Run it once after so long, and not what was to run under this name before. */
  after(/** @type {string} */ name, /** @type {number} */ ms, /** @type {() => void} */ run) {
    this.clear(name);
    const timer = setTimeout(() => {
      this.running.delete(name);
      run();
    }, ms);
    this.running.set(name, Number(timer));
  }

  /** @param {string} name */
  clear(name) {
    clearTimeout(this.running.get(name));
    this.running.delete(name);
  }

  end() {
    for (const name of [...this.running.keys()]) this.clear(name);
  }
}
