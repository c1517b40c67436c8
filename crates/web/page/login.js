// Login and registration.

import { h } from './dom.js';
import { Field, Form, INPUTS } from './form.js';
import { newPasswordField } from './new-password.js';
import { logIn, register, sessionEvents, user } from './session.js';
import { t } from './texts.js';

/** Address of the view that asks to look into the mailbox. */
export const CHECK_MAIL = '#/check-mail';

/** Values that outlive a change of the language or mode, but no session. Passwords do not. */
const entered = { name: '', email: '' };

sessionEvents.addEventListener('change', () => {
  if (!user()) Object.assign(entered, { name: '', email: '' });
});

/** Address that was entered last. */
export function enteredAddress() {
  return entered.email;
}

/** Form to log in or to create an account. */
export class LoginView {
  /** `mode` is `login` or `register`, and `notice` the key of a text above the form. */
  constructor(main, { mode, notice }) {
    this.title = t(mode);
    const isLogin = mode === 'login';
    const form = new Form({
      fields: fieldsOf(mode),
      submit: t(mode),
      action: isLogin ? (values) => logIn(values) : createAccount,
      attributes: { 'aria-labelledby': 'form-title' },
    });
    main.append(h('div', { class: 'login' },
      introduction(),
      h('div', { class: 'card' },
        h('h2', { id: 'form-title' }, t(mode)),
        notice && h('p', { class: 'notice', role: 'status' }, t(notice)),
        form.element,
        isLogin && h('p', { class: 'other-mode' },
          h('a', { href: '#/forgot' }, t('forgot_password'))),
        h('p', { class: 'other-mode' },
          t(isLogin ? 'no_account' : 'have_account'), ' ',
          h('a', { href: isLogin ? '#/register' : '#/login' },
            t(isLogin ? 'register' : 'login'))))));
  }
}

async function createAccount(values) {
  if (!(await register(values, CHECK_MAIL))) location.hash = CHECK_MAIL;
}

function introduction() {
  const frames = Array.from({ length: 12 }, (_, second) =>
    h('i', { 'data-time': `0:${String(second).padStart(2, '0')}.467` }));
  return h('div', { class: 'introduction' },
    h('h1', { tabindex: -1 }, t('tagline')),
    h('p', {}, t('tagline_details')),
    h('div', { class: 'introduction-frames', 'aria-hidden': 'true' }, frames));
}

function fieldsOf(mode) {
  const email = remembering(new Field('email', INPUTS.email));
  if (mode === 'login') return [email, new Field('password', INPUTS.password)];
  return [
    remembering(new Field('name', INPUTS.name)),
    email,
    newPasswordField('password'),
  ];
}

/** Fill in a field with the value that was entered before, and remember what is entered. */
function remembering(field) {
  const { name, input } = field;
  input.value = entered[name];
  input.addEventListener('input', () => { entered[name] = input.value; });
  return field;
}
