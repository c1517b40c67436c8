// Texts about accounts by key, in Portuguese and English: strings, or functions of values.

export const ACCOUNT_TEXTS = {
  account: ['Sua conta', 'Your account'],
  profile: ['Perfil', 'Profile'],
  security: ['Segurança', 'Security'],
  your_data: ['Seus dados', 'Your data'],
  mail_language: ['Idioma dos e-mails', 'Language of e-mails'],
  mails: ['E-mails sobre os vídeos', 'E-mails about videos'],
  mails_each: ['Um para cada vídeo', 'One for each video'],
  mails_digest: [
    'Um resumo dos vídeos que terminam juntos',
    'One about the videos that finish together',
  ],
  mails_failures: ['Só quando algo dá errado', 'Only when something goes wrong'],
  mails_none: ['Nenhum', 'None'],
  mails_hint: [
    'O resumo junta o que termina em dois minutos. Avisos sobre a conta chegam sempre.',
    'The summary covers what finishes within two minutes. Notices about the account are always sent.',
  ],
  change: ['Alterar', 'Change'],
  save: ['Salvar', 'Save'],
  saved: ['Alteração salva.', 'Saved.'],
  continue: ['Continuar', 'Continue'],
  copy: ['Copiar', 'Copy'],
  copied: ['Copiado', 'Copied'],
  not_copied: ['Não foi possível copiar', 'Could not be copied'],
  to_videos: ['Ir para seus vídeos', 'Go to your videos'],

  // Confirmation of the address
  check_mail: ['Confira seu e-mail', 'Check your e-mail'],
  check_spam: [
    'Não chegou em alguns minutos? Procure também na pasta de spam.',
    'Not there after a few minutes? Look in the spam folder, too.',
  ],
  confirm_link_sent: [
    ({ email }) => `Enviamos um link para ${email}. Abra-o nas próximas 24 horas para confirmar ` +
      'seu e-mail; depois disso, você já pode enviar vídeos.',
    ({ email }) => `We sent a link to ${email}. Open it within 24 hours to confirm your e-mail; ` +
      'after that, you can upload videos.',
  ],
  confirm_link_sent_somewhere: [
    'Enviamos um link para o seu e-mail. Abra-o nas próximas 24 horas para confirmá-lo.',
    'We sent a link to your e-mail. Open it within 24 hours to confirm the address.',
  ],
  known_address: [
    'Já tinha uma conta com esse e-mail? Então nada mudou nela: entre com a sua senha de sempre.',
    'Did you have an account with this e-mail already? Then nothing has changed in it: log in ' +
      'with your password.',
  ],
  confirm_banner: [
    ({ email }) =>
      `Confirme seu e-mail para enviar vídeos: abra o link que mandamos para ${email}.`,
    ({ email }) => `Confirm your e-mail to upload videos: open the link that we sent to ${email}.`,
  ],
  send_again: ['Enviar de novo', 'Send again'],
  link_sent_again: ['Enviamos outro link.', 'Another link is on its way.'],
  not_confirmed: ['não confirmado', 'not confirmed'],
  confirm_address: ['Confirmar e-mail', 'Confirm e-mail'],
  confirm_address_text: [
    'Confirme que este e-mail é seu e que você criou a conta.',
    'Confirm that this e-mail is yours, and that you created the account.',
  ],
  address_confirmed: ['E-mail confirmado', 'E-mail confirmed'],
  address_confirmed_text: [
    'Tudo certo: agora você pode enviar vídeos.',
    'All set: you can upload videos now.',
  ],
  confirm_new_address: ['Confirmar novo e-mail', 'Confirm new e-mail'],
  confirm_new_address_text: [
    'Confirme que este e-mail é seu e que você quer usá-lo na sua conta.',
    'Confirm that this e-mail is yours, and that you want to use it for your account.',
  ],
  new_address_confirmed: ['E-mail alterado', 'E-mail changed'],
  new_address_confirmed_text: [
    'A partir de agora, entre com o novo e-mail.',
    'From now on, log in with the new e-mail.',
  ],
  open_link_again: [
    'Por segurança, o link não fica guardado nesta página. Abra-o de novo na mensagem.',
    'For security, this page does not keep the link. Open it again from the message.',
  ],

  // Passwords
  forgot_password: ['Esqueci a senha', 'Forgot password'],
  forgot_password_text: [
    'Informe o e-mail da sua conta, e enviaremos um link para criar uma nova senha.',
    'Enter the e-mail of your account, and we will send a link to set a new password.',
  ],
  send_link: ['Enviar link', 'Send link'],
  reset_link_sent: [
    ({ email }) => `Se houver uma conta com o e-mail ${email}, o link chega em instantes. ` +
      'Ele vale por 30 minutos.',
    ({ email }) => `If there is an account with the e-mail ${email}, the link will arrive in a ` +
      'moment. It is valid for 30 minutes.',
  ],
  request_link: ['Pedir outro link', 'Request another link'],
  set_new_password: ['Criar nova senha', 'Set a new password'],
  set_new_password_text: [
    'Você vai sair da conta em todos os aparelhos.',
    'You will be logged out on all devices.',
  ],
  password_changed_log_in: [
    'Senha alterada. Entre com a nova senha.',
    'Your password is changed. Log in with the new one.',
  ],
  change_password: ['Alterar senha', 'Change password'],
  current_password: ['Senha atual', 'Current password'],
  new_password: ['Nova senha', 'New password'],
  password_text: [
    'Alterar a senha encerra suas outras sessões.',
    'Changing it ends your other sessions.',
  ],
  password_changed: ['Senha alterada', 'Password changed'],
  password_changed_text: [
    'Suas outras sessões foram encerradas. Você continua conectado aqui. As chaves de API ' +
      'continuam valendo.',
    'Your other sessions have ended. You stay logged in here. API keys stay valid.',
  ],

  // Address
  new_email: ['Novo e-mail', 'New e-mail'],
  change_email: ['Alterar e-mail', 'Change e-mail'],
  change_email_text: [
    'Enviaremos um link para o novo e-mail. A alteração só acontece quando você o abrir.',
    'We will send a link to the new e-mail. The change takes effect when you open it.',
  ],
  new_address_link_sent: [
    ({ email }) => `Enviamos um link para ${email}. Abra-o nas próximas 24 horas; até lá, ` +
      'continua valendo o e-mail atual.',
    ({ email }) => `We sent a link to ${email}. Open it within 24 hours; until then, your ` +
      'current e-mail stays.',
  ],

  // Second factor
  second_factor: ['Verificação em duas etapas', 'Two-step verification'],
  second_factor_is_on: [
    'Ativada: você entra com a senha e um código do aplicativo autenticador.',
    'On: you log in with your password and a code of your authenticator app.',
  ],
  second_factor_is_off: ['Desativada: basta a senha para entrar.', 'Off: your password suffices.'],
  turn_on: ['Ativar', 'Turn on'],
  turn_off: ['Desativar', 'Turn off'],
  second_factor_on: ['Ativar verificação em duas etapas', 'Turn on two-step verification'],
  second_factor_off: ['Desativar verificação em duas etapas', 'Turn off two-step verification'],
  second_factor_text: [
    'Você vai precisar de um aplicativo autenticador no celular, como Google Authenticator ou ' +
      'Aegis. Primeiro, digite sua senha.',
    'You need an authenticator app on your phone, such as Google Authenticator or Aegis. First, ' +
      'enter your password.',
  ],
  second_factor_off_text: [
    'Sem ela, quem souber sua senha entra na sua conta.',
    'Without it, anyone who knows your password can enter your account.',
  ],
  second_factor_secret: ['Adicione a conta ao aplicativo', 'Add the account to your app'],
  second_factor_secret_text: [
    'No aplicativo, escolha digitar uma chave de configuração e informe esta:',
    'In the app, choose to enter a setup key, and type this one:',
  ],
  open_in_app: ['Abrir no aplicativo deste aparelho', 'Open in the app on this device'],
  code: ['Código de verificação', 'Verification code'],
  code_hint: [
    'Seis dígitos do seu aplicativo autenticador, ou um código de recuperação.',
    'Six digits of your authenticator app, or a recovery code.',
  ],
  first_code_hint: [
    'Seis dígitos que o aplicativo mostra agora.',
    'Six digits that the app shows now.',
  ],
  recovery_codes: ['Guarde seus códigos de recuperação', 'Save your recovery codes'],
  recovery_codes_text: [
    'A verificação em duas etapas está ativada. Sem o celular, entre com um destes códigos. Cada ' +
      'um vale uma vez, e eles não aparecem de novo: guarde-os em um lugar seguro.',
    'Two-step verification is on. Without your phone, log in with one of these codes. Each works ' +
      'once, and they are not shown again: keep them in a safe place.',
  ],
  download_codes: ['Baixar', 'Download'],
  codes_saved: ['Já guardei', 'I have saved them'],

  // Sessions
  sessions: ['Sessões abertas', 'Open sessions'],
  unknown_browser: ['Navegador desconhecido', 'Unknown browser'],
  this_session: ['esta sessão', 'this session'],
  last_used: ['usada', 'used'],
  logged_in_on: [({ when }) => `aberta em ${when}`, ({ when }) => `logged in on ${when}`],
  end_session: ['Encerrar', 'End'],
  end_other_sessions: ['Encerrar todas as outras', 'End all others'],
  session_was_ended: ['Sessão encerrada.', 'The session has ended.'],
  other_sessions_ended: ['As outras sessões foram encerradas.', 'All other sessions have ended.'],

  // API keys
  keys: ['Chaves de API', 'API keys'],
  keys_text: [
    'Com uma chave, um programa usa sua conta por você: envia vídeos e baixa os quadros.',
    'With a key, a program uses your account for you: it uploads videos and downloads frames.',
  ],
  api_docs: ['Ver a documentação da API', 'See the documentation of the API'],
  no_keys: ['Nenhuma chave ainda.', 'No keys yet.'],
  create_key: ['Criar chave', 'Create key'],
  key_name: ['Nome da chave', 'Name of the key'],
  key_name_hint: [
    'Para você reconhecê-la depois, como “Backup noturno”.',
    'To recognize it later, like “Nightly backup”.',
  ],
  scopes: ['Permissões', 'Permissions'],
  'scope_videos:read': ['Ver vídeos e baixar quadros', 'View videos and download frames'],
  'scope_videos:write': [
    'Enviar, processar e excluir vídeos',
    'Upload, process and delete videos',
  ],
  scope_webhooks: ['Gerenciar webhooks', 'Manage webhooks'],
  expires_at: ['Validade', 'Valid for'],
  key_days: [({ days }) => `${days} dias`, ({ days }) => `${days} days`],
  key_forever: ['Sem data de expiração', 'No expiration date'],
  key_created: ['Copie sua chave agora', 'Copy your key now'],
  key_created_text: [
    'Ela não aparece de novo. Guarde-a como uma senha: quem tiver a chave usa sua conta, dentro ' +
      'das permissões que você escolheu.',
    'It is not shown again. Keep it like a password: anyone who has it can use your account, ' +
      'within the permissions that you chose.',
  ],
  key_saved: ['Já guardei', 'I have saved it'],
  key_never_used: ['nunca usada', 'never used'],
  key_does_not_expire: ['não expira', 'does not expire'],
  key_created_on: [({ when }) => `criada em ${when}`, ({ when }) => `created on ${when}`],
  delete_key_question: [
    ({ name }) => `Excluir a chave “${name}”? Os programas que a usam param de funcionar na hora.`,
    ({ name }) => `Delete the key “${name}”? Programs that use it stop working at once.`,
  ],
  key_deleted: ['Chave excluída.', 'The key is deleted.'],

  // Export and deletion
  export: ['Exportar dados', 'Export data'],
  export_button: ['Exportar', 'Export'],
  export_text: [
    'Um ZIP com tudo o que guardamos sobre você, em JSON. Vídeos e quadros não estão incluídos.',
    'A ZIP of everything that we store about you, as JSON. Videos and frames are not included.',
  ],
  delete_account: ['Excluir conta', 'Delete account'],
  delete_account_text: [
    'Exclui a conta e tudo o que está nela, para sempre.',
    'Deletes the account and everything in it, for good.',
  ],
  delete_account_question: [
    'Serão excluídos agora, sem volta:',
    'This deletes at once and for good:',
  ],
  delete_videos: [
    'todos os seus vídeos, os quadros e os ZIPs, e o que ainda está em processamento',
    'all your videos, their frames and ZIPs, and what is still being processed',
  ],
  delete_profile: [
    'seu nome, seu e-mail, sua senha, suas sessões, suas chaves de API, seus webhooks e todo o ' +
      'histórico',
    'your name, e-mail and password, your sessions, API keys and webhooks, and the whole history',
  ],
  delete_links: [
    'os links de download e de compartilhamento, que param de funcionar',
    'the download and share links, which stop working',
  ],
  delete_account_advice: [
    'Quer guardar algo? Baixe seus ZIPs e exporte seus dados antes.',
    'Want to keep something? Download your ZIPs and export your data first.',
  ],
  delete_account_button: ['Excluir minha conta', 'Delete my account'],
  account_deleted: [
    'Sua conta e tudo o que estava nela foram excluídos.',
    'Your account and everything in it were deleted.',
  ],
};
