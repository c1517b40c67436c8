// Uploads that continue after an interruption, by the protocol tus 1.0.0.

import { isDefault } from './recipe.js';
import { Problem, request, withAccessToken } from './session.js';
import { findRecord, forgetUpload, recordUpload } from './upload-records.js';

const VERSION = { 'Tus-Resumable': '1.0.0' };
/** Statuses after which an upload does not exist anymore. */
const ENDED = [404, 410, 413, 415, 422];
/** Pauses before the next attempts, in milliseconds. */
const PAUSES = [500, 1000, 2000, 4000, 8000, 15_000];

/**
 * Send a file, and continue by itself after every interruption that may end. Returns the id of the
 * job. `onProgress` is called with the number of bytes sent, `onChange` after each change of the
 * state. Nothing is sent again once `isDisowned` returns true. The
 * path of an earlier upload of the same file is continued unless it `isTaken` by another one.
 */
export async function sendResumable(upload, { onProgress, onChange, isDisowned, isTaken }) {
  const known = findRecord(upload.file, upload.recipe)?.path ?? null;
  upload.path ??= known && !isTaken(known) ? known : null;
  for (let failures = 0; ;) {
    const before = upload.sentBytes;
    try {
      return await attempt(upload, onProgress, isDisowned);
    } catch (error) {
      if (isDisowned()) throw error;
      if (upload.path) recordUpload(upload);
      if (isStopped(upload)) throw error;
      if (!isTemporary(error, upload)) {
        if (upload.path && ENDED.includes(error.status)) forget(upload);
        throw error;
      }
      if (upload.sentBytes > before) failures = 0;
      upload.state = 'interrupted';
      onChange();
      await pause(upload, PAUSES[Math.min(failures, PAUSES.length - 1)]);
      failures += 1;
      if (isStopped(upload)) throw error;
      upload.state = 'sending';
      onChange();
    }
  }
}

/** Delete what the service has of an upload. It expires if that fails. */
export async function terminate(path) {
  forgetUpload(path);
  try {
    await request(path, { method: 'DELETE', headers: VERSION });
  } catch {
    // It has become a job, has expired, or will.
  }
}

function isStopped({ state }) {
  return ['cancelled', 'paused'].includes(state);
}

/** Whether the same request may succeed later. One that creates an upload is not repeated. */
function isTemporary({ code, status }, { path }) {
  return code === 'NETWORK' || [408, 409, 423].includes(status) || status === 429 && path
    || status >= 500 && status !== 507;
}

function forget(upload) {
  forgetUpload(upload.path);
  upload.path = null;
}

/** Wait, at most until the browser has a connection again or the upload is stopped. */
function pause(upload, milliseconds) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener('online', end);
      upload.request = null;
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    addEventListener('online', end);
    upload.request = { abort: end };
  });
}

async function attempt(upload, onProgress, isDisowned) {
  let state = upload.path ? await stateOf(upload) : null;
  if (!state) {
    await create(upload, isDisowned);
    state = { offset: 0, jobId: null };
  }
  onProgress(state.offset);
  const { path } = upload;
  const jobId = state.jobId ?? await append(upload, state.offset, onProgress);
  forgetUpload(path);
  return jobId;
}

/** Offset and job of an upload; null if it does not exist anymore. */
async function stateOf(upload) {
  try {
    const response = await request(upload.path, { method: 'HEAD', headers: VERSION });
    const offset = Number(response.headers.get('Upload-Offset'));
    return { offset, jobId: response.headers.get('X-Job-Id') };
  } catch (error) {
    if (![403, 404, 410].includes(error.status)) throw error;
    forget(upload);
    return null;
  }
}

async function create(upload, isDisowned) {
  const { file, recipe } = upload;
  const metadata = [['filename', file.name]];
  if (!isDefault(recipe)) metadata.push(['recipe', JSON.stringify(recipe)]);
  const headers = {
    ...VERSION,
    'Upload-Length': String(file.size),
    'Upload-Metadata': metadata.map(([key, value]) => `${key} ${base64(value)}`).join(','),
  };
  const response = await request('/uploads', { method: 'POST', headers });
  const path = response.headers.get('Location');
  // Cancelled meanwhile: nothing was sent.
  if (isDisowned()) {
    await terminate(path);
    throw new Problem({ code: 'NETWORK' });
  }
  upload.path = path;
  recordUpload(upload);
}

/** Text as UTF-8 in Base64. */
function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** Send the rest of a file, and return the id of the job. */
async function append(upload, offset, onProgress) {
  const { status, document, jobId } = await withAccessToken((token) =>
    send(upload, offset, token, onProgress));
  if (status !== 204) throw new Problem(document ?? { code: 'INTERNAL_ERROR' }, status);
  return jobId;
}

/** `fetch` does not report the progress of a request, `XMLHttpRequest` does. */
function send(upload, offset, token, onProgress) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Problem({ code: 'NETWORK' }));
    // Stopped while the token was fetched.
    if (isStopped(upload)) return fail();
    const sending = new XMLHttpRequest();
    sending.upload.onprogress = ({ loaded }) => onProgress(offset + loaded);
    sending.onload = () => {
      const { status, response: document } = sending;
      resolve({ status, document, jobId: sending.getResponseHeader('X-Job-Id') });
    };
    sending.onerror = fail;
    sending.onabort = fail;
    sending.open('PATCH', upload.path);
    sending.responseType = 'json';
    const headers = {
      ...VERSION,
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/offset+octet-stream',
      'Upload-Offset': String(offset),
    };
    for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
    upload.request = sending;
    sending.send(upload.file.slice(offset));
  });
}
