// Webhooks of the user.

import { h, icon } from './dom.js';
import { errorNotice } from './errors.js';
import { dateTime } from './format.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { t } from './texts.js';
import { openWebhookForm, showSecret } from './webhook-form.js';

/** Badge of the state of a webhook. */
export function webhookBadge({ enabled }) {
  const state = enabled ? 'DONE' : 'FAILED';
  const text = t(enabled ? 'webhook_enabled' : 'webhook_disabled');
  return h('span', { class: 'badge', 'data-state': state }, text);
}

/** Events of a webhook, and since when it fails, as text. */
export function webhookFacts({ events, enabled, failing_since: since }) {
  const failing = enabled && since && t('webhook_failing', { when: dateTime(since) });
  return [events.map((event) => t(event)).join(', '), failing].filter(Boolean).join(' · ');
}

/** View of all webhooks. */
export class WebhooksView {
  title = t('webhooks');
  #body = h('div', { class: 'account-body' });
  #closing = new AbortController();

  constructor(main) {
    main.append(
      h('p', { class: 'back-link' }, h('a', { href: '#/account' }, icon('left'), t('to_account'))),
      h('h1', { tabindex: -1 }, this.title), h('p', { class: 'hint' }, t('webhooks_text')),
      this.#body);
    this.#load();
  }

  close() {
    this.#closing.abort();
  }

  async #load() {
    const { signal } = this.#closing;
    this.#body.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      this.#draw(await (await request('/webhooks', { signal })).json());
    } catch (error) {
      if (signal.aborted) return;
      this.#body.replaceChildren(errorNotice(problemText(error), () => this.#load()));
    }
  }

  #draw(webhooks) {
    const add = { type: 'button', class: 'primary', id: 'add-webhook', onclick: () => this.#add() };
    this.#body.replaceChildren(
      h('div', {},
        webhooks.length === 0
          ? h('p', { class: 'hint' }, t('no_webhooks'))
          : h('ul', { class: 'settings', 'aria-label': this.title }, webhooks.map(row)),
        h('button', add, t('add_webhook'))));
  }

  #add() {
    openWebhookForm(this.#closing.signal, {
      title: t('add_webhook'),
      submit: t('add_webhook'),
      save: async (json, dialog) => {
        const created = await (await request('/webhooks', { method: 'POST', json })).json();
        showSecret(dialog, created.secret, t('webhook_secret_text'), () => {
          location.hash = `#/webhooks/${created.id}`;
        });
      },
    });
  }
}

function row(webhook) {
  return h('li', { 'data-webhook': webhook.id },
    h('div', {},
      h('p', { class: 'strong' }, h('a', { href: `#/webhooks/${webhook.id}` }, webhook.url),
        webhookBadge(webhook)),
      h('p', { class: 'facts' }, webhookFacts(webhook))));
}
