// Forms of accounts: fields with their errors, and a button that sends them.

import { h } from './dom.js';
import { errorLine, showError } from './errors.js';
import { problemText } from './problems.js';
import { t } from './texts.js';

/** Mistakes in an e-mail address that the page finds. The API knows all. */
const checkAddress = (value) => (/^\S+@\S+$/.test(value.trim()) ? [] : ['EMAIL_INVALID']);

/**
 * Attributes of the fields that several forms have, with the code of the error of an empty field
 * (`missing`) and a function that returns the codes of other mistakes (`check`).
 */
export const INPUTS = {
  name: { autocomplete: 'name', maxlength: 100, missing: 'NAME_MISSING' },
  email: {
    type: 'email',
    autocomplete: 'username',
    inputmode: 'email',
    maxlength: 254,
    missing: 'EMAIL_MISSING',
    check: checkAddress,
  },
  password: { type: 'password', autocomplete: 'current-password', missing: 'PASSWORD_MISSING' },
  newPassword: { type: 'password', autocomplete: 'new-password', missing: 'PASSWORD_MISSING' },
};

/** Fields of errors that the API reports for the whole request. */
const FIELDS_OF_PROBLEMS = {
  EMAIL_TAKEN: 'email',
  SECOND_FACTOR_REQUIRED: 'code',
  SECOND_FACTOR_WRONG: 'code',
};

/**
 * Form that sends the values of its fields. A field for the code of a second factor appears as soon
 * as the API asks for one.
 */
export class Form {
  #fields;
  #rows;
  #error = errorLine();
  #button;
  #label;
  #action;

