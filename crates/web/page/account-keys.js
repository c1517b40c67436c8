// API keys of the user.

import { copyButton } from './copy-button.js';
import { announce, confirmAction, h } from './dom.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { ChoicesField, Field, Form } from './form.js';
import { dateTime } from './format.js';
import { liveTime } from './live-times.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { StepDialog } from './step-dialog.js';
import { t } from './texts.js';

/** Names of the scopes that a key can have. */
const SCOPES = ['videos:read', 'videos:write', 'webhooks'];
/** Lifetimes of keys, in days. */
const LIFETIMES = [30, 90, 365];
const DAY = 24 * 60 * 60 * 1000;

const scopeText = (scope) => t(`scope_${scope}`);

/** List of the keys, with a dialog to create one. */
export class KeyList {
  #signal;
  #proof;
  #title = h('h2', { id: 'keys-title', tabindex: -1 }, t('keys'));
  #body = h('div', {});
  #error = errorLine();

  /** `proof()` returns the fields that confirm the identity of the user. */
  constructor(signal, proof) {
    this.#signal = signal;
    this.#proof = proof;
    const create = { type: 'button', class: 'quiet', id: 'create-key' };
    this.element = h('section', { 'aria-labelledby': 'keys-title' },
      this.#title,
      h('p', { class: 'hint' }, t('keys_text'), ' ',
        h('a', { id: 'api-docs', href: '/docs' }, t('api_docs'))),
      this.#body,
      this.#error,
      h('button', { ...create, onclick: () => this.#create() }, t('create_key')));
    this.#load();
  }

  async #load() {
    try {
      const keys = await (await request('/keys', { signal: this.#signal })).json();
      const list = { class: 'settings', 'aria-labelledby': 'keys-title' };
      this.#body.replaceChildren(keys.length > 0
        ? h('ul', list, keys.map((key) => this.#row(key)))
        : h('p', { class: 'facts' }, t('no_keys')));
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#body.replaceChildren(errorNotice(problemText(error), () => this.#load()));
    }
  }

  #row({ id, name, start, scopes, last_used_address: address, ...times }) {
    const { created_at: created, expires_at: end, last_used_at: used } = times;
    const button = {
      type: 'button',
      class: 'quiet',
      'aria-label': t('of_file', { what: t('delete'), name }),
      onclick: showingErrors(this.#error, () => this.#delete(id, name)),
    };
    return h('li', { 'data-key': id },
      h('div', {},
        h('p', { class: 'strong' }, name),
        h('p', { class: 'facts' }, h('code', {}, `${start}…`), ' · ',
          scopes.map(scopeText).join(' · ')),
        h('p', { class: 'facts' },
          used ? [t('last_used'), ' ', liveTime(used)] : t('key_never_used'),
          address && ` · ${address}`,
          ' · ', endText(end),
          ' · ', t('key_created_on', { when: dateTime(created) }))),
      h('button', button, t('delete')));
  }

  #create() {
    const lifetimes = LIFETIMES.map((days) => [String(days), t('key_days', { days })]);
    const name = { autocomplete: 'off', maxlength: 100, missing: 'NAME_INVALID' };
    const dialog = new StepDialog(this.#signal);
    const form = new Form({
      fields: [
        new Field('name', name, { label: t('key_name'), hint: t('key_name_hint') }),
        new ChoicesField('scopes', SCOPES.map((scope) => [scope, scopeText(scope)]),
          { missing: 'SCOPES_MISSING' }),
        new Field('expires_at', { options: [...lifetimes, ['', t('key_forever')]] }),
        ...this.#proof(),
      ],
      submit: t('create_key'),
      others: [dialog.closeButton(t('cancel'))],
      action: async ({ expires_at: days, ...values }) => {
        const end = days && new Date(Date.now() + Number(days) * DAY).toISOString();
        const json = end ? { ...values, expires_at: end } : values;
        const { key } = await (await request('/keys', { method: 'POST', json })).json();
        showKey(dialog, key);
        this.#load();
      },
    });
    dialog.show(t('create_key'), form.element);
  }

  async #delete(id, name) {
    const answers = { yes: t('delete'), no: t('cancel') };
    if (!await confirmAction(t('delete_key_question', { name }), answers)) return;
    try {
      await request(`/keys/${id}`, { method: 'DELETE' });
    } catch (problem) {
      // It was deleted meanwhile.
      if (problem.code !== 'KEY_NOT_FOUND') throw problem;
    }
    await this.#load();
    announce(t('key_deleted'));
    this.#title.focus();
  }
}

/** Show a new key, which cannot be shown again. */
function showKey(dialog, key) {
  dialog.show(t('key_created'), [
    h('p', {}, t('key_created_text')),
    h('div', { class: 'secret' }, h('code', { id: 'key' }, key), copyButton(key)),
    h('div', { class: 'actions' }, dialog.closeButton(t('key_saved'), 'primary')),
  ], { mustStay: true });
}

/** Text about the end of a key. */
function endText(end) {
  return end ? liveTime(end, 'expires') : t('key_does_not_expire');
}
