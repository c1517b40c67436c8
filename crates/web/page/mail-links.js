// Views of links in mails: confirm an address, change it, and set a new password.

import { h } from './dom.js';
import { Field, Form, INPUTS } from './form.js';
import { enteredAddress } from './login.js';
import { newPasswordField } from './new-password.js';
import { fetchAccount, logOut, post, user } from './session.js';
import { t } from './texts.js';

/** Paths of the API and texts of the links that need nothing but a confirmation. */
const CONFIRMATIONS = {
  confirm: {
    path: '/auth/confirm',
    title: 'confirm_address',
    text: 'confirm_address_text',
    done: 'address_confirmed',
  },
  'change-address': {
    path: '/auth/address/confirm',
    title: 'confirm_new_address',
    text: 'confirm_new_address_text',
    done: 'new_address_confirmed',
  },
};

/** Create the card of a view, with a title. */
function card(main, title, ...content) {
  const element = h('div', { class: 'card' }, h('h1', { tabindex: -1 }, title), content);
  main.append(h('div', { class: 'narrow' }, element));
  return element;
}

/** Replace the content of a card, and move the focus to its title. */
function replaceCard(element, title, ...content) {
  const heading = h('h1', { tabindex: -1 }, title);
  element.replaceChildren(heading, ...content);
  heading.focus();
}

function toPage() {
  return h('p', { class: 'other-mode' },
    h('a', { href: user() ? '#/' : '#/login' }, t(user() ? 'to_videos' : 'login')));
}

/** Text of a page that was reloaded: the token was removed from its address. */
function openLinkAgain() {
  return [h('p', {}, t('open_link_again')), toPage()];
}

/**
 * Confirmation of an address. It takes a click, because programs that check the links of mails
 * open them.
 */
export class ConfirmView {
  /** `link` has a `kind`, one of `CONFIRMATIONS`, and a `token` unless it was reloaded. */
  constructor(main, link) {
    const { path, title, text, done } = CONFIRMATIONS[link.kind];
    const doneContent = () => [t(done), h('p', {}, t(`${done}_text`)), toPage()];
    this.title = t(title);
    if (link.isUsed) {
      card(main, ...doneContent());
      return;
    }
    if (!link.token) {
      card(main, t(title), openLinkAgain());
      return;
    }
    const form = new Form({
      submit: t(title),
      action: async () => {
        await post(path, { token: link.token });
        link.isUsed = true;
        if (user()) await fetchAccount().catch(() => {});
        replaceCard(element, ...doneContent());
      },
    });
    const element = card(main, t(title), h('p', {}, t(text)), form.element);
  }
}

/** New password by the token of a link. */
export class ResetView {
  constructor(main, { token }) {
    this.title = t('set_new_password');
    if (!token) {
      card(main, this.title, openLinkAgain());
      return;
    }
    const form = new Form({
      fields: [newPasswordField('new_password')],
      submit: t('set_new_password'),
      action: async ({ new_password: password }) => {
        await post('/auth/password/reset', { token, new_password: password });
        // The session of this browser has ended, too, unless it belongs to another account.
        logOut({ notice: 'password_changed_log_in' });
      },
    });
    card(main, this.title, h('p', {}, t('set_new_password_text')), form.element,
      h('p', { class: 'other-mode' }, h('a', { href: '#/forgot' }, t('request_link'))));
  }
}

/** Request for a link to set a new password. */
export class ForgotView {
  constructor(main) {
    this.title = t('forgot_password');
    const email = new Field('email', INPUTS.email);
    email.input.value = enteredAddress();
    const form = new Form({
      fields: [email],
      submit: t('send_link'),
      action: async (values) => {
        await post('/auth/password/forgot', values);
        replaceCard(element, t('check_mail'),
          h('p', {}, t('reset_link_sent', values)),
          h('p', { class: 'hint' }, t('check_spam')),
          toPage());
      },
    });
    const element = card(main, this.title, h('p', {}, t('forgot_password_text')), form.element,
      toPage());
  }
}
