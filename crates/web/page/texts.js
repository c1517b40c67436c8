// Texts of the page in Portuguese and English, and the language in use.

import { ACCOUNT_TEXTS } from './account-texts.js';
import { readValue, writeValue } from './store.js';
import { WEBHOOK_TEXTS } from './webhook-texts.js';

const KEY = 'fiapx.language';

/** Text about `n` things. */
function plural(one, many) {
  return ({ n }) => (n === 1 ? one : many).replace('{n}', number(n, 2));
}

/** Texts by key, in Portuguese and English: strings, or functions of values. */
const TEXTS = {
  ...ACCOUNT_TEXTS,
  ...WEBHOOK_TEXTS,
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
    'Um ZIP com quadros em PNG sem perda, JPEG ou WebP, cada um com o tempo exato. ' +
      'Se faltar algum, avisamos.',
    'One ZIP of frames as lossless PNG, JPEG or WebP, each with its exact timestamp. ' +
      'Missing frames are listed.',
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
  rule_length: ['8 caracteres ou mais', '8 characters or more'],
  rule_upper_case: ['uma letra maiúscula', 'an uppercase letter'],
  rule_digit: ['um número', 'a digit'],
  rule_special: ['um caractere especial, como ! ou #', 'a special character, like ! or #'],
  rule_long: ['ou 15 caracteres quaisquer', 'or any 15 characters'],
  rule_met: ['atendido', 'met'],
  submitting: ['Um momento…', 'One moment…'],
  session_ended: ['Sua sessão terminou. Entre de novo.', 'Your session has ended. Log in again.'],
  logout_question: [
    ({ n }) => (n === 1
      ? 'Há 1 envio em andamento. Sair e cancelá-lo?'
      : `Há ${number(n)} envios em andamento. Sair e cancelá-los?`),
    ({ n }) => (n === 1
      ? '1 upload is in progress. Log out and cancel it?'
      : `${number(n)} uploads are in progress. Log out and cancel them?`),
  ],
  logout_no: ['Continuar enviando', 'Keep uploading'],
  drop: ['Solte vídeos aqui', 'Drop videos here'],
  upload: ['Envie um vídeo', 'Upload a video'],
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
  uploads_refused: [
    ({ n, total }) => `${n} de ${total} não enviados`,
    ({ n, total }) => `${n} of ${total} not accepted`,
  ],
  uploads_finished: ['Envios concluídos', 'Uploads finished'],
  upload_waiting: ['Aguardando', 'Waiting'],
  upload_sending: [
    ({ speed, left }) => `${speed}/s · faltam ${left}`,
    ({ speed, left }) => `${speed}/s · ${left} left`,
  ],
  upload_storing: ['Verificando…', 'Checking…'],
  video_url: ['Ou o endereço (URL) de um vídeo', 'Or the URL of a video'],
  add_by_url: ['Adicionar', 'Add'],
  source_url: ['Endereço', 'URL'],
  upload_received: ['Recebido', 'Received'],
  upload_cancelled: ['Cancelado', 'Cancelled'],
  upload_interrupted: [
    'Conexão perdida. O envio continua sozinho.',
    'Connection lost. The upload continues by itself.',
  ],
  upload_paused: ['Em pausa', 'Paused'],
  upload_unfinished: [
    'Não terminou. Escolha o arquivo de novo para continuar.',
    'Not finished. Choose the file again to continue.',
  ],
  upload_other_file: [
    ({ name }) => `Esse arquivo é outro. Escolha “${name}”.`,
    ({ name }) => `This is another file. Choose “${name}”.`,
  ],
  pause: ['Pausar', 'Pause'],
  continue: ['Continuar', 'Continue'],
  choose_again: ['Escolher o arquivo de novo', 'Choose the file again'],
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
  filter_PROCESSING: ['Processando', 'Processing'],
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
  DAMAGED: ['Com danos', 'Damaged'],
  no_videos: ['Nenhum vídeo ainda', 'No videos yet'],
  upload_first: [
    'Escolha um arquivo acima para começar.',
    'Choose a file above to begin.',
  ],
  storage_used: [
    ({ used, limit }) => `${used} de ${limit} em uso`,
    ({ used, limit }) => `${used} of ${limit} used`,
  ],
  try_sample: ['Testar com um vídeo de exemplo', 'Try it with a sample clip'],
  search: ['Buscar por nome', 'Search by name'],
  no_videos_with_name: ['Nenhum vídeo com esse nome', 'No videos with this name'],
  select: ['Selecionar', 'Select'],
  selection: ['Vídeos selecionados', 'Selected videos'],
  selected: [
    plural('{n} vídeo selecionado', '{n} vídeos selecionados'),
    plural('{n} video selected', '{n} videos selected'),
  ],
  clear_selection: ['Limpar seleção', 'Clear selection'],
  download_all: [
    plural('Baixar {n} ZIP', 'Baixar {n} ZIPs'),
    plural('Download {n} ZIP', 'Download {n} ZIPs'),
  ],
  delete_selected_question: [
    plural(
      'Excluir {n} vídeo e seus quadros? Esta ação não pode ser desfeita.',
      'Excluir {n} vídeos e seus quadros? Esta ação não pode ser desfeita.',
    ),
    plural(
      'Delete {n} video and its frames? This cannot be undone.',
      'Delete {n} videos and their frames? This cannot be undone.',
    ),
  ],
  delete_selected_no: ['Manter vídeos', 'Keep videos'],
  videos_deleted: [
    plural('{n} vídeo foi excluído.', '{n} vídeos foram excluídos.'),
    plural('{n} video was deleted.', '{n} videos were deleted.'),
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
  about_left: [({ left }) => `faltam cerca de ${left}`, ({ left }) => `about ${left} left`],
  may_leave: [
    ({ email }) =>
      `Você pode sair desta página: avisaremos em ${email} quando o vídeo ficar pronto.`,
    ({ email }) => `You can leave this page: we will e-mail ${email} when the video is done.`,
  ],
  may_leave_failures: [
    ({ email }) => `Você pode sair desta página: avisaremos em ${email} se algo der errado.`,
    ({ email }) => `You can leave this page: we will e-mail ${email} if something goes wrong.`,
  ],
  may_leave_none: [
    'Você pode sair desta página: o processamento continua.',
    'You can leave this page: processing continues.',
  ],
  progress_of: [({ name }) => `Progresso de ${name}`, ({ name }) => `Progress of ${name}`],
  expires: [({ when }) => `expira ${when}`, ({ when }) => `expires ${when}`],
  expired: [({ when }) => `expirou ${when}`, ({ when }) => `expired ${when}`],
  download: ['Baixar ZIP', 'Download ZIP'],
  download_waits: [
    ({ s }) => `Muitos downloads seguidos. Este começa sozinho em ${s} s.`,
    ({ s }) => `Many downloads in a row. This one starts by itself in ${s} s.`,
  ],
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
  recipe: ['Opções', 'Options'],
  frames_per_second: [
    plural('{n} quadro por segundo', '{n} quadros por segundo'),
    plural('{n} frame per second', '{n} frames per second'),
  ],
  frame_every: [
    ({ s }) => `1 quadro a cada ${s} segundos`,
    ({ s }) => `1 frame every ${s} seconds`,
  ],
  frames_spread: [
    plural('{n} quadro no meio do vídeo', '{n} quadros distribuídos pelo vídeo'),
    plural('{n} frame in the middle of the video', '{n} frames spread over the video'),
  ],
  frames_chosen: [
    plural('{n} momento escolhido', '{n} momentos escolhidos'),
    plural('{n} chosen time', '{n} chosen times'),
  ],
  frames_at: [
    ({ n, list }) => `${n === 1 ? 'quadro' : 'quadros'} em ${list}`,
    ({ n, list }) => `${n === 1 ? 'frame' : 'frames'} at ${list}`,
  ],
  more_times: [plural('mais {n} momento', 'mais {n} momentos'), plural('{n} more', '{n} more')],
  scene_frames: ['1 quadro a cada mudança de cena', '1 frame at each scene change'],
  scene_threshold: [
    ({ threshold }) => `com limiar ${threshold}`,
    ({ threshold }) => `with threshold ${threshold}`,
  ],
  scene_distance: [
    ({ s }) => `com pelo menos ${s} s entre eles`,
    ({ s }) => `at least ${s} s apart`,
  ],
  key_frames: ['quadros-chave', 'key frames'],
  sharpest_of: [
    ({ s }) => `o quadro mais nítido a cada ${s} segundos`,
    ({ s }) => `the sharpest frame of every ${s} seconds`,
  ],
  sharpest_of_second: [
    'o quadro mais nítido de cada segundo',
    'the sharpest frame of each second',
  ],
  part_between: [({ from, to }) => `de ${from} a ${to}`, ({ from, to }) => `from ${from} to ${to}`],
  part_after: [({ from }) => `a partir de ${from}`, ({ from }) => `from ${from}`],
  part_before: [({ to }) => `até ${to}`, ({ to }) => `up to ${to}`],
  without_blank: ['sem quadros vazios', 'without blank frames'],
  without_repeated: ['sem quadros repetidos', 'without repeated frames'],
  without_blank_and_repeated: [
    'sem quadros vazios nem repetidos',
    'without blank or repeated frames',
  ],
  at_most: [
    plural('no máximo {n} quadro', 'no máximo {n} quadros'),
    plural('at most {n} frame', 'at most {n} frames'),
  ],
  at_quality: [
    ({ format, quality }) => `${format} com qualidade ${quality}`,
    ({ format, quality }) => `${format} at quality ${quality}`,
  ],
  up_to_width: [
    plural('até {n} pixel de largura', 'até {n} pixels de largura'),
    plural('up to {n} pixel wide', 'up to {n} pixels wide'),
  ],
  up_to_height: [
    plural('até {n} pixel de altura', 'até {n} pixels de altura'),
    plural('up to {n} pixel high', 'up to {n} pixels high'),
  ],
  square_pixels: ['com pixels quadrados', 'with square pixels'],
  with_sheet: ['com folha de contato', 'with a contact sheet'],
  other_recipe: ['outras opções', 'other options'],
  process_again: ['Processar de novo', 'Process again'],
  process_again_title: [
    'Processar de novo com outras opções',
    'Process again with other options',
  ],
  process: ['Processar', 'Process'],
  forecast: [
    ({ expected }) => `Resultado previsto: ${expected}.`,
    ({ expected }) => `Expected result: ${expected}.`,
  ],
  about_frames: [
    plural('cerca de {n} quadro', 'cerca de {n} quadros'),
    plural('about {n} frame', 'about {n} frames'),
  ],
  at_most_size: [({ size }) => `até ${size}`, ({ size }) => `up to ${size}`],
  about_size: [({ size }) => `cerca de ${size}`, ({ size }) => `about ${size}`],
  options: ['Opções', 'Options'],
  options_invalid: ['há um valor a corrigir', 'a value needs to be corrected'],
  options_reset: ['Voltar ao padrão', 'Back to the default'],
  options_fix: [
    'Corrija as opções dos quadros e escolha os vídeos de novo.',
    'Correct the frame options, and choose the videos again.',
  ],
  group_frames: ['Quadros', 'Frames'],
  group_part: ['Parte do vídeo', 'Part of the video'],
  group_format: ['Arquivos', 'Files'],
  option_select: ['Quais quadros', 'Which frames'],
  select_every: ['Um a cada … segundos', 'One every … seconds'],
  select_count: ['Um total, distribuído pelo vídeo', 'A total, spread over the video'],
  select_at: ['Em momentos escolhidos', 'At chosen times'],
  select_scenes: ['Um a cada mudança de cena', 'One at each scene change'],
  select_keyframes: ['Os quadros-chave do vídeo', 'The key frames of the video'],
  select_sharpest: ['O mais nítido a cada … segundos', 'The sharpest of every … seconds'],
  option_every: ['Segundos', 'Seconds'],
  option_count: ['Total de quadros', 'Number of frames'],
  option_at: ['Momentos', 'Times'],
  option_at_hint: [
    'Separados por espaços, como 0:05 1:02,5 1:00:00.',
    'Separated by spaces, like 0:05 1:02.5 1:00:00.',
  ],
  option_from: ['De', 'From'],
  option_from_empty: ['início', 'start'],
  option_to: ['Até', 'To'],
  option_to_empty: ['fim', 'end'],
  option_max_frames: ['Máximo de quadros', 'Maximum frames'],
  option_max_frames_empty: ['sem limite', 'no limit'],
  option_blank: ['Deixar de fora quadros vazios, de uma cor só', 'Leave out blank frames'],
  option_repeated: ['Deixar de fora quadros repetidos', 'Leave out repeated frames'],
  option_sheet: [
    'Incluir uma folha de contato, com todos os quadros em miniatura',
    'Include a contact sheet, with small copies of all frames',
  ],
  option_format: ['Formato', 'Format'],
  format_png: ['PNG, sem perda', 'PNG, lossless'],
  format_jpeg: ['JPEG, menor', 'JPEG, smaller'],
  format_webp: ['WebP, o menor', 'WebP, smallest'],
  option_quality: ['Qualidade, de 1 a 100', 'Quality, from 1 to 100'],
  option_max_width: ['Largura máxima, em pixels', 'Maximum width, in pixels'],
  option_max_width_empty: ['a do vídeo', 'as the video'],
  option_kept: [({ others }) => `Manter: ${others}`, ({ others }) => `Keep: ${others}`],
  archive_size: ['Arquivo ZIP', 'ZIP archive'],
  processing_time: ['Tempo de processamento', 'Processing time'],
  uploaded_at: ['Enviado em', 'Uploaded'],
  available_until: ['Disponível até', 'Available until'],
  history: ['Histórico', 'History'],
  attempt: [({ n }) => `tentativa ${n}`, ({ n }) => `attempt ${n}`],
  next_attempt: [({ when }) => `Próxima tentativa ${when}.`, ({ when }) => `Next attempt ${when}.`],
  missing: ['Quadros que faltam', 'Missing frames'],
  damage: ['Danos no vídeo', 'Damage'],
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
  previews_hint: [
    'Alguns quadros já aparecem aqui durante o processamento.',
    'Some frames already appear here during processing.',
  ],
  gallery_none: ['Nenhum quadro foi extraído.', 'No frames were extracted.'],
  gallery_expired: [
    'Este vídeo expirou e seus quadros foram excluídos. Envie-o de novo se ainda precisar deles.',
    'This video expired and its frames were deleted. Upload it again if you still need them.',
  ],
  contact_sheets: [
    plural('Folha de contato', 'Folhas de contato ({n})'),
    plural('Contact sheet', 'Contact sheets ({n})'),
  ],
  contact_sheet_of: [
    ({ n, name }) => `Folha de contato ${number(n)} de ${name}`,
    ({ n, name }) => `Contact sheet ${number(n)} of ${name}`,
  ],
  download_contact_sheet: [
    ({ n }) => `Baixar folha ${number(n)}`,
    ({ n }) => `Download sheet ${number(n)}`,
  ],
  frame_selection: ['Quadros selecionados', 'Selected frames'],
  select_frame: [
    ({ n, time }) => `Selecionar o quadro ${number(n)}, em ${time}`,
    ({ n, time }) => `Select frame ${number(n)}, at ${time}`,
  ],
  frames_selected: [
    plural('{n} quadro selecionado', '{n} quadros selecionados'),
    plural('{n} frame selected', '{n} frames selected'),
  ],
  download_frames: [
    plural('Baixar {n} quadro', 'Baixar {n} quadros'),
    plural('Download {n} frame', 'Download {n} frames'),
  ],
  select_all: ['Selecionar todos', 'Select all'],
  selection_too_large: [
    'São quadros separados demais para um só ZIP. Selecione menos quadros, ou quadros seguidos.',
    'Too many separate frames for one ZIP. Select fewer frames, or frames in a row.',
  ],
  frame_at: [
    ({ n, time }) => `Quadro ${number(n)}, em ${time}`,
    ({ n, time }) => `Frame ${number(n)}, at ${time}`,
  ],
  frame_of: [
    ({ n, total }) => `Quadro ${number(n)} de ${number(total)}`,
    ({ n, total }) => `Frame ${number(n)} of ${number(total)}`,
  ],
  go_to_frame: ['Ir para o quadro', 'Go to frame'],
  frame: [({ n }) => `Quadro ${number(n)}`, ({ n }) => `Frame ${number(n)}`],
  frame_not_loaded: ['Não foi possível carregar o quadro.', 'The frame could not be loaded.'],
  frame_missing: [
    'Este quadro falta: não foi possível ler essa parte do vídeo.',
    'This frame is missing: that part of the video could not be read.',
  ],
  no_such_frame: [
    plural('Este vídeo tem só {n} quadro.', 'Este vídeo tem só {n} quadros.'),
    plural('This video has only {n} frame.', 'This video has only {n} frames.'),
  ],
  previous: ['Anterior', 'Previous'],
  next: ['Próximo', 'Next'],
  close: ['Fechar', 'Close'],
  download_frame: ['Baixar quadro', 'Download frame'],
  seconds: [({ s }) => `${s} s`, ({ s }) => `${s} s`],
  minutes: [({ m, s }) => `${m} min ${s} s`, ({ m, s }) => `${m} min ${s} s`],
  hours: [({ h, m }) => `${h} h ${m} min`, ({ h, m }) => `${h} h ${m} min`],
  page_not_found: ['Página não encontrada', 'Page not found'],
  page_not_found_reason: ['Este endereço não existe.', 'This address does not exist.'],
  not_opened: ['Não foi possível abrir', 'Could not be opened'],
  not_found: ['Vídeo não encontrado', 'Video not found'],
  not_found_reason: [
    'O vídeo não existe ou pertence a outra conta.',
    'The video does not exist, or it belongs to another account.',
  ],
};

function supported(tag) {
  return ['pt', 'en'].find((language) => tag?.toLowerCase().startsWith(language));
}

/** Language of the page: `pt` or `en`. */
export let language = supported(readValue(KEY))
  ?? navigator.languages.map(supported).find(Boolean)
  ?? 'pt';
document.documentElement.lang = language;

/** Return the language that was chosen in this browser, if one was. */
export function chosenLanguage() {
  return supported(readValue(KEY));
}

/** Set the language of the page, and remember it. */
export function setLanguage(tag) {
  language = tag;
  writeValue(KEY, tag);
  document.documentElement.lang = tag;
}

/** Return the text of a pair in the language of the page. A text may be a function of `values`. */
export function inLanguage([portuguese, english], values) {
  const text = language === 'pt' ? portuguese : english;
  return typeof text === 'function' ? text(values) : text;
}

/** Return the text with this key, about these values. */
export function t(key, values) {
  return inLanguage(TEXTS[key], values);
}

/** Formatters that were used. Creating one takes far longer than formatting a value. */
const formatters = new Map();

/** Return a formatter of a class of `Intl`, such as `NumberFormat`, for the language of the page. */
export function formatter(name, options) {
  const key = `${language} ${name} ${JSON.stringify(options)}`;
  if (!formatters.has(key)) formatters.set(key, new Intl[name](language, options));
  return formatters.get(key);
}

/** Return a number in the notation of the language, with at most this many decimals. */
export function number(value, decimals = 0) {
  return formatter('NumberFormat', { maximumFractionDigits: decimals }).format(value);
}

/** Return a text with a capital letter at its beginning. */
export function sentence(text) {
  return text.charAt(0).toLocaleUpperCase(language) + text.slice(1);
}
