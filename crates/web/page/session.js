// Session of the user, and requests to the HTTP API.
//
// The session is kept in localStorage, so that it outlives the tab and all tabs share it. A script
// that could read it there could use it wherever it was stored, and the content security policy
// allows no foreign scripts. A stolen refresh token that is used ends the session for both sides.

import { readValue, writeValue } from './store.js';
import { language } from './texts.js';

const KEY = 'fiapx.session';
/** Time before its expiry, in milliseconds, at which an access token is renewed. */
const RENEWAL_MARGIN = 30_000;

/**
 * Error response of the API (RFC 9457), or a failure to reach it (code NETWORK). `retryAfter` is
 * the time in seconds after which the request may succeed, or null.
 */
export class Problem extends Error {
  constructor({ code, detail, errors }, status = 0, retryAfter = null) {
    super(detail ?? code);
    Object.assign(this, { code, detail, errors: errors ?? [], status, retryAfter });
  }

  static async of(response) {
    const document = await response.json().catch(() => ({ code: 'INTERNAL_ERROR' }));
    const retryAfter = Number(response.headers.get('Retry-After')) || null;
    return new Problem(document, response.status, retryAfter);
  }
}

/**
 * Source of two events. `change`: a user logged in or out, in this tab or in another one. In its
 * detail, `expired` is true if the API ended the session, `notice` is the key of a text for the
 * login view, and `next` the address to open. `update`: data of the user changed.
 */
export const sessionEvents = new EventTarget();

let session = readSession();
/** Token of the link by which a job is shown, or null. */
let shareToken = null;
let renewal = null;

function readSession() {
  try {
    return JSON.parse(readValue(KEY));
  } catch {
    return null;
  }
}

async function storeSession(changed) {
  session = changed;
  writeValue(KEY, changed && JSON.stringify(changed));
  await withSharedStore((store) => (changed ? store.put(changed, KEY) : store.delete(KEY)));
}

/**
 * Run an operation on the session in IndexedDB, whose transactions all tabs see in the same order;
 * a write to localStorage can reach other tabs later. Resolves to the result of the operation, or
 * to undefined if IndexedDB is not available.
 */
async function withSharedStore(operation) {
  let opening;
  try {
    opening = indexedDB.open('fiapx', 1);
  } catch {
    return undefined;
  }
  return new Promise((resolve) => {
    opening.onupgradeneeded = () => opening.result.createObjectStore('session');
    opening.onerror = () => resolve();
    opening.onsuccess = () => {
      const transaction = opening.result.transaction('session', 'readwrite');
      const request = operation(transaction.objectStore('session'));
      transaction.oncomplete = () => {
        opening.result.close();
        resolve(request.result);
      };
      transaction.onabort = () => {
        opening.result.close();
        resolve();
      };
    };
  });
}

function notifyChange({ expired = false, notice = null, next = null } = {}) {
  sessionEvents.dispatchEvent(new CustomEvent('change', { detail: { expired, notice, next } }));
}

function notifyUpdate() {
  sessionEvents.dispatchEvent(new Event('update'));
}

/** Members of a session that describe its user. Sessions of earlier versions have no id. */
function userData({ id, name, email, confirmed }) {
  return { id, name, email, confirmed };
}

function isSameUser(one, other) {
  if (!one || !other) return one === other;
  return one.id && other.id ? one.id === other.id : one.email === other.email;
}

function hasSameData(one, other) {
  return JSON.stringify(userData(one)) === JSON.stringify(userData(other));
}

addEventListener('storage', ({ key }) => {
  if (key !== KEY && key !== null) return;
  const before = session;
  session = readSession();
  if (!isSameUser(before, session)) notifyChange();
  else if (session && !hasSameData(before, session)) notifyUpdate();
});

/**
 * Return the user as `{ name, email, confirmed }`, or null. `confirmed` is undefined until it is
 * known.
 */
export function user() {
  return session;
}

async function send(path, options) {
  const headers = { 'Accept-Language': language, ...options.headers };
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    throw error.name === 'AbortError' ? error : new Problem({ code: 'NETWORK' });
  }
}

