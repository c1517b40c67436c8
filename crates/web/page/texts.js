// Texts of the page in Portuguese and English, and the language in use.

const KEY = 'fiapx.language';

/** Text about `n` things. */
function plural(one, many) {
  return ({ n }) => (n === 1 ? one : many).replace('{n}', number(n, 2));
}

/** Texts by key, in Portuguese and English: strings, or functions of values. */
const TEXTS = {
  decimal_point: [',', '.'],
  skip: ['Ir para o conteúdo', 'Skip to content'],
  language: ['Idioma', 'Language'],
  logout: ['Sair', 'Log out'],
  videos: ['Seus vídeos', 'Your videos'],
  tagline: [
    'Envie um vídeo. Receba um quadro por segundo.',
    'Upload a video. Get one frame per second.',
  ],
  tagline_details: [
    'Um ZIP com quadros em PNG, sem perda e com o tempo exato. Se faltar algum, avisamos.',
    'One ZIP of lossless PNG frames with exact timestamps. Missing frames are listed.',
  ],
  login: ['Entrar', 'Log in'],
  register: ['Criar conta', 'Create account'],
  no_account: ['Ainda não tem conta?', 'No account yet?'],
  have_account: ['Já tem conta?', 'Have an account?'],
  email: ['E-mail', 'E-mail'],
  password: ['Senha', 'Password'],
  name: ['Nome', 'Name'],
  show_password: ['Mostrar senha', 'Show password'],
  hide_password: ['Ocultar senha', 'Hide password'],
  password_rules: [
    'No mínimo 8 caracteres, com letra maiúscula, número e caractere especial.',
    'At least 8 characters with an uppercase letter, a digit and a special character.',
  ],
  submitting: ['Um momento…', 'One moment…'],
  session_ended: ['Sua sessão terminou. Entre novamente.', 'Your session has ended. Log in again.'],
  drop: ['Solte vídeos aqui', 'Drop videos here'],
  choose_files: ['Escolher vídeos', 'Choose videos'],
  upload_limits: [
    ({ suffixes, size }) => `${suffixes} · até ${size} cada`,
    ({ suffixes, size }) => `${suffixes} · up to ${size} each`,
  ],
  uploads: ['Envios', 'Uploads'],
  uploads_active: [
    plural('{n} envio em andamento', '{n} envios em andamento'),
    plural('{n} upload in progress', '{n} uploads in progress'),
  ],
  uploads_finished: ['Envios concluídos', 'Uploads finished'],
  upload_waiting: ['Aguardando', 'Waiting'],
  upload_sending: [
    ({ speed, left }) => `${speed}/s · faltam ${left}`,
    ({ speed, left }) => `${speed}/s · ${left} left`,
  ],
  upload_storing: ['Verificando…', 'Checking…'],
  upload_received: ['Recebido', 'Received'],
  upload_cancelled: ['Cancelado', 'Cancelled'],
  cancel: ['Cancelar', 'Cancel'],
  retry: ['Tentar de novo', 'Try again'],
  dismiss: ['Dispensar', 'Dismiss'],
  dismiss_finished: ['Limpar concluídos', 'Clear finished'],
  minimize: ['Minimizar', 'Minimize'],
  expand: ['Expandir', 'Expand'],
  open: ['Abrir', 'Open'],
  of_file: [({ what, name }) => `${what}: ${name}`, ({ what, name }) => `${what}: ${name}`],
  wrong_suffix: [
    ({ suffixes }) => `Tipo de arquivo não aceito. Use ${suffixes}.`,
    ({ suffixes }) => `Unsupported file type. Use ${suffixes}.`,
  ],
  too_large: [
    ({ size }) => `Arquivo grande demais: o limite é ${size}.`,
    ({ size }) => `File too large: the limit is ${size}.`,
  ],
  filter: ['Filtrar por status', 'Filter by status'],
  filter_all: ['Todos', 'All'],
  filter_QUEUED: ['Na fila', 'Queued'],
  filter_PROCESSING: ['Em processamento', 'Processing'],
  filter_DONE: ['Prontos', 'Done'],
  filter_FAILED: ['Com falha', 'Failed'],
  filter_CANCELLED: ['Cancelados', 'Cancelled'],
  filter_EXPIRED: ['Expirados', 'Expired'],
  UPLOADED: ['Enviado', 'Uploaded'],
  QUEUED: ['Na fila', 'Queued'],
  PROCESSING: ['Processando', 'Processing'],
  DONE: ['Pronto', 'Done'],
  FAILED: ['Falhou', 'Failed'],
  CANCELLED: ['Cancelado', 'Cancelled'],
  EXPIRED: ['Expirado', 'Expired'],
  INCOMPLETE: ['Incompleto', 'Incomplete'],
  no_videos: ['Nenhum vídeo ainda', 'No videos yet'],
  upload_first: [
    'Solte um arquivo acima ou escolha um para enviar.',
    'Drop a file above, or choose one to upload.',
  ],
  no_videos_with_status: ['Nenhum vídeo com esse status', 'No videos with this status'],
  show_all: ['Mostrar todos', 'Show all'],
  load_more: ['Mostrar mais antigos', 'Show older videos'],
  loading: ['Carregando…', 'Loading…'],
  not_loaded: ['Não foi possível carregar', 'Could not be loaded'],
  frames: [plural('{n} quadro', '{n} quadros'), plural('{n} frame', '{n} frames')],
  frames_of: [
    ({ done, expected }) => `${number(done)} de ${number(expected)} quadros`,
    ({ done, expected }) => `${number(done)} of ${number(expected)} frames`,
  ],
  progress_of: [({ name }) => `Progresso de ${name}`, ({ name }) => `Progress of ${name}`],
  expires: [({ when }) => `expira ${when}`, ({ when }) => `expires ${when}`],
  expired: [({ when }) => `expirou ${when}`, ({ when }) => `expired ${when}`],
  download: ['Baixar ZIP', 'Download ZIP'],
  download_started: ['O download começou.', 'The download has started.'],
  delete: ['Excluir', 'Delete'],
  delete_question: [
    ({ name }) =>
      `Excluir “${name}” e seus quadros? Esta ação não pode ser desfeita.`,
    ({ name }) => `Delete “${name}” and its frames? This cannot be undone.`,
  ],
  delete_no: ['Manter vídeo', 'Keep video'],
  cancel_job: ['Cancelar processamento', 'Cancel processing'],
  cancel_question: [
    ({ name }) => `Cancelar o processamento de “${name}”?`,
    ({ name }) => `Cancel processing “${name}”?`,
  ],
  cancel_no: ['Continuar processando', 'Keep processing'],
  job_deleted: [({ name }) => `“${name}” foi excluído.`, ({ name }) => `“${name}” was deleted.`],
  job_cancelled: [
    ({ name }) => `“${name}” foi cancelado.`,
    ({ name }) => `“${name}” was cancelled.`,
  ],
  status_of: [
    ({ name, status }) => `${name}: ${status}`,
    ({ name, status }) => `${name}: ${status}`,
  ],
  about: ['Sobre o vídeo', 'About the video'],
  format: ['Formato', 'Format'],
  resolution: ['Resolução', 'Resolution'],
  rate: [plural('{n} quadro/s', '{n} quadros/s'), plural('{n} frame/s', '{n} frames/s')],
  duration: ['Duração', 'Duration'],
  video_size: ['Tamanho do vídeo', 'Video size'],
  recipe: ['Extração', 'Extraction'],
  frames_per_second: [
    plural('{n} quadro por segundo', '{n} quadros por segundo'),
    plural('{n} frame per second', '{n} frames per second'),
  ],
  frame_every: [
    ({ s }) => `1 quadro a cada ${s} segundos`,
    ({ s }) => `1 frame every ${s} seconds`,
  ],
  archive_size: ['Arquivo ZIP', 'ZIP archive'],
  processing_time: ['Tempo de processamento', 'Processing time'],
  uploaded_at: ['Enviado em', 'Uploaded'],
  available_until: ['Disponível até', 'Available until'],
  history: ['Histórico', 'History'],
  attempt: [({ n }) => `tentativa ${n}`, ({ n }) => `attempt ${n}`],
  next_attempt: [({ when }) => `Próxima tentativa ${when}.`, ({ when }) => `Next attempt ${when}.`],
  missing: ['Quadros que faltam', 'Missing frames'],
  frames_missing: [
    ({ written, expected }) =>
      `O ZIP tem ${number(written)} de ${number(expected)} quadros. ` +
      'Não foi possível ler o restante do vídeo.',
    ({ written, expected }) =>
      `The ZIP has ${number(written)} of ${number(expected)} frames. ` +
      'The rest of the video could not be read.',
  ],
  damaged_parts: [
    'Todos os quadros estão no ZIP, mas partes do vídeo estão danificadas.',
    'All frames are in the ZIP, but parts of the video are damaged.',
  ],
  gap: [
    ({ n, from, to }) =>
      `${n === 1 ? 'Falta 1 quadro' : `Faltam ${number(n)} quadros`}, de ${from} a ${to}`,
    ({ n, from, to }) =>
      `${n === 1 ? '1 frame missing' : `${number(n)} frames missing`}, from ${from} to ${to}`,
  ],
  damaged: ['danificado', 'damaged'],
  warnings: ['Detalhes técnicos', 'Technical details'],
  gallery: ['Quadros', 'Frames'],
  gallery_later: [
    'Os quadros aparecem aqui quando o processamento terminar.',
    'The frames appear here when processing is finished.',
  ],
  gallery_none: ['Nenhum quadro foi extraído.', 'No frames were extracted.'],
  gallery_expired: [
    'Este vídeo expirou e seus quadros foram excluídos. Envie-o de novo se ainda precisar deles.',
    'This video expired and its frames were deleted. Upload it again if you still need them.',
  ],
  frame_at: [
    ({ n, time }) => `Quadro ${number(n)}, em ${time}`,
    ({ n, time }) => `Frame ${number(n)}, at ${time}`,
  ],
  frame_of: [
    ({ n, total }) => `Quadro ${number(n)} de ${number(total)}`,
    ({ n, total }) => `Frame ${number(n)} of ${number(total)}`,
  ],
  frame_not_loaded: ['Não foi possível carregar o quadro.', 'The frame could not be loaded.'],
  previous: ['Anterior', 'Previous'],
  next: ['Próximo', 'Next'],
  close: ['Fechar', 'Close'],
  download_frame: ['Baixar quadro', 'Download frame'],
  seconds: [({ s }) => `${s} s`, ({ s }) => `${s} s`],
  minutes: [({ m, s }) => `${m} min ${s} s`, ({ m, s }) => `${m} min ${s} s`],
  hours: [({ h, m }) => `${h} h ${m} min`, ({ h, m }) => `${h} h ${m} min`],
  not_found: ['Vídeo não encontrado', 'Video not found'],
  not_found_reason: [
    'O vídeo não existe ou pertence a outra conta.',
    'The video does not exist, or it belongs to another account.',
  ],
};

