// Account of the user.

import { KeyList } from './account-keys.js';
import { SessionList } from './account-sessions.js';
import { announce, h, saveFile } from './dom.js';
import { errorNotice } from './errors.js';
import { codeField, Field, Form, INPUTS } from './form.js';
import { newPasswordField } from './new-password.js';
import { problemText } from './problems.js';
import { turnOff, turnOn } from './second-factor.js';
import { changePassword, fetchAccount, logOut, Problem, request } from './session.js';
import { StepDialog } from './step-dialog.js';
import { t } from './texts.js';

/** Name of the file with the data of the user. */
const EXPORT_FILE = 'fiapx-account.zip';
/** Names of the languages, which are not translated. */
const LANGUAGES = [['pt', 'Português'], ['en', 'English']];
/** Choices of mails about videos. */
const MAILS = ['each', 'digest', 'failures', 'none'];

/** View of the account, where each setting is changed in a dialog. */
export class AccountView {
  title = t('account');
  #account = null;
  #body = h('div', { class: 'account-body' });
  #closing = new AbortController();
  #values = {};
  #secondFactorButton;
  #sessions;

  constructor(main) {
    main.append(h('h1', { tabindex: -1 }, this.title), this.#body);
    this.#load();
  }

  close() {
    this.#closing.abort();
  }

  async #load() {
    this.#body.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      this.#account = await fetchAccount(this.#closing.signal);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const text = `${t('not_loaded')}. ${problemText(error)}`;
      this.#body.replaceChildren(errorNotice(text, () => this.#load()));
      return;
    }
    this.#draw();
  }

  #draw() {
    this.#sessions = new SessionList(this.#closing.signal);
    const change = t('change');
    this.#secondFactorButton = this.#button('', 'second_factor', () => this.#changeSecondFactor());
    this.#body.replaceChildren(
      section('profile',
        this.#row('name', this.#button(change, 'name', () => this.#changeName())),
        this.#row('email', this.#button(change, 'email', () => this.#changeAddress())),
        this.#row('mail_language',
          this.#button(change, 'mail_language', () => this.#changeLanguage())),
        this.#row('mails', this.#button(change, 'mails', () => this.#changeMails()))),
      section('security',
        this.#row('password', this.#button(change, 'password', () => this.#changePassword())),
        this.#row('second_factor', this.#secondFactorButton)),
      this.#sessions.element,
      new KeyList(this.#closing.signal, () => this.#proof()).element,
      section('webhooks',
        h('li', {},
          h('p', { class: 'facts' }, t('webhooks_text')),
          h('a', { class: 'quiet', href: '#/webhooks' }, t('open')))),
      section('your_data',
        this.#row('export', this.#button(t('export_button'), 'export', () => this.#export())),
        this.#row('delete_account', this.#button(t('delete'), 'delete_account',
          () => this.#delete(), 'danger'))));
    this.#showValues();
  }

  /** Row of a setting, with its value and a button to change it. */
  #row(key, button) {
    const value = h('p', { class: 'facts' });
    this.#values[key] = value;
    return h('li', { 'data-setting': key },
      h('div', {}, h('p', { class: 'strong' }, t(key)), value), button);
  }

  #button(text, key, onclick, style = 'quiet') {
    const label = t('of_file', { what: text, name: t(key) });
    return h('button', { type: 'button', class: style, 'aria-label': label, onclick }, text);
  }

  #showValues() {
    const {
      name, email, confirmed, language, mails, second_factor: hasSecondFactor,
    } = this.#account;
    const values = {
      name,
      email: confirmed === false ? `${email} · ${t('not_confirmed')}` : email,
      mail_language: new Map(LANGUAGES).get(language) ?? language,
      mails: t(`mails_${mails}`),
      password: t('password_text'),
      second_factor: t(hasSecondFactor ? 'second_factor_is_on' : 'second_factor_is_off'),
      export: t('export_text'),
      delete_account: t('delete_account_text'),
    };
    for (const [key, text] of Object.entries(values)) this.#values[key].textContent = text;
    const text = t(hasSecondFactor ? 'turn_off' : 'turn_on');
    const button = this.#secondFactorButton;
    button.textContent = text;
    button.setAttribute('aria-label', t('of_file', { what: text, name: t('second_factor') }));
  }

  /** Fetch the account again after a change. */
  async #refresh() {
    try {
      this.#account = await fetchAccount(this.#closing.signal);
      this.#showValues();
    } catch {
      // The change is made; the next visit shows it.
    }
  }

  /** Password, and a code if the user has a second factor, for a form that needs them. */
  #proof() {
    const password = new Field('password', INPUTS.password, { label: t('current_password') });
    return this.#account.second_factor ? [password, codeField()] : [password];
  }

  /** Open a dialog with a form. `action(values, dialog)` may show another step. */
  #ask(title, content, { fields, submit, style, action }) {
    const dialog = new StepDialog(this.#closing.signal);
    const form = new Form({
      fields,
      submit,
      style,
      others: [dialog.closeButton(t('cancel'))],
      action: (values) => action(values, dialog),
    });
    dialog.show(title, [content, form.element]);
  }

  #done(dialog, title, text) {
    dialog.show(title, [
      h('p', {}, text),
      h('div', { class: 'actions' }, dialog.closeButton(t('close'), 'primary')),
    ]);
  }

  #changeProfile(key, field) {
    this.#ask(t(key), null, {
      fields: [field],
      submit: t('save'),
      action: async (json, dialog) => {
        await request('/auth/me', { method: 'PATCH', json });
        await this.#refresh();
        dialog.close();
        announce(t('saved'));
      },
    });
  }

  #changeName() {
    const field = new Field('name', INPUTS.name);
    field.input.value = this.#account.name;
    this.#changeProfile('name', field);
  }

  #changeLanguage() {
    const field = new Field('language', { options: LANGUAGES }, { label: t('mail_language') });
    field.input.value = this.#account.language;
    this.#changeProfile('mail_language', field);
  }

  #changeMails() {
    const options = MAILS.map((mails) => [mails, t(`mails_${mails}`)]);
    const field = new Field('mails', { options }, { hint: t('mails_hint') });
    field.input.value = this.#account.mails;
    this.#changeProfile('mails', field);
  }

  #changeAddress() {
    const email = new Field('email', { ...INPUTS.email, autocomplete: 'email' },
      { label: t('new_email') });
    this.#ask(t('change_email'), h('p', {}, t('change_email_text')), {
      fields: [email, ...this.#proof()],
      submit: t('send_link'),
      action: async (json, dialog) => {
        await request('/auth/address', { method: 'POST', json });
        this.#done(dialog, t('check_mail'), t('new_address_link_sent', { email: json.email }));
      },
    });
  }

  #changePassword() {
    const current = new Field('current_password', INPUTS.password);
    const changed = newPasswordField('new_password');
    this.#ask(t('change_password'), null, {
      fields: [current, changed, ...this.#proof().slice(1)],
      submit: t('change_password'),
      action: async ({ current_password: before, new_password: after, code }, dialog) => {
        const isLoggedIn = await changePassword({ current: before, changed: after, code });
        if (!isLoggedIn) return;
        this.#done(dialog, t('password_changed'), t('password_changed_text'));
        this.#sessions.load();
      },
    });
  }

  #changeSecondFactor() {
    const change = this.#account.second_factor ? turnOff : turnOn;
    change(this.#closing.signal, () => this.#refresh());
  }

  #export() {
    this.#ask(t('export'), h('p', {}, t('export_text')), {
      fields: this.#proof(),
      submit: t('export_button'),
      action: async (json, dialog) => {
        const response = await request('/auth/export', { method: 'POST', json });
        // An export that fails later is cut off.
        const blob = await response.blob().catch(() => null);
        if (!blob) throw new Problem({ code: 'NETWORK' });
        const url = URL.createObjectURL(blob);
        saveFile(url, EXPORT_FILE);
        URL.revokeObjectURL(url);
        dialog.close();
        announce(t('download_started'));
      },
    });
  }

  #delete() {
    const parts = ['delete_videos', 'delete_profile', 'delete_links'];
    const content = [
      h('p', {}, t('delete_account_question')),
      h('ul', { class: 'bullets' }, parts.map((key) => h('li', {}, t(key)))),
      h('p', {}, t('delete_account_advice')),
    ];
    this.#ask(t('delete_account'), content, {
      fields: this.#proof(),
      submit: t('delete_account_button'),
      style: 'danger',
      action: async (json) => {
        await request('/auth/me', { method: 'DELETE', json });
        logOut({ notice: 'account_deleted' });
      },
    });
  }
}

/** Section of settings. */
function section(key, ...rows) {
  return h('section', { 'aria-labelledby': `${key}-title` },
    h('h2', { id: `${key}-title` }, t(key)),
    h('ul', { class: 'settings' }, rows));
}
