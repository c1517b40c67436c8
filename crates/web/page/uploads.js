// Videos on their way to the service. They go on whatever view is shown.

import { bytes } from './format.js';
import { Problem, token } from './session.js';
import { refusal, t } from './words.js';

/** Uploads at a time: the browser's few connections are for watching and looking, too. */
const AT_ONCE = 2;
/** The share of the newest measurement in what is shown as speed. */
const NEWEST = 0.2;

/** All uploads that are shown, oldest first. */
export const uploads = [];

/** Tells of every change of an upload: `change`, and `received` with its job's id. */
export const news = new EventTarget();

let acceptance = null;

/** What the service accepts; null if it cannot be asked, and then it says itself what it refuses. */
export async function accepted() {
  acceptance ??= fetch('/videos/upload').then((response) => (response.ok ? response.json() : null)).catch(() => null);
  const answer = await acceptance;
  if (!answer) acceptance = null;
  return answer;
}

/** Whether an upload may still become something by itself. */
export const isGoing = ({ state }) => ['waiting', 'sending', 'storing'].includes(state);

/** Upload files; those that are refused are shown with the reason, and not sent. */
export async function add(files) {
  const limits = await accepted();
  for (const file of files) {
    const wrong = limits && fault(file, limits);
    uploads.push({ file, key: name(), state: wrong ? 'refused' : 'waiting', wrong, sent: 0, speed: null, request: null, job: null });
  }
  proceed();
}

function fault(file, { suffixes, max_video_bytes: most }) {
  if (!suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix))) return () => t('wrong_suffix', { suffixes: suffixes.join(' ') });
  if (file.size === 0) return () => t('empty_file');
  if (file.size > most) return () => t('too_large', { size: bytes(most) });
  return null;
}

/** A name of an upload, by which the service knows it again: a retry makes no second job. */
function name() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Give an upload up. */
export function cancel(upload) {
  upload.state = 'stopped';
  upload.request?.abort();
  proceed();
}

/** Try an upload again that failed or was given up. */
export function retry(upload) {
  Object.assign(upload, { state: 'waiting', wrong: null, sent: 0, speed: null });
  proceed();
}

/** Show these uploads no longer. */
export function dismiss(which) {
  for (const upload of uploads.filter((upload) => !isGoing(upload) && which(upload))) uploads.splice(uploads.indexOf(upload), 1);
  changed();
}

/** Give all uploads up: their user is gone. */
export function abandon() {
  uploads.filter(isGoing).forEach(cancel);
  uploads.length = 0;
  changed();
}

const changed = () => news.dispatchEvent(new Event('change'));

function proceed() {
  const under = uploads.filter(({ state }) => state === 'sending' || state === 'storing').length;
  uploads.filter(({ state }) => state === 'waiting').slice(0, AT_ONCE - under).forEach(send);
  changed();
}

async function send(upload) {
  upload.state = 'sending';
  try {
    let access = await token();
    let answer = await post(upload, access);
    if (answer.status === 401) {
      access = await token(access);
      answer = await post(upload, access);
    }
    if (answer.status !== 202) throw new Problem(answer.document, answer.status);
    Object.assign(upload, { state: 'received', job: answer.document.job_id, sent: upload.file.size });
    news.dispatchEvent(new CustomEvent('received', { detail: upload }));
  } catch (error) {
    if (upload.state === 'stopped') return;
    // The jobs of this name are deleted; whoever tries again wants others.
    if (error.code === 'IDEMPOTENCY_KEY_USED') upload.key = name();
    // Another time the same file would be the same.
    const state = [413, 415, 422].includes(error.status) ? 'refused' : 'failed';
    Object.assign(upload, { state, wrong: () => refusal(error) });
  } finally {
    upload.request = null;
    proceed();
  }
}

/** Send the file once. `fetch` does not tell how much is sent, so this is done the old way. */
function post(upload, access) {
  return new Promise((answered, broken) => {
    const request = new XMLHttpRequest();
    let [since, before] = [performance.now(), 0];
    request.upload.onprogress = ({ loaded, total }) => {
      const now = performance.now();
      // The form is a little more than the file.
      upload.sent = Math.round((loaded / total) * upload.file.size);
      if (now - since > 200) {
        const speed = ((upload.sent - before) / (now - since)) * 1000;
        upload.speed = upload.speed === null ? speed : upload.speed + NEWEST * (speed - upload.speed);
        [since, before] = [now, upload.sent];
      }
      changed();
    };
    request.upload.onload = () => {
      if (upload.state === 'sending') upload.state = 'storing';
      changed();
    };
    request.onload = () => answered({ status: request.status, document: request.response ?? { code: 'INTERNAL_ERROR' } });
    request.onerror = () => broken(new Problem({ code: 'NETWORK' }));
    request.onabort = () => broken(new Problem({ code: 'NETWORK' }));
    request.open('POST', '/videos/upload');
    request.responseType = 'json';
    request.setRequestHeader('Authorization', `Bearer ${access}`);
    request.setRequestHeader('Idempotency-Key', upload.key);
    const form = new FormData();
    form.append('file', upload.file, upload.file.name);
    upload.request = request;
    request.send(form);
  });
}

addEventListener('beforeunload', (event) => {
  if (uploads.some(isGoing)) event.preventDefault();
});
