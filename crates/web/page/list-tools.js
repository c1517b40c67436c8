// Tools above the list of videos: search by name, and actions on the selected videos.

import { announce, confirmAction, h } from './dom.js';
import { downloadArchive } from './downloads.js';
import { errorLine, showingErrors } from './errors.js';
import { isFinished } from './jobs.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Text without accents and capital letters, by which names are compared. */
function folded(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/** Field to search videos by their names. `onChange()` is called after each change. */
export class NameSearch {
  #input;

  constructor(query, onChange) {
    this.#input = h('input', {
      type: 'search',
      id: 'search',
      autocomplete: 'off',
      spellcheck: 'false',
      maxlength: 100,
      placeholder: t('search'),
      'aria-label': t('search'),
      oninput: onChange,
    });
    this.#input.value = query;
    this.element = h('div', { class: 'search', role: 'search' }, this.#input);
  }

  /** Text that the user searches for. */
  get query() {
    return this.#input.value.trim();
  }

  /** Whether the name of a video contains the text. */
  matches({ filename }) {
    return folded(filename).includes(folded(this.query));
  }
}

/**
 * Bar with actions on the selected videos, which is hidden while there are none. `onDelete(id)` is
 * called after a video was deleted.
 */
export class SelectionBar {
  #rows = [];
  #text = h('span', { class: 'strong' });
  #download;
  #delete;
  #error = errorLine();
  #onDelete;

  constructor(onDelete) {
    this.#onDelete = onDelete;
    const button = (id, style, action) =>
      h('button', { type: 'button', id, class: style, onclick: showingErrors(this.#error, action) });
    this.#download = button('download-selected', 'primary', () => this.#downloadAll());
    this.#delete = button('delete-selected', 'quiet', () => this.#deleteAll());
    const clear = button('clear-selection', 'quiet', () => this.#clear());
    clear.textContent = t('clear_selection');
    this.element = h('section', { class: 'selection', 'aria-label': t('selection'), hidden: true },
      this.#text,
      h('div', { class: 'actions' }, this.#download, this.#delete, clear),
      this.#error);
  }

  /** Show the selected rows of these. */
  update(rows) {
    this.#rows = rows.filter((row) => row.isSelected);
    const count = this.#rows.length;
    this.element.hidden = count === 0;
    const [ready, finished] = [this.#ready.length, this.#finished.length];
    this.#text.textContent = t('selected', { n: count });
    this.#download.textContent = t('download_all', { n: ready });
    this.#download.disabled = ready === 0;
    this.#delete.textContent = t('delete');
    this.#delete.disabled = finished === 0;
  }

  get #ready() {
    return this.#rows.filter(({ job }) => job.download_available);
  }

  get #finished() {
    return this.#rows.filter(({ job }) => isFinished(job));
  }

  async #downloadAll() {
    // One after the other. Each row says whether it waits.
    await Promise.all(this.#ready.map((row) => row.download()));
  }

  async #deleteAll() {
    const rows = this.#finished;
    const question = t('delete_selected_question', { n: rows.length });
    const choices = { yes: t('delete'), no: t('delete_selected_no') };
    if (!await confirmAction(question, choices)) return;
    for (const { job } of rows) {
      try {
        await request(`/videos/${job.id}?action=delete`, { method: 'DELETE' });
      } catch (problem) {
        // It was deleted meanwhile.
        if (problem.status !== 404) throw problem;
      }
      this.#onDelete(job.id);
    }
    announce(t('videos_deleted', { n: rows.length }));
    // The button that had the focus is hidden.
    if (this.element.hidden) document.querySelector('h1')?.focus();
  }

  #clear() {
    const [first] = this.#rows;
    this.#rows.forEach((row) => row.select(false));
    first?.focus();
  }
}
