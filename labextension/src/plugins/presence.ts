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
import {
  failureText,
  hasEnded,
  runDetail,
  runName,
  runShare
} from '../models/wording';
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
        .map(run => `${run.run} ${runDetail(trans, run)}`)
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
          label: () => runName(run, workbench.runs),
          labelTitle: () => trans.__('Run %1 of %2', run.run, run.study),
          detail: () => runDetail(trans, run),
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

    const notices = new Map<string, string>();
    const states = new Map<string, string>();
    workbench.runChanged.connect((_, run) => {
      const known = states.get(run.run);
      states.set(run.run, run.state);
      if (!notifies || known === undefined) {
        return;
      }
      tell(run, known);
    }, workbench);

    function tell(run: IRunView, known: string): void {
      const name = runName(run, workbench.runs);
      const actions = [
        {
          label: trans.__('Open Run'),
          callback: () =>
            void commands.execute(CommandIDs.openRun, { run: run.run })
        }
      ];
      const id = notices.get(run.run);
      if (run.state === 'running') {
        const message = trans.__('%1: %2', name, runDetail(trans, run));
        const progress = runShare(run) ?? 0;
        if (id === undefined || !Notification.manager.has(id)) {
          if (known !== 'running') {
            const made = Notification.emit(message, 'in-progress', {
              autoClose: SHORT,
              progress,
              actions
            });
            notices.set(run.run, made);
          }
        } else {
          Notification.update({ id, message, progress });
        }
        return;
      }
      if (run.state === known || !hasEnded(run)) {
        return;
      }
      const failed = run.trusts.find(part => part.failure !== null);
      const why = failed?.failure
        ? trans.__(
            ' at %1: %2',
            workbench.trustTitle(failed.trust),
            failureText(trans, failed.failure)
          )
        : run.reason
          ? trans.__(': %1', run.reason)
          : '';
      const message =
        run.state === 'succeeded'
          ? trans.__('%1 succeeded after %2 rounds.', name, run.rounds_done)
          : run.state === 'failed'
            ? trans.__('%1 failed%2', name, why)
            : trans.__('%1 was stopped after round %2.', name, run.rounds_done);
      const type = run.state === 'failed' ? 'error' : 'success';
      const autoClose = run.state === 'failed' ? (false as const) : SHORT;
      if (id !== undefined && Notification.manager.has(id)) {
        Notification.update({ id, message, type, autoClose, actions });
      } else {
        Notification.emit(message, type, { autoClose, actions });
      }
      notices.delete(run.run);
    }
  }
};
