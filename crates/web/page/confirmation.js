// Reminders of an address that is not confirmed yet.

import { announce, h } from './dom.js';
import { errorLine, showError } from './errors.js';
import { CHECK_MAIL, enteredAddress } from './login.js';
import { problemText } from './problems.js';
import { fetchAccount, request, user } from './session.js';
import { t } from './texts.js';

/** Whether the user has to confirm the address. */
export function isUnconfirmed() {
  return user()?.confirmed === false;
}

/** Create a button that sends the link again, and a line for the result. */
function sendAgain() {
  const error = errorLine();
  const result = h('p', { class: 'hint', role: 'status' });
  const send = async () => {
    error.hidden = true;
    result.textContent = '';
    button.disabled = true;
    try {
      await request('/auth/confirmation', { method: 'POST' });
      result.textContent = t('link_sent_again');
    } catch (problem) {
      showError(error, problemText(problem));
      // Confirmed on another device.
      if (problem.code === 'ADDRESS_CONFIRMED') await fetchAccount().catch(() => {});
    } finally {
      button.disabled = false;
    }
  };
  const button = h('button', { type: 'button', class: 'quiet', onclick: send }, t('send_again'));
  return { button, lines: [result, error] };
}

/** Banner of every view while the address of the user is not confirmed. */
export class ConfirmationBanner {
  #element;
  #drawn = '';

  constructor(element) {
    this.#element = element;
    // The link may have been opened on another device.
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && isUnconfirmed()) fetchAccount().catch(() => {});
    });
  }

  /** Show or hide the banner. */
  update({ redraw = false } = {}) {
    // The view says the same.
    const address = isUnconfirmed() && location.hash !== CHECK_MAIL ? user().email : '';
    if (address === this.#drawn && !redraw) return;
    if (this.#drawn && user()?.confirmed) announce(t('address_confirmed'));
    this.#drawn = address;
    this.#element.hidden = !address;
    this.#element.setAttribute('aria-label', t('confirm_address'));
    this.#element.replaceChildren();
    if (!address) return;
    const { button, lines } = sendAgain();
    this.#element.append(
      h('p', {}, t('confirm_banner', { email: address })),
      button,
      ...lines);
  }
}

/** Request to look into the mailbox after a registration. */
export class CheckMailView {
  constructor(main) {
    this.title = t('check_mail');
    const email = user()?.email ?? enteredAddress();
    const { button, lines } = sendAgain();
    const next = user()
      ? h('a', { class: 'primary', href: '#/' }, t('to_videos'))
      : h('a', { class: 'primary', href: '#/login' }, t('login'));
    main.append(h('div', { class: 'narrow' },
      h('div', { class: 'card' },
        h('h1', { tabindex: -1 }, this.title),
        h('p', {}, email ? t('confirm_link_sent', { email }) : t('confirm_link_sent_somewhere')),
        h('p', { class: 'hint' }, t('check_spam')),
        !user() && h('p', { class: 'hint' }, t('known_address')),
        user() && lines,
        h('div', { class: 'actions' }, user() && button, next))));
  }
}
