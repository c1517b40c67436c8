// The uploads, shown at the edge of every view.

import { h, icon, say } from './dom.js';
import { bytes, span } from './format.js';
import { cancel, dismiss, isGoing, news, retry, uploads } from './uploads.js';
import { t } from './words.js';

const rows = new Map();

/** Show the uploads in `tray` from now on. */
export function start(tray) {
  news.addEventListener('change', () => show(tray));
}

/** Draw all of it anew, in another language. */
export function redraw(tray) {
  rows.clear();
  tray.replaceChildren();
  show(tray);
}

function show(tray) {
  tray.hidden = uploads.length === 0;
  if (tray.hidden) {
    rows.clear();
    tray.replaceChildren();
    return;
  }
  if (!tray.firstChild) frame(tray);
  const going = uploads.filter(isGoing).length;
  const summary = going ? t('uploads_going', { n: going }) : '';
  const told = tray.querySelector('.summary');
  if (told.textContent !== summary) {
    say(summary || t('uploads_over'));
    // What went well stands in the list of videos, and need not cover anything here.
    fold(tray, !going && uploads.every(({ state }) => state === 'received'));
    told.textContent = summary;
  }
  tray.querySelector('.clear').hidden = going === uploads.length;
  const list = tray.querySelector('ul');
  for (const [upload, row] of rows) {
    if (!uploads.includes(upload)) {
      row.element.remove();
      rows.delete(upload);
    }
  }
  for (const upload of uploads) {
    if (!rows.has(upload)) {
      rows.set(upload, rowOf(upload));
      list.append(rows.get(upload).element);
    }
    rows.get(upload).update();
  }
}

function frame(tray) {
  tray.setAttribute('aria-label', t('uploads'));
  tray.append(
    h('div', { class: 'tray-head' },
      h('h2', {}, t('uploads')), h('span', { class: 'summary' }),
      h('button', { type: 'button', class: 'quiet clear', onclick: () => dismiss(({ state }) => state !== 'failed') }, t('dismiss_over')),
      h('button', { type: 'button', class: 'quiet fold', 'aria-controls': 'tray-list', onclick: () => fold(tray, !tray.classList.contains('folded')) })),
    h('ul', { id: 'tray-list' }));
  fold(tray, tray.classList.contains('folded'));
}

function fold(tray, folded) {
  const button = tray.querySelector('.fold');
  tray.classList.toggle('folded', folded);
  tray.querySelector('ul').hidden = folded;
  button.setAttribute('aria-expanded', String(!folded));
  button.textContent = t(folded ? 'unfold' : 'fold');
}

function rowOf(upload) {
  const label = (what) => t('of_file', { what: t(what), name: upload.file.name });
  const bar = h('progress', { class: 'strip', max: 1, 'aria-label': label('uploads') });
  const [figure, status, actions] = [h('span', { class: 'figure' }), h('p', { class: 'status' }), h('div', { class: 'actions' })];
  const element = h('li', {}, h('div', { class: 'line' }, h('span', { class: 'file', title: upload.file.name }, upload.file.name), figure), bar, h('div', { class: 'line' }, status, actions));
  const button = (what, shape, act) => h('button', { type: 'button', class: 'round', 'aria-label': label(what), title: t(what), onclick: act }, icon(shape));
  let shown = null;
  function update() {
    const { state, sent, file, speed } = upload;
    element.dataset.state = state;
    bar.hidden = !isGoing(upload);
    bar.value = file.size ? sent / file.size : 0;
    figure.textContent = isGoing(upload) ? `${bytes(sent)} / ${bytes(file.size)}` : bytes(file.size);
    status.textContent = describe(upload, speed, file.size - sent);
    if (state === shown) return;
    shown = state;
    status.classList.toggle('error', Boolean(upload.wrong));
    const held = actions.contains(document.activeElement);
    actions.replaceChildren(
      ...(isGoing(upload) ? [button('cancel', 'close', () => cancel(upload))] : []),
      ...(state === 'failed' || state === 'stopped' ? [button('retry', 'again', () => retry(upload))] : []),
      ...(state === 'received' ? [h('a', { href: `#/jobs/${upload.job}`, 'aria-label': label('open') }, t('open'))] : []),
      ...(isGoing(upload) ? [] : [button('dismiss', 'close', () => dismiss((other) => other === upload))]));
    if (held) actions.querySelector('button, a')?.focus();
  }
  return { element, update };
}

function describe({ state, wrong }, speed, left) {
  if (wrong) return wrong();
  if (state !== 'sending') return t(state);
  if (!speed) return t('loading');
  return t('sending', { speed: bytes(speed), left: t('left', { time: span(left / speed) }) });
}
