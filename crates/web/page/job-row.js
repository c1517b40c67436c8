// Row of a job in the list of videos.

import { h, iconButton, replaceActions } from './dom.js';
import { downloadArchive } from './downloads.js';
import { errorLine, showingErrors } from './errors.js';
import { fetchJob, isFinished, removeJob } from './jobs.js';
import { progressBar, statusBadge, summary } from './status.js';
import { t } from './texts.js';

/** Width of the thumbnail, in pixels, on a screen of two pixels per point. */
const THUMBNAIL_WIDTH = 224;

/** Row of a job, which can be selected. */
export class JobRow {
  #box;
  #image = h('img', { alt: '', decoding: 'async' });
  #state = h('div', { class: 'state' });
  #body = h('div', {});
  #actions = h('div', { class: 'actions' });
  #note = h('p', { class: 'hint', role: 'status' });
  #error = errorLine();
  #thumbnails;
  #onChange;
  #onRemove;
  #drawn = null;

  /**
   * `onChange()` is called after the user has changed the job, `onSelect()` after it was selected
   * or not, and `onRemove()` after its deletion. The thumbnail is one of `thumbnails`.
   */
  constructor(job, { thumbnails, onChange, onSelect, onRemove }) {
    this.job = job;
    this.#thumbnails = thumbnails;
    this.#onChange = onChange;
    this.#onRemove = onRemove;
    const label = t('of_file', { what: t('select'), name: job.filename });
    this.#box = h('input', { type: 'checkbox', 'aria-label': label, onchange: onSelect });
    const link = h('a', { class: 'name', href: `#/jobs/${job.id}` }, job.filename);
    this.element = h('li', { 'data-job': job.id },
      h('label', { class: 'select' }, this.#box),
      h('div', { class: 'frame thumbnail' }, this.#image),
      this.#state,
      h('div', { class: 'details' }, link, this.#body, this.#note, this.#error),
      this.#actions);
  }

  /** Whether the row is selected and shown. */
  get isSelected() {
    return this.#box.checked && !this.element.hidden;
  }

  /** Select the row, or not. */
  select(isSelected) {
    this.#box.checked = isSelected;
    this.#box.dispatchEvent(new Event('change'));
  }

  /** Download the archive. */
  download() {
    return downloadArchive(this.job, this.#note);
  }

  /** Move the focus to the link of the row. */
  focus() {
    this.element.querySelector('.name').focus({ preventScroll: true });
  }

  /** Show the current state of the job. */
  show(job) {
    const statusChanged = this.#drawn === null || this.job.status !== job.status;
    this.job = job;
    const json = JSON.stringify(job);
    if (json === this.#drawn) return;
    this.#drawn = json;
    this.#body.replaceChildren(...[
      job.status === 'PROCESSING' && progressBar(job),
      h('p', { class: 'facts' }, summary(job)),
      job.status === 'FAILED' && h('p', { class: 'reason' }, job.error_message),
    ].filter(Boolean));
    if (!statusChanged) return;
    this.#state.replaceChildren(statusBadge(job));
    this.#thumbnails.remove(this.element);
    if (job.download_available) {
      const path = `/jobs/${job.id}/thumbnail?width=${THUMBNAIL_WIDTH}`;
      this.#thumbnails.add(this.element, this.#image, path);
    }
    replaceActions(this.#actions,
      job.download_available && this.#button('download', 'down', () => this.download()),
      isFinished(job)
        ? this.#button('delete', 'trash', () => this.#remove())
        : this.#button('cancel_job', 'close', () => this.#remove()));
  }

  #button(key, iconName, action) {
    const label = t('of_file', { what: t(key), name: this.job.filename });
    return iconButton(t(key), iconName, showingErrors(this.#error, action), label);
  }

  async #remove() {
    try {
      const job = await removeJob(this.job);
      if (job === null) this.#onRemove();
      else if (job) this.#update(job);
    } catch (error) {
      // If this fails, the next event or refresh shows the state.
      const update = (job) => this.#update(job);
      if (error.status === 409) await fetchJob(this.job.id).then(update, () => {});
      throw error;
    }
  }

  #update(job) {
    this.show(job);
    this.#onChange();
  }
}
