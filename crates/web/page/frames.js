// Frames of a job: paths, contents and gaps.

import { timecode } from './format.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Path of a job in the API. One that is seen by a link has its `token` in place of an `id`. */
export function jobPath({ id, token }) {
  return token ? '/shared' : `/jobs/${id}`;
}

/** Address of a job in the page. */
export function jobHash({ id, token }) {
  return token ? `#/shared/${token}` : `#/jobs/${id}`;
}

/** Path of a frame in the API; with a `width` in pixels, that of its thumbnail. */
export function framePath(job, number, width) {
  return `${jobPath(job)}/frames/${number}${width ? `?width=${width}` : ''}`;
}

/** Address of a frame in the page. */
export function frameHash(job, number) {
  return `${jobHash(job)}/${number}`;
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
