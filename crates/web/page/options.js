// Options of the next uploads, which the page remembers.

import { h } from './dom.js';
import { OptionsForm } from './options-form.js';
import { DEFAULT_RECIPE, isDefault, recipeOf, valuesOf } from './recipe.js';
import { recipeText } from './recipe-text.js';
import { readValue, writeValue } from './store.js';
import { sentence, t } from './texts.js';

const KEY = 'fiapx.recipe';

/** Return the recipe that was chosen last. Anything else in the store is ignored. */
export function rememberedRecipe() {
  try {
    const { values } = valuesOf(JSON.parse(readValue(KEY)));
    return recipeOf(values).recipe ?? DEFAULT_RECIPE;
  } catch {
    return DEFAULT_RECIPE;
  }
}

/** Closed area with the options of the next uploads. Its summary states them in words. */
export class UploadOptions {
  #text = h('span', { class: 'hint' });
  #reset = h('button', { type: 'button', class: 'quiet', onclick: () => this.#restore() },
    t('options_reset'));
  #form = new OptionsForm(rememberedRecipe(), (recipe) => this.#onChange(recipe));

  constructor() {
    this.element = h('details', { class: 'options' },
      h('summary', {}, h('span', { class: 'strong' }, t('options')), ' ', this.#text),
      this.#form.element,
      this.#reset);
  }

  /** Return the recipe. If a value is invalid, show it and return null. */
  checked() {
    const { recipe } = this.#form;
    if (recipe) return recipe;
    this.element.open = true;
    this.#form.check();
    return null;
  }

  #onChange(recipe) {
    this.#text.textContent = sentence(recipe ? recipeText(recipe) : t('options_invalid'));
    this.#reset.hidden = recipe !== null && isDefault(recipe);
    if (recipe) writeValue(KEY, isDefault(recipe) ? null : JSON.stringify(recipe));
  }

  #restore() {
    this.#form.fill(DEFAULT_RECIPE);
    this.element.querySelector('summary').focus();
  }
}
