// Fields for a recipe, in everyday words.

import { h } from './dom.js';
import { problemText } from './problems.js';
import { MAXIMA, DEFAULT_RECIPE, FORMATS, recipeOf, selectionOf, valuesOf } from './recipe.js';
import { othersText } from './recipe-text.js';
import { t } from './texts.js';

/** Selections that the form offers. */
const SELECTIONS = ['every', 'count', 'at', 'scenes', 'keyframes', 'sharpest'];
/** Field of each selection that has one. */
const SELECTION_FIELDS = { every: 'every', count: 'count', at: 'at', sharpest: 'every' };

/**
 * Fields for a recipe. `onChange(recipe)` is called after each change, with null while a value is
 * invalid.
 */
export class OptionsForm {
  #fields;
  #rows = {};
  #errors = {};
  #others = null;
  #othersLabel = h('span', {});
  /** Fields whose mistakes are shown: a value that is being typed for the first time has none. */
  #visited = new Set();
  #onChange;

  constructor(recipe, onChange) {
    this.#onChange = onChange;
    this.#fields = createFields();
    this.element = h('div', { class: 'options-form' },
      this.#group('frames', ['select', 'every', 'count', 'at', 'blank', 'repeated']),
      this.#group('part', ['from', 'to', 'max_frames']),
      this.#group('format', ['format', 'quality', 'max_width', 'sheet', 'kept']));
    this.element.addEventListener('input', () => this.#update());
    this.element.addEventListener('change', ({ target }) => {
      this.#visited.add(target.name);
      this.#update();
    });
    this.fill(recipe);
  }

  /** The recipe that the fields describe. Null if one of them has a mistake. */
  get recipe() {
    return this.#read().recipe;
  }

  /** Replace all values. A recipe that has no form is replaced by the default one. */
  fill(recipe) {
    const offered = SELECTIONS.includes(selectionOf(recipe)) && valuesOf(recipe);
    const { values, others } = offered || valuesOf(DEFAULT_RECIPE);
    this.#others = others;
    const kept = others && othersText(others);
    this.#othersLabel.textContent = kept ? t('option_kept', { others: kept }) : '';
    this.#visited.clear();
    for (const [name, field] of Object.entries(this.#fields)) {
      if (field.type === 'checkbox') field.checked = values[name];
      else field.value = values[name];
    }
    this.#update();
  }

  /** Show all mistakes, and move the focus to the first. Returns whether there are none. */
  check() {
    Object.keys(this.#fields).forEach((name) => this.#visited.add(name));
    return this.#focusMistake(this.#update());
  }

  /**
   * Show the errors of an API response at their fields, and move the focus to the first. Returns
   * whether one of them belongs to a field.
   */
  showProblem({ errors }) {
    const mistakes = {};
    for (const error of errors) {
      // The API names the member of the recipe, such as `select.at[2]`.
      const name = error.field.replace(/\[\d+\]$/, '').split('.').at(-1);
      if (name in this.#fields) mistakes[name] ??= { max: MAXIMA[name], ...error };
    }
    this.#showMistakes(mistakes);
    return !this.#focusMistake(mistakes);
  }

  #focusMistake(mistakes) {
    const first = Object.keys(this.#fields).find((name) => mistakes[name]);
    this.#fields[first]?.focus();
    return first === undefined;
  }

  #read() {
    const value = (field) => (field.type === 'checkbox' ? field.checked : field.value);
    const values = Object.fromEntries(
      Object.entries(this.#fields).map(([name, field]) => [name, value(field)]));
    return recipeOf(values, this.#others);
  }

  /** Show the relevant fields and the mistakes in visited ones. Returns all mistakes. */
  #update() {
    const { select, format } = this.#fields;
    for (const name of ['every', 'count', 'at']) {
      this.#rows[name].hidden = SELECTION_FIELDS[select.value] !== name;
    }
    this.#rows.quality.hidden = format.value === 'png';
    this.#rows.kept.hidden = !this.#othersLabel.textContent;
    const { recipe, mistakes } = this.#read();
    this.#showMistakes(Object.fromEntries(
      Object.entries(mistakes).filter(([name]) => this.#visited.has(name))));
    this.#onChange(recipe);
    return mistakes;
  }

  #showMistakes(mistakes) {
    for (const [name, error] of Object.entries(this.#errors)) {
      const text = mistakes[name] ? problemText(mistakes[name]) : '';
      if (error.textContent !== text) error.textContent = text;
      if (text) this.#fields[name].setAttribute('aria-invalid', 'true');
      else this.#fields[name].removeAttribute('aria-invalid');
    }
  }

  #group(name, fields) {
    return h('fieldset', {},
      h('legend', {}, t(`group_${name}`)),
      fields.map((field) => this.#row(field)));
  }

  #row(name) {
    const field = this.#fields[name];
    if (field.type === 'checkbox') {
      const text = name === 'kept' ? this.#othersLabel : t(`option_${name}`);
      this.#rows[name] = h('label', { class: 'check' }, field, text);
      return this.#rows[name];
    }
    const errorId = `${field.id}-error`;
    const hint = name === 'at'
      && h('p', { class: 'hint', id: `${field.id}-hint` }, t('option_at_hint'));
    this.#errors[name] = h('p', { class: 'error', id: errorId, 'aria-live': 'polite' });
    field.setAttribute('aria-describedby', [errorId, hint && hint.id].filter(Boolean).join(' '));
    this.#rows[name] = h('div', { class: 'field', 'data-field': name },
      h('label', { for: field.id }, t(`option_${name}`)),
      field,
      hint,
      this.#errors[name]);
    return this.#rows[name];
  }
}

/** Create the controls, by the names of their values. */
function createFields() {
  const attributes = (name) => ({ id: `option-${name}`, name, autocomplete: 'off' });
  const choice = (name, prefix, values) =>
    h('select', attributes(name),
      values.map((value) => h('option', { value }, t(`${prefix}_${value}`))));
  const text = (name, more) => h('input', { type: 'text', ...attributes(name), ...more });
  const number = (name, more) => text(name, { inputmode: 'numeric', maxlength: 10, ...more });
  const checkbox = (name) => h('input', { type: 'checkbox', ...attributes(name) });
  const empty = (name) => ({ placeholder: t(`option_${name}_empty`) });
  return {
    select: choice('select', 'select', SELECTIONS),
    every: text('every', { inputmode: 'decimal', maxlength: 21 }),
    count: number('count'),
    at: h('textarea', { ...attributes('at'), rows: 2, spellcheck: 'false' }),
    blank: checkbox('blank'),
    repeated: checkbox('repeated'),
    from: text('from', { maxlength: 21, ...empty('from') }),
    to: text('to', { maxlength: 21, ...empty('to') }),
    max_frames: number('max_frames', empty('max_frames')),
    format: choice('format', 'format', FORMATS),
    quality: number('quality'),
    max_width: number('max_width', empty('max_width')),
    sheet: checkbox('sheet'),
    kept: checkbox('kept'),
  };
}
