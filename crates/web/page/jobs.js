// Jobs: what the interface knows of them, and what can be done with them.

import { confirmed, h, say } from './dom.js';
import { request } from './session.js';
import { t } from './words.js';

/** Jobs that no worker will touch again. */
export const isOver = (job) => ['DONE', 'FAILED', 'CANCELLED', 'EXPIRED'].includes(job.status);

/** A page of jobs, newest first, and the path of the next. */
export async function page(path, signal) {
  const response = await request(path, { signal });
  return { jobs: await response.json(), next: following(response) };
}

/** The path of the page behind this one (RFC 8288). */
export function following(response) {
  return /^<([^>]+)>; rel="next"$/.exec(response.headers.get('Link') ?? '')?.[1] ?? null;
}

/** One job. */
export const get = async (id, signal) => (await request(`/videos/${id}`, { signal })).json();

/** Where a job stands and how it got there. */
export const report = async (id, signal) => (await request(`/jobs/${id}/status`, { signal })).json();

/** Cancel or delete a job, if the user means it. Gives the job as it is then, null if it is deleted, and undefined if the user does not. */
export async function remove(job) {
  const values = { name: job.filename };
  const over = isOver(job);
  const yes = over ? t('delete') : t('stop');
  if (!(await confirmed(t(over ? 'delete_ask' : 'cancel_ask', values), { yes, no: t('keep') }))) return undefined;
  const response = await request(`/videos/${job.id}`, { method: 'DELETE' });
  say(t(response.status === 204 ? 'deleted' : 'cancelled', values));
  return response.status === 204 ? null : response.json();
}

/** Download a job's archive. A link is valid for a quarter of an hour, so each time a new one is asked for. */
export async function download(job) {
  const { download_url: url } = await (await request(`/jobs/${job.id}/download`)).json();
  save(url, '');
  say(t('download_starts'));
}

/** Let the browser save what is at an address. */
export function save(url, name) {
  const link = h('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
