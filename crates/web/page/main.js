// Entry point: the view of the current address, and the header around it.

import { AbsentView, addressInPage, documentProblem } from './absent.js';
import { CheckMailView, ConfirmationBanner } from './confirmation.js';
import { announce, closeDialogs, confirmAction, h, icon } from './dom.js';
import { acceptDrops } from './drops.js';
import { errorNotice } from './errors.js';
import { ListView, STATUSES } from './list.js';
import { CHECK_MAIL, LoginView } from './login.js';
import { rememberedRecipe } from './options.js';
import { problemText } from './problems.js';
import { fetchAccount, logOut, sessionEvents, user } from './session.js';
import { language, setLanguage, t } from './texts.js';
import { UploadPanel } from './upload-panel.js';
import {
  addFiles, cancelAll, dismiss, isActive, showUnfinished, uploads as queue,
} from './uploads.js';

const [skipLink, header, bannerArea, main, uploads] =
  ['skip-link', 'header', 'banner', 'main', 'uploads'].map((id) => document.getElementById(id));
const uploadPanel = new UploadPanel(uploads);
const banner = new ConfirmationBanner(bannerArea);
/** Views of links in mails, which need no user. */
const LINK_KINDS = ['confirm', 'change-address', 'reset'];
/** Views that need no user, and stay when one logs in or out. */
const OPEN_KINDS = [...LINK_KINDS, 'shared'];
/** Views of a user. Others see the login first. */
const USER_KINDS = ['jobs', 'account', 'webhooks'];
/** Modules that are loaded when a view needs them, by the kinds of the views. */
const MODULES = {
  jobs: () => [import('./job.js')],
  account: () => [import('./account.js')],
  webhooks: () => [import('./webhook.js'), import('./webhooks.js')],
  forgot: () => [import('./mail-links.js')],
  confirm: () => [import('./mail-links.js')],
  'change-address': () => [import('./mail-links.js')],
  reset: () => [import('./mail-links.js')],
  shared: () => [import('./shared.js')],
};
/** Exports of the modules that are loaded. */
const loaded = {};
let view = null;
/** Address that was requested before the login, and is opened after it. */
let requestedHash = null;
/** Link of a mail that was opened last: its `kind`, and its `token` unless it was reloaded. */
let link = {};

