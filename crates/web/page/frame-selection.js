// Selection of frames in the gallery, and their download as one archive.

import { h } from './dom.js';
import { downloadArchive } from './downloads.js';
import { errorLine, showError, showingErrors } from './errors.js';
import { timecode } from './format.js';
import { t } from './texts.js';

/** Maxima of one download, which the API states. */
const MAX_FRAMES = 10_000;
const MAX_RANGES = 1000;
const MAX_LENGTH = 8000;

/** Check marks of frames, and a bar with actions that is hidden while no frame is selected. */
export class FrameSelection {
  #job;
  #gallery;
  /** Check marks by the numbers of their frames, in the order of the gallery. */
  #marks = new Map();
  /** Number at which the next range begins. */
  #anchor = null;
  #text = h('span', { class: 'strong', role: 'status' });
  #note = h('p', { class: 'hint', role: 'status' });
  #error = errorLine();
  #download;
  #all;

  /** `gallery` has the listed `frames`, `written`, `hasMore` and `loadMore()`. */
  constructor(job, gallery) {
    this.#job = job;
    this.#gallery = gallery;
    const button = (id, style, action) => {
      const onclick = showingErrors(this.#error, action);
      return h('button', { type: 'button', id, class: style, onclick });
    };
    this.#download = button('download-frames', 'primary', () => this.#downloadSelected());
    this.#all = button('select-all', 'quiet', () => this.#selectAll());
    this.#all.textContent = t('select_all');
    const clear = button('clear-frames', 'quiet', () => this.#clear());
    clear.textContent = t('clear_selection');
    const attributes = {
      class: 'frame-selection',
      'aria-label': t('frame_selection'),
      hidden: true,
    };
    this.element = h('section', attributes,
      this.#text,
      h('div', { class: 'actions' }, this.#download, this.#all, clear),
      this.#note,
      this.#error);
  }

  /** Create the check mark of a frame, which is listed after all others. */
  mark({ number, timestamp_s: seconds }) {
    const mark = h('input', {
      type: 'checkbox',
      class: 'mark',
      'aria-label': t('select_frame', { n: number, time: timecode(seconds) }),
      autocomplete: 'off',
      onclick: ({ shiftKey }) => this.#toggle(number, mark.checked, shiftKey),
    });
    this.#marks.set(number, mark);
    return mark;
  }

  get #selected() {
    return [...this.#marks].filter(([, mark]) => mark.checked).map(([number]) => number);
  }

  /** Select or deselect a frame or, with `isRange`, all from the last one that was clicked. */
  #toggle(number, isSelected, isRange) {
    if (isRange && this.#anchor !== null) {
      const [first, last] = [this.#anchor, number].sort((a, b) => a - b);
      for (const [other, mark] of this.#marks) {
        if (other >= first && other <= last) mark.checked = isSelected;
      }
    }
    this.#anchor = number;
    this.#update();
  }

  #update() {
    const count = this.#selected.length;
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = count === 0;
    if (count === 0 && hadFocus) this.#marks.get(this.#anchor)?.focus();
    this.#text.textContent = t('frames_selected', { n: count });
    this.#download.textContent = t('download_frames', { n: count });
    this.#all.hidden = this.#gallery.written > MAX_FRAMES;
    this.#all.disabled = count === this.#gallery.written;
    this.#error.hidden = true;
  }

  async #selectAll() {
    const { frames } = this.#gallery;
    while (this.#gallery.hasMore) {
      const before = frames.length;
      await this.#gallery.loadMore();
      if (frames.length === before) return;
    }
    this.#marks.forEach((mark) => { mark.checked = true; });
    this.#update();
    this.#download.focus();
  }

  #clear() {
    this.#marks.forEach((mark) => { mark.checked = false; });
    this.#update();
  }

  async #downloadSelected() {
    const selected = this.#selected;
    // The whole archive has its contact sheets, too, and can be resumed.
    const numbers = selected.length === this.#gallery.written ? null : this.#ranges();
    if (numbers === undefined) {
      showError(this.#error, t('selection_too_large'));
      return;
    }
    await downloadArchive(this.#job, this.#note, numbers);
  }

  /**
   * The selected numbers as the API reads them, such as `1,5,9-12`. Undefined if they are too many.
   * A gap between two selected frames does not end a range.
   */
  #ranges() {
    const ranges = [];
    let isContinued = false;
    let count = 0;
    for (const [number, mark] of this.#marks) {
      if (mark.checked && isContinued) ranges.at(-1)[1] = number;
      else if (mark.checked) ranges.push([number, number]);
      isContinued = mark.checked;
      count += Number(mark.checked);
    }
    const text = ranges
      .map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
      .join(',');
    const fits = count <= MAX_FRAMES && ranges.length <= MAX_RANGES && text.length <= MAX_LENGTH;
    return fits ? text : undefined;
  }
}
