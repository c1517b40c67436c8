// Deliveries of a webhook.

import { announce, h } from './dom.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { dateTime, fromNow } from './format.js';
import { liveTime } from './live-times.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Number of deliveries on a page. */
const PAGE = 20;
/**
 * Pauses between two requests while a delivery is in progress, in milliseconds: soon after an
 * action of the user, and later, because tries may follow for days.
 */
const PAUSE = 1000;
const LONG_PAUSE = 10_000;
/** Time after an action of the user in which the pauses are short, in milliseconds. */
const QUICK_PERIOD = 30_000;
/** States of badges by the state of a delivery. */
const BADGES = { PENDING: 'PROCESSING', DELIVERED: 'DONE', FAILED: 'FAILED' };

/** List of the deliveries of a webhook, newest first. */
export class DeliveryList {
  #path;
  #signal;
  #title = h('h2', { id: 'deliveries-title', tabindex: -1 }, t('deliveries'));
  #body = h('div', {});
  #error = errorLine();
  #more;
  #count = PAGE;
  #timer = null;
  #quickUntil = 0;
  /** What is shown, as JSON. */
  #shown = null;
  /** Rows that are shown, with their deliveries as JSON, by id. */
  #rows = new Map();

  constructor(id, signal) {
    this.#path = `/webhooks/${id}/deliveries`;
    this.#signal = signal;
    const more = () => {
      this.#count += PAGE;
      this.load();
    };
    const button = { type: 'button', class: 'quiet', onclick: more };
    this.#more = h('button', button, t('older_deliveries'));
    this.element = h('section', { 'aria-labelledby': 'deliveries-title' },
      this.#title, this.#body, this.#error);
    signal.addEventListener('abort', () => clearTimeout(this.#timer));
    this.load();
  }

  /** Fetch the deliveries after an action of the user, and show them until all are finished. */
  async load() {
    this.#quickUntil = Date.now() + QUICK_PERIOD;
    await this.#update();
  }

  async #update() {
    clearTimeout(this.#timer);
    try {
      const deliveries = await this.#fetch();
      this.#show(deliveries);
      // Another call may have set it meanwhile.
      clearTimeout(this.#timer);
      if (deliveries.some(({ status }) => status === 'PENDING')) {
        const pause = Date.now() < this.#quickUntil ? PAUSE : LONG_PAUSE;
        this.#timer = setTimeout(() => this.#update(), pause);
      }
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#shown = null;
      this.#replace(() => [errorNotice(problemText(error), () => this.load())]);
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

  /** Show deliveries. Rows that are the same stay, with what is open in them and the focus. */
  #show(deliveries) {
    const hasMore = deliveries.length >= this.#count;
    const shown = JSON.stringify({ deliveries, hasMore });
    if (shown === this.#shown) return;
    this.#shown = shown;
    const previous = this.#rows;
    this.#rows = new Map(deliveries.map((delivery) => {
      const json = JSON.stringify(delivery);
      const row = previous.get(delivery.id);
      return [delivery.id, row?.json === json ? row : { json, element: this.#row(delivery) }];
    }));
    if (deliveries.length === 0) {
      this.#replace(() => [h('p', { class: 'hint' }, t('no_deliveries'))]);
      return;
    }
    this.#replace(() => [
      h('ul', { class: 'settings', 'aria-labelledby': 'deliveries-title' },
        [...this.#rows.values()].map(({ element }) => element)),
      hasMore && this.#more,
    ]);
  }

  /**
   * Replace what is shown by what `build()` returns, which may move elements that are shown. The
   * focus stays, or moves to the title if its element is gone.
   */
  #replace(build) {
    const { activeElement: focused } = document;
    const hadFocus = this.#body.contains(focused);
    this.#body.replaceChildren(...build().filter(Boolean));
    if (hadFocus) (focused.isConnected ? focused : this.#title).focus({ preventScroll: true });
  }

  #row(delivery) {
    const { id, event, status, created_at: created, answer_body: body } = delivery;
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
        h('p', { class: 'facts' }, liveTime(created), ` · ${facts(delivery)}`),
        body && h('details', {},
          h('summary', {}, t('answer_body')), h('pre', { tabindex: 0 }, body))),
      status !== 'PENDING' && h('button', button, t('redeliver')));
  }

  async #repeat(id) {
    await request(`${this.#path}/${id}/redeliver`, { method: 'POST' });
    announce(t('redelivered'));
    await this.load();
    this.#title.focus();
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