/** Parts of the current address. */
function addressParts() {
  return location.hash.replace(/^#?\/?/, '').split('/');
}

/** Kind of the view of the current address. */
function currentKind() {
  return addressParts()[0];
}

/** Remove the token of a link from the address and the history, where others could find it. */
function takeLinkToken() {
  const [, kind, token] = /^#\/(confirm|change-address|reset)\/(.+)$/.exec(location.hash) ?? [];
  if (!kind) return;
  link = { kind, token };
  history.replaceState(null, '', `#/${kind}`);
}

/** Id of a job. No other text becomes a part of a path of the API. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Load the modules of a kind of views. */
async function load(kind) {
  Object.assign(loaded, ...(await Promise.all(MODULES[kind]())));
}

/** Load a kind of views, and show the view of the address if it is still one of them. */
async function loadViews(kind) {
  try {
    await load(kind);
    if (currentKind() === kind) showView();
  } catch {
    if (currentKind() !== kind) return;
    const text = problemText({ code: 'NETWORK' });
    main.replaceChildren(errorNotice(text, () => loadViews(kind)));
  }
}

/** Return the class of the view of the address, unless it is not loaded, and its options. */
function route(notice) {
  const [kind, first, second] = addressParts();
  if (location.pathname !== '/') return [AbsentView, { code: documentProblem }];
  if (kind === 'check-mail') return [CheckMailView, {}];
  if (kind === 'forgot') return [loaded.ForgotView, {}];
  if (LINK_KINDS.includes(kind)) {
    const LinkView = kind === 'reset' ? loaded.ResetView : loaded.ConfirmView;
    return [LinkView, link.kind === kind ? link : { kind }];
  }
  if (kind === 'shared') {
    return [loaded.SharedView, { token: first ?? '', frame: Number(second) || null }];
  }
  if (!user()) {
    if (USER_KINDS.includes(kind)) requestedHash = location.hash;
    return [LoginView, { mode: kind === 'register' ? 'register' : 'login', notice }];
  }
  if (kind === 'account') return [loaded.AccountView, {}];
  if (kind === 'webhooks') {
    return ID.test(first) ? [loaded.WebhookView, { id: first }] : [loaded.WebhooksView, {}];
  }
  if (kind === 'jobs' && ID.test(first)) {
    return [loaded.JobView, { id: first, frame: Number(second) || null }];
  }
  if (kind === 'state' && STATUSES.includes(first)) return [ListView, { status: first }];
  const isList = ['', 'login', 'register'].includes(kind);
  return isList ? [ListView, { status: null }] : [AbsentView, {}];
}

/** Show the view of the current address. `redraw` replaces a view that could be updated. */
function showView({ notice = null, redraw = false } = {}) {
  takeLinkToken();
  const [View, options] = route(notice);
  if (!View) {
    loadViews(currentKind());
    return;
  }
  if (!redraw && view instanceof View && view.update?.(options)) return;
  const initial = view === null;
  view?.close?.();
  main.replaceChildren();
  view = new View(main, options);
  // Users of the list open a video next.
  if (View === ListView) load('jobs').catch(() => {});
  document.title = view.title === 'FIAP X' ? view.title : `${view.title} · FIAP X`;
  if (initial) return;
  banner.update();
  if (view.restore?.()) return;
  scrollTo(0, 0);
  main.querySelector(View === LoginView ? 'input' : 'h1')?.focus({ preventScroll: true });
}

function drawHeader() {
  skipLink.textContent = t('skip');
  const logout = { type: 'button', class: 'quiet', id: 'logout', onclick: confirmLogOut };
  header.replaceChildren(
    h('a', { class: 'brand', href: '#/' },
      h('span', { class: 'brand-mark', 'aria-hidden': 'true' }), 'FIAP X'),
    h('div', { class: 'account' },
      user() && accountLink(),
      user() && h('button', logout, t('logout')),
      h('div', { class: 'languages', role: 'group', 'aria-label': t('language') },
        languageButton('pt', 'Português'),
        languageButton('en', 'English'))));
}

/** Log out, after a question if that cancels uploads. */
async function confirmLogOut() {
  const active = queue.filter(isActive).length;
  const choices = { yes: t('logout'), no: t('logout_no') };
  if (active === 0 || await confirmAction(t('logout_question', { n: active }), choices)) logOut();
}

function accountLink() {
  const { name, email } = user();
  const attributes = { class: 'account-link', href: '#/account', title: email };
  return h('a', { ...attributes, 'aria-label': `${t('account')}: ${name}` },
    icon('person'), h('span', { class: 'user-name' }, name));
}

function languageButton(tag, name) {
  return h('button', {
    type: 'button',
    lang: tag,
    'aria-pressed': String(language === tag),
    'aria-label': `${tag.toUpperCase()}: ${name}`,
    onclick: () => changeLanguage(tag),
  }, tag.toUpperCase());
}

function changeLanguage(tag) {
  setLanguage(tag);
  drawHeader();
  showView({ redraw: true });
  banner.update({ redraw: true });
  uploadPanel.redraw();
  header.querySelector(`[lang=${tag}]`).focus();
  updateMailSettings();
}

/** Let the mails of the user follow the page. Without a user, the module is not loaded. */
async function updateMailSettings() {
  if (!user()) return;
  const module = await import('./mail-settings.js').catch(() => null);
  await module?.followPage();
}

skipLink.addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
// Each view has its own place, also after the browser has gone back to it.
history.scrollRestoration = 'manual';
addEventListener('hashchange', () => {
  // The videos of these uploads are in the list.
  dismiss(({ state }) => state === 'received');
  if (location.pathname === '/') showView();
  else location.assign(`/${location.hash}`);
});
acceptDrops({
  isAccepting: () => user() !== null,
  onDrop: (files) => {
    if (view.addFiles) view.addFiles(files);
    else addFiles(files, rememberedRecipe());
  },
});
sessionEvents.addEventListener('change', ({ detail: { expired, notice, next } }) => {
  // Uploads of one user must not continue as those of another, and nobody may see them.
  cancelAll();
  closeDialogs();
  announce('');
  // A link is for its account, whoever is logged in.
  const staysHere = !next && OPEN_KINDS.includes(currentKind());
  if (!user()) {
    if (expired && !staysHere) requestedHash = location.hash;
    if (!staysHere) history.replaceState(null, '', '#/login');
  } else if (!staysHere) {
    history.replaceState(null, '', next ?? requestedHash ?? '#/');
    requestedHash = null;
  }
  drawHeader();
  showView({ notice: expired ? 'session_ended' : notice });
  updateMailSettings();
});
sessionEvents.addEventListener('update', () => {
  drawHeader();
  banner.update();
  if (location.hash === CHECK_MAIL && user()?.confirmed) location.hash = '#/';
});

// A path of the API that was opened in the browser.
const address = location.pathname === '/' ? null : addressInPage(location.pathname);
if (address) history.replaceState(null, '', address);
drawHeader();
showView();
banner.update();
if (user()) showUnfinished();
updateMailSettings();
// The address may have been confirmed on another device.
if (user() && user().confirmed !== true) fetchAccount().catch(() => {});
