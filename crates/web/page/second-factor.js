// Second factor of the user: turn it on and off.

import { copyButton } from './copy-button.js';
import { announce, h, saveFile } from './dom.js';
import { codeField, Field, Form, INPUTS } from './form.js';
import { request } from './session.js';
import { StepDialog } from './step-dialog.js';
import { t } from './texts.js';

/** Name of the file with recovery codes. */
const CODES_FILE = 'fiapx-recovery-codes.txt';

/** Text in groups of four characters, which are easier to copy by eye. */
function grouped(text) {
  return text.match(/.{1,4}/g)?.join(' ') ?? text;
}

/** Turn the second factor on: password, secret and first code, recovery codes. */
export function turnOn(signal, onChange) {
  const dialog = new StepDialog(signal);
  const form = new Form({
    fields: [new Field('password', INPUTS.password)],
    submit: t('continue'),
    others: [dialog.closeButton(t('cancel'))],
    action: async ({ password }) => {
      const options = { method: 'POST', json: { password } };
      const secret = await (await request('/auth/second-factor', options)).json();
      if (dialog.isOpen) showSecret(dialog, secret, onChange);
    },
  });
  dialog.show(t('second_factor_on'), [h('p', {}, t('second_factor_text')), form.element]);
}

function showSecret(dialog, { secret, otpauth_uri: uri }, onChange) {
  const form = new Form({
    fields: [codeField({ hint: t('first_code_hint') })],
    submit: t('turn_on'),
    others: [dialog.closeButton(t('cancel'))],
    action: async ({ code = '' }) => {
      const options = { method: 'POST', json: { code } };
      const response = await request('/auth/second-factor/confirm', options);
      const { recovery_codes: codes } = await response.json();
      showRecoveryCodes(dialog, codes);
      onChange();
    },
  });
  dialog.show(t('second_factor_secret'), [
    h('p', {}, t('second_factor_secret_text')),
    h('div', { class: 'secret' }, h('code', { id: 'secret' }, grouped(secret)), copyButton(secret)),
    h('p', {}, h('a', { id: 'otpauth', href: uri }, t('open_in_app'))),
    form.element,
  ]);
}

function showRecoveryCodes(dialog, codes) {
  const text = `${codes.join('\n')}\n`;
  const download = () => {
    const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    saveFile(url, CODES_FILE);
    URL.revokeObjectURL(url);
  };
  dialog.show(t('recovery_codes'), [
    h('p', {}, t('recovery_codes_text')),
    h('ul', { class: 'codes' }, codes.map((code) => h('li', {}, h('code', {}, code)))),
    h('div', { class: 'actions' },
      copyButton(text),
      h('button', { type: 'button', class: 'quiet', onclick: download }, t('download_codes')),
      dialog.closeButton(t('codes_saved'), 'primary')),
  ], { mustStay: true });
}

/** Turn the second factor off. */
export function turnOff(signal, onChange) {
  const dialog = new StepDialog(signal);
  const form = new Form({
    fields: [new Field('password', INPUTS.password), codeField()],
    submit: t('turn_off'),
    style: 'danger',
    others: [dialog.closeButton(t('cancel'))],
    action: async ({ password, code = '' }) => {
      await request('/auth/second-factor', { method: 'DELETE', json: { password, code } });
      dialog.close();
      announce(t('second_factor_is_off'));
      onChange();
    },
  });
  dialog.show(t('second_factor_off'), [h('p', {}, t('second_factor_off_text')), form.element]);
}
