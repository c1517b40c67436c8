// Queue of uploads. Uploads continue when the view changes.

import { bytes } from './format.js';
import { deleteJob } from './jobs.js';
import { problemText } from './problems.js';
import { isDefault } from './recipe.js';
import { newIdempotencyKey, Problem, withAccessToken } from './session.js';
import { t } from './texts.js';
import { forgetUpload, forgetUploads, uploadRecords } from './upload-records.js';

/** Maximum concurrent uploads. Browsers open six connections to a host for everything. */
const MAX_CONCURRENT = 2;
/** Size of the smallest file that is worth continuing after an interruption, in bytes. */
const RESUMABLE_SIZE = 5_000_000;
/** Weight of the newest measurement in the moving average of the speed. */
const SPEED_WEIGHT = 0.2;
/** Minimum time between two measurements of the speed, in milliseconds. */
const SPEED_INTERVAL = 200;

/**
 * All uploads on the panel, oldest first. The state is one of `waiting`, `sending`, `storing`,
 * `interrupted` (it continues by itself), `paused`, `unfinished` (before the page was loaded; its
 * file has to be chosen again), `received`, `cancelled`, `failed` (a retry may help) and `rejected`
 * (it cannot).
 */
export const uploads = [];

/** Source of the events `change` (of any upload) and `received` (an upload became a job). */
export const uploadEvents = new EventTarget();

let limits = null;

/** Fetch the limits of uploads. Returns null if that fails; the API checks each upload anyway. */
export async function uploadLimits() {
  limits ??= fetch('/videos/upload')
    .then((response) => (response.ok ? response.json() : null))
    .catch(() => null);
  const fetched = await limits;
  if (!fetched) limits = null;
  return fetched;
}

/** Whether an upload waits or is in progress. */
export function isActive({ state }) {
  return ['waiting', 'sending', 'storing', 'interrupted'].includes(state);
}

/** Whether an upload has failed or was not accepted. */
export function isRefused({ state }) {
  return ['failed', 'rejected'].includes(state);
}

/** Whether an upload can be paused now. */
export function canPause({ state, file }) {
  return isResumable(file) && ['sending', 'interrupted'].includes(state);
}

function isResumable(file) {
  return file.size >= RESUMABLE_SIZE;
}

/** Show the uploads that were not finished when the page was left. */
export function showUnfinished() {
  for (const record of uploadRecords()) {
    if (uploads.some(({ path }) => path === record.path)) continue;
    const { path, name, size, modified, recipe, sentBytes } = record;
    const file = { name, size, lastModified: modified };
    uploads.push({ ...newUpload(file, recipe), state: 'unfinished', path, sentBytes });
  }
  notifyChange();
}

/**
 * Continue an unfinished upload with the file that was chosen again. Another file is not the one
 * that was begun. Returns whether it is the same.
 */
export function continueWith(upload, file) {
  const { name, size, lastModified } = upload.file;
  const isSame = file.name === name && file.size === size && file.lastModified === lastModified;
  if (isSame) {
    Object.assign(upload, { file, state: 'waiting', errorText: null });
    startNext();
  } else {
    upload.errorText = () => t('upload_other_file', { name });
    notifyChange();
  }
  return isSame;
}

function newUpload(file, recipe) {
  return {
    file,
    recipe,
    key: newIdempotencyKey(),
    state: 'waiting',
    errorText: null,
    sentBytes: 0,
    bytesPerSecond: null,
    request: null,
    path: null,
    jobId: null,
  };
}

/**
 * Add files to the queue, for jobs with this recipe. Files outside the limits are shown as rejected
 * and not sent.
 */
