import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { notebookIcon } from '@jupyterlab/ui-components';

import { messageOf } from '../api';
import { addToPalette, CommandIDs, NOTEBOOK_ARGS } from '../commands';
import { IWorkbench } from '../tokens';
import { Views } from '../views';
import type { NewNotebookView } from '../widgets/newnotebook/newnotebook';

/**
 * From nothing to a rehearsal: notebooks, and plans for those that have none, out of templates.
 */
export const newNotebookPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:new-notebook',
  description: 'Makes study notebooks from templates.',
  autoStart: true,
  requires: [IWorkbench, INotebookTracker],
  optional: [ITranslator, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    notebooks: INotebookTracker,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands } = app;
    const views = new Views<NewNotebookView>(app, 'flipnb-new-notebook');

    function here(): string {
      const path = notebooks.currentWidget?.context.localPath ?? '';
      return PathExt.dirname(path);
    }

    async function open(folder: string): Promise<void> {
      await views.open(`flip-new-notebook-${folder}`, async () => {
        const [{ NewNotebookModel }, { NewNotebookView }] = await Promise.all([
          import('../models/newnotebook'),
          import('../widgets/newnotebook/newnotebook')
        ]);
        const model = new NewNotebookModel(folder, workbench, trans);
        const view: NewNotebookView = new NewNotebookView({
          model,
          commands,
          trans,
          make: () => void make()
        });
        const make = async (): Promise<void> => {
          const made = await model.make();
          if (made !== null) {
            await commands.execute('docmanager:open', { path: made.notebook });
            view.parent?.dispose();
            await commands.execute(CommandIDs.rehearseNotebook, {
              path: made.notebook
            });
          }
        };
        view.title.label = trans.__('New Study Notebook');
        view.title.icon = notebookIcon;
        void model.load();
        return view;
      });
    }

    commands.addCommand(CommandIDs.newStudyNotebook, {
      label: trans.__('New Study Notebook'),
      caption: trans.__(
        'Make a notebook with its plan and its cohort, and rehearse it'
      ),
      icon: notebookIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            cwd: {
              type: 'string',
              description: 'The folder where the files are made'
            }
          }
        }
      },
      execute: args => {
        const { cwd } = args as { cwd?: string };
        return open(cwd ?? here());
      }
    });

    commands.addCommand(CommandIDs.makePlan, {
      label: trans.__('Make a Plan'),
      caption: trans.__(
        'Make a plan file beside a notebook that has none, from a template'
      ),
      icon: notebookIcon,
      describedBy: NOTEBOOK_ARGS,
      isEnabled: args =>
        notebooks.currentWidget !== null || args.path !== undefined,
      execute: async args => {
        const path =
          (args as { path?: string }).path ??
          notebooks.currentWidget?.context.localPath;
        if (path === undefined) {
          return;
        }
        try {
          const made = await workbench.api.makePlan(path);
          void workbench.refreshCohorts();
          await commands.execute('docmanager:open', {
            path: made.plan,
            options: { mode: 'tab-after' }
          });
        } catch (error) {
          Notification.error(messageOf(error), { autoClose: 8000 });
        }
      }
    });

    addToPalette(palette, trans, [
      CommandIDs.newStudyNotebook,
      CommandIDs.makePlan
    ]);
    launcher?.add({
      command: CommandIDs.newStudyNotebook,
      category: trans.__('FLIP'),
      rank: 0
    });
  }
};
