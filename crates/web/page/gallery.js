// Gallery of a job's frames.

import { h } from './dom.js';
import { errorNotice } from './errors.js';
import { timecode } from './format.js';
import { frameHash, framePath, gapText } from './frames.js';
import { nextPage } from './jobs.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { t } from './texts.js';
import { Thumbnails } from './thumbnails.js';
import { FrameViewer } from './viewer.js';

/** Width of thumbnails, in pixels: that of the widest cell on a screen of two pixels per point. */
const THUMBNAIL_WIDTH = 320;
/** Distance to the end of the list at which more frames are listed. */
const LIST_DISTANCE = '1000px';
/** Frames that are listed at a time. */
const PAGE_SIZE = 200;

/** All frames of a job, in a section of the page. */
export class Gallery {
  /** Listed frames, by number. */
  frames = [];
  /** Number of frames in the archive. */
  written = 0;
  #job;
  #list = h('ol', { class: 'frames' });
  #end = h('div', { class: 'list-end' });
  #nextPath;
  #gaps = [];
  #loading = null;
  #closing = new AbortController();
  #thumbnails = new Thumbnails();
  #viewer = null;
  #onContents;
  #endObserver = new IntersectionObserver(
    (entries) => entries.some(({ isIntersecting }) => isIntersecting) && this.loadMore(),
    { rootMargin: LIST_DISTANCE });

  /** `onContents(contents)` is called once, with the first page of the archive's contents. */
  constructor(job, section, heading, onContents) {
    this.#job = job;
    this.#onContents = onContents;
    this.#nextPath = `/jobs/${job.id}/frames?limit=${PAGE_SIZE}`;
    section.replaceChildren(heading, this.#list, this.#end);
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
      if (this.frames.length === 0) {
        this.#gaps = contents.missing;
        this.written = contents.written;
        this.#onContents(contents);
      }
      this.#nextPath = nextPage(response);
      contents.frames.forEach((frame) => this.#add(frame));
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
    const element = h('li', {},
      h('a', { href: frameHash(this.#job.id, number), 'aria-label': label },
        box,
        h('span', { class: 'time' }, time, damaged && h('em', {}, damaged))));
    this.frames.push(frame);
    this.#list.append(element);
    this.#thumbnails.add(element, image, framePath(this.#job.id, number, THUMBNAIL_WIDTH));
  }

  /** Add the gaps before the frame with this number. */
  #addGaps(number) {
    while (this.#gaps[0]?.first_number < number) {
      this.#list.append(h('li', { class: 'gap' }, gapText(this.#gaps.shift())));
    }
  }

  /** Open the viewer with a frame. `openedByLink`: the history entry before it is this page. */
  openViewer(number, { openedByLink = false } = {}) {
    const onClose = () => {
      const { shown } = this.#viewer;
      this.#viewer = null;
      this.#list.querySelector(`a[href$="/${shown}"]`)?.focus();
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
    this.#thumbnails.close();
  }
}
