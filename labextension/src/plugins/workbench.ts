import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { FlipApi, messageOf } from '../api';
import { addToPalette, CommandIDs, NO_ARGS } from '../commands';
import { VERSION } from '../contracts';
import { fitted } from '../models/naming';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the model is what is provided
import { SILENCE_MILLISECONDS, Workbench } from '../models/workbench';
import { IWorkbench } from '../tokens';

const STUDY_KEY = 'flipnb:study';
const LOOK_MILLISECONDS = 2000;
const NOTICE_MILLISECONDS = 20_000;

/**
 * The shared model: fetched when Lab starts, pushed to by the server's events, fetched again after a silence.
 */
export const workbenchPlugin: JupyterFrontEndPlugin<IWorkbench> = {
  id: 'flipnb:workbench',
  description:
    'Provides what all screens of FLIP share: studies, runs, the contact with the hub.',
  autoStart: true,
  provides: IWorkbench,
  optional: [ITranslator, ICommandPalette, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    state: IStateDB | null
  ): IWorkbench => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { serviceManager, commands } = app;
    const workbench = new Workbench(new FlipApi(serviceManager.serverSettings));

    serviceManager.events?.stream.connect((_, event) => {
      workbench.take(event.schema_id, event);
    }, workbench);

    window.setInterval(() => workbench.notice(), LOOK_MILLISECONDS);

    document.addEventListener('visibilitychange', () => {
      const silent = Date.now() - (workbench.beat?.getTime() ?? 0);
      if (
        !document.hidden &&
        workbench.ready &&
        silent > SILENCE_MILLISECONDS
      ) {
        void workbench.refresh();
      }
    });

    async function begin(): Promise<void> {
      const chosen = await state?.fetch(STUDY_KEY);
      try {
        const status = await workbench.begin(
          typeof chosen === 'string' ? chosen : null
        );
        if (status.version !== VERSION) {
          Notification.error(
            trans.__(
              'FLIP %1 in the browser, %2 in the server. Run "pip install --upgrade flipnb", restart, reload.',
              VERSION,
              status.version
            ),
            { autoClose: NOTICE_MILLISECONDS }
          );
        }
      } catch (error) {
        Notification.error(
          fitted(trans.__('FLIP does not work here: %1', messageOf(error))),
          { autoClose: NOTICE_MILLISECONDS }
        );
      }
    }

    commands.addCommand(CommandIDs.chooseStudy, {
      label: trans.__('Choose Study…'),
      caption: trans.__('Choose the study whose Trusts and runs are shown'),
      isEnabled: () => workbench.studies.length > 0,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            study: { type: 'string', description: 'The name of the study' }
          }
        }
      },
      execute: async args => {
        let { study } = args as { study?: string };
        if (study === undefined) {
          const { InputDialog } = await import('@jupyterlab/apputils');
          const asked = await InputDialog.getItem({
            title: trans.__('Choose Study'),
            items: workbench.studies.map(item => item.study),
            current: workbench.study?.study
          });
          study = asked.value ?? undefined;
        }
        if (study !== undefined) {
          workbench.choose(study);
          await state?.save(STUDY_KEY, study);
        }
      }
    });

    commands.addCommand(CommandIDs.tryHub, {
      label: trans.__('Try to Reach the Hub Now'),
      caption: trans.__('Do not wait for the next try by itself'),
      isEnabled: () => workbench.contact.state !== 'online',
      describedBy: NO_ARGS,
      execute: () => workbench.tryNow()
    });
    addToPalette(palette, trans, [CommandIDs.chooseStudy, CommandIDs.tryHub]);

    void begin();
    return workbench;
  }
};
