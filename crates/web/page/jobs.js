// Jobs: API calls and user actions.

import { announce, confirmAction } from './dom.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Whether a job has reached a final state. */
export function isFinished(job) {
  return ['DONE', 'FAILED', 'CANCELLED', 'EXPIRED'].includes(job.status);
}

/** Fetch a page of jobs, newest first. `next` is the path of the following page, or null. */
export async function fetchJobs(path, signal) {
  const response = await request(path, { signal });
  return { jobs: await response.json(), next: nextPage(response) };
}

/** Return the path of the following page from the `Link` header (RFC 8288), or null. */
export function nextPage(response) {
  return /^<([^>]+)>; rel="next"$/.exec(response.headers.get('Link') ?? '')?.[1] ?? null;
}

/** Fetch a job. */
export async function fetchJob(id, signal) {
  return (await request(`/videos/${id}`, { signal })).json();
}

/** Fetch the changes of state of a job, oldest first. */
export async function fetchHistory(id, signal) {
  const { history } = await (await request(`/jobs/${id}/status`, { signal })).json();
  return history;
}

/**
 * Cancel a job or, if it is finished, delete it, after the user has confirmed. Returns the job if
 * it was cancelled, null if it was deleted, and undefined if the user did not confirm. Throws a
 * `Problem` with status 409 if the job has finished or been requeued since it was fetched.
 */
export async function removeJob(job) {
  const finished = isFinished(job);
  const name = { name: job.filename };
  const confirmed = finished
    ? await confirmAction(t('delete_question', name), { yes: t('delete'), no: t('delete_no') })
    : await confirmAction(t('cancel_question', name), { yes: t('cancel_job'), no: t('cancel_no') });
  if (!confirmed) return undefined;
  const action = finished ? 'delete' : 'cancel';
  const response = await request(`/videos/${job.id}?action=${action}`, { method: 'DELETE' });
  const deleted = response.status === 204;
  announce(t(deleted ? 'job_deleted' : 'job_cancelled', name));
  return deleted ? null : response.json();
}

/** Delete a job without a question, after its cancellation if it is not finished. */
export async function deleteJob(id) {
  const remove = () => request(`/videos/${id}`, { method: 'DELETE' });
  if ((await remove()).status !== 204) await remove();
}

/** Whether the video of a job is stored still. */
export function isVideoStored({ status, expires_at: expiresAt }) {
  return status !== 'EXPIRED' && new Date(expiresAt) > new Date();
}

/** Create another job of the video of a job. Returns its id. */
export async function createAnotherJob(id, recipe, key) {
  const headers = { 'Idempotency-Key': key };
  const options = { method: 'POST', json: { recipe }, headers };
  const { job_id: created } = await (await request(`/videos/${id}/jobs`, options)).json();
  return created;
}

/**
 * Fetch the forecast of another job of the video of a job: its `frames` and `bytes`, null where
 * nothing is known, and the limit that it `exceeds`, or null.
 */
export async function fetchForecast(id, recipe, signal) {
  const query = new URLSearchParams({ recipe: JSON.stringify(recipe) });
  return (await request(`/videos/${id}/forecast?${query}`, { signal })).json();
}
