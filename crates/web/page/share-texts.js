// Texts about links to jobs by key, in Portuguese and English: strings, or functions of values.

import { inLanguage } from './texts.js';

const TEXTS = {
  share: ['Compartilhar', 'Share'],
  share_title: ['Compartilhar por link', 'Share by a link'],
  share_text: [
    'Quem tiver o link vê os quadros e baixa o ZIP, sem conta. Não vê seu nome nem seu e-mail.',
    'Anyone with the link sees the frames and downloads the ZIP, without an account. Your name and e-mail are not shown.',
  ],
  days_label: ['Válido por', 'Valid for'],
  days: [({ n }) => (n === 1 ? '1 dia' : `${n} dias`), ({ n }) => (n === 1 ? '1 day' : `${n} days`)],
  create: ['Criar link', 'Create link'],
  created: ['Link criado', 'Link created'],
  created_text: [
    'Copie o link agora: ele não aparece de novo.',
    'Copy the link now: it is not shown again.',
  ],
  saved: ['Já copiei', 'I have copied it'],
  links: ['Links ativos', 'Active links'],
  no_links: ['Nenhum link ainda', 'No links yet'],
  created_on: [({ when }) => `criado em ${when}`, ({ when }) => `created on ${when}`],
  revoke: ['Revogar', 'Revoke'],
  revoke_of: [
    ({ when }) => `Revogar o link criado em ${when}`,
    ({ when }) => `Revoke the link created on ${when}`,
  ],
  revoked: ['O link foi revogado.', 'The link was revoked.'],
  close: ['Fechar', 'Close'],
  shared_by_link: ['Compartilhado por link', 'Shared by a link'],
  ended: ['Este link não vale mais', 'This link is not valid any more'],
  ended_text: [
    'Ele expirou, foi revogado ou está incompleto. Peça outro a quem o enviou.',
    'It has expired, was revoked, or is incomplete. Ask the person who sent it for another one.',
  ],
};

/** Return the text with this key, about these values. */
export function shareText(key, values) {
  return inLanguage(TEXTS[key], values);
}
