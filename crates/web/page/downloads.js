// Downloads of archives, one after the other: the API limits the links of a minute.

import { announce, saveFile } from './dom.js';
import { jobPath } from './frames.js';
import { request, sessionEvents } from './session.js';
import { t } from './texts.js';

/** Pause after a refusal that states none, in seconds. */
const PAUSE = 5;

/** Downloads that wait or begin, by the paths of their links. */
const pending = new Map();
/** The last of them. The next one waits for it. */
let last = Promise.resolve();
/** Time at which the API permits the next one, in milliseconds. */
let permittedAt = 0;
let closing = new AbortController();

// Downloads of one user must not continue as those of another.
sessionEvents.addEventListener('change', () => {
  closing.abort();
  closing = new AbortController();
  pending.clear();
  permittedAt = 0;
});

/**
 * Download the archive of a job, or one of the `frames` with these numbers, such as `1,5-9`. If
 * there were too many downloads within a minute, it begins by itself as soon as it may, and `note`,
 * an element, says so meanwhile. Links expire after 15 minutes, so each download gets its own.
 */
export function downloadArchive(job, note, frames = null) {
  const path = `${jobPath(job)}/download${frames ? `?frames=${frames}` : ''}`;
  const { signal } = closing;
  const showPause = (milliseconds) => {
    note.textContent = t('download_waits', { s: Math.ceil(milliseconds / 1000) });
  };
  const wait = permittedAt - Date.now();
  if (wait > 0) showPause(wait);
  if (pending.has(path)) return pending.get(path);
  const download = last.then(() => begin(path, signal, showPause)).finally(() => {
    note.textContent = '';
    if (pending.get(path) === download) pending.delete(path);
  });
  pending.set(path, download);
  last = download.catch(() => {});
  return download;
}

async function begin(path, signal, showPause) {
  while (!signal.aborted) {
    try {
      const response = await request(path, { signal });
      const { download_url: url } = await response.json();
      saveFile(url, '');
      announce(t('download_started'));
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (error.code !== 'TOO_MANY_DOWNLOADS') throw error;
      const milliseconds = (error.retryAfter ?? PAUSE) * 1000;
      permittedAt = Date.now() + milliseconds;
      showPause(milliseconds);
      await pause(milliseconds, signal);
    }
  }
}

/** Wait for a time in milliseconds, at most until the signal is aborted. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