/** Send a request without an access token. Returns the value of the response, or null. */
export async function post(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await send(path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw await Problem.of(response);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

function newSession({ access_token: access, refresh_token: refresh, expires_in: seconds }, user) {
  return { ...userData(user), access, refresh, expires: Date.now() + seconds * 1000 };
}

/**
 * Create an account and log in; open the address `checkMail` if the user has to confirm the e-mail
 * address. Returns whether the user is logged in: if addresses are confirmed, the response does not
 * say that the address belongs to an account already, which may have another password.
 */
export async function register({ name, email, password }, checkMail) {
  const accepted = await post('/auth/register', { name, email, password, language });
  const isPending = !('id' in accepted);
  try {
    await logIn({ email, password }, isPending ? checkMail : null);
    return true;
  } catch (problem) {
    if (isPending && problem.status === 401) return false;
    throw problem;
  }
}

/** Log in, and open the address `next` if the user has to confirm the e-mail address. */
export async function logIn({ email, password, code }, next = null) {
  const opened = await openSession({ email, password, code });
  await storeSession(opened);
  notifyChange({ next: opened.confirmed === false ? next : null });
}

async function openSession(credentials) {
  const tokens = await post('/auth/login', credentials);
  const headers = { Authorization: `Bearer ${tokens.access_token}` };
  const response = await send('/auth/me', { headers });
  if (!response.ok) throw await Problem.of(response);
  return newSession(tokens, await response.json());
}

/**
 * Show the login view with a `notice`. A user who is logged in is logged out in all tabs, even if
 * the API cannot be reached.
 */
export async function logOut({ notice = null } = {}) {
  const refresh = session?.refresh;
  if (refresh) storeSession(null);
  notifyChange({ notice, next: '#/login' });
  if (refresh) await post('/auth/logout', { refresh_token: refresh }).catch(() => {});
}

// A refresh token can be used once, and repeated once within ten seconds; any other use ends the
// session. So one tab at a time renews, and the others use its result. Web Locks exist in secure
// contexts only; without them two tabs may renew at the same time, but not three.
function withRenewalLock(operation) {
  return navigator.locks ? navigator.locks.request('fiapx.renew', operation) : operation();
}

/** Send a request again if its response was lost. */
async function repeatIfLost(send) {
  try {
    return await send();
  } catch (problem) {
    if (problem.code !== 'NETWORK') throw problem;
    return send();
  }
}

async function renew(rejected) {
  renewal ??= withRenewalLock(async () => {
    session = (await withSharedStore((store) => store.get(KEY))) ?? readSession();
    if (!session) throw new Problem({ code: 'NOT_LOGGED_IN' }, 401);
    if (session.access !== rejected && session.expires > Date.now() + RENEWAL_MARGIN) return;
    try {
      const tokens = await repeatIfLost(() =>
        post('/auth/refresh', { refresh_token: session.refresh }));
      await storeSession(newSession(tokens, session));
    } catch (problem) {
      if (problem.status === 401) {
        await storeSession(null);
        notifyChange({ expired: true });
      }
      throw problem;
    }
  }).finally(() => {
    renewal = null;
  });
  return renewal;
}

/** Return a valid access token, other than the one that the API `rejected`. */
async function accessToken(rejected) {
  if (!session) throw new Problem({ code: 'NOT_LOGGED_IN' }, 401);
  if (session.access === rejected || session.expires < Date.now() + RENEWAL_MARGIN) {
    await renew(session.access);
  }
  return session.access;
}

/**
 * Call `send(token)` with an access token, and once more with a new one if the response has status
 * 401. Returns the response.
 */
export async function withAccessToken(send) {
  const token = await accessToken();
  const response = await send(token);
  return response.status === 401 ? send(await accessToken(token)) : response;
}

/** Send requests for the shared job with the token of its link, or no longer with `null`. */
export function useShareToken(token) {
  shareToken = token;
}

/**
 * Send a request as the user, or for the shared job by its link, with a value as JSON if `json` is
 * given. Returns a successful response; throws a `Problem` otherwise.
 */
export async function request(path, { method = 'GET', signal, json, headers = {} } = {}) {
  const body = json && JSON.stringify(json);
  const type = body && { 'Content-Type': 'application/json' };
  const sendWith = (token) =>
    send(path, {
      method,
      signal,
      body,
      headers: { ...headers, ...type, Authorization: `Bearer ${token}` },
    });
  const isShared = path.startsWith('/shared');
  const response = await (isShared ? sendWith(shareToken) : withAccessToken(sendWith));
  if (!response.ok) throw await Problem.of(response);
  return response;
}

/** Fetch the account of the user, and update what the session has of it, in all tabs. */
export async function fetchAccount(signal) {
  const account = await (await request('/auth/me', { signal })).json();
  if (!session || hasSameData(session, account)) return account;
  // Another tab may renew the session.
  await withRenewalLock(async () => {
    const latest = (await withSharedStore((store) => store.get(KEY))) ?? readSession();
    if (isSameUser(latest, session)) await storeSession({ ...latest, ...userData(account) });
  });
  notifyUpdate();
  return account;
}

/**
 * Change the password, which ends all sessions, and open a new session in place of this one. If
 * that requires another code of a second factor, the user has to log in. Returns whether the user
 * is logged in.
 */
export async function changePassword({ current, changed, code }) {
  const { email } = session;
  const json = { current_password: current, new_password: changed, code };
  // Other tabs must not renew the ended session before the new one is stored.
  const change = (token) => withRenewalLock(async () => {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` };
    const body = JSON.stringify(json);
    const response = await send('/auth/password', { method: 'POST', headers, body });
    if (response.ok) {
      const opened = await openSession({ email, password: changed }).catch(() => null);
      await storeSession(opened);
      if (!opened) notifyChange({ notice: 'password_changed_log_in' });
    }
    return response;
  });
  const response = await withAccessToken(change);
  if (!response.ok) throw await Problem.of(response);
  return session !== null;
}

/** Random `Idempotency-Key`, with which a retry of an accepted request does not add a job. */
export function newIdempotencyKey() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
