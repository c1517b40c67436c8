// Texts of the errors of webhooks and of their deliveries.

/** Texts by error code, in Portuguese and English. */
export const WEBHOOK_PROBLEMS = {
  URL_MALFORMED: [
    'Informe um endereço completo, como https://exemplo.com/eventos.',
    'Enter a complete address, like https://example.com/events.',
  ],
  URL_TOO_LONG: [
    'O endereço pode ter no máximo 2000 caracteres.',
    'The address can have at most 2000 characters.',
  ],
  URL_SCHEME: [
    'O endereço precisa começar com https://.',
    'The address must begin with https://.',
  ],
  URL_PARTS: [
    'O endereço não pode conter usuário, senha nem fragmento (#).',
    'The address must not contain a user, a password or a fragment (#).',
  ],
  URL_HOST: [
    'Este servidor não está acessível pela internet.',
    'This server is not reachable from the internet.',
  ],
  EVENTS_MISSING: ['Escolha pelo menos um evento.', 'Choose at least one event.'],
  TOO_MANY_WEBHOOKS: [
    'Você já tem 10 webhooks. Exclua um para criar outro.',
    'You have 10 webhooks already. Delete one to create another.',
  ],
  TOO_MANY_DELIVERIES: [
    'Muitos testes e reenvios seguidos. Tente de novo em instantes.',
    'Too many tests and repetitions in a row. Try again in a moment.',
  ],
  WEBHOOK_NOT_FOUND: ['Este webhook não existe mais.', 'This webhook no longer exists.'],
  DELIVERY_NOT_FOUND: ['Esta entrega não existe mais.', 'This delivery no longer exists.'],
  DELIVERY_PENDING: [
    'Esta entrega ainda está em andamento.',
    'This delivery is still in progress.',
  ],
  WEBHOOK_DISABLED: ['O webhook está desativado.', 'The webhook is disabled.'],
  HOST_UNRESOLVED: [
    'O endereço do servidor não foi encontrado.',
    'The address of the server was not found.',
  ],
  HOST_FORBIDDEN: [
    'O servidor não está acessível pela internet.',
    'The server is not reachable from the internet.',
  ],
  CONNECTION_FAILED: [
    'Não foi possível conectar ao servidor.',
    'No connection to the server.',
  ],
  ENCRYPTION_FAILED: [
    'O certificado do servidor não é válido.',
    'The certificate of the server is not valid.',
  ],
  ANSWER_INVALID: ['O servidor não deu uma resposta válida.', 'The server gave no valid response.'],
  ANSWER_TIMEOUT: [
    'O servidor não respondeu em 15 segundos.',
    'The server did not respond within 15 seconds.',
  ],
  ANSWER_REDIRECT: [
    'O servidor redirecionou o evento. Use o endereço final.',
    'The server redirected the event. Use the final address.',
  ],
  ANSWER_STATUS: ['O servidor recusou o evento.', 'The server rejected the event.'],
  REQUEST_INVALID: [
    'Algo deu errado do nosso lado.',
    'Something went wrong on our side.',
  ],
};
