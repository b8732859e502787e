import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { ABCWidgetFactory, DocumentWidget } from '@jupyterlab/docregistry';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { jsonIcon } from '@jupyterlab/ui-components';
import { DisposableDelegate } from '@lumino/disposable';
import type { Widget } from '@lumino/widgets';
import { Panel } from '@lumino/widgets';

import { CommandIDs, NO_ARGS } from '../commands';
import type { ITextToCheck } from '../contracts';
import { cohortIcon, twinIcon } from '../icons';
import { IWorkbench } from '../tokens';
import type { CohortDoor } from '../widgets/cohort/door';

const COHORT = '.cohort.json';
const PLAN = '.flip.json';
const FACTORY = 'Cohort Builder';
const EDITOR = 'Editor';

type Kind = ITextToCheck['kind'];

/**
 * Cohorts and plans as kinds of files: their icons, what opens them, what their editor knows, their context menus.
 */
export const filesPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:files',
  description: 'Opens cohorts in the builder, and helps to write plan files.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [ITranslator, IFileBrowserFactory],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    browsers: IFileBrowserFactory | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands, docRegistry } = app;
    const text = {
      mimeTypes: ['application/json'],
      contentType: 'file' as const,
      fileFormat: 'text' as const
    };
    docRegistry.addFileType({
      ...text,
      name: 'flip-cohort',
      displayName: trans.__('Cohort'),
      extensions: [COHORT],
      icon: cohortIcon
    });
    // Lab's viewer of JSON would open it, but for the package's default_setting_overrides.d.
    docRegistry.addFileType({
      ...text,
      name: 'flip-plan',
      displayName: trans.__('Plan File'),
      extensions: [PLAN],
      icon: jsonIcon
    });

    docRegistry.addWidgetFactory(
      new CohortFactory(
        {
          name: FACTORY,
          label: trans.__('Cohort Builder'),
          fileTypes: ['flip-cohort'],
          defaultFor: ['flip-cohort'],
          readOnly: true,
          canStartKernel: false,
          preferKernel: false
        },
        async path => {
          const { CohortDoor } = await import('../widgets/cohort/door');
          return new CohortDoor({ path, workbench, commands, trans });
        }
      )
    );

    docRegistry.addWidgetExtension(EDITOR, {
      createNew: (
        widget: DocumentWidget,
        context: DocumentRegistry.Context
      ) => {
        const kind = kindOf(context.path);
        if (kind !== null) {
          void context.ready.then(async () => {
            const { schemaEditing } = await import('../editing/schemaediting');
            const extension = await schemaEditing(workbench.api, kind);
            const content = widget.content as Widget & IHasEditor;
            if (!widget.isDisposed) {
              content.editor?.injectExtension(extension);
            }
          });
        }
        return new DisposableDelegate(() => undefined);
      }
    });

    function selected(suffix: string): string | null {
      const items = [
        ...(browsers?.tracker.currentWidget?.selectedItems() ?? [])
      ];
      const [item] = items;
      return items.length === 1 && item.path.endsWith(suffix)
        ? item.path
        : null;
    }

    async function withNotebook(command: string): Promise<void> {
      const path = selected('.ipynb');
      if (path !== null) {
        await commands.execute('docmanager:open', { path });
        await commands.execute(command, { path });
      }
    }

    const ofFiles = [
      {
        id: CommandIDs.rehearseFile,
        label: trans.__('Rehearse on Twin'),
        caption: trans.__('Open this notebook, and rehearse it'),
        icon: twinIcon,
        suffix: '.ipynb',
        execute: () => withNotebook(CommandIDs.rehearseNotebook)
      },
      {
        id: CommandIDs.sendFile,
        label: trans.__('Send to Trusts…'),
        caption: trans.__('Open this notebook, and look it over to be sent'),
        icon: undefined,
        suffix: '.ipynb',
        execute: () => withNotebook(CommandIDs.sendNotebook)
      },
      {
        id: CommandIDs.openCohortFile,
        label: trans.__('Open in Cohort Builder'),
        caption: trans.__('Open this cohort in the builder'),
        icon: cohortIcon,
        suffix: COHORT,
        execute: () =>
          commands.execute(CommandIDs.openCohort, { path: selected(COHORT) })
      },
      {
        id: CommandIDs.useCohortFile,
        label: trans.__('Use Cohort in Notebook'),
        caption: trans.__(
          'Insert code that names this cohort into the open notebook'
        ),
        icon: cohortIcon,
        suffix: COHORT,
        execute: async () => {
          const path = selected(COHORT);
          await commands.execute(CommandIDs.openCohort, { path });
          await commands.execute(CommandIDs.insertCohort);
        }
      }
    ];
    for (const { id, suffix, ...rest } of ofFiles) {
      commands.addCommand(id, {
        ...rest,
        describedBy: NO_ARGS,
        isVisible: () => selected(suffix) !== null,
        isEnabled: () => selected(suffix) !== null
      });
    }
  }
};

/**
 * What the widget of Lab's file editor has, as far as it is used here.
 */
interface IHasEditor {
  editor?: { injectExtension(extension: unknown): void };
}

function kindOf(path: string): Kind | null {
  return path.endsWith(PLAN) ? 'plan' : path.endsWith(COHORT) ? 'cohort' : null;
}

/**
 * Opens a cohort file: what it shows leads to the builder at once, or says why the file is no cohort.
 */
class CohortFactory extends ABCWidgetFactory<
  DocumentWidget<Panel>,
  DocumentRegistry.IModel
> {
  constructor(
    options: DocumentRegistry.IWidgetFactoryOptions<DocumentWidget<Panel>>,
    private readonly _door: (path: string) => Promise<CohortDoor>
  ) {
    super(options);
  }

  protected createNewWidget(
    context: DocumentRegistry.Context
  ): DocumentWidget<Panel> {
    const content = new Panel();
    const widget = new DocumentWidget({ content, context });
    widget.title.icon = cohortIcon;
    void context.ready.then(async () => {
      const door = await this._door(context.localPath);
      door.opened.connect(() => widget.dispose());
      content.addWidget(door);
      void door.go();
    });
    return widget;
  }
}
