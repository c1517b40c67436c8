// Texts of the page in Portuguese and English, and the language in use.

const KEY = 'fiapx.language';

/** Text about `n` things. */
function plural(one, many) {
  return ({ n }) => (n === 1 ? one : many).replace('{n}', number(n, 2));
}

const PT = {
  decimal_point: ',',
  skip: 'Ir para o conteúdo',
  language: 'Idioma',
  logout: 'Sair',
  videos: 'Seus vídeos',
  statement: 'Envie um vídeo. Receba um quadro por segundo.',
  promise: 'Um ZIP com quadros em PNG, sem perda e com o tempo exato. Se faltar algum, avisamos.',
  login: 'Entrar',
  register: 'Criar conta',
  no_account: 'Ainda não tem conta?',
  have_account: 'Já tem conta?',
  email: 'E-mail',
  password: 'Senha',
  name: 'Nome',
  show_password: 'Mostrar senha',
  hide_password: 'Ocultar senha',
  password_rules: 'No mínimo 8 caracteres, com letra maiúscula, número e caractere especial.',
  submitting: 'Um momento…',
  session_ended: 'Sua sessão terminou. Entre novamente.',
  drop: 'Solte vídeos aqui',
  choose_files: 'Escolher vídeos',
  upload_limits: ({ suffixes, size }) => `${suffixes} · até ${size} cada`,
  uploads: 'Envios',
  uploads_active: plural('{n} envio em andamento', '{n} envios em andamento'),
  uploads_finished: 'Envios concluídos',
  upload_waiting: 'Aguardando',
  upload_sending: ({ speed, left }) => `${speed}/s · faltam ${left}`,
  upload_storing: 'Verificando…',
  upload_received: 'Recebido',
  upload_cancelled: 'Cancelado',
  cancel: 'Cancelar',
  retry: 'Tentar de novo',
  dismiss: 'Dispensar',
  dismiss_finished: 'Limpar concluídos',
  minimize: 'Minimizar',
  expand: 'Expandir',
  open: 'Abrir',
  of_file: ({ what, name }) => `${what}: ${name}`,
  wrong_suffix: ({ suffixes }) => `Tipo de arquivo não aceito. Use ${suffixes}.`,
  too_large: ({ size }) => `Arquivo grande demais: o limite é ${size}.`,
  filter: 'Filtrar por status',
  filter_all: 'Todos',
  filter_QUEUED: 'Na fila',
  filter_PROCESSING: 'Em processamento',
  filter_DONE: 'Prontos',
  filter_FAILED: 'Com falha',
  filter_CANCELLED: 'Cancelados',
  filter_EXPIRED: 'Expirados',
  UPLOADED: 'Enviado',
  QUEUED: 'Na fila',
  PROCESSING: 'Processando',
  DONE: 'Pronto',
  FAILED: 'Falhou',
  CANCELLED: 'Cancelado',
  EXPIRED: 'Expirado',
  INCOMPLETE: 'Incompleto',
  no_videos: 'Nenhum vídeo ainda',
  upload_first: 'Solte um arquivo acima ou escolha um para enviar.',
  no_videos_with_status: 'Nenhum vídeo com esse status',
  show_all: 'Mostrar todos',
  load_more: 'Mostrar mais antigos',
  loading: 'Carregando…',
  not_loaded: 'Não foi possível carregar',
  frames: plural('{n} quadro', '{n} quadros'),
  frames_of: ({ done, expected }) => `${number(done)} de ${number(expected)} quadros`,
  progress_of: ({ name }) => `Progresso de ${name}`,
  expires: ({ when }) => `expira ${when}`,
  expired: ({ when }) => `expirou ${when}`,
  download: 'Baixar ZIP',
  download_started: 'O download começou.',
  delete: 'Excluir',
  delete_question: ({ name }) =>
    `Excluir “${name}” e seus quadros? Esta ação não pode ser desfeita.`,
  delete_no: 'Manter vídeo',
  cancel_job: 'Cancelar processamento',
  cancel_question: ({ name }) => `Cancelar o processamento de “${name}”?`,
  cancel_no: 'Continuar processando',
  job_deleted: ({ name }) => `“${name}” foi excluído.`,
  job_cancelled: ({ name }) => `“${name}” foi cancelado.`,
  status_of: ({ name, status }) => `${name}: ${status}`,
  about: 'Sobre o vídeo',
  format: 'Formato',
  resolution: 'Resolução',
  rate: ({ rate }) => `${rate} quadros/s`,
  duration: 'Duração',
  video_size: 'Tamanho do vídeo',
  recipe: 'Extração',
  frames_per_second: plural('{n} quadro por segundo', '{n} quadros por segundo'),
  frame_every: ({ s }) => `1 quadro a cada ${s} segundos`,
  archive_size: 'Arquivo ZIP',
  processing_time: 'Tempo de processamento',
  uploaded_at: 'Enviado em',
  available_until: 'Disponível até',
  history: 'Histórico',
  attempt: ({ n }) => `tentativa ${n}`,
  next_attempt: ({ when }) => `Próxima tentativa ${when}.`,
  missing: 'Quadros que faltam',
  frames_missing: ({ written, expected }) =>
    `O ZIP tem ${number(written)} de ${number(expected)} quadros. ` +
    'Não foi possível ler o restante do vídeo.',
  damaged_parts: 'Todos os quadros estão no ZIP, mas partes do vídeo estão danificadas.',
  gap: ({ n, from, to }) =>
    `${n === 1 ? 'Falta 1 quadro' : `Faltam ${number(n)} quadros`}, de ${from} a ${to}`,
  damaged: 'danificado',
  warnings: 'Detalhes técnicos',
  gallery: 'Quadros',
  gallery_later: 'Os quadros aparecem aqui quando o processamento terminar.',
  gallery_none: 'Nenhum quadro foi extraído.',
  gallery_expired:
    'Este vídeo expirou e seus quadros foram excluídos. Envie-o de novo se ainda precisar deles.',
  frame_at: ({ n, time }) => `Quadro ${number(n)}, em ${time}`,
  frame_of: ({ n, total }) => `Quadro ${number(n)} de ${number(total)}`,
  frame_not_loaded: 'Não foi possível carregar o quadro.',
  previous: 'Anterior',
  next: 'Próximo',
  close: 'Fechar',
  download_frame: 'Baixar quadro',
  seconds: ({ s }) => `${s} s`,
  minutes: ({ m, s }) => `${m} min ${s} s`,
  hours: ({ h, m }) => `${h} h ${m} min`,
  not_found: 'Vídeo não encontrado',
  not_found_reason: 'O vídeo não existe ou pertence a outra conta.',
};

