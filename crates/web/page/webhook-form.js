// Form of a webhook, and the dialog that shows its secret.

import { copyButton } from './copy-button.js';
import { h } from './dom.js';
import { ChoicesField, Field, Form } from './form.js';
import { StepDialog } from './step-dialog.js';
import { t } from './texts.js';

/** Events that can be sent. */
const EVENTS = ['job.completed', 'job.failed', 'job.cancelled', 'job.expired'];

/**
 * Open a dialog with the form of a webhook, filled with the values of `webhook`.
 * `save(values, dialog)` sends them.
 */
export function openWebhookForm(signal, { title, submit, webhook = {}, save }) {
  const dialog = new StepDialog(signal);
  const url = new Field('url', { type: 'url', inputmode: 'url', maxlength: 2000 },
    { hint: t('url_hint') });
  url.input.value = webhook.url ?? '';
  const events = new ChoicesField('events', EVENTS.map((event) => [event, t(event)]),
    { missing: 'EVENTS_MISSING' });
  const chosen = webhook.events ?? ['job.completed', 'job.failed'];
  for (const box of events.row.querySelectorAll('input')) box.checked = chosen.includes(box.value);
  const form = new Form({
    fields: [url, events],
    submit,
    others: [dialog.closeButton(t('cancel'))],
    action: (values) => save(values, dialog),
  });
  dialog.show(title, form.element);
}

/** Show the secret of a webhook, which is not shown again. */
export function showSecret(dialog, secret, text, onSaved) {
  const saved = () => {
    dialog.close();
    onSaved();
  };
  dialog.show(t('webhook_secret'), [
    h('p', {}, text),
    h('div', { class: 'secret' }, h('code', { id: 'secret' }, secret), copyButton(secret)),
    h('div', { class: 'actions' },
      h('button', { type: 'button', class: 'primary', onclick: saved }, t('secret_saved'))),
  ], { mustStay: true });
}
