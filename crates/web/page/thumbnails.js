// Thumbnails of frames: fetched when they come near the visible part of the page, those in sight
// first, and released when they are far from it.

import { fetchFrame } from './frames.js';
import { problemText } from './problems.js';

/** Maximum thumbnails that are fetched at a time. */
const MAX_CONCURRENT = 3;
/** Distance to the visible part of the page within which thumbnails are kept. */
const KEEP_DISTANCE = '1000px';
/** Pause before a thumbnail is requested again, in milliseconds. It doubles up to the maximum. */
const RETRY_PAUSE = 1000;
const MAX_RETRY_PAUSE = 30_000;

/** Whether the same request may succeed later. */
function isTemporary({ code, status }) {
  return code === 'NETWORK' || [408, 429].includes(status) || status >= 500;
}

/** Distance of an element to the middle of the window, in pixels. */
function distance(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return Math.abs((top + bottom) / 2 - innerHeight / 2);
}

/** The place that is nearest to the middle of the window. */
function nearest(places) {
  const distances = Array.from(places, (place) => [distance(place.element), place]);
  return distances.reduce((one, other) => (other[0] < one[0] ? other : one))[1];
}

/** Thumbnails of a view. */
export class Thumbnails {
  #places = new Map();
  #waiting = new Set();
  #fetching = 0;
  #observer = new IntersectionObserver(
    (entries) => entries.forEach((entry) => this.#onEntry(entry)),
    { rootMargin: KEEP_DISTANCE });

  /** Show the thumbnail at a path of the API in an image while `element` is near. */
  add(element, image, path) {
    const state = { url: null, fetching: null, timer: null, failures: 0 };
    this.#places.set(element, { element, image, path, ...state });
    this.#observer.observe(element);
  }

  /** Release the thumbnail of an element that is removed. */
  remove(element) {
    const place = this.#places.get(element);
    if (!place) return;
    this.#observer.unobserve(element);
    this.#places.delete(element);
    this.#release(place);
  }

  /** Stop fetching, and release all thumbnails. */
  close() {
    this.#observer.disconnect();
    for (const place of this.#places.values()) this.#release(place);
    this.#places.clear();
  }

  #onEntry({ target, isIntersecting }) {
    const place = this.#places.get(target);
    if (!place) return;
    if (!isIntersecting) this.#release(place);
    else if (!place.url && !place.fetching && !place.timer) this.#request(place);
  }

  #request(place) {
    this.#waiting.add(place);
    this.#fetchNext();
  }

  async #fetchNext() {
    if (this.#fetching >= MAX_CONCURRENT || this.#waiting.size === 0) return;
    const place = nearest(this.#waiting);
    this.#waiting.delete(place);
    this.#fetching += 1;
    const fetching = new AbortController();
    const { signal } = fetching;
    place.fetching = fetching;
    try {
      const url = await fetchFrame(place.path, signal);
      if (signal.aborted) URL.revokeObjectURL(url);
      else place.image.src = place.url = url;
    } catch (error) {
      if (!signal.aborted) this.#onFailure(place, error);
    } finally {
      if (place.fetching === fetching) place.fetching = null;
      this.#fetching -= 1;
      this.#fetchNext();
    }
  }

  /** Request a thumbnail again later, or show why there is none. */
  #onFailure(place, error) {
    if (!isTemporary(error)) {
      place.image.alt = problemText(error);
      place.image.classList.add('failed');
      return;
    }
    const pause = Math.min(RETRY_PAUSE * 2 ** place.failures, MAX_RETRY_PAUSE);
    place.failures += 1;
    place.timer = setTimeout(() => {
      place.timer = null;
      this.#request(place);
    }, Math.max(pause, (error.retryAfter ?? 0) * 1000));
  }

  #release(place) {
    this.#waiting.delete(place);
    clearTimeout(place.timer);
    place.timer = null;
    place.fetching?.abort();
    place.fetching = null;
    if (!place.url) return;
    place.image.removeAttribute('src');
    URL.revokeObjectURL(place.url);
    place.url = null;
  }
}
