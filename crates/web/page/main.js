// Entry point: the view of the current address, and the header around it.

import { h } from './dom.js';
import { JobView } from './job.js';
import { ListView } from './list.js';
import { LoginView } from './login.js';
import { logOut, sessionEvents, user } from './session.js';
import { language, setLanguage, t } from './texts.js';
import { UploadPanel } from './upload-panel.js';
import { cancelAll } from './uploads.js';

const [skipLink, header, main, uploads] = ['skip-link', 'header', 'main', 'uploads'].map((id) =>
  document.getElementById(id));
const uploadPanel = new UploadPanel(uploads);
let view = null;
/** Address that was requested before the login, and is opened after it. */
let requestedHash = null;

/** Return the class of the view of the current address, and its options. */
function route(expired) {
  const path = location.hash.replace(/^#?\/?/, '');
  const [kind, first, second] = path.split('/').map(decodeURIComponent);
  if (!user()) {
    if (kind === 'jobs') requestedHash = location.hash;
    return [LoginView, { mode: kind === 'register' ? 'register' : 'login', expired }];
  }
  if (kind === 'jobs' && first) return [JobView, { id: first, frame: Number(second) || null }];
  return [ListView, { status: kind === 'state' ? first : null }];
}

/** Show the view of the current address. `redraw` replaces a view that could be updated. */
function showView({ expired = false, redraw = false } = {}) {
  const [View, options] = route(expired);
  if (!redraw && view instanceof View && view.update?.(options)) return;
  const initial = view === null;
  view?.close?.();
  main.replaceChildren();
  view = new View(main, options);
  document.title = view.title === 'FIAP X' ? view.title : `${view.title} · FIAP X`;
  if (initial) return;
  scrollTo(0, 0);
  main.querySelector(View === LoginView ? 'input' : 'h1')?.focus({ preventScroll: true });
}

function drawHeader() {
  skipLink.textContent = t('skip');
  const logout = { type: 'button', class: 'quiet', id: 'logout', onclick: logOut };
  header.replaceChildren(
    h('a', { class: 'brand', href: '#/' },
      h('span', { class: 'brand-mark', 'aria-hidden': 'true' }), 'FIAP X'),
    h('div', { class: 'account' },
      user() && h('span', { class: 'user-name', title: user().email }, user().name),
      user() && h('button', logout, t('logout')),
      h('div', { class: 'languages', role: 'group', 'aria-label': t('language') },
        languageButton('pt', 'Português'),
        languageButton('en', 'English'))));
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
  uploadPanel.redraw();
  header.querySelector(`[lang=${tag}]`).focus();
}

skipLink.addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', () => showView());
sessionEvents.addEventListener('change', ({ detail: { expired } }) => {
  // Uploads of one user must not continue as those of another.
  cancelAll();
  if (user()) {
    history.replaceState(null, '', requestedHash ?? '#/');
    requestedHash = null;
  } else {
    if (expired) requestedHash = location.hash;
    history.replaceState(null, '', '#/login');
  }
  drawHeader();
  showView({ expired });
});

drawHeader();
showView();
