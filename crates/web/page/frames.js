// Frames of a job: paths, contents and gaps.

import { timecode } from './format.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Path of a frame in the API; with a `width` in pixels, that of its thumbnail. */
export function framePath(jobId, number, width) {
  return `/jobs/${jobId}/frames/${number}${width ? `?width=${width}` : ''}`;
}

/** Address of a frame in the page. */
export function frameHash(jobId, number) {
  return `#/jobs/${jobId}/${number}`;
}

/**
 * Fetch a frame or thumbnail. Returns an object URL, which the caller must revoke: an `img` cannot
 * send the access token itself.
 */
export async function fetchFrame(path, signal) {
  const response = await request(path, { signal });
  return URL.createObjectURL(await response.blob());
}

/** Text about a run of missing frames. */
export function gapText({ first_number: first, last_number: last, from_s: from, to_s: to }) {
  return t('gap', { n: last - first + 1, from: timecode(from), to: timecode(to) });
}
