// Dialog to process a stored video again, with other options.

import { h } from './dom.js';
import { errorLine, showError } from './errors.js';
import { createAnotherJob } from './jobs.js';
import { OptionsForm } from './options-form.js';
import { problemText } from './problems.js';
import { recipeText } from './recipe-text.js';
import { newIdempotencyKey } from './session.js';
import { sentence, t } from './texts.js';

/** Dialog with the options of another job of a video, filled with the recipe of a job. */
export class ProcessAgainDialog {
  #job;
  #onCreated;
  #dialog;
  #form;
  #text = h('p', { class: 'hint', 'aria-live': 'polite' });
  #error = errorLine();
  #submit = h('button', { class: 'primary', type: 'submit' }, t('process'));
  /** Key of the request for a recipe: a repetition after a lost response adds no second job. */
  #key = { recipe: null, value: null };

  /** `onCreated(id)` is called with the id of the new job. Aborting `signal` closes the dialog. */
  constructor(job, { onCreated, signal }) {
    this.#job = job;
    this.#onCreated = onCreated;
    this.#form = new OptionsForm(job.recipe, (recipe) => this.#onChange(recipe));
    const submit = (event) => {
      event.preventDefault();
      if (!this.#submit.disabled) this.#send();
    };
    const cancel = { class: 'quiet', type: 'button', onclick: () => this.#dialog.close() };
    this.#dialog = h('dialog', { class: 'again', 'aria-labelledby': 'again-title' },
      h('form', { novalidate: true, onsubmit: submit },
        h('h2', { id: 'again-title' }, t('process_again')),
        h('p', { class: 'hint' }, job.filename),
        this.#form.element,
        h('div', { class: 'again-end' },
          this.#text,
          this.#error,
          h('div', { class: 'actions' },
            h('button', cancel, t('cancel')),
            this.#submit))));
    const closing = new AbortController();
    signal.addEventListener('abort', () => this.#dialog.close(), { signal: closing.signal });
    this.#dialog.addEventListener('close', () => {
      closing.abort();
      this.#dialog.remove();
    });
    document.body.append(this.#dialog);
    this.#dialog.showModal();
  }

  #onChange(recipe) {
    this.#error.hidden = true;
    this.#text.textContent = sentence(recipe ? recipeText(recipe) : t('options_invalid'));
  }

  async #send() {
    if (!this.#form.check()) return;
    const { recipe } = this.#form;
    this.#submit.disabled = true;
    try {
      const id = await createAnotherJob(this.#job.id, recipe, this.#keyOf(recipe));
      if (!this.#dialog.open) return;
      this.#dialog.close();
      this.#onCreated(id);
    } catch (error) {
      if (!this.#form.showProblem(error)) showError(this.#error, problemText(error));
      if (error.code === 'IDEMPOTENCY_KEY_USED') this.#key.recipe = null;
    } finally {
      this.#submit.disabled = false;
    }
  }

  #keyOf(recipe) {
    const json = JSON.stringify(recipe);
    if (this.#key.recipe !== json) this.#key = { recipe: json, value: newIdempotencyKey() };
    return this.#key.value;
  }
}
