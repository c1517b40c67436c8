// One frame in full, with the ways to its neighbours.

import { h, icon } from './dom.js';
import { timecode } from './format.js';
import { save } from './jobs.js';
import { path, picture } from './gallery.js';
import { refusal, t } from './words.js';

/** A frame of a job, over everything else. */
export class Viewer {
  shown = null;
  #id;
  #gallery;
  #linked;
  #pictures = new Map();
  #dialog;
  #image = h('img', { alt: '' });
  #place = h('h2', { id: 'viewer-title', 'aria-live': 'polite' });
  #wrong = h('p', { class: 'error', role: 'alert', hidden: true });
  #buttons;

  constructor(id, gallery, linked, closed) {
    this.#id = id;
    this.#linked = linked;
    this.#gallery = gallery;
    const button = (what, shape, act) => h('button', { type: 'button', class: 'round', 'aria-label': t(what), title: t(what), onclick: act }, icon(shape));
    this.#buttons = {
      previous: button('previous', 'left', () => this.#step(-1)),
      next: button('next', 'right', () => this.#step(1)),
      save: button('download_frame', 'down', () => this.#save()),
      close: button('close', 'close', () => this.#leave()),
    };
    const { previous, next, save: keep, close } = this.#buttons;
    next.autofocus = true;
    this.#dialog = h('dialog', { class: 'viewer', 'aria-labelledby': 'viewer-title', onkeydown: (event) => this.#key(event), oncancel: (event) => { event.preventDefault(); this.#leave(); } },
      h('div', { class: 'viewer-head' }, this.#place, keep, close),
      h('div', { class: 'viewer-picture' }, this.#image, this.#wrong), previous, next);
    this.#dialog.addEventListener('close', () => {
      this.#dialog.remove();
      this.#pictures.forEach((url) => url.then(URL.revokeObjectURL, () => {}));
      // A browser may close it without asking.
      if (location.hash === `#/jobs/${id}/${this.shown}`) history.replaceState(null, '', `#/jobs/${id}`);
      closed();
    });
    document.body.append(this.#dialog);
    this.#dialog.showModal();
  }

  /** Show the frame of this number. */
  async show(number) {
    this.shown = number;
    const { frames } = this.#gallery;
    while (this.#gallery.unlisted && !(frames.at(-1)?.number >= number + 1)) {
      const before = frames.length;
      await this.#gallery.more();
      if (frames.length === before) break;
    }
    if (this.shown !== number) return;
    const index = frames.findIndex((frame) => frame.number === number);
    const frame = frames[index];
    this.#buttons.previous.disabled = index <= 0;
    this.#buttons.next.disabled = index < 0 || index === frames.length - 1;
    this.#buttons.save.disabled = !frame;
    this.#wrong.hidden = true;
    if (!frame) {
      this.#fail(t('frame_failed'));
      return;
    }
    const time = timecode(frame.timestamp_s);
    this.#place.replaceChildren(h('span', {}, t('frame_of', { n: number, of: Math.max(this.#gallery.written, frames.at(-1).number) })), ' ', h('span', { class: 'time' }, time));
    this.#image.width = frame.width;
    this.#image.height = frame.height;
    this.#image.classList.add('coming');
    try {
      const url = await this.#picture(number);
      if (this.shown !== number || !this.#dialog.isConnected) return;
      this.#image.src = url;
      this.#image.alt = t('frame_at', { n: number, time });
      await this.#image.decode();
      this.#image.classList.remove('coming');
    } catch (error) {
      if (this.shown === number) this.#fail(refusal(error));
      return;
    }
    if (this.shown !== number) return;
    // Its neighbours are likely to be next; all others are let go.
    const near = [index, index + 1, index - 1].map((place) => frames[place]?.number).filter(Boolean);
    for (const [other, url] of this.#pictures) {
      if (near.includes(other)) continue;
      this.#pictures.delete(other);
      url.then(URL.revokeObjectURL, () => {});
    }
    near.forEach((other) => this.#picture(other).catch(() => {}));
  }

  #picture(number) {
    if (!this.#pictures.has(number)) {
      const url = picture(path(this.#id, number));
      url.catch(() => this.#pictures.delete(number));
      this.#pictures.set(number, url);
    }
    return this.#pictures.get(number);
  }

  #fail(text) {
    this.#image.removeAttribute('src');
    this.#wrong.textContent = text;
    this.#wrong.hidden = false;
  }

  #step(by) {
    const { frames } = this.#gallery;
    const index = frames.findIndex((frame) => frame.number === this.shown);
    this.#to(frames[index + by]);
  }

  #to(frame) {
    if (!frame || frame.number === this.shown) return;
    // Going back leads out of the viewer, not through all that was seen.
    history.replaceState(null, '', `#/jobs/${this.#id}/${frame.number}`);
    this.show(frame.number);
  }

  #key(event) {
    const { frames } = this.#gallery;
    const act = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      Home: () => this.#to(frames[0]),
      End: () => this.#to(frames.at(-1)),
    }[event.key];
    if (!act || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  async #save() {
    const frame = this.#gallery.frames.find(({ number }) => number === this.shown);
    try {
      save(await this.#picture(frame.number), frame.name);
    } catch (error) {
      this.#fail(refusal(error));
    }
  }

  #leave() {
    if (this.#linked) history.back();
    else location.hash = `#/jobs/${this.#id}`;
  }

  /** Take it away. */
  close() {
    this.#dialog.close();
  }
}
