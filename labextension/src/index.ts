import { cohortPlugin } from './plugins/cohort';
import { deskPlugin } from './plugins/desk';
import { filesPlugin } from './plugins/files';
import { newNotebookPlugin } from './plugins/newnotebook';
import { notebookPlugin } from './plugins/notebook';
import { panelPlugin } from './plugins/panel';
import { presencePlugin } from './plugins/presence';
import { resultsPlugin } from './plugins/results';
import { runsPlugin } from './plugins/runs';
import { workbenchPlugin } from './plugins/workbench';

export { IDesk, IWorkbench } from './tokens';

export default [
  workbenchPlugin,
  panelPlugin,
  cohortPlugin,
  deskPlugin,
  notebookPlugin,
  newNotebookPlugin,
  filesPlugin,
  runsPlugin,
  resultsPlugin,
  presencePlugin
];
