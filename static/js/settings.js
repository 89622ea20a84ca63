/** Buttons that copy what stands beside them: all that the pages of settings need a script for. */

const SHOWN_MS = 2_000;

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.getAttribute("data-copy") ?? "");
  // Browsers let pages copy on https and on loopback; elsewhere there is no button.
  if (!source || !navigator.clipboard) continue;
  button.removeAttribute("hidden");
  button.addEventListener("click", () => copy(button, source));
}

/** @param {Element} button @param {HTMLElement} source */
async function copy(button, source) {
  let words = "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
  } catch {
    words = "Select and copy it";
    getSelection()?.selectAllChildren(source);
  }
  button.textContent = words;
  const said = document.querySelector("[data-copied]");
  if (said) said.textContent = words;
  setTimeout(() => {
    button.textContent = "Copy";
    if (said) said.textContent = "";
  }, SHOWN_MS);
}
