// Dialog of the links to a finished job: create, copy, list and revoke them.

import { copyButton } from './copy-button.js';
import { announce, h } from './dom.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { Field, Form } from './form.js';
import { dateTime } from './format.js';
import { liveTime } from './live-times.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { shareText } from './share-texts.js';
import { StepDialog } from './step-dialog.js';

/** Lifetimes of links, in days. */
const LIFETIMES = [3, 1, 7];

/** Dialog of the links to a job. */
export class ShareDialog {
  #path;
  #signal;
  #dialog;
  #list = h('div', {});
  #error = errorLine();

  /** Aborting `signal` closes the dialog. */
  constructor(job, signal) {
    this.#path = `/jobs/${job.id}/shares`;
    this.#signal = signal;
    this.#dialog = new StepDialog(signal);
    this.#showLinks();
  }

  #showLinks() {
    const options = LIFETIMES.map((n) => [String(n), shareText('days', { n })]);
    const form = new Form({
      fields: [new Field('days', { options }, { label: shareText('days_label') })],
      submit: shareText('create'),
      others: [this.#dialog.closeButton(shareText('close'))],
      action: async ({ days }) => {
        const json = { days: Number(days) };
        const { url } = await (await request(this.#path, { method: 'POST', json })).json();
        this.#showCreated(url);
      },
    });
    this.#dialog.show(shareText('share_title'), [
      h('p', { class: 'hint' }, shareText('share_text')),
      form.element,
      h('h3', { id: 'links-title', tabindex: -1 }, shareText('links')),
      this.#error,
      this.#list,
    ]);
    this.#load();
  }

  /** Show the address of a new link, which cannot be shown again. */
  #showCreated(url) {
    const done = { type: 'button', class: 'primary', onclick: () => this.#showLinks() };
    this.#dialog.show(shareText('created'), [
      h('p', {}, shareText('created_text')),
      h('div', { class: 'secret' }, h('code', { id: 'key' }, url),
        copyButton(url)),
      h('div', { class: 'actions' }, h('button', done, shareText('saved'))),
    ], { mustStay: true });
  }

  async #load() {
    try {
      const links = await (await request(this.#path, { signal: this.#signal })).json();
      const attributes = { class: 'settings', 'aria-labelledby': 'links-title' };
      this.#list.replaceChildren(links.length > 0
        ? h('ul', attributes, links.map((link) => this.#row(link)))
        : h('p', { class: 'facts' }, shareText('no_links')));
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#list.replaceChildren(errorNotice(problemText(error), () => this.#load()));
    }
  }

  #row({ id, created_at: created, expires_at: end }) {
    const when = dateTime(created);
    const button = {
      type: 'button',
      class: 'quiet',
      'aria-label': shareText('revoke_of', { when }),
      onclick: showingErrors(this.#error, () => this.#revoke(id)),
    };
    return h('li', { 'data-share': id },
      h('div', {},
        h('p', { class: 'facts' },
          shareText('created_on', { when }), ' · ', liveTime(end, 'expires'))),
      h('button', button, shareText('revoke')));
  }

  async #revoke(id) {
    try {
      await request(`${this.#path}/${id}`, { method: 'DELETE' });
    } catch (problem) {
      // It has ended meanwhile.
      if (problem.code !== 'SHARE_NOT_FOUND') throw problem;
    }
    await this.#load();
    announce(shareText('revoked'));
    document.getElementById('links-title')?.focus();
  }
}
