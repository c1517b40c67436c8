// Viewer of single frames in full size.

import { h, iconButton, saveFile } from './dom.js';
import { errorLine, showError } from './errors.js';
import { timecode } from './format.js';
import { fetchFrame, frameHash, framePath, jobHash } from './frames.js';
import { problemText } from './problems.js';
import { t } from './texts.js';

/** Horizontal movement of a finger, in pixels, from which it is a swipe. */
const SWIPE_DISTANCE = 48;

/** Name of the file of a frame that is saved alone: frames of all videos have the same names. */
function fileName(video, frame) {
  return `${video.replace(/\.[^.]*$/, '')}_${frame.name}`;
}

/** Dialog that shows a frame of a job, with buttons, keys and swipes for the other frames. */
export class FrameViewer {
  /** Number of the frame that is shown. */
  shown = null;
  #job;
  #source;
  #openedByLink;
  #closing = new AbortController();
  /** Position at which the only finger touched the frame, or null. */
  #touch = null;
  #urls = new Map();
  #dialog;
  #image = h('img', { alt: '', draggable: 'false' });
  #heading = h('h2', { id: 'viewer-title', 'aria-live': 'polite' });
  #error = errorLine();
  #previous = iconButton(t('previous'), 'left', () => this.#step(-1));
  #next = iconButton(t('next'), 'right', () => this.#step(1));
  #download = iconButton(t('download_frame'), 'down', () => this.#save());

  /**
   * Open the viewer. `source` has the listed `frames`, the numbers of all frames (`written`) and of
   * those that were `expected`, whether some are not listed yet (`hasMore`), and `loadMore()`. `openedByLink` means that the
   * previous history entry is the page below the dialog.
   */
  constructor(job, source, { openedByLink, onClose }) {
    this.#job = job;
    this.#source = source;
    this.#openedByLink = openedByLink;
    this.#next.autofocus = true;
    const attributes = {
      class: 'viewer',
      'aria-labelledby': 'viewer-title',
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
      h('div', this.#swipeArea(), this.#image, this.#error),
      this.#previous,
      this.#next);
    // A click beside the buttons leaves the focus outside of the dialog, where the keys work, too.
    document.addEventListener('keydown', (event) => this.#onKeyDown(event),
      { signal: this.#closing.signal });
    this.#dialog.addEventListener('close', () => {
      this.#closing.abort();
      this.#dialog.remove();
      this.#urls.forEach(revoke);
      // A browser may close a dialog without a `cancel` event.
      if (location.hash === frameHash(job, this.shown)) {
        history.replaceState(null, '', jobHash(job));
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
    const frame = frames.find((one) => one.number === number);
    const [before, after] = [this.#neighbor(-1), this.#neighbor(1)];
    disable(this.#previous, !before);
    disable(this.#next, !after);
    disable(this.#download, !frame);
    this.#error.hidden = true;
    const total = Math.max(this.#source.written, frames.at(-1)?.number ?? 0);
    const time = frame && timecode(frame.timestamp_s);
    this.#heading.replaceChildren(
      h('span', {}, total ? t('frame_of', { n: number, total }) : t('frame', { n: number })), ' ',
      h('span', { class: 'time' }, time ?? ''));
    if (!frame) {
      this.#fail(this.#absenceText(total));
      return;
    }
    try {
      await this.#draw(frame, t('frame_at', { n: number, time }));
    } catch (error) {
      if (this.shown === number) this.#fail(problemText(error));
      return;
    }
    if (this.shown === number) this.#keep([frame, after, before]);
  }

  /** Reason why the frame with the number that is shown is not among the listed ones. */
  #absenceText(total) {
    if (this.#source.hasMore) return t('frame_not_loaded');
    const isExpected = this.shown <= Math.max(total, this.#source.expected);
    return isExpected ? t('frame_missing') : t('no_such_frame', { n: total });
  }

  /** Listed frame before (-1) or after (1) the number that is shown, or undefined. */
  #neighbor(direction) {
    const { frames } = this.#source;
    return direction < 0
      ? frames.findLast(({ number }) => number < this.shown)
      : frames.find(({ number }) => number > this.shown);
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
      const url = fetchFrame(framePath(this.#job, number));
      url.catch(() => this.#urls.delete(number));
      this.#urls.set(number, url);
    }
    return this.#urls.get(number);
  }

  #fail(text) {
    this.#image.removeAttribute('src');
    this.#image.alt = '';
    showError(this.#error, text);
  }

  #step(direction) {
    this.#goTo(this.#neighbor(direction));
  }

  #goTo(frame) {
    if (!frame || frame.number === this.shown) return;
    // Going back leaves the viewer, so frames add no history entries.
    history.replaceState(null, '', frameHash(this.#job, frame.number));
    this.show(frame.number);
  }

  /** Show the last frame, which may not be listed yet. */
  async #goToEnd() {
    const { shown } = this;
    await this.#listUpTo(Infinity);
    if (this.shown === shown) this.#goTo(this.#source.frames.at(-1));
  }

  #onKeyDown(event) {
    const { frames } = this.#source;
    const action = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      Home: () => this.#goTo(frames[0]),
      End: () => this.#goToEnd(),
    }[event.key];
    if (!action || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    action();
  }

  /** Attributes of the area in which a swipe shows another frame. Two fingers zoom. */
  #swipeArea() {
    const end = ({ clientX, clientY }) => {
      if (!this.#touch || visualViewport?.scale > 1) return;
      const [x, y] = [clientX - this.#touch.x, clientY - this.#touch.y];
      this.#touch = null;
      if (Math.abs(x) >= SWIPE_DISTANCE && Math.abs(x) > Math.abs(y)) this.#step(x < 0 ? 1 : -1);
    };
    return {
      class: 'viewer-frame',
      onpointerdown: ({ pointerType, isPrimary, clientX: x, clientY: y }) => {
        this.#touch = pointerType === 'touch' && isPrimary ? { x, y } : null;
      },
      onpointerup: end,
      onpointercancel: () => { this.#touch = null; },
    };
  }

  async #save() {
    const frame = this.#source.frames.find(({ number }) => number === this.shown);
    if (!frame) return;
    try {
      saveFile(await this.#fetch(frame.number), fileName(this.#job.filename, frame));
    } catch (error) {
      this.#fail(problemText(error));
    }
  }

  #leave() {
    if (this.#openedByLink) history.back();
    else location.hash = jobHash(this.#job);
  }

  /** Close the viewer. */
  close() {
    this.#dialog.close();
  }
}

/** Mark a button that does nothing now. It keeps the focus, unlike one that is disabled. */
function disable(button, isDisabled) {
  button.setAttribute('aria-disabled', String(isDisabled));
}

/** Release an object URL once it is there. */
function revoke(url) {
  url.then(URL.revokeObjectURL, () => {});
}
