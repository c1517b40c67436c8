// Area to drop videos on, with a button to choose them and the options of their frames.

import { h, icon } from './dom.js';
import { errorLine, showError } from './errors.js';
import { bytes } from './format.js';
import { UploadOptions } from './options.js';
import { t } from './texts.js';
import { addFiles, uploadLimits } from './uploads.js';

/** Whether files can be dropped: not where a finger is the only pointer. */
const CAN_DROP = !matchMedia('(pointer: coarse)').matches;

/** The drop area, and what belongs to it. */
export class DropArea {
  #options = new UploadOptions();
  #error = errorLine();

  constructor() {
    const limitsText = h('p', { class: 'hint', id: 'limits' }, '\u00a0');
    const input = h('input', {
      type: 'file',
      id: 'files',
      multiple: true,
      class: 'visually-hidden',
      'aria-describedby': 'limits',
      // Before the user has chosen files that are not sent.
      onclick: (event) => this.#options.checked() || event.preventDefault(),
      onchange: () => {
        this.add([...input.files]);
        input.value = '';
      },
    });
    const area = h('section', { class: 'drop-area', 'aria-label': t('uploads') },
      icon('up'),
      h('p', { class: 'strong' }, t(CAN_DROP ? 'drop' : 'upload')),
      input,
      h('label', { for: 'files', class: 'primary' }, t('choose_files')),
      limitsText);
    const byUrl = h('div');
    this.elements = [area, this.#error, byUrl, this.#options.element];
    this.#showLimits(input, limitsText, byUrl);
  }

  /** Return the recipe that is chosen. If an option is invalid, show that and return null. */
  checkedRecipe() {
    const recipe = this.#options.checked();
    this.#error.hidden = recipe !== null;
    if (!recipe) showError(this.#error, t('options_fix'));
    return recipe;
  }

  /** Add files to the uploads, with the options that are chosen, unless one is invalid. */
  add(files) {
    const recipe = this.checkedRecipe();
    if (recipe) addFiles(files, recipe);
  }

  /** Show what the service accepts, and the form for URLs if it has them. */
  async #showLimits(input, line, byUrl) {
    const limits = await uploadLimits();
    if (!limits) return;
    const { suffixes, max_video_bytes: maximum } = limits;
    input.accept = suffixes.join(',');
    line.textContent = t('upload_limits', { suffixes: suffixes.join(' '), size: bytes(maximum) });
    if (!limits.by_url) return;
    const { byUrlForm } = await import('./by-url.js');
    byUrl.append(byUrlForm(() => this.checkedRecipe()));
  }
}
