// Login and registration.

import { h } from './dom.js';
import { errorLine, showError } from './errors.js';
import { problemText } from './problems.js';
import { logIn, register } from './session.js';
import { t } from './texts.js';

/** Values that outlive a change of the language or mode. Passwords do not. */
const entered = { name: '', email: '' };

/** Form to log in or to create an account. */
export class LoginView {
  #mode;
  #fields;
  #error = errorLine();
  #button;

  /** `mode` is `login` or `register`; `expired` adds a notice that the session has ended. */
  constructor(main, { mode, expired }) {
    this.title = t(mode);
    this.#mode = mode;
    this.#fields = fieldsOf(mode);
    this.#button = h('button', { class: 'primary', type: 'submit' }, t(mode));
    const other = mode === 'login' ? 'register' : 'login';
    const form = {
      class: 'card',
      novalidate: true,
      'aria-labelledby': 'form-title',
      onsubmit: (event) => {
        event.preventDefault();
        if (!this.#button.disabled) this.#submit();
      },
    };
    main.append(h('div', { class: 'login' },
      introduction(),
      h('form', form,
        h('h2', { id: 'form-title' }, t(mode)),
        expired && h('p', { class: 'notice' }, t('session_ended')),
        this.#error,
        this.#fields.map(({ row }) => row),
        this.#button,
        h('p', { class: 'other-mode' },
          t(mode === 'login' ? 'no_account' : 'have_account'), ' ',
          h('a', { href: `#/${other}` }, t(other))))));
  }

  async #submit() {
    this.#fields.forEach((field) => field.showErrors([]));
    this.#error.hidden = true;
    this.#button.disabled = true;
    this.#button.textContent = t('submitting');
    const values = Object.fromEntries(this.#fields.map(({ name, input }) => [name, input.value]));
    try {
      await (this.#mode === 'register' ? register : logIn)(values);
    } catch (error) {
      this.#showProblem(error);
    } finally {
      this.#button.disabled = false;
      this.#button.textContent = t(this.#mode);
    }
  }

  /** Show an error at the fields that it names, else above them. */
  #showProblem(error) {
    const errors = error.code === 'EMAIL_TAKEN' ? [{ field: 'email', ...error }] : error.errors;
    const textsOf = ({ name }) => errors.filter(({ field }) => field === name).map(problemText);
    const invalid = this.#fields.filter((field) => field.showErrors(textsOf(field)));
    if (invalid.length === 0) showError(this.#error, problemText(error));
    (invalid[0] ?? this.#fields.at(-1)).input.focus();
  }
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
  const email = { type: 'email', autocomplete: 'username', inputmode: 'email', maxlength: 254 };
  if (mode === 'login') {
    const password = { type: 'password', autocomplete: 'current-password' };
    return [new Field('email', email), new Field('password', password)];
  }
  return [
    new Field('name', { autocomplete: 'name', maxlength: 100 }),
    new Field('email', email),
    new Field('password', { type: 'password', autocomplete: 'new-password' }, t('password_rules')),
  ];
}

/** Field with a label, an optional hint and its errors. */
class Field {
  #error;

  constructor(name, attributes, hint) {
    const hintId = hint ? `${name}-hint` : null;
    this.name = name;
    this.#error = h('p', { class: 'error', id: `${name}-error` });
    this.input = h('input', {
      id: name,
      name,
      type: 'text',
      required: true,
      'aria-describedby': [this.#error.id, hintId].filter(Boolean).join(' '),
      ...attributes,
    });
    if (name in entered) {
      this.input.value = entered[name];
      this.input.addEventListener('input', () => { entered[name] = this.input.value; });
    }
    this.row = h('div', { class: 'field' },
      h('label', { for: name }, t(name)),
      name === 'password' ? withRevealButton(this.input) : this.input,
      hint && h('p', { class: 'hint', id: hintId }, hint),
      this.#error);
  }

  /** Show these errors in place of the former ones. Returns whether there are any. */
  showErrors(texts) {
    this.#error.textContent = texts.join(' ');
    if (texts.length > 0) this.input.setAttribute('aria-invalid', 'true');
    else this.input.removeAttribute('aria-invalid');
    return texts.length > 0;
  }
}

/** Add a button that shows and hides the password. */
function withRevealButton(input) {
  const toggle = () => {
    const reveal = input.type === 'password';
    input.type = reveal ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(reveal));
    button.textContent = t(reveal ? 'hide_password' : 'show_password');
  };
  const button = h('button', {
    type: 'button',
    class: 'reveal',
    'aria-pressed': 'false',
    'aria-controls': 'password',
    onclick: toggle,
  }, t('show_password'));
  return h('div', { class: 'with-button' }, input, button);
}
