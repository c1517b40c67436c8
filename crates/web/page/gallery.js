// The frames of a video as a contact sheet. Pictures are fetched when they come near, and forgotten when they are far.

import { h } from './dom.js';
import { timecode } from './format.js';
import { gapWords } from './job.js';
import { following } from './jobs.js';
import { request } from './session.js';
import { trouble } from './state.js';
import { Viewer } from './viewer.js';
import { refusal, t } from './words.js';

/** Width of the small pictures; enough for the widest place on a dense screen. */
const WIDTH = 320;
/** Pictures that are fetched at a time. */
const AT_ONCE = 3;
/** How far outside of what is seen pictures are kept. */
const NEAR = '1000px';

/** The path of a frame, in its own size or in another. */
export const path = (id, number, width) => `/jobs/${id}/frames/${number}${width ? `?width=${width}` : ''}`;

/** A picture as a URL of its own, since pictures need a token. Whoever asks revokes it. */
export async function picture(path, signal) {
  const response = await request(path, { signal });
  return URL.createObjectURL(await response.blob());
}

/** All frames of a job, in `place`. */
export class Gallery {
  frames = [];
  written = 0;
  #id;
  #sheet = h('ol', { class: 'sheet' });
  #rest = h('div', { class: 'rest' });
  #next;
  #missing = [];
  #loading = null;
  #leaving = new AbortController();
  #cells = new Map();
  #queue = [];
  #under = 0;
  #viewer = null;
  #told;
  #near = new IntersectionObserver((seen) => seen.forEach((entry) => this.#came(entry)), { rootMargin: NEAR });
  #end = new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && this.more(), { rootMargin: NEAR });

  /** `told` gets what the archive holds when it is known. */
  constructor(id, place, title, told) {
    this.#id = id;
    this.#told = told;
    this.#next = `/jobs/${id}/frames?limit=200`;
    place.replaceChildren(title, this.#sheet, this.#rest);
    this.#end.observe(this.#rest);
  }

  /** Whether there are frames that are not listed yet. */
  get unlisted() {
    return this.#next !== null;
  }

  /** List more frames. */
  more() {
    if (this.#next) this.#loading ??= this.#list().finally(() => { this.#loading = null; });
    return this.#loading;
  }

  async #list() {
    this.#rest.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      const response = await request(this.#next, { signal: this.#leaving.signal });
      const contents = await response.json();
      if (this.frames.length === 0) {
        this.#missing = contents.missing;
        this.written = contents.written;
        this.#told(contents);
      }
      this.#next = following(response);
      contents.frames.forEach((frame) => this.#add(frame));
      if (!this.#next) this.#gaps(Infinity);
      this.#rest.replaceChildren();
      this.#end.unobserve(this.#rest);
      this.#end.observe(this.#rest);
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      this.#rest.replaceChildren(trouble(refusal(error), () => this.more()));
      this.#end.disconnect();
    }
  }

  #add(frame) {
    this.#gaps(frame.number);
    const time = timecode(frame.timestamp_s);
    const image = h('img', { alt: '', width: frame.width, height: frame.height, decoding: 'async' });
    const cell = h('li', {}, h('a', { href: `#/jobs/${this.#id}/${frame.number}`, 'aria-label': t('frame_at', { n: frame.number, time }) + (frame.decode_errors ? `, ${t('damaged')}` : '') },
      h('span', { class: 'picture' }, image), h('span', { class: 'time' }, time, frame.decode_errors && h('em', {}, t('damaged')))));
    // Its place is there before the picture is, so that nothing moves.
    cell.querySelector('.picture').style.aspectRatio = `${frame.width} / ${frame.height}`;
    this.#cells.set(cell, { frame, image, url: null, fetching: null });
    this.frames.push(frame);
    this.#sheet.append(cell);
    this.#near.observe(cell);
  }

  /** Show what is missing before the frame of this number. */
  #gaps(before) {
    while (this.#missing[0]?.first_number < before) this.#sheet.append(h('li', { class: 'gap' }, gapWords(this.#missing.shift())));
  }

  #came({ target, isIntersecting }) {
    const cell = this.#cells.get(target);
    if (isIntersecting && !cell.url && !cell.fetching) {
      this.#queue.push(cell);
      this.#fetch();
    } else if (!isIntersecting) {
      this.#queue = this.#queue.filter((other) => other !== cell);
      this.#forget(cell);
    }
  }

  async #fetch() {
    if (this.#under >= AT_ONCE || this.#queue.length === 0) return;
    const cell = this.#queue.shift();
    this.#under += 1;
    cell.fetching = new AbortController();
    const { signal } = cell.fetching;
    try {
      const url = await picture(path(this.#id, cell.frame.number, WIDTH), signal);
      if (signal.aborted) URL.revokeObjectURL(url);
      else cell.image.src = cell.url = url;
    } catch (error) {
      if (!signal.aborted) cell.image.alt = refusal(error);
    } finally {
      if (cell.fetching?.signal === signal) cell.fetching = null;
      this.#under -= 1;
      this.#fetch();
    }
    this.#fetch();
  }

  #forget(cell) {
    cell.fetching?.abort();
    cell.fetching = null;
    if (!cell.url) return;
    cell.image.removeAttribute('src');
    URL.revokeObjectURL(cell.url);
    cell.url = null;
  }

  /** Show the frame of this number in full; `linked` says that the way back leads here. */
  enlarge(number, linked = false) {
    this.#viewer ??= new Viewer(this.#id, this, linked, () => {
      const { shown } = this.#viewer;
      this.#viewer = null;
      // Whoever closes it finds the place again.
      this.#sheet.querySelector(`a[href$="/${shown}"]`)?.focus();
    });
    this.#viewer.show(number);
  }

  /** Show no frame in full any more. */
  shrink() {
    this.#viewer?.close();
  }

  /** Forget everything. */
  close() {
    this.#leaving.abort();
    this.#near.disconnect();
    this.#end.disconnect();
    this.#viewer?.close();
    this.#queue = [];
    this.#cells.forEach((cell) => this.#forget(cell));
  }
}
