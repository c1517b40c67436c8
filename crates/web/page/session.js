// Who uses the page, and every request to the interface.
//
// The session lies in localStorage, so that it outlives the tab and all tabs share it. Whoever could run a script here could use the
// session wherever it lay, and the content security policy lets nobody; a stolen refresh token that is used ends the session for both.

import { language } from './words.js';

const KEY = 'fiapx.session';
/** An access token that expires sooner, in milliseconds, is renewed before it is used. */
const MARGIN = 30_000;

/** Why the interface refused, or could not be reached. */
export class Problem extends Error {
  constructor({ code, detail, errors }, status = 0) {
    super(detail ?? code);
    Object.assign(this, { code, detail, errors: errors ?? [], status });
  }

  static async of(response) {
    const document = await response.json().catch(() => ({ code: 'INTERNAL_ERROR' }));
    return new Problem(document, response.status);
  }
}

/** Turns when somebody logs in or out, here or in another tab. */
export const sessions = new EventTarget();

let session = read();
let renewing = null;

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return null;
  }
}

async function keep(other) {
  session = other;
  if (other) localStorage.setItem(KEY, JSON.stringify(other));
  else localStorage.removeItem(KEY);
  await shelve((store) => (other ? store.put(other, KEY) : store.delete(KEY)));
}

/**
 * Do something with the session in IndexedDB, which all tabs see alike at once; what one writes to localStorage, others may see a moment
 * later. Gives nothing where there is no IndexedDB.
 */
function shelve(act) {
  return new Promise((done) => {
    const opening = indexedDB.open('fiapx', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('session');
    opening.onerror = () => done();
    opening.onsuccess = () => {
      const transaction = opening.result.transaction('session', 'readwrite');
      const asked = act(transaction.objectStore('session'));
      transaction.oncomplete = () => { opening.result.close(); done(asked.result); };
      transaction.onabort = () => { opening.result.close(); done(); };
    };
  });
}

function changed(ended = false) {
  sessions.dispatchEvent(new CustomEvent('change', { detail: { ended } }));
}

addEventListener('storage', ({ key }) => {
  if (key !== KEY && key !== null) return;
  const before = session;
  session = read();
  if (before?.email !== session?.email) changed();
});

/** The user: `{ name, email }`, or null. */
export function user() {
  return session;
}

async function ask(path, options) {
  try {
    return await fetch(path, { ...options, headers: { 'Accept-Language': language, ...options.headers } });
  } catch (error) {
    throw error.name === 'AbortError' ? error : new Problem({ code: 'NETWORK' });
  }
}

async function post(path, body, headers) {
  const response = await ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) });
  if (!response.ok) throw await Problem.of(response);
  return response.status === 204 ? null : response.json();
}

const opened = ({ access_token: access, refresh_token: refresh, expires_in: seconds }, about) =>
  ({ ...about, access, refresh, expires: Date.now() + seconds * 1000 });

/** Create an account and log in. */
export async function register({ name, email, password }) {
  await post('/auth/register', { name, email, password, language });
  await logIn({ email, password });
}

/** Log in. */
export async function logIn({ email, password }) {
  const tokens = await post('/auth/login', { email, password });
  const response = await ask('/auth/me', { headers: { Authorization: `Bearer ${tokens.access_token}` } });
  if (!response.ok) throw await Problem.of(response);
  const { name, email: address } = await response.json();
  await keep(opened(tokens, { name, email: address }));
  changed();
}

/** Log out, whether or not the service hears of it. */
export async function logOut() {
  const { refresh } = session;
  keep(null);
  changed();
  await post('/auth/logout', { refresh_token: refresh }).catch(() => {});
}

// A refresh token is spent by its use, and one that is used twice ends the session. So one tab at a time renews, and the others take what
// it got. Browsers know locks on safe origins alone; elsewhere two tabs may meet, and log in again.
const alone = (work) => (navigator.locks ? navigator.locks.request('fiapx.renew', work) : work());

async function renew(stale) {
  renewing ??= alone(async () => {
    session = (await shelve((store) => store.get(KEY))) ?? read();
    if (!session) throw new Problem({ code: 'NOT_LOGGED_IN' }, 401);
    if (session.access !== stale && session.expires > Date.now() + MARGIN) return;
    try {
      const tokens = await post('/auth/refresh', { refresh_token: session.refresh });
      await keep(opened(tokens, { name: session.name, email: session.email }));
    } catch (problem) {
      if (problem.status === 401) {
        await keep(null);
        changed(true);
      }
      throw problem;
    }
  }).finally(() => {
    renewing = null;
  });
  return renewing;
}

/** An access token that is valid for a while; not the `stale` one, which was refused. */
export async function token(stale) {
  if (!session) throw new Problem({ code: 'NOT_LOGGED_IN' }, 401);
  if (session.access === stale || session.expires < Date.now() + MARGIN) await renew(session.access);
  return session.access;
}

/** Do a request as the user; gives the response if it is a success, and throws a problem otherwise. */
export async function request(path, { method = 'GET', signal, headers } = {}) {
  const once = async (access) => ask(path, { method, signal, headers: { ...headers, Authorization: `Bearer ${access}` } });
  let access = await token();
  let response = await once(access);
  if (response.status === 401) {
    access = await token(access);
    response = await once(access);
  }
  if (!response.ok) throw await Problem.of(response);
  return response;
}