  /**
   * `action(values)` sends the values and may throw a `Problem`; `submit` is the text of the
   * button, and `style` its class. `others` are further buttons beside it.
   */
  constructor({ fields = [], submit, style = 'primary', action, others = [], attributes = {} }) {
    this.#fields = fields;
    this.#label = submit;
    this.#action = action;
    this.#button = h('button', { class: style, type: 'submit' }, submit);
    this.#rows = h('div', { class: 'fields' }, fields.map(({ row }) => row));
    const onsubmit = (event) => {
      event.preventDefault();
      if (!this.#button.disabled) this.#submit();
    };
    const oninput = () => { this.#error.hidden = true; };
    this.element = h('form', { novalidate: true, onsubmit, oninput, ...attributes },
      this.#error,
      this.#rows,
      h('div', { class: 'actions' }, others, this.#button));
  }

  async #submit() {
    this.#error.hidden = true;
    const mistaken = this.#fields.filter((field) => field.showErrors(field.mistakes));
    if (mistaken.length > 0) {
      mistaken[0].input.focus();
      return;
    }
    this.#button.disabled = true;
    this.#button.textContent = t('submitting');
    // An empty field of the code is as good as none.
    const entries = this.#fields.map((field) => [field.name, field.value])
      .filter(([name, value]) => name !== 'code' || value !== '');
    let problem = null;
    try {
      await this.#action(Object.fromEntries(entries));
    } catch (error) {
      problem = error;
    }
    this.#button.disabled = false;
    this.#button.textContent = this.#label;
    if (problem) this.#showProblem(problem);
  }

  /** Show an error at the fields that it names, else above them. */
  #showProblem(error) {
    const field = FIELDS_OF_PROBLEMS[error.code];
    const errors = field ? [{ ...error, field }] : error.errors ?? [];
    if (errors.some((one) => one.field === 'code') && this.#addCode()) return;
    const textsOf = ({ name }) => errors.filter((one) => one.field === name).map(problemText);
    const invalid = this.#fields.filter((field) => field.showErrors(textsOf(field)));
    if (invalid.length === 0) showError(this.#error, problemText(error));
    ((invalid[0] ?? this.#fields.at(-1))?.input ?? this.#button).focus();
  }

  /** Add the field of the code and ask for it. Returns false if it is there already. */
  #addCode() {
    if (this.#fields.some(({ name }) => name === 'code')) return false;
    const field = codeField();
    this.#fields.push(field);
    this.#rows.append(field.row);
    field.input.focus();
    return true;
  }
}

/** Field for a code of an app, or for a recovery code. */
export function codeField({ hint = t('code_hint') } = {}) {
  const attributes = { autocomplete: 'one-time-code', autocapitalize: 'characters', maxlength: 40 };
  // The API asks for it where it is needed.
  return new Field('code', { ...attributes, spellcheck: 'false', missing: null }, { hint });
}

/** Field with a label, an optional hint, which is a text or an element, and its errors. */
export class Field {
  #error;
  #missing;
  #check;

  constructor(name, attributes, { label = t(name), hint = null } = {}) {
    const hintId = hint ? `${name}-hint` : null;
    this.name = name;
    this.#error = h('p', { class: 'error', id: `${name}-error` });
    const { options, missing = 'FIELD_MISSING', check = () => [], ...others } = attributes;
    this.#missing = options ? null : missing;
    this.#check = check;
    this.input = h(options ? 'select' : 'input', {
      id: name,
      name,
      type: !options && 'text',
      required: true,
      'aria-describedby': [this.#error.id, hintId].filter(Boolean).join(' '),
      oninput: () => correct(this),
      ...others,
    }, (options ?? []).map(([value, text]) => h('option', { value }, text)));
    this.row = h('div', { class: 'field' },
      h('label', { for: name }, label),
      attributes.type === 'password' ? withRevealButton(this.input) : this.input,
      hint && h('div', { class: 'hint', id: hintId }, hint),
      this.#error);
  }

  get value() {
    return this.input.value;
  }

  /** Texts of the mistakes that the page finds without the API. */
  get mistakes() {
    const codes = this.value.trim() === '' ? [this.#missing] : this.#check(this.value);
    return codes.filter(Boolean).map((code) => problemText({ code }));
  }

  /** Show these errors in place of the former ones. Returns whether there are any. */
  showErrors(texts) {
    return showAt(this.input, this.#error, texts);
  }
}

/**
 * Field of checkboxes, whose value is the list of those that are checked. `missing` is the code of
 * the error if there are none.
 */
export class ChoicesField {
  #error;
  #boxes;
  #missing;

  constructor(name, choices, { label = t(name), missing }) {
    this.name = name;
    this.#missing = missing;
    this.#error = h('p', { class: 'error', id: `${name}-error` });
    this.#boxes = choices.map(([value]) =>
      h('input', { type: 'checkbox', name, value, 'aria-describedby': this.#error.id }));
    this.input = this.#boxes[0];
    this.row = h('fieldset', { class: 'choices', onchange: () => correct(this) },
      h('legend', {}, label),
      choices.map(([, text], index) => h('label', { class: 'check' }, this.#boxes[index], text)),
      this.#error);
  }

  get value() {
    return this.#boxes.filter(({ checked }) => checked).map(({ value }) => value);
  }

  /** Texts of the mistakes that the page finds without the API. */
  get mistakes() {
    return this.value.length === 0 ? [problemText({ code: this.#missing })] : [];
  }

  /** Show these errors in place of the former ones. Returns whether there are any. */
  showErrors(texts) {
    return showAt(this.input, this.#error, texts);
  }
}

/** Replace the errors that are shown in a field by those that it still has. */
function correct(field) {
  if (field.input.hasAttribute('aria-invalid')) field.showErrors(field.mistakes);
}

/** Show the errors of an input in a line. Returns whether there are any. */
function showAt(input, line, texts) {
  line.textContent = texts.join(' ');
  if (texts.length > 0) input.setAttribute('aria-invalid', 'true');
  else input.removeAttribute('aria-invalid');
  return texts.length > 0;
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
    'aria-controls': input.id,
    onclick: toggle,
  }, t('show_password'));
  return h('div', { class: 'with-button' }, input, button);
}
