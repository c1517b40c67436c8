// Field for a new password, with the rules of the API, which are ticked off while the user types.

import { h } from './dom.js';
import { Field, INPUTS } from './form.js';
import { t } from './texts.js';

/** Number of characters from which a password needs no others. */
const LONG = 15;
/** Rules: the code of the error, the key of the text, and whether characters conform. */
const RULES = [
  ['PASSWORD_TOO_SHORT', 'rule_length', (characters) => characters.length >= 8],
  ['PASSWORD_NO_UPPER_CASE', 'rule_upper_case', includes(/\p{Uppercase}/u)],
  ['PASSWORD_NO_DIGIT', 'rule_digit', includes(/[0-9]/)],
  ['PASSWORD_NO_SPECIAL', 'rule_special', includes(/[^\p{Alphabetic}\p{N}\s]/u)],
];

function includes(pattern) {
  return (characters) => characters.length >= LONG
    || characters.some((character) => pattern.test(character));
}

/** Characters of a password in the form in which the API counts them. */
function charactersOf(password) {
  return [...password.normalize('NFC')];
}

/** Codes of the rules that a password violates. */
function check(password) {
  const characters = charactersOf(password);
  return RULES.filter(([, , conforms]) => !conforms(characters)).map(([code]) => code);
}

/** Create the field. */
export function newPasswordField(name) {
  const item = (key) => h('li', {}, t(key), h('span', { class: 'visually-hidden' }));
  const items = RULES.map(([, key]) => item(key));
  const long = item('rule_long');
  const list = h('ul', { class: 'rules' }, items, long);
  const field = new Field(name, { ...INPUTS.newPassword, check }, { hint: list });
  field.input.addEventListener('input', () => {
    const characters = charactersOf(field.value);
    RULES.forEach(([, , conforms], index) => tick(items[index], conforms(characters)));
    tick(long, characters.length >= LONG);
  });
  return field;
}

function tick(item, isMet) {
  item.classList.toggle('met', isMet);
  item.lastElementChild.textContent = isMet ? `: ${t('rule_met')}` : '';
}