const EN = {
  decimal_point: '.',
  skip: 'Skip to content',
  language: 'Language',
  logout: 'Log out',
  videos: 'Your videos',
  statement: 'Upload a video. Get one frame per second.',
  promise: 'One ZIP of lossless PNG frames with exact timestamps. We tell you if any is missing.',
  login: 'Log in',
  register: 'Create account',
  no_account: 'No account yet?',
  have_account: 'Have an account?',
  email: 'E-mail',
  password: 'Password',
  name: 'Name',
  show_password: 'Show password',
  hide_password: 'Hide password',
  password_rules:
    'At least 8 characters with an uppercase letter, a digit and a special character.',
  submitting: 'One moment…',
  session_ended: 'Your session has ended. Log in again.',
  drop: 'Drop videos here',
  choose_files: 'Choose videos',
  upload_limits: ({ suffixes, size }) => `${suffixes} · up to ${size} each`,
  uploads: 'Uploads',
  uploads_active: plural('{n} upload in progress', '{n} uploads in progress'),
  uploads_finished: 'Uploads finished',
  upload_waiting: 'Waiting',
  upload_sending: ({ speed, left }) => `${speed}/s · ${left} left`,
  upload_storing: 'Checking…',
  upload_received: 'Received',
  upload_cancelled: 'Cancelled',
  cancel: 'Cancel',
  retry: 'Try again',
  dismiss: 'Dismiss',
  dismiss_finished: 'Clear finished',
  minimize: 'Minimize',
  expand: 'Expand',
  open: 'Open',
  of_file: ({ what, name }) => `${what}: ${name}`,
  wrong_suffix: ({ suffixes }) => `Unsupported file type. Use ${suffixes}.`,
  too_large: ({ size }) => `File too large: the limit is ${size}.`,
  filter: 'Filter by status',
  filter_all: 'All',
  filter_QUEUED: 'Queued',
  filter_PROCESSING: 'Processing',
  filter_DONE: 'Done',
  filter_FAILED: 'Failed',
  filter_CANCELLED: 'Cancelled',
  filter_EXPIRED: 'Expired',
  UPLOADED: 'Uploaded',
  QUEUED: 'Queued',
  PROCESSING: 'Processing',
  DONE: 'Done',
  FAILED: 'Failed',
  CANCELLED: 'Cancelled',
  EXPIRED: 'Expired',
  INCOMPLETE: 'Incomplete',
  no_videos: 'No videos yet',
  upload_first: 'Drop a file above, or choose one to upload.',
  no_videos_with_status: 'No videos with this status',
  show_all: 'Show all',
  load_more: 'Show older videos',
  loading: 'Loading…',
  not_loaded: 'Could not be loaded',
  frames: plural('{n} frame', '{n} frames'),
  frames_of: ({ done, expected }) => `${number(done)} of ${number(expected)} frames`,
  progress_of: ({ name }) => `Progress of ${name}`,
  expires: ({ when }) => `expires ${when}`,
  expired: ({ when }) => `expired ${when}`,
  download: 'Download ZIP',
  download_started: 'The download has started.',
  delete: 'Delete',
  delete_question: ({ name }) => `Delete “${name}” and its frames? This cannot be undone.`,
  delete_no: 'Keep video',
  cancel_job: 'Cancel processing',
  cancel_question: ({ name }) => `Cancel processing “${name}”?`,
  cancel_no: 'Keep processing',
  job_deleted: ({ name }) => `“${name}” was deleted.`,
  job_cancelled: ({ name }) => `“${name}” was cancelled.`,
  status_of: ({ name, status }) => `${name}: ${status}`,
  about: 'About the video',
  format: 'Format',
  resolution: 'Resolution',
  rate: ({ rate }) => `${rate} frames/s`,
  duration: 'Duration',
  video_size: 'Video size',
  recipe: 'Extraction',
  frames_per_second: plural('{n} frame per second', '{n} frames per second'),
  frame_every: ({ s }) => `1 frame every ${s} seconds`,
  archive_size: 'ZIP archive',
  processing_time: 'Processing time',
  uploaded_at: 'Uploaded',
  available_until: 'Available until',
  history: 'History',
  attempt: ({ n }) => `attempt ${n}`,
  next_attempt: ({ when }) => `Next attempt ${when}.`,
  missing: 'Missing frames',
  frames_missing: ({ written, expected }) =>
    `The ZIP has ${number(written)} of ${number(expected)} frames. ` +
    'The rest of the video could not be read.',
  damaged_parts: 'All frames are in the ZIP, but parts of the video are damaged.',
  gap: ({ n, from, to }) =>
    `${n === 1 ? '1 frame missing' : `${number(n)} frames missing`}, from ${from} to ${to}`,
  damaged: 'damaged',
  warnings: 'Technical details',
  gallery: 'Frames',
  gallery_later: 'The frames appear here when processing is finished.',
  gallery_none: 'No frames were extracted.',
  gallery_expired:
    'This video expired and its frames were deleted. Upload it again if you still need them.',
  frame_at: ({ n, time }) => `Frame ${number(n)}, at ${time}`,
  frame_of: ({ n, total }) => `Frame ${number(n)} of ${number(total)}`,
  frame_not_loaded: 'The frame could not be loaded.',
  previous: 'Previous',
  next: 'Next',
  close: 'Close',
  download_frame: 'Download frame',
  seconds: ({ s }) => `${s} s`,
  minutes: ({ m, s }) => `${m} min ${s} s`,
  hours: ({ h, m }) => `${h} h ${m} min`,
  not_found: 'Video not found',
  not_found_reason: 'The video does not exist, or it belongs to another account.',
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
  EMPTY_FILE: ['O arquivo está vazio.', 'The file is empty.'],
  UPLOAD_STALLED: ['O envio parou. Tente de novo.', 'The upload stalled. Try again.'],
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

/** Return the text with this key, about these values. */
export function t(key, values) {
  const text = (language === 'pt' ? PT : EN)[key];
  return typeof text === 'function' ? text(values) : text;
}

/** Return the text of an error of the API. Codes without a text have one in the response. */
export function problemText({ code, detail, message }) {
  return PROBLEMS[code]?.[language === 'pt' ? 0 : 1] ?? detail ?? message ?? code;
}

/** Return a number in the notation of the language, with at most this many decimals. */
export function number(value, decimals = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: decimals }).format(value);
}
