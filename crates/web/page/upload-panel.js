// Panel with all uploads, at the edge of every view.

import { announce, h, iconButton, replaceActions } from './dom.js';
import { bytes, duration } from './format.js';
import { t } from './texts.js';
import {
  canPause, cancel, continueWith, dismiss, isActive, isRefused, pause, retry, uploadEvents, uploads,
} from './uploads.js';

/** Shows the uploads in an element of the page. */
export class UploadPanel {
  #panel;
  #rows = new Map();
  #summary = h('span', { class: 'summary' });
  #dismissButton;
  #foldButton;
  #list;

  constructor(panel) {
    this.#panel = panel;
    // The panel covers no button: bars at the lower edge, and the end of the view, are above it.
    const { style } = document.documentElement;
    const keepClear = () => style.setProperty('--upload-panel', `${panel.offsetHeight}px`);
    new ResizeObserver(keepClear).observe(panel);
    uploadEvents.addEventListener('change', () => this.#update());
  }

  /** Draw the panel again, in another language. */
  redraw() {
    this.#clear();
    this.#update();
  }

  #clear() {
    this.#rows.clear();
    this.#panel.replaceChildren();
  }

  #update() {
    this.#panel.hidden = uploads.length === 0;
    if (this.#panel.hidden) {
      this.#clear();
      return;
    }
    if (!this.#panel.firstChild) this.#draw();
    const active = uploads.filter(isActive).length;
    this.#summarize(active);
    this.#dismissButton.hidden = active === uploads.length;
    for (const [upload, row] of this.#rows) {
      if (!uploads.includes(upload)) {
        row.element.remove();
        this.#rows.delete(upload);
      }
    }
    for (const upload of uploads) {
      if (!this.#rows.has(upload)) {
        const row = new UploadRow(upload);
        this.#rows.set(upload, row);
        this.#list.append(row.element);
      }
      this.#rows.get(upload).update();
    }
    const refused = uploads.filter(isRefused).map((upload) => this.#rows.get(upload).element);
    if (refused.some((row, index) => this.#list.children[index] !== row)) {
      this.#list.prepend(...refused);
    }
  }

  #summarize(active) {
    const [n, total] = [uploads.filter(isRefused).length, uploads.length];
    const refused = n ? t('uploads_refused', { n, total }) : '';
    const summary = active ? t('uploads_active', { n: active }) : refused;
    if (this.#summary.textContent === summary) return;
    announce(summary || t('uploads_finished'));
    // Received videos are in the list of videos, so the panel need not cover the view.
    this.#fold(!active && uploads.every(({ state }) => state === 'received'));
    this.#summary.textContent = summary;
  }

  #draw() {
    this.#list = h('ul', { id: 'upload-list' });
    this.#summary.textContent = '';
    const dismissFinished = () =>
      dismiss(({ state }) => !['failed', 'paused', 'unfinished'].includes(state));
    this.#dismissButton = h('button',
      { type: 'button', class: 'quiet clear', onclick: dismissFinished },
      t('dismiss_finished'));
    const toggle = () => this.#fold(!this.#panel.classList.contains('folded'));
    this.#foldButton = h('button',
      { type: 'button', class: 'quiet fold', 'aria-controls': 'upload-list', onclick: toggle });
    this.#panel.setAttribute('aria-label', t('uploads'));
    this.#panel.append(
      h('div', { class: 'upload-panel-head' },
        h('h2', {}, t('uploads')), this.#summary, this.#dismissButton, this.#foldButton),
      this.#list);
    this.#fold(this.#panel.classList.contains('folded'));
  }

  #fold(folded) {
    this.#panel.classList.toggle('folded', folded);
    this.#list.hidden = folded;
    this.#foldButton.setAttribute('aria-expanded', String(!folded));
    this.#foldButton.textContent = t(folded ? 'expand' : 'minimize');
  }
}

/** Row of an upload. */
class UploadRow {
  #upload;
  #bar;
  #amount = h('span', { class: 'amount' });
  #status = h('p', { class: 'status' });
  #actions = h('div', { class: 'actions' });
  #drawnState = null;
  #hadError = false;

  constructor(upload) {
    this.#upload = upload;
    const { name } = upload.file;
    const barLabel = this.#label('uploads');
    this.#bar = h('progress', { class: 'progress-bar', max: 1, 'aria-label': barLabel });
    this.element = h('li', {},
      h('div', { class: 'line' }, h('span', { class: 'file', title: name }, name), this.#amount),
      this.#bar,
      h('div', { class: 'line' }, this.#status, this.#actions));
  }

  #label(key) {
    return t('of_file', { what: t(key), name: this.#upload.file.name });
  }

  /** Show the current state of the upload. */
  update() {
    const upload = this.#upload;
    const { state, sentBytes, file } = upload;
    const active = isActive(upload);
    this.element.dataset.state = state;
    const isBegun = ['paused', 'unfinished'].includes(state);
    this.#bar.hidden = !active && !isBegun;
    this.#bar.value = file.size ? sentBytes / file.size : 0;
    const sent = active || isBegun ? `${bytes(sentBytes)} / ` : '';
    this.#amount.textContent = sent + bytes(file.size);
    this.#status.textContent = statusText(upload);
    // An error of an unfinished upload does not change its state.
    const hasError = Boolean(upload.errorText);
    if (state === this.#drawnState && hasError === this.#hadError) return;
    [this.#drawnState, this.#hadError] = [state, hasError];
    this.#status.classList.toggle('error', hasError);
    const button = (key, iconName, onclick) =>
      iconButton(t(key), iconName, onclick, this.#label(key));
    const link = { href: `#/jobs/${upload.jobId}`, 'aria-label': this.#label('open') };
    replaceActions(this.#actions,
      canPause(upload) && button('pause', 'pause', () => pause(upload)),
      state === 'paused' && button('continue', 'play', () => retry(upload)),
      state === 'unfinished' && button('choose_again', 'play', () => chooseAgain(upload)),
      active && button('cancel', 'close', () => cancel(upload)),
      ['failed', 'cancelled'].includes(state) && button('retry', 'retry', () => retry(upload)),
      state === 'received' && h('a', link, t('open')),
      !active && button('dismiss', 'close', () => dismiss((other) => other === upload)));
  }
}

/** Ask for the file of an upload that was begun before the page was loaded. */
function chooseAgain(upload) {
  const input = h('input', { type: 'file', accept: 'video/*,.mkv,.flv,.wmv' });
  input.addEventListener('change', () => {
    if (input.files[0]) continueWith(upload, input.files[0]);
  });
  input.click();
}

function statusText({ state, errorText, bytesPerSecond, file, sentBytes }) {
  if (errorText) return errorText();
  if (state !== 'sending') return t(`upload_${state}`);
  if (!bytesPerSecond) return t('loading');
  const left = duration((file.size - sentBytes) / bytesPerSecond);
  return t('upload_sending', { speed: bytes(bytesPerSecond), left });
}