/** Texts of the API's error codes, in Portuguese and English. */
const PROBLEMS = {
  PASSWORD_TOO_SHORT: [
    'A senha precisa ter no mínimo 8 caracteres.',
    'The password needs at least 8 characters.',
  ],
  PASSWORD_TOO_LONG: [
    'A senha pode ter no máximo 128 bytes.',
    'The password can have at most 128 bytes.',
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
  NAME_INVALID: [
    'Informe um nome de até 100 caracteres.',
    'Enter a name of up to 100 characters.',
  ],
  EMAIL_INVALID: [
    'Digite um e-mail válido, como ana@exemplo.com.',
    'Enter a valid e-mail, like ana@example.com.',
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
  TOO_MANY_ATTEMPTS: [
    'Muitas tentativas. Tente de novo em 1 minuto.',
    'Too many attempts. Try again in 1 minute.',
  ],
  TOO_MANY_DOWNLOADS: [
    'Muitos downloads seguidos. Tente de novo em instantes.',
    'Too many downloads in a row. Try again in a moment.',
  ],
  TOO_MANY_UPLOADS: [
    'Muitos envios ao mesmo tempo. Espere um terminar.',
    'Too many uploads at the same time. Wait until one is finished.',
  ],
  TOO_MANY_JOBS: [
    'Há muitos vídeos na fila. Espere alguns terminarem ou cancele alguns.',
    'Too many videos are queued. Wait until some are finished, or cancel some.',
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
    'O conteúdo do arquivo não corresponde à extensão do nome. Verifique o arquivo.',
    'The content of the file does not match its extension. Check the file.',
  ],
  RECIPE_INVALID: ['As opções dos quadros são inválidas.', 'The frame options are invalid.'],
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
  ARCHIVE_EXPIRED: [
    'Este vídeo expirou. Envie-o de novo se ainda precisar dele.',
    'This video expired. Upload it again if you still need it.',
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

function supported(tag) {
  return ['pt', 'en'].find((language) => tag?.toLowerCase().startsWith(language));
}

/** Language of the page: `pt` or `en`. */
export let language = supported(localStorage.getItem(KEY))
  ?? navigator.languages.map(supported).find(Boolean)
  ?? 'pt';
document.documentElement.lang = language;

/** Set the language of the page, and remember it. */
export function setLanguage(tag) {
  language = tag;
  localStorage.setItem(KEY, tag);
  document.documentElement.lang = tag;
}

function inLanguage([portuguese, english]) {
  return language === 'pt' ? portuguese : english;
}

/** Return the text with this key, about these values. */
export function t(key, values) {
  const text = inLanguage(TEXTS[key]);
  return typeof text === 'function' ? text(values) : text;
}

/** Return the text of an error of the API. Codes without a text have one in the response. */
export function problemText({ code, detail, message }) {
  if (Object.hasOwn(PROBLEMS, code)) return inLanguage(PROBLEMS[code]);
  return detail ?? message ?? code;
}

/** Return a number in the notation of the language, with at most this many decimals. */
export function number(value, decimals = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: decimals }).format(value);
}
