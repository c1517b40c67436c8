// Values that outlive the page, in localStorage. A browser may deny it (cookies are blocked) or
// refuse to write (private windows of some browsers, full storage): then they last as long as
// the page.

/** Values that could not be stored. */
const unstored = new Map();

/** Return the text that is stored under a key, or null. */
export function readValue(key) {
  if (unstored.has(key)) return unstored.get(key);
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Store a text under a key. Null removes it. */
export function writeValue(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
    unstored.delete(key);
  } catch {
    unstored.set(key, text);
  }
}
