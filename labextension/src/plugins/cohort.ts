import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  InputDialog,
  MainAreaWidget,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import {
  addAboveIcon,
  CommandToolbarButton,
  downloadIcon,
  fileUploadIcon,
  redoIcon,
  saveIcon,
  undoIcon
} from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';

import { messageOf } from '../api';
import { addToPalette, CommandIDs, NO_ARGS } from '../commands';
import { cohortIcon } from '../icons';
import type { IDraft } from '../models/cohortfile';
import type { IDefinition } from '../models/definition';
import { IWorkbench } from '../tokens';
import { Views } from '../views';
import type { CohortView } from '../widgets/cohort/cohort';

const SUFFIX = '.cohort.json';
const DRAFT = 'flipnb:cohort';

/**
 * The cohort builder in the main area.
 */
export const cohortPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:cohort',
  description:
    'Builds cohort definitions and asks the Trusts how many people they have.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [
    ITranslator,
    ICommandPalette,
    ILayoutRestorer,
    ILauncher,
    IStateDB,
    INotebookTracker
  ],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    launcher: ILauncher | null,
    state: IStateDB | null,
    notebooks: INotebookTracker | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands, shell } = app;
    const views = new Views<CohortView>(app, 'flipnb-cohort');
    let made = 0;

    function changed(): void {
      for (const id of [
        CommandIDs.undoCohort,
        CommandIDs.redoCohort,
        CommandIDs.saveCohort,
        CommandIDs.exportCohort,
        CommandIDs.insertCohort
      ]) {
        commands.notifyCommandChanged(id);
      }
    }

    async function make(
      id: string,
      begin: (view: CohortView) => Promise<void>
    ): Promise<CohortView> {
      const [{ CohortFileModel }, { CohortView }] = await Promise.all([
        import('../models/cohortfile'),
        import('../widgets/cohort/cohort')
      ]);
      const model = new CohortFileModel(workbench, draft => {
        void state?.save(
          `${DRAFT}:${id}`,
          draft as unknown as ReadonlyPartialJSONValue
        );
      });
      const view = new CohortView({ model, commands, trans });
      view.title.icon = cohortIcon;
      const name = (): void => {
        const path = model.path?.split('/').pop()?.replace(SUFFIX, '');
        view.title.label = `${model.dirty ? '● ' : ''}${path ?? trans.__('New Cohort')}`;
        changed();
      };
      model.changed.connect(name, view);
      name();
      try {
        await begin(view);
      } catch (error) {
        view.dispose();
        throw error;
      }
      return view;
    }

    async function show(
      id: string,
      begin: (view: CohortView) => Promise<void>
    ): Promise<void> {
      try {
        equip(await views.open(id, () => make(id, begin)));
      } catch (error) {
        Notification.error(messageOf(error), { autoClose: 8000 });
      }
    }

    /** Put the actions on a view into its toolbar, once. */
    function equip(view: CohortView): void {
      const area = view.parent;
      if (!(area instanceof MainAreaWidget) || area.toolbar.node.dataset.flip) {
        return;
      }
      area.toolbar.node.dataset.flip = 'cohort';
      area.toolbar.node.setAttribute('aria-label', trans.__('Cohort actions'));
      for (const id of [
        CommandIDs.undoCohort,
        CommandIDs.redoCohort,
        CommandIDs.saveCohort,
        CommandIDs.importCohort,
        CommandIDs.exportCohort,
        CommandIDs.insertCohort
      ]) {
        area.toolbar.addItem(
          id,
          new CommandToolbarButton({
            commands,
            id,
            label: commands.label(id).replace('…', '')
          })
        );
      }
    }

    async function draft(id: string): Promise<IDraft | null> {
      return (
        ((await state?.fetch(`${DRAFT}:${id}`)) as unknown as
          IDraft | undefined) ?? null
      );
    }

    commands.addCommand(CommandIDs.undoCohort, {
      label: trans.__('Undo'),
      caption: trans.__('Take back the last change of the cohort'),
      icon: undoIcon,
      isEnabled: () => views.current?.model.canUndo ?? false,
      describedBy: NO_ARGS,
      execute: () => views.current?.model.undo()
    });

    commands.addCommand(CommandIDs.redoCohort, {
      label: trans.__('Redo'),
      caption: trans.__('Make the change of the cohort again'),
      icon: redoIcon,
      isEnabled: () => views.current?.model.canRedo ?? false,
      describedBy: NO_ARGS,
      execute: () => views.current?.model.redo()
    });

    commands.addCommand(CommandIDs.newCohort, {
      label: trans.__('New Cohort'),
      caption: trans.__('Define whom a study is about'),
      icon: cohortIcon,
      describedBy: NO_ARGS,
      execute: () =>
        show(`flip-cohort-new-${Date.now()}-${made++}`, async () => undefined)
    });

    commands.addCommand(CommandIDs.openCohort, {
      label: trans.__('Open Cohort…'),
      caption: trans.__('Open a cohort file in the builder'),
      icon: cohortIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            path: {
              type: 'string',
              description: 'The path of the cohort file'
            },
            id: {
              type: 'string',
              description: 'The id of an open view, to restore it'
            }
          }
        }
      },
      execute: async args => {
        const { id } = args as { id?: string };
        let { path } = args as { path?: string };
        if (id !== undefined) {
          await show(id, async view => {
            const kept = await draft(id);
            if (kept !== null) {
              view.model.restore(kept);
            }
          });
          return;
        }
        if (path === undefined) {
          const answer = await InputDialog.getItem({
            title: trans.__('Open Cohort'),
            items: workbench.cohorts.map(cohort => cohort.path)
          });
          path = answer.value ?? undefined;
        }
        if (path !== undefined) {
          const file = path;
          await show(`flip-cohort-${file}`, view => view.model.open(file));
        }
      }
    });

    commands.addCommand(CommandIDs.importCohort, {
      label: trans.__('Import ATLAS JSON…'),
      caption: trans.__('Begin a cohort from a file that ATLAS exported'),
      icon: fileUploadIcon,
      describedBy: NO_ARGS,
      execute: async () => {
        const text = await pickFile();
        if (text === null) {
          return;
        }
        try {
          const found = JSON.parse(text) as IDefinition & {
            expression?: IDefinition;
          };
          const definition = found.expression?.PrimaryCriteria
            ? found.expression
            : found;
          if (!definition.PrimaryCriteria) {
            throw new Error(trans.__('The file holds no cohort definition.'));
          }
          await show(`flip-cohort-new-${Date.now()}-${made++}`, async view =>
            view.model.take(definition)
          );
        } catch (error) {
          Notification.error(
            trans.__('It was not imported. %1', messageOf(error)),
            {
              autoClose: 8000
            }
          );
        }
      }
    });

    /** Whether to export a definition with criteria that ATLAS has not. */
    const forAtlas = async (
      beyond: ReadonlyArray<string>
    ): Promise<boolean> => {
      if (beyond.length === 0) {
        return true;
      }
      const answer = await showDialog({
        title: trans.__('ATLAS will refuse this definition'),
        body: trans.__(
          'ATLAS has no criteria on text and images: %1. FLIP reads the file again; to use it in ATLAS, leave them out.',
          beyond.join(', ')
        ),
        buttons: [
          Dialog.cancelButton({ label: trans.__('Cancel') }),
          Dialog.okButton({ label: trans.__('Export Anyway') })
        ]
      });
      return answer.button.accept;
    };

    commands.addCommand(CommandIDs.exportCohort, {
      label: trans.__('Export ATLAS JSON…'),
      caption: trans.__('Save the definition as a file that ATLAS imports'),
      icon: downloadIcon,
      isEnabled: () => views.current !== null,
      describedBy: NO_ARGS,
      execute: async () => {
        const model = views.current?.model;
        const { beyondAtlas } = await import('../models/definition');
        if (model && (await forAtlas(beyondAtlas(model.expression)))) {
          const name = model.path?.split('/').pop() ?? `cohort${SUFFIX}`;
          const { saveAs } = await import('../widgets/parts/saveas');
          saveAs(
            name,
            JSON.stringify(model.expression, null, 2),
            'application/json'
          );
        }
      }
    });

    commands.addCommand(CommandIDs.saveCohort, {
      label: trans.__('Save Cohort'),
      caption: trans.__('Save the definition as a file beside your notebooks'),
      icon: saveIcon,
      isEnabled: () => views.current?.model.dirty ?? false,
      describedBy: NO_ARGS,
      execute: async () => {
        const model = views.current?.model;
        if (!model) {
          return;
        }
        let path = model.path;
        if (path === null) {
          const answer = await InputDialog.getText({
            title: trans.__('Save Cohort'),
            label: trans.__('The name of the file'),
            text: `my${SUFFIX}`,
            okLabel: trans.__('Save')
          });
          if (!answer.button.accept || !answer.value) {
            return;
          }
          path = answer.value.endsWith(SUFFIX)
            ? answer.value
            : `${answer.value}${SUFFIX}`;
        }
        if (!(await model.save(path))) {
          const answer = await showDialog({
            title: trans.__('%1 was changed elsewhere', path),
            body: trans.__(
              'Reload it, and lose your changes; or keep yours, and lose the others.'
            ),
            buttons: [
              Dialog.cancelButton({ label: trans.__('Cancel') }),
              Dialog.warnButton({ label: trans.__('Reload') }),
              Dialog.okButton({ label: trans.__('Keep Mine') })
            ]
          });
          if (answer.button.label === trans.__('Reload')) {
            await model.open(path);
          } else if (answer.button.accept) {
            await model.save(path, true);
          }
        }
        await workbench.refreshCohorts();
      }
    });

    commands.addCommand(CommandIDs.insertCohort, {
      label: trans.__('Use in Notebook'),
      caption: trans.__(
        'Insert code that names this cohort into the open notebook'
      ),
      icon: addAboveIcon,
      isEnabled: () =>
        (notebooks?.currentWidget ?? null) !== null &&
        (views.current?.model.path ?? null) !== null,
      describedBy: NO_ARGS,
      execute: async () => {
        const panel = notebooks?.currentWidget;
        const path = views.current?.model.path;
        if (!panel || !path) {
          return;
        }
        const folder = panel.context.localPath
          .split('/')
          .slice(0, -1)
          .join('/');
        const near =
          folder && path.startsWith(`${folder}/`)
            ? path.slice(folder.length + 1)
            : path;
        NotebookActions.insertBelow(panel.content);
        panel.content.activeCell?.model.sharedModel.setSource(
          `import flipnb as flip\n\ncohort = flip.cohort(${JSON.stringify(near)})\ncohort`
        );
        shell.activateById(panel.id);
      }
    });

    addToPalette(palette, trans, [
      CommandIDs.newCohort,
      CommandIDs.openCohort,
      CommandIDs.importCohort,
      CommandIDs.exportCohort,
      CommandIDs.saveCohort,
      CommandIDs.insertCohort
    ]);
    launcher?.add({
      command: CommandIDs.newCohort,
      category: trans.__('FLIP'),
      rank: 1
    });
    notebooks?.currentChanged.connect(changed, views);
    views.restore(restorer, {
      command: CommandIDs.openCohort,
      args: (_, id) => ({ id })
    });
  }
};

function pickFile(): Promise<string | null> {
  return new Promise(resolve => {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = '.json,application/json';
    input.addEventListener('change', () => {
      const file = input.files?.[0];
      void (file ? file.text().then(resolve) : resolve(null));
    });
    input.addEventListener('cancel', () => resolve(null));
    input.click();
  });
}
