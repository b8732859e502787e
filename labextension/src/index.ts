import { panelPlugin } from './plugins/panel';
import { workbenchPlugin } from './plugins/workbench';

export { IWorkbench } from './tokens';

export default [workbenchPlugin, panelPlugin];
