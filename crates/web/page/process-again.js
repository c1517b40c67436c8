// Dialog to process a stored video again, with other options.

import { h } from './dom.js';
import { errorLine, showError } from './errors.js';
import { bytes } from './format.js';
import { createAnotherJob, fetchForecast } from './jobs.js';
import { OptionsForm } from './options-form.js';
import { problemText } from './problems.js';
import { selectionOf } from './recipe.js';
import { recipeText } from './recipe-text.js';
import { newIdempotencyKey } from './session.js';
import { sentence, t } from './texts.js';

/** Time from a change to the request for its forecast, in milliseconds. */
const FORECAST_DELAY = 300;
/** Codes of the errors that a job gets which exceeds a limit, by limit. */
const EXCEEDED = { frames: 'RECIPE_TOO_MANY_FRAMES', storage: 'RECIPE_STORAGE_EXCEEDED' };

/** Dialog with the options of another job of a video, filled with the recipe of a job. */
export class ProcessAgainDialog {
  #job;
  #onCreated;
  #dialog;
  #form;
  #text = h('p', { class: 'hint', 'aria-live': 'polite' });
  #forecast = h('p', { class: 'forecast', 'aria-live': 'polite' });
  #forecastTimer = null;
  #forecasting = new AbortController();
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
        h('h2', { id: 'again-title' }, t('process_again_title')),
        h('p', { class: 'hint' }, job.filename),
        this.#form.element,
        h('div', { class: 'again-end' },
          this.#text,
          this.#forecast,
          this.#error,
          h('div', { class: 'actions' },
            h('button', cancel, t('cancel')),
            this.#submit))));
    const closing = new AbortController();
    signal.addEventListener('abort', () => this.#dialog.close(), { signal: closing.signal });
    this.#dialog.addEventListener('close', () => {
      closing.abort();
      this.#stopForecast();
      this.#dialog.remove();
    });
    document.body.append(this.#dialog);
    this.#dialog.showModal();
  }

  #onChange(recipe) {
    this.#error.hidden = true;
    this.#text.textContent = sentence(recipe ? recipeText(recipe) : t('options_invalid'));
    this.#stopForecast();
    this.#forecast.textContent = '';
    if (!recipe) return;
    this.#forecastTimer = setTimeout(() => this.#showForecast(recipe), FORECAST_DELAY);
  }

  #stopForecast() {
    clearTimeout(this.#forecastTimer);
    this.#forecasting.abort();
    this.#forecasting = new AbortController();
  }

  async #showForecast(recipe) {
    const { signal } = this.#forecasting;
    try {
      const forecast = await fetchForecast(this.#job.id, recipe, signal);
      if (signal.aborted) return;
      this.#forecast.textContent = forecastText(recipe, forecast);
      this.#forecast.classList.toggle('error', forecast.exceeds !== null);
    } catch {
      // The job can be created without a forecast, and its request shows what is wrong.
    }
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
      if (error.code?.startsWith('IDEMPOTENCY_KEY_')) this.#key.recipe = null;
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

/** Text of a forecast. Its numbers are upper bounds if the content of the video reduces them. */
function forecastText(recipe, { frames, frames_are_exact: isExact, bytes: size, exceeds }) {
  const isBound = recipe.skip || ['scenes', 'keyframes'].includes(selectionOf(recipe));
  const framesKey = isBound ? 'at_most' : isExact ? 'frames' : 'about_frames';
  const expected = frames !== null && [
    t(framesKey, { n: frames }),
    size !== null && t(isBound ? 'at_most_size' : 'about_size', { size: bytes(size) }),
  ].filter(Boolean).join(', ');
  const code = EXCEEDED[exceeds];
  return [expected && t('forecast', { expected }), code && problemText({ code })]
    .filter(Boolean).join(' ');
}
