// A finished job, as people without an account see it by a link.

import { h, icon } from './dom.js';
import { downloadArchive } from './downloads.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { bytes } from './format.js';
import { Gallery } from './gallery.js';
import { liveTime } from './live-times.js';
import { problemText } from './problems.js';
import { recipeText } from './recipe-text.js';
import { request, useShareToken } from './session.js';
import { shareText } from './share-texts.js';
import { sentence, t } from './texts.js';

/** Shared job. With a `frame` number, the viewer is open. */
export class SharedView {
  title = 'FIAP X';
  #token;
  #frame;
  #gallery = null;
  #closing = new AbortController();
  #title = h('h1', { tabindex: -1 }, '\u00a0');
  #facts = h('p', { class: 'facts' });
  #actions = h('div', { class: 'actions' });
  #note = h('p', { class: 'hint', role: 'status' });
  #error = errorLine();
  #gallerySection = h('section', { class: 'gallery', 'aria-labelledby': 'gallery-title' });
  /** Keeps the page out of search engines, should somebody publish its address. */
  #robots = h('meta', { name: 'robots', content: 'noindex' });

  constructor(main, { token, frame }) {
    this.#token = token;
    this.#frame = frame;
    useShareToken(token);
    document.head.append(this.#robots);
    main.append(
      h('p', { class: 'hint' }, shareText('shared_by_link')),
      h('div', { class: 'job-head' },
        h('div', { class: 'title' }, this.#title),
        this.#actions,
        this.#note,
        this.#error),
      this.#facts,
      this.#gallerySection);
    this.#load();
  }

  /** Show another frame of the same job, or none. Returns false for another link. */
  update({ token, frame }) {
    if (token !== this.#token) return false;
    this.#frame = frame;
    if (frame) this.#gallery?.openViewer(frame, { openedByLink: true });
    else this.#gallery?.closeViewer();
    return true;
  }

  close() {
    this.#closing.abort();
    this.#gallery?.close();
    this.#robots.remove();
    useShareToken(null);
  }

  async #load() {
    try {
      const response = await request('/shared', { signal: this.#closing.signal });
      this.#show({ ...await response.json(), token: this.#token });
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const hasEnded = error.code === 'SHARE_INVALID';
      this.#title.textContent = hasEnded ? shareText('ended') : t('not_loaded');
      this.#gallerySection.replaceChildren(hasEnded
        ? h('p', {}, shareText('ended_text'))
        : errorNotice(problemText(error), () => this.#load()));
    }
  }

  #show(job) {
    document.title = `${job.filename} · FIAP X`;
    this.#title.textContent = job.filename;
    const facts = [
      sentence(recipeText(job.recipe) ?? ''),
      job.frame_count != null && t('frames', { n: job.frame_count }),
      job.zip_size_bytes != null && `ZIP ${bytes(job.zip_size_bytes)}`,
      liveTime(job.expires_at, 'expires'),
    ].filter(Boolean);
    this.#facts.replaceChildren(
      ...facts.flatMap((fact, index) => (index > 0 ? [' · ', fact] : [fact])));
    const onclick = showingErrors(this.#error, () => downloadArchive(job, this.#note));
    this.#actions.replaceChildren(
      h('button', { type: 'button', class: 'primary', onclick }, icon('down'), t('download')));
    const heading = h('h2', { id: 'gallery-title' }, t('gallery'));
    this.#gallery = new Gallery(job, this.#gallerySection, heading, () => {});
    if (this.#frame) this.#gallery.openViewer(this.#frame);
  }
}
