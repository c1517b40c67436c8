// Form to add a video by its URL. Loaded only if the service reads videos at URLs.

import { announce } from './dom.js';
import { Field, Form } from './form.js';
import { newIdempotencyKey, request } from './session.js';
import { t } from './texts.js';
import { uploadEvents } from './uploads.js';

/** Create the form. `recipeOf()` returns the recipe of the next videos, or null if it is invalid. */
export function byUrlForm(recipeOf) {
  const attributes = { type: 'url', inputmode: 'url', maxlength: 2000 };
  const url = new Field('url', attributes, { label: t('video_url') });
  const form = new Form({
    fields: [url],
    submit: t('add_by_url'),
    style: 'quiet',
    attributes: { class: 'by-url' },
    action: async (values) => {
      const recipe = recipeOf();
      if (!recipe) return;
      const headers = { 'Idempotency-Key': newIdempotencyKey() };
      await request('/videos', { method: 'POST', json: { url: values.url, recipe }, headers });
      url.input.value = '';
      announce(t('upload_received'));
      uploadEvents.dispatchEvent(new Event('received'));
    },
  });
  return form.element;
}
