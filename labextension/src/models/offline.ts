import type { TranslationBundle } from '@jupyterlab/translation';

import type { IWorkbench } from '../tokens';
import { clock } from './wording';

/**
 * Why what needs the hub can't be done now: "Needs the hub, away since 14:02."; empty where it can.
 */
export function needsHub(
  workbench: Pick<IWorkbench, 'away'>,
  trans: TranslationBundle
): string {
  return workbench.away === null
    ? ''
    : trans.__('Needs the hub, away since %1.', clock(workbench.away));
}
