// Contact sheets of a job: a closed area that loads them when it is opened.

import { h, icon } from './dom.js';
import { errorLine, showError } from './errors.js';
import { fetchFrame, jobPath } from './frames.js';
import { problemText } from './problems.js';
import { t } from './texts.js';

/** Area with the contact sheets of a job, of which there are `count`. */
export class ContactSheets {
  #job;
  #count;
  #list = h('div', { class: 'sheets' });
  #error = errorLine();
  #closing = new AbortController();
  #urls = [];
  #isLoading = false;

  constructor(job, count) {
    this.#job = job;
    this.#count = count;
    this.element = h('details', { class: 'contact-sheets', ontoggle: () => this.#load() },
      h('summary', { class: 'quiet' }, t('contact_sheets', { n: count })),
      this.#list,
      this.#error);
  }

  async #load() {
    if (!this.element.open || this.#isLoading) return;
    this.#isLoading = true;
    this.#error.hidden = true;
    try {
      while (this.#urls.length < this.#count) {
        const number = this.#urls.length + 1;
        const path = `${jobPath(this.#job)}/sheets/${number}`;
        const url = await fetchFrame(path, this.#closing.signal);
        this.#urls.push(url);
        this.#list.append(this.#sheet(url, number));
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) showError(this.#error, problemText(error));
    }
    this.#isLoading = false;
  }

  #sheet(url, number) {
    const video = this.#job.filename.replace(/\.[^.]*$/, '');
    const name = `${video}_sheet_${String(number).padStart(5, '0')}.jpg`;
    return h('figure', {},
      h('img', { src: url, alt: t('contact_sheet_of', { n: number, name: this.#job.filename }) }),
      h('figcaption', {},
        h('a', { class: 'quiet', href: url, download: name },
          icon('down'), t('download_contact_sheet', { n: number }))));
  }

  /** Stop fetching and release the images. */
  close() {
    this.#closing.abort();
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
  }
}
