// One webhook with its deliveries.

import { announce, confirmAction, h, icon, replaceActions } from './dom.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { StepDialog } from './step-dialog.js';
import { t } from './texts.js';
import { DeliveryList } from './webhook-deliveries.js';
import { openWebhookForm, showSecret } from './webhook-form.js';
import { webhookBadge, webhookFacts } from './webhooks.js';

/** View of a webhook. */
export class WebhookView {
  title = t('webhooks');
  #path;
  #webhook = null;
  #facts = h('div', {});
  #actions = h('div', { class: 'actions' });
  #error = errorLine();
  #deliveries;
  #closing = new AbortController();

  constructor(main, { id }) {
    this.#path = `/webhooks/${id}`;
    this.#deliveries = new DeliveryList(id, this.#closing.signal);
    const body = h('div', { class: 'account-body' },
      this.#facts, this.#actions, this.#error, this.#deliveries.element);
    main.append(
      h('p', { class: 'back-link' }, h('a', { href: '#/webhooks' }, icon('left'), t('to_webhooks'))),
      h('h1', { tabindex: -1 }, this.title), body);
    this.#load();
  }

  close() {
    this.#closing.abort();
  }

  async #load() {
    const { signal } = this.#closing;
    try {
      this.#draw(await (await request(this.#path, { signal })).json());
    } catch (error) {
      if (signal.aborted) return;
      this.#facts.replaceChildren(errorNotice(problemText(error), () => this.#load()));
    }
  }

  #draw(webhook) {
    this.#webhook = webhook;
    const { url, enabled, disabled_because: reason } = webhook;
    this.#facts.replaceChildren(
      h('p', { class: 'strong', id: 'webhook-url' }, url, ' ', webhookBadge(webhook)),
      h('p', { class: 'facts' }, webhookFacts(webhook)),
      ...(enabled ? [] : [h('p', {}, t(`disabled_${reason}`))]));
    const button = (id, text, action, style = 'quiet') => {
      const onclick = showingErrors(this.#error, action);
      return h('button', { type: 'button', class: style, id, onclick }, text);
    };
    const change = (values) => () => this.#change(values);
    const { activeElement } = document;
    const focused = this.#actions.contains(activeElement) ? activeElement.id : null;
    replaceActions(this.#actions,
      enabled && button('send-test', t('send_test'), () => this.#test(), 'primary'),
      button('change-webhook', t('change'), () => this.#edit()),
      button('enable-webhook', t(enabled ? 'disable' : 'enable'), change({ enabled: !enabled })),
      button('new-secret', t('new_secret'), () => this.#rotate()),
      button('delete-webhook', t('delete'), () => this.#delete(), 'danger'));
    // The same button, so that a change can be undone at once.
    if (focused) document.getElementById(focused)?.focus();
  }

  /** Change the webhook. `onChanged()` is called before it is drawn. */
  async #change(json, onChanged = () => {}) {
    const webhook = await (await request(this.#path, { method: 'PATCH', json })).json();
    onChanged();
    this.#draw(webhook);
    announce(t('saved'));
    await this.#deliveries.load();
  }

  async #test() {
    await request(`${this.#path}/test`, { method: 'POST' });
    announce(t('test_sent'));
    await this.#deliveries.load();
  }

  #edit() {
    openWebhookForm(this.#closing.signal, {
      title: t('change_webhook'),
      submit: t('save'),
      webhook: this.#webhook,
      // A dialog returns the focus to its button only as long as that is in the document.
      save: (json, dialog) => this.#change(json, () => dialog.close()),
    });
  }

  async #rotate() {
    const choices = { yes: t('new_secret'), no: t('cancel') };
    if (!(await confirmAction(t('new_secret_question'), choices))) return;
    const response = await request(`${this.#path}/secret`, { method: 'POST' });
    const { secret, ...webhook } = await response.json();
    const dialog = new StepDialog(this.#closing.signal);
    const text = `${t('webhook_secret_text')} ${t('webhook_rotated_text')}`;
    showSecret(dialog, secret, text, () => this.#draw(webhook));
  }

  async #delete() {
    const choices = { yes: t('delete'), no: t('keep_webhook') };
    const question = t('delete_webhook_question', { name: this.#webhook.url });
    if (!(await confirmAction(question, choices))) return;
    try {
      await request(this.#path, { method: 'DELETE' });
    } catch (problem) {
      // It was deleted meanwhile.
      if (problem.code !== 'WEBHOOK_NOT_FOUND') throw problem;
    }
    announce(t('webhook_deleted'));
    location.hash = '#/webhooks';
  }
}