export async function addFiles(files, recipe) {
  const limits = await uploadLimits();
  for (const file of files) {
    const errorText = limits && rejectionText(file, limits);
    const unfinished = uploads.find((upload) =>
      upload.state === 'unfinished' && JSON.stringify(upload.recipe) === JSON.stringify(recipe)
      && upload.file.name === file.name && upload.file.size === file.size
      && upload.file.lastModified === file.lastModified);
    if (unfinished) continueWith(unfinished, file);
    else if (errorText) uploads.push({ ...newUpload(file, recipe), state: 'rejected', errorText });
    else uploads.push(newUpload(file, recipe));
  }
  startNext();
}

/** Return a function that returns the reason for a rejection in the current language, or null. */
function rejectionText(file, { suffixes, max_video_bytes: maximum }) {
  const name = file.name.toLowerCase();
  if (!suffixes.some((suffix) => name.endsWith(suffix))) {
    return () => t('wrong_suffix', { suffixes: suffixes.join(' ') });
  }
  if (file.size === 0) return () => problemText({ code: 'EMPTY_FILE' });
  if (file.size > maximum) return () => t('too_large', { size: bytes(maximum) });
  return null;
}

/**
 * Cancel an upload. The request of one that the service has as a whole goes on, because it may add
 * a job even if it is aborted: that job is deleted.
 */
export function cancel(upload) {
  if (upload.state !== 'storing') {
    // The form of a small file keeps its key, by which a retry finds a job that exists after all.
    if (isResumable(upload.file)) upload.key = newIdempotencyKey();
    stop(upload, 'cancelled');
    discard(upload);
    return;
  }
  if (upload.path) forgetUpload(upload.path);
  Object.assign(upload, { state: 'cancelled', path: null, key: newIdempotencyKey() });
  upload.request = null;
  startNext();
}

/** Pause an upload, which a retry continues. */
export function pause(upload) {
  stop(upload, 'paused');
}

function stop(upload, state) {
  upload.state = state;
  upload.request?.abort();
  startNext();
}

/** Delete what the service has of a resumable upload. */
async function discard(upload) {
  const { path } = upload;
  upload.path = null;
  if (path) (await import('./tus.js')).terminate(path);
}

/** Try an upload again that failed, was cancelled or was paused. */
export function retry(upload) {
  const sentBytes = upload.path ? upload.sentBytes : 0;
  Object.assign(upload, { state: 'waiting', errorText: null, sentBytes, bytesPerSecond: null });
  startNext();
}

/** Remove inactive uploads that match the predicate from the panel. */
export function dismiss(predicate) {
  for (const upload of uploads.filter((upload) => !isActive(upload) && predicate(upload))) {
    uploads.splice(uploads.indexOf(upload), 1);
    if (upload.state !== 'received') discard(upload);
  }
  notifyChange();
}

/** Cancel and remove all uploads, because their user has logged out. */
export function cancelAll() {
  const active = uploads.filter(isActive);
  // First all of them, so that no waiting upload starts with the token of the next user.
  for (const upload of active) {
    Object.assign(upload, { state: 'cancelled', key: newIdempotencyKey() });
  }
  for (const upload of active) upload.request?.abort();
  uploads.length = 0;
  forgetUploads();
  notifyChange();
}

function notifyChange() {
  uploadEvents.dispatchEvent(new Event('change'));
}

function startNext() {
  const running = uploads.filter((upload) => isActive(upload) && upload.state !== 'waiting').length;
  const waiting = uploads.filter(({ state }) => state === 'waiting');
  waiting.slice(0, MAX_CONCURRENT - running).forEach(send);
  notifyChange();
}

