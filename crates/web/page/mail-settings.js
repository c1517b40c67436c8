// Settings of the mails that follow the page: the time zone, and the language if it was chosen here.

import { request, sessionEvents, user } from './session.js';
import { readValue, writeValue } from './store.js';
import { chosenLanguage } from './texts.js';

/** Key of the last user and settings that the API was told. */
const KEY = 'fiapx.mail-settings';

// Nothing of a user is left in the browser.
sessionEvents.addEventListener('change', () => {
  if (!user()) writeValue(KEY, null);
});

/** Tell the API the settings of the page, once for each user and change. */
export async function followPage() {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  const settings = { language: chosenLanguage(), time_zone: timeZone };
  const withUser = () => JSON.stringify([user()?.email, settings]);
  const told = withUser();
  if (!user() || readValue(KEY) === told) return;
  try {
    await request('/auth/me', { method: 'PATCH', json: settings });
    if (withUser() === told) writeValue(KEY, told);
  } catch {
    // The next view of the page, login or choice tries again.
  }
}
