import { Notification } from '@jupyterlab/apputils';
import type { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import { CommandIDs } from '../commands';
import { Notices } from '../models/requestnotices';
import type { IDesk } from '../tokens';
import { DeskStatusItem } from '../widgets/desk/status';

const LONGEST = 140;

/**
 * Say that requests wait: one notice that stays until it is answered, and a count in the status bar. Of a request that
 * is on screen nothing is said (`sees`); once it is opened its notice goes.
 *
 * Returns what to call when a request, or without one the desk, was opened.
 */
export function announce(
  desk: IDesk,
  commands: CommandRegistry,
  trans: TranslationBundle,
  statusBar: IStatusBar | null,
  sees: (bundle: string | null) => boolean
): (bundle: string | null) => void {
  const notices = new Notices(desk);
  let shown = '';
  let about: string | null = null;

  function tell(): void {
    const notice = notices.next();
    if (notices.waiting === 0) {
      Notification.dismiss(shown);
    }
    if (notice === null || sees(notice.request?.bundle ?? null)) {
      return;
    }
    const { request, waiting } = notice;
    const message =
      request === null
        ? trans.__('%1 requests wait', waiting)
        : trans.__('%1 asks: %2', request.researcher, request.title);
    const action =
      request === null
        ? {
            label: trans.__('Open Desk'),
            callback: () => void commands.execute(CommandIDs.showDesk)
          }
        : {
            label: trans.__('Open Request'),
            callback: () =>
              void commands.execute(CommandIDs.openRequest, {
                bundle: request.bundle
              })
          };
    Notification.dismiss(shown);
    about = request?.bundle ?? null;
    shown = Notification.info(
      message.length > LONGEST ? `${message.slice(0, LONGEST - 1)}…` : message,
      { autoClose: false, actions: [action] }
    );
  }

  desk.requestsChanged.connect(tell);
  tell();
  statusBar?.registerStatusItem('flipnb:desk', {
    item: new DeskStatusItem({ desk, commands, trans }),
    align: 'left',
    rank: 601,
    isActive: () => notices.waiting > 0,
    activeStateChanged: desk.changed
  });
  return bundle => {
    if (bundle === null || bundle === about) {
      Notification.dismiss(shown);
    }
  };
}