async function send(upload) {
  const { key } = upload;
  /** Whether it was cancelled when the service had all bytes. */
  const isDisowned = () => upload.key !== key;
  upload.state = 'sending';
  try {
    const jobId = await (isResumable(upload.file) ? sendInParts : sendAtOnce)(upload, isDisowned);
    if (isDisowned()) {
      await deleteJob(jobId);
      return;
    }
    Object.assign(upload, { state: 'received', jobId, sentBytes: upload.file.size });
    uploadEvents.dispatchEvent(new Event('received'));
  } catch (error) {
    if (isDisowned() || ['cancelled', 'paused'].includes(upload.state)) return;
    // The job of this key was deleted, or the file has changed; a retry is meant to add a new job.
    const needsKey = ['IDEMPOTENCY_KEY_USED', 'IDEMPOTENCY_KEY_REUSED'].includes(error.code);
    if (needsKey) upload.key = newIdempotencyKey();
    const isFinal = [413, 415, 422].includes(error.status) && !needsKey;
    const state = isFinal ? 'rejected' : 'failed';
    Object.assign(upload, { state, errorText: () => errorText(error) });
  } finally {
    if (!isDisowned()) upload.request = null;
    startNext();
  }
}

/** Send a small file, and return the id of its job. */
async function sendAtOnce(upload) {
  const { status, document } = await withAccessToken((token) => post(upload, token));
  if (status !== 202) throw new Problem(document, status);
  return document.job_id;
}

/** Send a large file, which continues after an interruption, and return the id of its job. */
async function sendInParts(upload, isDisowned) {
  const { sendResumable } = await import('./tus.js');
  const measure = speedMeter(upload);
  const onProgress = (sentBytes) => {
    if (upload.state === 'sending' && sentBytes >= upload.file.size) upload.state = 'storing';
    measure(sentBytes);
  };
  // The same file may be added twice.
  const isTaken = (path) => uploads.some((other) => other !== upload && other.path === path);
  return sendResumable(upload, { onProgress, onChange: notifyChange, isDisowned, isTaken });
}

/** Text of an error. One in the recipe names the options, which are not in sight. */
function errorText(error) {
  const isRecipe = error.errors?.some(({ code }) => code.startsWith('RECIPE_'));
  return isRecipe ? `${t('options')}: ${problemText(error)}` : problemText(error);
}

/** Send the file once. `fetch` does not report the progress of a request, `XMLHttpRequest` does. */
function post(upload, token) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Problem({ code: 'NETWORK' }));
    // Cancelled while the token was fetched.
    if (upload.state === 'cancelled') return fail();
    const request = new XMLHttpRequest();
    const measure = speedMeter(upload);
    // `total` includes the form around the file.
    request.upload.onprogress = ({ loaded, total }) =>
      measure(Math.round((loaded / total) * upload.file.size));
    request.upload.onload = () => {
      if (upload.state === 'sending') upload.state = 'storing';
      notifyChange();
    };
    request.onload = () => {
      const document = request.response ?? { code: 'INTERNAL_ERROR' };
      resolve({ status: request.status, document });
    };
    request.onerror = fail;
    request.onabort = fail;
    request.open('POST', '/videos/upload');
    request.responseType = 'json';
    request.setRequestHeader('Authorization', `Bearer ${token}`);
    request.setRequestHeader('Idempotency-Key', upload.key);
    const form = new FormData();
    // A recipe is for the files that follow it.
    if (!isDefault(upload.recipe)) form.append('recipe', JSON.stringify(upload.recipe));
    form.append('file', upload.file, upload.file.name);
    upload.request = request;
    request.send(form);
  });
}

/** Return a function that records the number of bytes sent, and measures the speed. */
function speedMeter(upload) {
  let [measuredAt, measuredBytes] = [performance.now(), upload.sentBytes];
  return (sentBytes) => {
    const now = performance.now();
    upload.sentBytes = sentBytes;
    if (now - measuredAt > SPEED_INTERVAL) {
      const speed = ((upload.sentBytes - measuredBytes) / (now - measuredAt)) * 1000;
      const average = upload.bytesPerSecond ?? speed;
      upload.bytesPerSecond = average + SPEED_WEIGHT * (speed - average);
      [measuredAt, measuredBytes] = [now, upload.sentBytes];
    }
    notifyChange();
  };
}

addEventListener('beforeunload', (event) => {
  if (uploads.some(isActive)) event.preventDefault();
});
