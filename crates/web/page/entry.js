// Register and log in.

import { h } from './dom.js';
import { logIn, register } from './session.js';
import { refusal, t } from './words.js';

/** What was typed, kept when the view is drawn anew in another language. Passwords are not. */
const typed = { name: '', email: '' };

/** The entry, to `login` or to `register`; `ended` says that a session is over. */
export function entry(main, { mode, ended }) {
  const registering = mode === 'register';
  const fields = [
    registering && field('name', { autocomplete: 'name', maxlength: 100 }),
    field('email', { type: 'email', autocomplete: 'username', inputmode: 'email', maxlength: 254 }),
    field('password', { type: 'password', autocomplete: registering ? 'new-password' : 'current-password' }, registering && t('password_rules')),
  ].filter(Boolean);
  const problem = h('p', { class: 'error', role: 'alert', hidden: true });
  const button = h('button', { class: 'primary', type: 'submit' }, t(mode));
  const form = h('form', { class: 'card', novalidate: true, 'aria-labelledby': 'entry-title', onsubmit: submit },
    h('h2', { id: 'entry-title' }, t(mode)),
    ended && h('p', { class: 'notice' }, t('session_ended')),
    problem,
    fields.map(({ row }) => row),
    button,
    h('p', { class: 'aside' }, t(registering ? 'known_here' : 'new_here'), ' ',
      h('a', { href: registering ? '#/login' : '#/register' }, t(registering ? 'login' : 'register'))));

  async function submit(event) {
    event.preventDefault();
    if (button.disabled) return;
    fields.forEach(({ wrong }) => wrong(''));
    problem.hidden = true;
    button.disabled = true;
    button.textContent = t('working');
    const values = Object.fromEntries(fields.map(({ name, input }) => [name, input.value]));
    try {
      await (registering ? register : logIn)(values);
    } catch (error) {
      tell(error);
    } finally {
      button.disabled = false;
      button.textContent = t(mode);
    }
  }

  function tell(error) {
    const about = (name) => error.errors.filter((one) => one.field === name).map(refusal);
    const taken = error.code === 'EMAIL_TAKEN' ? { email: [refusal(error)] } : {};
    const wrong = fields.filter(({ name, wrong }) => wrong([...about(name), ...(taken[name] ?? [])].join(' ')));
    if (wrong.length) {
      wrong[0].input.focus();
      return;
    }
    problem.textContent = refusal(error);
    problem.hidden = false;
    fields.at(-1).input.focus();
  }

  main.append(h('div', { class: 'entry' },
    h('div', { class: 'pitch' },
      h('h1', { tabindex: -1 }, t('statement')),
      h('p', {}, t('promise')),
      h('div', { class: 'sheet-drawing', 'aria-hidden': 'true' }, Array.from({ length: 12 }, (_, n) => h('i', { 'data-time': `0:${String(n).padStart(2, '0')}.467` })))),
    form));
  return { title: t(mode) };
}

/** A labelled field with a place for what is wrong with it. */
function field(name, attributes, hint) {
  const [error, help] = [h('p', { class: 'error', id: `${name}-error` }), hint && h('p', { class: 'hint', id: `${name}-hint` }, hint)];
  const input = h('input', { id: name, name, type: 'text', required: true, 'aria-describedby': [`${name}-error`, hint && `${name}-hint`].filter(Boolean).join(' '), ...attributes });
  if (name in typed) {
    input.value = typed[name];
    input.addEventListener('input', () => { typed[name] = input.value; });
  }
  const wrong = (text) => {
    error.textContent = text;
    if (text) input.setAttribute('aria-invalid', 'true');
    else input.removeAttribute('aria-invalid');
    return Boolean(text);
  };
  const row = h('div', { class: 'field' }, h('label', { for: name }, t(name)), name === 'password' ? shown(input) : input, help, error);
  return { name, input, row, wrong };
}

/** A password that can be looked at. */
function shown(input) {
  const button = h('button', { type: 'button', class: 'reveal', 'aria-pressed': 'false', 'aria-controls': 'password', onclick: turn }, t('show_password'));
  function turn() {
    const show = input.type === 'password';
    input.type = show ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(show));
    button.textContent = t(show ? 'hide_password' : 'show_password');
  }
  return h('div', { class: 'with-button' }, input, button);
}
