/**
 * What a page does once its session is over: it says so, with the way back in, and stops.  The
 * server's 401 says it, to the stream or to any other question; nothing is asked again then.
 */

const LOGGED_OUT = "monitor-logged-out";

/** Whoever heard a 401 tells the page. */
export function loggedOut() {
  dispatchEvent(new Event(LOGGED_OUT));
}

/** Run something once when the session is over. @param {() => void} run @param {AbortSignal} signal */
export function onLoggedOut(run, signal) {
  addEventListener(LOGGED_OUT, run, { once: true, signal });
}

/** Say it, with a link that leads back to this page. */
export function showLoggedOut() {
  const link = document.querySelector("[data-login]");
  const here = location.pathname + location.search;
  link?.setAttribute("href", `/login?next=${encodeURIComponent(here)}`);
  document.querySelector("[data-ended]")?.removeAttribute("hidden");
}
