import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { stopIcon } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';

import { CommandIDs } from '../commands';
import type { IRunView } from '../contracts';
import { flipIcon } from '../icons';
import { runName } from '../models/naming';
import type { IHappening } from '../models/notices';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- it listens from the start
import {
  digestText,
  happenings,
  happeningText,
  Minute
} from '../models/notices';
import { hasEnded, runDetail } from '../models/wording';
import { IWorkbench } from '../tokens';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the status bar shows it from the start
import { StatusItem } from '../widgets/run/status';

const ID = 'flipnb:presence';
const SHORT = 8000;

/**
 * Runs where the user looks anyway: notifications, the status bar, the list of what runs.
 */
export const presencePlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description:
    'Tells of runs by notifications, in the status bar and among running sessions.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [
    ITranslator,
    ISettingRegistry,
    IStatusBar,
    IRunningSessionManagers
  ],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    settings: ISettingRegistry | null,
    statusBar: IStatusBar | null,
    running: IRunningSessionManagers | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands } = app;
    let notifies = true;
    let showsStatus = true;
    const settingsChanged = new Signal<object, void>(workbench);

    void settings?.load(ID).then(loaded => {
      const read = (): void => {
        notifies = loaded.get('notifications').composite !== false;
        showsStatus = loaded.get('statusBar').composite !== false;
        settingsChanged.emit();
      };
      read();
      loaded.changed.connect(read, workbench);
    });

    const active = (): IRunView[] =>
      workbench.runs.filter(run => !hasEnded(run));
    const activeChanged = new Signal<object, void>(workbench);
    let before = '';
    workbench.changed.connect(() => {
      const now = active()
        .map(
          run =>
            `${run.run} ${runDetail(trans, run, key => workbench.trustTitle(key))}`
        )
        .join();
      if (now !== before) {
        before = now;
        activeChanged.emit();
      }
    }, workbench);
    settingsChanged.connect(() => activeChanged.emit(), workbench);

    statusBar?.registerStatusItem(ID, {
      item: new StatusItem(workbench, commands, trans),
      align: 'left',
      rank: 600,
      isActive: () => showsStatus && active().length > 0,
      activeStateChanged: activeChanged
    });

    running?.add({
      name: trans.__('FLIP Runs'),
      running: () =>
        active().map(run => ({
          label: () => runName(run),
          labelTitle: () => trans.__('Run %1 of %2', run.run, run.study),
          detail: () => runDetail(trans, run, key => workbench.trustTitle(key)),
          icon: () => flipIcon,
          open: () =>
            void commands.execute(CommandIDs.openRun, { run: run.run }),
          shutdown: () =>
            void commands.execute(CommandIDs.stopRun, { run: run.run })
        })),
      refreshRunning: () => void workbench.refresh(),
      runningChanged: activeChanged,
      shutdownLabel: trans.__('Stop Run…'),
      shutdownItemIcon: stopIcon,
      shutdownAllLabel: trans.__('Stop All Runs'),
      shutdownAllConfirmationText: trans.__(
        'Stop every run of this study at all Trusts?'
      ),
      shutdownAll: () => {
        for (const run of active()) {
          void workbench.api
            .stopRun(run.run)
            .then(view => workbench.update(view))
            .catch(error => showFailure(String(error)));
        }
      }
    });

    function showFailure(message: string): void {
      void showDialog({
        title: trans.__('Not stopped'),
        body: message,
        buttons: [Dialog.okButton({ label: trans.__('Close') })]
      });
    }

    const views = new Map<string, IRunView>();
    const minute = new Minute();
    let notice: string | null = null;
    const titleOf = (trust: string): string => workbench.trustTitle(trust);

    workbench.runChanged.connect((_, run) => {
      const before = views.get(run.run);
      views.set(run.run, run);
      if (notifies && !isSeen(run.run)) {
        happenings(before, run).forEach(tell);
      }
    }, workbench);

    /**
     * One notice for one thing; where another one of this minute is still there, one for all of them.
     */
    function tell(happened: IHappening): void {
      const recent = minute.add(happened);
      const { run } = happened;
      const open = (command: string, args: { run?: string }) => () =>
        void commands.execute(command, args);
      if (recent.length > 1 && notice && Notification.manager.has(notice)) {
        const callback = open(CommandIDs.showRuns, {});
        Notification.update({
          id: notice,
          message: digestText(trans, recent),
          type: 'info',
          autoClose: SHORT,
          actions: [{ label: trans.__('Open Runs'), callback }]
        });
        return;
      }
      const bad = happened.kind === 'declined' || run.state === 'failed';
      const callback = open(CommandIDs.openRun, { run: run.run });
      notice = Notification.emit(
        happeningText(trans, happened, titleOf),
        bad ? 'warning' : run.state === 'succeeded' ? 'success' : 'info',
        {
          autoClose: SHORT,
          actions: [{ label: trans.__('Open'), callback }]
        }
      );
    }
  }
};

/**
 * Whether the person has the run on the screen: its own view, or its row in a list.
 */
function isSeen(run: string): boolean {
  if (document.hidden) {
    return false;
  }
  const shown = document.querySelectorAll<HTMLElement>(
    `[data-run="${run}"], .jp-FlipRow[data-id="${run}"]`
  );
  return [...shown].some(node => node.offsetParent !== null);
}
