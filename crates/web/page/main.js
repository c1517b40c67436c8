// Where everything begins: which view is shown, and what stands around it.

import { h } from './dom.js';
import { entry } from './entry.js';
import { job } from './job.js';
import { list } from './list.js';
import { logOut, sessions, user } from './session.js';
import { redraw, start } from './tray.js';
import { abandon } from './uploads.js';
import { language, speak, t } from './words.js';

const [skip, top, main, tray] = ['skip', 'top', 'main', 'tray'].map((id) => document.getElementById(id));
let view = null;
/** Where the user wanted to go before logging in. */
let wanted = null;

/** The view of an address, and what is said of it there. */
function route(ended) {
  const [kind, first, second] = location.hash.replace(/^#?\/?/, '').split('/').map(decodeURIComponent);
  if (!user() && kind === 'jobs') wanted = location.hash;
  if (!user()) return [entry, { mode: kind === 'register' ? 'register' : 'login', ended }];
  if (kind === 'jobs' && first) return [job, { id: first, frame: Number(second) || null }];
  return [list, { filter: kind === 'state' ? first : null }];
}

function show({ ended = false, anew = false } = {}) {
  const [draw, options] = route(ended);
  if (!anew && view?.draw === draw && view.again?.(options)) return;
  view?.close?.();
  main.replaceChildren();
  main.className = draw.name;
  const first = view === null;
  view = { ...draw(main, options), draw };
  document.title = view.title === 'FIAP X' ? view.title : `${view.title} · FIAP X`;
  if (first) return;
  scrollTo(0, 0);
  main.querySelector(draw === entry ? 'input' : 'h1')?.focus({ preventScroll: true });
}

function frame() {
  skip.textContent = t('skip');
  const choice = (tag, name) =>
    h('button', { type: 'button', lang: tag, 'aria-pressed': String(language === tag), 'aria-label': `${tag.toUpperCase()}: ${name}`, onclick: () => turn(tag) }, tag.toUpperCase());
  top.replaceChildren(
    h('a', { class: 'brand', href: '#/' }, h('span', { class: 'mark', 'aria-hidden': 'true' }), 'FIAP X'),
    h('div', { class: 'account' },
      user() && h('span', { class: 'who', title: user().email }, user().name),
      user() && h('button', { type: 'button', class: 'quiet', id: 'logout', onclick: logOut }, t('logout')),
      h('div', { class: 'languages', role: 'group', 'aria-label': t('language') }, choice('pt', 'Português'), choice('en', 'English'))));
}

function turn(tag) {
  speak(tag);
  frame();
  show({ anew: true });
  redraw(tray);
  top.querySelector(`[lang=${tag}]`).focus();
}

skip.addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', () => show());
sessions.addEventListener('change', ({ detail: { ended } }) => {
  // What one user sends is not another's.
  abandon();
  if (user()) {
    history.replaceState(null, '', wanted ?? '#/');
    wanted = null;
  } else {
    if (ended) wanted = location.hash;
    history.replaceState(null, '', '#/login');
  }
  frame();
  show({ ended });
});

frame();
start(tray);
show();
