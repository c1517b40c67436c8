// Gallery of a job's frames.

import { h } from './dom.js';
import { errorNotice } from './errors.js';
import { timecode } from './format.js';
import { FrameBlocks } from './frame-blocks.js';
import { FrameSelection } from './frame-selection.js';
import { frameHash, framePath, gapText, jobPath } from './frames.js';
import { nextPage } from './jobs.js';
import { problemText } from './problems.js';
import { Scrubber } from './scrubber.js';
import { request } from './session.js';
import { t } from './texts.js';
import { Thumbnails } from './thumbnails.js';
import { FrameViewer } from './viewer.js';

/** Width of thumbnails, in pixels: that of the widest cell on a screen of two pixels per point. */
const THUMBNAIL_WIDTH = 320;
/** Distance to the end of the list at which more frames are listed. */
const LIST_DISTANCE = '1000px';
/** Frames that are listed at a time. */
const PAGE_SIZE = 120;
/** Frames from which there is a slider: fewer hardly fill a screen. */
const MIN_SCRUBBED = 30;

/** All frames of a job, in a section of the page. */
export class Gallery {
  /** Listed frames, by number. */
  frames = [];
  /** Number of frames in the archive, and of those that were expected. */
  written = 0;
  expected = 0;
  #job;
  #end = h('div', { class: 'list-end' });
  /** Slider and selection, which stay in sight. */
  #tools = h('div', { class: 'gallery-tools' });
  #selection;
  #nextPath;
  #gaps = [];
  #loading = null;
  #closing = new AbortController();
  #thumbnails = new Thumbnails();
  #blocks = new FrameBlocks(this.#thumbnails);
  /** Items by the numbers of their frames. */
  #items = new Map();
  #scrubber = null;
  /** Number of the frame that the slider leads to while it is not listed yet, or null. */
  #target = null;
  #viewer = null;
  #onContents;
  #endObserver = new IntersectionObserver(
    (entries) => entries.some(({ isIntersecting }) => isIntersecting) && this.loadMore(),
    { rootMargin: LIST_DISTANCE });

  /** `onContents(contents)` is called once, with the first page of the archive's contents. */
  constructor(job, section, heading, onContents) {
    this.#job = job;
    this.#onContents = onContents;
    this.#nextPath = `${jobPath(job)}/frames?limit=${PAGE_SIZE}`;
    // Archives of selected frames are made for the owner of the job only.
    this.#selection = job.token ? null : new FrameSelection(job, this);
    if (this.#selection) this.#tools.append(this.#selection.element);
    section.replaceChildren(heading, this.#blocks.element, this.#tools, this.#end);
    this.#endObserver.observe(this.#end);
  }

  /** Whether there are frames that are not listed yet. */
  get hasMore() {
    return this.#nextPath !== null;
  }

  /** List the next page of frames. */
  loadMore() {
    if (this.#nextPath) {
      this.#loading ??= this.#loadPage().finally(() => { this.#loading = null; });
    }
    return this.#loading;
  }

  async #loadPage() {
    this.#end.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      const response = await request(this.#nextPath, { signal: this.#closing.signal });
      const contents = await response.json();
      const isFirst = this.frames.length === 0;
      if (isFirst) {
        this.#gaps = contents.missing;
        this.written = contents.written;
        this.expected = contents.expected;
        this.#onContents(contents);
        this.#addScrubber(Math.max(contents.expected, contents.written));
      }
      this.#nextPath = nextPage(response);
      contents.frames.forEach((frame) => this.#add(frame));
      if (isFirst) this.#scrubber?.show(1);
      if (!this.#nextPath) this.#addGaps(Infinity);
      this.#end.replaceChildren();
      // An observer reports changes only, and the end of the list may still be visible.
      this.#endObserver.unobserve(this.#end);
      this.#endObserver.observe(this.#end);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#end.replaceChildren(errorNotice(problemText(error), () => this.loadMore()));
      this.#endObserver.disconnect();
    }
  }

  #add(frame) {
    this.#addGaps(frame.number);
    const { number, width, height } = frame;
    const time = timecode(frame.timestamp_s);
    const damaged = frame.decode_errors && t('damaged');
    const label = [t('frame_at', { n: number, time }), damaged].filter(Boolean).join(', ');
    const image = h('img', { alt: '', width, height, decoding: 'async' });
    const box = h('span', { class: 'frame' }, image);
    // Reserves the place of the thumbnail, so that nothing moves when it arrives.
    box.style.aspectRatio = `${width} / ${height}`;
    const item = h('li', {},
      h('a', { href: frameHash(this.#job, number), 'aria-label': label },
        box,
        h('span', { class: 'time' }, time, damaged && h('em', {}, damaged))),
      this.#selection?.mark(frame));
    this.frames.push(frame);
    this.#items.set(number, item);
    const path = framePath(this.#job, number, THUMBNAIL_WIDTH);
    this.#blocks.addFrame({ number, item, image, path });
  }

  #addScrubber(last) {
    if (last < MIN_SCRUBBED) return;
    this.#scrubber = new Scrubber({
      last,
      frameOf: (number) => this.frames.find((frame) => frame.number === number),
      onMove: (number) => this.#scrollTo(number),
    });
    this.#tools.prepend(this.#scrubber.element);
    const { signal } = this.#closing;
    addEventListener('scroll', () => this.#onScroll(), { signal, passive: true });
  }

  /** Scroll to a frame, or to the next one if it is missing. Frames are listed up to it. */
  async #scrollTo(number) {
    this.#target = number;
    while (this.hasMore && this.frames.at(-1).number < number) {
      const before = this.frames.length;
      await this.loadMore();
      if (this.#target !== number || this.frames.length === before) return;
    }
    const frame = this.frames.find((one) => one.number >= number) ?? this.frames.at(-1);
    this.#items.get(frame.number).scrollIntoView({ block: 'center' });
    // Blocks get their height when they come into view.
    requestAnimationFrame(() => {
      if (this.#target !== number) return;
      this.#items.get(frame.number).scrollIntoView({ block: 'center' });
      requestAnimationFrame(() => { if (this.#target === number) this.#target = null; });
    });
  }

  /** Move the slider to the frame in the middle of the window, unless its own is in sight. */
  #onScroll() {
    if (this.#target !== null) return;
    const own = this.#items.get(this.#scrubber.number)?.getBoundingClientRect();
    if (own && own.bottom > 0 && own.top < innerHeight) return;
    const { middle } = this.#blocks;
    if (middle) this.#scrubber.show(middle);
  }

  /** Add the gaps before the frame with this number. */
  #addGaps(number) {
    while (this.#gaps[0]?.first_number < number) {
      this.#blocks.addGap(h('li', { class: 'gap' }, gapText(this.#gaps.shift())));
    }
  }

  /** Open the viewer with a frame. `openedByLink`: the history entry before it is this page. */
  openViewer(number, { openedByLink = false } = {}) {
    const onClose = () => {
      const { shown } = this.#viewer;
      this.#viewer = null;
      this.#blocks.element.querySelector(`a[href$="/${shown}"]`)?.focus();
    };
    this.#viewer ??= new FrameViewer(this.#job, this, { openedByLink, onClose });
    this.#viewer.show(number);
  }

  /** Close the viewer, if it is open. */
  closeViewer() {
    this.#viewer?.close();
  }

  /** Stop fetching and release all thumbnails. */
  close() {
    this.#closing.abort();
    this.#endObserver.disconnect();
    this.closeViewer();
    this.#blocks.close();
    this.#thumbnails.close();
  }
}
