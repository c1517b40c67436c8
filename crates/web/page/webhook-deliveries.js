// Deliveries of a webhook.

import { announce, h } from './dom.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { dateTime, fromNow } from './format.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Number of deliveries on a page. */
const PAGE = 20;
/** Pause between two requests while a delivery is in progress, in milliseconds. */
const PAUSE = 1000;
/** States of badges by the state of a delivery. */
const BADGES = { PENDING: 'PROCESSING', DELIVERED: 'DONE', FAILED: 'FAILED' };

/** List of the deliveries of a webhook, newest first. */
export class DeliveryList {
  #path;
  #signal;
  #body = h('div', {});
  #error = errorLine();
  #count = PAGE;
  #timer = null;

  constructor(id, signal) {
    this.#path = `/webhooks/${id}/deliveries`;
    this.#signal = signal;
    this.element = h('section', { 'aria-labelledby': 'deliveries-title' },
      h('h2', { id: 'deliveries-title', tabindex: -1 }, t('deliveries')),
      this.#body, this.#error);
    signal.addEventListener('abort', () => clearTimeout(this.#timer));
    this.load();
  }

  /** Fetch the deliveries and show them, again and again while the first try of one lasts. */
  async load() {
    clearTimeout(this.#timer);
    try {
      const deliveries = await this.#fetch();
      this.#show(deliveries);
      const isNew = ({ status, error_code: code }) => status === 'PENDING' && !code;
      if (deliveries.some(isNew)) this.#timer = setTimeout(() => this.load(), PAUSE);
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#body.replaceChildren(errorNotice(problemText(error), () => this.load()));
    }
  }

  /** Fetch as many deliveries as are shown, and one page more if there is one. */
  async #fetch() {
    const deliveries = [];
    while (deliveries.length < this.#count) {
      const cursor = deliveries.length > 0 ? `&cursor=${deliveries.at(-1).id}` : '';
      const path = `${this.#path}?limit=${PAGE}${cursor}`;
      const page = await (await request(path, { signal: this.#signal })).json();
      deliveries.push(...page);
      if (page.length < PAGE) break;
    }
    return deliveries;
  }

  #show(deliveries) {
    if (deliveries.length === 0) {
      this.#body.replaceChildren(h('p', { class: 'hint' }, t('no_deliveries')));
      return;
    }
    const more = () => {
      this.#count += PAGE;
      this.load();
    };
    const button = { type: 'button', class: 'quiet', onclick: more };
    this.#body.replaceChildren(
      h('ul', { class: 'settings', 'aria-labelledby': 'deliveries-title' },
        deliveries.map((delivery) => this.#row(delivery))),
      ...(deliveries.length >= this.#count ? [h('button', button, t('older_deliveries'))] : []));
  }

  #row(delivery) {
    const { id, event, status, created_at: created, answer_body: body } = delivery;
    const time = h('time', { datetime: created, title: dateTime(created) }, fromNow(created));
    const name = `${t(event)}, ${dateTime(created)}`;
    const button = {
      type: 'button',
      class: 'quiet',
      'aria-label': t('of_file', { what: t('redeliver'), name }),
      onclick: showingErrors(this.#error, () => this.#repeat(id)),
    };
    return h('li', { 'data-delivery': id, 'data-status': status },
      h('div', {},
        h('p', { class: 'strong' }, t(event),
          h('span', { class: 'badge', 'data-state': BADGES[status] }, t(`delivery_${status}`))),
        h('p', { class: 'facts' }, time, ` · ${facts(delivery)}`),
        body && h('details', {},
          h('summary', {}, t('answer_body')), h('pre', { tabindex: 0 }, body))),
      status !== 'PENDING' && h('button', button, t('redeliver')));
  }

  async #repeat(id) {
    await request(`${this.#path}/${id}/redeliver`, { method: 'POST' });
    announce(t('redelivered'));
    await this.load();
    this.element.querySelector('h2').focus();
  }
}

/** Tries, answer and error of a delivery as text. */
function facts(delivery) {
  const { tries, answer_status: answer, error_code: code, next_attempt_at: next } = delivery;
  return [
    t('delivery_tries', { n: tries }),
    answer && t('delivery_answer', { status: answer }),
    code && problemText({ code }),
    code && next && t('next_try', { when: fromNow(next) }),
  ].filter(Boolean).join(' · ');
}
