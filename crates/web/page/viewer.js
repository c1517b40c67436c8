// Viewer of single frames in full size.

import { h, iconButton, saveFile } from './dom.js';
import { errorLine, showError } from './errors.js';
import { timecode } from './format.js';
import { fetchFrame, frameHash, framePath } from './frames.js';
import { problemText } from './problems.js';
import { t } from './texts.js';

/** Dialog that shows a frame of a job, with buttons and keys for the other frames. */
export class FrameViewer {
  /** Number of the frame that is shown. */
  shown = null;
  #jobId;
  #source;
  #openedByLink;
  #urls = new Map();
  #dialog;
  #image = h('img', { alt: '' });
  #heading = h('h2', { id: 'viewer-title', 'aria-live': 'polite' });
  #error = errorLine();
  #previous = iconButton(t('previous'), 'left', () => this.#step(-1));
  #next = iconButton(t('next'), 'right', () => this.#step(1));
  #download = iconButton(t('download_frame'), 'down', () => this.#save());

  /**
   * Open the viewer. `source` has the listed `frames`, the number of all frames (`written`),
   * whether some are not listed yet (`hasMore`), and `loadMore()`. `openedByLink` means that the
   * previous history entry is the page below the dialog.
   */
  constructor(jobId, source, { openedByLink, onClose }) {
    this.#jobId = jobId;
    this.#source = source;
    this.#openedByLink = openedByLink;
    this.#next.autofocus = true;
    const attributes = {
      class: 'viewer',
      'aria-labelledby': 'viewer-title',
      onkeydown: (event) => this.#onKeyDown(event),
      oncancel: (event) => {
        event.preventDefault();
        this.#leave();
      },
    };
    this.#dialog = h('dialog', attributes,
      h('div', { class: 'viewer-head' },
        this.#heading,
        this.#download,
        iconButton(t('close'), 'close', () => this.#leave())),
      h('div', { class: 'viewer-frame' }, this.#image, this.#error),
      this.#previous,
      this.#next);
    this.#dialog.addEventListener('close', () => {
      this.#dialog.remove();
      this.#urls.forEach(revoke);
      // A browser may close a dialog without a `cancel` event.
      if (location.hash === frameHash(jobId, this.shown)) {
        history.replaceState(null, '', `#/jobs/${jobId}`);
      }
      onClose();
    });
    document.body.append(this.#dialog);
    this.#dialog.showModal();
  }

  /** Show the frame with this number. */
  async show(number) {
    this.shown = number;
    await this.#listUpTo(number + 1);
    if (this.shown !== number) return;
    const { frames } = this.#source;
    const index = frames.findIndex((frame) => frame.number === number);
    const frame = frames[index];
    this.#previous.disabled = index <= 0;
    this.#next.disabled = index < 0 || index === frames.length - 1;
    this.#download.disabled = !frame;
    this.#error.hidden = true;
    if (!frame) {
      this.#fail(t('frame_not_loaded'));
      return;
    }
    const time = timecode(frame.timestamp_s);
    const total = Math.max(this.#source.written, frames.at(-1).number);
    this.#heading.replaceChildren(
      h('span', {}, t('frame_of', { n: number, total })), ' ',
      h('span', { class: 'time' }, time));
    try {
      await this.#draw(frame, t('frame_at', { n: number, time }));
    } catch (error) {
      if (this.shown === number) this.#fail(problemText(error));
      return;
    }
    if (this.shown === number) this.#keep([frame, frames[index + 1], frames[index - 1]]);
  }

  /** List frames until the one with this number is known, or there are no more. */
  async #listUpTo(number) {
    const { frames } = this.#source;
    while (this.#source.hasMore && !(frames.at(-1)?.number >= number)) {
      const before = frames.length;
      await this.#source.loadMore();
      if (frames.length === before) return;
    }
  }

  async #draw(frame, description) {
    this.#image.width = frame.width;
    this.#image.height = frame.height;
    this.#image.classList.add('pending');
    const url = await this.#fetch(frame.number);
    if (this.shown !== frame.number || !this.#dialog.isConnected) return;
    this.#image.src = url;
    this.#image.alt = description;
    await this.#image.decode();
    this.#image.classList.remove('pending');
  }

  /** Keep these frames in memory, fetching those that are missing, and release all others. */
  #keep(frames) {
    const numbers = frames.filter(Boolean).map(({ number }) => number);
    for (const [number, url] of this.#urls) {
      if (numbers.includes(number)) continue;
      this.#urls.delete(number);
      revoke(url);
    }
    numbers.forEach((number) => this.#fetch(number).catch(() => {}));
  }

  #fetch(number) {
    if (!this.#urls.has(number)) {
      const url = fetchFrame(framePath(this.#jobId, number));
      url.catch(() => this.#urls.delete(number));
      this.#urls.set(number, url);
    }
    return this.#urls.get(number);
  }

  #fail(text) {
    this.#image.removeAttribute('src');
    showError(this.#error, text);
  }

  #step(offset) {
    const { frames } = this.#source;
    const index = frames.findIndex(({ number }) => number === this.shown);
    this.#goTo(frames[index + offset]);
  }

  #goTo(frame) {
    if (!frame || frame.number === this.shown) return;
    // Going back leaves the viewer, so frames add no history entries.
    history.replaceState(null, '', frameHash(this.#jobId, frame.number));
    this.show(frame.number);
  }

  #onKeyDown(event) {
    const { frames } = this.#source;
    const action = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      Home: () => this.#goTo(frames[0]),
      End: () => this.#goTo(frames.at(-1)),
    }[event.key];
    if (!action || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    action();
  }

  async #save() {
    const frame = this.#source.frames.find(({ number }) => number === this.shown);
    try {
      saveFile(await this.#fetch(frame.number), frame.name);
    } catch (error) {
      this.#fail(problemText(error));
    }
  }

  #leave() {
    if (this.#openedByLink) history.back();
    else location.hash = `#/jobs/${this.#jobId}`;
  }

  /** Close the viewer. */
  close() {
    this.#dialog.close();
  }
}

/** Release an object URL once it is there. */
function revoke(url) {
  url.then(URL.revokeObjectURL, () => {});
}
