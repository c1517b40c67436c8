// Texts of the API's errors.

import { inLanguage, number } from './texts.js';
import { WEBHOOK_PROBLEMS } from './webhook-problems.js';

const INVALID_RECIPE =
  ['As opções dos quadros são inválidas.', 'The frame options are invalid.'];
const WHOLE_NUMBER =
  ['Informe um número inteiro maior que zero.', 'Enter a whole number above zero.'];
/** Maximum characters of an invalid input that an error repeats. */
const MAX_REPEATED = 30;

const shortened = (text) =>
  (text.length > MAX_REPEATED ? `${text.slice(0, MAX_REPEATED)}…` : text);

/** Texts by error code, in Portuguese and English: strings, or functions of the problem. */
export const PROBLEMS = {
  ...WEBHOOK_PROBLEMS,
  TOO_MANY_SHARES: [
    'Um vídeo pode ter no máximo 10 links. Revogue um deles primeiro.',
    'A video can have at most 10 links. Revoke one first.',
  ],
  FIELD_MISSING: ['Preencha este campo.', 'Fill in this field.'],
  NAME_MISSING: ['Informe seu nome.', 'Enter your name.'],
  EMAIL_MISSING: ['Informe seu e-mail.', 'Enter your e-mail.'],
  PASSWORD_MISSING: ['Digite a senha.', 'Enter the password.'],
  PASSWORD_TOO_SHORT: [
    'A senha precisa ter no mínimo 8 caracteres.',
    'The password needs at least 8 characters.',
  ],
  PASSWORD_TOO_LONG: [
    'A senha pode ter no máximo 256 bytes.',
    'The password can have at most 256 bytes.',
  ],
  PASSWORD_CHARACTER_INVALID: [
    'A senha contém um caractere invisível ou de controle. Digite a senha sem ele.',
    'The password contains an invisible or control character. Type it without it.',
  ],
  PASSWORD_NO_UPPER_CASE: [
    'A senha precisa de uma letra maiúscula.',
    'The password needs an uppercase letter.',
  ],
  PASSWORD_NO_DIGIT: ['A senha precisa de um número.', 'The password needs a digit.'],
  PASSWORD_NO_SPECIAL: [
    'A senha precisa de um caractere especial, como ! ou #.',
    'The password needs a special character, such as ! or #.',
  ],
  PASSWORD_COMMON: [
    'Esta senha é uma das mais usadas do mundo. Escolha outra.',
    'This password is one of the most common ones. Choose another one.',
  ],
  PASSWORD_CONTAINS_ADDRESS: [
    'A senha não pode conter o seu e-mail.',
    'The password must not contain your e-mail address.',
  ],
  PASSWORD_CONTAINS_SERVICE: [
    'A senha não pode conter o nome do serviço.',
    'The password must not contain the name of the service.',
  ],
  PASSWORD_WRONG: ['Senha incorreta.', 'Wrong password.'],
  SECOND_FACTOR_REQUIRED: [
    'Digite o código do seu aplicativo autenticador ou um código de recuperação.',
    'Enter the code of your authenticator app, or a recovery code.',
  ],
  SECOND_FACTOR_WRONG: [
    'Código incorreto ou já usado. Espere o próximo e tente de novo.',
    'The code is wrong or was used before. Wait for the next one and try again.',
  ],
  SECOND_FACTOR_ON: [
    'A verificação em duas etapas já está ativada.',
    'Two-step verification is already on.',
  ],
  SECOND_FACTOR_OFF: [
    'A verificação em duas etapas já está desativada.',
    'Two-step verification is already off.',
  ],
  SECOND_FACTOR_NOT_STARTED: [
    'Este código secreto não vale mais. Comece de novo.',
    'This secret is no longer valid. Start again.',
  ],
  SESSION_NOT_FOUND: ['Esta sessão já terminou.', 'This session has already ended.'],
  KEY_NOT_FOUND: ['Esta chave já foi excluída.', 'This key was already deleted.'],
  TOO_MANY_KEYS: [
    'Você já tem o máximo de chaves. Exclua uma antes de criar outra.',
    'You have as many keys as allowed. Delete one before you create another.',
  ],
  SCOPES_MISSING: [
    'Escolha pelo menos uma permissão.',
    'Choose at least one permission.',
  ],
  EXPIRY_INVALID: [
    'Escolha uma data no futuro, em até dez anos.',
    'Choose a date in the future, within ten years.',
  ],
  NAME_INVALID: [
    'Informe um nome de até 100 caracteres.',
    'Enter a name of up to 100 characters.',
  ],
  EMAIL_INVALID: [
    'Digite um e-mail válido, como ana@exemplo.com.',
    'Enter a valid e-mail, like ana@example.com.',
  ],
  EMAIL_UNCHANGED: [
    'Este já é o e-mail da sua conta.',
    'This is already the e-mail of your account.',
  ],
  EMAIL_TAKEN: [
    'Já existe uma conta com este e-mail. Entre com ele.',
    'An account with this e-mail already exists. Log in with it.',
  ],
  WRONG_CREDENTIALS: ['E-mail ou senha incorretos.', 'Wrong e-mail or password.'],
  ACCOUNT_DISABLED: [
    'Esta conta está desativada. Fale com o operador do serviço.',
    'This account is disabled. Contact the operator of the service.',
  ],
  ADDRESS_NOT_CONFIRMED: [
    'Confirme seu e-mail primeiro: abra o link na mensagem que enviamos quando você criou a conta.',
    'Confirm your e-mail first: open the link in the message that you got when you registered.',
  ],
  ADDRESS_CONFIRMED: ['Seu e-mail já está confirmado.', 'Your e-mail is already confirmed.'],
  ACCOUNT_LINK_INVALID: [
    'Este link já foi usado ou não vale mais. Peça um novo.',
    'This link was used already or has expired. Request a new one.',
  ],
  TOO_MANY_MAILS: [
    'Já enviamos muitas mensagens para este e-mail. Use a mais recente ou tente mais tarde.',
    'Too many messages were sent to this e-mail. Use the latest one, or try again later.',
  ],
  TOO_MANY_ATTEMPTS: [
    'Muitas tentativas. Tente de novo em 1 minuto.',
    'Too many attempts. Try again in 1 minute.',
  ],
  TOO_MANY_CODES: [
    'Muitos códigos errados nas últimas 24 horas. Use um código de recuperação ou tente amanhã, ' +
      'e altere sua senha: alguém pode conhecê-la.',
    'Too many wrong codes in the last 24 hours. Use a recovery code or try again tomorrow, and ' +
      'change your password: somebody else may know it.',
  ],
  TOO_BUSY: [
    'O serviço está muito ocupado no momento. Tente de novo em alguns segundos.',
    'The service is very busy at the moment. Try again in a few seconds.',
  ],
  TOO_MANY_DOWNLOADS: [
    'Muitos downloads seguidos. Tente de novo em instantes.',
    'Too many downloads in a row. Try again in a moment.',
  ],
  TOO_MANY_UPLOADS: [
    'Muitos envios ao mesmo tempo. Espere um terminar.',
    'Too many uploads at the same time. Wait until one is finished.',
  ],
  TOO_MANY_AT_ONCE: [
    'Muitos pedidos ao mesmo tempo. Tente de novo em instantes.',
    'Too many requests at the same time. Try again in a moment.',
  ],
  TOO_MANY_JOBS: [
    'Há muitos vídeos na fila. Espere alguns terminarem ou cancele alguns.',
    'Too many videos are queued. Wait until some are finished, or cancel some.',
  ],
  TOO_MANY_JOBS_PER_HOUR: [
    'Você enviou muitos vídeos na última hora. Tente de novo mais tarde.',
    'You have sent many videos within an hour. Try again later.',
  ],
  QUOTA_EXCEEDED: [
    'Você atingiu o limite de armazenamento. Exclua alguns vídeos ou espere que expirem.',
    'You have reached your storage limit. Delete some videos, or wait until they expire.',
  ],
  STORAGE_FULL: [
    'O serviço está sem espaço no momento. Tente mais tarde.',
    'The service is out of space at the moment. Try again later.',
  ],
  VIDEO_TOO_LARGE: ['O vídeo é grande demais.', 'The video is too large.'],
  UNSUPPORTED_FORMAT: ['Tipo de arquivo não aceito.', 'Unsupported file type.'],
  CONTENT_MISMATCH: [
    'O arquivo não parece ser um vídeo do tipo que o nome indica.',
    'The file does not seem to be a video of the type that its name states.',
  ],
  RECIPE_INVALID: INVALID_RECIPE,
  RECIPE_NOT_JSON: INVALID_RECIPE,
  RECIPE_TOO_LARGE: [
    'As opções dos quadros são longas demais. Escolha menos momentos.',
    'The frame options are too long. Choose fewer times.',
  ],
  RECIPE_MISPLACED: INVALID_RECIPE,
  RECIPE_NOT_AN_OBJECT: INVALID_RECIPE,
  RECIPE_NOT_A_LIST: INVALID_RECIPE,
  RECIPE_NOT_A_BOOLEAN: INVALID_RECIPE,
  RECIPE_UNKNOWN_MEMBER: [
    'O serviço ainda não conhece uma destas opções. Recarregue a página e escolha outras.',
    'The service does not know one of these options yet. Reload the page and choose others.',
  ],
  RECIPE_SELECTION_MISSING: ['Escolha quais quadros extrair.', 'Choose which frames to extract.'],
  RECIPE_SELECTIONS_CONFLICT: [
    'Escolha só um jeito de selecionar os quadros.',
    'Choose only one way to select the frames.',
  ],
  RECIPE_INTERVAL_INVALID: [
    'Informe um número de segundos maior que zero, como 2, 0,5 ou 1/3.',
    'Enter a number of seconds above zero, like 2, 0.5 or 1/3.',
  ],
  RECIPE_INTERVAL_TOO_LONG: [
    'O intervalo pode ser de no máximo um dia (86400 segundos).',
    'The interval can be at most a day (86400 seconds).',
  ],
  RECIPE_TIME_INVALID: [
    ({ text }) => `${text ? `“${shortened(text)}” não é` : 'Este não é'} um momento do vídeo. ` +
      'Use segundos, como 62,5, ou minutos e segundos, como 1:02,5.',
    ({ text }) => `${text ? `“${shortened(text)}”` : 'This'} is not a time in the video. ` +
      'Use seconds, like 62.5, or minutes and seconds, like 1:02.5.',
  ],
  RECIPE_TIME_TOO_LATE: [
    'O momento pode ser no máximo um dia após o início (24:00:00).',
    'The time can be at most a day after the start (24:00:00).',
  ],
  RECIPE_TOO_PRECISE: ['Use no máximo 6 casas decimais.', 'Use at most 6 decimals.'],
  RECIPE_TIMES_MISSING: ['Informe pelo menos um momento.', 'Enter at least one time.'],
  RECIPE_TOO_MANY_TIMES: [
    'Informe no máximo 1000 momentos, ou escolha um intervalo regular.',
    'Enter at most 1000 times, or choose a regular interval.',
  ],
  RECIPE_PART_EMPTY: [
    'O fim precisa ser depois do início.',
    'The end has to be after the start.',
  ],
  RECIPE_NUMBER_INVALID: [
    ({ max }) => (max ? `Informe um número inteiro de 1 a ${number(max)}.` : WHOLE_NUMBER[0]),
    ({ max }) => (max ? `Enter a whole number from 1 to ${number(max)}.` : WHOLE_NUMBER[1]),
  ],
  RECIPE_NOTHING_SELECTED: [
    'Nenhum quadro corresponde a estas opções: o vídeo termina antes, ou os momentos estão fora ' +
      'da parte escolhida.',
    'No frame matches these options: the video ends earlier, or the times are outside of the ' +
      'chosen part.',
  ],
  RECIPE_TOO_MANY_FRAMES: [
    'São mais quadros do que um vídeo pode ter aqui. Escolha menos quadros ou uma parte do vídeo.',
    'These are more frames than a video may have here. Choose fewer, or a part of the video.',
  ],
  RECIPE_STORAGE_EXCEEDED: [
    'O resultado não cabe no seu espaço. Escolha menos quadros ou outro formato, ou exclua vídeos.',
    'The result exceeds your storage. Choose fewer frames or a smaller format, or delete videos.',
  ],
  RECIPE_FORMAT_UNKNOWN: ['Escolha PNG, JPEG ou WebP.', 'Choose PNG, JPEG or WebP.'],
  RECIPE_QUALITY_LOSSLESS: [
    'PNG é sem perda e não tem qualidade. Escolha JPEG ou WebP.',
    'PNG is lossless and has no quality. Choose JPEG or WebP.',
  ],
  FILENAME_UNSUPPORTED: [
    'O endereço precisa terminar com o nome de um vídeo, como praia.mp4.',
    'The address must end with the name of a video, such as beach.mp4.',
  ],
  VIDEOS_BY_URL_OFF: [
    'Este serviço não busca vídeos em endereços. Envie o arquivo.',
    'This service does not read videos at URLs. Upload the file.',
  ],
  EMPTY_FILE: ['O arquivo está vazio.', 'The file is empty.'],
  UPLOAD_TOO_LONG: [
    'O envio demorou demais. Envie menos vídeos de cada vez.',
    'The upload took too long. Send fewer videos at once.',
  ],
  UPLOAD_STALLED: ['O envio parou. Tente de novo.', 'The upload stalled. Try again.'],
  UPLOAD_TOO_SLOW: [
    'Sua conexão está lenta demais para o envio. Tente de novo com uma conexão mais rápida.',
    'Your connection is too slow for the upload. Try again with a faster one.',
  ],
  UPLOAD_DISPLACED: [
    'O serviço está recebendo muitos vídeos, e este envio estava lento. Tente mais tarde.',
    'The service is receiving many videos, and this upload was slow. Try again later.',
  ],
  UPLOAD_BROKEN: [
    'O envio foi interrompido. Tente de novo.',
    'The upload was interrupted. Try again.',
  ],
  IDEMPOTENCY_KEY_USED: [
    'O vídeo deste envio já foi excluído. Tente de novo para enviar outra vez.',
    'The video of this upload was deleted. Try again to upload it once more.',
  ],
  IDEMPOTENCY_KEY_REUSED: [
    'Este envio mudou desde a primeira tentativa. Tente de novo para enviá-lo como está agora.',
    'This upload has changed since the first attempt. Try again to send it as it is now.',
  ],
  LINK_EXPIRED: [
    'Este link de download não vale mais. Baixe o ZIP de novo na página do vídeo.',
    'This download link has expired. Download the ZIP again from the page of the video.',
  ],
  LINK_INVALID: [
    'Este link de download está incompleto ou foi alterado. Copie-o de novo por inteiro.',
    'This download link is incomplete or was changed. Copy all of it again.',
  ],
  FILE_NOT_FOUND: [
    'Este arquivo não existe mais.',
    'This file no longer exists.',
  ],
  ARCHIVE_EXPIRED: [
    'Este vídeo expirou. Envie-o de novo se ainda precisar dele.',
    'This video expired. Upload it again if you still need it.',
  ],
  VIDEO_EXPIRED: [
    'O vídeo original não está mais guardado. Envie-o de novo.',
    'The original video is no longer stored. Upload it again.',
  ],
  JOB_NOT_FOUND: ['Este vídeo não existe mais.', 'This video no longer exists.'],
  NOT_YOUR_JOB: ['Este vídeo pertence a outra conta.', 'This video belongs to another account.'],
  JOB_FINISHED: [
    'O processamento já tinha terminado, então nada foi cancelado.',
    'Processing was already finished, so nothing was cancelled.',
  ],
  JOB_NOT_FINISHED: [
    'O vídeo está sendo processado de novo, então não foi excluído.',
    'The video is being processed again, so it was not deleted.',
  ],
  JOB_CHANGED: [
    'O status do vídeo acabou de mudar. Verifique e tente de novo.',
    'The status of the video has just changed. Check it and try again.',
  ],
  UNAVAILABLE: [
    'Uma parte do serviço não responde. Tente de novo em alguns segundos.',
    'A part of the service does not respond. Try again in a few seconds.',
  ],
  INTERNAL_ERROR: [
    'Algo deu errado do nosso lado. Tente mais tarde.',
    'Something went wrong on our side. Try again later.',
  ],
  NETWORK: [
    'Sem conexão com o serviço. Verifique a rede e tente de novo.',
    'The service cannot be reached. Check the network and try again.',
  ],
};

/**
 * Return the text of an error of the API, or of a field in it. Codes without a text have one in the
 * response. Errors of fields replace that of the whole request.
 */
export function problemText(problem) {
  if (problem.code === 'INVALID_FIELDS' && problem.errors?.length > 0) {
    return problem.errors.map(problemText).join(' ');
  }
  const { code, detail, message } = problem;
  if (Object.hasOwn(PROBLEMS, code)) return inLanguage(PROBLEMS[code], problem);
  return detail ?? message ?? code;
}
