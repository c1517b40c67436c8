// Previews: some frames of a job that is being processed, as they come.

import { h } from './dom.js';
import { timecode } from './format.js';
import { fetchFrame } from './frames.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Time between two requests for the list, in milliseconds. */
const INTERVAL = 1500;

/** Previews of a job in a section. They stay until the view is closed, so that nothing moves. */
export class Previews {
  #path;
  #list = h('ul', { class: 'frame-list frames previews', 'aria-labelledby': 'gallery-title' });
  #closing = new AbortController();
  /** URLs of the images by the numbers of the frames. */
  #urls = new Map();
  #timer = null;

  constructor(jobId, section, heading) {
    this.#path = `/jobs/${jobId}/previews`;
    section.replaceChildren(heading, h('p', { class: 'hint' }, t('previews_hint')), this.#list);
    this.#refresh();
  }

  /** Stop fetching and release all images. */
  close() {
    this.#closing.abort();
    clearTimeout(this.#timer);
    for (const url of this.#urls.values()) URL.revokeObjectURL(url);
    this.#urls.clear();
  }

  async #refresh() {
    const { signal } = this.#closing;
    try {
      if (!document.hidden) {
        const { previews } = await (await request(this.#path, { signal })).json();
        for (const preview of previews) await this.#add(preview);
      }
    } catch {
      // Previews are not essential: the list shows the next ones, if there are any.
    }
    if (!signal.aborted) this.#timer = setTimeout(() => this.#refresh(), INTERVAL);
  }

  /** Add a preview when its image is there. */
  async #add({ number, timestamp_s: seconds }) {
    if (this.#urls.has(number)) return;
    const { signal } = this.#closing;
    const url = await fetchFrame(`${this.#path}/${number}`, signal);
    if (signal.aborted) {
      URL.revokeObjectURL(url);
      return;
    }
    this.#urls.set(number, url);
    const time = timecode(seconds);
    this.#list.append(h('li', {},
      h('span', { class: 'frame' },
        h('img', { src: url, alt: t('frame_at', { n: number, time }), decoding: 'async' })),
      h('span', { class: 'time' }, time)));
  }
}
