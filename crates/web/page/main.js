// Entry point: the view of the current address, and the header around it.

import { AccountView } from './account.js';
import { CheckMailView, ConfirmationBanner } from './confirmation.js';
import { announce, closeDialogs, h, icon } from './dom.js';
import { errorNotice } from './errors.js';
import { JobView } from './job.js';
import { ListView } from './list.js';
import { CHECK_MAIL, LoginView } from './login.js';
import { ConfirmView, ForgotView, ResetView } from './mail-links.js';
import { problemText } from './problems.js';
import { fetchAccount, logOut, sessionEvents, user } from './session.js';
import { language, setLanguage, t } from './texts.js';
import { UploadPanel } from './upload-panel.js';
import { cancelAll } from './uploads.js';

const [skipLink, header, bannerArea, main, uploads] =
  ['skip-link', 'header', 'banner', 'main', 'uploads'].map((id) => document.getElementById(id));
const uploadPanel = new UploadPanel(uploads);
const banner = new ConfirmationBanner(bannerArea);
/** Views that need no user. */
const PUBLIC_VIEWS = {
  'check-mail': CheckMailView,
  forgot: ForgotView,
  confirm: ConfirmView,
  'change-address': ConfirmView,
  reset: ResetView,
};
/** Views of links in mails. */
const LINK_KINDS = ['confirm', 'change-address', 'reset'];
/** Modules of the views of webhooks, once they are loaded: few users open them. */
let webhookModules = null;
let view = null;
/** Address that was requested before the login, and is opened after it. */
let requestedHash = null;
/** Link of a mail that was opened last: its `kind`, and its `token` unless it was reloaded. */
let link = {};

/** Kind of the view of the current address. */
function currentKind() {
  return location.hash.replace(/^#?\/?/, '').split('/')[0];
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

/** Load the views of webhooks, and show the one of the address if it is still the current one. */
async function loadWebhookViews() {
  try {
    const modules = await Promise.all([import('./webhook.js'), import('./webhooks.js')]);
    webhookModules = Object.assign({}, ...modules);
    if (currentKind() === 'webhooks') showView();
  } catch {
    if (currentKind() !== 'webhooks') return;
    const text = problemText({ code: 'NETWORK' });
    main.replaceChildren(errorNotice(text, () => loadWebhookViews()));
  }
}

/** Return the class of the view of the address, unless it is not loaded, and its options. */
function route(notice) {
  const path = location.hash.replace(/^#?\/?/, '');
  const [kind, first, second] = path.split('/');
  if (Object.hasOwn(PUBLIC_VIEWS, kind)) {
    return [PUBLIC_VIEWS[kind], link.kind === kind ? link : { kind }];
  }
  if (!user()) {
    if (['jobs', 'account', 'webhooks'].includes(kind)) requestedHash = location.hash;
    return [LoginView, { mode: kind === 'register' ? 'register' : 'login', notice }];
  }
  if (kind === 'account') return [AccountView, {}];
  if (kind === 'webhooks') {
    return ID.test(first)
      ? [webhookModules?.WebhookView, { id: first }]
      : [webhookModules?.WebhooksView, {}];
  }
  if (kind === 'jobs' && ID.test(first)) {
    return [JobView, { id: first, frame: Number(second) || null }];
  }
  return [ListView, { status: kind === 'state' ? first : null }];
}

/** Show the view of the current address. `redraw` replaces a view that could be updated. */
function showView({ notice = null, redraw = false } = {}) {
  takeLinkToken();
  const [View, options] = route(notice);
  if (!View) {
    loadWebhookViews();
    return;
  }
  if (!redraw && view instanceof View && view.update?.(options)) return;
  const initial = view === null;
  view?.close?.();
  main.replaceChildren();
  view = new View(main, options);
  document.title = view.title === 'FIAP X' ? view.title : `${view.title} · FIAP X`;
  if (initial) return;
  scrollTo(0, 0);
  banner.update();
  main.querySelector(View === LoginView ? 'input' : 'h1')?.focus({ preventScroll: true });
}

function drawHeader() {
  skipLink.textContent = t('skip');
  const logout = { type: 'button', class: 'quiet', id: 'logout', onclick: () => logOut() };
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
addEventListener('hashchange', () => showView());
sessionEvents.addEventListener('change', ({ detail: { expired, notice, next } }) => {
  // Uploads of one user must not continue as those of another, and nobody may see them.
  cancelAll();
  closeDialogs();
  announce('');
  // A link is for its account, whoever is logged in.
  const staysHere = !next && LINK_KINDS.includes(currentKind());
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

drawHeader();
showView();
banner.update();
updateMailSettings();
// The address may have been confirmed on another device.
if (user() && user().confirmed !== true) fetchAccount().catch(() => {});
