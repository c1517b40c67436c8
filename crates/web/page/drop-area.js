// Area to drop videos on, with a button to choose them and the options of their frames.

import { h, icon } from './dom.js';
import { errorLine, showError } from './errors.js';
import { bytes } from './format.js';
import { UploadOptions } from './options.js';
import { t } from './texts.js';
import { addFiles, uploadLimits } from './uploads.js';

/** Create the drop area and what belongs to it. It stops listening when `signal` is aborted. */
export function dropArea(signal) {
  const options = new UploadOptions();
  const error = errorLine();
  /** The chosen recipe; null, with an error on the page, if it is invalid. */
  const checkedRecipe = () => {
    const recipe = options.checked();
    error.hidden = recipe !== null;
    if (!recipe) showError(error, t('options_fix'));
    return recipe;
  };
  const add = (files) => {
    const recipe = checkedRecipe();
    if (recipe) addFiles(files, recipe);
  };
  const limitsText = h('p', { class: 'hint', id: 'limits' }, '\u00a0');
  const input = h('input', {
    type: 'file',
    id: 'files',
    multiple: true,
    class: 'visually-hidden',
    'aria-describedby': 'limits',
    // Before the user has chosen files that are not sent.
    onclick: (event) => options.checked() || event.preventDefault(),
    onchange: () => {
      add([...input.files]);
      input.value = '';
    },
  });
  const area = h('section', { class: 'drop-area', 'aria-label': t('uploads') },
    icon('up'),
    h('p', { class: 'strong' }, t('drop')),
    input,
    h('label', { for: 'files', class: 'primary' }, t('choose_files')),
    limitsText);
  const byUrl = h('div');
  uploadLimits().then(async (limits) => {
    if (!limits) return;
    const { suffixes, max_video_bytes: maximum } = limits;
    input.accept = suffixes.join(',');
    limitsText.textContent =
      t('upload_limits', { suffixes: suffixes.join(' '), size: bytes(maximum) });
    if (!limits.by_url) return;
    const { byUrlForm } = await import('./by-url.js');
    byUrl.append(byUrlForm(checkedRecipe));
  });
  acceptDrops(area, add, signal);
  return [area, error, byUrl, options.element];
}

/**
 * Accept files dropped anywhere in the window, because a browser opens a file that is dropped
 * elsewhere, and so leaves the page.
 */
function acceptDrops(area, add, signal) {
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  const onDragOver = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    area.classList.add('active');
  };
  const onDragLeave = (event) => {
    if (!event.relatedTarget) area.classList.remove('active');
  };
  const onDrop = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    area.classList.remove('active');
    add([...event.dataTransfer.files]);
  };
  addEventListener('dragover', onDragOver, { signal });
  addEventListener('dragleave', onDragLeave, { signal });
  addEventListener('drop', onDrop, { signal });
}
